"""The reference implementation of a backtest in plain Python, written from docs/specification/engine.md alone.

It is simple and slow: the next event is found by comparing all possible ones, open orders and balances are recomputed
each time, and money is integers that never round. tests/test_oracle.py tests it on hand-calculated tapes;
tests/backtest/test_engine.py compares the compiled engine with it. Other parts: the book and our orders
(tests/oracle_market.py), money (oracle_account.py), fill models (oracle_fills.py), latencies (oracle_travel.py), the
volatility (oracle_volatility.py).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

from mm import OwnFill, Quotes, Rules
from mm.backtest.quotes.view import Level
from oracle_fills import FillModel, lots_at, shown_lots
from oracle_market import BUY, GAP, KEYFRAME, NEVER, QUOTED, SELL, SNAPSHOT, TRADE, Event, Order, Trade
from oracle_risk import Risk
from oracle_travel import AMENDMENT, CANCEL, ORDER, SECOND_US, Messages, happened
from oracle_venue import MOST_MOVES, Venue
from oracle_volatility import Volatility

# The order of processing at one instant.
OPEN, MESSAGE, MARKET, DRAWN, SAMPLE, STATE, REQUOTE = range(7)
MOST_TURNS = 10**9

Tape = tuple[list[Event], int, int, bool]  # events, start_us, end_us, joins the previous tape without a seam
Quote = Callable[[SimpleNamespace], Quotes | None]
OnFill = Callable[[OwnFill], None]
OnPrint = Callable[[Trade], None]


def play(tapes: list[Tape], quote: Quote, fills: FillModel, rules: Rules) -> SimpleNamespace:
    """Run *tapes* one after another and return the journal."""
    backtest = Backtest(quote, fills, rules)
    for tape in tapes:
        backtest.attach(*tape)
        backtest.advance(backtest.end_us)
    return backtest.left()


class Backtest(Venue):
    """The clock, and our messages to the exchange."""

    def __init__(
        self,
        quote: Quote,
        fills: FillModel,
        rules: Rules,
        on_fill: OnFill | None = None,
        on_print: OnPrint | None = None,
        bound: float | None = None,
    ) -> None:
        super().__init__(fills, rules)
        self.bound = None if bound is None else int(bound * rules.quote_lots + 1e-9)  # of the position, in lots
        self.on_fill, self.on_print = on_fill, on_print
        self.quote, self.messages, self.risk = quote, Messages(rules), Risk(rules)
        self.market_us = 0  # when the last market message was received, less how late it was
        self.coming: deque[tuple[int, Event]] = deque()  # events that are still to happen at the exchange, numbered,
        self.underway: deque[tuple[int, Event]] = deque()  # and those that are still to reach us
        self.last_trade: Trade | None = None
        self.end_us = 0
        self.opens: Tape | None = None  # a tape that has not begun
        self.grids: dict[int, int] = {}  # the next instants of SAMPLE, STATE and REQUOTE
        self.sent = self.turns = 0
        self.no_order: dict[tuple[int, int], str] = {}  # why the previous requote sent no order, by side and level
        self.several = False  # whether the quote model has ever returned several prices per side
        self.known_best: tuple[int, int] | None = None  # a requote follows when the best prices differ
        self.wake_us = NEVER  # when the model's last answer asked for a call
        self.volatility = Volatility(rules)
        self.broken = True  # whether a best price was missing since the last sample
        self.may_quote = True  # not while the market is closed, nor in training
        self.counters = dict.fromkeys(("valid_us", "invalid_us", "two_sided_us", "events", "rows"), 0)

    def left(self) -> SimpleNamespace:
        """Return the journal: rows as in mm/backtest/journal.py, but with reasons of fills as text, and counters."""
        for order in self.resting():
            self.fill_model.end(order, self.us)
        ends = {"first_us": self.first_us, "last_us": self.us, "expected_fills": self.fill_model.expected_fills}
        self.journal.counters = self.counters | ends
        self.journal.breaches, self.journal.killed = self.risk.rows, self.risk.killed
        return self.journal

    # The clock

    def attach(self, events: list[Event], start_us: int, end_us: int, joins: bool) -> None:
        """Append a tape."""
        if self.end_us and not (joins and self.us == self.end_us):
            self.fill_model.on_event(Event(self.us, GAP, []))
            self.change_market(Event(self.us, GAP, []))
            self.received_book.apply(Event(self.us, GAP, []))
            self.broken = True
        if events and events[0].kind == KEYFRAME:
            events = [events[0]._replace(kind=SNAPSHOT), *events[1:]]
        self.opens, self.end_us = (events, start_us, end_us, joins), end_us
        self.coming.clear()
        self.underway.clear()
        self.messages.event_times.clear()
        self.filters.begin()

    def advance(self, until_us: int) -> None:
        """Process everything that is due up to and including an instant."""
        until_us = min(until_us, self.end_us)
        while due := [thing for thing in self.things() if thing[0] <= until_us]:
            us, _, _, happen = min(due, key=lambda thing: thing[:3])
            self.wait(us)
            happen()
        self.wait(max(until_us, self.us))

    def things(self) -> Iterator[tuple[int, int, int, Callable[[], None]]]:  # noqa: PLR0912 - one branch a thing
        """Yield the possible next actions: instant, rank at that instant, order id, and the action."""
        for order in self.open:
            if order.status == "SENT":
                yield order.active_us, MESSAGE, order.id, partial(self.arrive, order)
                continue
            if order.amend_us != NEVER:
                if order.move_ticks:  # before all other messages
                    yield order.amend_us, MESSAGE, order.turn - MOST_TURNS, partial(self.move, order)
                else:
                    yield order.amend_us, MESSAGE, order.id, partial(self.lessen, order)
            if order.status == "CANCELLING":
                yield order.cancel_effective_us, MESSAGE, order.id, partial(self.close, order, "CANCEL_ACK")
            if order.expire_us != NEVER:
                yield order.expire_us, MESSAGE, order.id, partial(self.close, order, "EXPIRE")
            if order.due_us is not None:
                yield order.due_us, DRAWN, order.id, partial(self.fill, order, order.left, self.drawn_reason)
        if self.opens:
            yield self.opens[1], OPEN, 0, self.begin
        if self.coming:
            yield self.coming[0][1].us, MARKET, 2 * self.coming[0][0] + 1, self.next_event
        if self.underway:
            yield self.underway[0][1].us, MARKET, 2 * self.underway[0][0], self.receive_event
        if self.first_us != NEVER:
            for place, step_us, happen in self.steps():
                yield self.grids.get(place, self.first_us), place, 0, partial(self.step, place, step_us, happen)
        if self.follow_us not in (NEVER, self.grids.get(REQUOTE, self.first_us)):
            yield self.follow_us, REQUOTE, 0, self.requote

    @property
    def drawn_reason(self) -> str:
        return f"{getattr(self.fill_model, 'drawn', self.fill_model).name}:hazard"

    def steps(self) -> list[tuple[int, int, Callable[[], None]]]:
        """Return the rank, the step and the action of each grid."""
        rules = self.rules
        grids = [(SAMPLE, SECOND_US, self.sample), (STATE, rules.state_us, self.note_state)]
        return [*grids, (REQUOTE, rules.requote_us, self.requote)]

    def step(self, place: int, step_us: int, happen: Callable[[], None]) -> None:
        """Process one point of a grid."""
        self.grids[place] = self.us + step_us
        happen()

    def wait(self, us: int) -> None:
        """Advance the time and the time counters."""
        if self.first_us != NEVER:
            sides = {order.side for order in self.resting()}
            covered = self.book.valid and self.may_quote
            self.counters["valid_us" if covered else "invalid_us"] += us - self.us
            self.counters["two_sided_us"] += us - self.us if covered and len(sides) == 2 else 0
            if covered and us > self.us:
                spans = self.journal.spans
                spans[-1:] = [(spans[-1][0], us)] if spans and spans[-1][1] == self.us else [*spans[-1:], (self.us, us)]
        self.us = us

    # The market

    def begin(self) -> None:
        """Begin a tape: events before its window only build the book."""
        events, start_us, _, _ = self.opens
        self.opens = None
        instants = [event.us for event in events]
        if self.rules.feed_kind != "none":
            instants = happened(events, start_us, self.rules.feed_us or None)
        there = [event._replace(us=us) for event, us in zip(events, instants, strict=True)]
        happening = sorted(enumerate(there), key=lambda numbered: numbered[1].us)
        before = [event for _, event in happening if event.us < start_us]
        self.messages.event_times.extend(event.us for event in before)
        received = [event for event in events if event.us < start_us and event.kind != KEYFRAME]
        self.market_us = received[-1].us - received[-1].late_us if received else self.market_us
        for event in before:
            self.fill_model.on_event(event)
            if event.kind not in (TRADE, KEYFRAME):
                self.change_book(event)
                self.received_book.apply(event)
                self.book.us = start_us
        self.look_at_mid()
        self.look_at_best()
        self.broken |= not self.received_book.mid2
        self.coming.extend(numbered for numbered in happening if numbered[1].us >= start_us)
        self.underway.extend(numbered for numbered in enumerate(events) if numbered[1].us >= start_us)

    def receive_event(self) -> None:
        """Receive an event from the feed."""
        event = self.underway.popleft()[1]
        self.market_us = self.us - event.late_us if event.kind != KEYFRAME else self.market_us
        if event.kind == TRADE:
            self.last_trade = Trade(event.us, *event.rows[0], event.id)
            if self.on_print:
                self.on_print(self.shown_trade())
        elif event.kind != KEYFRAME:
            self.received_book.apply(event)
            self.look_at_best()
            self.broken |= not self.received_book.mid2

    def look_at_best(self) -> None:
        """Schedule a requote if the quote model waits for a change of the best prices and they changed."""
        if (
            self.known_best
            and self.received_book.mid2
            and self.known_best != (self.received_book.best(BUY), self.received_book.best(SELL))
        ):
            self.known_best, self.follow_us = None, self.us

    def next_event(self) -> None:
        """Process an event at the exchange."""
        event = self.coming.popleft()[1]
        self.messages.event_times.append(event.us)
        self.counters["events"] += 1
        self.fill_model.on_event(event)
        self.counters["rows"] += len(event.rows) if event.kind != KEYFRAME else 0
        if event.kind == TRADE:
            self.print(Trade(event.us, *event.rows[0], event.id))
            self.begin_stretches(self.fill_model.printed(event))
        elif event.kind != KEYFRAME:
            self.change_market(event)

    # Our messages

    def place(self, side: int, ticks: int, lots: int, kind: str = QUOTED) -> int:
        """Send an order by hand; return its id, or 0 if it was not sent."""
        order = self.draft(side, ticks, lots, kind)
        order.manual = True
        reason = self.unsendable(order)
        if reason:
            self.note(order, "SKIP", reason)
            return 0
        self.send(order)
        return order.id

    def cancel(self, number: int) -> bool:
        """Request a cancel by hand; return whether an open order was found."""
        order = next((order for order in self.open if order.id == number and order.cancel_req_us == NEVER), None)
        if order:
            self.request_cancel(order, "asked")
        return order is not None

    def amend(self, number: int, lots: int) -> bool:
        """Request fewer lots by hand; return whether a request was sent."""
        order = next((order for order in self.open if order.id == number and order.amend_us == NEVER), None)
        if self.risk.killed or order is None or order.cancel_req_us != NEVER:
            return False
        if lots % self.rules.step_lots or not order.lots - order.left < lots < order.lots:
            return False
        filters = self.rules.filters
        if not filters.amend_allowed or order.amends >= (filters.max_amends or math.inf):
            return False
        if self.missized(replace(order, lots=lots, left=lots)):
            return False
        self.request_fewer(order, lots)
        return True

    def request_fewer(self, order: Order, lots: int) -> None:
        order.amend_us, order.amend_lots = self.messages.arrives(self.us, order, AMENDMENT), lots

    def amend_quote(self, order: Order, wanted: int) -> None:
        """Reduce a resting order to the wanted lots if the exchange permits it."""
        filters, lots = self.rules.filters, order.lots - order.left + wanted
        most = filters.max_amends or math.inf
        less = replace(order, lots=lots, left=lots)
        if not (self.rules.order_amend and filters.amend_allowed and order.amends < most and order.status == "LIVE"):
            return
        if order.amend_us == NEVER and 0 < wanted < order.left and not self.missized(less):
            self.request_fewer(order, lots)

    def moves(self, order: Order, ticks: int, wanted: int) -> bool:
        """Move a resting post-only order to another price, by one request; return whether it was sent."""
        if not self.rules.order_modify or order.moves >= MOST_MOVES or order.kind != QUOTED or order.status != "LIVE":
            return False
        others = sum(one.open_lots for one in self.open if one.side == order.side and one is not order)
        if order.amend_us != NEVER or wanted <= 0 or max(wanted, order.left) > self.room(order.side) - others:
            return False
        whole, added = order.lots - order.left + wanted, max(wanted - order.left, 0)
        moved = replace(order, ticks=ticks, lots=whole, left=whole)
        if self.missized(moved) or self.refused.again(moved) or self.order_count.reached(self.us):
            return False
        buys = sum(one.open_lots for one in self.open if one.side == BUY and one.wanted) + added
        most_e8 = self.rules.filters.max_position_e8
        if order.side == BUY and most_e8 and (self.account.inventory + buys) * self.rules.lot_e8 > most_e8:
            return False
        if self.risk.refuses(replace(moved, left=wanted), self):
            return False
        self.risk.sent.append(self.us)
        self.order_count.sent(self.us)
        self.turns += 1
        order.turn = self.turns
        order.moves, order.move_ticks, order.more, order.sent_us = order.moves + 1, ticks, added, self.us
        self.request_fewer(order, whole)
        return True

    def trade(self, *, trades: bool) -> None:
        """Begin or end the time in which the strategy may quote, by hand."""
        self.may_quote = trades

    def pull(self, reason: str) -> None:
        """Withdraw the quotes by hand and stop quoting."""
        self.risk.manual = reason
        self.withdraw(self.risk.halted())

    def resume(self) -> None:
        """Resume quoting."""
        self.risk.manual = ""

    def kill(self, reason: str) -> None:
        """Cancel every order by hand and stop sending for good."""
        self.risk.killed = self.risk.killed or (self.us, reason)
        self.withdraw(self.risk.halted())

    def withdraw(self, reason: str) -> None:
        """Request the cancels of our quotes, or of all orders if the run is killed."""
        for order in self.open:
            if order.cancel_req_us == NEVER and (self.risk.killed or not order.manual):
                self.request_cancel(order, reason)

    def request_cancel(self, order: Order, reason: str) -> None:
        order.status = "CANCELLING" if order.rests else "SENT"
        order.cancel_req_us, order.cancel_reason = self.us, reason
        order.cancel_effective_us = self.messages.arrives(self.us, order, CANCEL)
        self.note(order, "CANCEL_REQ")

    def on_grid(self, side: int, ticks: int) -> int:
        """Return a price on the exchange's step, no nearer to the other side than *ticks*."""
        return ticks // self.rules.step_ticks * self.rules.step_ticks if side == BUY else -self.on_grid(BUY, -ticks)

    def draft(self, side: int, ticks: int, lots: int, kind: str) -> Order:
        """Return an unsent order, its quantity rounded down to whole steps."""
        lots = lots // self.rules.step_lots * self.rules.step_lots
        return Order(0, side, 0 if kind == "MARKET" else self.on_grid(side, ticks), lots, lots, "REJECTED", kind)

    def send(self, order: Order) -> None:
        self.sent += 1
        self.risk.sent.append(self.us)
        self.order_count.sent(self.us)
        order.id, order.status, order.sent_us = self.sent, "SENT", self.us
        order.active_us = self.messages.arrives(self.us, order, ORDER)
        order.expire_us = order.active_us + self.rules.ttl_us if self.rules.ttl_us else NEVER
        self.open.append(order)
        self.note(order, "PLACE")

    def unsendable(self, order: Order) -> str:
        """Return why an order cannot be sent, or an empty text."""
        missized = self.missized(order)
        if missized:
            return missized
        wanted = sum(other.open_lots for other in self.open if other.side == BUY and other.wanted) + order.left
        most_e8 = self.rules.filters.max_position_e8
        if order.side == BUY and most_e8 and (self.account.inventory + wanted) * self.rules.lot_e8 > most_e8:
            return "quantity_out_of_range"
        uncovered = self.account.uncovered(order, [order for order in self.open if order.wanted], self.book)
        refused = "price_rejected" if self.refused.again(order) else ""
        return uncovered or refused or self.order_count.reached(self.us) or self.risk.refuses(order, self)

    def missized(self, order: Order) -> str:
        """Return why an order of this price and quantity can never be sent, or an empty text."""
        if order.ticks <= 0 and order.kind != "MARKET":
            return "price_not_positive"
        if order.lots <= 0:
            return "quantity_below_step"
        notional_e16, most_e8 = self.account.notional_e16(order, self.book), self.rules.filters.max_notional_e8
        if not self.filters.quantity_fits(order) or notional_e16 > 2**62 * 10**8:
            return "quantity_out_of_range"
        filters, market = self.rules.filters, order.kind == "MARKET"
        if notional_e16 < self.rules.min_notional_e8 * 10**8 and not (market and not filters.min_to_market):
            return "min_notional"
        if most_e8 and notional_e16 > most_e8 * 10**8 and not (market and not filters.max_to_market):
            return "max_notional"
        return ""

    # The grids

    def sample(self) -> None:
        self.volatility.look(self.us, self.received_book.mid2, self.broken)
        self.broken = not self.received_book.mid2

    def requote(self) -> None:
        if self.follow_us == self.us:
            self.follow_us, self.followed_us = self.wake_us if self.wake_us > self.us else NEVER, self.us
        stopped = self.received_book.mid2 and self.risk.look(self)
        if stopped:
            self.withdraw(stopped)
        if self.received_book.mid2:
            self.awaiting.clear()
        if self.received_book.mid2 and not self.risk.killed:
            self.refused.look((self.received_book.best(BUY), self.received_book.best(SELL)), self.meets_own)
            for fill in self.fresh:
                self.on_fill(replace(fill, lots=self.shown(fill.lots), left_lots=self.shown(fill.left_lots)))
            self.fresh = []
            quotes = self.bounded(self.in_tape_lots(self.quote(self.view()) or Quotes()))
            self.known_best = (self.received_book.best(BUY), self.received_book.best(SELL)) if quotes.on_best else None
            self.follow_us = self.wake_us = NEVER if quotes.again_us is None else quotes.again_us
            self.bring(quotes)

    def bring(self, quotes: Quotes) -> None:
        """Update our orders to match the quotes."""
        laddered = quotes.bids is not None or quotes.asks is not None
        self.several |= laddered
        sides = [[(quotes.bid_ticks, quotes.bid_lots)], [(quotes.ask_ticks, quotes.ask_lots)]]
        if laddered:
            bare = (quotes.bids or (), quotes.asks or ())
            sides = [[level if isinstance(level, tuple) else (level, None) for level in side] for side in bare]
        prices = self.risk.widened([[price for price, _ in levels] for levels in sides], self)
        if self.several:
            for side, kind, levels, there in zip(
                (BUY, SELL), (quotes.bid_kind, quotes.ask_kind), sides, prices, strict=True
            ):
                self.want_all(side, kind, [(at, lots) for at, (_, lots) in zip(there, levels, strict=True)])
        else:
            (bid,), (ask,) = prices
            for level in range(self.rules.quote_levels):
                away = level * -(-self.rules.level_step_ticks // self.rules.step_ticks) * self.rules.step_ticks
                low, high = (None if price is None else math.floor(price) for price in (bid, ask and -ask))
                buy = (BUY, level, None if low is None else low - away, quotes.bid_lots, quotes.bid_kind)
                sell = (SELL, level, None if high is None else -high + away, quotes.ask_lots, quotes.ask_kind)
                meets = low is not None and self.meets_own(self.draft(BUY, low, 1, QUOTED))
                sells_first = self.rules.order_modify and self.rules.quote_levels == 1 and meets
                for wanted in (sell, buy) if sells_first else (buy, sell):
                    self.want(*wanted)

    def want_all(self, side: int, kind: str, levels: list[tuple[float | None, int | None]]) -> None:
        """Update a side to several prices: keep orders at these prices, cancel the others, send the missing ones."""
        wanted: dict[int, int] = {}
        for price, lots in levels:
            if price is not None:
                ticks = math.floor(price) if side == BUY else math.ceil(price)
                ticks = 0 if kind == "MARKET" else self.on_grid(side, ticks)
                wanted[ticks] = wanted.get(ticks, 0) + (self.rules.quote_lots if lots is None else lots)
        kept = set()
        for order in [order for order in self.open if order.side == side and order.wanted and not order.manual]:
            if order.ticks not in wanted or order.ticks in kept or order.kind != kind:
                self.request_cancel(order, "quote_moved" if wanted else "quote_withdrawn")
            elif 0 < self.rules.refresh_us <= self.us - order.sent_us:
                self.request_cancel(order, "refresh")
            else:
                kept.add(order.ticks)
                self.amend_quote(order, wanted[order.ticks] // self.rules.step_lots * self.rules.step_lots)
        previous, self.no_order = self.no_order, {at: why for at, why in self.no_order.items() if at[0] != side}
        for level, ticks in enumerate(sorted(wanted, key=lambda ticks: -side * ticks)):
            if ticks in kept:
                continue
            order = self.draft(side, ticks, wanted[ticks], kind)
            order.level = level
            if self.waits(order):
                continue
            reason = self.unsendable(order)
            if not reason:
                self.send(order)
            else:
                self.no_order[side, level] = reason
                if reason != previous.get((side, level), ""):
                    self.note(order, "SKIP", reason)

    def view(self) -> SimpleNamespace:
        """Return the view of a quote model."""
        inventory = self.account.inventory
        return SimpleNamespace(
            us=self.us,
            bid_ticks=self.received_book.best(BUY),
            ask_ticks=self.received_book.best(SELL),
            bid_lots=self.shown(self.received_book.best_lots(BUY)),
            ask_lots=self.shown(self.received_book.best_lots(SELL)),
            mid2_ticks=self.received_book.mid2,
            lots_at=partial(lots_at, self.received_book, self.rules.step_lots),
            inventory_lots=self.shown(inventory),
            target_lots=self.shown(self.rules.target),
            most_lots=self.shown(inventory + sum(order.open_lots for order in self.open if order.side == BUY)),
            least_lots=self.shown(inventory - sum(order.open_lots for order in self.open if order.side == SELL)),
            quote_lots=self.shown(self.rules.quote_lots),
            cash=self.account.cash_e16 / 10**16,
            sigma_ticks=self.volatility.sigma(),
            last_trade=self.shown_trade(),
            signal=self.own_signal,
        )

    def shown(self, lots: int) -> float:
        """Return lots of the tape as the model sees them: in order steps."""
        return shown_lots(lots, self.rules.step_lots)

    def shown_trade(self) -> Trade | None:
        """Return the last trade as the model sees it."""
        return self.last_trade and self.last_trade._replace(lots=self.shown(self.last_trade.lots))

    def in_tape_lots(self, quotes: Quotes) -> Quotes:
        """Return quotes in lots of the tape; a fraction of an order step is rounded down."""
        step = self.rules.step_lots

        def lots_of(lots: float | None) -> int | None:
            return None if lots is None else min(math.floor(lots), (2**62 - 1) // step) * step

        def levels_of(levels: Iterable[Level] | None) -> list[Level] | None:
            if levels is None:
                return None
            return [(one[0], lots_of(one[1])) if isinstance(one, tuple) else one for one in levels]

        sides = {"bids": levels_of(quotes.bids), "asks": levels_of(quotes.asks)}
        return replace(quotes, bid_lots=lots_of(quotes.bid_lots), ask_lots=lots_of(quotes.ask_lots), **sides)

    def room(self, side: int) -> float:
        """Return how many lots of *side* the bound of the position leaves."""
        return math.inf if self.bound is None else self.bound - side * (self.account.inventory - self.rules.target)

    def bounded(self, quotes: Quotes) -> Quotes:
        """Return quotes of no more lots than the bound of the position leaves; the first prices have precedence."""
        if self.bound is None:
            return quotes
        if quotes.bids is not None or quotes.asks is not None:
            sides = {"bids": self.limited(quotes.bids, BUY), "asks": self.limited(quotes.asks, SELL)}
            return replace(quotes, **sides)
        limited = {}
        for name, side, ticks, lots in (
            ("bid", BUY, quotes.bid_ticks, quotes.bid_lots),
            ("ask", SELL, quotes.ask_ticks, quotes.ask_lots),
        ):
            left = min(self.rules.quote_lots if lots is None else lots, self.room(side))
            limited |= {f"{name}_ticks": ticks if left > 0 else None, f"{name}_lots": left}
        return replace(quotes, **limited)

    def limited(self, levels: Iterable[Level] | None, side: int) -> list[Level]:
        found, room = [], self.room(side)
        for level in levels or ():
            ticks, lots = level if isinstance(level, tuple) else (level, None)
            lots = max(min(self.rules.quote_lots if lots is None else lots, room), 0)
            room -= lots
            if lots:
                found.append((ticks, lots))
        return found

    def waits(self, order: Order) -> bool:
        """Return whether there is no room for an order, also counting those that are being cancelled."""
        there = sum(other.open_lots for other in self.open if other.side == order.side)
        if order.left <= self.room(order.side) - there:
            return False
        self.awaiting.add(order.side)
        return True

    def own_signal(self, name: str) -> float | None:
        """Return a signal of our own orders (docs/models.md), for the order that a requote would keep."""
        if name == "inventory":
            return (self.account.inventory - self.rules.target) / self.rules.quote_lots
        _, shown, what = name.split("_")
        side = BUY if shown == "bid" else SELL
        own = [one for one in self.open if (one.side, one.level) == (side, 0) and one.wanted and not one.manual]
        if not own:
            return None
        if what == "ahead":
            return own[-1].ahead * self.rules.step_lots * self.rules.lot_e8 * 1e-8 if own[-1].status == "LIVE" else None
        return (
            side * (self.received_book.mid2 / 2 - own[-1].ticks)
            if what == "distance"
            else (self.us - own[-1].sent_us) / 1e6
        )

    def want(self, side: int, level: int, ticks: int | None, lots: int | None, kind: str) -> None:
        """Update a level of a side; *ticks* None means no order, *lots* None the default quantity."""
        reason, place = "", (side, level)
        own = [order for order in self.open if (order.side, order.level) == place and order.wanted and not order.manual]
        if level and kind not in (QUOTED, "LIMIT"):
            ticks = None
        ticks = ticks if ticks is None else self.on_grid(side, ticks)
        if own:
            current = own[-1]
            there = current.move_ticks or current.ticks
            same = ticks is not None and current.kind == kind and (there == ticks or kind == "MARKET")
            wanted = self.rules.quote_lots if lots is None else lots
            wanted = wanted // self.rules.step_lots * self.rules.step_lots
            if same and not 0 < self.rules.refresh_us <= self.us - current.sent_us:
                self.no_order[place] = ""
                self.amend_quote(current, wanted)
                return
            if ticks is not None and not same and current.kind == kind and self.moves(current, ticks, wanted):
                self.no_order[place] = ""
                return
            self.request_cancel(current, "quote_withdrawn" if ticks is None else "refresh" if same else "quote_moved")
        if ticks is not None:
            order = self.draft(side, ticks, self.rules.quote_lots if lots is None else lots, kind)
            order.level = level
            reason = "" if (withheld := self.waits(order)) else self.unsendable(order)
            if withheld:
                pass
            elif not reason:
                self.send(order)
            elif reason != self.no_order.get(place, ""):
                self.note(order, "SKIP", reason)
        self.no_order[place] = reason
