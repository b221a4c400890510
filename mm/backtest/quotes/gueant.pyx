# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes after Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862)."""

from libc.math cimport INFINITY, NAN, exp, log1p, sqrt

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.bounded cimport Bounded, Problem
from mm.backtest.quotes.distances cimport Market

from mm.backtest.quotes.distances import AUTO
from mm.backtest.strategy_defaults import SKEW_SHARE
from mm.errors import UsageError

MODES = ("stationary", "exact", "session", "closed_form")


cdef class Gueant(Bounded):
    """Optimal quotes for orders of *delta* clips and two attitudes to risk.

    *gamma* is the price of inventory risk, gamma·sigma²·q²/2 per second, and *xi* that of the risk of fills: xi = gamma
    is an exponential utility, xi = 0 a mean less that running variance. With n = q/delta, x = xi·delta/k and
    eta = A·(1 + x)^-(1 + 1/x)·exp(-k·impact/2), v solves v' = -M v, M tridiagonal with
    k·gamma·sigma²·delta·n²/2 - k·drift·n on the diagonal and -eta beside it, for |q| <= q_max, from
    v = exp(-k·impact·n²/2). The bid's distance is ln(1 + x)/(xi·delta) + impact/2 + (1/k)·ln(v(n)/v(n + 1)), the ask's
    the same with v(n - 1). Modes:

    - ``exact``: v after the time left; ``session``: the same, with a time left that runs down.
    - ``stationary``: v for a horizon far away, M's eigenvector of the smallest eigenvalue.
    - ``closed_form``: his approximation of it (equations 4.6, 4.7): with S = sqrt(gamma·sigma²·delta/(2·k·eta)) the
      last term is (n + 1/2)·S for the bid and -(n - 1/2)·S for the ask; drift takes drift/(gamma·sigma²·delta) from n.

    Args:
        mode: ``closed_form``, ``stationary``, ``exact`` or ``session``.
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``: see ``Distances``. Skew and half-spread are then those of
            ``closed_form``, in every mode.
        skew_share: What ``auto`` solves for.
        xi: Aversion to the risk of fills, in 1/(tick·clip); None is *gamma*.
        delta: The order size in clips; orders are sent in this size, to the nearest lot.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        A: Fills per second of an order at the mid; None takes it from *intensity*.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: The time left in mode ``exact``, the length of a session in mode ``session``.
        q_max: The inventory bound in clips, a multiple of *delta* but for ``closed_form``; None is 30 orders, and in
            ``closed_form`` none.
        drift: Of the mid, in ticks per second.
        impact: How far a fill of ours moves the mid against us, in ticks.
        intensity: The fit or schedule behind k and A; outside its segments nothing is quoted.
        name: As results show it.
    """

    def __init__(
        self,
        *,
        mode: str = "closed_form",
        gamma: float | str = AUTO,
        skew_share: float = SKEW_SHARE,
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
        name: str = "gueant",
    ) -> None:
        super().__init__(
            name=name,
            mode=mode,
            modes=MODES,
            k=k,
            A=A,
            sigma=sigma,
            horizon_s=horizon_s,
            q_max=q_max,
            intensity=intensity,
            needs=("A", "sigma"),
            gamma=gamma,
            skew_share=skew_share,
        )
        self.above_zero(delta=delta)
        self.not_below_zero(xi=xi, impact=impact)
        if not -INFINITY < drift < INFINITY:
            raise UsageError(f"{name}: drift is {drift}; it must be a number of ticks per second")
        self.own_xi, self.xi = xi is not None, self.gamma if xi is None else xi
        self.delta = self.clips = delta
        self.drift, self.impact = drift, impact
        self.closed, self.forever = mode == "closed_form", mode == "stationary"
        self.of_k = self.of_A = self.of_gamma = NAN
        if not self.closed:
            self.begin(self.q_max)

    cdef void know(self, const Market* market) noexcept nogil:
        """Take note of k, A and gamma."""
        cdef double k = market.k, A = market.A
        cdef double x = (self.xi if self.own_xi else market.gamma) * self.delta / k, share = log1p(x) / x if x > 0.0 else 1.0
        cdef double less = (1.0 + x) * share + 0.5 * k * self.impact    # eta is A exp(-less)
        self.of_k, self.of_A, self.of_gamma = k, A, market.gamma
        self.edge = share / k + 0.5 * self.impact
        self.eta = A * exp(-less)
        self.risk = 0.5 * k * market.gamma * self.delta / A * exp(less)

    cdef inline void note(self, const Market* market) noexcept nogil:
        if market.k != self.of_k or market.A != self.of_A or market.gamma != self.of_gamma:
            self.know(market)

    cdef double skew_of(self, const Market* market) noexcept nogil:
        self.know(market)
        return sqrt(self.risk) * market.sigma / market.k / self.edge

    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil:
        self.note(market)
        posed.rho = self.risk * market.sigma * market.sigma
        posed.tilt = market.k * self.drift / self.eta if self.drift else 0.0
        posed.time = INFINITY if self.forever else self.eta * market.tau_s
        posed.bend = 0.0 if self.forever else 0.5 * market.k * self.impact
        posed.edge, posed.ticks = self.edge, 1.0 / market.k

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double slope, n
        if not self.closed:
            Bounded.formula(self, q, market, bid, ask)
            return
        self.note(market)
        slope = sqrt(self.risk) * market.sigma / market.k
        n = q / self.delta
        if self.drift:
            n -= self.drift / (market.gamma * market.sigma * market.sigma * self.delta)
        bid[0] = self.edge + (n + 0.5) * slope if q < self.q_max else INFINITY
        ask[0] = self.edge - (n - 0.5) * slope if q > -self.q_max else INFINITY

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        if self.closed:
            self.formula(q, market, bid, ask)
        else:
            Bounded.often(self, q, market, bid, ask)
