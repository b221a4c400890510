# Generated from mm/backtest/fills/hybrid.pyx by `make stubs`; edit that file instead.

"""A combination of fill models: the largest fill counts."""

from collections.abc import Iterable

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration
from mm.signals.signal_set import SignalSet

class Hybrid(FillModel):
    """An order fills as early, and as much, as under the most optimistic of several models.

    - every model receives every event, so that each keeps its own state
    - at each event the largest fill counts, for equal fills that of the first model; fills do not add up
    - a print fills at most its size over all our orders, whichever model fills them
    - the reason of a fill is that of the model whose fill counted
    - at most one model draws its fills, and at most one has a queue, as an order has one state for each

    Args:
        models: Compiled fill models, or any objects with ``on_trade`` or ``on_book``.
    """

    declared: Declaration
    @property
    def models(self) -> tuple[FillModel, ...]: ...
    @property
    def signals(self) -> tuple[str, ...]: ...
    def __init__(self, models: Iterable[object]) -> None: ...
    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons of all models, in the order of *models*."""
    @property
    def predictor_folder(self) -> str | None:
        """Folder of the predictor that the drawing model reads; None without one."""
    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Pass the signals to the drawing model."""
