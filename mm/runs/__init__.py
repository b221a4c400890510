"""Runs: their folders, manifests and logs, and the differences between two runs."""
