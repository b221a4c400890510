# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The interface of quote models: one hook, compiled or plain Python."""

from cpython.object cimport PyObject
from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t

from mm.tape._book cimport Book, book_lots_at
from mm.backtest._kept cimport is_kept
from mm.backtest.fills.base cimport BEST_LOTS, LIMIT_MAKER, WHOLE_BOOK, Top, TradeView

import math

from mm.backtest.journal import KINDS
from mm.backtest.parameters import name_of
from mm.backtest.quotes.view import Quotes
from mm.backtest.user_model import raised
from mm.errors import ModelError, UsageError


cdef class QuoteModel:
    """Base of compiled quote models: override ``quote``.

    What a model declares makes it quick (attributes of the class, set in ``__init__``): ``looks`` at ``BEST_PRICES``
    or ``BEST_LOTS`` where it sends ``LIMIT_MAKER`` orders only and sees nothing of the book below; ``timeless`` where
    equal best prices and an equal inventory always make an equal answer.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.name = name_of(type(self))
        self.looks = WHOLE_BOOK
        self.timeless = self.interpreted = False

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        """Set the quotes; every field of *want* holds "no quote" and the clip before the call."""
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
            bid_lots, ask_lots: What stands there.
            inventory_lots: What we hold.
            target_lots: The inventory that quotes count from.
            quote_lots: The clip.
            cash: In the quote asset.
            sigma_ticks: Volatility in ticks per root second.
            tick_lot: What one lot is worth more when the price is one tick higher, in the quote asset.
            us: The instant; the run begins at 0.
        """
        cdef View view
        cdef Want want
        view.top = Top(us, 0, bid_ticks, ask_ticks, bid_lots, ask_lots, NULL)
        view.inventory_lots = view.most_lots = view.least_lots = inventory_lots
        view.target_lots, view.run_sigma_ticks = target_lots, sigma_ticks
        view.quote_lots, view.cash, view.sigma_ticks, view.tick_lot = quote_lots, cash, sigma_ticks, tick_lot
        view.last_trade.id, view.begun_us = -1, 0
        want = nothing_of(quote_lots)
        self.quote(&view, &want)
        return as_quotes(&want)

    def wants(self, view: QuoteView) -> Quotes:
        """Return the model's quotes for *view*: for a step of yours around it."""
        cdef QuoteView shown = view
        cdef Want want = nothing_of(shown.seen().quote_lots)
        if shown.shallow and self.looks == WHOLE_BOOK:
            raise ModelError(f"{self.name} looks at the whole book; take `depth = False` out of the model around it")
        self.quote(shown.view, &want)
        return as_quotes(&want)


cdef Want nothing_of(int64_t lots) noexcept:
    """Return quotes before a model sets them: none, and the clip."""
    return Want(NAN, NAN, lots, lots, LIMIT_MAKER, LIMIT_MAKER)


cdef object as_quotes(const Want* want):
    """Return the quotes as Python reads them."""
    return Quotes(
        None if isnan(want.bid_ticks) else want.bid_ticks,
        None if isnan(want.ask_ticks) else want.ask_ticks,
        want.bid_lots,
        want.ask_lots,
        KINDS[want.bid_kind],
        KINDS[want.ask_kind],
    )


def compiled(model: object) -> QuoteModel:
    """Return *model* as the engine calls it: itself, or the holder of an object in Python."""
    return model if isinstance(model, QuoteModel) else PythonQuoteModel(model)


