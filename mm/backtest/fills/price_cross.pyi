# Generated from mm/backtest/fills/price_cross.pyx by `make stubs`; edit that file instead.

"""Fills by the book: the best price of the other side reaches ours."""

from mm.backtest.fills.base import FillModel

class PriceCross(FillModel):
    """A resting order fills, whole, when the other side's best price reaches its price.

    - buy: order price - best ask >= penetration; sell: best bid - order price >= penetration
    - asked after each book event; an absent best price reaches nothing

    Args:
        penetration_ticks: How far beyond our price the other side must come.
    """
    @property
    def penetration_ticks(self) -> int: ...
    def __init__(self, *, penetration_ticks: int = 0) -> None: ...
