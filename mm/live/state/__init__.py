"""The state of a run in stores for other programs, made from its audit log."""
