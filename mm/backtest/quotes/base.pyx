# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The interface of quote models: one hook, compiled or plain Python."""

from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.object cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from mm.tape._book cimport Book, book_lots_at
from mm.backtest._kept cimport is_kept
from mm.backtest.fills.base cimport BEST_LOTS, IOC, LIMIT_MAKER, NEVER, WHOLE_BOOK, Top, TradeView

import math

from mm.backtest.journal import KINDS
from mm.backtest.parameters import name_of
from mm.backtest.quotes.view import OwnFill as ShownFill
from mm.backtest.quotes.view import Quotes
from mm.user_code import raised
from mm.errors import ModelError, UsageError

cdef object USUAL = KINDS[LIMIT_MAKER]
cdef int64_t MOST = 1 << 50             # prices below need no further check


cdef class QuoteModel:
    """Base of compiled quote models: override ``quote``.

    Declarations make a model faster (attributes of the class, set in ``__init__``): ``looks = BEST_PRICES`` or
    ``BEST_LOTS`` if it sends only ``LIMIT_MAKER`` orders and reads nothing deeper in the book; ``timeless`` if equal
    best prices and an equal inventory always give equal quotes, without further requotes; ``follows_fills`` if its
    ``on_fill`` is to be called, ``follows_prints`` if its ``on_print`` is. ``signals`` names the signals that it reads
    (docs/signals.md); ``bind`` receives the order in which they are in ``view.signals``. With ``needs_own_orders`` the
    view has our open quotes, with ``needs_last_trade`` the last print.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.name = name_of(type(self))
        self.looks = WHOLE_BOOK
        self.timeless = self.interpreted = self.follows_fills = self.follows_prints = False
        self.needs_own_orders = self.needs_last_trade = False
        self.signals = ()

    cdef void declare_as(self, QuoteModel inner):
        """Declare what an inner model does."""
        self.looks, self.interpreted, self.timeless = inner.looks, inner.interpreted, inner.timeless
        self.follows_fills, self.follows_prints = inner.follows_fills, inner.follows_prints
        self.needs_own_orders, self.needs_last_trade = inner.needs_own_orders, inner.needs_last_trade
        self.signals = inner.signals

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        """Set the quotes; every field of *want* holds "no quote" and the clip before the call."""
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        """Called for each fill before the requote that follows it. *view* includes all of them."""
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        """Called for each received print of the market, in order, before the next requote."""
        return 0

    cdef int bind(self, tuple names) except -1:
        """Receive the signals of a run before it begins: those of *names*, in this order."""
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
        """Return the model's quotes for these numbers, outside of any run; prices are not rounded.

        Args:
            bid_ticks, ask_ticks: The best prices.
            bid_lots, ask_lots: The lots there.
            inventory_lots: Our inventory.
            target_lots: The target inventory.
            quote_lots: The clip.
            cash: In the quote asset.
            sigma_ticks: Volatility in ticks per root second.
            tick_lot: Value of one tick of price on one lot, in the quote asset.
            us: The instant; the run begins at 0.
        """
        cdef View view
        view.top = Top(us, 0, bid_ticks, ask_ticks, bid_lots, ask_lots, NULL)
        view.inventory_lots = view.most_lots = view.least_lots = inventory_lots
        view.target_lots, view.run_sigma_ticks = target_lots, sigma_ticks
        view.quote_lots, view.cash, view.sigma_ticks, view.tick_lot = quote_lots, cash, sigma_ticks, tick_lot
        view.last_trade.id, view.begun_us = -1, 0
        view.signals, view.tick = NULL, NAN
        show_no_own(&view)
        return answer_to(self, &view)

    def wants(self, view: QuoteView) -> Quotes:
        """Return the model's quotes for *view*, for use in a Python step around it."""
        cdef QuoteView shown = view
        if shown.shallow and self.looks == WHOLE_BOOK:
            raise ModelError(f"{self.name} reads the whole book; take `depth = False` out of the model around it")
        shown.seen()
        if self.signals:
            lacking = [name for name in self.signals if shown.names is None or name not in shown.names]
            if lacking:
                raise ModelError(f"{self.name} reads {', '.join(lacking)}; add it to the `signals` of the model around it")
            self.bind(shown.names)
        return answer_to(self, shown.seen())


