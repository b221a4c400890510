# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Steps around a quote model: what bounds, sizes, clamps and rounds the answer of a formula that stays bare.

A step makes quotes more careful, never less: a bid never rises, an ask never falls, lots never grow, and where nothing
is wanted nothing will be. So steps hold in any order (tests/backtest/test_steps.py).
"""

from libc.math cimport INFINITY, NAN, ceil, exp, floor, isnan
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport LIMIT_MAKER, MARKET
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held

from mm.backtest.quotes.base import compiled
from mm.errors import UsageError

cdef double MOST_LOTS = 4e18            # what a whole number holds


cdef inline bint priced(double ticks, int64_t kind) noexcept nogil:
    """Tell whether a side has a price that counts."""
    return not isnan(ticks) and kind != MARKET


cdef class Step(QuoteModel):
    """Asks the inner model, and adjusts its answer: override ``adjust``.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)``.
    """

    cdef readonly QuoteModel inner

    def __init__(self, inner: object, step: str) -> None:
        self.inner = compiled(inner)
        self.name = f"{self.inner.name}+{step}"
        self.looks, self.interpreted, self.timeless = self.inner.looks, self.inner.interpreted, self.inner.timeless

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.inner.quote(view, want)
        self.adjust(view, want)
        return 0

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        pass


cdef class InventoryBound(Step):
    """No bid that could take the inventory beyond *q_max* clips, no ask that could take it below minus that.

    Clips count from the target inventory.
    Lots are cut down to the room that is left; without room nothing is wanted on that side.

    Args:
        inner: The quote model.
        q_max: The bound, in clips.
        name: As results show it; None is that of the model with the step's.
    """

    cdef readonly double q_max

    def __init__(self, inner: object, *, q_max: float, name: str | None = None) -> None:
        Step.__init__(self, inner, "inventory_bound")
        self.name = self.name if name is None else name
        self.q_max = above_0("inventory_bound", "q_max", q_max)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef int64_t most = <int64_t> min(self.q_max * <double> view.quote_lots, MOST_LOTS)
        cdef int64_t held = view.inventory_lots - view.target_lots
        want.bid_lots = min(want.bid_lots, most - held)
        want.ask_lots = min(want.ask_lots, most + held)
        leave_out_empty(want)


cdef class FushimiSize(Step):
    """Fewer lots on the side that adds to the inventory: all while it does not, else times ``exp(-eta·|q|)``.

    The size rule of Fushimi, González Rojas and Herman (Stanford MS&E 448, 2018), with what the inner model wants as
    its largest size. Lots are floored.

    Args:
        inner: The quote model.
        eta: How quickly the size falls, per clip held.
    """

    cdef readonly double eta

    def __init__(self, inner: object, *, eta: float) -> None:
        Step.__init__(self, inner, "fushimi_size")
        self.eta = not_below_0("fushimi_size", "eta", eta)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double q = clips_held(view)
        if q > 0.0:
            want.bid_lots = <int64_t> (exp(-self.eta * q) * <double> want.bid_lots)
        elif q < 0.0:
            want.ask_lots = <int64_t> (exp(self.eta * q) * <double> want.ask_lots)
        leave_out_empty(want)


cdef class PostOnly(Step):
    """Never cross: bids stay a tick below the best ask, asks a tick above the best bid, and every order is a maker's.

    A ``MARKET`` order has no price to move and is left out.

    Args:
        inner: The quote model.
    """

    def __init__(self, inner: object) -> None:
        Step.__init__(self, inner, "post_only")

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        want.bid_ticks = min(want.bid_ticks, <double> (view.top.ask_ticks - 1)) if priced(want.bid_ticks, want.bid_kind) else NAN
        want.ask_ticks = max(want.ask_ticks, <double> (view.top.bid_ticks + 1)) if priced(want.ask_ticks, want.ask_kind) else NAN
        want.bid_kind = want.ask_kind = LIMIT_MAKER


cdef class LeastSpread(Step):
    """Where both sides are wanted, move both out alike until they are *ticks* apart.

    Args:
        inner: The quote model.
        ticks: The least distance of ask and bid.
    """

    cdef readonly double ticks

    def __init__(self, inner: object, *, ticks: float) -> None:
        Step.__init__(self, inner, "least_spread")
        self.ticks = not_below_0("least_spread", "ticks", ticks)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double short
        if priced(want.bid_ticks, want.bid_kind) and priced(want.ask_ticks, want.ask_kind):
            short = max(self.ticks - (want.ask_ticks - want.bid_ticks), 0.0)
            want.bid_ticks -= 0.5 * short
            want.ask_ticks += 0.5 * short


cdef class RoundTo(Step):
    """Move each price out to the next multiple of *ticks*.

    Args:
        inner: The quote model.
        ticks: The grid, in ticks.
    """

    cdef readonly int64_t ticks

    def __init__(self, inner: object, *, ticks: int) -> None:
        Step.__init__(self, inner, "round_to")
        if not 1 <= ticks <= 1_000_000_000:
            raise UsageError(f"round_to: ticks is {ticks}; it must be 1 or more")
        self.ticks = ticks

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double grid = <double> self.ticks
        want.bid_ticks = floor(want.bid_ticks / grid) * grid
        want.ask_ticks = ceil(want.ask_ticks / grid) * grid


cdef class Widen(Step):
    """Quote further out while a band is left: *extra_ticks* more on each side, from crossing it until well within.

    Args:
        inner: The quote model.
        extra_ticks: How much further out.
        inventory: The band of the inventory, in clips either way; None for none.
        loss: The band of the loss: how far what we own, at the mid, may lie below its highest at any question so far,
            in tick·clips; None for none.
        recover: The share of a band within which it counts as kept again.
    """

    cdef readonly double extra_ticks, inventory, loss, recover
    cdef double highest
    cdef bint much_held, much_lost
    cdef int64_t last_us

    def __init__(
        self,
        inner: object,
        *,
        extra_ticks: float,
        inventory: float | None = None,
        loss: float | None = None,
        recover: float = 0.5,
    ) -> None:
        Step.__init__(self, inner, "widen")
        if inventory is None and loss is None:
            raise UsageError("widen: neither inventory nor loss is given; name one band at least")
        if not 0.0 <= recover <= 1.0:
            raise UsageError(f"widen: recover is {recover}; it must be from 0 to 1, a share of the band")
        self.extra_ticks = not_below_0("widen", "extra_ticks", extra_ticks)
        self.inventory = INFINITY if inventory is None else above_0("widen", "inventory", inventory)
        self.loss = INFINITY if loss is None else above_0("widen", "loss", loss)
        self.recover = recover
        self.timeless = False
        self.last_us = -1

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks), clip = <double> view.quote_lots
        cdef double owned = (view.cash / view.tick_lot + mid * <double> view.inventory_lots) / clip
        if view.top.us < self.last_us or self.last_us < 0:  # another run begins
            self.highest = owned
            self.much_held = self.much_lost = False
        self.last_us = view.top.us
        self.highest = max(self.highest, owned)
        self.much_held = self.beyond(abs(clips_held(view)), self.inventory, self.much_held)
        self.much_lost = self.beyond(self.highest - owned, self.loss, self.much_lost)
        if self.much_held or self.much_lost:
            want.bid_ticks -= self.extra_ticks
            want.ask_ticks += self.extra_ticks

    cdef inline bint beyond(self, double value, double band, bint was) noexcept nogil:
        return value > (self.recover * band if was else band)


cdef inline void leave_out_empty(Want* want) noexcept nogil:
    """Want nothing on a side that has no lots."""
    if want.bid_lots <= 0:
        want.bid_ticks = NAN
    if want.ask_lots <= 0:
        want.ask_ticks = NAN
    want.bid_lots, want.ask_lots = max(want.bid_lots, 0), max(want.ask_lots, 0)


cdef double above_0(str step, str name, object value) except? -1.0:
    if not 0.0 < value < 1e15:
        raise UsageError(f"{step}: {name} is {value}; it must be above 0")
    return value


cdef double not_below_0(str step, str name, object value) except? -1.0:
    if not 0.0 <= value < 1e9:
        raise UsageError(f"{step}: {name} is {value}; it must be 0 or more")
    return value
