# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The compiled signals: of the current book, of the order flow, and of the path of the mid.

Moves of the mid are counted in half ticks. All values summed over a window are whole numbers, so that a sum does not
depend on earlier additions and removals.
"""

from libc.math cimport M_PI, NAN, exp2, log, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from mm.signals.signal_set cimport Nearest, Now, Signal

import numpy as np

from mm.signals.micro_price import MicroPriceFit

cdef int64_t SWEEP_US = 1000            # maximum time between two prints of one sweep
cdef int64_t SECOND_US = 1000000
cdef int64_t NO_END = 1 << 62           # end time of the mid in force


cdef inline double quantity(int64_t lots, double lot_e8) noexcept nogil:
    """The float nearest to the decimal."""
    return <double> lots * lot_e8 / 1e8


# ---------------------------------------------------------------------- the current book


cdef class QuotedSpread(Signal):
    """Best ask less best bid, ticks."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> (now.ask_ticks - now.bid_ticks)
        return 0


cdef class Mid(Signal):
    """Mean of the best prices, quote asset."""

    cdef double tick_e8

    def __init__(self, int64_t tick_e8) -> None:
        self.tick_e8 = <double> tick_e8

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> now.mid2 * self.tick_e8 / 2e8
        return 0


cdef class WeightedMid(Mid):
    """Best prices, each weighted by the lots on the opposite side, quote asset."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef double share = <double> now.bid_lots / <double> (now.bid_lots + now.ask_lots)
        self.value = (<double> now.bid_ticks + <double> (now.ask_ticks - now.bid_ticks) * share) * self.tick_e8 / 1e8
        return 0


cdef class MicroPrice(Mid):
    """Mid plus its expected move in the current state, fitted on earlier days, quote asset; undefined without a fit."""

    cdef const double[:, ::1] ticks     # by imbalance bucket and spread, NaN for states that did not occur
    cdef int64_t buckets, spreads

    def __init__(self, int64_t tick_e8, fit: MicroPriceFit | None) -> None:
        self.tick_e8 = <double> tick_e8
        if fit is not None:
            self.ticks = np.ascontiguousarray(fit.ticks, np.float64)
            self.buckets, self.spreads = self.ticks.shape[0], self.ticks.shape[1]

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t bucket, spread
        if self.buckets == 0:
            return 0
        bucket = min(self.buckets * now.bid_lots // (now.bid_lots + now.ask_lots), self.buckets - 1)
        spread = max(min(now.ask_ticks - now.bid_ticks, self.spreads), 1) - 1  # a live book may be locked or crossed
        self.value = (0.5 * <double> now.mid2 + self.ticks[bucket, spread]) * self.tick_e8 / 1e8
        return 0


cdef inline int64_t sum_of(const Nearest* side, int64_t levels, int64_t best_lots) noexcept nogil:
    """Return the lots at the best *levels* levels of a side, or at all if it has fewer; 0 are those at the best."""
    cdef int64_t total = 0, i
    if levels == 0:
        return best_lots
    for i in range(min(levels, side.count)):
        total += side.lots[i]
    return total


cdef class BookImbalance(Signal):
    """(bid lots - ask lots) / (bid lots + ask lots) over the best levels, from -1 to 1."""

    def __init__(self, int levels) -> None:
        self.levels = levels if levels > 1 else 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t bid = sum_of(&now.bids, self.levels, now.bid_lots)
        cdef int64_t ask = sum_of(&now.asks, self.levels, now.ask_lots)
        self.value = <double> (bid - ask) / <double> (bid + ask)
        return 0


cdef class Depth(Signal):
    """Displayed quantity at the best levels, base asset.

    Args:
        side: +1 for bids, -1 for asks, 0 for both.
    """

    cdef int side
    cdef double lot_e8

    def __init__(self, int levels, int side, int64_t lot_e8) -> None:
        self.levels, self.side, self.lot_e8 = levels if levels > 1 else 0, side, <double> lot_e8

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t bid = sum_of(&now.bids, self.levels, now.bid_lots) if self.side >= 0 else 0
        cdef int64_t ask = sum_of(&now.asks, self.levels, now.ask_lots) if self.side <= 0 else 0
        self.value = quantity(bid + ask, self.lot_e8)
        return 0


cdef class QueueShare(Signal):
    """Bid lots as a share of both queues at the best prices, from 0 to 1."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> now.bid_lots / <double> (now.bid_lots + now.ask_lots)
        return 0


# ---------------------------------------------------------------------- windows

cdef struct Entry:
    int64_t us
    int64_t value

# A growing ring buffer of timestamps and whole numbers.
cdef struct Ring:
    Entry* entries
    int64_t head            # index of the oldest entry
    int64_t count
    int64_t mask            # capacity - 1; the capacity is a power of two
    int64_t sum             # of the values


