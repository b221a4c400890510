# Generated from mm/backtest/fills/queue.pyx by `make stubs`; edit that file instead.

"""Fills by queue position, estimated from an aggregated (L2) book."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration

class Queue(FillModel):
    """A resting order fills when all lots ahead of it at its price have traded or been cancelled.

    - on arrival, the lots displayed at its price, less those printed there since the last book event, are ahead
    - a print at its price from the other side consumes the lots ahead first; its remaining lots fill the order
    - a print beyond its price fills it, because trades do not skip a better price
    - a decrease of the displayed lots by more than the printed lots is cancellations; the share `ahead_share` of them
      was ahead of us, and the lots ahead never exceed the displayed lots
    - the other side's best price at or beyond its price fills the remaining lots

    Subclasses implement `ahead_share`.
    """
    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn (unused)."""

class QueueRiskAverse(Queue):
    """All cancellations are behind us; only prints, or fewer displayed lots than lots ahead, advance the queue."""

    declared: Declaration
    def __init__(self) -> None: ...

class QueueProbPower(Queue):
    """A cancellation was ahead of us with probability a^n / (a^n + b^n), a lots ahead and b behind."""
    @property
    def exponent(self) -> float: ...
    declared: Declaration
    def __init__(self, *, exponent: float = 3.0) -> None: ...

class QueueProbLog(Queue):
    """A cancellation was ahead of us with probability ln(1 + a) / (ln(1 + a) + ln(1 + b)), in lots."""

    declared: Declaration
    def __init__(self) -> None: ...
