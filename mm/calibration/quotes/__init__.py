"""Quote models that calibration drives: one distance, or a ladder of them."""

from mm.calibration.quotes.calibration_ladder import CalibrationLadder, FixedDelta

__all__ = ["CalibrationLadder", "FixedDelta"]
