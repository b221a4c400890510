# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False, annotation_typing=False
"""Strategies that send their orders themselves, in plain Python or compiled; docs/write_a_strategy.md.

A strategy is called where a quote model is: on the requote grid, after each fill and each end of an order, and when it
asks to be. Its orders pass the same checks, limits and latencies as quotes, in a replay, in a shadow and live.
"""

from libc.math cimport isnan
from libc.stdint cimport int64_t

from mm.backtest.engine._order_manager cimport OrderManager
from mm.backtest.engine._own_orders cimport Ended, OwnOrders, orders_find
from mm.backtest.engine._records cimport BOOK_INVALID
from mm.backtest.fills.base cimport (
    CANCELLING, LIMIT_MAKER, LIVE, NEEDS_FILLS, NEEDS_MANAGER, NEEDS_OWN_ORDERS, NEEDS_PYTHON, NEVER, SENT, SKIPS_DEPTH,
    SKIPS_REPEATS, Order,
)
from mm.base._calls cimport begin_call, end_call
from mm.tape._lots cimport lots_given, lots_shown
from mm.backtest.quotes.base cimport (
    OwnFill,
    PythonQuoteModel,
    QuoteModel,
    View,
    Want,
    fill_shown,
    is_in_quote_asset,
    price_not_ticks,
)

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from mm.backtest.journal import KINDS, REJECT_REASONS, STATUSES
from mm.backtest.quotes.view import OwnFill as ShownFill
from mm.backtest.quotes.view import Quotes
from mm.base.user_code import CallStopped, placed, raised
from mm.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

cdef int64_t REFUSED = len(STATUSES)    # not sent: the status after the journal's
cdef tuple STATUS_NAMES = (*STATUSES, "REFUSED")
cdef double MOST_TICKS = 1e15
cdef object MOST_QTY = 10**10           # as of the knobs of balances


cdef class Strategy(QuoteModel):
    """Base of compiled strategies: override ``on_event``, and send orders with ``submit``, ``cancel`` and ``amend``.

    Set ``skips`` as for quote models; ``SKIPS_DEPTH`` permits ``LIMIT_MAKER`` orders only. Fills are passed to ``on_fill`` and other ends of orders to ``on_end``, both before the ``on_event`` that follows them.
    ``wake_us`` and ``wake_on_best``, reset before each call, ask for another one.
    """

    def __cinit__(self, *args, **kwargs) -> None:
        self.needs = NEEDS_MANAGER | NEEDS_FILLS | NEEDS_OWN_ORDERS

    cdef int take_manager(self, object manager) except -1:
        self.manager = manager
        self.sent = self.manager.orders
        return 0

    cdef int on_event(self, const View* view) except -1 nogil:
        return 0

    cdef int on_end(self, const View* view, const Ended* ended) except -1 nogil:
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef int64_t i
        self.view, self.wake_us, self.wake_on_best = view, NEVER, False
        for i in range(self.sent.ended_count):
            self.on_end(view, &self.sent.ended[i])
        self.sent.ended_count = 0
        self.on_event(view)
        want.again_us, want.on_best = self.wake_us, self.wake_on_best
        return 0

    cdef int64_t submit(self, int64_t side, int64_t ticks, int64_t lots, int64_t kind) except -1 nogil:
        """Send an order; return its id, or 0 if it was refused, with the reason in ``manager.refusal``."""
        return self.manager.place_order(self.view.top.us, side, ticks, lots, kind)

    cdef bint cancel(self, int64_t order_id) except -1 nogil:
        """Request a cancel; return False if the order is not open or its cancel is pending."""
        return self.manager.cancel_order(self.view.top.us, order_id)

    cdef bint amend(self, int64_t order_id, int64_t lots) except -1 nogil:
        """Request a smaller total quantity, which keeps the queue position; return False if it cannot be sent."""
        return self.manager.amend_order(order_id, lots)

    cdef int64_t count(self) noexcept nogil:
        return self.sent.open.count

    cdef const Order* order_at(self, int64_t i) noexcept nogil:
        """Return an open order; valid until the next submit."""
        return &self.sent.open.orders[i]


