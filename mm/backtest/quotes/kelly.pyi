# Generated from mm/backtest/quotes/kelly.pyx by `make stubs`; edit that file instead.

"""Kelly's rule as steps: quotes skewed against the inventory, and sizes, that maximise the growth of log wealth.

With wealth W, a position of q and a move of the mid over the horizon H of mean m and variance v = σ²H, the expected
growth of log wealth is q·m/W - q²·v/(2W²) to second order. After buying n more at a distance δ below the mid it is
(q + n)·m/W + n·δ/W - (q + n)²·v/(2W²). The value of the next unit, W times the slope in q, is m - q·v/W: the
reservation price of Avellaneda and Stoikov (2008) with risk aversion 1/W. The best n is W·(δ + m)/v - q. A
fraction f of Kelly bets as if wealth were f·W (Kelly, A new interpretation of information rate, 1956; Thorp, The Kelly
criterion in blackjack, sports betting and the stock market, 2006).

W is cash plus inventory at the mid, q the inventory relative to the target, both in lots and ticks.
"""

from mm.backtest.parameters import Check, Declaration, Parameter
from mm.backtest.quotes.steps import Step

SHARE: Check
FINITE: Check
FRACTION: Parameter
SIGNAL: Parameter
BY: Parameter
SHARED: tuple[Parameter, ...]

class Kelly(Step):
    """Base of the steps by Kelly's rule: wealth, the variance over the horizon, and the expected move."""
    @property
    def horizon_s(self) -> float: ...
    @property
    def fraction(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    @property
    def by(self) -> float: ...
    @property
    def signal(self) -> str: ...

class KellySkew(Kelly):
    """Move both prices by the value of the next unit relative to the mid, by Kelly's rule: m - q·σ²·H/(f·W) ticks.

    No quotes while the volatility is unknown; with wealth of 0 or less, only quotes that reduce the inventory.
    """

    declared: Declaration
    @property
    def most(self) -> float: ...
    def __init__(
        self,
        inner: object,
        *,
        horizon_s: float = 60.0,
        fraction: float = 0.5,
        sigma: float | None = None,
        signal: str | None = None,
        by: float = 1.0,
        most: float | None = None,
    ) -> None: ...

class KellySize(Kelly):
    """Set the lots by Kelly's rule on each side: f·W·(δ + m - fee)/(σ²·H) - q for a bid at δ below the mid, floored.

    For an ask m and q change their signs. At most *most* times the inner model's lots; a side whose size is below one
    lot has no quote, and neither has any side while the volatility is unknown.
    """

    declared: Declaration
    @property
    def fee_ticks(self) -> float: ...
    @property
    def most(self) -> float: ...
    def __init__(
        self,
        inner: object,
        *,
        horizon_s: float = 60.0,
        fraction: float = 0.5,
        sigma: float | None = None,
        signal: str | None = None,
        by: float = 1.0,
        fee_ticks: float = 0.0,
        most: float = 1.0,
    ) -> None: ...