cdef object answer_to(QuoteModel model, const View* view):
    """Return a model's quotes for *view* as a Python object."""
    cdef Ladder[2] ladders
    cdef Want want
    ladders[0] = ladders[1] = Ladder(NULL, 0, 0, 0.0)
    blank(&want, &ladders[0], view.quote_lots)
    try:
        model.quote(view, &want)
        quotes = Quotes(
            bid_kind=KINDS[want.bid_kind],
            ask_kind=KINDS[want.ask_kind],
            again_us=None if want.again_us == NEVER else want.again_us,
            on_best=want.on_best,
        )
        if want.laddered:
            quotes.bids, quotes.asks = prices_of(&ladders[1]), prices_of(&ladders[0])
            return quotes
        quotes.bid_ticks = None if isnan(want.bid_ticks) else want.bid_ticks
        quotes.ask_ticks = None if isnan(want.ask_ticks) else want.ask_ticks
        quotes.bid_lots, quotes.ask_lots = want.bid_lots, want.ask_lots
        return quotes
    finally:
        free(ladders[0].levels)
        free(ladders[1].levels)


cdef list prices_of(const Ladder* ladder):
    """Return the prices of a side and their lots."""
    cdef int64_t i
    return [(ladder.levels[i].ticks, ladder.levels[i].lots) for i in range(ladder.count) if not isnan(ladder.levels[i].ticks)]


cdef tuple declared_signals(object model):
    """Return the names in a model's ``signals``; raise UsageError if they are not names."""
    names = getattr(model, "signals", ())
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"quote model {type(model).__name__}: signals is {names!r}; it must be a tuple of names")
    return tuple(dict.fromkeys(names))


def compiled(model: object) -> QuoteModel:
    """Return *model* itself if it is compiled, else a `PythonQuoteModel` around it."""
    return model if isinstance(model, QuoteModel) else PythonQuoteModel(model)


