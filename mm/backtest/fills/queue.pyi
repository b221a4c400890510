# Generated from mm/backtest/fills/queue.pyx by `make stubs`; edit that file instead.

"""Fills by place in the queue, estimated from a book that shows prices and no orders."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration

class Queue(FillModel):
    """A resting order fills when what was ahead of it at its price is gone.

    - it joins behind the lots displayed at its price, less those that printed there since the last book event
    - a print at its price from the other side takes what is ahead first, and the order with what is left
    - a print beyond its price fills it: nobody trades through a better price
    - fewer lots displayed than before, beyond what printed, are cancellations; a share of them was ahead
      of us (`ahead_share`); never more is ahead than is displayed
    - the other side's best price at ours or beyond fills what is left

    Subclasses implement `ahead_share`.
    """
    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of fills after a trade, after a book change, and drawn (never)."""

class QueueRiskAverse(Queue):
    """Every cancellation was behind us: only prints, and a level smaller than our queue, bring us forward."""

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
