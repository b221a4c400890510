# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Steps around a quote model, mixtures of models, and a gate.

The steps without a signal and without Kelly's rule only make quotes more conservative: a bid never rises, an ask never
falls, lots never grow, and a side without a quote gets none. So their guarantees hold in any order
(tests/backtest/test_steps.py).

Steps by a signal use a price signal (``micro_price``, ``weighted_mid``, ``mid``) as its distance from the mid, in
ticks. While a signal is undefined, quotes stay unchanged.

Kelly's rule maximises the growth of log wealth. With wealth W, a position of q and a move of the mid over the horizon H
of mean m and variance v = σ²H, the expected growth is q·m/W - q²·v/(2W²) to second order. After buying n more at a
distance δ below the mid it is (q + n)·m/W + n·δ/W - (q + n)²·v/(2W²). The value of the next unit, W times the slope in
q, is m - q·v/W: the reservation price of Avellaneda and Stoikov (2008) with risk aversion 1/W. The best n is
W·(δ + m)/v - q. A fraction f of Kelly bets as if wealth were f·W (Kelly, A new interpretation of information rate,
1956; Thorp, The Kelly criterion in blackjack, sports betting and the stock market, 2006). W is cash plus inventory at
the mid, q the inventory relative to the target, both in lots and ticks.
"""

from cpython.ref cimport PyObject
from libc.math cimport INFINITY, NAN, ceil, exp, floor, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.engine._order_manager cimport OrderManager
from mm.backtest.fills.base cimport LIMIT_MAKER, MARKET, NEEDS_MANAGER, NEVER, SKIPS_ALL, SKIPS_REPEATS, Trade
from mm.backtest.fills.intensity cimport Intensity
from mm.backtest.quotes.base cimport Ladder, OwnFill, QuoteModel, View, Want, clips_held, keep_within, lots_of_clips

from collections.abc import Iterable

from mm.backtest import declarations
from mm.backtest.parameters import declares, name_of
from mm.backtest.quotes.base import compiled
from mm.errors import ModelError, UsageError



cdef inline bint priced(double ticks, int64_t kind) noexcept nogil:
    return not isnan(ticks) and kind != MARKET


cdef class Step(QuoteModel):
    """Base of steps, which adjust the quotes of an inner model: override ``adjust``."""

    def __init__(self, inner: object) -> None:
        self.inner = compiled(inner)
        self.name = f"{self.inner.name}+{name_of(type(self))}"
        self.skips = SKIPS_ALL
        self.declare_as(self.inner)

    cdef int restart(self, int64_t step_lots) except -1:
        self.step_lots = step_lots
        return self.inner.restart(step_lots)

    cdef int bind(self, tuple names) except -1:
        return self.inner.bind(names)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.inner.quote(view, want)
        if want.laddered:
            self.adjust_ladders(view, want)
        else:
            self.adjust(view, want)
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        return self.inner.on_fill(view, fill)

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        return self.inner.on_print(trade)

    cdef void adjust_ladders(self, const View* view, Want* want) noexcept nogil:
        """Adjust several prices in pairs: the first bid with the first ask, and so on."""
        cdef Ladder* asks = &want.ladders[0]
        cdef Ladder* bids = &want.ladders[1]
        cdef int64_t i
        cdef Want pair = want[0]
        for i in range(max(asks.count, bids.count)):
            pair.bid_ticks = pair.ask_ticks = NAN
            pair.bid_lots = pair.ask_lots = 1
            if i < bids.count:
                pair.bid_ticks, pair.bid_lots = bids.levels[i].ticks, bids.levels[i].lots
            if i < asks.count:
                pair.ask_ticks, pair.ask_lots = asks.levels[i].ticks, asks.levels[i].lots
            pair.bid_kind, pair.ask_kind = want.bid_kind, want.ask_kind
            self.adjust(view, &pair)
            if i < bids.count:
                bids.levels[i].ticks, bids.levels[i].lots = pair.bid_ticks, pair.bid_lots
            if i < asks.count:
                asks.levels[i].ticks, asks.levels[i].lots = pair.ask_ticks, pair.ask_lots
        want.bid_kind, want.ask_kind = pair.bid_kind, pair.ask_kind

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        pass


cdef class InventoryBound(Step):
    """Limit lots so that no bid can take the inventory above *q_max* clips, and no ask below minus *q_max* clips.

    Clips are relative to the target inventory. A side without room is not quoted. An order that is being cancelled may
    still fill, so its replacement waits for its end if there is no room for both.
    """

    declared = declarations.InventoryBound
    cdef readonly double q_max

    def __init__(self, inner: object, *, name: str | None = None, **given: Any) -> None:
        Step.__init__(self, inner)
        self.name = self.name if name is None else name
        self.q_max = self.declared.settle(given)["q_max"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef int64_t most = lots_of_clips(self.q_max, view.quote_lots)
        cdef int64_t held = view.inventory_lots - view.target_lots
        keep_within(want, view, most)
        want.bid_lots = min(want.bid_lots, most - held)
        want.ask_lots = min(want.ask_lots, most + held)
        drop_empty_sides(want)

    cdef void adjust_ladders(self, const View* view, Want* want) noexcept nogil:
        cdef int64_t most = lots_of_clips(self.q_max, view.quote_lots)
        cdef int64_t held = view.inventory_lots - view.target_lots
        keep_within(want, view, most)
        limit_lots(&want.ladders[1], most - held)
        limit_lots(&want.ladders[0], most + held)


cdef class FushimiSize(Step):
    """Reduce the lots on the side that adds to the inventory by the factor ``exp(-eta·|q|)``.

    The size rule of Fushimi, González Rojas and Herman (Stanford MS&E 448, 2018), with the inner model's lots as
    the maximum size. Lots are floored.
    """

    declared = declarations.FushimiSize
    cdef readonly double eta

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        self.eta = self.declared.settle(given)["eta"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double q = clips_held(view)
        if q > 0.0:
            want.bid_lots = <int64_t> (exp(-self.eta * q) * <double> want.bid_lots)
        elif q < 0.0:
            want.ask_lots = <int64_t> (exp(self.eta * q) * <double> want.ask_lots)
        drop_empty_sides(want)


cdef class PostOnly(Step):
    """Never cross: bids are at least a tick below the best ask, asks a tick above the best bid; all are post-only.

    A ``MARKET`` order has no price to move and is removed.
    """

    declared = declarations.PostOnly

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        want.bid_ticks = min(want.bid_ticks, <double> (view.top.ask_ticks - 1)) if priced(want.bid_ticks, want.bid_kind) else NAN
        want.ask_ticks = max(want.ask_ticks, <double> (view.top.bid_ticks + 1)) if priced(want.ask_ticks, want.ask_kind) else NAN
        want.bid_kind = want.ask_kind = LIMIT_MAKER


cdef class LeastSpread(Step):
    """If both sides are quoted, move both out equally until they are at least *ticks* apart.
    """

    declared = declarations.LeastSpread
    cdef readonly double ticks

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        self.ticks = self.declared.settle(given)["ticks"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double missing
        if priced(want.bid_ticks, want.bid_kind) and priced(want.ask_ticks, want.ask_kind):
            missing = max(self.ticks - (want.ask_ticks - want.bid_ticks), 0.0)
            want.bid_ticks -= 0.5 * missing
            want.ask_ticks += 0.5 * missing


cdef class RoundTo(Step):
    """Move each price out to the next multiple of *ticks*.
    """

    declared = declarations.RoundTo
    cdef readonly int64_t ticks

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        self.ticks = self.declared.settle(given)["ticks"]

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double grid = <double> self.ticks
        want.bid_ticks = floor(want.bid_ticks / grid) * grid
        want.ask_ticks = ceil(want.ask_ticks / grid) * grid


cdef class Widen(Step):
    """Quote *extra_ticks* further out while inventory or drawdown is outside its band, with hysteresis.
    """

    declared = declarations.Widen
    cdef readonly double extra_ticks, inventory, loss, recover
    cdef double peak
    cdef bint over_inventory, over_loss
    cdef int64_t last_us

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        values = self.declared.settle(given)
        if values["inventory"] is None and values["loss"] is None:
            raise UsageError("widen: neither inventory nor loss is given; give at least one band")
        self.extra_ticks, self.recover = values["extra_ticks"], values["recover"]
        self.inventory = INFINITY if values["inventory"] is None else values["inventory"]
        self.loss = INFINITY if values["loss"] is None else values["loss"]
        self.skips &= ~SKIPS_REPEATS
        self.last_us = -1

    cdef int bind(self, tuple names) except -1:
        self.last_us = -1  # a run begins, also at a later instant
        return Step.bind(self, names)

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks), clip = <double> view.quote_lots
        cdef double equity = (view.cash / view.tick_lot + mid * <double> view.inventory_lots) / clip
        if view.top.us < self.last_us or self.last_us < 0:  # another run begins
            self.peak = equity
            self.over_inventory = self.over_loss = False
        self.last_us = view.top.us
        self.peak = max(self.peak, equity)
        self.over_inventory = self.beyond(abs(clips_held(view)), self.inventory, self.over_inventory)
        self.over_loss = self.beyond(self.peak - equity, self.loss, self.over_loss)
        if self.over_inventory or self.over_loss:
            want.bid_ticks -= self.extra_ticks
            want.ask_ticks += self.extra_ticks

    cdef inline bint beyond(self, double value, double band, bint active) noexcept nogil:
        return value > (self.recover * band if active else band)


cdef inline void limit_lots(Ladder* ladder, int64_t room) noexcept nogil:
    """Limit the lots of a side to *room* in total; prices added first have priority."""
    cdef int64_t i
    for i in range(ladder.count):
        if isnan(ladder.levels[i].ticks):
            continue
        ladder.levels[i].lots = max(min(ladder.levels[i].lots, room), 0)
        room -= ladder.levels[i].lots
        if ladder.levels[i].lots == 0:
            ladder.levels[i].ticks = NAN


cdef inline void drop_empty_sides(Want* want) noexcept nogil:
    if want.bid_lots <= 0:
        want.bid_ticks = NAN
    if want.ask_lots <= 0:
        want.ask_ticks = NAN
    want.bid_lots, want.ask_lots = max(want.bid_lots, 0), max(want.ask_lots, 0)


cdef inline double mid_of(const View* view) noexcept nogil:
    return 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)


cdef class Signalled(Step):
    """Base of steps with a signal; by Kelly's rule it may be None."""

    cdef readonly str signal
    cdef readonly double by
    cdef int place
    cdef bint priced

    cdef dict settle(self, given: dict):
        cdef dict values = self.declared.settle(given)
        self.signal, self.by = values["signal"], values["by"]
        self.skips &= ~SKIPS_REPEATS
        if self.signal is not None:
            self.signals = tuple(dict.fromkeys((*self.inner.signals, self.signal)))
        return values

    cdef int bind(self, tuple names) except -1:
        from mm.signals.families import QUOTE, SIGNALS  # imported here: most runs have no signals

        if self.signal is not None:
            self.place = names.index(self.signal)
            self.priced = SIGNALS.described(self.signal)["unit"] == QUOTE
        return self.inner.bind(names)

    cdef double value(self, const View* view) noexcept nogil:
        """*by* times the signal; 0 without one, or while it is undefined."""
        cdef double found
        if self.signal is None or view.signals is NULL:
            return 0.0
        found = view.signals[self.place]
        if self.priced:
            found = found / view.tick - mid_of(view)
        return 0.0 if isnan(found) else self.by * found


