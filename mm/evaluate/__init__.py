"""Checks of models for look-ahead, and of fill models against order logs."""