cdef inline Entry* ring_at(const Ring* ring, int64_t place) noexcept nogil:
    """Counted from the oldest."""
    return &ring.entries[(ring.head + place) & ring.mask]


cdef int ring_grow(Ring* ring) except -1 nogil:
    cdef int64_t room = 2 * (ring.mask + 1) if ring.entries else 64, place
    cdef Entry* entries = <Entry*> malloc(room * sizeof(Entry))
    if entries is NULL:
        with gil:
            raise MemoryError(f"no memory for a window of {room} entries")
    for place in range(ring.count):
        entries[place] = ring_at(ring, place)[0]
    free(ring.entries)
    ring.entries, ring.head, ring.mask = entries, 0, room - 1
    return 0


cdef inline int ring_push(Ring* ring, int64_t us, int64_t value) except -1 nogil:
    cdef Entry* entry
    if ring.entries is NULL or ring.count > ring.mask:
        ring_grow(ring)
    entry = ring_at(ring, ring.count)
    entry.us, entry.value = us, value
    ring.count += 1
    ring.sum += value
    return 0


cdef inline void ring_pop(Ring* ring) noexcept nogil:
    ring.sum -= ring.entries[ring.head].value
    ring.head = (ring.head + 1) & ring.mask
    ring.count -= 1


cdef inline void ring_expire(Ring* ring, int64_t until_us) noexcept nogil:
    """Remove entries up to and including *until_us*: the window is open at its start."""
    while ring.count and ring.entries[ring.head].us <= until_us:
        ring_pop(ring)


cdef class Windowed(Signal):
    """Base of signals over a window, with two ring buffers that ``begin`` empties.

    Args:
        window: Length of the window: µs, or a number of diffs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset; 0 where it is not needed.
    """

    cdef Ring ring, other
    cdef int64_t window
    cdef double lot_e8

    def __init__(self, int64_t window, int64_t lot_e8=0) -> None:
        self.window, self.lot_e8 = window, <double> lot_e8

    def __dealloc__(self) -> None:
        free(self.ring.entries)
        free(self.other.entries)

    cdef int begin(self, const Now* now) except -1 nogil:
        self.ring.head = self.ring.count = self.ring.sum = 0
        self.other.head = self.other.count = self.other.sum = 0
        return 0

    cdef inline bint warm(self, const Now* now) noexcept nogil:
        """Return whether the path of the mid covers the whole window."""
        return now.us - now.path_us >= self.window

    cdef inline bint summed(self, const Now* now) noexcept nogil:
        """Remove entries older than the window, and return whether the data cover the whole window."""
        ring_expire(&self.ring, now.us - self.window)
        ring_expire(&self.other, now.us - self.window)
        return now.us - now.epoch_us >= self.window


# ---------------------------------------------------------------------- order flow


cdef inline int64_t of_side(
    int64_t sign, int64_t ticks, int64_t lots, int64_t before_ticks, int64_t before_lots
) noexcept nogil:
    """Return one side's flow at a level: new lots unless its price got worse, less old lots unless it improved."""
    cdef int64_t better = sign * (ticks - before_ticks)
    return (lots if better >= 0 else 0) - (before_lots if better <= 0 else 0)


cdef class OrderFlow(Windowed):
    """Order-flow imbalance over the best levels, of a diff or summed over a window, base asset.

    Args:
        window_us: The window, µs; 0 for single diffs.
    """

    cdef int64_t known_us               # time of the last diff without a defined flow; all later flow is included

    def __init__(self, int levels, int64_t window_us, int64_t lot_e8) -> None:
        Windowed.__init__(self, window_us, lot_e8)
        self.levels, self.compares = levels if levels > 1 else 0, levels > 1

    cdef int begin(self, const Now* now) except -1 nogil:
        self.known_us = now.us
        return Windowed.begin(self, now)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t flow = 0
        self.value = NAN
        if now.fresh:
            return 0
        if self.levels == 0:
            flow = of_side(1, now.bid_ticks, now.bid_lots, now.before_bid_ticks, now.before_bid_lots)
            flow -= of_side(-1, now.ask_ticks, now.ask_lots, now.before_ask_ticks, now.before_ask_lots)
        elif self.has_levels(now):
            flow = self.of_levels(&now.bids, &now.before_bids) - self.of_levels(&now.asks, &now.before_asks)
        else:
            return self.begin(now)
        if self.window == 0:
            self.value = quantity(flow, self.lot_e8)
            return 0
        if flow:
            ring_push(&self.ring, now.us, flow)
        ring_expire(&self.ring, now.us - self.window)
        if now.us - self.known_us >= self.window:
            self.value = quantity(self.ring.sum, self.lot_e8)
        return 0

    cdef inline bint has_levels(self, const Now* now) noexcept nogil:
        return (
            min(now.bids.count, now.asks.count) >= self.levels
            and min(now.before_bids.count, now.before_asks.count) >= self.levels
        )

    cdef inline int64_t of_levels(self, const Nearest* side, const Nearest* before) noexcept nogil:
        cdef int64_t flow = 0, i
        for i in range(self.levels):
            flow += of_side(side.side, side.ticks[i], side.lots[i], before.ticks[i], before.lots[i])
        return flow