cdef class PriceMove(Signalled):
    """Base of the steps that move prices by a signal, by at most *most* ticks."""

    cdef readonly double most

    def __init__(self, inner: object, **given: Any) -> None:
        Step.__init__(self, inner)
        most = self.settle(given)["most"]
        self.most = INFINITY if most is None else most


cdef class ShiftBy(PriceMove):
    """Move both prices by *by* ticks per unit of a signal, up if it is positive."""

    declared = declarations.ShiftBy

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double shift = min(max(self.value(view), -self.most), self.most)
        want.bid_ticks += shift
        want.ask_ticks += shift


cdef class WidenBy(PriceMove):
    """Quote further out on each side by *by* ticks per unit of a signal's absolute value."""

    declared = declarations.WidenBy

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        cdef double extra = min(abs(self.value(view)), self.most)
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
        cdef double reduction = self.value(view)
        cdef double share = max(1.0 - abs(reduction), self.least)
        if reduction < 0.0 or self.both:
            want.bid_lots = <int64_t> floor(share * <double> want.bid_lots)
        if reduction > 0.0 or self.both:
            want.ask_lots = <int64_t> floor(share * <double> want.ask_lots)
        drop_empty_sides(want)


cdef class Kelly(Signalled):
    """Base of the steps by Kelly's rule: wealth, and the variance over the horizon; the signal is the expected move."""

    cdef readonly double horizon_s, fraction, sigma

    cdef dict settle(self, given: dict):
        cdef dict values = Signalled.settle(self, given)
        self.horizon_s, self.fraction = values["horizon_s"], values["fraction"]
        self.sigma = NAN if values["sigma"] is None else values["sigma"]
        return values

    cdef double stake(self, const View* view) noexcept nogil:
        return self.fraction * (view.cash / view.tick_lot + <double> view.inventory_lots * mid_of(view))

    cdef double variance(self, const View* view) noexcept nogil:
        """In squared ticks; NaN while the volatility is unknown."""
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        return sigma * sigma * self.horizon_s


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
            shift = min(max(self.value(view) - held * variance / stake, -self.most), self.most)
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
        cdef double held = <double> (view.inventory_lots - view.target_lots), drift = self.value(view)
        cdef double mid = mid_of(view)
        want.bid_lots = self.lots(view, mid - want.bid_ticks + drift, held, want.bid_lots)
        want.ask_lots = self.lots(view, want.ask_ticks - mid - drift, -held, want.ask_lots)
        drop_empty_sides(want)

    cdef int64_t lots(self, const View* view, double edge, double held, int64_t wanted) noexcept nogil:
        """Lots of a side whose fill is worth *edge* ticks before fees and adds to *held* lots."""
        cdef double variance = self.variance(view), stake = self.stake(view), most = floor(self.most * <double> wanted)
        edge -= self.fee_ticks
        if isnan(edge) or isnan(variance):
            return 0
        if variance == 0.0:
            return <int64_t> most if edge > 0.0 and stake > 0.0 else 0
        return <int64_t> min(floor(max(stake, 0.0) * edge / variance - held), most)


