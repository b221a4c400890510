"""Quote models that calibration drives: fixed spreads and the ladder."""