cdef class Prints(Windowed):
    """Base of signals of the prints in a window: lots bought (``ring``) and sold (``other``) by aggressors."""

    def __init__(self, int64_t window_us, int64_t lot_e8) -> None:
        Windowed.__init__(self, window_us, lot_e8)
        self.one_sided = True

    cdef int on_trade(self, const Now* now) except -1 nogil:
        return ring_push(&self.ring if now.trade_side > 0 else &self.other, now.us, now.trade_lots)


cdef class SignedVolume(Prints):
    """Lots bought less lots sold by aggressors in a window, base asset."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = quantity(self.ring.sum - self.other.sum, self.lot_e8) if self.summed(now) else NAN
        return 0


cdef class TradeImbalance(Prints):
    """(bought - sold) / (bought + sold) of the prints in a window, from -1 to 1; undefined without prints."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef bint warm = self.summed(now)
        cdef int64_t total = self.ring.sum + self.other.sum
        self.value = <double> (self.ring.sum - self.other.sum) / <double> total if warm and total else NAN
        return 0


cdef class SweepRate(Prints):
    """Sweeps in a window, 1/s: consecutive prints of one side, at most 1 ms apart, one beyond the first one's price."""

    cdef int64_t last_us, side, first_ticks
    cdef bint counted                   # whether the current prints were counted as a sweep

    cdef int begin(self, const Now* now) except -1 nogil:
        self.side = 0
        return Windowed.begin(self, now)

    cdef int on_trade(self, const Now* now) except -1 nogil:
        if now.trade_side != self.side or now.us - self.last_us > SWEEP_US:
            self.side, self.first_ticks, self.counted = now.trade_side, now.trade_ticks, False
        elif not self.counted and self.side * (now.trade_ticks - self.first_ticks) > 0:
            self.counted = True
            ring_push(&self.ring, now.us, 1)
        self.last_us = now.us
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> self.ring.sum / (1e-6 * <double> self.window) if self.summed(now) else NAN
        return 0


cdef class CancelRate(Windowed):
    """Quantity cancelled (removed, not traded) at the best 10 levels in a window, base asset per s."""

    def __init__(self, int64_t window_us, int64_t lot_e8) -> None:
        Windowed.__init__(self, window_us, lot_e8)
        self.one_sided = self.cancels = True

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.cancelled_lots:
            ring_push(&self.ring, now.us, now.cancelled_lots)
        self.value = NAN
        if self.summed(now):
            self.value = quantity(self.ring.sum, self.lot_e8) / (1e-6 * <double> self.window)
        return 0


# ---------------------------------------------------------------------- the path of the mid


cdef class Momentum(Windowed):
    """Mid less the mid one window earlier, ticks."""

    cdef int begin(self, const Now* now) except -1 nogil:
        Windowed.begin(self, now)
        return ring_push(&self.ring, now.us, now.mid2)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t then_us = now.us - self.window
        if now.moved2:
            ring_push(&self.ring, now.us, now.mid2)
        while self.ring.count > 1 and ring_at(&self.ring, 1).us <= then_us:
            ring_pop(&self.ring)
        self.value = 0.5 * <double> (now.mid2 - self.ring.entries[self.ring.head].value) if self.warm(now) else NAN
        return 0


