# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes around a price of one's own, moved against the inventory: the simple rules."""

from libc.math cimport INFINITY, NAN, isnan
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_LOTS, BEST_PRICES, Top
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held

from mm.errors import UsageError


cdef inline double mid_of(const Top* top) noexcept nogil:
    return 0.5 * <double> (top.bid_ticks + top.ask_ticks)


cdef inline double imbalance_of(const Top* top) noexcept nogil:
    """Return (bid lots - ask lots) / (bid lots + ask lots) at the best prices, from -1 to 1."""
    return <double> (top.bid_lots - top.ask_lots) / <double> (top.bid_lots + top.ask_lots)


cdef class Centred(QuoteModel):
    """What the models here share: ``centre - skew_ticks·q`` with the same distance on both sides.

    Args:
        skew_ticks: How far both quotes move for each clip held, down when long and up when short.
        q_max: No bid at an inventory of so many clips or more, no ask at minus that or less; None binds nothing.
    """

    cdef readonly double skew_ticks, q_max

    def __init__(self, *, skew_ticks: float, q_max: float | None) -> None:
        self.skew_ticks = checked(self.name, "skew_ticks", skew_ticks)
        self.q_max = INFINITY if q_max is None else q_max
        if not self.q_max > 0.0:
            raise UsageError(f"{self.name}: q_max is {q_max}; it must be above 0, in clips")

    cdef inline void around(self, double centre, double delta, const View* view, Want* want) noexcept nogil:
        """Want a bid and an ask *delta* from what is left of *centre* when the inventory has moved it."""
        cdef double q = clips_held(view)
        centre -= self.skew_ticks * q
        want.bid_ticks = centre - delta if q < self.q_max else NAN
        want.ask_ticks = centre + delta if q > -self.q_max else NAN


cdef class InventorySkew(Centred):
    """Quote ``mid - skew_ticks·q`` with the same distance on both sides, q the inventory in clips.

    Args:
        delta_ticks: Half the spread, in ticks.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """

    cdef readonly double delta_ticks

    def __init__(self, *, delta_ticks: float, skew_ticks: float, q_max: float | None = None) -> None:
        self.name = "inventory_skew"
        Centred.__init__(self, skew_ticks=skew_ticks, q_max=q_max)
        self.delta_ticks = checked(self.name, "delta_ticks", delta_ticks)
        self.looks, self.timeless = BEST_PRICES, True

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Imbalance(Centred):
    """Quote around the mid moved towards the side where less stands: by ``shift_ticks·(B - A)/(B + A)``.

    B and A are the lots at the best bid and the best ask.

    Args:
        delta_ticks: Half the spread, in ticks.
        shift_ticks: How far the centre moves when all that stands at the best prices stands on one side.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """

    cdef readonly double delta_ticks, shift_ticks

    def __init__(
        self, *, delta_ticks: float, shift_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None
    ) -> None:
        self.name = "imbalance"
        Centred.__init__(self, skew_ticks=skew_ticks, q_max=q_max)
        self.delta_ticks = checked(self.name, "delta_ticks", delta_ticks)
        self.shift_ticks = checked(self.name, "shift_ticks", shift_ticks)
        self.looks = BEST_LOTS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top) + self.shift_ticks * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Microprice(Centred):
    """Quote around the micro-price ``(bid·A + ask·B)/(B + A)``, B and A the lots at the best bid and the best ask.

    That is ``Imbalance`` with half the market's spread as its shift.

    Args:
        delta_ticks: Half the spread, in ticks.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """

    cdef readonly double delta_ticks

    def __init__(self, *, delta_ticks: float, skew_ticks: float = 0.0, q_max: float | None = None) -> None:
        self.name = "microprice"
        Centred.__init__(self, skew_ticks=skew_ticks, q_max=q_max)
        self.delta_ticks = checked(self.name, "delta_ticks", delta_ticks)
        self.looks = BEST_LOTS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double half = 0.5 * <double> (view.top.ask_ticks - view.top.bid_ticks)
        self.around(mid_of(&view.top) + half * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class AdaptiveSpread(Centred):
    """Quote ``least_ticks + per_sigma·sigma`` from the mid: the spread follows the volatility.

    Args:
        least_ticks: The distance at no volatility, in ticks.
        per_sigma: Ticks more for each tick per root second, in √s.
        sigma: Volatility in ticks/√s; None takes the tape's own, and quotes nothing while it is unknown.
        skew_ticks: How far both quotes move for each clip held.
        q_max: Inventory bound in clips.
    """

    cdef readonly double least_ticks, per_sigma, sigma

    def __init__(
        self,
        *,
        least_ticks: float,
        per_sigma: float,
        sigma: float | None = None,
        skew_ticks: float = 0.0,
        q_max: float | None = None,
    ) -> None:
        self.name = "adaptive_spread"
        Centred.__init__(self, skew_ticks=skew_ticks, q_max=q_max)
        self.least_ticks = checked(self.name, "least_ticks", least_ticks)
        self.per_sigma = checked(self.name, "per_sigma", per_sigma)
        self.sigma = NAN if sigma is None else checked(self.name, "sigma", sigma)
        self.looks, self.timeless = BEST_PRICES, sigma is not None

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        if not isnan(sigma):
            self.around(mid_of(&view.top), self.least_ticks + self.per_sigma * sigma, view, want)
        return 0


cdef double checked(str model, str name, object value) except? -1.0:
    """Return a parameter that must be 0 or more."""
    if not 0.0 <= value < 1e9:
        raise UsageError(f"{model}: {name} is {value}; it must be 0 or more")
    return value
