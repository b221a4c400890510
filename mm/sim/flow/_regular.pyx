# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The order flow of the regular markets: a book with a level at every tick around a random-walk mid, and sweeps.

- At the session's opening a maker quotes every level, one order each, with a quantity between half and one and a half
  times the mean. At the first depth message it replaces its orders at both touches, so that frames start with the flow.
- The mid is constant between depth messages. At each it moves by a whole number of ticks: the difference of two Poisson
  draws, whose variance is exactly sigma² times the step. The maker first cancels the levels outside its new book and
  then quotes the new ones; a user's order that the mid has passed trades with the maker.
- Orders of each aggressor side arrive spontaneously as a Poisson process of rate A, and each that would reach the touch
  of an undisturbed book excites further ones, on its side and on the other. Trading orders excite, so trades form a
  Hawkes process: its kernels are own · beta · exp(-beta t) and cross · beta · exp(-beta t). A share p of the orders
  reaches the touch; an order that does excites own / p and cross / p orders, of which own and cross trade. The process
  begins at its mean rate.
- The reach of each order past the mid is exponential with rate k. It is an IOC order at the last price within its
  reach, for the whole quantity before that price and a part of the quantity at it, or for one level if that is more. So
  orders that trade at an on-grid distance d from the mid arrive at exactly the rate A·exp(-k·d); an order that does not
  reach the touch expires.
- An order waits for the next millisecond without an order of its side, and arrives in the middle of it: all prints of
  one side and millisecond belong to one order, and no order arrives at the time of a depth message.