cdef class RealisedVolatility(Windowed):
    """Square root of the sum of squared moves of the mid in a window, divided by its length in s, ticks/√s."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.moved2:
            ring_push(&self.ring, now.us, now.moved2 * now.moved2)
        ring_expire(&self.ring, now.us - self.window)
        self.value = NAN
        if self.warm(now):
            self.value = sqrt(<double> self.ring.sum / (4e-6 * <double> self.window))
        return 0


cdef class Range(Windowed):
    """Highest less lowest mid in a window, including the mid in force at its start, ticks.

    Kept as two monotonic queues of mids, highs (``ring``) and lows (``other``), each mid with its end time.
    """

    cdef int begin(self, const Now* now) except -1 nogil:
        Windowed.begin(self, now)
        ring_push(&self.ring, NO_END, now.mid2)
        return ring_push(&self.other, NO_END, now.mid2)

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t then_us = now.us - self.window
        if now.moved2:
            replace_dominated(&self.ring, now.us, now.mid2, 1)
            replace_dominated(&self.other, now.us, now.mid2, -1)
        ring_expire(&self.ring, then_us)
        ring_expire(&self.other, then_us)
        self.value = NAN
        if self.warm(now):
            self.value = 0.5 * <double> (ring_at(&self.ring, 0).value - ring_at(&self.other, 0).value)
        return 0


cdef inline int replace_dominated(Ring* ring, int64_t us, int64_t mid2, int64_t sign) except -1 nogil:
    """Set the end of the newest mid, and replace the mids that the next one dominates."""
    ring_at(ring, ring.count - 1).us = us
    while ring.count and sign * (mid2 - ring_at(ring, ring.count - 1).value) >= 0:
        ring.count -= 1
    return ring_push(ring, NO_END, mid2)


cdef class Bipower(Windowed):
    """Square root of π/2 times the mean product of consecutive absolute one-second moves of the mid, ticks/√s.

    The mid is sampled at whole seconds of the clock before the event; the number of moves is the window in seconds.
    """

    cdef int64_t seconds
    cdef int64_t products               # sum of products of consecutive moves
    cdef int64_t next_us                # the next second to sample
    cdef int64_t sampled_mid2           # mid2 at the previous second; 0 before the first
    cdef int64_t mid2                   # mid2 in force

    def __init__(self, int64_t window_us) -> None:
        self.seconds = window_us // SECOND_US

    cdef int begin(self, const Now* now) except -1 nogil:
        self.products = self.sampled_mid2 = 0
        self.next_us = (now.us + SECOND_US - 1) // SECOND_US * SECOND_US
        self.mid2 = now.mid2
        return Windowed.begin(self, now)

    cdef int on_book(self, const Now* now) except -1 nogil:
        while self.next_us < now.us:
            if self.sampled_mid2:
                self.add(self.mid2 - self.sampled_mid2)
            self.sampled_mid2 = self.mid2
            self.next_us += SECOND_US
        self.mid2 = now.mid2
        self.value = NAN
        if self.ring.count == self.seconds:
            self.value = sqrt(0.5 * M_PI * <double> self.products / (4.0 * <double> (self.seconds - 1)))
        return 0

    cdef inline int add(self, int64_t move2) except -1 nogil:
        move2 = max(move2, -move2)
        if self.ring.count:
            self.products += move2 * ring_at(&self.ring, self.ring.count - 1).value
        ring_push(&self.ring, 0, move2)
        if self.ring.count > self.seconds:
            self.products -= ring_at(&self.ring, 0).value * ring_at(&self.ring, 1).value
            ring_pop(&self.ring)
        return 0


cdef class EwmaVolatility(Signal):
    """Square root of the exponentially weighted sum of squared moves of the mid per second, ticks/√s.

    Weights are normalised over the time since the start of the path, which must be at least one half-life.
    """

    cdef int64_t half_life_us
    cdef double squares                 # decayed to *last_us*
    cdef int64_t last_us

    def __init__(self, int64_t window_us) -> None:
        self.half_life_us = window_us

    cdef int begin(self, const Now* now) except -1 nogil:
        self.squares, self.last_us = 0.0, now.us
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef double half_lives, seconds
        if now.moved2:
            self.squares *= exp2(-<double> (now.us - self.last_us) / <double> self.half_life_us)
            self.squares += <double> (now.moved2 * now.moved2)
            self.last_us = now.us
        self.value = NAN
        if now.us - now.path_us >= self.half_life_us:
            half_lives = <double> (now.us - now.path_us) / <double> self.half_life_us
            seconds = 1e-6 * <double> self.half_life_us / log(2.0) * (1.0 - exp2(-half_lives))
            self.value = sqrt(
                0.25 * self.squares * exp2(-<double> (now.us - self.last_us) / <double> self.half_life_us) / seconds
            )
        return 0


cdef class EventMomentum(Windowed):
    """Mid less the mid a number of diffs earlier, ticks."""

    cdef int begin(self, const Now* now) except -1 nogil:
        Windowed.begin(self, now)
        return ring_push(&self.ring, 0, now.mid2)

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.fresh:
            return 0
        ring_push(&self.ring, 0, now.mid2)
        if self.ring.count > self.window + 1:
            ring_pop(&self.ring)
        self.value = NAN
        if self.ring.count == self.window + 1:
            self.value = 0.5 * <double> (now.mid2 - self.ring.entries[self.ring.head].value)
        return 0


cdef class EventVolatility(Windowed):
    """Square root of the mean squared move of the mid over a number of diffs, ticks/√diff."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.fresh:
            return 0
        ring_push(&self.ring, 0, now.moved2 * now.moved2)
        if self.ring.count > self.window:
            ring_pop(&self.ring)
        self.value = NAN
        if self.ring.count == self.window:
            self.value = sqrt(<double> self.ring.sum / (4.0 * <double> self.window))
        return 0
