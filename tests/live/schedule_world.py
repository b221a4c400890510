"""A gateway, a market and everything that goes wrong between them, from one seed; virtual time, no socket.

The exchange is the one in a box, behind its own REST and WebSocket API. Between it and the gateway stands a network
that loses, delays, repeats and reorders what passes, breaks connections, lets them die silently, answers with errors
after the work was done or without doing it. Our process is killed and restarted, our clock steps, log-ons expire, the
exchange restarts.
"""

import asyncio
import json
import random
import selectors
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from gateway_rig import FollowingListener, MemoryAudit, QuietLog, credentials_of

from exchange_rig import ALICE, BOB, START_US, Desk, Door
from mm.errors import TryLater
from mm.instrument import E8, e8
from mm.live.audit_books import AuditBooks, Changes
from mm.live.gateway import Gateway, GatewayRun, OrderAccess, Surroundings
from mm.live.ledger import SIDES, AccountFill
from mm.live.order_access import VenueUrls
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import NewOrder
from mm.sim.wire.http_messages import Request, json_bytes, read_request
from mm.sim.wire.ws_api import ApiSession

URLS = VenueUrls("ws://box/ws-api/v3", "http://box", "ws://box")
ACTIONS = ("order.place", "order.cancel", "order.cancelReplace", "order.amend.keepPriority")
AMENDED_SHARE = 0.5
"""Of the schedules; the others are those from before there were amendments, draw by draw."""
LATENCY_S = 0.002


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: the time that was to be waited passes at once."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.passed_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed_s


@dataclass(frozen=True)
class Luck:
    """How likely each fault is; all zero is a network that works."""

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


KIND = Luck()


class Killed(Exception):
    """Our process ends at this row of the audit log."""


