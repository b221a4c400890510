# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Fill models: their interface, one hook for each kind of event, compiled or plain Python; and those without draws.

A fill model returns how many lots of an order an event fills. The engine handles latency, eligibility, the remaining
lots of a print, balances, fees and the journal.
"""

from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject, PyObject_GenericSetAttr
from libc.math cimport isnan, log
from libc.math cimport pow as power
from libc.stdint cimport int64_t, uint8_t, uint64_t

from mm.tape._book cimport Book, book_lots_at
from mm.backtest.engine._kept cimport is_kept
from mm.tape._lots cimport lots_given, lots_shown
from mm.base._calls cimport begin_call, end_call

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest import declarations
from mm.backtest.parameters import name_of
from mm.base.user_code import CallStopped, place_of_code, placed, raised
from mm.errors import ModelError, UsageError


cdef class FillModel:
    """Base of compiled fill models: override hooks, and set ``needs`` and ``skips`` in ``__cinit__`` or ``__init__``.

    A hook is called only if the bit of ``needs`` that names it is set (``Need`` in base.pxd). A bit of ``skips``
    (``Skip``) says that a call which the engine leaves out would fill nothing and change no state of the model.
    """

    def __cinit__(self, *args, **kwargs) -> None:
        self.made = args, kwargs
        self.needs, self.skips, self.step_lots = 0, 0, 1
        self.name = name_of(type(self))

    def __setattr__(self, name: str, value: object) -> None:
        set_field(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """From the same arguments, as nothing else lasts from run to run."""
        return made_again, (type(self), *self.made), getattr(self, "__dict__", None)

    @property
    def has_intensity(self) -> bool:
        """Whether the model draws fills from an intensity, so that expected fills can be counted."""
        return bool(self.needs & NEEDS_DRAWS)

    @property
    def needs_orders(self) -> bool:
        """Whether its fills follow from every order of the market, so that a day needs an order log."""
        return bool(self.needs & NEEDS_ORDER_LOG)

    @property
    def knows_next_move(self) -> bool:
        """Whether its fills come with the moves of the price that cause them; drawn ones do not, so they lose too little."""
        return not self.needs & NEEDS_DRAWS

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn."""
        return f"{self.name}:trade", f"{self.name}:book", f"{self.name}:hazard"

    cdef void restart(self) noexcept:
        """A model may be used for several runs in sequence."""

    cdef void use_step(self, int64_t step_lots) noexcept:
        """Set the lots of the tape in an order step, before a run; what a model estimates is in order steps."""
        self.step_lots = step_lots

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
        return 0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        """Return the integrated intensity of *order* from the start of its stretch to *until_us*."""
        return 0.0

    cdef int64_t drawn_by(self) noexcept nogil:
        """Return the offset in ``reasons`` of the model that draws fills."""
        return 0


cdef int set_field(object model, str name, object value) except -1:
    """Set an attribute of a compiled model.

    Raises:
        ModelError: If there is none of that name, such as the flags that were there before ``needs`` and ``skips``.
    """
    try:
        PyObject_GenericSetAttr(model, name, value)
    except AttributeError as error:
        raise ModelError(
            f"{error}; declare a field with cdef, and set what the model needs and what may be skipped as bits of "
            f"`needs` and `skips` (docs/models.md, Your own compiled model)"
        ) from error
    return 0


def made_again(kind: type, args: tuple[object, ...], named: dict[str, object]) -> object:
    return kind(*args, **named)


cdef class OrderView:
    """An order as a Python model receives it; valid during the call only. Lots are order steps."""

    def __cinit__(self) -> None:
        self.step_lots = 1

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
    def lots(self) -> float:
        """Lots left."""
        return lots_shown(self.seen().lots, self.step_lots)

    @property
    def live_us(self) -> int:
        """Instant at which it reached the book."""
        return self.seen().active_us

    @property
    def queue_lots(self) -> int:
        """Lots ahead of it, as estimated by a queue model, rounded up."""
        cdef double ahead = self.seen().ahead_lots
        return 0 if isnan(ahead) else math.ceil(ahead)

    @property
    def printed_lots(self) -> float:
        """In ``on_rest`` and ``on_level``: lots that printed against it at its price since the last book event."""
        return lots_shown(self.seen().printed_lots, self.step_lots)


