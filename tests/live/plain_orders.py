"""A plain exchange for orders, and a wire between it and our order states that loses, repeats, delays and reorders.

The exchange is minimal: an order is open or ended, and has trades. Chance decides the outcome of every request, answer
and event on the wire, until it is healed.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from order_parts import fill_of, seen_of
from refusals import refusal

from mm.instrument import E8, decimal_text, e8
from mm.live.orders.order_steps import (
    EARLIER,
    Accepted,
    Amended,
    AmendFailed,
    Ask,
    Booked,
    CancelFailed,
    Closed,
    Contradiction,
    Fetch,
    InBook,
    Rejected,
    Resend,
)
from mm.live.orders.states import OrderStates
from mm.live.venues.live_orders import LiveOrder, OrderSeen, OrderState

WINDOW_MS = 1_000


@dataclass
class PlainOrder:
    """An order at the exchange."""

    client_id: str
    exchange_id: int
    side: int
    qty_e8: int
    status: str = "NEW"
    trades: list[Any] = field(default_factory=list)
    amended: int = 0
    price: str = "100"
    changed_us: int = 0

    @property
    def executed_e8(self) -> int:
        return sum(int(fill.qty.replace(".", "")) for fill in self.trades)

    def seen(self, us: int) -> OrderSeen:
        found = seen_of(self.client_id, self.exchange_id, self.status, self.executed_e8, us, self.qty_e8)
        return found._replace(exchange_us=self.changed_us, price_e8=e8(self.price))


class Wire:
    """Our order states, the exchange, and the messages in transit between them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.states = OrderStates()
        self.exchange: dict[str, PlainOrder] = {}
        self.now_ms = 1_000_000
        self.healed = self.moves = False
        self.reports: dict[str, list[str]] = {}
        self.booked: dict[str, list[Any]] = {}
        self.cancels_wanted: set[str] = set()
        self.amends: list[str] = []
        self._in_transit: list[tuple[int, str, object]] = []
        self._placed: list[str] = []
        self._ask_sent_ms: dict[str, int] = {}
        self._answer_lost = False
        self._pending_asks: set[str] = set()
        self._pending_fetches: set[str] = set()
        self._trade_id = self._changes = 0

    # our actions

    def place(self, qty_e8: int) -> None:
        number = len(self._placed) + 1
        order = LiveOrder(number, f"c{number}", +1, "100", decimal_text(qty_e8), "LIMIT", self.now_ms, WINDOW_MS)
        self._placed.append(order.client_id)
        self.states.add(order)
        self._send("place", order)

    def cancel(self) -> None:
        live = [order for order in self.states.open.values() if order.state is OrderState.LIVE]
        if live:
            self._cancel(self.rng.choice(live))

    def amend(self, qty_e8: int) -> None:
        live = [order for order in self.states.open.values() if order.state is OrderState.LIVE]
        if not live:
            return
        order, qty = self.rng.choice(live), decimal_text(qty_e8)
        if order.booked_e8 < qty_e8 < order.qty_e8:
            self._amend(order, qty)

    def move(self, price: str, qty_e8: int) -> None:
        """Ask for another price, and what is left there."""
        live = [order for order in self.states.open.values() if order.state is OrderState.LIVE]
        if live:
            order = self.rng.choice(live)
            if order.price != price:
                self._amend(order, decimal_text(order.booked_e8 + qty_e8), price)

    def _amend(self, order: LiveOrder, qty: str, price: str = "") -> None:
        self.states.amending(order, qty, price)
        order.amend_until_ms = self.now_ms + WINDOW_MS
        self.amends.append(order.client_id)
        self._send("amend", (order, qty, price, order.amends))

    def replace(self, qty_e8: int) -> None:
        live = [order for order in self.states.open.values() if order.state is OrderState.LIVE]
        if not live:
            return
        old, number = self.rng.choice(live), len(self._placed) + 1
        new = LiveOrder(number, f"c{number}", +1, "100", decimal_text(qty_e8), "LIMIT", self.now_ms, WINDOW_MS)
        self._placed.append(new.client_id)
        self.states.add(new)
        self.states.cancelling(old, replacing=True)
        self._send("replace", (old, new))

    def _cancel(self, order: LiveOrder) -> None:
        self.cancels_wanted.add(order.client_id)
        self.states.cancelling(order)
        self._send("cancel", order)

    # the wire

    def _chance(self, share: float) -> bool:
        return not self.healed and self.rng.random() < share

    def _schedule(self, what: str, content: object) -> None:
        """Put a message on the wire, with a random delay, so that others may overtake it."""
        delay_ms = 0 if self.healed else self.rng.choice([0, 0, 0, 1, 5, 50, 400])
        self._in_transit.append((self.now_ms + delay_ms, what, content))

    def _send(self, kind: str, what: object) -> None:
        """Send a request, which may be lost; if the connection breaks, it may arrive long after its sender gave up."""
        sent_ms = self.now_ms
        if not self._chance(0.2):
            self._schedule("request", (kind, what, sent_ms, False))
            return
        self._schedule_in(self.rng.choice([0, 1, 20, 3_000]), "timeout", (kind, what))
        if self._chance(0.5):
            self._schedule_in(self.rng.choice([0, 5, 900, 1_500]), "request", (kind, what, sent_ms, True))

    def _schedule_in(self, delay_ms: int, what: str, content: object) -> None:
        self._in_transit.append((self.now_ms + delay_ms, what, content))

    def _answer(self, kind: str, what: object, result: object) -> None:
        if self._answer_lost:
            return
        if self._chance(0.2):
            self._schedule_in(2 * WINDOW_MS, "timeout", (kind, what))
        else:
            self._schedule("answer", (kind, what, result))

    def _event(self, order: PlainOrder, fill: Any = None) -> None:
        self._changes += 1  # no two changes are of one instant
        order.changed_us = 1_000 * self.now_ms + self._changes
        event = (order.seen(self.now_ms), fill)
        for _ in range(0 if self._chance(0.2) else 2 if self._chance(0.1) else 1):
            self._schedule("event", event)

    def pass_time(self, ms: int) -> None:
        """Process due messages in order of time, and in any order those due at the same instant."""
        until_ms = self.now_ms + ms
        while due := [one for one in self._in_transit if one[0] <= until_ms]:
            first_ms = min(one[0] for one in due)
            one = self.rng.choice([one for one in due if one[0] == first_ms])
            self._in_transit.remove(one)
            self.now_ms = max(self.now_ms, one[0])
            self._process(one[1], one[2])
            self._act()
        self.now_ms = until_ms

    def _process(self, what: str, content: object) -> None:
        if what == "request":
            self._execute(*content)  # type: ignore[misc]
        elif what == "event":
            self.states.seen(*content)  # type: ignore[misc]
        elif what == "timeout":
            self._time_out(*content)  # type: ignore[misc]
        else:
            self._take_answer(*content)  # type: ignore[misc]

    def _time_out(self, kind: str, what: object) -> None:
        if kind == "place":
            self.states.place_unknown(what)  # type: ignore[arg-type]
        elif kind == "cancel":
            self.states.cancel_unknown(what)  # type: ignore[arg-type]
        elif kind == "amend":
            order, qty, _, number = what  # type: ignore[misc]
            if number == order.amends:
                self.states.amend_unknown(order, qty)
        elif kind == "replace":
            old, new = what  # type: ignore[misc]
            self.states.cancel_unknown(old)
            self.states.place_unknown(new)
        else:
            self._retry(kind, what)

    def _retry(self, kind: str, what: object) -> None:
        order = what[0] if isinstance(what, tuple) else what
        (self._pending_asks if kind == "ask" else self._pending_fetches).discard(order.client_id)  # type: ignore[attr-defined]
        (self._ask if kind == "ask" else self._fetch)(order)  # type: ignore[arg-type]

    # the exchange

    def _execute(self, kind: str, what: object, sent_ms: int, answer_lost: bool) -> None:
        self._answer_lost = answer_lost
        if kind == "ask":
            order, _ = what  # type: ignore[misc]
            found = self.exchange.get(order.client_id)
            self._answer(kind, what, found and found.seen(self.now_ms))
        elif kind == "fetch":
            self._answer(kind, what, list(self.exchange[what.client_id].trades))  # type: ignore[attr-defined]
        elif self.now_ms > sent_ms + WINDOW_MS:
            self._answer(kind, what, -1021)
        elif kind == "place":
            self._answer(kind, what, self._open(what).seen(self.now_ms))  # type: ignore[arg-type]
        elif kind == "cancel":
            self._answer(kind, what, self._end(what.client_id, "CANCELED"))  # type: ignore[attr-defined]
        elif kind == "amend":
            order, qty, price, _ = what  # type: ignore[misc]
            changed = self._move(order.client_id, price, e8(qty)) if price else self._lower(order.client_id, e8(qty))
            self._answer(kind, what, changed)
        else:
            old, new = what  # type: ignore[misc]
            ended = self._end(old.client_id, "CANCELED")
            self._answer(kind, what, (ended, self._open(new).seen(self.now_ms)) if ended else (None, None))

    def _open(self, order: LiveOrder) -> PlainOrder:
        found = PlainOrder(order.client_id, len(self.exchange) + 100, order.side, order.qty_e8)
        assert order.client_id not in self.exchange, "an order was sent twice"
        self.exchange[order.client_id] = found
        self._event(found)
        return found

    def _lower(self, client_id: str, qty_e8: int) -> OrderSeen | None:
        found = self.exchange[client_id]
        if found.status not in OPEN or not found.executed_e8 < qty_e8 < found.qty_e8:
            return None
        found.qty_e8, found.amended = qty_e8, found.amended + 1
        self._event(found)
        return found.seen(self.now_ms)

    def _move(self, client_id: str, price: str, qty_e8: int) -> OrderSeen | int | None:
        """Move an order; one that has no more left, or that would take there, is cancelled."""
        found = self.exchange[client_id]
        if found.status not in OPEN:
            return None
        if self.rng.random() < 0.1:
            self._end(client_id, "CANCELED")
            return -5022
        if qty_e8 <= found.executed_e8:
            return self._end(client_id, "CANCELED")
        found.price, found.qty_e8 = price, qty_e8
        self._event(found)
        return found.seen(self.now_ms)

    def _end(self, client_id: str, status: str) -> OrderSeen | None:
        found = self.exchange.get(client_id)
        if found is None or found.status not in ("NEW", "PARTIALLY_FILLED"):
            return None
        found.status = status
        self._event(found)
        return found.seen(self.now_ms)

    def trade(self) -> None:
        """Fill some of an order, or let it expire."""
        open_ones = [one for one in self.exchange.values() if one.status in ("NEW", "PARTIALLY_FILLED")]
        if not open_ones:
            return
        order = self.rng.choice(open_ones)
        if self.rng.random() < 0.1:
            self._end(order.client_id, "EXPIRED")
            return
        left_e8 = order.qty_e8 - order.executed_e8
        qty_e8 = self.rng.choice([left_e8, min(left_e8, E8)])
        self._trade_id += 1
        terms = {"order_id": order.exchange_id, "client_id": order.client_id, "commission": "0"}
        fill = fill_of(self._trade_id, 0, decimal_text(qty_e8), **terms, commission_asset="B")
        order.trades.append(fill)
        order.status = "FILLED" if qty_e8 == left_e8 else "PARTIALLY_FILLED"
        self._event(order, fill)

    # answers to us

    def _take_answer(self, kind: str, what: object, result: object) -> None:
        states, us = self.states, self.now_ms
        if kind == "place":
            if result == -1021:
                states.refused(what, us, refusal(-1021))  # type: ignore[arg-type]
            else:
                states.seen(result)  # type: ignore[arg-type]
        elif kind == "cancel":
            self._cancel_answered(what, result)  # type: ignore[arg-type]
        elif kind == "amend":
            order, qty, _, number = what  # type: ignore[misc]
            if number == order.amends:
                self._amend_answered(order, qty, result)
        elif kind == "replace":
            old, new = what  # type: ignore[misc]
            ended, opened = (-1021, None) if result == -1021 else result  # type: ignore[misc]
            self._cancel_answered(old, ended)
            if opened:
                states.seen(opened)
            else:
                states.refused(new, us, refusal(-2022))
        elif kind == "ask":
            order, ended_then = what  # type: ignore[misc]
            self._pending_asks.discard(order.client_id)
            self._ask_answered(order, ended_then, result)
        else:
            self._pending_fetches.discard(what.client_id)  # type: ignore[attr-defined]
            for fill in result:  # type: ignore[attr-defined]
                states.fill(what, fill)  # type: ignore[arg-type]
            states.fetched(what)  # type: ignore[arg-type]

    def _cancel_answered(self, order: LiveOrder, result: object) -> None:
        if isinstance(result, OrderSeen):
            self.states.cancelled(order, result)
        else:
            self.states.cancel_refused(order, self.now_ms, refusal(-2011 if result is None else -1021))

    def _amend_answered(self, order: LiveOrder, qty: str, result: object) -> None:
        if isinstance(result, OrderSeen):
            self.states.amended(order, qty, result)
        elif result == -1021:
            self.states.amend_unknown(order, qty)
        else:
            self.states.amend_refused(order, qty, self.now_ms, refusal(-2038 if result is None else result))

    def _ask_answered(self, order: LiveOrder, ended_then: bool, result: object) -> None:
        if isinstance(result, OrderSeen):
            self.states.seen(result, answers=True, firm=ended_then)
            if not self.states.amend_shown(order, self.now_ms, self._ask_sent_ms[order.client_id]):
                self._schedule_in(500, "timeout", ("ask", (order, False)))
        elif not self.states.absent(order, self.now_ms, self._ask_sent_ms[order.client_id]):
            self._schedule_in(500, "timeout", ("ask", (order, False)))

    # the steps

    def _ask(self, order: LiveOrder) -> None:
        if order.client_id not in self._pending_asks:
            self._pending_asks.add(order.client_id)
            self._ask_sent_ms[order.client_id] = self.now_ms
            self._send("ask", (order, order.ended))

    def _fetch(self, order: LiveOrder) -> None:
        if order.client_id not in self._pending_fetches:
            self._pending_fetches.add(order.client_id)
            self._send("fetch", order)

    def _act(self) -> None:
        for step in self.states.next_steps():
            name = step.order.client_id
            if isinstance(step, Ask):
                self._ask(step.order)
            elif isinstance(step, Fetch):
                self._fetch(step.order)
            elif isinstance(step, Resend):
                self._cancel(step.order)
            elif isinstance(step, Booked):
                self.booked.setdefault(name, []).append(step.fill)
                self._report(name, "filled" if step.order_id != EARLIER else "filled late")
            elif isinstance(step, Contradiction):
                raise AssertionError(step.what)
            elif not isinstance(step, InBook):
                kinds = {Accepted: "accepted", Rejected: "rejected", Closed: "closed", CancelFailed: "open"}
                kinds |= {Amended: "amended", AmendFailed: "not amended"}
                self._report(name, kinds[type(step)])

    def _report(self, name: str, what: str) -> None:
        self.reports.setdefault(name, []).append(what)

    # the end

    def heal(self) -> None:
        """Lose and delay nothing more; reconcile several times, as the gateway does at intervals."""
        self.healed = True
        self.pass_time(4 * WINDOW_MS)
        for _ in range(3):
            expected = [one for one in self.states.open.values() if one.exchange_id > 0]
            listed = [one.seen(self.now_ms) for one in self.exchange.values() if one.status in OPEN]
            self.states.listed(listed, expected)
            for one in self.exchange.values():
                order = self.states.of_exchange(one.exchange_id) or self.states.by_client[one.client_id]
                for fill in one.trades:
                    self.states.fill(order, fill)
            self._act()
            self.pass_time(4 * WINDOW_MS)


OPEN = ("NEW", "PARTIALLY_FILLED")