class MortalAudit(MemoryAudit):
    """Rows with their instants; at one of them, before it is written or after, our process is killed."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        super().__init__()
        self.frozen = False
        self.rows_left = -1
        self.written_last = True
        self._now_us = now_us

    def append(self, type: str, /, **fields: object) -> int:
        self.rows_left -= 1
        dies = self.frozen or self.rows_left == 0
        if not dies or (self.written_last and not self.frozen):
            super().append(type, us_of_row=self._now_us(), **fields)
        if dies:
            self.frozen = True
            raise Killed
        return len(self.rows)


def harsh(dice: random.Random) -> Luck:
    """Return the faults of one schedule: most kinds rare, some often."""
    return Luck(**{name: dice.choice([0.0, 0.02, 0.1, 0.3]) for name in Luck.__dataclass_fields__})


class World:
    """An exchange, a network, a gateway and a market, from one seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.amend_dice = random.Random(f"amend {seed}")
        self.amends = self.amend_dice.random() < AMENDED_SHARE
        self.luck = harsh(self.dice)
        self.desk = Desk(limits=False)
        self.door = Door(self.desk, limits=False)
        self.links: list[MemoryLink] = []
        self.sent: list[tuple[float, str]] = []
        self.counts: Counter[str] = Counter()
        self.clock_step_us = 0
        self.unreachable_until_s = 0.0
        self.audit = MortalAudit(self.now_us)
        self.errors: list[BaseException] = []
        self.listener = FollowingListener()
        self.next_id = 1
        self.gateway: Gateway
        self.runs = 0

    # time

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        """Return our own clock."""
        return START_US + int(self.now_s() * 1e6) + self.clock_step_us

    def exchange_us(self) -> int:
        """Let the exchange's clock follow, and return it."""
        self.desk.us = max(self.desk.us, START_US + int(self.now_s() * 1e6))
        return self.desk.us

    def chance(self, share: float, name: str) -> bool:
        happens = self.dice.random() < share
        if happens:
            self.counts[name] += 1
        return happens

    # the gateway's life

    def _left_open(self) -> list[Any]:
        """Return the orders that the audit log leaves open, by its rows alone."""
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
        """Start a gateway on what the audit log has, until one is ready."""
        luck = self.luck
        while True:
            self.luck = luck if self.dice.random() < 0.2 else KIND
            self._make()
            try:
                await self.gateway.start()
            except (TryLater, Killed):
                self.counts["not started"] += 1
                await self.die()
                await asyncio.sleep(0.5)
            else:
                self.luck = luck
                return

    def _make(self) -> None:
        self.runs += 1
        self.listener = FollowingListener()
        self.audit.frozen = False
        mortal = self.runs < 10 and self.dice.random() < 0.5
        self.audit.rows_left = self.dice.randint(1, 40) if mortal else -1
        self.audit.written_last = self.dice.random() < 0.5
        booked = [row["trade_id"] for row in self.audit.of("fill")]
        run = GatewayRun(
            symbol="SIMUSDT",
            run_id="r",
            access=OrderAccess(
                order_transport=self.dice.choice(["websocket", "websocket", "rest"]), reconcile_interval_s=5
            ),
            sync=self.dice.random() < 0.5,
            earlier=self._left_open(),
            booked=booked,
            last_trade_id=max(booked, default=None),
            share_budget=False,
        )
        kind = self.dice.choice(["ED25519", "HMAC"])
        around = Surroundings(
            clock=self.now_us,
            connect=lambda _url, take: MemoryLink(self, take),
            seconds=self.now_s,
            rest=MemoryRest(self),
            nonce=str(self.runs).encode(),
        )
        key = credentials_of(self.door.keys[ALICE], kind)
        self.gateway = Gateway(URLS, key, run, self.listener, self.audit, log=QuietLog(), around=around)

    async def revive(self) -> None:
        """Restart a process that was killed at a row of its audit log."""
        self.counts["killed at a row"] += 1
        await self.die()
        await asyncio.sleep(self.dice.choice([0.0, 0.01, 3.0]))
        await self.start()

    def failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what was raised in a callback, but for the end of our process."""
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.errors.append(error or RuntimeError(context["message"]))

    async def die(self) -> None:
        """Kill our process: what it has sent is on its way, nothing else is left of it."""
        for link in self.links:
            link.abort()
        tasks = list(self.gateway._tasks._tasks) + list(self.gateway._rest._tasks)
        for task in tasks:
            task.cancel()
        self.gateway._run = None  # type: ignore[assignment]
        self.gateway._states.take = lambda: iter(())  # type: ignore[method-assign]
        self.gateway._queries = Nobody()  # type: ignore[assignment]
        self.gateway._cancel_round = lambda *_: None  # type: ignore[method-assign]
        await asyncio.gather(*tasks, return_exceptions=True)

    # what happens

    def trade(self) -> None:
        """Let another user trade with us, or rest an order."""
        us, dice = self.exchange_us(), self.dice
        side, ticks = dice.choice([+1, -1]), 10_000 + dice.randint(-30, 30)
        kind = dice.choice(["LIMIT", "MARKET"])
        new = NewOrder(
            side=side,
            type=kind,
            ticks=0 if kind == "MARKET" else ticks,
            lots=dice.choice([100, 500, 2_000]),
            time_in_force="IOC" if dice.random() < 0.7 else "GTC",
        )
        try:
            self.desk.exchange.place(us, BOB, new)
        except ApiError:
            self.counts["bob refused"] += 1

    def act(self) -> None:
        """Do what an engine might: place, amend, cancel or replace."""
        dice, gateway, listener = self.dice, self.gateway, self.listener
        live = [number for number, state in listener.state.items() if state == "open"]
        if self.amends and live and self.amend_dice.random() < 0.4:
            self._amend(self.amend_dice.choice(live))
            return
        what = dice.random()
        if what < 0.5 or not live:
            self._note_attempt()
            gateway.place(self._number(), *self._terms())
        elif what < 0.75:
            gateway.cancel(dice.choice(live))
        else:
            self._note_attempt()
            gateway.replace(dice.choice(live), self._number(), *self._terms())

    def _amend(self, number: int) -> None:
        """Reduce an order as an engine would; sometimes move its quote at once, or let it be hit."""
        dice, listener = self.amend_dice, self.listener
        order = self.gateway._orders.get(number)
        if number in listener.amending or order is None:
            return
        self.counts["amends"] += 1
        listener.amending.add(number)
        smaller = [qty for qty in ("0.05", "0.06", "0.1", "0.3", "0.4", "0.7") if e8(qty) < order.qty_e8]
        self.gateway.amend(number, dice.choice(smaller or ["0.05"]))
        what = dice.random()
        if what < 0.1:
            self.gateway.cancel(number)
        elif what < 0.2:
            self._note_attempt()
            self.gateway.replace(number, self._number(), *self._terms())
        elif what < 0.3:
            asyncio.get_running_loop().call_later(dice.choice([0.0, 0.001, 0.003, 0.02]), self._hit, order)

    def _hit(self, order: Any) -> None:
        """Let another user fill a part of an order, or all of it."""
        found = {one.client_id: one for one in self.desk.exchange.users.open(ALICE)}.get(order.client_id)
        if found is not None:
            self.exchange_us()
            lots = self.amend_dice.choice([found.left_lots, max(1, found.left_lots // 2)])
            self.desk.exchange.trade_with(found, lots)

    def _note_attempt(self) -> None:
        self.counts["attempts"] += 1

    def _number(self) -> int:
        self.next_id += 1
        return self.next_id

    def _terms(self) -> tuple[int, str, str, str]:
        side = self.dice.choice([+1, -1])
        distance = self.dice.randint(-5, 40)
        ticks = 10_000 - side * distance
        kind = self.dice.choice(["LIMIT_MAKER", "LIMIT_MAKER", "LIMIT", "IOC"])
        return side, f"{ticks / 100:.2f}", self.dice.choice(["0.1", "0.5", "1"]), kind

    async def mishap(self) -> None:
        """Let something happen that is no matter of single messages."""
        dice = self.dice
        what = dice.choice(
            ["reset", "half_open", "terminated", "shutdown", "log_out", "step", "kill", "away", "restart"]
        )
        self.counts[what] += 1
        link = self.links[-1] if self.links else None
        if what == "step":
            self.clock_step_us += dice.choice([-3_000_000, 700_000, 5_000_000])
        elif what == "kill":
            await self.die()
            await asyncio.sleep(dice.choice([0.0, 0.01, 3.0]))
            await self.start()
        elif what == "away":
            self.unreachable_until_s = self.now_s() + dice.choice([0.5, 4.0, 12.0])
        elif link is None or link.closed:
            return
        elif what == "reset":
            link.abort()
        elif what == "half_open":
            link.dead = True
        elif what == "terminated":
            link.deliver({"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}})
        elif what == "shutdown":
            link.deliver({"event": {"e": "serverShutdown", "E": 1}})
        elif what == "log_out" and link.session:
            link.session._key = None
        elif what == "restart":
            link.abort()
            if dice.random() < 0.5:  # without its book
                for order in list(self.desk.exchange.users.open(ALICE)):
                    self.desk.exchange._end(order, "restart")

    # the end

    async def heal(self) -> None:
        """Let everything work again, and wait for the reconciles."""
        self.luck = KIND
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
        ours = {order.client_id: order for order in gateway._states.open.values()}
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
        """The audit log alone leads to the same orders, and every amendment that was done has its intent in it."""
        kept = {"start": {"symbol": "SIMUSDT", "run_id": "r", "base_asset": "SIM", "quote_asset": "USDT"}}
        books, changes = AuditBooks("SIMUSDT"), Changes()
        for seq, row in enumerate([{"type": "start", **kept["start"]}, *self.audit.rows], 1):
            own = {"exchange_us": row["us"]} if "us" in row else {}
            books.take(row | own | {"seq": seq, "us": row.get("us_of_row", 0)}, changes)
        exchange = self.desk.exchange.users
        live = {order.client_id: order for order in exchange.open(ALICE)}
        assert {order.client_id for order in books.open_orders()} == live.keys()
        asked = [(row["client_id"], row["qty"]) for row in self.audit.of("intent") if row["action"] == "amend"]
        for order in exchange.all(ALICE):
            named = books.orders[order.client_id]
            assert e8(named.qty) == order.lots * (E8 // 1_000), f"{order.client_id}: the log has another quantity"
            status = order.status.removesuffix("_IN_MATCH")
            assert named.status == status, f"{order.client_id}: {named.status} in the log, {status} there"
            for one in order.amendments:
                wanted = {e8(qty) for name, qty in asked if name == order.client_id}
                assert one.new_lots * (E8 // 1_000) in wanted, "an amendment that the audit log does not know"

    def _contradictions(self) -> list[Any]:
        """Return what the gateway found wrong, with the exchange or with itself, but for the end of our process."""
        lines = self.gateway._log.lines  # type: ignore[attr-defined]
        wrong = [line for line in lines if line[0] in ("order_contradiction", "gateway_task_failed")]
        return [line for line in wrong if "Killed" not in str(line)]


class Nobody:
    """Takes every call and does nothing: what a killed process would do."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@dataclass
