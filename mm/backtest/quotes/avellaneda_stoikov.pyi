# Generated from mm/backtest/quotes/avellaneda_stoikov.pyx by `make stubs`; edit that file instead.

"""Quotes of Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008): plain, default, and symmetric."""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.quotes.distances import Distances
from mm.backtest.quotes.steps import Step

class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, inconsistent with its own value function.) In this mode a gamma of
    ``auto`` uses the slope of the reservation price at q = 0.
    """

    declared: Declaration
    def __init__(
        self,
        *,
        name: str | None = None,
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        k: float | str | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        q_max: float | None = None,
        intensity: Intensity | None = None,
    ) -> None: ...

class Behind(Step):
    """Join the best prices or quote behind them, by what the mid moves while an order travels and rests unchanged.

    That is ``reach``: one standard deviation of the mid over `REACH_S`, from its moves between requotes of the last
    `MEMORY_S`, in whole ticks. An order within `KEPT_SHARE` of it from the wanted price stays. Quotes remain within the
    distances at which the intensity was measured, except that they are never ahead of the best prices.
    """
    def __init__(self, inner: object, joining: Distances | None, intensity: Intensity | None) -> None: ...

def avellaneda_stoikov(
    *,
    gamma: float | str = "auto",
    skew_share: float = 0.1,
    k: float | str | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    mode: str = "rolling",
    q_max: float = 30.0,
    intensity: Intensity | None = None,
) -> QuoteModel:
    """Return the default strategy of a run: ``AvellanedaStoikov``, ``Behind``, ``InventoryBound``."""

def avellaneda_stoikov_of_curve(
    *,
    gamma: float | str = "auto",
    skew_share: float = 0.1,
    k: float | str | None = None,
    sigma: float | None = None,
    horizon_s: float = 30.0,
    mode: str = "rolling",
    q_max: float = 30.0,
    intensity: Intensity | None = None,
) -> QuoteModel:
    """Return the default strategy with the distances of ``OptimalCurve``, for a fit whose A and k miss its rates."""

def behind(inner: Distances, intensity: Intensity, q_max: float) -> QuoteModel:
    """Return a model as the default strategy quotes it: behind the best prices, and within an inventory bound."""

class Symmetric(QuoteModel):
    """Quote the spread of ``AvellanedaStoikov`` around the mid, independent of the inventory.

    In mode ``rolling`` the spread equals that model's with tau = *horizon_s*; in mode ``session`` it is the benchmark
    of section 3.3, the mean over a session: the half-spread is gamma·sigma²·horizon_s/4 plus the markup.
    """

    declared: Declaration
    @property
    def inner(self) -> QuoteModel: ...
    def __init__(
        self,
        *,
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        intensity: Intensity | None = None,
    ) -> None: ...
