# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills drawn from an intensity, at their own instants between two messages."""

from libc.math cimport log
from libc.stdint cimport int64_t, uint64_t

from mm.backtest._draws cimport uniform
from mm.backtest.fills.base cimport BEST_LOTS, BEST_PRICES, NEVER, FillModel, Order, Top
from mm.backtest.fills.intensity cimport Intensity

cdef int MID = 0
cdef int MICRO = 1
cdef int BEST = 2


cdef double unit_exponential(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    """Return the unit exponential draw that belongs to a key; equal keys, equal draws."""
    return -log(uniform(seed, a, b, c))


def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float:
    """Return the draw of a key: the door for tests."""
    return unit_exponential(seed, a, b, c)


cdef class Poisson(FillModel):
    """An order fills with intensity lambda(delta) = A exp(-k delta), whole, at its own instant.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw for each side and stretch of constant intensity, keyed by what began it
    - the fill happens where the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k, constant or by segments.
        seed: Keys every draw.
    """

    cdef readonly Intensity intensity
    cdef uint64_t seed
    cdef int reference
    cdef int64_t begun_us          # the book event that last changed the reference
    cdef int64_t begun_seq
    cdef int64_t bid_ticks         # the top behind it
    cdef int64_t ask_ticks
    cdef int64_t bid_lots
    cdef int64_t ask_lots
    cdef int64_t arrivals[2]       # since then; sells, buys

    def __init__(self, intensity: Intensity, seed: int = 0) -> None:
        self.intensity = intensity
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.reference = ("mid", "micro", "best").index(intensity.reference)
        self.draws = True
        self.looks = BEST_LOTS if self.reference == MICRO else BEST_PRICES
        self.name = "poisson"

    cdef int on_top(self, const Top* top) except -1 nogil:
        cdef bint same
        if self.reference == MID:
            same = (
                top.bid_ticks + top.ask_ticks == self.bid_ticks + self.ask_ticks
                and (top.bid_ticks == 0) == (self.bid_ticks == 0)
                and (top.ask_ticks == 0) == (self.ask_ticks == 0)
            )
        else:
            same = top.bid_ticks == self.bid_ticks and top.ask_ticks == self.ask_ticks
            if self.reference == MICRO:
                same = same and top.bid_lots == self.bid_lots and top.ask_lots == self.ask_lots
        if same:
            return 0
        self.bid_ticks = top.bid_ticks
        self.ask_ticks = top.ask_ticks
        self.bid_lots = top.bid_lots
        self.ask_lots = top.ask_lots
        self.begun_us = top.us
        self.begun_seq = top.recv_seq
        self.arrivals[0] = 0
        self.arrivals[1] = 0
        return 3

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        self.arrivals[1 if order.side > 0 else 0] += 1
        return 0

    cdef double distance(self, const Order* order) noexcept nogil:
        """Return how far the order lies from the reference, in ticks, away from the market."""
        if self.reference == MID:
            return order.side * (self.bid_ticks + self.ask_ticks - 2 * order.ticks) / 2.0
        if self.reference == BEST:
            return <double> (order.side * ((self.bid_ticks if order.side > 0 else self.ask_ticks) - order.ticks))
        return order.side * (
            (<double> self.bid_ticks * self.ask_lots + <double> self.ask_ticks * self.bid_lots)
            / <double> (self.bid_lots + self.ask_lots)
            - order.ticks
        )

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef int buys = 1 if order.side > 0 else 0
        cdef double left, rate, wait
        cdef int64_t from_us = now_us, piece
        order.stretch_us = now_us
        order.due_us = NEVER
        if top.bid_ticks == 0 or top.ask_ticks == 0:
            order.delta = 0.0
            order.stretch_us = NEVER
            return 0
        order.delta = self.distance(order)
        left = unit_exponential(self.seed, self.begun_us, self.begun_seq, 2 * self.arrivals[buys] + buys)
        piece = self.intensity.find(now_us)
        while piece < self.intensity.count:
            from_us = max(from_us, self.intensity.pieces[piece].start_us)
            rate = self.intensity.rate(piece, order.side, order.delta) * 1e-6
            wait = left / rate if rate > 0.0 else 1e300
            if wait < <double> (self.intensity.pieces[piece].end_us - from_us):
                order.due_us = from_us + <int64_t> wait if wait < 9e18 else NEVER
                return 0
            left -= rate * <double> (self.intensity.pieces[piece].end_us - from_us)
            from_us = self.intensity.pieces[piece].end_us
            piece += 1
        return 0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        cdef int64_t piece, from_us, to_us
        cdef double total = 0.0
        if order.stretch_us == NEVER:
            return 0.0
        piece = self.intensity.find(order.stretch_us)
        while piece < self.intensity.count and self.intensity.pieces[piece].start_us < until_us:
            from_us = max(order.stretch_us, self.intensity.pieces[piece].start_us)
            to_us = min(until_us, self.intensity.pieces[piece].end_us)
            total += self.intensity.rate(piece, order.side, order.delta) * 1e-6 * <double> (to_us - from_us)
            piece += 1
        return total