cdef class TradeView:
    """A print as a Python model receives it; valid during the call only. Lots are order steps."""

    def __cinit__(self) -> None:
        self.step_lots = 1

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
    def lots(self) -> float:
        """Lots of the print that our orders have not taken yet."""
        return lots_shown(self.seen().lots, self.step_lots)

    @property
    def id(self) -> int:
        """The exchange's trade id."""
        return self.seen().id


cdef class BookView:
    """The book as a Python model receives it; valid during the call only. A price of 0 means none."""

    def __cinit__(self) -> None:
        self.step_lots = 1

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
    def bid_lots(self) -> float:
        """Lots at the best bid."""
        return lots_shown(self.seen().bid_lots, self.step_lots)

    @property
    def ask_lots(self) -> float:
        """Lots at the best ask."""
        return lots_shown(self.seen().ask_lots, self.step_lots)

    @property
    def mid2_ticks(self) -> int:
        """Best bid plus best ask: twice the mid; 0 where a side is empty."""
        return self.seen().bid_ticks + self.seen().ask_ticks if self.seen().bid_ticks and self.seen().ask_ticks else 0

    def lots_at(self, int side, int64_t ticks) -> float:
        """Return the displayed lots at a price; side +1 bids, -1 asks."""
        return lots_shown(book_lots_at(<const Book*> self.seen().book, side, ticks), self.step_lots)


cdef class PythonFillModel(FillModel):
    """Wraps a user's object and calls its hooks.

    Hooks: ``on_rest(order, book)``, ``on_trade(order, trade) -> lots``,
    ``on_book(order, book, elapsed_us) -> lots``, ``on_level(order, before_lots, after_lots)``. An attribute
    ``knows_next_move = False`` says that its fills do not depend on the moves of the price.
    """

    cdef object model, rest, trade, book, level
    cdef bint knows
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
        self.needs = NEEDS_PYTHON
        self.needs |= NEEDS_TRADES if self.trade is not None else 0
        self.needs |= NEEDS_BOOKS if self.book is not None else 0
        self.needs |= NEEDS_LEVELS if self.level is not None else 0
        if self.rest is None and self.book is None and self.level is None:
            self.skips = SKIPS_DEPTH | SKIPS_LOTS  # on_trade receives only the order and the print
        self.name = type(model).__name__
        self.knows = getattr(model, "knows_next_move", True) is not False
        self.use_step(1)

    cdef void use_step(self, int64_t step_lots) noexcept:
        self.step_lots = step_lots
        self.order_view, self.trade_view, self.book_view = OrderView(), TradeView(), BookView()
        self.order_view.step_lots = self.trade_view.step_lots = self.book_view.step_lots = step_lots

    @property
    def knows_next_move(self) -> bool:
        """As the model says; by default its fills come with the moves of the price that cause them."""
        return self.knows

    cdef int end(self) except -1:
        """Invalidate the views after a call; a view that the model kept stays invalid and is replaced."""
        self.order_view.order = NULL
        self.trade_view.trade = NULL
        self.book_view.top = NULL
        if (
            is_kept(<PyObject*> self.order_view)
            or is_kept(<PyObject*> self.trade_view)
            or is_kept(<PyObject*> self.book_view)
        ):
            self.use_step(self.step_lots)
        return 0

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        if self.rest is None:
            return 0
        with gil:
            self.order_view.order = order
            self.book_view.top = top
            before = begin_call(self.model, b"on_rest")
            try:
                self.rest(self.order_view, self.book_view)
            except CallStopped:
                pass
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_rest", error) from error
            finally:
                self.end()
                end_call(self.model, b"on_rest", before)
        return 0

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        with gil:
            self.order_view.order = order
            self.trade_view.trade = trade
            before = begin_call(self.model, b"on_trade")
            try:
                return self.filled("on_trade", order, self.trade(self.order_view, self.trade_view))
            except ModelError as error:
                raise placed(error, self.trade) from error.__cause__
            except CallStopped:
                return 0
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_trade", error) from error
            finally:
                self.end()
                end_call(self.model, b"on_trade", before)

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        with gil:
            self.order_view.order = order
            self.book_view.top = top
            before = begin_call(self.model, b"on_book")
            try:
                return self.filled("on_book", order, self.book(self.order_view, self.book_view, elapsed_us))
            except ModelError as error:
                raise placed(error, self.book) from error.__cause__
            except CallStopped:
                return 0
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_book", error) from error
            finally:
                self.end()
                end_call(self.model, b"on_book", before)

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        with gil:
            self.order_view.order = order
            before = begin_call(self.model, b"on_level")
            try:
                self.level(
                    self.order_view, lots_shown(before_lots, self.step_lots), lots_shown(after_lots, self.step_lots)
                )
            except CallStopped:
                pass
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_level", error) from error
            finally:
                self.end()
                end_call(self.model, b"on_level", before)
        return 0

    cdef int64_t filled(self, str hook, const Order* order, object answer) except -1:
        """In lots of the tape; ModelError with the model's name if it is no quantity."""
        cdef int overflow = 0
        cdef int64_t steps
        if PyLong_CheckExact(answer):  # nearly all results: no Python arithmetic
            steps = PyLong_AsLongLongAndOverflow(answer, &overflow)
            if overflow > 0 or overflow == 0 and steps >= (order.lots + self.step_lots - 1) // self.step_lots:
                return order.lots
            if overflow == 0 and steps >= 0:
                return steps * self.step_lots
        if isinstance(answer, (int, float)) and answer >= order.lots / self.step_lots:
            return order.lots
        cdef int64_t lots = lots_given(answer, self.step_lots)
        if lots == -2:
            raise ModelError(
                f"{type(self.model).__name__}.{hook} returned {answer!r}; it must return a number of lots, 0 or more",
                place_of_code(getattr(self.model, hook)),
            )
        return lots


