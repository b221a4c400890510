# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False, annotation_typing=False
"""The interface of quote models: one hook, compiled or plain Python."""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from mm.tape._book cimport Book, book_lots_at
from mm.backtest.engine._kept cimport is_kept
from mm.tape._lots cimport lots_given, lots_shown
from mm.base._calls cimport begin_call, end_call
from mm.backtest.fills.base cimport (
    IOC, LIMIT_MAKER, NEEDS_FILLS, NEEDS_LAST_TRADE, NEEDS_MANAGER, NEEDS_PRINTS, NEEDS_PYTHON, NEVER, SKIPS_DEPTH,
    SKIPS_REPEATS, Top, TradeView, set_field,
)

import math

from typing import TYPE_CHECKING, Any

from mm.backtest.fills.base import made_again
from mm.backtest.journal import KINDS
from mm.backtest.parameters import name_of
from mm.backtest.quotes.view import OwnFill as ShownFill
from mm.backtest.quotes.view import Quotes
from mm.base.knobs import closest
from mm.base.user_code import CallStopped, place_of_code, placed, raised
from mm.errors import ModelError, UsageError

if TYPE_CHECKING:
    from mm.signals.other_market import OtherMarket

cdef object DEFAULT_KIND = KINDS[LIMIT_MAKER]
cdef int64_t MAX_TICKS = 1 << 50        # non-negative int prices below this need no further check


