# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Signals of the path of the mid; moves are counted in half ticks, which are whole numbers."""

from libc.math cimport M_PI, NAN, exp2, log, sqrt
from libc.stdint cimport int64_t

from mm.signals._ring cimport (
    Entry, Ring, ring_at, ring_clear, ring_close, ring_expire, ring_pop, ring_push,
)
from mm.signals.base cimport Now, Signal

cdef int64_t SECOND_US = 1000000
cdef int64_t NO_END = 1 << 62           # end time of the mid in force


cdef class OverTime(Signal):
    """Base class of signals over a time window, with a ring buffer."""

    cdef Ring ring
    cdef int64_t window_us

    def __init__(self, int64_t window_us) -> None:
        self.window_us = window_us

    def __dealloc__(self) -> None:
        ring_close(&self.ring)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        return 0

    cdef inline bint warm(self, const Now* now) noexcept nogil:
        """Return whether the data cover the whole window."""
        return now.us - now.path_us >= self.window_us


cdef class Momentum(OverTime):
    """Mid less the mid one window earlier, ticks."""

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        ring_push(&self.ring, now.us, now.mid2)
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t then_us = now.us - self.window_us
        if now.moved2:
            ring_push(&self.ring, now.us, now.mid2)
        while self.ring.count > 1 and ring_at(&self.ring, 1).us <= then_us:
            ring_pop(&self.ring)
        self.value = 0.5 * <double> (now.mid2 - self.ring.entries[self.ring.head].value) if self.warm(now) else NAN
        return 0


cdef class RealisedVolatility(OverTime):
    """Square root of the sum of squared moves of the mid in a window, divided by its length in s, ticks/√s."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.moved2:
            ring_push(&self.ring, now.us, now.moved2 * now.moved2)
        ring_expire(&self.ring, now.us - self.window_us)
        self.value = NAN
        if self.warm(now):
            self.value = sqrt(<double> self.ring.sum / (4e-6 * <double> self.window_us))
        return 0


cdef class Range(OverTime):
    """Highest less lowest mid in a window, including the mid in force at its start, ticks.

    Kept as two monotonic queues of mids, each with its end time.
    """

    cdef Ring lows

    def __dealloc__(self) -> None:
        ring_close(&self.lows)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        ring_clear(&self.lows)
        ring_push(&self.ring, NO_END, now.mid2)
        ring_push(&self.lows, NO_END, now.mid2)
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t then_us = now.us - self.window_us
        if now.moved2:
            replace_dominated(&self.ring, now.us, now.mid2, 1)
            replace_dominated(&self.lows, now.us, now.mid2, -1)
        ring_expire(&self.ring, then_us)
        ring_expire(&self.lows, then_us)
        self.value = NAN
        if self.warm(now):
            self.value = 0.5 * <double> (self.ring.entries[self.ring.head].value - self.lows.entries[self.lows.head].value)
        return 0


cdef inline int replace_dominated(Ring* ring, int64_t us, int64_t mid2, int64_t sign) except -1 nogil:
    """Set the end of the newest mid, and replace the mids that the next one dominates."""
    cdef Entry* newest = ring_at(ring, ring.count - 1)
    newest.us = us
    while ring.count and sign * (mid2 - ring_at(ring, ring.count - 1).value) >= 0:
        ring.count -= 1
    ring_push(ring, NO_END, mid2)
    return 0


cdef class Bipower(Signal):
    """Square root of π/2 times the mean product of consecutive absolute one-second moves of the mid, ticks/√s.

    The mid is sampled at whole seconds of the clock before the event; the number of moves is the window in seconds.
    """

    cdef Ring moves                     # absolute one-second moves, half ticks
    cdef int64_t seconds
    cdef int64_t products               # sum of products of consecutive moves
    cdef int64_t next_us                # the next second to sample
    cdef int64_t sampled_mid2           # mid2 at the previous second; 0 before the first
    cdef int64_t mid2                   # mid2 in force

    def __init__(self, int64_t window_us) -> None:
        self.seconds = window_us // SECOND_US

    def __dealloc__(self) -> None:
        ring_close(&self.moves)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.moves)
        self.products = self.sampled_mid2 = 0
        self.next_us = (now.us + SECOND_US - 1) // SECOND_US * SECOND_US
        self.mid2 = now.mid2
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        while self.next_us < now.us:
            if self.sampled_mid2:
                self.add(self.mid2 - self.sampled_mid2)
            self.sampled_mid2 = self.mid2
            self.next_us += SECOND_US
        self.mid2 = now.mid2
        self.value = NAN
        if self.moves.count == self.seconds:
            self.value = sqrt(0.5 * M_PI * <double> self.products / (4.0 * <double> (self.seconds - 1)))
        return 0

    cdef inline int add(self, int64_t move2) except -1 nogil:
        move2 = max(move2, -move2)
        if self.moves.count:
            self.products += move2 * ring_at(&self.moves, self.moves.count - 1).value
        ring_push(&self.moves, 0, move2)
        if self.moves.count > self.seconds:
            self.products -= ring_at(&self.moves, 0).value * ring_at(&self.moves, 1).value
            ring_pop(&self.moves)
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


cdef class OverEvents(Signal):
    """Base class of signals over a number of diffs, with a ring buffer of that size."""

    cdef Ring ring
    cdef int64_t events

    def __init__(self, int64_t events) -> None:
        self.events = events

    def __dealloc__(self) -> None:
        ring_close(&self.ring)

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        return 0


cdef class EventMomentum(OverEvents):
    """Mid less the mid a number of diffs earlier, ticks."""

    cdef int begin(self, const Now* now) except -1 nogil:
        ring_clear(&self.ring)
        ring_push(&self.ring, 0, now.mid2)
        return 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.fresh:
            return 0
        ring_push(&self.ring, 0, now.mid2)
        if self.ring.count > self.events + 1:
            ring_pop(&self.ring)
        self.value = NAN
        if self.ring.count == self.events + 1:
            self.value = 0.5 * <double> (now.mid2 - self.ring.entries[self.ring.head].value)
        return 0


cdef class EventVolatility(OverEvents):
    """Square root of the mean squared move of the mid over a number of diffs, ticks/√diff."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        if now.fresh:
            return 0
        ring_push(&self.ring, 0, now.moved2 * now.moved2)
        if self.ring.count > self.events:
            ring_pop(&self.ring)
        self.value = NAN
        if self.ring.count == self.events:
            self.value = sqrt(<double> self.ring.sum / (4.0 * <double> self.events))
        return 0
