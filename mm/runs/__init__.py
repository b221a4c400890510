"""Runs: their folders, manifests and logs, and how two of them differ."""
