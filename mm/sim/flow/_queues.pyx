# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Random draws, and the order flow of the queue markets: limit orders, market orders and cancellations, independent of each other.

R. Cont, S. Stoikov, R. Talreja: A stochastic model for order book dynamics, Operations Research 58 (2010); with the
sizes and the finite reach of E. Smith, J. D. Farmer, L. Gillemot, S. Krishnamurthy, Quantitative Finance 3 (2003).

- Limit orders of each side arrive at each distance i = 1, 2, … ticks from the other side's best price, each distance
  with its own rate; if the other side is empty, its last best price is used. They never trade on arrival.
- Market orders of each side arrive at a constant rate; an unfilled remainder expires.
- Every resting order is cancelled at the same rate, independent of its price and its age.
- Sizes are geometric, at least 1 lot.
- In the opening book, the number of orders at each distance is a Poisson draw with the mean arrivals during an order's
  mean lifetime; at the best price it is at least one.

All waiting times are exponential: the next event is drawn at the total rate, and then its kind.
"""

from libc.math cimport exp, fabs, floor, lgamma, log, log1p, sqrt
from libc.stdint cimport int64_t, uint64_t

from mm.sim.matching._core cimport LIMIT, MARKET, STP_NONE, Matching

cdef int64_t LIMIT_ACCOUNT = 1000
cdef int64_t MARKET_ACCOUNT = 1001
cdef double US_PER_S = 1000000.0
cdef double BELOW_ONE = 0.9999999999999999

# splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): the state is incremented by an
# odd constant, so that it does not repeat within 2**64 draws, and each draw is a hash of the state.

cdef struct Stream:
    uint64_t state


cdef inline double unit(Stream* draws) noexcept nogil:
    """Return a uniform draw between 0 and 1, both excluded."""
    cdef uint64_t z
    draws.state += <uint64_t> 0x9E3779B97F4A7C15
    z = draws.state
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    z = z ^ (z >> 31)
    return min((<double> (z >> 11) + 0.5) / 9007199254740992.0, BELOW_ONE)  # the largest z would be rounded to 1


cdef inline double exponential(Stream* draws) noexcept nogil:
    """Return an exponential draw with mean 1."""
    return -log(unit(draws))


cdef inline int64_t below(Stream* draws, int64_t count) noexcept nogil:
    """From 0 … count - 1; *count* is below 2**50."""
    return <int64_t> (unit(draws) * <double> count)


cdef inline int64_t geometric(Stream* draws, double mean) noexcept nogil:
    """From 1, 2, …; 1 if *mean* is at most 1."""
    if mean <= 1.0:
        return 1
    return 1 + <int64_t> (log(unit(draws)) / log1p(-1.0 / mean))


cdef inline int64_t poisson(Stream* draws, double mean) noexcept nogil:
    """Return a Poisson draw, by inversion if the mean is below 10, else by transformed rejection.

    W. Hörmann, The transformed rejection method for generating Poisson random variables, 1993 (PTRS).
    """
    cdef double u, v, us, a, b, log_inverse_alpha, v_r, log_mean, term, total
    cdef int64_t k
    if mean < 10.0:
        u = unit(draws)
        k = 0
        total = term = exp(-mean)
        while u > total and term > 1e-300:
            k += 1
            term *= mean / k
            total += term
        return k
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = log(1.1239 + 1.1328 / (b - 3.4))
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = log(mean)
    while True:
        u = unit(draws) - 0.5
        v = unit(draws)
        us = 0.5 - fabs(u)
        k = <int64_t> floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if log(v) + log_inverse_alpha - log(a / (us * us) + b) <= -mean + k * log_mean - lgamma(k + 1.0):
            return k


cdef class Draws:
    """The random draws of one purpose.

    Args:
        key: Its random key, 64 bits.
    """

    cdef Stream stream

    def __init__(self, key: int) -> None:
        self.stream.state = key

    def unit(self) -> float:
        return unit(&self.stream)

    def exponential(self) -> float:
        return exponential(&self.stream)

    def below(self, count: int) -> int:
        """From 0 … count - 1; *count* is below 2**50."""
        return below(&self.stream, count)

    def move(self, mean: float) -> int:
        """Return the difference of two Poisson draws with a *mean*."""
        cdef int64_t up = poisson(&self.stream, mean)
        return up - poisson(&self.stream, mean)


cdef class QueueFlow:
    """One session of a queue market.

    Args:
        matching: The matching engine, with an empty book.
        clock: Opening time, and start time of the order flow (µs).
        limits: float64[n]: rate of limit orders per side, cumulative over distances (1/s).
        rates: Rates of market orders per side (1/s) and of cancellations of each resting order (1/s).
        lots: Mean size of a limit order and of a market order, lots.
        best_bid: The best bid at the opening (ticks); the best ask is one tick above.
        key: Function that returns the random key for the draws of a purpose.
    """

    cdef Matching matching
    cdef const double[::1] limits
    cdef double market_rate, cancel_rate, limit_lots, market_lots
    cdef int64_t open_us, start_us, next_us
    cdef double now_s           # time of the next event, since the start of the flow
    cdef double total           # total rate at which the next event was drawn
    cdef int64_t resting        # number of resting orders of the flow when the next event was drawn
    cdef int64_t[2] last_best   # of the asks, of the bids
    cdef bint opened
    cdef Stream times, kinds, placed, taken, cancelled
    cdef int64_t[2] limit_count, market_count, cancel_count     # sells, buys

    def __init__(
        self, matching: Matching, clock: tuple[int, int], limits: NDArray[np.float64], rates: tuple[float, float],
        lots: tuple[int, int], best_bid: int, key: Callable[[str], int],
    ) -> None:
        self.matching = matching
        self.open_us, self.start_us = clock
        self.limits = limits
        self.market_rate, self.cancel_rate = rates
        self.limit_lots, self.market_lots = lots
        self.last_best[1] = best_bid
        self.last_best[0] = best_bid + 1
        self.times.state, self.kinds.state = key("times"), key("kinds")
        self.placed.state, self.taken.state, self.cancelled.state = key("limits"), key("markets"), key("cancels")

    def advance(self, until_us: int) -> None:
        self.play(until_us)

    def counts(self) -> dict[str, object]:
        """Return the number of orders of each kind so far, by the side on which they rest or that they hit."""
        return {
            "limit_orders": {"bid": self.limit_count[1], "ask": self.limit_count[0]},
            "market_orders": {"bid": self.market_count[0], "ask": self.market_count[1]},
            "cancellations": {"bid": self.cancel_count[1], "ask": self.cancel_count[0]},
        }

    cdef int play(self, int64_t until_us) except -1:
        if not self.opened:
            if until_us < self.open_us:
                return 0
            self.opened = True
            self.open_book()
            self.draw_next()
        while self.next_us <= until_us:
            self.send_next()
            self.draw_next()
        return 0

    cdef int open_book(self) except -1 nogil:
        cdef int64_t distance, orders, i
        cdef int side
        for distance in range(1, self.limits.shape[0] + 1):
            for side in range(1, -2, -2):
                orders = poisson(&self.placed, self.rate_at(distance) / self.cancel_rate)
                for i in range(max(orders, 1 if distance == 1 else 0)):
                    self.rest(self.open_us, side, self.last_best[side < 0] - side * distance)
        return 0

    cdef double rate_at(self, int64_t distance) noexcept nogil:
        return self.limits[distance - 1] - (self.limits[distance - 2] if distance > 1 else 0.0)

    cdef void draw_next(self) noexcept nogil:
        self.resting = self.matching.live(LIMIT_ACCOUNT)
        self.total = 2.0 * (self.limits[self.limits.shape[0] - 1] + self.market_rate) + self.cancel_rate * self.resting
        self.now_s += exponential(&self.times) / self.total
        self.next_us = self.start_us + <int64_t> (self.now_s * US_PER_S)

    cdef int send_next(self) except -1 nogil:
        cdef double limit_rate = self.limits[self.limits.shape[0] - 1]
        cdef double drawn = unit(&self.kinds) * self.total
        if drawn < 2.0 * limit_rate:
            return self.place_limit(1 if drawn < limit_rate else -1)
        drawn -= 2.0 * limit_rate
        if drawn < 2.0 * self.market_rate:
            return self.send_market(1 if drawn < self.market_rate else -1)
        return self.cancel_one()

    cdef int place_limit(self, int side) except -1 nogil:
        cdef double drawn = unit(&self.placed) * self.limits[self.limits.shape[0] - 1]
        cdef int64_t low = 0, high = self.limits.shape[0] - 1, middle
        while low < high:
            middle = (low + high) // 2
            if self.limits[middle] > drawn:
                high = middle
            else:
                low = middle + 1
        self.limit_count[side > 0] += 1
        return self.rest(self.next_us, side, self.opposite_best(side) - side * (low + 1))

    cdef int64_t opposite_best(self, int side) noexcept nogil:
        cdef int64_t ticks = self.matching.best_ticks(-side)
        if ticks:
            self.last_best[side < 0] = ticks
        return self.last_best[side < 0]

    cdef int rest(self, int64_t us, int side, int64_t ticks) except -1 nogil:
        cdef int64_t lots = geometric(&self.placed, self.limit_lots)
        if ticks > 0:
            self.matching.place(us, LIMIT_ACCOUNT, side, ticks, lots, LIMIT, STP_NONE)
        return 0

    cdef int send_market(self, int side) except -1 nogil:
        self.market_count[side > 0] += 1
        self.opposite_best(side)
        self.matching.place(
            self.next_us, MARKET_ACCOUNT, side, 0, geometric(&self.taken, self.market_lots), MARKET, STP_NONE
        )
        return 0

    cdef int cancel_one(self) except -1 nogil:
        # A user may have taken orders since the event was drawn: an index beyond the remaining orders cancels nothing.
        cdef int64_t nth = below(&self.cancelled, self.resting), order_id
        if nth < self.matching.live(LIMIT_ACCOUNT):
            order_id = self.matching.live_order(LIMIT_ACCOUNT, nth)
            self.cancel_count[self.matching.side_of(self.matching.resting_order(order_id)) > 0] += 1
            self.matching.withdraw(self.next_us, order_id)
        return 0
