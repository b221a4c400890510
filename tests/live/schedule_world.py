"""A gateway, a market and all faults between them, by the draws of one generator; virtual time, no socket.

The exchange is the one in a box, behind its own REST and WebSocket API. The network between it and the gateway
loses, delays, repeats and reorders messages, breaks connections, lets them die silently, answers with errors
with or without executing the request. Our process is killed and restarted, our clock steps, log-ons expire, the
exchange restarts.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from gateway_rig import FollowingListener, LoneGateway, MemoryAudit, credentials_of

from exchange_rig import ALICE, BOB, START_US, Desk, Door
from mm.errors import TryLater
from mm.instrument import E8, e8
from mm.live.account.ledger import trade_mark
from mm.live.audit.books import AuditBooks, Changes
from mm.live.knobs import OrderAccess, VenueUrls
from mm.live.orders.access import GatewayRun
from mm.live.venues.canceller import run_of
from mm.live.venues.fills import SIDES, AccountFill
from mm.live.venues.rest_api import Surroundings
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import NewOrder
from mm.sim.wire.http_messages import Request, json_bytes, read_request
from mm.sim.wire.ws_api import ApiSession
from virtual_loop import VirtualLoop

URLS = VenueUrls("ws://box/ws-api/v3", "http://box", "ws://box")
ACTIONS = ("order.place", "order.cancel", "order.cancelReplace", "order.amend.keepPriority")
AMENDED_SHARE = 0.5
"""Of the schedules; the others are those from before there were amendments, draw by draw."""
LATENCY_S = 0.002


@dataclass(frozen=True)
class FaultRates:
    """The probability of each fault; all zero is a network without faults."""

    lost_request: float = 0.0
    late_request: float = 0.0
    lost_answer: float = 0.0
    late_answer: float = 0.0
    error_done: float = 0.0
    error_undone: float = 0.0
    lost_event: float = 0.0
    repeated_event: float = 0.0
    late_event: float = 0.0
    refused: float = 0.0


NO_FAULTS = FaultRates()


class Killed(Exception):
    """Our process ends at this row of the audit log."""


class KillableAudit(MemoryAudit):
    """Rows with their instants; at one of them, before or after it is written, our process is killed."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        super().__init__()
        self.frozen = False
        self.rows_left = -1
        self.written_last = True
        self._now_us = now_us

    def append(self, type: str, /, **fields: object) -> int:
        self.rows_left -= 1
        killed = self.frozen or self.rows_left == 0
        if not killed or (self.written_last and not self.frozen):
            super().append(type, us_of_row=self._now_us(), **fields)
        if killed:
            self.frozen = True
            raise Killed
        return len(self.rows)


def random_rates(rng: random.Random) -> FaultRates:
    """Return the faults of one schedule: most kinds are rare, some frequent."""
    return FaultRates(**{name: rng.choice([0.0, 0.02, 0.1, 0.3]) for name in FaultRates.__dataclass_fields__})