cdef class Mixed(QuoteModel):
    """Quote the weighted mean of several models' prices, per side.

    - every model quotes at every requote
    - a side is quoted only if all models quote it
    - the lots are the smallest quantity of all models
    - an order is a ``LIMIT_MAKER`` unless all models set the same other kind
    - an additional requote follows if any model requests it
    - a model that quotes several prices per side is rejected

    Args:
        models: Pairs of a quote model, compiled or any object with ``quote(view)``, and its weight.
    """

    declared = declarations.Mixed
    cdef readonly tuple models   # type: tuple[QuoteModel, ...]
    cdef readonly tuple weights  # type: tuple[float, ...]
    cdef PyObject** each            # borrowed references to *models*
    cdef double* share              # the weights
    cdef double total
    cdef int count

    def __init__(self, models: Iterable[tuple[object, float]]) -> None:
        try:
            pairs = [(model, weight) for model, weight in models]
        except (TypeError, ValueError):
            raise UsageError(f"mixed: models is {models!r:.200}; it must be pairs of a model and a weight") from None
        if not pairs:
            raise UsageError("mixed: models is empty; give at least one")
        for _, weight in pairs:
            if not (isinstance(weight, int | float) and 0.0 < weight < 1e9):
                raise UsageError(f"mixed: a weight is {weight}; it must be above 0")
        self.models = tuple(compiled(model) for model, _ in pairs)
        self.weights = tuple(weight for _, weight in pairs)
        self.count, self.total = len(pairs), sum(self.weights)
        self.each = <PyObject**> calloc(self.count, sizeof(PyObject*))
        self.share = <double*> calloc(self.count, sizeof(double))
        if self.each is NULL or self.share is NULL:
            raise MemoryError("no memory for the models of a mixture")
        self.skips = SKIPS_ALL
        for i, model in enumerate(self.models):
            self.each[i], self.share[i] = <PyObject*> model, self.weights[i]
            self.declare_as(model)

    cdef int restart(self, int64_t step_lots) except -1:
        for model in self.models:
            (<QuoteModel> model).restart(step_lots)
        return 0

    cdef int bind(self, tuple names) except -1:
        for model in self.models:
            (<QuoteModel> model).bind(names)
        return 0

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.share)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef Want blank = want[0], quotes
        cdef double bid = 0.0, ask = 0.0  # relative to the first model's prices, so that equal prices stay exact
        cdef int i
        for i in range(self.count):
            quotes = blank
            quotes.on_best, quotes.again_us = False, NEVER
            (<QuoteModel> self.each[i]).quote(view, &quotes)
            if quotes.laddered:
                with gil:
                    raise ModelError(f"mixed: {self.models[i].name} quotes several prices per side, which cannot be averaged")
            blank.on_best |= quotes.on_best
            blank.again_us = min(blank.again_us, quotes.again_us)
            if i == 0:
                want[0] = quotes
                continue
            bid += self.share[i] * (quotes.bid_ticks - want.bid_ticks)
            ask += self.share[i] * (quotes.ask_ticks - want.ask_ticks)
            want.bid_lots, want.ask_lots = min(want.bid_lots, quotes.bid_lots), min(want.ask_lots, quotes.ask_lots)
            want.room[0], want.room[1] = min(want.room[0], quotes.room[0]), min(want.room[1], quotes.room[1])
            if quotes.bid_kind != want.bid_kind:
                want.bid_kind = LIMIT_MAKER
            if quotes.ask_kind != want.ask_kind:
                want.ask_kind = LIMIT_MAKER
        want.bid_ticks += bid / self.total
        want.ask_ticks += ask / self.total
        want.on_best, want.again_us = blank.on_best, blank.again_us
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        cdef int i
        for i in range(self.count):
            (<QuoteModel> self.each[i]).on_fill(view, fill)
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        cdef int i
        for i in range(self.count):
            (<QuoteModel> self.each[i]).on_print(trade)
        return 0


