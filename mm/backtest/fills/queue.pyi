# Generated from mm/backtest/fills/queue.pyx by `make stubs`; edit that file instead.

"""Fills by queue position, estimated from an aggregated (L2) book."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration

class Queue(FillModel):
    """A resting order fills when all lots ahead of it at its price have traded or been cancelled.

    - it joins behind the lots displayed at its price, less those that printed there since the last book event
    - a print at its price from the other side takes what is ahead first, and the order with what is left
    - a print beyond its price fills it, as trades do not pass a better price
    - a decrease of the displayed lots beyond the printed lots is cancellations, of which a share was ahead of us
      (`ahead_share`); the lots ahead never exceed the displayed ones
    - the other side's best price at ours or beyond fills what is left

    Subclasses implement `ahead_share`.
    """
    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of fills after a trade, after a book change, and drawn (never)."""

class QueueRiskAverse(Queue):
    """All cancellations are behind us: only prints, and a level smaller than our queue, advance the queue position."""

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