cdef class OwnOrder:
    """An order of a strategy. It shows the state that is known at each call of the strategy, also after its end.

    Attributes:
        id: Number of the order, from 1; 0 if it was refused.
        client_id: The strategy's own name for it, or None.
        side: +1 buy, -1 sell.
        ticks: Price in ticks.
        kind: ``LIMIT_MAKER``, ``LIMIT``, ``IOC``, ``FOK`` or ``MARKET``.
        sent_us: Instant of sending.
        reason: Why it was refused or rejected (``reject_reason`` of orders.csv); empty otherwise.
        end_us: Instant of its end; None while it is open.
    """

    cdef const Order* seen(self):
        """NULL once the order has ended."""
        if self.status_ >= 0:
            return NULL
        return orders_find(&self.orders.manager.orders.open, self.id)

    @property
    def status(self) -> str:
        """``SENT``, ``LIVE`` or ``CANCELLING`` while open; then ``FILLED``, ``CANCELLED``, ``EXPIRED`` or ``REJECTED``.

        ``REFUSED``: it was not sent, for ``reason``.
        """
        cdef const Order* order = self.seen()
        if order is NULL:
            return STATUS_NAMES[max(self.status_, 0)]
        if order.cancel_req_us != NEVER:
            return STATUS_NAMES[CANCELLING]
        return STATUS_NAMES[order.status]

    @property
    def is_open(self) -> bool:
        """Whether it may still be filled."""
        return self.seen() is not NULL

    @property
    def lots(self) -> float:
        """Its quantity, after amendments."""
        cdef const Order* order = self.seen()
        return lots_shown(self.placed_lots if order is NULL else order.placed_lots, self.orders.step_lots)

    @property
    def left_lots(self) -> float:
        """Lots that are not filled, also if it has ended."""
        cdef const Order* order = self.seen()
        return lots_shown(self.rest_lots if order is NULL else order.lots, self.orders.step_lots)

    @property
    def amending(self) -> bool:
        """Whether an amendment is pending; if ``lots`` is unchanged afterwards, it had no effect."""
        cdef const Order* order = self.seen()
        return order is not NULL and order.amend_us != NEVER

    @property
    def filled_lots(self) -> float:
        """Lots that are filled."""
        return self.lots - self.left_lots

    @property
    def ahead_lots(self) -> float | None:
        """Lots ahead of it in the queue, as the fill model estimates; None without an estimate, as live."""
        cdef const Order* order = self.seen()
        return None if order is NULL or isnan(order.ahead_lots) else order.ahead_lots

    def cancel(self) -> bool:
        """Request its cancel; see `Orders.cancel`."""
        return self.orders.cancel(self)

    def amend(self, lots: float) -> bool:
        """Request a smaller quantity; see `Orders.amend`."""
        return self.orders.amend(self, lots)

    def __repr__(self) -> str:
        name = "" if self.client_id is None else f" {self.client_id!r}"
        side = "BUY" if self.side > 0 else "SELL"
        return f"<order {self.id}{name}: {side} {self.lots} at {self.ticks}, {self.status}, {self.left_lots} left>"


