"""Quote models for calibration: one distance, or a ladder of distances."""

from mm.calibration.quotes.calibration_ladder import CalibrationLadder, FixedDelta

__all__ = ["CalibrationLadder", "FixedDelta"]
