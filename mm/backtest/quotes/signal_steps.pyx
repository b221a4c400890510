# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Steps that adjust quotes by a signal: shift prices, widen the spread, reduce sizes.

A price signal (``micro_price``, ``weighted_mid``, ``mid``) is used as its distance from the mid, in ticks.
While a signal is undefined, quotes stay unchanged.
"""

from libc.math cimport INFINITY, NAN, floor, isnan
from libc.stdint cimport int64_t

from mm.backtest.quotes.base cimport View, Want
from mm.backtest.quotes.steps cimport Step

import math

from mm.backtest import declarations



cdef class Signalled(Step):
    """Base of steps with a signal."""

    cdef readonly str signal
    cdef readonly double by
    cdef int place
    cdef bint priced

    cdef dict settle(self, given: dict):
        cdef dict values = self.declared.settle(given)
        self.signal, self.by = values["signal"], values["by"]
        self.signals = tuple(dict.fromkeys((*self.inner.signals, self.signal)))
        self.timeless = False
        return values

    cdef int bind(self, tuple names) except -1:
        from mm.signals.families import QUOTE, SIGNALS

        self.place = names.index(self.signal)
        self.priced = SIGNALS.described(self.signal)["unit"] == QUOTE
        return self.inner.bind(names)

    cdef inline double value(self, const View* view) noexcept nogil:
        """Return the signal, 0 while it is undefined."""
        cdef double found = NAN if view.signals is NULL else view.signals[self.place]
        if self.priced:
            found = found / view.tick - 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        return 0.0 if isnan(found) else found


cdef class PriceMove(Signalled):
    """Base of the steps that move prices by a signal, by at most *most* ticks."""

    cdef readonly double most

    cdef dict settle(self, given: dict):
        cdef dict values = Signalled.settle(self, given)
        self.most = INFINITY if values["most"] is None else values["most"]
        return values


cdef class ShiftBy(PriceMove):
    """Move both prices by *by* ticks per unit of a signal, up if it is positive."""

    declared = declarations.ShiftBy
    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        self.settle(given)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double shift = min(max(self.by * self.value(view), -self.most), self.most)
        want.bid_ticks += shift
        want.ask_ticks += shift


cdef class WidenBy(PriceMove):
    """Quote further out on each side by *by* ticks per unit of a signal's absolute value."""

    declared = declarations.WidenBy
    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        self.settle(given)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double value = self.value(view)
        cdef double extra = min(self.by * max(value, -value), self.most)
        want.bid_ticks -= extra
        want.ask_ticks += extra


cdef class SizeBy(Signalled):
    """Reduce the lots on the side opposed to a signal: asks if *by* times the signal is positive, bids if negative.

    The remaining share is ``1 - |by·signal|``, at least *least*; lots are floored.
    """

    declared = declarations.SizeBy
    cdef readonly double least
    cdef readonly bint both

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        values = self.settle(given)
        self.least, self.both = values["least"], values["both"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double reduction = self.by * self.value(view)
        cdef double share = max(1.0 - max(reduction, -reduction), self.least)
        if reduction < 0.0 or self.both:
            want.bid_lots = <int64_t> floor(share * <double> want.bid_lots)
        if reduction > 0.0 or self.both:
            want.ask_lots = <int64_t> floor(share * <double> want.ask_lots)
        if want.bid_lots <= 0:
            want.bid_ticks = NAN
        if want.ask_lots <= 0:
            want.ask_ticks = NAN
