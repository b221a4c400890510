# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes after Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008)."""

cimport cython
from libc.math cimport INFINITY, NAN, isnan, log, log1p
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.base cimport QuoteModel, View, Want

from mm.errors import UsageError

MODES = ("rolling", "session", "infinite")


cdef double markup(double gamma, double k) noexcept nogil:
    """Return (1/gamma) ln(1 + gamma/k), by its series where gamma/k is tiny."""
    if gamma < 1e-8 * k:
        return 1.0 / k - gamma / (2.0 * k * k)
    return log1p(gamma / k) / gamma


cdef class AvellanedaStoikov(QuoteModel):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, which its own value function does not give.)

    Args:
        gamma: Risk aversion, in 1/(tick·clip).
        k: Decay of the fill intensity, in 1/tick; None takes it from *intensity* at each instant.
        sigma: Volatility in ticks/√s; None takes the tape's own, estimated from its past.
        horizon_s: tau in mode ``rolling``; length of the sessions, one after another, in mode ``session``.
        mode: ``rolling``, ``session`` or ``infinite``.
        q_max: Inventory bound in clips: no bid at q >= q_max, no ask at q <= -q_max; ``infinite`` needs it.
        intensity: The fit or schedule behind k; outside its segments nothing is quoted.
    """

    cdef readonly double gamma, k, sigma, horizon_s, q_max
    cdef readonly str mode
    cdef Intensity intensity
    cdef double edge                # the markup of *k*
    cdef bint infinite, session

    def __init__(
        self,
        *,
        gamma: float = 0.1,
        k: float | None = None,
        sigma: float | None = None,
        horizon_s: float = 30.0,
        mode: str = "rolling",
        q_max: float | None = None,
        intensity: Intensity | None = None,
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"avellaneda_stoikov: mode is {mode!r}; it must be one of {', '.join(MODES)}")
        if mode == "infinite" and q_max is None:
            raise UsageError("avellaneda_stoikov: mode infinite needs q_max, the inventory bound in clips")
        if k is None and intensity is None:
            raise UsageError("avellaneda_stoikov: k is missing; give it in QUOTE_PARAMS_JSON or by FILL_PARAMS_FILE")
        for name, value in (("gamma", gamma), ("k", k), ("horizon_s", horizon_s), ("q_max", q_max)):
            if value is not None and not 0.0 < value < INFINITY:
                raise UsageError(f"avellaneda_stoikov: {name} is {value}; it must be above 0")
        if sigma is not None and not 0.0 <= sigma < INFINITY:
            raise UsageError(f"avellaneda_stoikov: sigma is {sigma}; it must be 0 or more")
        self.gamma = gamma
        self.k = NAN if k is None else k
        self.edge = NAN if k is None else markup(gamma, k)
        self.sigma = NAN if sigma is None else sigma
        self.horizon_s = horizon_s
        self.mode = mode
        self.q_max = INFINITY if q_max is None else q_max
        self.intensity = intensity
        self.infinite = mode == "infinite"
        self.name = "avellaneda_stoikov"
        self.session = mode == "session"
        self.looks = BEST_PRICES
        self.timeless = k is not None and not self.session and (sigma is not None or self.infinite)

    def distances(self, q: float, tau_s: float, sigma: float, k: float) -> tuple[float, float]:
        """Return the bare formula's distances of bid and ask from the mid, in ticks; infinite is no quote."""
        cdef double bid, ask
        self.formula(q, tau_s, sigma, k, &bid, &ask)
        return bid, ask

    @cython.final
    cdef inline void formula(self, double q, double tau_s, double sigma, double k, double* bid, double* ask) noexcept nogil:
        cdef double edge = self.edge if k == self.k else markup(self.gamma, k)
        cdef double risk = self.gamma * sigma * sigma * tau_s
        cdef double room
        if self.infinite:
            room = (self.q_max + 1.0) * (self.q_max + 1.0) - q * q
            bid[0] = edge - log(1.0 - (1.0 + 2.0 * q) / room) / self.gamma if q < self.q_max else INFINITY
            ask[0] = edge - log(1.0 - (1.0 - 2.0 * q) / room) / self.gamma if q > -self.q_max else INFINITY
            return
        bid[0] = q * risk + 0.5 * risk + edge if q < self.q_max else INFINITY
        ask[0] = -q * risk + 0.5 * risk + edge if q > -self.q_max else INFINITY

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        cdef double k = self.k, tau_s = self.horizon_s, mid, bid, ask
        cdef int64_t piece, horizon_us
        if isnan(k):
            piece = self.intensity.find(view.top.us)
            if piece >= self.intensity.count or self.intensity.pieces[piece].start_us > view.top.us:
                return 0
            k = self.intensity.pieces[piece].k
        if isnan(sigma) and not self.infinite:
            return 0
        if self.session:
            horizon_us = <int64_t> (self.horizon_s * 1e6)
            tau_s -= 1e-6 * <double> ((view.top.us - view.begun_us) % horizon_us)
        mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        self.formula(<double> view.inventory_lots / <double> view.quote_lots, tau_s, sigma, k, &bid, &ask)
        want.bid_ticks = mid - bid if bid < INFINITY else NAN
        want.ask_ticks = mid + ask if ask < INFINITY else NAN
        return 0
