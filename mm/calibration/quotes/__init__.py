"""Quote models for calibration: one distance, or a ladder of distances."""