cdef class QuoteView:
    """What a Python quote model sees; valid during the call only. A price of 0 means none."""

    cdef const View* view
    cdef TradeView trade
    cdef bint shallow               # whether its model declares that it looks no deeper than the best prices

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
        """What we hold, in lots."""
        return self.seen().inventory_lots

    @property
    def target_lots(self) -> int:
        """The inventory that quotes, bounds and risk count from, in lots (``TARGET_INVENTORY``)."""
        return self.seen().target_lots

    @property
    def most_lots(self) -> int:
        """What we hold if every open buy fills and no sell does; orders on their way count."""
        return self.seen().most_lots

    @property
    def least_lots(self) -> int:
        """What we hold if every open sell fills and no buy does; orders on their way count."""
        return self.seen().least_lots

    @property
    def quote_lots(self) -> int:
        """The clip: lots of a quote that names none."""
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

    def lots_at(self, int side, int64_t ticks) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""
        if self.shallow and ticks != (self.bid_ticks if side > 0 else self.ask_ticks):
            raise ModelError(f"lots_at({side}, {ticks}) is no best price; take `depth = False` out of the model")
        if self.seen().top.book is NULL:
            raise ModelError(f"lots_at({side}, {ticks}): there is no book behind a question from outside of a run")
        return book_lots_at(<const Book*> self.seen().top.book, side, ticks)


cdef class PythonQuoteModel(QuoteModel):
    """Holds a user's object and calls its ``quote(view) -> Quotes | None``.

    One with ``depth = False`` sees best prices, the lots at them and the last print, and sends orders that do not
    take; it is played on them alone, which is quicker.
    """

    cdef object model, ask
    cdef QuoteView view

    def __init__(self, model: object) -> None:
        self.model = model
        self.ask = getattr(model, "quote", None)
        if self.ask is None:
            raise UsageError(f"quote model {type(model).__name__} has no method quote(view)")
        self.name = type(model).__name__
        self.interpreted = True
        self.looks = WHOLE_BOOK if getattr(model, "depth", True) else BEST_LOTS
        self.show()

    cdef int show(self) except -1:
        """Make what the next call will see."""
        self.view = QuoteView()
        self.view.shallow = self.looks != WHOLE_BOOK
        self.view.trade = TradeView()
        return 0

    cdef int end(self) except -1:
        """End what the view shows; one that the model has kept stays ended, and the next call sees another."""
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
                    f"{type(self.model).__name__}.quote answered {answer!r}; it must return mm.Quotes or None"
                )
            want.bid_ticks = self.price("bid", answer.bid_ticks)
            want.ask_ticks = self.price("ask", answer.ask_ticks)
            want.bid_lots = self.lots("bid", answer.bid_lots, want.bid_lots)
            want.ask_lots = self.lots("ask", answer.ask_lots, want.ask_lots)
            want.bid_kind = self.kind("bid", answer.bid_kind)
            want.ask_kind = self.kind("ask", answer.ask_kind)
        return 0

    cdef double price(self, str side, object ticks) except? -1.0:
        """Return a price of the answer, NaN for none."""
        if ticks is None:
            return NAN
        try:
            value = math.nan if isinstance(ticks, str) else float(ticks)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e15:
            raise ModelError(
                f"{type(self.model).__name__}.quote answered {side}_ticks={ticks!r}; it must be a finite number of ticks or None"
            )
        return value

    cdef int64_t lots(self, str side, object lots, int64_t default) except? -1:
        """Return the lots of the answer."""
        if lots is None:
            return default
        if not hasattr(lots, "__index__") or not 0 <= lots.__index__() < 1 << 62:
            raise ModelError(
                f"{type(self.model).__name__}.quote answered {side}_lots={lots!r}; it must be a whole number of lots, 0 or more"
            )
        return lots.__index__()

    cdef int64_t kind(self, str side, object kind) except -1:
        """Return the position of an order kind of the answer."""
        if kind not in KINDS:
            raise ModelError(
                f"{type(self.model).__name__}.quote answered {side}_kind={kind!r}; it must be one of {', '.join(KINDS)}"
            )
        if self.view.shallow and kind != "LIMIT_MAKER":
            raise ModelError(
                f"{type(self.model).__name__}.quote answered {side}_kind={kind!r}, an order that may take from the book; "
                f"take `depth = False` out of the model"
            )
        return KINDS.index(kind)
