"""A day folder becomes a tape, which engine and calibration play."""
