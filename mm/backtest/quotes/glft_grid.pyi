# Generated from mm/backtest/quotes/glft_grid.pyx by `make stubs`; edit that file instead.

"""A grid around the quotes of Guéant, Lehalle and Fernandez-Tapia, calibrated on a rolling window during the run.

Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862), equations 4.6 and
4.7 with xi = gamma and orders of one clip.
"""

from mm.backtest.parameters import Declaration
from mm.backtest.quotes.price_grid import BoundedGrid

class GlftGrid(BoundedGrid):
    """Quote a grid whose first prices are optimal for the fill rate and the volatility of the last ``window_s``.

    Every ``sample_s`` the mid is sampled, with the largest distance from the previous mid at which a print in
    between would have filled an order. Every ``refit_s``, once the window is full, A·exp(-k·δ) is fitted to the rate at
    which prints pass a distance, by linear regression of its logarithm up to ``reach_ticks``; sigma is the standard
    deviation of the changes. With c = sqrt(gamma/(2·A·k)·(1 + gamma/k)^(1 + k/gamma)) the half-spread is
    spread_factor·(ln(1 + gamma/k)/gamma + c·sigma/2), and a clip of inventory moves the centre by skew_factor·c·sigma.
    Prices are multiples of the half-spread in whole ticks; no bid is above the best bid, no ask below the best ask.
    """

    declared: Declaration
    @property
    def gamma(self) -> float: ...
    @property
    def spread_factor(self) -> float: ...
    @property
    def skew_factor(self) -> float: ...
    @property
    def sample_s(self) -> float: ...
    @property
    def A(self) -> float: ...
    @property
    def k(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    @property
    def half(self) -> float: ...
    @property
    def skew(self) -> float: ...
    def __init__(
        self,
        *,
        gamma: float = 0.05,
        levels: int,
        window_s: float = 600.0,
        refit_s: float = 5.0,
        sample_s: float = 0.1,
        reach_ticks: float = 35.0,
        spread_factor: float = 1.0,
        skew_factor: float = 1.0,
        q_max: float | None = None,
        soft_bound: bool = False,
    ) -> None: ...

def _samples(owner: str, name: str, seconds: float, sample_s: float) -> int:
    """Return the number of samples in a duration."""
