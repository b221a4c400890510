# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Signals of the current book."""

from libc.math cimport NAN
from libc.stdint cimport int64_t

from mm.signals._nearest cimport nearest_sum
from mm.signals.base cimport Now, Signal, quantity

import numpy as np

from mm.signals.micro_price import MicroPriceFit


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


cdef class WeightedMid(Signal):
    """Best prices, each weighted by the lots on the opposite side, quote asset."""

    cdef double tick_e8

    def __init__(self, int64_t tick_e8) -> None:
        self.tick_e8 = <double> tick_e8

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef double share = <double> now.bid_lots / <double> (now.bid_lots + now.ask_lots)
        self.value = (<double> now.bid_ticks + <double> (now.ask_ticks - now.bid_ticks) * share) * self.tick_e8 / 1e8
        return 0


cdef class MicroPrice(Signal):
    """Mid plus its expected move in the current state, fitted on earlier days, quote asset; undefined without a fit."""

    cdef double tick_e8
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
        spread = min(now.ask_ticks - now.bid_ticks, self.spreads) - 1
        self.value = (0.5 * <double> now.mid2 + self.ticks[bucket, spread]) * self.tick_e8 / 1e8
        return 0


cdef class BookImbalance(Signal):
    """(bid lots - ask lots) / (bid lots + ask lots) over the best levels, from -1 to 1."""

    def __init__(self, int levels) -> None:
        self.levels = levels if levels > 1 else 0

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t bid = now.bid_lots, ask = now.ask_lots
        if self.levels:
            bid, ask = nearest_sum(&now.bids, self.levels), nearest_sum(&now.asks, self.levels)
        self.value = <double> (bid - ask) / <double> (bid + ask)
        return 0


cdef class Depth(Signal):
    """Displayed quantity at the best levels, base asset.

    Args:
        levels: Number of levels of each side.
        side: +1 for bids, -1 for asks, 0 for both.
        lot_e8: Lot size of the tape, 1e-8 of the base asset.
    """

    cdef int side
    cdef double lot_e8

    def __init__(self, int levels, int side, int64_t lot_e8) -> None:
        self.levels, self.side, self.lot_e8 = levels if levels > 1 else 0, side, <double> lot_e8

    cdef int on_book(self, const Now* now) except -1 nogil:
        cdef int64_t bid = now.bid_lots, ask = now.ask_lots
        if self.levels:
            bid, ask = nearest_sum(&now.bids, self.levels), nearest_sum(&now.asks, self.levels)
        self.value = quantity((bid if self.side >= 0 else 0) + (ask if self.side <= 0 else 0), self.lot_e8)
        return 0


cdef class QueueShare(Signal):
    """Bid lots as a share of both queues at the best prices, from 0 to 1."""

    cdef int on_book(self, const Now* now) except -1 nogil:
        self.value = <double> now.bid_lots / <double> (now.bid_lots + now.ask_lots)
        return 0