cdef class QuoteModel:
    """Base of compiled quote models: override ``quote``.

    ``needs`` and ``skips``, set in ``__init__``, are bits of ``Need`` and ``Skip`` (fills/base.pxd): hooks and parts of
    the view that the model uses, and what the engine may leave out. ``signals`` contains the names of the signals that
    it reads (docs/models.md); ``bind`` receives all names in the order of ``view.signals``.
    """

    def __cinit__(self, *args, **kwargs) -> None:
        self.made, self.name = (args, kwargs), name_of(type(self))
        self.needs, self.skips, self.step_lots = 0, 0, 1
        self.signals = ()

    def __setattr__(self, name: str, value: object) -> None:
        set_field(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """From the same arguments, as nothing else lasts from run to run."""
        return made_again, (type(self), *self.made), getattr(self, "__dict__", None)

    cdef int declare_as(self, QuoteModel inner) except -1:
        """Need what an inner model needs, and skip only what it may skip too."""
        if inner.needs & ~self.needs & NEEDS_MANAGER:
            raise UsageError(f"{inner.name} sends its orders itself, so no step or model can change its quotes")
        self.needs |= inner.needs
        self.skips &= inner.skips
        self.signals = tuple(dict.fromkeys((*self.signals, *inner.signals)))
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        """Set the quotes; before the call *want* has no prices, and the clip as lots."""
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        """Called for each fill before the requote that it triggers. *view* includes all fills so far."""
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        """Called for each received print of the market, in order, before the next requote."""
        return 0

    cdef int restart(self, int64_t step_lots) except -1:
        """Reset the state of an earlier run, before a run with *step_lots* lots of the tape in an order step."""
        self.step_lots = step_lots
        return 0

    cdef int bind(self, tuple names) except -1:
        """Called with the *names* of a run's signals, in the order of ``view.signals``, before it begins."""
        return 0

    cdef int take_manager(self, object manager) except -1:
        """Called with the `OrderManager` of a run before it begins, if the model needs it (``NEEDS_MANAGER``)."""
        return 0

    def answer(
        self,
        *,
        bid_ticks: int,
        ask_ticks: int,
        bid_lots: int = 1,
        ask_lots: int = 1,
        inventory_lots: int = 0,
        target_lots: int = 0,
        quote_lots: int = 1,
        cash: float = 0.0,
        sigma_ticks: float = math.nan,
        tick_lot: float = 1.0,
        us: int = 0,
    ) -> Quotes:
        """Return the model's quotes for a given market state, outside of any run; prices are not rounded.

        Args:
            target_lots: The target inventory.
            cash: In the quote asset.
            sigma_ticks: Volatility in ticks per root second.
            tick_lot: Value of one tick of price on one lot, in the quote asset.
            us: The instant in µs; the run begins at 0.
        """
        cdef View view
        cdef int64_t[2] room
        room[0] = room[1] = NO_BOUND
        view.top = Top(us, 0, bid_ticks, ask_ticks, bid_lots, ask_lots, NULL)
        view.inventory_lots = view.most_lots = view.least_lots = inventory_lots
        view.target_lots, view.run_sigma_ticks = target_lots, sigma_ticks
        view.quote_lots, view.cash, view.sigma_ticks, view.tick_lot = quote_lots, cash, sigma_ticks, tick_lot
        view.last_trade.id, view.begun_us = -1, 0
        view.signals, view.others, view.tick, view.lot, view.step_lots = NULL, NULL, NAN, NAN, 1
        view.recorded = NULL
        show_no_own(&view)
        return answer_to(self, &view, room)

    def wants(self, view: QuoteView) -> Quotes:
        """Return the model's quotes for *view*, for use in a Python step around it."""
        cdef QuoteView shown = view
        if shown.shallow and not self.skips & SKIPS_DEPTH:
            raise ModelError(f"{self.name} reads the whole book; remove `depth = False` from the model around it")
        shown.seen()
        if self.signals:
            lacking = [name for name in self.signals if shown.names is None or name not in shown.names]
            if lacking:
                raise ModelError(f"{self.name} reads {', '.join(lacking)}; add it to the `signals` of the model around it")
            self.bind(shown.names)
        return answer_to(self, shown.seen(), shown.room)


cdef object answer_to(QuoteModel model, const View* view, int64_t* room):
    """*room* is lowered to what the model's inventory bound leaves."""
    cdef Ladder[2] ladders
    cdef Want want
    ladders[0] = ladders[1] = Ladder(NULL, 0, 0, 0.0)
    blank(&want, &ladders[0], view.quote_lots)
    try:
        model.quote(view, &want)
        room[0], room[1] = min(room[0], want.room[0]), min(room[1], want.room[1])
        quotes = Quotes(
            bid_kind=KINDS[want.bid_kind],
            ask_kind=KINDS[want.ask_kind],
            again_us=None if want.again_us == NEVER else want.again_us,
            on_best=want.on_best,
        )
        if want.laddered:
            quotes.bids, quotes.asks = prices_of(&ladders[1], view.step_lots), prices_of(&ladders[0], view.step_lots)
            return quotes
        quotes.bid_ticks = None if isnan(want.bid_ticks) else want.bid_ticks
        quotes.ask_ticks = None if isnan(want.ask_ticks) else want.ask_ticks
        quotes.bid_lots = lots_shown(want.bid_lots, view.step_lots)
        quotes.ask_lots = lots_shown(want.ask_lots, view.step_lots)
        return quotes
    finally:
        free(ladders[0].levels)
        free(ladders[1].levels)


cdef list prices_of(const Ladder* ladder, int64_t step_lots):
    """In order steps."""
    cdef int64_t i
    return [
        (ladder.levels[i].ticks, lots_shown(ladder.levels[i].lots, step_lots))
        for i in range(ladder.count)
        if not isnan(ladder.levels[i].ticks)
    ]


cdef tuple declared_signals(object model):
    """UsageError if they are not names."""
    names = getattr(model, "signals", ())
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"quote model {type(model).__name__}: signals is {names!r}; it must be a tuple of names")
    return tuple(dict.fromkeys(names))


def compiled(model: object) -> QuoteModel:
    """Return *model* itself if it is compiled, else a `PythonQuoteModel` or a `PythonStrategy` around it."""
    if isinstance(model, QuoteModel):
        return model
    if not hasattr(model, "on_event"):
        return PythonQuoteModel(model)
    if hasattr(model, "quote"):
        raise UsageError(
            f"{type(model).__name__} has both quote(view) and on_event(market, orders); keep the first to have its "
            f"orders managed, the second to send them itself"
        )
    from mm.backtest.strategy import PythonStrategy  # imported here: it is built on this module

    return PythonStrategy(model)


