"""Converts a day folder into a tape, the input of engine and calibration."""
