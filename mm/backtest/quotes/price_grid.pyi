# Generated from mm/backtest/quotes/price_grid.pyx by `make stubs`; edit that file instead.

"""A grid: several prices per side on multiples of a step; orders keep their queue positions as the mid moves."""

from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel

class BoundedGrid(QuoteModel):
    """Base of grids: ``levels`` prices per side, a clip at each, within an inventory bound."""
    @property
    def levels(self) -> int: ...
    @property
    def q_max(self) -> float: ...
    @property
    def soft_bound(self) -> bool: ...

class PriceGrid(BoundedGrid):
    """Quote ``levels`` prices per side, multiples of ``step_ticks``, from ``delta_ticks`` off the centre outwards.

    The centre is ``mid - skew_ticks·q``, q the inventory in clips. No bid is above the best bid, no ask below the
    best ask. Each price has one clip; within an inventory bound, the prices nearest to the mid get the remaining lots.
    """

    declared: Declaration
    @property
    def delta_ticks(self) -> float: ...
    @property
    def skew_ticks(self) -> float: ...
    @property
    def step_ticks(self) -> int: ...
    @property
    def on_best(self) -> bool: ...
    def __init__(
        self,
        *,
        delta_ticks: float,
        levels: int,
        step_ticks: int,
        skew_ticks: float = 0.0,
        q_max: float | None = None,
        soft_bound: bool = False,
        on_best: bool = False,
    ) -> None: ...
