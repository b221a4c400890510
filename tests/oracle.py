"""What a backtest means, in plain Python: the twin of the compiled engine, written from docs/engine.md alone.

Nothing here is quick. What happens next is found by looking at all that could happen, open orders and balances are
counted anew each time, and money is whole numbers that never round (1 tick·lot is tick_e8·lot_e8 of 1e-16).
tests/test_oracle.py proves these lines by tapes worked out by hand; tests/backtest/test_engine.py holds the engine to
them. The book, the orders and the fill models stand in tests/oracle_market.py.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from types import SimpleNamespace

from mm.backtest.journal import ACTIONS, CANCEL_REASONS, REJECT_REASONS, STATUSES
from mm.backtest.quotes.view import Quotes
from mm.backtest.rules import Rules
from oracle_market import BUY, GAP, KEYFRAME, NEVER, SELL, SNAPSHOT, TRADE, Book, Event, FillModel, Order, Trade

SECOND_US = 1_000_000

# The order of things at one instant.
MESSAGE, MARKET, DRAWN, SAMPLE, STATE, REQUOTE = range(6)

Tape = tuple[list[Event], int, int, bool]  # events, start_us, end_us, joins the one before without a seam
Quote = Callable[[SimpleNamespace], Quotes | None]


def play(tapes: list[Tape], quote: Quote, fills: FillModel, rules: Rules) -> SimpleNamespace:
    """Return what is left when *tapes* are played one after another: rows as in mm/backtest/journal.py, counters."""
    backtest = Backtest(quote, fills, rules)
    for tape in tapes:
        backtest.play(*tape)
    for order in backtest.resting():
        fills.end(order, backtest.us)
    ends = {"first_us": backtest.first_us, "last_us": backtest.us, "expected_fills": fills.expected_fills}
    backtest.journal.counters = backtest.counters | ends
    return backtest.journal


class Backtest:
    """An account, its orders, a book and the clock."""

    def __init__(self, quote: Quote, fills: FillModel, rules: Rules) -> None:
        self.quote, self.fill_model, self.rules = quote, fills, rules
        self.book, self.events, self.last_trade = Book(), deque(), None
        self.us = 0
        self.first_us = self.sample_us = self.state_us = self.requote_us = NEVER  # the grids
        self.open: list[Order] = []  # SENT, LIVE and CANCELLING, by id
        self.sent = 0
        self.no_order = {BUY: "", SELL: ""}  # why the side's previous requote sent none
        self.inventory, self.cash_tl, self.fees_e8 = rules.start_lots, 0, 0
        self.mid2 = self.last_mid2 = 0
        self.samples: list[tuple[int, int]] = []  # instant, squared change of mid2
        self.sampled_mid2, self.broken = 0, True
        self.counters = dict.fromkeys(("valid_us", "invalid_us", "two_sided_us", "events", "rows"), 0)
        self.journal = SimpleNamespace(orders=[], fills=[], state=[], mids=[])

    # The clock

    def play(self, events: list[Event], start_us: int, end_us: int, joins: bool) -> None:
        """Play one tape behind those before it."""
        if self.us and not joins:
            self.change_market(Event(self.us, GAP, []))
        if self.us < start_us:
            self.advance(start_us - 1)
            self.wait(start_us)
        if events and events[0].kind == KEYFRAME:
            events = [events[0]._replace(kind=SNAPSHOT), *events[1:]]
        for event in events:
            if event.us < start_us and event.kind not in (TRADE, KEYFRAME):
                self.change_book(event)
        self.look_at_mid()
        self.events.extend(event for event in events if event.us >= start_us)
        self.advance(end_us)

    def advance(self, until_us: int) -> None:
        """Let everything happen that falls due up to and including an instant."""
        while due := [thing for thing in self.things() if thing[0] <= until_us]:
            us, _, _, happen = min(due, key=lambda thing: thing[:3])
            self.wait(us)
            happen()
        self.wait(until_us)

    def things(self) -> Iterator[tuple[int, int, int, Callable[[], None]]]:
        """Yield what may happen next: instant, place at that instant, order id, and what happens."""
        for order in self.open:
            if order.status == "SENT":
                yield order.active_us, MESSAGE, order.id, partial(self.arrive, order)
                continue
            if order.status == "CANCELLING":
                yield order.cancel_effective_us, MESSAGE, order.id, partial(self.close, order, "CANCEL_ACK")
            if order.expire_us != NEVER:
                yield order.expire_us, MESSAGE, order.id, partial(self.close, order, "EXPIRE")
            if order.due_us is not None:
                yield order.due_us, DRAWN, order.id, partial(self.fill, order, order.left)
        if self.events:
            yield self.events[0].us, MARKET, 0, self.next_event
        if self.first_us != NEVER:
            yield self.sample_us, SAMPLE, 0, self.sample
            yield self.state_us, STATE, 0, self.grid_state
            yield self.requote_us, REQUOTE, 0, self.requote

    def wait(self, us: int) -> None:
        """Let time pass."""
        if self.first_us != NEVER:
            sides = {order.side for order in self.resting()}
            self.counters["valid_us" if self.book.valid else "invalid_us"] += us - self.us
            self.counters["two_sided_us"] += us - self.us if self.book.valid and len(sides) == 2 else 0
        self.us = us

    # The market

    def next_event(self) -> None:
        event = self.events.popleft()
        self.counters["events"] += 1
        self.counters["rows"] += len(event.rows) if event.kind != KEYFRAME else 0
        if event.kind == TRADE:
            self.last_trade = Trade(event.us, *event.rows[0], event.id)
            best_first = sorted(self.resting(), key=lambda order: (-order.side, -order.side * order.ticks, order.id))
            for order, lots in self.fill_model.on_trade(best_first, self.last_trade):
                self.fill(order, lots)
        elif event.kind != KEYFRAME:
            self.change_market(event)

    def change_market(self, event: Event) -> None:
        self.change_book(event)
        for order in self.resting() if event.kind == GAP else []:
            order.cancel_effective_us, order.cancel_reason = self.us, "epoch_break"
            self.close(order, "CANCEL_ACK")
        self.look_at_mid()

    def change_book(self, event: Event) -> None:
        self.book.apply(event)
        if self.fill_model.moved(event, self.book):
            for order in self.resting():
                self.fill_model.begin(order, self.book, self.us)

    def look_at_mid(self) -> None:
        """Note the mid where it changed, and begin the grids at the first valid book."""
        mid2 = self.book.mid2
        if mid2 != self.mid2:
            self.journal.mids.append((self.us, mid2))
        self.mid2, self.last_mid2 = mid2, mid2 or self.last_mid2
        self.broken |= not mid2
        if self.book.valid and self.first_us == NEVER:
            self.first_us = self.sample_us = self.state_us = self.requote_us = self.us

    # Our orders

    def resting(self) -> list[Order]:
        return [order for order in self.open if order.rests]

    def arrive(self, order: Order) -> None:
        other = self.book.best(-order.side)
        if not self.book.valid:
            reason = "book_invalid"
        elif other and order.side * (order.ticks - other) >= 0:
            reason = "would_cross"
        else:
            reason = self.uncovered(order.side, order.ticks, order.lots, self.resting())
        if reason:
            self.close(order, "REJECT", reason)
            return
        order.status = "LIVE" if order.cancel_req_us == NEVER else "CANCELLING"
        self.fill_model.accept(order)
        for neighbour in self.resting():
            if neighbour.side == order.side:
                self.fill_model.begin(neighbour, self.book, self.us)

    def close(self, order: Order, action: str, reject_reason: str = "") -> None:
        self.open.remove(order)
        self.fill_model.end(order, self.us)
        order.status = {"CANCEL_ACK": "CANCELLED", "EXPIRE": "EXPIRED", "REJECT": "REJECTED"}.get(action, "FILLED")
        self.note(order, action, reject_reason)

    def fill(self, order: Order, lots: int) -> None:
        fee_e8 = self.fee_e8(order.ticks, lots)
        order.left -= lots
        self.inventory += order.side * lots
        self.cash_tl -= order.side * order.ticks * lots
        self.fees_e8 += fee_e8
        order.status = order.status if order.left else "FILLED"
        self.note(order, "FILL")
        if not order.left:
            self.close(order, "CLOSE_FILLED")
        row = (order.side, order.ticks, lots, fee_e8, self.fill_model.reason, self.last_mid2, self.inventory)
        self.journal.fills.append((self.us, order.id, *row))
        self.note_state()

    def note(self, order: Order, action: str, reject_reason: str = "") -> None:
        """Write a row of the orders table."""
        codes = (ACTIONS.index(action), STATUSES.index(order.status))
        what = (order.side, order.ticks, order.lots, order.left)
        instants = (order.active_us, order.expire_us, order.cancel_req_us, order.cancel_effective_us)
        reasons = (REJECT_REASONS.index(reject_reason), CANCEL_REASONS.index(order.cancel_reason))
        self.journal.orders.append((self.us, order.id, *codes, *what, *instants, *reasons))

    # What happens on the grids

    def sample(self) -> None:
        if not self.broken:
            self.samples.append((self.us, (self.mid2 - self.sampled_mid2) ** 2))
        self.sampled_mid2, self.broken = self.mid2, not self.mid2
        self.sample_us += SECOND_US

    def sigma_ticks(self) -> float:
        window_s = self.rules.sigma_window_s
        squares = [square for us, square in self.samples if us > self.us - window_s * SECOND_US]
        return math.sqrt(sum(squares) / (4.0 * len(squares))) if len(squares) >= min(30, window_s) else math.nan

    def grid_state(self) -> None:
        self.note_state()
        self.state_us += self.rules.state_us

    def note_state(self) -> None:
        account = (self.inventory, self.cash_tl, self.fees_e8)
        self.journal.state.append((self.us, *account, self.last_mid2, len(self.open)))

    def requote(self) -> None:
        self.requote_us += self.rules.requote_us
        if self.mid2:
            quotes = self.quote(self.view()) or Quotes(None, None)
            bid, ask = quotes.bid_ticks, quotes.ask_ticks
            self.want(BUY, None if bid is None else math.floor(bid), quotes.bid_lots)
            self.want(SELL, None if ask is None else math.ceil(ask), quotes.ask_lots)

    def view(self) -> SimpleNamespace:
        """Return what a quote model sees."""
        return SimpleNamespace(
            us=self.us,
            bid_ticks=self.book.best(BUY),
            ask_ticks=self.book.best(SELL),
            bid_lots=self.book.best_lots(BUY),
            ask_lots=self.book.best_lots(SELL),
            mid2_ticks=self.mid2,
            lots_at=self.book.lots_at,
            inventory_lots=self.inventory,
            quote_lots=self.rules.quote_lots,
            cash=self.cash_e16() / 10**16,
            sigma_ticks=self.sigma_ticks(),
            last_trade=self.last_trade,
        )

    def want(self, side: int, ticks: int | None, lots: int | None) -> None:
        """Bring a side to what is wanted there; *ticks* None is no order, *lots* None the usual quantity."""
        rules, reason = self.rules, ""
        current = next((order for order in self.open if order.side == side and order.wanted), None)
        if current:
            same = current.ticks == ticks
            if same and not 0 < rules.refresh_us <= self.us - current.sent_us:
                return
            self.cancel(current, "quote_withdrawn" if ticks is None else "refresh" if same else "quote_moved")
        if ticks is not None:
            lots = (rules.quote_lots if lots is None else lots) // rules.step_lots * rules.step_lots
            reason = self.unsendable(side, ticks, lots)
            if not reason:
                self.send(side, ticks, lots)
            elif reason != self.no_order[side]:
                self.note(Order(0, side, ticks, lots, lots, "REJECTED"), "SKIP", reason)
        self.no_order[side] = reason

    def cancel(self, order: Order, reason: str) -> None:
        order.status = "CANCELLING" if order.rests else "SENT"
        order.cancel_req_us, order.cancel_reason = self.us, reason
        order.cancel_effective_us = max(self.us + self.rules.cancel_latency_us, order.active_us)
        self.note(order, "CANCEL_REQ")

    def send(self, side: int, ticks: int, lots: int) -> None:
        self.sent += 1
        active_us = self.us + self.rules.order_latency_us
        expire_us = active_us + self.rules.ttl_us if self.rules.ttl_us else NEVER
        self.open.append(Order(self.sent, side, ticks, lots, lots, "SENT", self.us, active_us, expire_us))
        self.note(self.open[-1], "PLACE")

    def unsendable(self, side: int, ticks: int, lots: int) -> str:
        """Return why an order is not sent, or nothing."""
        if ticks <= 0:
            return "price_not_positive"
        if lots <= 0:
            return "quantity_below_step"
        if self.notional_e16(ticks, lots) < self.rules.min_notional_e8 * 10**8:
            return "min_notional"
        return self.uncovered(side, ticks, lots, [order for order in self.open if order.wanted])

    # Money

    def uncovered(self, side: int, ticks: int, lots: int, others: list[Order]) -> str:
        """Return why the balance that *others* leave free does not cover an order, or nothing."""
        bound = [order for order in others if order.side == side]
        if not self.rules.enforce_balances:
            return ""
        if side == SELL:
            free_lots = self.inventory - sum(order.left for order in bound)
            return "" if free_lots >= lots else "insufficient_inventory"
        free_e16 = self.cash_e16() - sum(self.cost_e16(order.ticks, order.left) for order in bound)
        return "" if free_e16 >= self.cost_e16(ticks, lots) else "insufficient_cash"

    def notional_e16(self, ticks: int, lots: int) -> int:
        return ticks * self.rules.tick_e8 * lots * self.rules.lot_e8

    def fee_e8(self, ticks: int, lots: int) -> int:
        return round(Fraction(self.notional_e16(ticks, lots) * self.rules.maker_fee_e8, 10**16))  # half to even

    def cost_e16(self, ticks: int, lots: int) -> int:
        return self.notional_e16(ticks, lots) + self.fee_e8(ticks, lots) * 10**8

    def cash_e16(self) -> int:
        traded_e16 = self.cash_tl * self.rules.tick_e8 * self.rules.lot_e8
        return (self.rules.start_cash_e8 - self.fees_e8) * 10**8 + traded_e16