cdef class Orders:
    """The orders of a strategy: a collection of the open ones, and what sends, cancels and amends them.

    ``len(orders)`` and iteration cover the open orders, oldest first; ``orders[client_id]`` is the open order of that
    name, ``orders.get(client_id)`` the same or None, and ``client_id in orders`` whether there is one. Requests are
    possible during the strategy's call only.
    """

    def __init__(self, manager: OrderManager, maker_only: bool) -> None:
        self.manager, self.maker_only = manager, maker_only
        self.step_lots = self.manager.venue.step_lots
        self.own, self.named, self.until = {}, {}, {}
        self.fills_, self.ended_ = [], []

    def at(self, name: str) -> Orders:
        """Return the orders in another market of the run, with its own account; ticks and lots are of that market.

        Raises:
            KeyError: If ``OTHERS`` has no such market with ``orders``.
        """
        if name not in self.manager.legs:
            known = ", ".join(self.manager.legs) or "none"
            raise KeyError(f"there are no orders in {name!r}: OTHERS has orders in {known}")
        return self.manager.legs[name].orders

    @property
    def inventory_lots(self) -> float:
        """Our inventory in this market, in its lots."""
        return lots_shown(self.manager.orders.account.inventory_lots, self.step_lots)

    @property
    def target_lots(self) -> float:
        """The target of that inventory, by default what was held at the start, in lots."""
        return lots_shown(self.manager.view.target_lots, self.step_lots)

    @property
    def cash(self) -> float:
        """Our cash in this market, in its quote asset."""
        return self.manager.orders.cash

    @property
    def fills(self) -> list[ShownFill]:
        """Our fills since the last call."""
        return self.fills_

    @property
    def ended(self) -> list[OwnOrder]:
        """Orders that ended since the last call: filled completely, cancelled, expired or rejected."""
        return self.ended_

    def __len__(self) -> int:
        return len(self.own)

    def __iter__(self) -> Iterator[OwnOrder]:
        return iter(list(self.own.values()))  # a copy: a loop may send orders

    def __contains__(self, client_id: object) -> bool:
        return client_id in self.named

    def __getitem__(self, client_id: str) -> OwnOrder:
        if client_id not in self.named:
            raise KeyError(f"there is no open order {client_id!r}; open are {', '.join(map(str, self.named)) or 'none'}")
        return self.named[client_id]

    def get(self, client_id: str) -> OwnOrder | None:
        """Return the open order of that client id; None without one."""
        return self.named.get(client_id)

    def submit(
        self,
        side: int,
        ticks: float,
        lots: float | None = None,
        kind: str = "LIMIT_MAKER",
        *,
        qty: Decimal | str | float | None = None,
        client_id: str | None = None,
        until_us: int | None = None,
    ) -> OwnOrder:
        """Send an order, and return it; its ``status`` is ``REFUSED`` if a filter, a balance or a limit forbids it.

        Args:
            side: +1 buy, -1 sell.
            ticks: Price in ticks; a buy is floored, a sell ceiled. Ignored for ``MARKET``.
            lots: Quantity in lots, order steps of the market; a fraction is rounded down. Without it and *qty* it is the
                clip (``QUOTE_QTY``).
            qty: Quantity in the base asset instead, rounded down to the order step.
            kind: Order type and time in force: ``LIMIT_MAKER`` (rejected if it would cross), ``LIMIT``, ``IOC``,
                ``FOK`` or ``MARKET``.
            client_id: A name, of one open order at a time.
            until_us: Instant, later than now, at which its cancel is sent; None for none.

        Raises:
            ValueError: If an argument is invalid, or an open order has the client id.
        """
        cdef OwnOrder order = OwnOrder.__new__(OwnOrder)
        cdef int64_t asked
        self.check()
        if side != 1 and side != -1:
            raise ValueError(f"side={side!r}; it must be +1 to buy or -1 to sell")
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r}; it must be one of {', '.join(KINDS)}")
        if self.maker_only and kind != "LIMIT_MAKER":
            raise ValueError(f"kind={kind!r}, an order that may take liquidity; remove `depth = False` from the strategy")
        if kind == "MARKET":
            ticks = 0
        elif isinstance(ticks, str) or not math.isfinite(ticks) or abs(ticks) > MOST_TICKS:
            raise ValueError(f"ticks={ticks!r}; it must be a finite number of ticks")
        elif is_in_quote_asset(ticks, &self.manager.view):
            raise ValueError(f"ticks={price_not_ticks(ticks, &self.manager.view)}")
        if lots is not None and qty is not None:
            raise ValueError(f"lots={lots!r} and qty={qty!r}; give one of them")
        if qty is not None:
            asked = self.lots_of(qty)
        elif lots is None:
            asked = self.clip
        else:
            asked = lots_given(lots, self.step_lots)
            if asked < 0 or lots <= 0:
                raise ValueError(f"lots={lots!r}; it must be a number of lots above 0")
        if client_id is not None and client_id in self.named:
            raise ValueError(f"client_id={client_id!r}: {self.named[client_id]!r} is open; cancel it first")
        if until_us is not None and until_us <= self.us:
            raise ValueError(f"until_us={until_us!r} at {self.us}; it must be a later instant in µs, or None")
        order.orders, order.client_id, order.kind, order.reason = self, client_id, kind, ""
        order.side, order.ticks = side, math.floor(ticks) if side > 0 else math.ceil(ticks)
        order.placed_lots = order.rest_lots = asked
        order.sent_us, order.end_us, order.status_ = self.us, None, -1
        if self.manager.allow is not None:
            self.manager.allow()
        order.id = 0 if self.dark else self.manager.place_order(self.us, side, order.ticks, asked, KINDS.index(kind))
        if order.id == 0:
            reason = BOOK_INVALID if self.dark else self.manager.refusal
            order.status_, order.end_us, order.reason = REFUSED, self.us, REJECT_REASONS[reason]
            return order
        self.own[order.id] = order
        if client_id is not None:
            self.named[client_id] = order
        if until_us is not None:
            self.until[order.id] = until_us
        return order

    def cancel(self, order: OwnOrder | str) -> bool:
        """Request a cancel; return False if the order has ended, or its cancel is pending.

        Args:
            order: The order, or the client id of an open one.

        Raises:
            KeyError: If no open order has the client id.
        """
        cdef OwnOrder own = self.find(order)
        return self.manager.cancel_order(self.us, own.id) if own.is_open else False

    def amend(self, order: OwnOrder | str, lots: float) -> bool:
        """Request a smaller quantity, which keeps the queue position; return whether the request is sent.

        It is not while an amendment or a cancel of the order is pending, nor if the exchange's filters forbid it. Until
        it has succeeded or failed, ``order.amending`` is true: the order may have filled, or the exchange refused it.
        One of an order that has not arrived takes effect when it has. A larger quantity or another price takes a new order, as the exchange would queue it anew.

        Args:
            order: The order, or the client id of an open one.
            lots: The new quantity in lots: below the present one, above what is filled.

        Raises:
            KeyError: If no open order has the client id.
            ValueError: If the order has ended, or the quantity is not such a number.
        """
        cdef OwnOrder own = self.find(order)
        cdef int64_t asked
        if not own.is_open:
            raise ValueError(f"{own!r} has ended and cannot be amended")
        asked = lots_given(lots, self.step_lots)
        if asked < 0 or not own.filled_lots < lots < own.lots:
            raise ValueError(f"lots={lots!r} for {own!r}; it must be below {own.lots} and above {own.filled_lots} lots")
        return self.manager.amend_order(own.id, asked)

    def cancel_all(self) -> int:
        """Request the cancel of every open order; return the number of requests."""
        return sum([self.cancel(order) for order in self])

    def wake(self, us: int) -> None:
        """Ask to be called at an instant, µs of Unix time, besides the regular calls; the earliest request counts.

        Raises:
            ValueError: If it is not later than now.
        """
        self.check()
        if not hasattr(us, "__index__") or not self.us < us.__index__() < NEVER:
            raise ValueError(f"wake({us!r}) at {self.us}; it must be a later instant in µs")
        self.wake_us = min(self.wake_us, us)

    def wake_on_best(self) -> None:
        """Ask to be called at the next change of a best price."""
        self.check()
        self.on_best = True

    cdef int check(self) except -1:
        if not self.active:
            raise RuntimeError("orders were used outside of on_event; keep what you want to do for the next call")
        return 0

    cdef int64_t lots_of(self, object qty) except -1:
        """In lots of the tape, rounded down to the order step."""
        try:
            found = Decimal(repr(float(qty)) if isinstance(qty, float) else qty)
        except (TypeError, ValueError, ArithmeticError):
            found = Decimal("nan")
        if not found.is_finite() or found <= 0 or found > MOST_QTY:
            raise ValueError(f"qty={qty!r}; it must be a decimal above 0, in the base asset, such as '0.001'")
        if isinstance(qty, float):  # 0.1 + 0.2 is .3
            found = round(found, 8)
        return int(found * 10**8) // self.manager.lot_e8 // self.step_lots * self.step_lots

    cdef OwnOrder find(self, object order):
        self.check()
        if not isinstance(order, OwnOrder):
            return self[order]
        if (<OwnOrder> order).orders is not self:
            raise ValueError(f"{order!r} is an order of another run")
        return order

    cdef int note_fill(self, const OwnFill* fill) except -1:
        self.fills_.append(fill_shown(fill, self.step_lots))
        return 0

    cdef int begin(self, int64_t us, int64_t clip) except -1:
        """Take over what happened since the last call, and send the due cancels."""
        cdef OwnOrders orders = self.manager.orders
        cdef const Ended* ended
        cdef OwnOrder order
        cdef int64_t i
        self.active, self.us, self.clip = True, us, clip
        self.wake_us, self.on_best = NEVER, False
        for i in range(orders.ended_count):
            ended = &orders.ended[i]
            order = self.own.pop(ended.order_id, None)
            if order is None:  # one that was sent from outside
                continue
            self.until.pop(order.id, None)
            if order.client_id is not None:
                del self.named[order.client_id]
            order.status_, order.end_us, order.reason = ended.status, ended.us, REJECT_REASONS[ended.reason]
            order.placed_lots, order.rest_lots = ended.placed_lots, ended.left_lots
            self.ended_.append(order)
        orders.ended_count = 0
        for order_id in [order_id for order_id, us in self.until.items() if us <= self.us]:
            del self.until[order_id]
            self.manager.cancel_order(self.us, order_id)
        return 0

    cdef int finish(self) except -1:
        self.active = False
        self.fills_, self.ended_ = [], []  # new ones: the strategy may have kept the last
        return 0