# ---------------------------------------------------------------------- by a price that is reached


cdef enum:
    WHOLE_E8 = 100_000_000


cdef class TradeCross(FillModel):
    """A resting order fills when a trade prints at or through its price.

    - the trade's aggressor is on the other side
    - buy: order price - trade price >= penetration; sell: trade price - order price >= penetration
    - at most ``share`` of the print's lots (rounded down) fill, over all our orders in price-time order
    """

    declared = declarations.TradeCross
    cdef readonly bint strict
    cdef readonly double share
    cdef readonly int64_t penetration_ticks
    cdef int64_t share_e8

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        self.strict, self.share = values["strict"], values["share"]
        self.share_e8 = round(self.share * WHOLE_E8)
        self.penetration_ticks = max(values["penetration_ticks"], 1 if self.strict else 0)
        self.needs, self.skips = NEEDS_TRADES, SKIPS_DEPTH | SKIPS_LOTS | SKIPS_UNREACHED

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        # In two parts, because the product may overflow: lots are up to 10**15.
        return trade.lots // WHOLE_E8 * self.share_e8 + trade.lots % WHOLE_E8 * self.share_e8 // WHOLE_E8

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        if trade.side == order.side or order.side * (order.ticks - trade.ticks) < self.penetration_ticks:
            return 0
        return order.lots if order.lots < trade.lots else trade.lots


cdef class PriceCross(FillModel):
    """A resting order fills completely when the other side's best price reaches its price.

    - buy: order price - best ask >= penetration; sell: best bid - order price >= penetration
    - checked after each book event; without a best price on the other side nothing fills
    """

    declared = declarations.PriceCross
    cdef readonly int64_t penetration_ticks

    def __init__(self, **given: Any) -> None:
        self.penetration_ticks = self.declared.settle(given)["penetration_ticks"]
        self.needs, self.skips = NEEDS_BOOKS, SKIPS_DEPTH | SKIPS_LOTS | SKIPS_UNCROSSED

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t other = top.ask_ticks if order.side > 0 else top.bid_ticks
        if other == 0 or order.side * (order.ticks - other) < self.penetration_ticks:
            return 0
        return order.lots


# ---------------------------------------------------------------------- by the place in the queue


