# Generated from mm/backtest/fills/crossing.pyx by `make stubs`; edit that file instead.

"""Fills when a trade price or the other side's best price reaches our price."""

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import Declaration

class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order
    """

    declared: Declaration
    @property
    def strict(self) -> bool: ...
    @property
    def share(self) -> float: ...
    @property
    def penetration_ticks(self) -> int: ...
    def __init__(self, *, strict: bool = False, share: float = 1.0, penetration_ticks: int = 0) -> None: ...

class PriceCross(FillModel):
    """A resting order fills completely when the other side's best price reaches its price.

    - buy: order price - best ask >= penetration; sell: best bid - order price >= penetration
    - checked after each book event; without a best price on the other side nothing fills
    """

    declared: Declaration
    @property
    def penetration_ticks(self) -> int: ...
    def __init__(self, *, penetration_ticks: int = 0) -> None: ...