cdef class Gated(Step):
    """Quote as the inner model within the pieces of *intensity*; no quotes elsewhere.

    A model that sends its orders itself is called only within them; elsewhere its open orders are cancelled, in other
    markets too.

    Args:
        inner: A compiled quote model, or any object with ``quote(view)`` or ``on_event(market, orders)``.
        intensity: The pieces of a schedule.
    """

    cdef Intensity intensity
    cdef OrderManager manager

    def __init__(self, inner: object, intensity: Intensity) -> None:
        cdef QuoteModel model = compiled(inner)
        self.needs = model.needs & NEEDS_MANAGER
        Step.__init__(self, model)
        self.name, self.intensity = self.inner.name, intensity
        self.skips &= ~SKIPS_REPEATS

    @property
    def begins_us(self) -> int:
        """The start of the first piece; far in the future without one."""
        return self.intensity.pieces[0].start_us if self.intensity.count else NEVER

    cdef int take_manager(self, object manager) except -1:
        self.manager = manager
        return self.inner.take_manager(manager)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef int64_t piece = self.intensity.find(view.top.us)
        if piece < self.intensity.count and self.intensity.pieces[piece].start_us <= view.top.us:
            return self.inner.quote(view, want)
        if self.needs & NEEDS_MANAGER:
            with gil:
                self.withdraw(view.top.us)
        return 0

    cdef int withdraw(self, int64_t us) except -1:
        cdef int64_t i
        for i in range(self.manager.orders.open.count):
            self.manager.cancel_order(us, self.manager.orders.open.orders[i].id)
        for leg in self.manager.legs.values():
            leg.begin(us)
            for order in leg.orders:
                leg.orders.cancel(order)
            leg.finish()
        return 0


@declares(declarations.Steps)
def steps(**given: Any) -> object:
    """Return a quote model with steps around it."""
    values = steps.declared.settle(given)
    model, around = values["model"], values["steps"]
    if not isinstance(around, Iterable) or not all(map(callable, around := list(around))):
        raise UsageError(f"steps: steps is {values['steps']!r:.200}; it must be a list of what makes a step of a model")
    for step in around:
        model = step(model)
    return model