class World:
    """An exchange, a network, a gateway and a market.

    Args:
        rng: Draws everything; one of hypothesis lets a story shrink.
        amend_rng: Draws amendments.
    """

    def __init__(self, rng: random.Random, amend_rng: random.Random) -> None:
        self.rng = rng
        self.amend_rng = amend_rng
        self.amends = self.amend_rng.random() < AMENDED_SHARE
        self.rates = random_rates(self.rng)
        self.desk = Desk(limits=False)
        self.door = Door(self.desk, limits=False)
        self.links: list[MemoryLink] = []
        self.sent: list[tuple[float, str]] = []
        self.counts: Counter[str] = Counter()
        self.clock_step_us = 0
        self.unreachable_until_s = 0.0
        self.audit = KillableAudit(self.now_us)
        self.errors: list[BaseException] = []
        self.listener = FollowingListener()
        self.next_id = 1
        self.gateway: LoneGateway
        self.runs = 0

    # time

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        """Return our own clock."""
        return START_US + int(self.now_s() * 1e6) + self.clock_step_us

    def exchange_us(self) -> int:
        """Advance the exchange's clock, and return it."""
        self.desk.us = max(self.desk.us, START_US + int(self.now_s() * 1e6))
        return self.desk.us

    def chance(self, share: float, name: str) -> bool:
        happens = self.rng.random() < share
        if happens:
            self.counts[name] += 1
        return happens

    # the gateway's life

    def _left_open(self) -> list[Any]:
        """Return the orders that are open by the rows of the audit log alone."""
        orders: dict[str, Earlier] = {}
        for row in self.audit.rows:
            kind, name = row["type"], row.get("client_id", "")
            if kind == "intent" and row["action"] not in ("cancel", "amend"):
                orders[name] = Earlier(name, None, row["side"], row["price"], row["qty"], row["us_of_row"])
            elif kind == "ack" and name in orders:
                orders[name].order_id = row["order_id"]
                orders[name].qty = row.get("qty", orders[name].qty)
            elif kind in ("cancel", "reject") and row.get("action") not in ("cancel", "amend"):
                orders.pop(name, None)
        return list(orders.values())

    async def start(self) -> None:
        """Start a gateway from the audit log, until one is ready."""
        rates = self.rates
        while True:
            self.rates = rates if self.rng.random() < 0.2 else NO_FAULTS
            self._make()
            try:
                await self.gateway.start()
            except (TryLater, Killed):
                self.counts["not started"] += 1
                await self.die()
                await asyncio.sleep(0.5)
            else:
                self.rates = rates
                return

    def _make(self) -> None:
        self.runs += 1
        self.listener = FollowingListener()
        self.audit.frozen = False
        killable = self.runs < 10 and self.rng.random() < 0.5
        self.audit.rows_left = self.rng.randint(1, 40) if killable else -1
        self.audit.written_last = self.rng.random() < 0.5
        booked = {row["trade_id"]: trade_mark(as_fill(row)) for row in self.audit.of("fill")}
        self.rng.random()  # one more draw, with which the schedules that once failed were found
        run = GatewayRun(
            symbol="SIMUSDT",
            run_id="r",
            access=OrderAccess(
                order_transport=self.rng.choice(["websocket", "websocket", "rest"]), reconcile_interval_s=5
            ),
            earlier=self._left_open(),
            booked=booked,
            last_trade_id=max(booked, default=None),
            runs={run_of(row["client_id"]) for row in self.audit.of("intent")},
        )
        kind = self.rng.choice(["ED25519", "HMAC"])
        around = Surroundings(
            clock=self.now_us,
            connect=lambda _url, take: MemoryLink(self, take),
            seconds=self.now_s,
            rest=MemoryRest(self),
            nonce=str(self.runs).encode(),
        )
        key = credentials_of(self.door.keys[ALICE], kind)
        self.gateway = LoneGateway(URLS, key, run, self.audit, around)
        self.gateway.reports.attach(self.listener)

    async def revive(self) -> None:
        """Restart a process that was killed at a row of its audit log."""
        self.counts["killed at a row"] += 1
        await self.die()
        await asyncio.sleep(self.rng.choice([0.0, 0.01, 3.0]))
        await self.start()

    def failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep exceptions of callbacks, except the end of our process."""
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.errors.append(error or RuntimeError(context["message"]))

    async def die(self) -> None:
        """Kill our process: its sent messages stay in transit, nothing else is left of it."""
        for link in self.links:
            link.abort()
        tasks = list(self.gateway._tasks._tasks) + list(self.gateway.session._tasks._tasks)
        tasks += list(self.gateway.session.rest._tasks)  # type: ignore[attr-defined]
        for task in tasks:
            task.cancel()
        self.gateway.states.next_steps = lambda: iter(())  # type: ignore[method-assign]
        self.gateway.orders.queries.closed = True
        self.gateway.reports.tell = lambda _: None  # type: ignore[method-assign]
        await asyncio.gather(*tasks, return_exceptions=True)

    # events

    def trade(self) -> None:
        """Let another user trade with us, or place a resting order."""
        us, rng = self.exchange_us(), self.rng
        side, ticks = rng.choice([+1, -1]), 10_000 + rng.randint(-30, 30)
        kind = rng.choice(["LIMIT", "MARKET"])
        new = NewOrder(
            side=side,
            type=kind,
            ticks=0 if kind == "MARKET" else ticks,
            lots=rng.choice([100, 500, 2_000]),
            time_in_force="IOC" if rng.random() < 0.7 else "GTC",
        )
        try:
            self.desk.exchange.place(us, BOB, new)
        except ApiError:
            self.counts["bob refused"] += 1

    def act(self) -> None:
        """Act as an engine might: place, amend, cancel or replace."""
        rng, gateway, listener = self.rng, self.gateway, self.listener
        live = [number for number, state in listener.state.items() if state == "open"]
        if self.amends and live and self.amend_rng.random() < 0.4:
            self._amend(self.amend_rng.choice(live))
            return
        draw = rng.random()
        if draw < 0.5 or not live:
            self._note_attempt()
            gateway.orders.place(self._number(), *self._terms())
        elif draw < 0.75:
            gateway.orders.cancel(rng.choice(live))
        else:
            self._note_attempt()
            gateway.orders.replace(rng.choice(live), self._number(), *self._terms())

    def _amend(self, number: int) -> None:
        """Reduce an order as an engine does; sometimes move its quote at once, or fill it."""
        rng, listener = self.amend_rng, self.listener
        order = self.gateway.orders.by_id.get(number)
        if number in listener.amending or order is None:
            return
        self.counts["amends"] += 1
        listener.amending.add(number)
        smaller = [qty for qty in ("0.05", "0.06", "0.1", "0.3", "0.4", "0.7") if e8(qty) < order.qty_e8]
        self.gateway.orders.amend(number, rng.choice(smaller or ["0.05"]))
        draw = rng.random()
        if draw < 0.1:
            self.gateway.orders.cancel(number)
        elif draw < 0.2:
            self._note_attempt()
            self.gateway.orders.replace(number, self._number(), *self._terms())
        elif draw < 0.3:
            asyncio.get_running_loop().call_later(rng.choice([0.0, 0.001, 0.003, 0.02]), self._hit, order)

    def _hit(self, order: Any) -> None:
        """Let another user fill a part of an order, or all of it."""
        found = {one.client_id: one for one in self.desk.exchange.users.open(ALICE)}.get(order.client_id)
        if found is not None:
            self.exchange_us()
            lots = self.amend_rng.choice([found.left_lots, max(1, found.left_lots // 2)])
            self.desk.exchange.trade_with(found, lots)

    def _note_attempt(self) -> None:
        self.counts["attempts"] += 1

    def _number(self) -> int:
        self.next_id += 1
        return self.next_id

    def _terms(self) -> tuple[int, str, str, str]:
        side = self.rng.choice([+1, -1])
        distance = self.rng.randint(-5, 40)
        ticks = 10_000 - side * distance
        kind = self.rng.choice(["LIMIT_MAKER", "LIMIT_MAKER", "LIMIT", "IOC"])
        return side, f"{ticks / 100:.2f}", self.rng.choice(["0.1", "0.5", "1"]), kind

    async def cause_incident(self) -> None:
        """Cause an incident that concerns more than single messages."""
        rng = self.rng
        incident = rng.choice(
            ["reset", "half_open", "terminated", "shutdown", "log_out", "step", "kill", "away", "restart"]
        )
        self.counts[incident] += 1
        link = self.links[-1] if self.links else None
        if incident == "step":
            self.clock_step_us += rng.choice([-3_000_000, 700_000, 5_000_000])
        elif incident == "kill":
            await self.die()
            await asyncio.sleep(rng.choice([0.0, 0.01, 3.0]))
            await self.start()
        elif incident == "away":
            self.unreachable_until_s = self.now_s() + rng.choice([0.5, 4.0, 12.0])
        elif link is None or link.closed:
            return
        elif incident == "reset":
            link.abort()
        elif incident == "half_open":
            link.dead = True
        elif incident == "terminated":
            link.deliver({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}})
        elif incident == "shutdown":
            link.deliver({"event": {"e": "serverShutdown", "E": 1}})
        elif incident == "log_out" and link.session:
            link.session._key = None
        elif incident == "restart":
            link.abort()
            if rng.random() < 0.5:  # without its book
                for order in list(self.desk.exchange.users.open(ALICE)):
                    self.desk.exchange._end(order, "restart")

    # what holds at each instant, and at the end

    def check_safety(self) -> None:
        """Check what holds in the middle of any trouble: nothing is sent twice, booked twice, or of a fill not made."""
        assert not self.errors, self.errors
        names = [order.client_id for order in self.desk.exchange.users.all(ALICE)]
        assert len(set(names)) == len(names), "an order was sent twice"
        made = {fill.trade_id: fill for fill in self.desk.exchange.users.fills(ALICE)}
        booked = [as_fill(row) for row in self.audit.of("fill")]
        assert len({one.trade_id for one in booked}) == len(booked), "a fill is booked twice"
        told = [one.trade_id for one in self.listener.fills]
        assert len(set(told)) == len(told), "a fill is told twice"
        for one in booked:
            truth = made.get(one.trade_id)
            assert truth is not None, f"trade {one.trade_id} is booked, and was not made"
            assert e8(one.qty) == truth.lots * (E8 // 1_000), f"trade {one.trade_id} has another quantity"
            assert e8(one.price) == truth.ticks * (E8 // 100), f"trade {one.trade_id} has another price"

    async def heal(self) -> None:
        """Remove all faults, and wait for the reconciles."""
        self.rates = NO_FAULTS
        self.unreachable_until_s = 0.0
        for link in self.links:
            if link.dead:
                link.abort()
        await asyncio.sleep(25)

    def check(self) -> None:
        """Compare with the exchange's own books."""
        assert not self.errors, self.errors
        exchange, gateway = self.desk.exchange, self.gateway
        fills = [as_fill(row) for row in self.audit.of("fill")]
        assert {one.trade_id for one in self.listener.fills} <= {one.trade_id for one in fills}
        truth = exchange.users.fills(ALICE)
        assert sorted(one.trade_id for one in fills) == [one.trade_id for one in truth], "fills differ"
        base_e8 = quote_e8 = 0
        for fill in fills:
            qty_e8, price_e8, fee_e8 = (int(text.replace(".", "")) for text in (fill.qty, fill.price, fill.commission))
            base_e8 += fill.side * qty_e8 - (fee_e8 if fill.commission_asset == "SIM" else 0)
            quote_e8 -= fill.side * price_e8 * qty_e8 // E8 + (fee_e8 if fill.commission_asset == "USDT" else 0)
        base_free, base_locked, quote_free, quote_locked = self.desk.money(ALICE)
        assert base_free + base_locked == 1_000 * E8 + base_e8, "the position differs"
        assert quote_free + quote_locked == 1_000_000 * E8 + quote_e8, "the cash differs"
        live = {order.client_id: order for order in exchange.users.open(ALICE)}
        ours = {order.client_id: order for order in gateway.states.open.values()}
        assert live.keys() == ours.keys(), f"open orders differ: {live.keys() ^ ours.keys()}"
        for name, order in live.items():
            assert ours[name].booked_e8 == order.filled_lots * (E8 // 1_000)
            assert ours[name].qty_e8 == order.lots * (E8 // 1_000), "the quantity differs"
            assert not ours[name].amend_qty, "an amendment has no outcome"
        waiting = self.listener.amending & {order.order_id for order in ours.values()}
        assert not waiting, f"nothing was reported of the amendments of {waiting}"
        self._check_log()
        placing = [row for row in self.audit.of("intent") if row["action"] not in ("cancel", "amend")]
        intents = Counter(row["client_id"] for row in placing)
        assert max(intents.values(), default=1) == 1, "a client id was used twice"
        names = [order.client_id for order in exchange.users.all(ALICE)]
        assert set(names) <= set(intents), "an order was live that the audit log does not know"
        assert len(set(names)) == len(names), "an order was sent twice"
        assert not self._contradictions(), self._contradictions()

    def _check_log(self) -> None:
        """Check that the audit log alone gives the same orders, and has an intent for every amendment that was made."""
        kept = {"start": {"symbol": "SIMUSDT", "run_id": "r", "base_asset": "SIM", "quote_asset": "USDT"}}
        books, changes = AuditBooks("SIMUSDT"), Changes()
        for seq, row in enumerate([{"type": "start", **kept["start"]}, *self.audit.rows], 1):
            own = {"exchange_us": row["us"]} if "us" in row else {}
            books.apply(row | own | {"seq": seq, "us": row.get("us_of_row", 0)}, changes)
        exchange = self.desk.exchange.users
        live = {order.client_id: order for order in exchange.open(ALICE)}
        assert {order.client_id for order in books.open_orders()} == live.keys()
        intents = [(row["client_id"], row["qty"]) for row in self.audit.of("intent") if row["action"] == "amend"]
        for order in exchange.all(ALICE):
            named = books.orders[order.client_id]
            assert e8(named.qty) == order.lots * (E8 // 1_000), f"{order.client_id}: the log has another quantity"
            status = order.status.removesuffix("_IN_MATCH")
            assert named.status == status, f"{order.client_id}: {named.status} in the log, {status} there"
            for one in order.amendments:
                expected = {e8(qty) for name, qty in intents if name == order.client_id}
                assert one.new_lots * (E8 // 1_000) in expected, "an amendment that the audit log does not know"

    def _contradictions(self) -> list[Any]:
        """Return errors that the gateway logged about the exchange or itself, except for the end of our process."""
        lines = self.gateway.log.lines  # type: ignore[attr-defined]
        wrong = [line for line in lines if line[0] in ("order_contradiction", "gateway_task_failed")]
        return [line for line in wrong if "Killed" not in str(line)]


@dataclass
class Earlier:
    """An order that is open in the audit log."""

    client_id: str
    order_id: int | None
    side: Any
    price: str
    qty: str
    us: int


class MemoryLink:
    """A connection of the WebSocket API through the faulty network."""

    def __init__(self, world: World, take: Callable[[bytes, int], None]) -> None:
        self.changed = asyncio.Event()
        self.session: ApiSession | None = None
        self.closed = self.dead = False
        self._world = world
        self._take = take
        self._last_s = 0.0
        world.links = [one for one in world.links if not one.closed] + [self]

    async def open(self) -> None:
        world = self._world
        await asyncio.sleep(LATENCY_S)
        if world.now_s() < world.unreachable_until_s or world.chance(world.rates.refused, "refused"):
            raise OSError("refused")
        request = Request("GET", "/ws-api/v3", query="timeUnit=MICROSECOND")
        self.session = ApiSession(world.door.api, self._from_exchange, request)

    def send(self, text: bytes) -> None:
        world = self._world
        method = json.loads(text)["method"]
        if world.audit.frozen:
            return
        world.sent.append((world.now_s(), method))
        if self.dead or world.chance(world.rates.lost_request, "lost request"):
            return
        late = world.chance(world.rates.late_request, "late request")
        delay_s = world.rng.choice([0.05, 0.8, 2.5]) if late else LATENCY_S
        asyncio.get_running_loop().call_later(delay_s, self._arrive, text, method)

    def _arrive(self, text: bytes, method: str) -> None:
        world = self._world
        if self.session is None or (self.closed and world.rng.random() < 0.5):
            return
        world.exchange_us()
        fails = method in ACTIONS and world.chance(world.rates.error_undone, "error undone")
        if fails:
            code = world.rng.choice([-1000, -1006, -1007, -1021, -1015, -2010])
            self._answer({"id": json.loads(text)["id"], **_error(code)})
            return
        self._masks = method in ACTIONS and world.chance(world.rates.error_done, "error done")
        self.session.handle(text.decode())
        self._masks = False

    _masks = False

    def _from_exchange(self, content: dict[str, Any]) -> None:
        if "status" not in content:
            self._event(json.loads(json_bytes(content)))
            return
        if self._masks:
            content = {
                "id": content["id"],
                **_error(self._world.rng.choice([-1000, -1006, -1007, -1021])),
            }
        self._answer(content)

    def _answer(self, content: dict[str, Any]) -> None:
        world = self._world
        if world.chance(world.rates.lost_answer, "lost answer"):
            return
        late = world.chance(world.rates.late_answer, "late answer")
        self._later(content, world.rng.choice([0.1, 1.0, 4.0]) if late else LATENCY_S, in_order=not late)

    def _event(self, content: dict[str, Any]) -> None:
        world = self._world
        if world.chance(world.rates.lost_event, "lost event"):
            return
        late = world.chance(world.rates.late_event, "late event")
        self._later(content, world.rng.choice([0.01, 0.5, 5.0]) if late else LATENCY_S, in_order=not late)
        if world.chance(world.rates.repeated_event, "repeated event"):
            self._later(content, world.rng.choice([0.005, 1.0]), in_order=False)

    def _later(self, content: dict[str, Any], delay_s: float, *, in_order: bool) -> None:
        at_s = self._world.now_s() + delay_s
        if in_order:
            at_s = self._last_s = max(at_s, self._last_s)
        asyncio.get_running_loop().call_at(at_s, self.deliver, content)

    def deliver(self, content: dict[str, Any]) -> None:
        if not self.closed and not self.dead:
            self._take(json_bytes(content), self._world.now_us())

    def close(self, reason: str = "") -> None:
        self.abort()

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            self.changed.set()
            if self.session:
                self.session.close()

    def ending(self) -> tuple[int | None, str]:
        return 1006, "gone"


class MemoryRest(httpx.AsyncBaseTransport):
    """REST through the faulty network."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        world, rates = self._world, self._world.rates
        verb_path = f"{request.method} {request.url.path}"
        changes = request.url.path.startswith("/api/v3/order") and request.method != "GET"
        if changes:
            world.sent.append((world.now_s(), verb_path))
        if world.now_s() < world.unreachable_until_s or world.audit.frozen:
            raise httpx.ConnectError("gone", request=request)
        if world.chance(rates.lost_request, "lost request"):
            await asyncio.sleep(2.0)
            raise httpx.ReadTimeout("nothing", request=request)
        late = world.chance(rates.late_request, "late request")
        arrives = asyncio.get_running_loop().create_future()
        delay_s = world.rng.choice([0.05, 0.8, 2.5]) if late else LATENCY_S
        asyncio.get_running_loop().call_later(delay_s, self._arrive, request, arrives)
        if changes and world.chance(rates.lost_answer, "lost answer"):
            await asyncio.sleep(1.0)
            raise httpx.ReadError("reset", request=request)
        done: httpx.Response = await arrives
        if changes and done.status_code == 200 and world.chance(rates.error_done, "error done"):
            return httpx.Response(world.rng.choice([500, 502, 504]), text="<html>gateway</html>")
        if world.chance(rates.error_undone / 4, "too many") and not changes:
            return httpx.Response(
                429, headers=world.rng.choice([{}, {"Retry-After": "1"}]), json={"code": -1003, "msg": ""}
            )
        return done

    def _arrive(self, request: httpx.Request, arrives: "asyncio.Future[httpx.Response]") -> None:
        world = self._world
        world.exchange_us()
        target = request.url.raw_path.decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = world.door._routes.answer(read_request(request.method, target, headers, b"", "127.0.0.1"))
        if not arrives.done():
            arrives.set_result(httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body))


def _error(code: int) -> dict[str, Any]:
    status = {-1021: 400, -2010: 400, -1015: 429}.get(code, 500)
    return {"status": status, "error": {"code": code, "msg": "An error of the network."}}


async def story(world: World, rounds: int) -> None:
    """Trade with all kinds of faults; heal, compare; the same again *rounds* times; stop or kill, compare again."""
    rng = world.rng
    asyncio.get_running_loop().set_exception_handler(world.failed)
    await world.start()
    least = 10 if rounds == 1 else 1  # steps; a story that shrinks may be short
    for _ in range(rounds - 1):
        rates = world.rates
        await trouble(world, least)
        await world.heal()
        world.check()
        world.rates = rates
    await trouble(world, least)
    kills = rng.random() < 0.3
    if kills:
        world.gateway.ending.kill()
        killed_s = world.now_s()
    await world.heal()
    world.check()
    if kills:
        late = [(at, request) for at, request in world.sent if at > killed_s + 1e-9 and _places(request)]
        assert not late, f"sent after the kill: {late}"
        assert not world.desk.exchange.users.open(ALICE), "orders are open after the kill"
    await world.gateway.stop()
    assert not world.desk.exchange.users.open(ALICE), "orders are open after the stop"
    world.check()


async def trouble(world: World, least: int) -> None:
    """Act, trade and break; check after each step what holds in the middle of trouble."""
    rng = world.rng
    for _ in range(rng.randint(least, 60)):
        draw = rng.random()
        with suppress(Killed):
            if draw < 0.6:
                world.act()
            elif draw < 0.96:
                world.trade()
            else:
                await world.cause_incident()
        await asyncio.sleep(rng.choice([0.0, 0.001, 0.02, 0.3, 1.0]))
        if world.audit.frozen:
            await world.revive()
        world.check_safety()
    world.audit.rows_left = -1


def _places(what: str) -> bool:
    return (what in ACTIONS and what != "order.cancel") or what.startswith(("POST ", "PUT "))


def run_schedule(seed: int) -> Counter[str]:
    """Run one schedule; raises if the books differ, and returns counts of its faults and orders."""
    return play_story(World(random.Random(seed), random.Random(f"amend {seed}")), seed)


def play_story(world: World, seed: int = 0, rounds: int = 1) -> Counter[str]:
    """Play the story of *world*; raises if the books differ, and returns counts of its faults and orders."""
    random.seed(seed)  # delays between attempts to connect are drawn from the module's own generator
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story(world, rounds))
    world.counts["fills"] = len(world.audit.of("fill"))
    orders = world.desk.exchange.users.all(ALICE)
    world.counts["orders"] = len(orders)
    world.counts["amended"] = sum(len(order.amendments) for order in orders)
    return world.counts


def as_fill(row: dict[str, Any]) -> AccountFill:
    """Return the fill in a row of the audit log."""
    fields = {name: row[name] for name in AccountFill.__dataclass_fields__ if name in row}
    return AccountFill(**fields | {"side": SIDES[row["side"]]})