cdef class LegModel(QuoteModel):
    """The quote model of another market in which a strategy sends orders: it quotes nothing itself."""

    def __init__(self) -> None:
        self.needs = NEEDS_MANAGER | NEEDS_FILLS | NEEDS_OWN_ORDERS | NEEDS_PYTHON

    cdef int take_manager(self, object manager) except -1:
        self.orders = Orders(manager, False)
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        with gil:
            self.orders.note_fill(fill)
        return 0

    def begin(self, us: int) -> None:
        cdef OrderManager manager = self.orders.manager
        manager.show_fills()
        self.orders.begin(us, manager.quote_lots)

    def finish(self) -> None:
        self.orders.finish()


cdef class PythonStrategy(PythonQuoteModel):
    """Wraps a user's object and calls its ``on_event(market, orders)``.

    *market* is a `QuoteView`, *orders* are `Orders`. Optional members of the object: ``on_print``, ``signals`` and
    ``depth`` as in quote models; with ``depth = False`` it sends only ``LIMIT_MAKER`` orders. ``on_fill(fill)`` is
    called as well, but ``orders.fills`` has the same.
    """

    def __init__(self, model: object) -> None:
        PythonQuoteModel.__init__(self, model, "on_event")
        self.needs |= NEEDS_MANAGER | NEEDS_FILLS | NEEDS_OWN_ORDERS
        self.skips &= ~SKIPS_REPEATS

    cdef int take_manager(self, object manager) except -1:
        self.manager = manager
        self.orders = Orders(manager, bool(self.skips & SKIPS_DEPTH))
        return 0

    cdef int on_fill(self, const View* view, const OwnFill* fill) except -1 nogil:
        with gil:
            self.orders.note_fill(fill)
        if self.fill_hook is not None:
            PythonQuoteModel.on_fill(self, view, fill)
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        with gil:
            self.view.view = view
            self.view.trade.trade = &view.last_trade
            for leg in self.manager.legs.values():  # first: nothing of theirs is later than this instant
                leg.begin(view.top.us)
            self.orders.begin(view.top.us, view.quote_lots)
            before = begin_call(self.model, b"on_event")
            try:
                answer = self.quote_hook(self.view, self.orders)
            except ModelError as error:
                raise placed(error, self.quote_hook) from error.__cause__
            except CallStopped:
                answer = None
            except (Exception, SystemExit) as error:
                raise raised(self.model, "on_event", error) from error
            finally:
                self.end()
                self.orders.finish()
                for leg in self.manager.legs.values():
                    leg.finish()
                end_call(self.model, b"on_event", before)
            if isinstance(answer, Quotes | tuple | list):
                raise self.wrong(f"{answer!r}; send orders with orders.submit, or name the method quote(view)")
            want.again_us = min(self.orders.wake_us, min(self.orders.until.values(), default=NEVER))
            want.on_best = self.orders.on_best
        return 0