cdef class QuoteView:
    """The view passed to a Python quote model; valid during the call only. A price of 0 means none.

    A lot is the order step of the symbol, the same on all of its days; a recorded quantity that is finer is a fraction.
    """

    cdef const View* seen(self) except NULL:
        if self.view is NULL:
            raise ReferenceError("a quote view was used after its call; copy the numbers you want to keep")
        return self.view

    @property
    def us(self) -> int:
        """Instant of the requote."""
        return self.seen().top.us

    @property
    def bid_ticks(self) -> int:
        """Best bid."""
        return self.seen().top.bid_ticks

    @property
    def ask_ticks(self) -> int:
        """Best ask."""
        return self.seen().top.ask_ticks

    @property
    def bid_lots(self) -> float:
        """Lots at the best bid."""
        return lots_shown(self.seen().top.bid_lots, self.view.step_lots)

    @property
    def ask_lots(self) -> float:
        """Lots at the best ask."""
        return lots_shown(self.seen().top.ask_lots, self.view.step_lots)

    @property
    def mid2_ticks(self) -> int:
        """Best bid plus best ask: twice the mid."""
        return self.seen().top.bid_ticks + self.seen().top.ask_ticks

    @property
    def inventory_lots(self) -> float:
        """Our inventory, in lots."""
        return lots_shown(self.seen().inventory_lots, self.view.step_lots)

    @property
    def target_lots(self) -> float:
        """Target inventory, in lots (``TARGET_INVENTORY``): quotes, bounds and risk limits are relative to it."""
        return lots_shown(self.seen().target_lots, self.view.step_lots)

    @property
    def most_lots(self) -> float:
        """Our inventory if every open buy fills and no sell does; pending orders count."""
        return lots_shown(self.seen().most_lots, self.view.step_lots)

    @property
    def least_lots(self) -> float:
        """Our inventory if every open sell fills and no buy does; pending orders count."""
        return lots_shown(self.seen().least_lots, self.view.step_lots)

    @property
    def quote_lots(self) -> float:
        """The clip: lots of a quote without a quantity."""
        return lots_shown(self.seen().quote_lots, self.view.step_lots)

    @property
    def cash(self) -> float:
        """Cash in the quote asset."""
        return self.seen().cash

    @property
    def sigma_ticks(self) -> float:
        """Volatility in ticks per root second, NaN while unknown."""
        return self.seen().sigma_ticks

    @property
    def last_trade(self) -> TradeView | None:
        """The last print, None before the first."""
        if self.seen().last_trade.id < 0:
            return None
        return self.trade

    def signal(self, name: str) -> float | None:
        """Return the last value at or before ``us`` of a signal that the model declares in ``signals``.

        Returns:
            None while it is undefined (docs/models.md), as before the first row.

        Raises:
            ModelError: If the model does not declare it.
        """
        cdef double value
        cdef const View* view = self.seen()
        place = None if self.places is None else self.places.get(name)
        if place is None:
            near = closest(name, self.places or ())
            raise ModelError(f"signal({name!r}): the model does not declare it; add it to its `signals`{near}")
        value = NAN if view.signals is NULL else view.signals[<int> place]
        return None if isnan(value) else value

    @property
    def tick(self) -> float:
        """Price step, in the quote asset."""
        return self.seen().tick

    @property
    def lot(self) -> float:
        """A lot, the order step, in the base asset."""
        return self.seen().lot

    def other(self, name: str) -> OtherMarket:
        """Return another market of the run (``OTHERS``), with what had arrived of it by ``us``.

        Raises:
            ModelError: If the run has none of that name.
        """
        cdef const View* view = self.seen()
        others = {} if view.others is NULL else <object> view.others
        if name not in others:
            raise ModelError(f"other({name!r}): the run's other markets are {', '.join(others) or 'none'}; set OTHERS")
        return others[name]

    def record(self, name: str, value: float | None) -> None:
        """Keep a value of your own at ``us``, such as a fair value: it is written to ``series.csv`` and drawn.

        Args:
            name: Of the series.
            value: A finite number in any unit; None for none.
        """
        cdef const View* view = self.seen()
        if view.recorded is not NULL:
            (<object> view.recorded).add(view.top.us, name, value)

    def lots_at(self, int side, int64_t ticks) -> float:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""
        if self.shallow:
            if ticks != (self.bid_ticks if side > 0 else self.ask_ticks):
                raise ModelError(f"lots_at({side}, {ticks}) is not a best price; remove `depth = False` from the model")
            return self.bid_lots if side > 0 else self.ask_lots
        if self.seen().top.book is NULL:
            raise ModelError(f"lots_at({side}, {ticks}): there is no book outside of a run")
        return lots_shown(book_lots_at(<const Book*> self.seen().top.book, side, ticks), self.view.step_lots)


