# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes of Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008): plain, default, and symmetric."""

from libc.math cimport INFINITY, M_LN2, NAN, ceil, exp, expm1, fabs, floor, isnan, log, log1p, sqrt
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.fills.intensity cimport Intensity, mid_offset
from mm.backtest.quotes.base cimport QuoteModel, View, Want
from mm.backtest.quotes.distances cimport Distances, Market, markup
from mm.backtest.quotes.steps cimport Step

import numpy as np

from mm.backtest import declarations
from mm.backtest.parameters import declares
from mm.backtest.quotes.optimal_curve import OptimalCurve
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.errors import UsageError

cdef double LEAST = 1e-150          # minimum gamma/k; below it its square underflows
cdef double REACH_S = 1.5           # of the default strategy
cdef double MEMORY_S = 10.0
cdef double KEPT_SHARE = 0.1        # of the reach


cdef inline double gamma_over_k(const Market* market, double share) noexcept nogil:
    """Return x = gamma/k, at most 1, at which a clip moves the price by *share* of the half-spread.

    It is the root of x² - r·ln(1 + x), a convex function, by Newton's method: three steps at most for usual values.
    """
    cdef double target = share / (1.0 - 0.5 * share), scale = market.k * market.sigma
    cdef double most = scale * scale * market.tau_s, r, x, change
    cdef int step
    if not most > target * M_LN2:  # or unknown
        return 1.0
    r = target / most
    x = max(2.0 * r / (1.0 + sqrt(1.0 + 2.0 * r)), LEAST)
    for step in range(20):
        change = (x * x - r * log1p(x)) / (2.0 * x - r / (1.0 + x))
        x = max(x - change, LEAST)
        if fabs(change) < 1e-8 * x:  # the error is its square
            break
    return min(x, 1.0)


