# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The interface of fill models: one hook for each kind of event, compiled or plain Python.

A fill model returns how many lots of an order an event fills. The engine handles latency, eligibility, the remaining
lots of a print, balances, fees and the journal.
"""

from cpython.object cimport PyObject
from libc.math cimport ceil, isnan
from libc.stdint cimport int64_t

from mm.tape._book cimport Book, book_lots_at
from mm.backtest._kept cimport is_kept

from mm.backtest.parameters import name_of
from mm.user_code import raised
from mm.errors import ModelError, UsageError


cdef class FillModel:
    """Base of compiled fill models: override the hooks that the model needs, and set their flags.

    Flags (attributes, set in ``__cinit__`` or ``__init__``): ``needs_trades`` for ``on_trade``, ``needs_book`` for
    ``on_book``, ``needs_levels`` for ``on_level``, ``draws`` for ``on_top``, ``draw`` and ``expected``,
    ``follows_prints`` for ``on_print``. Four more let the engine skip calls: ``reached_only`` if a print that does not
    reach the order's price from the other side neither fills the order nor changes any state; ``crossed_only`` if the
    same holds for ``on_book`` while the other side's best price does not reach the order's; ``looks = BEST_PRICES`` or
    ``BEST_LOTS`` if it reads nothing deeper in the book, and a book event that leaves these unchanged has no effect;
    ``by_levels`` if it reads only the other side's best price and the levels of its orders, and its state depends
    on these and on prints only.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.needs_trades = self.needs_book = self.needs_levels = self.draws = self.follows_prints = False
        self.reached_only = self.crossed_only = self.by_levels = self.interpreted = False
        self.looks = WHOLE_BOOK
        self.name = name_of(type(self))

    @property
    def has_intensity(self) -> bool:
        """Whether the model draws fills from an intensity, so that expected fills can be counted."""
        return self.draws

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn."""
        return f"{self.name}:trade", f"{self.name}:book", f"{self.name}:hazard"

    cdef void restart(self) noexcept:
        """Reset the state of the previous run; a model may be used for several runs in sequence."""

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        """Called when *order* reaches the book."""
        return 0

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        """Return the lots of a print that may fill all our orders together."""
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        """Return the lots of *order* that the print fills."""
        return 0

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        """Return the lots of *order* that the book change fills."""
        return 0

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        """Called when the lots displayed at the order's price have changed, or lots printed there."""
        return 0

    cdef int on_top(self, const Top* top) except -1 nogil:
        """Return the sides that begin a new stretch after a book event: 1 buys, 2 sells, 3 both."""
        return 0

    cdef int on_print(self, int64_t side, int64_t us, int64_t recv_seq, int64_t exch_us) except -1 nogil:
        """Return the sides that begin a new stretch after a print, as ``on_top``; its fills are already executed.

        *side* is the aggressor's, *exch_us* the exchange time, 0 if unknown.
        """
        return 0

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        """Set the order's ``delta``, ``stretch_us`` and ``due_us`` for the stretch that begins now."""
        return 0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        """Return the integrated intensity of *order* from the start of its stretch to *until_us*."""
        return 0.0

    cdef int64_t drawn_by(self) noexcept nogil:
        """Return the offset in ``reasons`` of the model that draws fills."""
        return 0


cdef class OrderView:
    """An order as a Python model receives it; valid during the call only."""

    cdef const Order* seen(self) except NULL:
        if self.order is NULL:
            raise ReferenceError("an order view was used after its call; copy the numbers you want to keep")
        return self.order

    @property
    def id(self) -> int:
        """Number of the order, from 1."""
        return self.seen().id

    @property
    def side(self) -> int:
        """+1 buy, -1 sell."""
        return self.seen().side

    @property
    def ticks(self) -> int:
        """Price in ticks."""
        return self.seen().ticks

    @property
    def lots(self) -> int:
        """Lots left."""
        return self.seen().lots

    @property
    def live_us(self) -> int:
        """Instant at which it reached the book."""
        return self.seen().active_us

    @property
    def queue_lots(self) -> int:
        """Lots ahead of it, as estimated by a queue model, rounded up."""
        cdef double ahead = self.seen().ahead_lots
        return 0 if isnan(ahead) else <int64_t> ceil(ahead)

    @property
    def printed_lots(self) -> int:
        """In ``on_rest`` and ``on_level``: lots that printed against it at its price since the last book event."""
        return self.seen().printed_lots


cdef class TradeView:
    """A print as a Python model receives it; valid during the call only."""

    cdef const Trade* seen(self) except NULL:
        if self.trade is NULL:
            raise ReferenceError("a trade view was used after its call; copy the numbers you want to keep")
        return self.trade

    @property
    def us(self) -> int:
        """Instant of the print."""
        return self.seen().us

    @property
    def side(self) -> int:
        """The aggressor's side: +1 bought, -1 sold."""
        return self.seen().side

    @property
    def ticks(self) -> int:
        """Price in ticks."""
        return self.seen().ticks

    @property
    def lots(self) -> int:
        """Lots of the print that our orders have not taken yet."""
        return self.seen().lots

    @property
    def id(self) -> int:
        """The exchange's trade id."""
        return self.seen().id