class Earlier:
    """An order that the audit log leaves open."""

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
        if world.now_s() < world.unreachable_until_s or world.chance(world.luck.refused, "refused"):
            raise OSError("refused")
        request = Request("GET", "/ws-api/v3", query="timeUnit=MICROSECOND")
        self.session = ApiSession(world.door.api, self._from_exchange, request)

    def send(self, text: bytes) -> None:
        world = self._world
        method = json.loads(text)["method"]
        if world.audit.frozen:
            return
        world.sent.append((world.now_s(), method))
        if self.dead or world.chance(world.luck.lost_request, "lost request"):
            return
        late = world.chance(world.luck.late_request, "late request")
        delay_s = world.dice.choice([0.05, 0.8, 2.5]) if late else LATENCY_S
        asyncio.get_running_loop().call_later(delay_s, self._arrive, text, method)

    def _arrive(self, text: bytes, method: str) -> None:
        world = self._world
        if self.session is None or (self.closed and world.dice.random() < 0.5):
            return
        world.exchange_us()
        fails = method in ACTIONS and world.chance(world.luck.error_undone, "error undone")
        if fails:
            code = world.dice.choice([-1000, -1006, -1007, -1021, -1015, -2010])
            self._answer({"id": json.loads(text)["id"], **_error(code)})
            return
        self._masks = method in ACTIONS and world.chance(world.luck.error_done, "error done")
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
                **_error(self._world.dice.choice([-1000, -1006, -1007, -1021])),
            }
        self._answer(content)

    def _answer(self, content: dict[str, Any]) -> None:
        world = self._world
        if world.chance(world.luck.lost_answer, "lost answer"):
            return
        late = world.chance(world.luck.late_answer, "late answer")
        self._later(content, world.dice.choice([0.1, 1.0, 4.0]) if late else LATENCY_S, in_order=not late)

    def _event(self, content: dict[str, Any]) -> None:
        world = self._world
        if world.chance(world.luck.lost_event, "lost event"):
            return
        late = world.chance(world.luck.late_event, "late event")
        self._later(content, world.dice.choice([0.01, 0.5, 5.0]) if late else LATENCY_S, in_order=not late)
        if world.chance(world.luck.repeated_event, "repeated event"):
            self._later(content, world.dice.choice([0.005, 1.0]), in_order=False)

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
        world, luck = self._world, self._world.luck
        verb_path = f"{request.method} {request.url.path}"
        changes = request.url.path.startswith("/api/v3/order") and request.method != "GET"
        if changes:
            world.sent.append((world.now_s(), verb_path))
        if world.now_s() < world.unreachable_until_s or world.audit.frozen:
            raise httpx.ConnectError("gone", request=request)
        if world.chance(luck.lost_request, "lost request"):
            await asyncio.sleep(2.0)
            raise httpx.ReadTimeout("nothing", request=request)
        late = world.chance(luck.late_request, "late request")
        arrives = asyncio.get_running_loop().create_future()
        delay_s = world.dice.choice([0.05, 0.8, 2.5]) if late else LATENCY_S
        asyncio.get_running_loop().call_later(delay_s, self._arrive, request, arrives)
        if changes and world.chance(luck.lost_answer, "lost answer"):
            await asyncio.sleep(1.0)
            raise httpx.ReadError("reset", request=request)
        done: httpx.Response = await arrives
        if changes and done.status_code == 200 and world.chance(luck.error_done, "error done"):
            return httpx.Response(world.dice.choice([500, 502, 504]), text="<html>gateway</html>")
        if world.chance(luck.error_undone / 4, "too many") and not changes:
            return httpx.Response(
                429, headers=world.dice.choice([{}, {"Retry-After": "1"}]), json={"code": -1003, "msg": ""}
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


async def story(world: World) -> None:
    """Trade, with everything that goes wrong; heal, compare; stop or kill, compare again."""
    dice = world.dice
    asyncio.get_running_loop().set_exception_handler(world.failed)
    await world.start()
    for _ in range(dice.randint(10, 60)):
        what = dice.random()
        with suppress(Killed):
            if what < 0.6:
                world.act()
            elif what < 0.96:
                world.trade()
            else:
                await world.mishap()
        await asyncio.sleep(dice.choice([0.0, 0.001, 0.02, 0.3, 1.0]))
        if world.audit.frozen:
            await world.revive()
    world.audit.rows_left = -1
    kills = dice.random() < 0.3
    if kills:
        world.gateway.cancel_all()
        killed_s = world.now_s()
    await world.heal()
    world.check()
    if kills:
        late = [(at, what) for at, what in world.sent if at > killed_s + 1e-9 and _places(what)]
        assert not late, f"sent after the kill: {late}"
        assert not world.desk.exchange.users.open(ALICE), "orders are open after the kill"
    await world.gateway.stop()
    assert not world.desk.exchange.users.open(ALICE), "orders are open after the stop"
    world.check()


def _places(what: str) -> bool:
    return (what in ACTIONS and what != "order.cancel") or what.startswith(("POST ", "PUT "))


def run_schedule(seed: int) -> Counter[str]:
    """Run one schedule; raises where the books differ, and returns what went wrong on the way."""
    random.seed(seed)  # delays between attempts to connect are drawn from the module's own dice
    world = World(seed)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story(world))
    world.counts["fills"] = len(world.audit.of("fill"))
    orders = world.desk.exchange.users.all(ALICE)
    world.counts["orders"] = len(orders)
    world.counts["amended"] = sum(len(order.amendments) for order in orders)
    return world.counts


def as_fill(row: dict[str, Any]) -> AccountFill:
    """Return the fill that a row of the audit log holds."""
    fields = {name: row[name] for name in AccountFill.__dataclass_fields__}
    return AccountFill(**fields | {"side": SIDES[row["side"]]})