cdef class QuoteView:
    """The view passed to a Python quote model; valid during the call only. A price of 0 means none."""

    cdef const View* view
    cdef TradeView trade
    cdef bint shallow               # whether its model declares that it reads only the best prices
    cdef dict places                # of the signals that its model declares
    cdef tuple names                # of all signals of the run

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
    def bid_lots(self) -> int:
        """Lots at the best bid."""
        return self.seen().top.bid_lots

    @property
    def ask_lots(self) -> int:
        """Lots at the best ask."""
        return self.seen().top.ask_lots

    @property
    def mid2_ticks(self) -> int:
        """Best bid plus best ask: twice the mid."""
        return self.seen().top.bid_ticks + self.seen().top.ask_ticks

    @property
    def inventory_lots(self) -> int:
        """Our inventory, in lots."""
        return self.seen().inventory_lots

    @property
    def target_lots(self) -> int:
        """The inventory that quotes, bounds and risk count from, in lots (``TARGET_INVENTORY``)."""
        return self.seen().target_lots

    @property
    def most_lots(self) -> int:
        """Our inventory if every open buy fills and no sell does; pending orders count."""
        return self.seen().most_lots

    @property
    def least_lots(self) -> int:
        """Our inventory if every open sell fills and no buy does; pending orders count."""
        return self.seen().least_lots

    @property
    def quote_lots(self) -> int:
        """The clip: lots of a quote without a quantity."""
        return self.seen().quote_lots

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
            None while it is undefined (docs/signals.md), as before the first row.

        Raises:
            ModelError: If the model does not declare it.
        """
        cdef double value
        cdef const View* view = self.seen()
        place = None if self.places is None else self.places.get(name)
        if place is None:
            raise ModelError(f"signal({name!r}): the model does not declare it; add it to its `signals`")
        value = NAN if view.signals is NULL else view.signals[<int> place]
        return None if isnan(value) else value

    def lots_at(self, int side, int64_t ticks) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""
        if self.shallow:
            if ticks != (self.bid_ticks if side > 0 else self.ask_ticks):
                raise ModelError(f"lots_at({side}, {ticks}) is not a best price; take `depth = False` out of the model")
            return self.bid_lots if side > 0 else self.ask_lots
        if self.seen().top.book is NULL:
            raise ModelError(f"lots_at({side}, {ticks}): there is no book outside of a run")
        return book_lots_at(<const Book*> self.seen().top.book, side, ticks)


cdef class PythonQuoteModel(QuoteModel):
    """Wraps a user's object and calls its ``quote(view) -> Quotes | None``.

    Optional members of the object:

    - ``on_fill(fill)``: receives each fill of our orders before the requote that follows it
    - ``on_print(trade)``: receives each print of the market before the next requote
    - ``timeless = True``: equal best prices and an equal inventory always give equal quotes; calls that would repeat
      are skipped, and there is no volatility. A tuple of prices identical (``is``) to the last one is not read again
    - ``signals = ("imbalance_5", …)``: signals to read by ``view.signal(name)``
    - ``depth = False``: reads only best prices, their lots and the last print, and sends no orders that take; it is
      played on best prices only, which is faster
    """

    cdef object model, ask, filled, printed
    cdef QuoteView view
    cdef Ladder[2] known            # levels from the tuples of the last quotes
    cdef tuple bids, asks           # these tuples, None where there is none
    cdef int64_t known_lots         # the clip that they were read with
    cdef dict places
    cdef tuple names

    def __dealloc__(self) -> None:
        free(self.known[0].levels)
        free(self.known[1].levels)

    def __init__(self, model: object) -> None:
        self.model = model
        self.ask = getattr(model, "quote", None)
        if self.ask is None:
            raise UsageError(f"quote model {type(model).__name__} has no method quote(view)")
        self.filled = getattr(model, "on_fill", None)
        self.printed = getattr(model, "on_print", None)
        self.follows_fills, self.follows_prints = self.filled is not None, self.printed is not None
        self.name = type(model).__name__
        self.interpreted, self.needs_last_trade = True, True
        self.timeless = bool(getattr(model, "timeless", False))
        self.looks = WHOLE_BOOK if getattr(model, "depth", True) else BEST_LOTS
        self.signals = declared_signals(model)
        self.places = dict.fromkeys(self.signals, 0)
        self.show()

    cdef int show(self) except -1:
        """Create the view of the next call."""
        self.view = QuoteView()
        self.view.shallow = self.looks != WHOLE_BOOK
        self.view.places, self.view.names = self.places, self.names
        self.view.trade = TradeView()
        return 0

    cdef int bind(self, tuple names) except -1:
        self.places.update({name: names.index(name) for name in self.signals})
        self.names = names
        return self.show()

    cdef int end(self) except -1:
        """Invalidate the view after a call; a view that the model kept stays invalid and is replaced."""
        self.view.view = NULL
        self.view.trade.trade = NULL
        if is_kept(<PyObject*> self.view) or is_kept(<PyObject*> self.view.trade):
            self.show()
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        with gil:
            self.view.view = view
            self.view.trade.trade = &view.last_trade
            try:
                answer = self.ask(self.view)
            except ModelError:
                raise
            except (Exception, SystemExit) as error:
                raise raised(self.model, "quote", error) from error
            finally:
                self.end()
            if answer is None:
                return 0
            if not isinstance(answer, Quotes):
                raise ModelError(
                    f"{type(self.model).__name__}.quote returned {answer!r}; it must return mm.Quotes or None"
                )
            self.take(answer, view, want)
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        with gil:
            shown = ShownFill(
                fill.us, fill.order_id, fill.side, fill.ticks, fill.lots, fill.left_lots, bool(fill.took)
            )
            try:
                self.filled(shown)
            except ModelError:
                raise
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_fill", error) from error
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        with gil:
            self.view.trade.trade = trade
            try:
                self.printed(self.view.trade)
            except ModelError:
                raise
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_print", error) from error
            finally:
                self.end()
        return 0

    cdef int take(self, object answer, const View* view, Want* want) except -1:
        """Set *want* to the quotes returned by the model."""
        want.bid_kind = self.kind("bid", answer.bid_kind)
        want.ask_kind = self.kind("ask", answer.ask_kind)
        want.again_us, want.on_best = self.instant(answer.again_us, view.top.us), bool(answer.on_best)
        if answer.bids is None and answer.asks is None:
            want.bid_ticks = self.price("bid_ticks", answer.bid_ticks)
            want.ask_ticks = self.price("ask_ticks", answer.ask_ticks)
            want.bid_lots = self.lots("bid_lots", answer.bid_lots, want.bid_lots)
            want.ask_lots = self.lots("ask_lots", answer.ask_lots, want.ask_lots)
            return 0
        if answer.bid_ticks is not None or answer.ask_ticks is not None:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned both one price and several: bid_ticks={answer.bid_ticks!r}, "
                f"ask_ticks={answer.ask_ticks!r} as well as bids or asks; leave one of them out"
            )
        want.laddered = True
        if view.quote_lots != self.known_lots:
            self.bids, self.asks, self.known_lots = None, None, view.quote_lots
        self.bids = self.remembered("bids", 1, answer.bids, self.bids, want)
        self.asks = self.remembered("asks", -1, answer.asks, self.asks, want)
        return 0

    cdef tuple remembered(self, str side, int64_t sign, object levels, tuple last, Want* want):
        """Add the prices of a side; return them if they are a tuple, whose parsed levels are cached."""
        cdef Ladder* known = &self.known[(sign + 1) >> 1]
        cdef Ladder* wanted = &want.ladders[(sign + 1) >> 1]
        cdef int64_t i
        if levels is not None and levels is last and (want.bid_kind if sign > 0 else want.ask_kind) < IOC:
            for i in range(known.count):
                want_level(want, sign, known.levels[i].ticks, known.levels[i].lots)
            return last
        self.levels(side, sign, levels, self.known_lots, want)
        if type(levels) is not tuple:
            return None
        known.count = 0
        for i in range(wanted.count):
            if known.count == known.room:
                grow_ladder(known)
            known.levels[i] = wanted.levels[i]
            known.count += 1
        return levels

    cdef int levels(self, str side, int64_t sign, object levels, int64_t lots, Want* want) except -1:
        """Add the prices of a side."""
        cdef int64_t kind = want.bid_kind if sign > 0 else want.ask_kind, first, step, i
        if levels is None:
            return 0
        if type(levels) is range and kind < IOC and levels:
            ends = levels[0], levels[len(levels) - 1]
            if 0 <= min(ends) and max(ends) < MOST:
                first, step = levels.start, levels.step
                for i in range(len(levels)):
                    want_level(want, sign, <double> (first + i * step), lots)
                return 0
        if kind >= IOC:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {side} of the kind {KINDS[kind]}; several prices of a side "
                f"must be LIMIT_MAKER or LIMIT"
            )
        try:
            levels = list(levels)
        except TypeError:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {side}={levels!r}; it must be a list of prices, or of pairs of "
                f"price and lots"
            ) from None
        for level in levels:
            if type(level) is int and 0 <= level < MOST:
                want_level(want, sign, level, lots)
                continue
            ticks, named = level if isinstance(level, tuple) and len(level) == 2 else (level, None)
            if ticks is None:
                raise ModelError(f"{type(self.model).__name__}.quote returned {side} with a price None; leave it out")
            want_level(want, sign, self.price(side, ticks), self.lots(side, named, lots))
        return 0

    cdef int64_t instant(self, object us, int64_t now_us) except? -1:
        """Return the instant of the next extra call of the model, NEVER for none."""
        cdef int beyond = 0
        cdef int64_t found
        if us is None:
            return NEVER
        if type(us) is int:
            found = PyLong_AsLongLongAndOverflow(us, &beyond)
            if not beyond and now_us < found < NEVER:
                return found
        if not hasattr(us, "__index__") or not now_us < us.__index__() < NEVER:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned again_us={us!r} at {now_us}; it must be a later instant in µs, "
                f"or None"
            )
        return us.__index__()

    cdef double price(self, str field, object ticks) except? -1.0:
        """Return a returned price, NaN for none."""
        if ticks is None:
            return NAN
        try:
            value = math.nan if isinstance(ticks, str) else float(ticks)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e15:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {field}={ticks!r}; it must be a finite number of ticks or None"
            )
        return value

    cdef int64_t lots(self, str field, object lots, int64_t default) except? -1:
        """Return the returned lots."""
        if lots is None:
            return default
        if not hasattr(lots, "__index__") or not 0 <= lots.__index__() < 1 << 62:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {field}={lots!r}; it must be a whole number of lots, 0 or more"
            )
        return lots.__index__()

    cdef int64_t kind(self, str side, object kind) except -1:
        """Return the index of a returned order kind."""
        if kind is USUAL:
            return LIMIT_MAKER
        if kind not in KINDS:
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {side}_kind={kind!r}; it must be one of {', '.join(KINDS)}"
            )
        if self.view.shallow and kind != "LIMIT_MAKER":
            raise ModelError(
                f"{type(self.model).__name__}.quote returned {side}_kind={kind!r}, an order that may take from the book; "
                f"take `depth = False` out of the model"
            )
        return KINDS.index(kind)
