# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Kelly's rule as steps: quotes skewed against the inventory, and sizes, that maximise the growth of log wealth.

With wealth W, a position of q and a move of the mid over the horizon H of mean m and variance v = σ²H, the expected
growth of log wealth is q·m/W - q²·v/(2W²) to second order. After buying n more at a distance δ below the mid it is
(q + n)·m/W + n·δ/W - (q + n)²·v/(2W²). The value of the next unit, W times the slope in q, is m - q·v/W: the
reservation price of Avellaneda and Stoikov (2008) with risk aversion 1/W. The best n is W·(δ + m)/v - q. A
fraction f of Kelly bets as if wealth were f·W (Kelly, A new interpretation of information rate, 1956; Thorp, The Kelly
criterion in blackjack, sports betting and the stock market, 2006).

W is cash plus inventory at the mid, q the inventory relative to the target, both in lots and ticks.
"""

from libc.math cimport INFINITY, NAN, floor, isnan
from libc.stdint cimport int64_t

from mm.backtest.quotes.base cimport View, Want
from mm.backtest.quotes.steps cimport Step

import math

from mm.backtest import declarations



cdef class Kelly(Step):
    """Base of the steps by Kelly's rule: wealth, the variance over the horizon, and the expected move."""

    cdef readonly double horizon_s, fraction, sigma, by
    cdef readonly str signal            # None if there is none
    cdef int place
    cdef bint priced

    cdef dict settle(self, given: dict):
        cdef dict values = self.declared.settle(given)
        self.horizon_s, self.fraction, self.by = values["horizon_s"], values["fraction"], values["by"]
        self.sigma = NAN if values["sigma"] is None else values["sigma"]
        self.signal = values["signal"]
        if self.signal is not None:
            self.signals = tuple(dict.fromkeys((*self.inner.signals, self.signal)))
        self.timeless = False
        return values

    cdef int bind(self, tuple names) except -1:
        from mm.signals.families import QUOTE, SIGNALS

        if self.signal is not None:
            self.place = names.index(self.signal)
            self.priced = SIGNALS.described(self.signal)["unit"] == QUOTE
        return self.inner.bind(names)

    cdef double drift(self, const View* view) noexcept nogil:
        """Return the expected move, in ticks; 0 without a signal, or while it is undefined."""
        cdef double found
        if self.signal is None or view.signals is NULL:
            return 0.0
        found = view.signals[self.place]
        if self.priced:
            found = found / view.tick - mid_of(view)
        return 0.0 if isnan(found) else self.by * found

    cdef double stake(self, const View* view) noexcept nogil:
        """Return *fraction* times the wealth, in tick·lots."""
        return self.fraction * (view.cash / view.tick_lot + <double> view.inventory_lots * mid_of(view))

    cdef double variance(self, const View* view) noexcept nogil:
        """Return the variance of the move over the horizon, in squared ticks; NaN while the volatility is unknown."""
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        return sigma * sigma * self.horizon_s


cdef inline double mid_of(const View* view) noexcept nogil:
    return 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)


cdef class KellySkew(Kelly):
    """Move both prices by the value of the next unit relative to the mid, by Kelly's rule: m - q·σ²·H/(f·W) ticks.

    No quotes while the volatility is unknown; with wealth of 0 or less, only quotes that reduce the inventory.
    """

    declared = declarations.KellySkew
    cdef readonly double most

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        values = self.settle(given)
        self.most = INFINITY if values["most"] is None else values["most"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double held = <double> (view.inventory_lots - view.target_lots), stake = self.stake(view), shift
        cdef double variance = self.variance(view)
        if isnan(variance):
            want.bid_ticks = want.ask_ticks = NAN
        elif stake <= 0.0:
            want.bid_ticks = want.bid_ticks if held < 0.0 else NAN
            want.ask_ticks = want.ask_ticks if held > 0.0 else NAN
        else:
            shift = min(max(self.drift(view) - held * variance / stake, -self.most), self.most)
            want.bid_ticks += shift
            want.ask_ticks += shift


cdef class KellySize(Kelly):
    """Set the lots by Kelly's rule on each side: f·W·(δ + m - fee)/(σ²·H) - q for a bid at δ below the mid, floored.

    For an ask m and q change their signs. At most *most* times the inner model's lots; a side whose size is below one
    lot has no quote, and neither has any side while the volatility is unknown.
    """

    declared = declarations.KellySize
    cdef readonly double fee_ticks, most

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        values = self.settle(given)
        self.fee_ticks, self.most = values["fee_ticks"], values["most"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double held = <double> (view.inventory_lots - view.target_lots), drift = self.drift(view)
        cdef double mid = mid_of(view)
        want.bid_lots = self.lots(view, mid - want.bid_ticks + drift, held, want.bid_lots)
        want.ask_lots = self.lots(view, want.ask_ticks - mid - drift, -held, want.ask_lots)
        if want.bid_lots <= 0:
            want.bid_ticks = NAN
        if want.ask_lots <= 0:
            want.ask_ticks = NAN

    cdef int64_t lots(self, const View* view, double edge, double held, int64_t wanted) noexcept nogil:
        """Return the lots of a side whose fill is worth *edge* ticks before fees and adds to *held* lots."""
        cdef double variance = self.variance(view), stake = self.stake(view), most = floor(self.most * <double> wanted)
        edge -= self.fee_ticks
        if isnan(edge) or isnan(variance):
            return 0
        if variance == 0.0:
            return <int64_t> most if edge > 0.0 and stake > 0.0 else 0
        return <int64_t> min(floor(max(stake, 0.0) * edge / variance - held), most)
