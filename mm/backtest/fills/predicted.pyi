# Generated from mm/backtest/fills/predicted.pyx by `make stubs`; edit that file instead.

"""Fills by a fitted predictor: its probability of a fill within the horizon, as an intensity."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration
from mm.signals.signal_set import SignalSet

class PredictedFills(FillModel):
    """An order fills with the intensity that a predictor of ``fill`` stands for, whole, at its own instant.

    - p is its prediction for the side and the distance from the mid, from the signals after the last diff that the
      exchange has applied; the intensity is -ln(1 - p) over the horizon: over all of it an order fills with p
    - each book event begins a new stretch, in which the intensity is constant; one unit exponential draw for each
      side and stretch, keyed by what began it
    - nearer than the nearest distance of the fit counts as the nearest; farther than the farthest never fills
    - nothing fills while a signal is not known, or a side of the book is empty

    Args:
        predictor: Folder of the fitted predictor.
        seed: Keys every draw.

    Attributes:
        predictor_folder: As given.
        signals: That the predictor reads.

    Raises:
        BrokenFile: If there is no predictor, or one of its bytes has changed.
        UsageError: If it is of another target.
    """

    declared: Declaration
    @property
    def predictor_folder(self) -> str: ...
    @property
    def signals(self) -> tuple[str, ...]: ...
    def __init__(self, *, predictor: str, seed: int = 0) -> None: ...
    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Take note of the signals of a run, before it begins: they see each event before the model does.

        Raises:
            Mismatch: If the predictor was fitted on another tick.
        """
