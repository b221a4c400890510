# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Signals of order flow: additions and cancellations at the best levels, and prints."""

from libc.math cimport NAN
from libc.stdint cimport int64_t

from mm.signals._nearest cimport Nearest
from mm.signals._ring cimport Ring, ring_clear, ring_close, ring_expire, ring_push
from mm.signals.base cimport Now, Signal, quantity

cdef int64_t SWEEP_US = 1000            # maximum time between two prints of one sweep


cdef inline int64_t of_side(
    int64_t sign, int64_t ticks, int64_t lots, int64_t before_ticks, int64_t before_lots
) noexcept nogil:
    """Return one side's flow at a level: new lots unless its price got worse, less old lots unless it improved."""
    cdef int64_t better = sign * (ticks - before_ticks)
    return (lots if better >= 0 else 0) - (before_lots if better <= 0 else 0)


cdef class OrderFlow(Signal):
    """Order-flow imbalance over the best levels, of a diff or summed over a window, base asset.

    Args:
        levels: Number of levels to sum over.
        window_us: The window, µs; 0 for single diffs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """

    cdef Ring ring
    cdef int64_t window_us, depth
    cdef int64_t known_us               # time of the last diff without a defined flow; all later flow is included
    cdef double lot_e8

    def __init__(self, int levels, int64_t window_us, int64_t lot_e8) -> None:
        self.levels, self.compares = levels if levels > 1 else 0, levels > 1
        self.depth, self.window_us, self.lot_e8 = levels, window_us, <double> lot_e8

    def __dealloc__(self) -> None:
        ring_close(&self.ring)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        self.known_us = now.us
        return 0

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
        if self.window_us == 0:
            self.value = quantity(flow, self.lot_e8)
            return 0
        if flow:
            ring_push(&self.ring, now.us, flow)
        ring_expire(&self.ring, now.us - self.window_us)
        if now.us - self.known_us >= self.window_us:
            self.value = quantity(self.ring.sum, self.lot_e8)
        return 0

    cdef inline bint has_levels(self, const Now* now) noexcept nogil:
        return (
            min(now.bids.count, now.asks.count) >= self.levels
            and min(now.before_bids.count, now.before_asks.count) >= self.levels
        )

    cdef inline int64_t of_levels(self, const Nearest* side, const Nearest* before) noexcept nogil:
        cdef int64_t flow = 0, i
        for i in range(self.depth):
            flow += of_side(side.side, side.ticks[i], side.lots[i], before.ticks[i], before.lots[i])
        return flow


cdef class Prints(Signal):
    """Base class of signals of the prints in a window: lots bought and sold by aggressors.

    Args:
        window_us: The window, µs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """

    cdef Ring bought, sold
    cdef int64_t window_us
    cdef double lot_e8

    def __init__(self, int64_t window_us, int64_t lot_e8) -> None:
        self.window_us, self.lot_e8, self.one_sided = window_us, <double> lot_e8, True

    def __dealloc__(self) -> None:
        ring_close(&self.bought)
        ring_close(&self.sold)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.bought)
        ring_clear(&self.sold)
        return 0

    cdef int on_trade(self, const Now* now) except -1 nogil:
        return ring_push(&self.bought if now.trade_side > 0 else &self.sold, now.us, now.trade_lots)

    cdef inline bint summed(self, const Now* now) noexcept nogil:
        """Remove prints older than the window, and return whether the data cover the whole window."""
        ring_expire(&self.bought, now.us - self.window_us)
        ring_expire(&self.sold, now.us - self.window_us)
        return now.us - now.epoch_us >= self.window_us


cdef class SignedVolume(Prints):
    """Lots bought less lots sold by aggressors in a window, base asset."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = quantity(self.bought.sum - self.sold.sum, self.lot_e8) if self.summed(now) else NAN
        return 0


cdef class TradeImbalance(Prints):
    """(bought - sold) / (bought + sold) of the prints in a window, from -1 to 1; undefined without prints."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef bint warm = self.summed(now)
        cdef int64_t total = self.bought.sum + self.sold.sum
        self.value = <double> (self.bought.sum - self.sold.sum) / <double> total if warm and total else NAN
        return 0


cdef class Rate(Signal):
    """Base class of rates over a window: timestamped counts, per second.

    Args:
        window_us: The window, µs.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """

    cdef Ring ring
    cdef int64_t window_us
    cdef double lot_e8

    def __init__(self, int64_t window_us, int64_t lot_e8) -> None:
        self.window_us, self.lot_e8, self.one_sided = window_us, <double> lot_e8, True

    def __dealloc__(self) -> None:
        ring_close(&self.ring)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        return 0

    cdef inline bint summed(self, const Now* now) noexcept nogil:
        ring_expire(&self.ring, now.us - self.window_us)
        return now.us - now.epoch_us >= self.window_us


cdef class SweepRate(Rate):
    """Sweeps in a window, 1/s: consecutive prints of one side, at most 1 ms apart, one beyond the first one's price."""

    cdef int64_t last_us, side, first_ticks
    cdef bint counted                   # whether the current prints were counted as a sweep

    cdef int begin(self, const Now* now) except -1 nogil:
        self.side = 0
        return Rate.begin(self, now)

    cdef int on_trade(self, const Now* now) except -1 nogil:
        if now.trade_side != self.side or now.us - self.last_us > SWEEP_US:
            self.side, self.first_ticks, self.counted = now.trade_side, now.trade_ticks, False
        elif not self.counted and self.side * (now.trade_ticks - self.first_ticks) > 0:
            self.counted = True
            ring_push(&self.ring, now.us, 1)
        self.last_us = now.us
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> self.ring.sum / (1e-6 * <double> self.window_us) if self.summed(now) else NAN
        return 0


cdef class CancelRate(Rate):
    """Quantity cancelled (removed, not traded) at the best 10 levels in a window, base asset per s."""

    def __init__(self, int64_t window_us, int64_t lot_e8) -> None:
        Rate.__init__(self, window_us, lot_e8)
        self.cancels = True

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.cancelled_lots:
            ring_push(&self.ring, now.us, now.cancelled_lots)
        self.value = NAN
        if self.summed(now):
            self.value = quantity(self.ring.sum, self.lot_e8) / (1e-6 * <double> self.window_us)
        return 0
