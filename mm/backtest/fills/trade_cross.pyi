# Generated from mm/backtest/fills/trade_cross.pyx by `make stubs`; edit that file instead.

"""Fills by trades that print at or through our price."""

from mm.backtest.fills.base import FillModel

class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order

    Args:
        strict: Only trades beyond our price count, those at it do not.
        share: Part of each print that is open to us, in (0, 1], to eight decimals.
        penetration_ticks: How far beyond our price a trade must print.
    """
    @property
    def strict(self) -> bool: ...
    @property
    def share(self) -> float: ...
    @property
    def penetration_ticks(self) -> int: ...
    def __init__(self, *, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None: ...