cdef object fill_shown(const OwnFill* fill, int64_t step_lots):
    lots, left = lots_shown(fill.lots, step_lots), lots_shown(fill.left_lots, step_lots)
    return ShownFill(fill.us, fill.order_id, fill.side, fill.ticks, lots, left, bool(fill.took))


cdef str price_not_ticks(double ticks, const View* view):
    cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
    return (
        f"{ticks:g}, a price near the market's {mid * view.tick:g}; it must be in ticks, where the market is at "
        f"{mid:,.10g}: divide by the tick size {view.tick:g}"
    )


cdef class PythonQuoteModel(QuoteModel):
    """Wraps a user's object and calls its ``quote(view) -> Quotes | None``.

    Optional members of the object:

    - ``on_fill(fill)``: receives each fill of our orders before the requote that follows it
    - ``on_print(trade)``: receives each print of the market before the next requote
    - ``timeless = True``: equal best prices and an equal inventory always give equal quotes; repeated calls
      are skipped, and ``sigma_ticks`` is NaN. A tuple of prices that is the same object as the last one is not reparsed
    - ``signals = ("imbalance_5", …)``: signals to read by ``view.signal(name)``
    - ``depth = False``: reads only best prices, their lots and the last print, and sends only ``LIMIT_MAKER`` orders;
      the replay then uses best prices only, which is faster
    """

    def __dealloc__(self) -> None:
        free(self.cached[0].levels)
        free(self.cached[1].levels)

    def __init__(self, model: object, hook: str = "quote") -> None:
        self.model, self.hook = model, hook
        self.quote_hook = getattr(model, hook, None)
        if self.quote_hook is None:
            raise UsageError(f"quote model {type(model).__name__} has no method quote(view) or on_event(market, orders)")
        self.fill_hook = getattr(model, "on_fill", None)
        self.print_hook = getattr(model, "on_print", None)
        self.name = type(model).__name__
        self.needs = NEEDS_PYTHON | NEEDS_LAST_TRADE
        self.needs |= NEEDS_FILLS if self.fill_hook is not None else 0
        self.needs |= NEEDS_PRINTS if self.print_hook is not None else 0
        self.skips = SKIPS_REPEATS if getattr(model, "timeless", False) else 0
        self.skips |= 0 if getattr(model, "depth", True) else SKIPS_DEPTH
        self.signals = declared_signals(model)
        self.places = dict.fromkeys(self.signals, 0)
        self.show()

    cdef int show(self) except -1:
        self.view = QuoteView()
        self.view.shallow = bool(self.skips & SKIPS_DEPTH)
        self.view.places, self.view.names = self.places, self.names
        self.view.trade = TradeView()
        self.view.trade.step_lots = self.step_lots
        return 0

    cdef int restart(self, int64_t step_lots) except -1:
        self.step_lots = step_lots
        return self.show()

    cdef int bind(self, tuple names) except -1:
        self.places.update({name: names.index(name) for name in self.signals})
        self.names = names
        return self.show()

    cdef int end(self) except -1:
        """A view that the model kept stays invalid and is replaced."""
        self.view.view = NULL
        self.view.trade.trade = NULL
        if is_kept(<PyObject*> self.view) or is_kept(<PyObject*> self.view.trade):
            self.show()
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef int64_t[2] room
        with gil:
            self.view.view, self.view.room[0], self.view.room[1] = view, NO_BOUND, NO_BOUND
            self.view.trade.trade = &view.last_trade
            before = begin_call(self.model, b"quote")
            try:
                answer = self.quote_hook(self.view)
            except ModelError as error:
                raise placed(error, self.quote_hook) from error.__cause__
            except CallStopped:
                answer = None
            except (Exception, SystemExit) as error:
                raise raised(self.model, "quote", error) from error
            finally:
                room[0], room[1] = self.view.room[0], self.view.room[1]
                self.end()
                end_call(self.model, b"quote", before)
            if answer is None:
                return 0
            if not isinstance(answer, Quotes):
                raise self.wrong(f"{answer!r}; it must return mm.Quotes or None")
            self.take(answer, view, want)
            want.room[0], want.room[1] = min(want.room[0], room[0]), min(want.room[1], room[1])
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        with gil:
            shown = fill_shown(fill, view.step_lots)
            before = begin_call(self.model, b"on_fill")
            try:
                self.fill_hook(shown)
            except ModelError as error:
                raise placed(error, self.fill_hook) from error.__cause__
            except CallStopped:
                pass
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_fill", error) from error
            finally:
                end_call(self.model, b"on_fill", before)
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        with gil:
            self.view.trade.trade = trade
            before = begin_call(self.model, b"on_print")
            try:
                self.print_hook(self.view.trade)
            except ModelError as error:
                raise placed(error, self.print_hook) from error.__cause__
            except CallStopped:
                pass
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_print", error) from error
            finally:
                self.end()
                end_call(self.model, b"on_print", before)
        return 0

    cdef object wrong(self, str what):
        return ModelError(f"{type(self.model).__name__}.{self.hook} returned {what}", place_of_code(self.quote_hook))

    cdef int take(self, object answer, const View* view, Want* want) except -1:
        want.bid_kind = self.kind("bid", answer.bid_kind)
        want.ask_kind = self.kind("ask", answer.ask_kind)
        want.again_us, want.on_best = self.instant(answer.again_us, view.top.us), bool(answer.on_best)
        if answer.bids is None and answer.asks is None:
            want.bid_ticks = self.price("bid_ticks", answer.bid_ticks)
            want.ask_ticks = self.price("ask_ticks", answer.ask_ticks)
            self.check_unit("bid_ticks", want.bid_ticks, view)
            self.check_unit("ask_ticks", want.ask_ticks, view)
            want.bid_lots = self.lots("bid_lots", answer.bid_lots, want.bid_lots)
            want.ask_lots = self.lots("ask_lots", answer.ask_lots, want.ask_lots)
            return 0
        if answer.bid_ticks is not None or answer.ask_ticks is not None:
            raise self.wrong(
                f"both one price and several: bid_ticks={answer.bid_ticks!r}, "
                f"ask_ticks={answer.ask_ticks!r} as well as bids or asks; leave one of them out"
            )
        want.laddered = True
        if view.quote_lots != self.cached_lots:
            self.bids, self.asks, self.cached_lots = None, None, view.quote_lots
        self.bids = self.add_cached("bids", 1, answer.bids, self.bids, want)
        self.asks = self.add_cached("asks", -1, answer.asks, self.asks, want)
        return 0

    cdef tuple add_cached(self, str side, int64_t sign, object levels, tuple last, Want* want):
        """Add a side's prices; return them if they are a tuple, whose parsed levels are cached."""
        cdef Ladder* cached = &self.cached[(sign + 1) >> 1]
        cdef Ladder* wanted = &want.ladders[(sign + 1) >> 1]
        cdef int64_t i
        if levels is not None and levels is last and (want.bid_kind if sign > 0 else want.ask_kind) < IOC:
            for i in range(cached.count):
                want_level(want, sign, cached.levels[i].ticks, cached.levels[i].lots)
            return last
        self.levels(side, sign, levels, self.cached_lots, want)
        if type(levels) is not tuple:
            return None
        cached.count = 0
        for i in range(wanted.count):
            if cached.count == cached.room:
                grow_ladder(cached)
            cached.levels[i] = wanted.levels[i]
            cached.count += 1
        return levels

    cdef int levels(self, str side, int64_t sign, object levels, int64_t lots, Want* want) except -1:
        cdef int64_t kind = want.bid_kind if sign > 0 else want.ask_kind, first, step, i
        if levels is None:
            return 0
        if type(levels) is range and kind < IOC and levels:
            ends = levels[0], levels[len(levels) - 1]
            if 0 <= min(ends) and max(ends) < MAX_TICKS:
                first, step = levels.start, levels.step
                for i in range(len(levels)):
                    want_level(want, sign, <double> (first + i * step), lots)
                return 0
        if kind >= IOC:
            raise self.wrong(
                f"{side} of the kind {KINDS[kind]}; several prices of a side "
                f"must be LIMIT_MAKER or LIMIT"
            )
        try:
            levels = list(levels)
        except TypeError:
            raise self.wrong(
                f"{side}={levels!r}; it must be a list of prices, or of pairs of "
                f"price and lots"
            ) from None
        for level in levels:
            if type(level) is int and 0 <= level < MAX_TICKS:
                want_level(want, sign, level, lots)
                continue
            ticks, named = level if isinstance(level, tuple) and len(level) == 2 else (level, None)
            if ticks is None:
                raise self.wrong(f"{side} with a price None; leave it out")
            want_level(want, sign, self.price(side, ticks), self.lots(side, named, lots))
        return 0

    cdef int64_t instant(self, object us, int64_t now_us) except? -1:
        cdef int overflow = 0
        cdef int64_t value
        if us is None:
            return NEVER
        if type(us) is int:
            value = PyLong_AsLongLongAndOverflow(us, &overflow)
            if not overflow and now_us < value < NEVER:
                return value
        if not hasattr(us, "__index__") or not now_us < us.__index__() < NEVER:
            raise self.wrong(
                f"again_us={us!r} at {now_us}; it must be a later instant in µs, "
                f"or None"
            )
        return us.__index__()

    cdef double price(self, str field, object ticks) except? -1.0:
        """NaN for none."""
        if ticks is None:
            return NAN
        try:
            value = math.nan if isinstance(ticks, str) else float(ticks)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e15:
            raise self.wrong(f"{field}={ticks!r}; it must be a finite number of ticks or None")
        return value

    cdef int check_unit(self, str field, double ticks, const View* view) except -1:
        if is_in_quote_asset(ticks, view):
            raise self.wrong(f"{field}={price_not_ticks(ticks, view)}")
        return 0

    cdef int64_t lots(self, str field, object lots, int64_t default) except? -1:
        """In the tape's lots; *default* for None."""
        cdef int64_t given
        if lots is None:
            return default
        given = lots_given(lots, self.step_lots)
        if given == -2:
            raise self.wrong(f"{field}={lots!r}; it must be a number of lots, 0 or more")
        return given

    cdef int64_t kind(self, str side, object kind) except -1:
        if kind is DEFAULT_KIND:
            return LIMIT_MAKER
        if kind not in KINDS:
            raise self.wrong(f"{side}_kind={kind!r}; it must be one of {', '.join(KINDS)}")
        if self.view.shallow and kind != "LIMIT_MAKER":
            raise self.wrong(
                f"{side}_kind={kind!r}, an order that may take liquidity; "
                f"remove `depth = False` from the model"
            )
        return KINDS.index(kind)
