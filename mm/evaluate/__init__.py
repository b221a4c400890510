"""Checks of models: does one look ahead, and which fill model is right; it may import all that it measures."""
