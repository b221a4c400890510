# Generated from mm/backtest/quotes/fixed_spread.pyx by `make stubs`; edit that file instead.

"""The same distance from the mid on both sides, whatever the inventory."""

from mm.backtest.quotes.base import QuoteModel

class FixedSpread(QuoteModel):
    """Quote ``mid - delta_ticks`` and ``mid + delta_ticks``.

    Args:
        delta_ticks: Each side's distance from the mid, in ticks.
    """
    @property
    def delta_ticks(self) -> float: ...
    def __init__(self, *, delta_ticks: float) -> None: ...
