# Generated from mm/backtest/fills/predicted.pyx by `make stubs`; edit that file instead.

"""Fills drawn with the intensity that gives a predicted fill probability within a horizon."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration
from mm.signals.signal_set import SignalSet

class PredictedFills(FillModel):
    """An order fills completely, with the intensity given by a predictor of ``fill``.

    - p is predicted from the order's side, its distance from the mid, and the signals after the last diff applied by
      the exchange; the intensity is -ln(1 - p) / horizon, so over the horizon an order fills with probability p
    - each book event begins a new stretch, in which the intensity is constant; one unit exponential draw per
      side and stretch, keyed by the event that began it
    - orders nearer than the fit's smallest distance use that distance; orders beyond its largest never fill
    - nothing fills while a signal is undefined or a side of the book is empty

    Args:
        predictor: Folder of the fitted predictor.
        seed: Seed of all draws.

    Attributes:
        predictor_folder: Folder of the predictor, as given.
        signals: The signals that the predictor reads.

    Raises:
        BrokenFile: If there is no predictor, or its files were changed.
        UsageError: If its target is not ``fill``.
    """

    declared: Declaration
    @property
    def predictor_folder(self) -> str: ...
    @property
    def signals(self) -> tuple[str, ...]: ...
    def __init__(self, *, predictor: str, seed: int = 0) -> None: ...
    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Set the signals of a run before it begins; they are updated with each event before the model is called.

        Raises:
            Mismatch: If the predictor was fitted on another tick size.
        """