- The maker replaces levels taken by a sweep at once, and levels taken by a user at the next depth message.
"""

from libc.math cimport INFINITY, ceil, exp, floor, log
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.sim.flow._draws cimport Draws, below, exponential, poisson, unit
from mm.sim.matching._core cimport IOC, LIMIT, STP_NONE, Matching, Order

from mm.errors import UsageError

cdef int64_t MAKER_ACCOUNT = 1000
cdef int64_t TAKER_ACCOUNT = 1001
cdef int64_t US_PER_MS = 1000
cdef int64_t US_PER_S = 1000000
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF

cdef struct Quote:              # the maker's order at one price
    int64_t id
    int64_t lots                # quantity when it was sent

cdef struct Arrivals:           # the orders of one aggressor side
    Draws times
    Draws reach
    double own_s                # next spontaneous order; this and all `_s` times: seconds since the flow's start
    int64_t law                 # index of the law at `own_s`
    double excited_s            # next excited order
    double excitation           # rate of excited orders at `since_s`, 1/s
    double since_s
    double reaching             # share of the orders that reach the touch
    int64_t last_ms             # millisecond of the last order
    int64_t next_us             # time of the next order
    bint reached                # whether the last order reached the touch
    int64_t sent
    int64_t sweeps              # orders that traded
    int64_t at_edge             # orders that reached past the book


cdef class RegularFlow:
    """One session of a regular market.

    Args:
        matching: The matching engine, with an empty book.
        clock: Times of the opening and of the first depth message (µs), and the time between two depth messages (µs).
        book: The best bid (ticks), the spread (ticks), levels per side, and their mean quantity (lots).
        laws: float64[n, 6], ascending in the first column: start of the law (s after the first depth message), sigma
            (ticks/√s), A (1/s) and k (1/tick) of the orders that hit bids, A and k of those that hit asks. One law if
            there is an excitation.
        excitation: Number of orders that an order excites on its own and on the other side, and beta (1/s).
        key: Function that returns the random key for the draws of a purpose.
    """

    cdef Matching matching
    cdef const double[:, ::1] laws
    cdef int64_t open_us, start_us, step_us, next_step_us
    cdef int64_t best_bid, spread, levels, least_lots, most_lots
    cdef double own, cross, beta
    cdef int64_t mid_law
    cdef bint opened
    cdef Quote* quotes[2]       # asks, bids; the index of a price is its remainder modulo `levels`
    cdef Arrivals[2] arrivals   # sellers, buyers
    cdef Draws mid, quantities

    def __init__(
        self, matching: Matching, clock: tuple[int, int, int], book: tuple[int, int, int, int],
        laws: NDArray[np.float64], excitation: tuple[float, float, float], key: Callable[[str], int],
    ) -> None:
        cdef int i
        self.matching = matching
        self.open_us, self.start_us, self.step_us = clock
        self.next_step_us = self.start_us
        self.best_bid, self.spread, self.levels, mean_lots = book
        self.least_lots = (mean_lots + 1) // 2
        self.most_lots = mean_lots + mean_lots // 2
        self.laws = laws
        self.own, self.cross, self.beta = excitation
        self.mid.state = key("mid")
        self.quantities.state = key("quantities")
        for i in range(2):
            self.quotes[i] = <Quote*> calloc(self.levels, sizeof(Quote))
            if self.quotes[i] is NULL:
                raise MemoryError(f"no memory for a book of {self.levels} levels")
            self.arrivals[i].times.state = key(f"orders {2 * i - 1}")
            self.arrivals[i].reach.state = key(f"reach {2 * i - 1}")
            self.begin(i)

    def __dealloc__(self) -> None:
        free(self.quotes[0])
        free(self.quotes[1])

    def advance(self, until_us: int) -> None:
        """Send all orders up to and including *until_us* that were not sent yet.

        Raises:
            UsageError: If the price falls so far that the book would need prices below one tick.
        """
        cdef int64_t until = until_us
        self.matching.hold()
        try:
            with nogil:
                self.play(until)
        finally:
            self.matching.release()

    def counts(self) -> dict[str, object]:
        """Return the number of orders so far, of orders that traded, and of orders that reached past the book."""
        sellers, buyers = self.arrivals[0], self.arrivals[1]
        return {
            "orders": {"bid": sellers.sent, "ask": buyers.sent},
            "sweeps": {"bid": sellers.sweeps, "ask": buyers.sweeps},
            "sweeps_at_edge": sellers.at_edge + buyers.at_edge,
        }

    cdef int play(self, int64_t until_us) except -1 nogil:
        cdef Arrivals* first
        if not self.opened:
            if until_us < self.open_us:
                return 0
            self.opened = True
            self.fill(self.open_us)
        while True:
            first = &self.arrivals[self.arrivals[1].next_us <= self.arrivals[0].next_us]
            if min(first.next_us, self.next_step_us) > until_us:
                return 0
            if self.next_step_us < first.next_us:
                self.step(self.next_step_us)
                self.next_step_us += self.step_us
            else:
                self.send(first.next_us, 1 if first is &self.arrivals[1] else -1)
                self.draw_next(first)

    # the mid and the maker's book

    cdef int64_t best(self, int side) noexcept nogil:
        return self.best_bid if side > 0 else self.best_bid + self.spread

    cdef int64_t worst(self, int side) noexcept nogil:
        return self.best_bid - self.levels + 1 if side > 0 else self.best_bid + self.spread + self.levels - 1

    cdef Quote* quote_at(self, int side, int64_t ticks) noexcept nogil:
        return self.quotes[side > 0] + ticks % self.levels

    cdef int quote(self, int64_t us, int side, int64_t ticks) except -1 nogil:
        cdef Quote* quote = self.quote_at(side, ticks)
        quote.lots = self.least_lots + below(&self.quantities, self.most_lots - self.least_lots + 1)
        quote.id = self.matching.place(us, MAKER_ACCOUNT, side, ticks, quote.lots, LIMIT, STP_NONE)
        return 0

    cdef int requote(self, int64_t us, int side, int64_t ticks) except -1 nogil:
        self.matching.withdraw(us, self.quote_at(side, ticks).id)
        return self.quote(us, side, ticks)

    cdef int fill(self, int64_t us) except -1 nogil:
        cdef int64_t depth
        cdef int side
        self.check_floor()
        for side in range(1, -2, -2):
            for depth in range(self.levels):
                self.quote(us, side, self.best(side) - side * depth)
        return 0

    cdef int step(self, int64_t us) except -1 nogil:
        cdef int64_t shift
        cdef double half_variance
        cdef int side
        while self.mid_law + 1 < self.laws.shape[0] and self.law_us(self.mid_law + 1) < us:
            self.mid_law += 1
        half_variance = self.laws[self.mid_law, 1] ** 2 * self.step_us / US_PER_S / 2
        shift = poisson(&self.mid, half_variance)
        shift -= poisson(&self.mid, half_variance)
        if shift:
            self.move(us, shift)
        for side in range(1, -2, -2):
            if us == self.start_us:
                self.requote(us, side, self.best(side))
            self.restore(us, side)
        return 0

    cdef int64_t law_us(self, int64_t law) noexcept nogil:
        return self.start_us + <int64_t> (self.laws[law, 0] * US_PER_S + 0.5)

    cdef int64_t from_end(self, int side, bint best, int64_t depth) noexcept nogil:
        """Return the price of the level that is *depth* levels from the best or from the worst level."""
        return self.best(side) - side * depth if best else self.worst(side) + side * depth

    cdef int move(self, int64_t us, int64_t shift) except -1 nogil:
        """Move the mid: if it rises, asks lose their best levels and get new worst ones, bids the reverse."""
        cdef int64_t count = min(shift if shift > 0 else -shift, self.levels), depth
        cdef int side, toward = 1 if shift > 0 else -1
        for side in range(1, -2, -2):
            for depth in range(count):
                self.matching.withdraw(us, self.quote_at(side, self.from_end(side, side != toward, depth)).id)
        self.best_bid += shift
        self.check_floor()
        for side in range(1, -2, -2):
            for depth in range(count):
                self.quote(us, side, self.from_end(side, side == toward, depth))
        return 0

    cdef int check_floor(self) except -1 nogil:
        if self.worst(1) < 1:
            with gil:
                raise UsageError(
                    f"--start-price (START_PRICE) is too close to zero: the best bid falls to {self.best_bid} ticks, "
                    f"and the book is {self.levels} levels deep; raise it, or lower --tick-size or the volatility"
                )
        return 0

    cdef int restore(self, int64_t us, int side) except -1 nogil:
        """Replace levels taken by users, from the touch to the first complete level."""
        cdef int64_t depth, ticks
        cdef const Order* order
        for depth in range(self.levels):
            ticks = self.best(side) - side * depth
            order = self.matching.resting_order(self.quote_at(side, ticks).id)
            if order is not NULL and order.lots == self.quote_at(side, ticks).lots:
                break
            self.requote(us, side, ticks)
        return 0

    # the sweeping orders

    cdef void begin(self, int i) noexcept:
        cdef Arrivals* arrivals = &self.arrivals[i]
        cdef double branching = self.own + self.cross
        arrivals.last_ms = -1
        arrivals.reaching = exp(-self.laws[0, 3 + 2 * i] * self.spread / 2.0)
        arrivals.excitation = self.own_rate(arrivals, i) * branching / (1.0 - branching)
        self.draw_own(arrivals, i)
        self.draw_excited(arrivals)
        self.set_next(arrivals)

    cdef double own_rate(self, const Arrivals* arrivals, int i) noexcept nogil:
        return self.laws[arrivals.law, 2 + 2 * i]

    cdef void draw_own(self, Arrivals* arrivals, int i) noexcept nogil:
        """Draw the time of the next spontaneous order, at which the integrated rate reaches a unit exponential draw."""
        cdef double left = exponential(&arrivals.times), rate, end_s
        while True:
            rate = self.own_rate(arrivals, i)
            end_s = self.laws[arrivals.law + 1, 0] if arrivals.law + 1 < self.laws.shape[0] else INFINITY
            if rate > 0.0 and arrivals.own_s + left / rate < end_s:
                arrivals.own_s += left / rate
                return
            if end_s == INFINITY:
                arrivals.own_s = INFINITY
                return
            left -= rate * (end_s - arrivals.own_s)
            arrivals.own_s = end_s
            arrivals.law += 1

    cdef void draw_excited(self, Arrivals* arrivals) noexcept nogil:
        """Draw the time of the next excited order; since the rate decays, there may be none."""
        cdef double left
        arrivals.excited_s = INFINITY
        if arrivals.excitation > 0.0:
            left = 1.0 - exponential(&arrivals.times) * self.beta / arrivals.excitation
            if left > 0.0:
                arrivals.excited_s = arrivals.since_s - log(left) / self.beta

    cdef void set_next(self, Arrivals* arrivals) noexcept nogil:
        cdef double at_s = min(arrivals.own_s, arrivals.excited_s)
        if at_s == INFINITY:
            arrivals.next_us = NEVER
            return
        arrivals.next_us = max(arrivals.last_ms + 1, <int64_t> (at_s * 1000.0)) * US_PER_MS + US_PER_MS // 2
        arrivals.next_us += self.start_us

    cdef void draw_next(self, Arrivals* arrivals) noexcept nogil:
        """Add the excitation of the current order, and draw the next one."""
        cdef int side = 1 if arrivals is &self.arrivals[1] else 0
        cdef double at_s = min(arrivals.own_s, arrivals.excited_s)
        cdef bint own = arrivals.own_s <= arrivals.excited_s
        arrivals.last_ms = (arrivals.next_us - self.start_us) // US_PER_MS
        if self.own > 0.0 or self.cross > 0.0:
            self.excite(arrivals, at_s, self.own)
            self.draw_excited(arrivals)
        if own:
            self.draw_own(arrivals, side)
        self.set_next(arrivals)
        if self.cross > 0.0 and arrivals.reached:
            self.excite_other(&self.arrivals[1 - side], at_s)

    cdef void excite(self, Arrivals* arrivals, double at_s, double orders) noexcept nogil:
        """Decay the excitation to *at_s*, and add that of an order that reached the touch."""
        arrivals.excitation *= exp(-self.beta * (at_s - arrivals.since_s))
        if arrivals.reached:
            arrivals.excitation += orders * self.beta / arrivals.reaching
        arrivals.since_s = at_s

    cdef void excite_other(self, Arrivals* other, double at_s) noexcept nogil:
        """Add the excitation of an order at *at_s* to the *other* side, and redraw its next excited order.

        An order that is already due, and only waits for a free millisecond, is not redrawn.
        """
        if other.excited_s <= at_s:
            other.excitation += self.cross * self.beta / other.reaching * exp(self.beta * (at_s - other.since_s))
            return
        at_s = max(at_s, other.since_s)
        other.excitation *= exp(-self.beta * (at_s - other.since_s))
        other.excitation += self.cross * self.beta / other.reaching
        other.since_s = at_s
        self.draw_excited(other)
        self.set_next(other)

    cdef int send(self, int64_t us, int side) except -1 nogil:
        """Send the order that is due, and replace the maker's levels within its reach."""
        cdef Arrivals* arrivals = &self.arrivals[side > 0]
        cdef double decay = self.laws[arrivals.law, 3 + 2 * (side > 0)]
        cdef int64_t reach = <int64_t> floor(exponential(&arrivals.reach) / decay + self.spread / 2.0)
        cdef int64_t edge = self.spread + self.levels - 1, limit, ticks, before = 0, last = 0, lots
        cdef double part = 0.1 + 0.9 * unit(&arrivals.reach)
        arrivals.reached = reach >= self.spread
        if reach > edge:
            arrivals.at_edge += 1
            reach = edge
        limit = self.best(side) + side * reach
        ticks = self.matching.best_ticks(-side)
        while ticks and side * (limit - ticks) >= 0:
            before += last
            last = self.matching.displayed(-side, ticks)
            ticks = self.matching.next_ticks(-side, ticks)
        arrivals.sent += 1
        arrivals.sweeps += last > 0
        lots = before + <int64_t> ceil(part * (min(last, self.most_lots) if last else self.most_lots))
        self.matching.place(us, TAKER_ACCOUNT, side, limit, lots, IOC, STP_NONE)
        ticks = self.best(-side)
        while side * (limit - ticks) >= 0:
            self.requote(us, -side, ticks)
            ticks += side
        return 0
