# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Each side where a fill's probability times what it earns is largest."""

from libc.math cimport INFINITY, NAN, exp, expm1, isnan, log
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.fills.intensity cimport Intensity, Piece
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held

from mm.errors import UsageError


cdef double best_markup(double a) noexcept nogil:
    """Return the u that maximises ``(1 - exp(-x))·u`` with ``x = exp(a - u)``.

    There u = (exp(x) - 1)/x. The difference of the two sides is concave and rising in u, so Newton's steps from a
    point left of the root come to it without passing it; where a is large the root has x below 2·ln(1 + a) + 1.
    """
    cdef double u = 1.0, x, mean, step
    cdef int _
    if a > 0.0:
        u = max(1.0, a - log(2.0 * log(1.0 + a) + 1.0))
    for _ in range(100):
        x = exp(a - u)
        mean = expm1(x) / x if x > 1e-12 else 1.0
        step = (mean - u) / (1.0 + exp(x) - mean)
        u += step
        if step <= 1e-14 * u:
            break
    return u


cdef class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon, delta minus costs
    what the fill then earns. Costs are ``adverse_ticks + fee_ticks``, and ``skew_ticks·q`` more for a bid, less for an
    ask, q being the inventory in clips. For a short horizon delta tends to costs + 1/k.

    Args:
        A: Fills per second at the mid; None takes each side's own from *intensity* at each instant.
        k: Decay of the fill intensity, in 1/tick; None likewise.
        horizon_s: How long a quote is given to fill.
        adverse_ticks: What the mid moves against us after a fill.
        fee_ticks: The fee on a fill, as ticks of price: the rate times the price over the tick.
        skew_ticks: How much less one more clip is worth for each clip held.
        q_max: No bid at an inventory of so many clips or more, no ask at minus that or less.
        intensity: The fit or schedule behind A and k; outside its segments nothing is quoted.
    """

    cdef readonly double A, k, horizon_s, adverse_ticks, fee_ticks, skew_ticks, q_max
    cdef Intensity intensity

    def __init__(
        self,
        *,
        A: float | None = None,
        k: float | None = None,
        horizon_s: float = 1.0,
        adverse_ticks: float = 0.0,
        fee_ticks: float = 0.0,
        skew_ticks: float = 0.0,
        q_max: float | None = None,
        intensity: Intensity | None = None,
    ) -> None:
        for name, value in (("A", A), ("k", k)):
            if value is None and intensity is None:
                raise UsageError(f"expected_value: {name} is missing; give it in QUOTE_PARAMS_JSON or by FILL_PARAMS_FILE")
        for name, value in (("A", A), ("k", k), ("horizon_s", horizon_s), ("q_max", q_max)):
            if value is not None and not 0.0 < value < INFINITY:
                raise UsageError(f"expected_value: {name} is {value}; it must be above 0")
        for name, value in (("adverse_ticks", adverse_ticks), ("fee_ticks", fee_ticks), ("skew_ticks", skew_ticks)):
            if not -1e9 < value < 1e9:
                raise UsageError(f"expected_value: {name} is {value}; it must be a number of ticks")
        if skew_ticks < 0.0:
            raise UsageError(f"expected_value: skew_ticks is {skew_ticks}; it must be 0 or more")
        self.A, self.k = NAN if A is None else A, NAN if k is None else k
        self.horizon_s, self.adverse_ticks, self.fee_ticks = horizon_s, adverse_ticks, fee_ticks
        self.skew_ticks, self.q_max = skew_ticks, INFINITY if q_max is None else q_max
        self.intensity = intensity
        self.name = "expected_value"
        self.looks, self.timeless = BEST_PRICES, A is not None and k is not None

    cdef inline double distance(self, double costs, double A, double k) noexcept nogil:
        """Return the best distance from the mid, NaN where nothing is ever filled."""
        A, k = A if isnan(self.A) else self.A, k if isnan(self.k) else self.k
        return costs + best_markup(log(A * self.horizon_s) - k * costs) / k if A > 0.0 else NAN

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        cdef double q = clips_held(view)
        cdef double costs = self.adverse_ticks + self.fee_ticks, skew = self.skew_ticks * q
        cdef Piece piece = Piece(0, 0, self.A, self.k, self.A, self.k, self.k, NAN)
        cdef int64_t place
        if isnan(self.A) or isnan(self.k):
            place = self.intensity.find(view.top.us)
            if place >= self.intensity.count or self.intensity.pieces[place].start_us > view.top.us:
                return 0
            piece = self.intensity.pieces[place]
        if q < self.q_max:
            want.bid_ticks = mid - self.distance(costs + skew, piece.A_bid, piece.k_bid)
        if q > -self.q_max:
            want.ask_ticks = mid + self.distance(costs - skew, piece.A_ask, piece.k_ask)
        return 0