cdef class BookView:
    """The book as a Python model receives it; valid during the call only. A price of 0 means none."""

    cdef const Top* seen(self) except NULL:
        if self.top is NULL:
            raise ReferenceError("a book view was used after its call; copy the numbers you want to keep")
        return self.top

    @property
    def us(self) -> int:
        """Instant of the book."""
        return self.seen().us

    @property
    def bid_ticks(self) -> int:
        """Best bid."""
        return self.seen().bid_ticks

    @property
    def ask_ticks(self) -> int:
        """Best ask."""
        return self.seen().ask_ticks

    @property
    def bid_lots(self) -> int:
        """Lots at the best bid."""
        return self.seen().bid_lots

    @property
    def ask_lots(self) -> int:
        """Lots at the best ask."""
        return self.seen().ask_lots

    @property
    def mid2_ticks(self) -> int:
        """Best bid plus best ask: twice the mid; 0 where a side is empty."""
        return self.seen().bid_ticks + self.seen().ask_ticks if self.seen().bid_ticks and self.seen().ask_ticks else 0

    def lots_at(self, int side, int64_t ticks) -> int:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""
        return book_lots_at(<const Book*> self.seen().book, side, ticks)


cdef class PythonFillModel(FillModel):
    """Wraps a user's object and calls its hooks.

    Hooks: ``on_rest(order, book)``, ``on_trade(order, trade) -> lots``,
    ``on_book(order, book, elapsed_us) -> lots``, ``on_level(order, before_lots, after_lots)``.
    """

    cdef object model, rest, trade, book, level
    cdef OrderView order_view
    cdef TradeView trade_view
    cdef BookView book_view

    def __init__(self, model: object) -> None:
        self.model = model
        self.rest = getattr(model, "on_rest", None)
        self.trade = getattr(model, "on_trade", None)
        self.book = getattr(model, "on_book", None)
        self.level = getattr(model, "on_level", None)
        if self.trade is None and self.book is None:
            raise UsageError(
                f"fill model {type(model).__name__} has none of on_trade(order, trade) and "
                f"on_book(order, book, elapsed_us); without them nothing fills"
            )
        self.needs_trades = self.trade is not None
        self.needs_book = self.book is not None
        self.needs_levels = self.level is not None
        self.interpreted = True
        if self.rest is None and self.book is None and self.level is None:
            self.looks = BEST_PRICES  # on_trade receives only the order and the print
        self.name = type(model).__name__
        self.order_view = OrderView()
        self.trade_view = TradeView()
        self.book_view = BookView()

    cdef int end(self) except -1:
        """Invalidate the views after a call; a view that the model kept stays invalid and is replaced."""
        self.order_view.order = NULL
        self.trade_view.trade = NULL
        self.book_view.top = NULL
        if is_kept(<PyObject*> self.order_view):
            self.order_view = OrderView()
        if is_kept(<PyObject*> self.trade_view):
            self.trade_view = TradeView()
        if is_kept(<PyObject*> self.book_view):
            self.book_view = BookView()
        return 0

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        if self.rest is None:
            return 0
        with gil:
            self.order_view.order = order
            self.book_view.top = top
            try:
                self.rest(self.order_view, self.book_view)
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_rest", error) from error
            finally:
                self.end()
        return 0

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        with gil:
            self.order_view.order = order
            self.trade_view.trade = trade
            try:
                return whole_lots(self.model, "on_trade", self.trade(self.order_view, self.trade_view))
            except ModelError:
                raise
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_trade", error) from error
            finally:
                self.end()

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        with gil:
            self.order_view.order = order
            self.book_view.top = top
            try:
                return whole_lots(self.model, "on_book", self.book(self.order_view, self.book_view, elapsed_us))
            except ModelError:
                raise
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_book", error) from error
            finally:
                self.end()

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        with gil:
            self.order_view.order = order
            try:
                self.level(self.order_view, before_lots, after_lots)
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_level", error) from error
            finally:
                self.end()
        return 0


cdef int64_t whole_lots(object model, str hook, object answer) except -1:
    """Return a hook's result as lots, or raise ModelError with the model's name."""
    if type(answer) is int and 0 <= answer < 0x7FFFFFFFFFFFFFFF:
        return answer
    try:
        lots = answer.__index__()
    except AttributeError:
        raise ModelError(
            f"{type(model).__name__}.{hook} returned {answer!r}; it must return a whole number of lots"
        ) from None
    if lots < 0:
        raise ModelError(f"{type(model).__name__}.{hook} returned {lots} lots; fills cannot be negative")
    return min(lots, 0x7FFFFFFFFFFFFFFE)