cdef class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, inconsistent with its own value function.) In this mode a gamma of
    ``auto`` uses the slope of the reservation price at q = 0.
    """

    declared = declarations.AvellanedaStoikovBare
    cdef double edge                # cached markup for of_gamma and of_k
    cdef double of_gamma, of_k
    cdef bint infinite

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        if name is not None:
            self.name = name
        self.infinite = given.get("mode") == "infinite"
        self.settle(given, () if self.infinite else ("sigma",))
        if self.infinite and self.q_max == INFINITY:
            raise UsageError(f"{self.name}: mode infinite needs q_max, the inventory bound in clips")
        self.of_gamma = self.of_k = NAN

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double risk = market.gamma * market.sigma * market.sigma * market.tau_s, edge, room
        if market.gamma != self.of_gamma or market.k != self.of_k:
            self.of_gamma, self.of_k, self.edge = market.gamma, market.k, markup(market.gamma, market.k)
        edge = self.edge
        if self.infinite:
            room = (self.q_max + 1.0) * (self.q_max + 1.0) - q * q
            bid[0] = edge - log(1.0 - (1.0 + 2.0 * q) / room) / market.gamma if q < self.q_max else INFINITY
            ask[0] = edge - log(1.0 - (1.0 - 2.0 * q) / room) / market.gamma if q > -self.q_max else INFINITY
            return
        bid[0] = q * risk + 0.5 * risk + edge if q < self.q_max else INFINITY
        ask[0] = -q * risk + 0.5 * risk + edge if q > -self.q_max else INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        cdef double room = (self.q_max + 1.0) * (self.q_max + 1.0)
        if not self.infinite:
            return market.k * gamma_over_k(market, self.skew_share)
        # At q = 0 a clip moves the price by 2/(gamma (room - 1)), and the half-spread is markup - ln(1 - 1/room)/gamma.
        return market.k * min(expm1(min(2.0 / (self.skew_share * (room - 1.0)) + log1p(-1.0 / room), 1.0)), 1.0)


cdef class Behind(Step):
    """Join the best prices or quote behind them, by what the mid moves while an order travels and rests unchanged.

    That is ``reach``: one standard deviation of the mid over `REACH_S`, from its moves between requotes of the last
    `MEMORY_S`, in whole ticks. An order within `KEPT_SHARE` of it from the wanted price stays. Quotes remain within the
    distances at which the intensity was measured, except that they are never ahead of the best prices.
    """

    cdef Distances joining          # its k follows from the spread and the reach; None with a fit
    cdef Intensity intensity
    cdef double[::1] far            # largest distance measured, by piece of the intensity; NaN if unknown
    cdef double squares, seconds, last_mid, reach
    cdef int64_t last_us

    def __init__(self, inner: object, joining: Distances | None, intensity: Intensity | None) -> None:
        Step.__init__(self, inner)
        self.joining, self.intensity, self.last_us = joining, intensity, -1
        if intensity is not None:
            self.far = np.array([NAN if one.max_delta_ticks is None else one.max_delta_ticks for one in intensity.rows()])
        self.timeless, self.needs_own_orders = False, True

    cdef int bind(self, tuple names) except -1:
        self.last_us = -1  # a run begins: moves of an earlier run do not count
        return Step.bind(self, names)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.measure(view.top.us, 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks))
        if self.joining is not None:
            self.joining.reach = self.reach
        return Step.quote(self, view, want)

    cdef void measure(self, int64_t us, double mid) noexcept nogil:
        """Add the move of the mid since the last requote to the variance per second."""
        cdef double lasts_s = 1e-6 * <double> (us - self.last_us), left
        if self.last_us < 0:
            self.squares = self.seconds = 0.0
        else:
            left = exp(-lasts_s / MEMORY_S)
            self.squares = self.squares * left + (mid - self.last_mid) * (mid - self.last_mid)
            self.seconds = self.seconds * left + lasts_s
        self.last_mid, self.last_us = mid, us
        self.reach = floor(sqrt(self.squares / self.seconds * REACH_S)) if self.seconds > 0.0 else 0.0

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        want.bid_ticks = self.placed(view, want.bid_ticks, 1)
        want.ask_ticks = self.placed(view, want.ask_ticks, -1)

    cdef double placed(self, const View* view, double price, int64_t side) noexcept nogil:
        """Return the price for a wanted one, NaN for none."""
        cdef double best = <double> (view.top.bid_ticks if side > 0 else view.top.ask_ticks), own, farthest
        cdef double across = <double> (view.top.ask_ticks if side > 0 else view.top.bid_ticks)
        if isnan(price):
            return NAN
        price = <double> side * floor(min(<double> side * price, <double> side * best - self.reach))
        farthest = self.farthest(view, side)
        if not isnan(farthest):
            price = <double> side * min(max(<double> side * price, ceil(<double> side * farthest)), <double> side * best)
        own = view.own_ticks[1 if side > 0 else 0]
        if fabs(own - price) <= KEPT_SHARE * self.reach and <double> side * (across - own) > 0.0:
            return own
        return price

    cdef double farthest(self, const View* view, int64_t side) noexcept nogil:
        """Return the price at the largest distance that was measured; NaN if unknown."""
        cdef int64_t piece
        if self.intensity is None:
            return NAN
        piece = self.intensity.find(view.top.us)
        if piece >= self.intensity.count:
            return NAN
        return 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - <double> side * (
            self.far[piece] + mid_offset(self.intensity.counts_from, &view.top, side)
        )


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov(**given: Any) -> QuoteModel:
    """Return the default strategy of a run: ``AvellanedaStoikov``, ``Behind``, ``InventoryBound``."""
    declared = avellaneda_stoikov.declared
    cdef dict values = declared.settle(given)
    cdef double q_max = values.pop("q_max")
    cdef AvellanedaStoikov bare
    # Only mode infinite has the bound in its formula; elsewhere the step around it limits the lots.
    bare = AvellanedaStoikov(name=declared.name, q_max=q_max if values["mode"] == "infinite" else None, **values)
    return behind(bare, values["intensity"] if bare.fitted else None, q_max)


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov_of_curve(**given: Any) -> QuoteModel:
    """Return the default strategy with the distances of ``OptimalCurve``, for a fit whose A and k miss its rates."""
    cdef dict values = avellaneda_stoikov.declared.settle(given)
    cdef double q_max = values.pop("q_max")
    shared = {name: values[name] for name in ("gamma", "skew_share", "sigma", "horizon_s", "intensity")}
    return behind(OptimalCurve(q_max=max(ceil(q_max), 1.0), **shared), values["intensity"], q_max)


def behind(Distances inner, Intensity intensity, double q_max) -> QuoteModel:
    """Return a model as the default strategy quotes it: behind the best prices, and within an inventory bound."""
    name = avellaneda_stoikov.declared.name
    quotes = Behind(PostOnly(inner), inner if inner.joins else None, intensity)
    return InventoryBound(quotes, q_max=q_max, name=name)


cdef class Symmetric(QuoteModel):
    """Quote the spread of ``AvellanedaStoikov`` around the mid, independent of the inventory.

    In mode ``rolling`` the spread equals that model's with tau = *horizon_s*; in mode ``session`` it is the benchmark
    of section 3.3, the mean over a session: the half-spread is gamma·sigma²·horizon_s/4 plus the markup.
    """

    declared = declarations.Symmetric
    cdef readonly QuoteModel inner

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        if values.pop("mode") == "session":
            values["horizon_s"] *= 0.5
        self.inner = AvellanedaStoikov(name=self.name, **values)
        self.looks, self.timeless = BEST_PRICES, self.inner.timeless

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef View flat = view[0]
        flat.most_lots -= view.inventory_lots - view.target_lots
        flat.least_lots -= view.inventory_lots - view.target_lots
        flat.inventory_lots = view.target_lots
        return self.inner.quote(&flat, want)
