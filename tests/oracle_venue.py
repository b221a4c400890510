"""The oracle's exchange: effects of market events and of our orders (docs/specification/engine.md)."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from mm import OwnFill, Rules
from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from oracle_account import Account
from oracle_fills import FillModel
from oracle_filters import Filters
from oracle_limits import OrderCount, Refused
from oracle_market import GAP, NEVER, QUOTED, Book, Event, Order, Trade

MOST_MOVES = 9_999  # amendments of the price of one order


class Venue:
    """A book, our orders in it, an account, and the journal."""

    def __init__(self, fills: FillModel, rules: Rules) -> None:
        self.fill_model, self.rules = fills, rules
        fills.use_step(rules.step_lots)
        self.account, self.filters = Account(rules), Filters(rules)
        self.order_count, self.refused = OrderCount(rules), Refused()
        self.on_fill: Callable[[OwnFill], None] | None = None  # of the quote model
        self.fresh: list[OwnFill] = []  # fills not yet passed to it
        self.follow_us = self.followed_us = NEVER  # a requote on a fill: when it is due, and the last
        self.awaiting: set[int] = set()  # the sides with an order that waits for room under a bound of the position
        self.book, self.received_book = Book(), Book()  # at the exchange, and as received by us
        self.last_best = (0, 0)  # bid and ask at the last book event
        self.met = {1: 0, -1: 0}  # lots that the other side offers, and that our orders of a side have met
        self.us = 0
        self.first_us = NEVER  # of the grids
        self.open: list[Order] = []  # SENT, LIVE and CANCELLING, by id
        self.mid2 = self.last_mid2 = 0
        self.journal = SimpleNamespace(orders=[], fills=[], state=[], mids=[], spans=[])

    # The market

    def print(self, trade: Trade) -> None:
        self.book.add_trade(trade)
        self.filters.add_trade(trade)
        taken = 0
        for order in self.in_sequence():
            lots, name = self.fill_model.on_trade(order, trade, taken)
            lots = self.whole(order, min(lots, order.left, trade.lots - taken))
            if lots > 0:
                taken += lots
                self.fill(order, lots, f"{name}:trade")

    def change_market(self, event: Event) -> None:
        orders, printed_at = self.in_sequence(), self.book.printed_at
        before = {order.id: self.book.lots_at(order.side, order.ticks) for order in orders}
        printed = {order.id: printed_at(order.side, order.ticks) for order in orders}
        mid2_before = self.last_mid2
        self.change_book(event)
        for order in self.resting() if event.kind == GAP else []:
            order.cancel_effective_us, order.cancel_reason = self.us, "epoch_break"
            self.close(order, "CANCEL_ACK")
        self.look_at_mid()
        moved = self.note_best(orders)
        if event.kind == GAP:
            return
        for order in orders:
            after = self.book.lots_at(order.side, order.ticks)
            if before[order.id] != after or printed[order.id]:
                self.fill_model.on_level(order, before[order.id], after, printed[order.id])
        for order in orders:
            order.offered = max(self.offered(order) - self.met[order.side], 0) if moved else 0
            lots, name = self.fill_model.on_book(order, self.book, self.us)
            order.last_book_us = self.us
            lots = self.whole(order, min(lots, order.left))
            if lots > 0:
                self.met[order.side] += lots
                self.fill(order, lots, f"{name}:book", mid2=mid2_before)

    def offered(self, order: Order) -> int:
        """Return what the other side displays at an order's price or better."""
        prices = [ticks for ticks in self.book.prices(-order.side) if order.accepts(ticks)]
        return sum(self.book.lots_at(-order.side, ticks) for ticks in prices)

    def note_best(self, orders: list[Order]) -> bool:
        """Return whether a best price moved; what our orders met counts only while the other side reaches them."""
        before, self.last_best = self.last_best, (self.book.best(1), self.book.best(-1))
        if before == self.last_best:
            return False
        for side in (1, -1):
            most = max([self.offered(order) for order in orders if order.side == side], default=0)
            self.met[side] = min(self.met[side], most)
        return True

    def change_book(self, event: Event) -> None:
        self.book.apply(event)
        self.begin_stretches(self.fill_model.moved(event, self.book))

    def begin_stretches(self, new: bool) -> None:
        """Begin a stretch of intensity for every resting order."""
        for order in self.resting() if new else []:
            self.fill_model.begin(order, self.book, self.us)

    def look_at_mid(self) -> None:
        """Record the mid if it changed, and start the grids at the first valid book."""
        mid2 = self.book.mid2
        if mid2 != self.mid2:
            self.journal.mids.append((self.us, mid2))
        self.mid2, self.last_mid2 = mid2, mid2 or self.last_mid2
        if self.book.valid and self.first_us == NEVER:
            self.first_us = self.us

    # Our orders

    def resting(self) -> list[Order]:
        return [order for order in self.open if order.rests]

    def in_sequence(self) -> list[Order]:
        """Return the resting orders: buys, then sells, best price first."""
        return sorted(self.resting(), key=lambda order: (-order.side, -order.side * order.ticks, order.id))

    def arrive(self, order: Order) -> None:
        self.risk.acks.append(self.us - order.sent_us)
        reason = self.refusal(order)
        if reason:
            self.close(order, "REJECT", reason)
            if not order.manual:
                self.refused.note(order, reason, self.meets_own(order))
                self.follow()
            return
        order.status = "LIVE" if order.cancel_req_us == NEVER else "CANCELLING"
        if order.kind != QUOTED:
            self.take(order)
        if order.left and order.kind not in (QUOTED, "LIMIT"):
            self.close(order, "EXPIRE")
        elif order.left:
            self.rest(order)

    def refusal(self, order: Order) -> str:
        """Return why the exchange refuses an arriving order, or an empty text."""
        if not self.book.valid:
            return "book_invalid"
        if order.kind == QUOTED and (self.fill_model.crosses(order, self.book) or self.meets_own(order)):
            return "would_cross"
        if self.filters.out_of_band(order, self.us):
            return "price_out_of_band"
        return self.account.uncovered(order, self.resting(), self.book)

    def move(self, order: Order) -> None:
        """Apply an amendment of the price: the order leaves its queue for another, ends, or stays where it is."""
        self.risk.acks.append(self.us - order.sent_us)
        filled, ticks, lots = order.lots - order.left, order.move_ticks, order.amend_lots
        order.amend_us, order.move_ticks, order.more = NEVER, 0, 0
        if lots <= filled:
            self.close(order, "CANCEL_ACK")
            return
        moved = replace(order, ticks=ticks, lots=lots, left=lots - filled)
        reason = self.refusal(moved)
        if reason:
            order.moves = MOST_MOVES
            self.note(replace(order, ticks=ticks), "AMEND", reason)
            self.refused.note(moved, reason, self.meets_own(moved))
            self.follow()
            self.follow_room(order.side)
            if reason == "would_cross":
                self.close(order, "CANCEL_ACK")
            return
        self.fill_model.end(order, self.us)
        order.ticks, order.lots, order.left, order.active_us = ticks, lots, lots - filled, self.us
        order.since_us, order.due_us, order.ahead = NEVER, None, 0.0
        self.follow_room(order.side)
        self.note(order, "AMEND")
        self.rest(order)

    def take(self, order: Order) -> None:
        """Fill a crossing order from the other side of the book."""
        levels = list(self.book.takes(order))
        if order.kind == "FOK" and sum(lots for _, lots in levels) < order.left:
            return
        for own in self.in_sequence():
            meets = self.rules.own_orders_meet and own.side != order.side and order.accepts(own.ticks)
            if meets and self.lots_before(order, own) < order.left:
                own.cancel_reason = "self_trade"
                self.close(own, "EXPIRE")
        for ticks, lots in levels:
            self.book.take(-order.side, ticks, lots)
            self.fill(order, lots, "taker:book", ticks)
        if order.left:
            self.met[order.side] += sum(lots for _, lots in levels)

    def meets_own(self, order: Order) -> bool:
        """Return whether an order would meet a resting one of ours."""
        if not self.rules.own_orders_meet:
            return False
        return any(own.side != order.side and order.accepts(own.ticks) for own in self.resting())

    def lots_before(self, order: Order, own: Order) -> float:
        """Return the lots that an order takes before it meets one of ours: at better prices, and ahead at its price."""
        better = [at for at in self.book.prices(own.side) if own.side * (at - own.ticks) > 0]
        at_price = self.book.available(own.side, own.ticks)
        return sum(self.book.available(own.side, at) for at in better) + min(own.ahead * self.rules.step_lots, at_price)

    def rest(self, order: Order) -> None:
        order.last_book_us = self.us
        self.fill_model.on_rest(order, self.book)
        self.fill_model.accept(order)
        for neighbour in self.resting():
            if neighbour.side == order.side:
                self.fill_model.begin(neighbour, self.book, self.us)

    def lessen(self, order: Order) -> None:
        """Apply an amendment."""
        order.amend_us = NEVER
        if order.lots - order.left < order.amend_lots < order.lots:
            order.left -= order.lots - order.amend_lots
            order.lots = order.amend_lots
            order.amends += 1
            self.follow_room(order.side)
            self.note(order, "AMEND")

    def close(self, order: Order, action: str, reject_reason: str = "") -> None:
        self.open.remove(order)
        self.fill_model.end(order, self.us)
        order.status = {"CANCEL_ACK": "CANCELLED", "EXPIRE": "EXPIRED", "REJECT": "REJECTED"}.get(action, "FILLED")
        self.note(order, action, reject_reason)
        if order.left:
            self.follow_room(order.side)

    def fill(self, order: Order, lots: int, reason: str, ticks: int | None = None, mid2: int | None = None) -> None:
        """Fill an order at its own price if it rested, or at *ticks* if it took.

        *mid2* is the last valid mid before the event that fills it, if that event changes the book.
        """
        rate_e8 = self.rules.maker_fee_e8 if ticks is None else self.rules.taker_fee_e8
        ticks = order.ticks if ticks is None else ticks
        fee_e8 = self.account.trade(order.side, ticks, lots, rate_e8)
        if order.left == order.lots:
            self.order_count.filled(self.us, reason != "taker:book")
        self.follow()
        self.follow_room(-order.side)
        order.left -= lots
        if self.on_fill:
            took = reason == "taker:book"
            self.fresh.append(OwnFill(self.us, order.id, order.side, ticks, lots, order.left, took))
        order.status = order.status if order.left else "FILLED"
        self.note(order, "FILL")
        if not order.left:
            self.close(order, "CLOSE_FILLED")
        mid2 = self.last_mid2 if mid2 is None else mid2
        row = (order.side, ticks, lots, fee_e8, reason, mid2, self.account.inventory)
        self.journal.fills.append((self.us, order.id, *row))
        self.note_state()

    def whole(self, order: Order, lots: int) -> int:
        """Return the lots of a fill in whole steps, unless it closes the order."""
        return lots if lots == order.left else lots // self.rules.step_lots * self.rules.step_lots

    def follow(self) -> None:
        """Schedule a requote at the end of this instant, unless one has already followed in it."""
        if (self.rules.requote_on_fill or self.on_fill) and self.us != self.followed_us:
            self.follow_us = self.us

    def follow_room(self, side: int) -> None:
        """Schedule a requote likewise if an order of *side* waits for room, and there may be some now."""
        if side in self.awaiting and self.us != self.followed_us:
            self.follow_us = self.us

    def note(self, order: Order, action: str, reject_reason: str = "") -> None:
        """Write a row of the orders table."""
        codes = (ACTIONS.index(action), STATUSES.index(order.status))
        what = (order.side, order.ticks, order.lots, order.left)
        instants = (order.active_us, order.expire_us, order.cancel_req_us, order.cancel_effective_us)
        reasons = (REJECT_REASONS.index(reject_reason), CANCEL_REASONS.index(order.cancel_reason))
        self.journal.orders.append((self.us, order.id, *codes, *what, *instants, *reasons))

    def note_state(self) -> None:
        """Write a row of the state table."""
        account = (self.account.inventory, self.account.cash_tl, self.account.fees_e8)
        self.journal.state.append((self.us, *account, self.last_mid2, len(self.open)))