cdef class Queue(FillModel):
    """A resting order fills when all lots ahead of it at its price have traded or been cancelled.

    - on arrival, the lots displayed at its price, less those printed there since the last book event, are ahead
    - a print at its price from the other side consumes the lots ahead first; its remaining lots fill the order
    - a print beyond its price fills it, because trades do not skip a better price
    - a decrease of the displayed lots by more than the printed lots is cancellations; the share `ahead_share` of them
      was ahead of us, and the lots ahead never exceed the displayed lots
    - the other side's best price at or beyond its price fills at most what that side offers there or better

    Lots ahead are counted in order steps, so that a quantity finer than the step, which makes the tape's lots smaller,
    moves no estimate. Subclasses implement `ahead_share`.
    """

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.needs = NEEDS_TRADES | NEEDS_BOOKS | NEEDS_LEVELS
        self.skips = SKIPS_LEVELS | SKIPS_UNREACHED | SKIPS_UNCROSSED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn (unused)."""
        return "queue:trade", "queue:book", "queue:hazard"

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        """Return the share of cancelled lots at our price that was ahead of us, given the lots *ahead* and *behind*."""
        return 0.0

    cdef double steps(self, int64_t lots) noexcept nogil:
        """Return lots of the tape in order steps, in which all estimates are: equal quantities give equal numbers."""
        return <double> lots if self.step_lots == 1 else <double> lots / <double> self.step_lots

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        set_ahead(order, self.steps(order.level_lots - order.printed_lots))
        return 0

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef int64_t beyond = order.side * (order.ticks - trade.ticks)
        cdef double excess
        if trade.side == order.side or beyond < 0:
            return 0
        if beyond > 0:
            set_ahead(order, 0.0)
            return min(order.lots, trade.lots)
        excess = self.steps(trade.lots) - order.ahead_lots
        set_ahead(order, -excess)
        return min(order.lots, <int64_t> excess * self.step_lots) if excess > 0.0 else 0

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef double ahead = order.ahead_lots, behind, cancelled
        behind = max(self.steps(before_lots - order.printed_lots) - ahead, 0.0)
        cancelled = self.steps(before_lots - order.printed_lots - after_lots)
        if cancelled > 0.0 and ahead > 0.0:
            ahead -= self.ahead_share(ahead, behind) * cancelled
        set_ahead(order, min(ahead, self.steps(after_lots)))
        return 0

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t other = top.ask_ticks if order.side > 0 else top.bid_ticks
        return min(order.lots, order.offered_lots) if other and order.side * (order.ticks - other) >= 0 else 0


cdef inline void set_ahead(Order* order, double lots) noexcept nogil:
    order.ahead_lots = max(lots, 0.0)


cdef class QueueFront(Queue):
    """All cancellations were ahead of us: no queue position is better."""

    declared = declarations.QueueFront

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        return 1.0


cdef class QueueBack(Queue):
    """All cancellations are behind us; only prints, or fewer displayed lots than lots ahead, advance the queue.

    A print may come after the change of the book that it caused, so it advances an order only beyond what earlier
    decreases advanced it. No order of ours fills at a price before an earlier one has filled.
    """

    declared = declarations.QueueBack
    cdef bint waits         # whether an order of ours that the print reached at its price is still open

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        order.given_lots = 0.0
        return Queue.on_rest(self, order, top)

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        self.waits = False
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef int64_t lots
        cdef double excess, given
        if trade.side == order.side or trade.ticks != order.ticks:
            return Queue.on_trade(self, order, trade)
        given = min(order.given_lots, self.steps(trade.lots))
        order.given_lots -= given
        excess = self.steps(trade.lots) - given - order.ahead_lots
        set_ahead(order, -excess)
        lots = 0 if self.waits or excess <= 0.0 else min(order.lots, <int64_t> excess * self.step_lots)
        self.waits |= lots < order.lots
        return lots

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef double after = self.steps(after_lots)
        if after < order.ahead_lots:
            order.given_lots += order.ahead_lots - after
            set_ahead(order, after)
        return 0


cdef class QueueProbPower(Queue):
    """A cancellation was ahead of us with probability a^n / (a^n + b^n), a lots ahead and b behind."""

    declared = declarations.QueueProbPower

    def __init__(self, **given: Any) -> None:
        self.exponent = self.declared.settle(given)["exponent"]

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        # If (b / a)^n overflows, the share is 0: all behind. A product is faster than a power.
        cdef double ratio = behind / ahead
        return 1.0 / (1.0 + (ratio * ratio * ratio if self.exponent == 3.0 else power(ratio, self.exponent)))


cdef class QueueByExponents(QueueProbPower):
    """`queue_prob_power` for orders of one lot with many exponents, each with its own queue position of an order.

    One replay of a day costs more than the queues of all exponents (`mm.probes.queue_exponent`). The rules of
    `QueueProbPower` apply to each exponent separately, as does the sharing of a print's lots; an order is filled once
    it is filled under all exponents.

    Args:
        orders: Total number of orders; their ids count from 1.
    """

    cdef double[::1] exponents
    cdef double[:, ::1] ahead   # by id and exponent
    cdef uint8_t[:, ::1] filled
    cdef int64_t[::1] left      # of the print that orders are matched with, by exponent

    def __init__(self, exponents: NDArray[np.float64], Py_ssize_t orders) -> None:
        super().__init__(exponent=float(exponents[0]))
        self.exponents = exponents.copy()
        self.ahead = np.zeros((orders + 1, len(exponents)))
        self.filled = np.zeros((orders + 1, len(exponents)), np.uint8)
        self.left = np.zeros(len(exponents), np.int64)

    def ahead_lots(self, Py_ssize_t order_id) -> NDArray[np.float64]:
        """Return the lots ahead of a resting order, by exponent; 0 if it has filled."""
        return np.where(self.filled[order_id], 0.0, self.ahead[order_id])

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        cdef Py_ssize_t i
        if order.id >= self.ahead.shape[0]:
            with gil:
                raise IndexError(f"order {order.id}, but there is room for {self.ahead.shape[0] - 1}; give more orders")
        QueueProbPower.on_rest(self, order, top)
        for i in range(self.exponents.shape[0]):
            self.ahead[order.id, i] = order.ahead_lots
        return 0

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(self.left.shape[0]):
            self.left[i] = trade.lots
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef Trade print_ = trade[0]
        cdef int64_t lots
        cdef Py_ssize_t i, open = 0
        for i in range(self.exponents.shape[0]):
            if self.filled[order.id, i]:
                continue
            print_.lots, order.ahead_lots = self.left[i], self.ahead[order.id, i]
            lots = min(QueueProbPower.on_trade(self, order, &print_), self.left[i])
            self.ahead[order.id, i] = order.ahead_lots
            self.left[i] -= lots
            self.filled[order.id, i] = lots > 0
            open += lots == 0
        return order.lots if open == 0 else 0

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef Py_ssize_t i
        for i in range(self.exponents.shape[0]):
            if not self.filled[order.id, i]:
                self.exponent, order.ahead_lots = self.exponents[i], self.ahead[order.id, i]
                QueueProbPower.on_level(self, order, before_lots, after_lots)
                self.ahead[order.id, i] = order.ahead_lots
        return 0


cdef class QueueProbLog(Queue):
    """A cancellation was ahead of us with probability ln(1 + a) / (ln(1 + a) + ln(1 + b)), in lots."""

    declared = declarations.QueueProbLog

    cdef double ahead_share(self, double ahead, double behind) noexcept nogil:
        # log is faster than log1p, whose additional digits matter far below one lot only.
        cdef double first = log(1.0 + ahead), both = first + log(1.0 + behind)
        return first / both if both > 0.0 else 1.0


# ---------------------------------------------------------------------- by every order of the market


cdef class QueueOrders(FillModel):
    """A resting order fills when the order log of the day proves that nothing was ahead of it: the true queue.

    docs/specification/engine.md, *queue_orders*, has the rules; `mm.backtest.engine._order_queue` plays them. Of an
    execution whose price differs from that at which its order rested, ``reading`` says which one counts.
    """

    declared = declarations.QueueOrders

    def __init__(self, **given: Any) -> None:
        self.reading = self.declared.settle(given)["reading"]
        self.needs, self.skips = NEEDS_ORDER_LOG, SKIPS_DEPTH | SKIPS_LOTS
