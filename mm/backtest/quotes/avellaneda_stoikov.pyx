# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes after Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008)."""

from libc.math cimport INFINITY, NAN, expm1, log, log1p

from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.distances cimport Distances, Market

from mm.backtest.quotes.distances import AUTO
from mm.backtest.strategy_defaults import SKEW_SHARE
from mm.errors import UsageError

MODES = ("rolling", "session", "infinite")


cdef double markup(double gamma, double k) noexcept nogil:
    """Return (1/gamma) ln(1 + gamma/k), by its series where gamma/k is tiny."""
    if gamma < 1e-8 * k:
        return 1.0 / k - gamma / (2.0 * k * k)
    return log1p(gamma / k) / gamma


cdef class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, which its own value function does not give.)

    Args:
        gamma: Risk aversion, in 1/(tick·clip), or ``auto``: see ``Distances``. In mode ``infinite`` that takes the
            slope of the reservation price at q = 0.
        skew_share: What ``auto`` solves for.
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: tau in mode ``rolling``; length of the sessions, one after another, in mode ``session``.
        mode: ``rolling``, ``session`` or ``infinite``.
        q_max: Inventory bound in clips: no bid at q >= q_max, no ask at q <= -q_max; ``infinite`` needs it.
        intensity: The fit or schedule behind k; outside its segments nothing is quoted.
        name: As results show it.
    """

    cdef double edge                # the markup of gamma and k, which these are
    cdef double of_gamma, of_k
    cdef bint infinite

    def __init__(
        self,
        *,
        gamma: float | str = AUTO,
        skew_share: float = SKEW_SHARE,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        q_max: float | None = None,
        intensity: Intensity | None = None,
        name: str = "avellaneda_stoikov",
    ) -> None:
        self.infinite = mode == "infinite"
        Distances.__init__(
            self,
            name=name,
            mode=mode,
            modes=MODES,
            k=k,
            A=None,
            sigma=sigma,
            horizon_s=horizon_s,
            q_max=q_max,
            intensity=intensity,
            needs=() if self.infinite else ("sigma",),
            gamma=gamma,
            skew_share=skew_share,
        )
        if self.infinite and q_max is None:
            raise UsageError(f"{name}: mode infinite needs q_max, the inventory bound in clips")
        self.of_gamma = self.of_k = NAN

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double risk = market.gamma * market.sigma * market.sigma * market.tau_s, edge, room
        if market.gamma != self.of_gamma or market.k != self.of_k:
            self.of_gamma, self.of_k, self.edge = market.gamma, market.k, markup(market.gamma, market.k)
        edge = self.edge
        if self.infinite:
            room = (self.q_max + 1.0) * (self.q_max + 1.0) - q * q
            bid[0] = edge - log(1.0 - (1.0 + 2.0 * q) / room) / market.gamma if q < self.q_max else INFINITY
            ask[0] = edge - log(1.0 - (1.0 - 2.0 * q) / room) / market.gamma if q > -self.q_max else INFINITY
            return
        bid[0] = q * risk + 0.5 * risk + edge if q < self.q_max else INFINITY
        ask[0] = -q * risk + 0.5 * risk + edge if q > -self.q_max else INFINITY

    cdef double skew_of(self, const Market* market) noexcept nogil:
        return market.gamma * market.sigma * market.sigma * market.tau_s / markup(market.gamma, market.k)

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        cdef double room = (self.q_max + 1.0) * (self.q_max + 1.0)
        if not self.infinite:
            return Distances.auto_gamma(self, market)
        # At q = 0 a clip moves the price by 2/(gamma (room - 1)), and the half-spread is markup - ln(1 - 1/room)/gamma.
        return market.k * min(expm1(min(2.0 / (self.skew_share * (room - 1.0)) + log1p(-1.0 / room), 1.0)), 1.0)
