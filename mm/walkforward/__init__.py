"""Calibrate on the past, trade the next slice, never peek."""
