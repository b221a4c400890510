# Generated from mm/backtest/quotes/bounded.pyx by `make stubs`; edit that file instead.

"""Optimal quotes with a bounded inventory, from the values of the inventory levels.

- Guéant, Lehalle and Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013)
- Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862)
- Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015), chapter 10
"""

from mm.backtest.fills.intensity import Intensity
from mm.backtest.parameters import Declaration
from mm.backtest.quotes.distances import Distances

DEFAULT_BOUND: float

class Bounded(Distances):
    """Base of models that quote by an edge and the steps of ln v between inventory levels: override ``problem``.

    With u the inventory in orders, the bid's distance is edge - ticks·(ln v(u + 1) - ln v(u)) and the ask's is
    edge + ticks·(ln v(u) - ln v(u - 1)). Levels are whole orders; between two of them, after a partial fill, distances
    are interpolated linearly, and beyond the last level of a side they are constant.

    A sigma from the tape changes every second, and in a session the time left changes at every requote. The steps of a
    requote are then interpolated, in ln rho and ln time, between 8 neighbouring values of each (32 and 16 per octave,
    solved when first needed). If the result of the inner 6 differs by more than 1e-8 of a step, the exact problem is
    solved; so the relative error stays below 1e-7, and is usually below 1e-12. ``distances`` and constant parameters
    are solved without interpolation.
    """

class Gueant(Bounded):
    """Optimal quotes for orders of *delta* clips, with two kinds of risk aversion.

    *gamma* is the aversion to inventory risk, gamma·sigma²·q²/2 per second, *xi* that to the risk of fills: xi = gamma
    is an exponential utility, xi = 0 the mean less that running penalty. With n = q/delta, x = xi·delta/k and
    eta = A·(1 + x)^-(1 + 1/x)·exp(-k·impact/2), v solves v' = -M v, M tridiagonal with
    k·gamma·sigma²·delta·n²/2 - k·drift·n on the diagonal and -eta beside it, for |q| <= q_max, from
    v = exp(-k·impact·n²/2). The bid's distance is ln(1 + x)/(xi·delta) + impact/2 + (1/k)·ln(v(n)/v(n + 1)), the ask's
    the same with v(n - 1). Modes:

    - ``exact``: v after the time left; ``session``: the same, with a decreasing time left.
    - ``stationary``: v for an infinite horizon, M's eigenvector of the smallest eigenvalue.
    - ``closed_form``: Guéant's approximation (equations 4.6, 4.7): with S = sqrt(gamma·sigma²·delta/(2·k·eta)) the
      last term is (n + 1/2)·S for the bid and -(n - 1/2)·S for the ask; drift lowers n by drift/(gamma·sigma²·delta).

    With a gamma of ``auto`` skew and half-spread are those of ``closed_form`` in every mode.
    """

    declared: Declaration
    @property
    def xi(self) -> float: ...
    @property
    def delta(self) -> float: ...
    @property
    def drift(self) -> float: ...
    @property
    def impact(self) -> float: ...
    def __init__(
        self,
        *,
        mode: str = "closed_form",
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        xi: float | None = None,
        delta: float = 1.0,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        drift: float = 0.0,
        impact: float = 0.0,
        intensity: Intensity | None = None,
    ) -> None: ...

class Glft(Gueant):
    """Optimal quotes for an exponential utility, orders of one clip and a bounded inventory.

    The case xi = gamma, delta = 1 of ``Gueant``, with the same formulas and modes: alpha = k·gamma·sigma²/2,
    eta = A·(1 + gamma/k)^-(1 + k/gamma), and a distance of (1/gamma)·ln(1 + gamma/k) + (1/k)·ln(v(q)/v(q + 1)).
    """

    declared: Declaration
    def __init__(
        self,
        *,
        mode: str = "stationary",
        gamma: float | str = "auto",
        skew_share: float = 0.1,
        k: float | None = None,
        A: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        drift: float = 0.0,
        impact: float = 0.0,
        intensity: Intensity | None = None,
    ) -> None: ...

class CarteaJaimungal(Bounded):
    """Optimal quotes for expected wealth less a running and a final penalty on inventory.

    It maximises the mean of cash + q·(mid - alpha·q) at the end, less phi·q² per second until then; the mid may be any
    martingale. With q in clips, omega solves omega' = B omega, B tridiagonal:
    -phi·k·q² on the diagonal, A/e beside it, for |q| <= q_max, from omega = exp(-alpha·k·q²). The bid's distance is
    1/k + (1/k)·ln(omega(q)/omega(q + 1)), the ask's the same with omega(q - 1). Modes:

    - ``exact``: omega after the time left; ``session``: the same, with a decreasing time left.
    - ``stationary``: omega for an infinite horizon, B's eigenvector of the largest eigenvalue; alpha has no effect.
    """

    declared: Declaration
    @property
    def phi(self) -> float: ...
    @property
    def alpha(self) -> float: ...
    def __init__(
        self,
        *,
        mode: str = "exact",
        phi: float,
        alpha: float = 0.0,
        k: float | None = None,
        A: float | None = None,
        horizon_s: float = 30.0,
        q_max: float | None = None,
        intensity: Intensity | None = None,
    ) -> None: ...
