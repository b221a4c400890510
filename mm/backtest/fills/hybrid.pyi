# Generated from mm/backtest/fills/hybrid.pyx by `make stubs`; edit that file instead.

"""Several fill models at once: the largest fill counts."""

from collections.abc import Iterable

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration
from mm.signals.signal_set import SignalSet

class Hybrid(FillModel):
    """An order fills as soon, and as much, as the most generous of several models says.

    - every model sees every event, so that each keeps its own account of queues and prints
    - of their answers to one question the largest counts, the first named among equals: what two models
      fill is filled once
    - a print fills no more than its size over all our orders, whichever model answers
    - the reason of a fill is that of the model whose answer counted
    - one model at most draws its fills, and one at most keeps a queue: an order has one place for each

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
        """The reasons of each model, one model after another."""
    @property
    def predictor_folder(self) -> str | None:
        """The folder of the predictor that the model which draws reads; None without one."""
    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Show the model that draws the signals that it reads."""
