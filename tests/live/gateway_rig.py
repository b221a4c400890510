"""A gateway on an exchange in a box, an in-memory audit log, and a listener that follows reports as an engine does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mm.instrument import E8, decimal_text
from mm.live.account.session import AccountSession
from mm.live.knobs import OrderAccess, VenueUrls
from mm.live.orders.access import GatewayRun
from mm.live.orders.gateway import Gateway
from mm.live.orders.order_steps import EARLIER
from mm.live.venues.balances import Balances, Transfer
from mm.live.venues.binance_spot import SpotAccount
from mm.live.venues.fills import AccountFill
from mm.live.venues.keys import Credentials
from mm.live.venues.refusals import Refusal
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.rest_api import Surroundings
from mm.live.venues.venue import AccountVenue
from mm.market_data.rate_budget import RateBudget
from mm.sim.exchange.keys import ApiKey
from mm.sim.exchange.orders import NewOrder
from mm.sim.wire.box import Box
from simulation import make_box

ALICE, BOB = 1, 2
LOT_E8 = E8 // 1_000


class MemoryAudit:
    """Rows of the audit log, in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.failure: Exception | None = None

    def append(self, type: str, /, **fields: object) -> int:
        self.rows.append({"type": type, **fields})
        return len(self.rows)

    async def synced(self, seq: int) -> None:
        await asyncio.sleep(0)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["type"] == kind]


class FollowingListener:
    """Follows orders by the reports alone, and fails at a report that an engine could not follow."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.state: dict[int, str] = {}
        self.qty: dict[int, str] = {}
        self.amending: set[int] = set()
        self.fills: list[AccountFill] = []
        self.free: dict[str, str] = {}
        self.ours_e8 = (0, 0)
        self.shown: dict[int, list[tuple[int, int]]] = {}
        self.ready: list[tuple[bool, str]] = []
        self.latencies: list[tuple[str, float]] = []
        self.pauses: list[tuple[int, float]] = []
        self.on_fill: Callable[[AccountFill], None] | None = None

    def caught_up(self) -> bool:
        return True

    def _expect(self, order_id: int, *states: str) -> None:
        assert order_id != EARLIER
        assert self.state.get(order_id, "sent") in states, (order_id, self.state.get(order_id), self.log)

    def accepted(self, order_id: int, us: int, exchange_id: int) -> None:
        self._expect(order_id, "sent")
        self.state[order_id] = "open"
        self.log.append(("accepted", order_id))

    def in_book(self, order_id: int, exchange_us: int, left_e8: int) -> None:
        assert order_id != EARLIER
        self.shown.setdefault(order_id, []).append((exchange_us, left_e8))

    def rejected(self, order_id: int, us: int, side: int, refusal: Refusal) -> None:
        self._expect(order_id, "sent")
        self.state[order_id] = "rejected"
        self.log.append(("rejected", order_id, refusal.code, refusal.message))

    def paused(self, side: int, seconds: float) -> None:
        self.pauses.append((side, seconds))

    def filled(self, order_id: int, fill: AccountFill) -> None:
        if order_id != EARLIER:
            self._expect(order_id, "open")
        assert all((one.trade_id, one.order_id) != (fill.trade_id, fill.order_id) for one in self.fills)
        self.fills.append(fill)
        self.log.append(("filled", order_id, fill.qty))
        if self.on_fill:
            self.on_fill(fill)

    def closed(self, order_id: int, us: int, status: str) -> None:
        self._expect(order_id, "open")
        self.state[order_id] = status
        self.log.append(("closed", order_id, status))

    def cancel_failed(self, order_id: int, us: int, code: int) -> None:
        self.log.append(("cancel_failed", order_id, code))

    def amended(self, order_id: int, us: int, qty: str, price: str = "", exchange_us: int = 0) -> None:
        self._expect(order_id, "open")
        assert float(qty) < float(self.qty.get(order_id, "inf"))
        self.qty[order_id] = qty
        self.amending.discard(order_id)
        self.log.append(("amended", order_id, qty))

    def amend_failed(self, order_id: int, us: int, refusal: Refusal) -> None:
        self.amending.discard(order_id)
        self.log.append(("amend_failed", order_id, refusal.code))

    def transferred(self, found: Transfer) -> None:
        self.log.append(("transferred", found.asset, found.amount_e8))

    def balances(self, held: Balances) -> None:
        self.free = {asset: free for asset, (free, _) in held.items()}

    def funds(self, base_e8: int, quote_e8: int) -> None:
        self.ours_e8 = (base_e8, quote_e8)

    def fee_rates(self, maker_e8: int, taker_e8: int) -> None:
        self.rates_e8 = (maker_e8, taker_e8)

    def ready_changed(self, ready: bool, why: str) -> None:
        self.ready.append((ready, why))

    def ack_latency(self, action: str, seconds: float) -> None:
        self.latencies.append((action, seconds))


class QuietLog:
    """A log that keeps its lines in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _keep(self, event: str, **numbers: Any) -> None:
        self.lines.append((event, numbers))

    debug = info = warning = error = critical = _keep


class Rig:
    """One gateway and its exchange, for a test."""

    def __init__(self, box: Box, gateway: "LoneGateway", audit: MemoryAudit, listener: FollowingListener) -> None:
        self.box, self.gateway, self.audit, self.listener = box, gateway, audit, listener

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Return when *condition* holds; fails after *seconds*."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    def at_exchange(self, account: int = ALICE) -> list[Any]:
        """Return the account's open orders from the exchange."""
        return list(self.box.exchange.users.open(account))

    def free(self, asset: str) -> str:
        """Return alice's free balance, in the exchange's text."""
        account = self.box.exchange.accounts[ALICE]
        return decimal_text((account.base if asset == "SIM" else account.quote).free)

    def check(self, start_base_e8: int = 1_000 * E8, start_quote_e8: int = 1_000_000 * E8) -> None:
        """Compare orders, fills, position and cash with the exchange's own books, to the last decimal."""
        exchange = self.box.exchange
        assert [fill.trade_id for fill in self.listener.fills] == [f.trade_id for f in exchange.users.fills(ALICE)]
        base_e8 = quote_e8 = 0
        for fill in self.listener.fills:
            qty_e8, price_e8, fee_e8 = (int(t.replace(".", "")) for t in (fill.qty, fill.price, fill.commission))
            base_e8 += fill.side * qty_e8
            quote_e8 -= fill.side * price_e8 * qty_e8 // E8
            if fill.commission_asset == "SIM":
                base_e8 -= fee_e8
            else:
                quote_e8 -= fee_e8
        account = exchange.accounts[ALICE]
        assert account.base.free + account.base.locked == start_base_e8 + base_e8
        assert account.quote.free + account.quote.locked == start_quote_e8 + quote_e8
        known = {row["client_id"] for row in self.audit.of("intent")}
        assert {order.client_id for order in exchange.users.all(ALICE)} <= known


def credentials(box: Box, kind: str = "ED25519", name: str = "alice") -> Credentials:
    """Return the keys of a user of the box."""
    number = {"alice": ALICE, "bob": BOB}[name]
    return credentials_of(next(key for key in box._keys if key.account == number), kind)


def credentials_of(key: ApiKey, kind: str) -> Credentials:
    """Return one way to sign with a key of the exchange in a box."""
    if kind == "HMAC":
        return Credentials(key.key, secret=key.secret)
    private = load_pem_private_key(key.private_pem.encode(), None)
    return Credentials(key.key, private=private)  # type: ignore[arg-type]


def urls(box: Box) -> VenueUrls:
    """Return the addresses of a box."""
    ready = box.ready()
    return VenueUrls(ready["ws_api_url"], ready["rest_url"], ready["ws_url"])


def run_of(run_id: str = "r", symbol: str = "SIMUSDT", **access: Any) -> GatewayRun:
    """Return the run of a gateway; *access* are knobs of its access to orders."""
    return GatewayRun(symbol=symbol, run_id=run_id, access=OrderAccess(**access))


def attempts_of(number: int, seconds: float) -> OrderLimits:
    """Return limits with so many connections in a time."""
    return OrderLimits(attempts=RateBudget(number, seconds))


class LoneGateway(Gateway):
    """A gateway with a session of its own, which ends with it.

    Args:
        at: Addresses of the exchange.
        key: Key of the account.
        run: As of a gateway.
        audit: As of a gateway.
        around: As of a session.
        venue: The exchange of the account; None is Spot's.
    """

    def __init__(
        self,
        at: VenueUrls,
        key: Credentials,
        run: GatewayRun,
        audit: Any,
        around: Surroundings | None = None,
        venue: AccountVenue | None = None,
    ) -> None:
        around = around or Surroundings()
        if around.limits is None:  # the budget of this host is not for tests
            around = replace(around, limits=OrderLimits(None, around.seconds))
        self.log, self.audit = QuietLog(), audit
        self.session = AccountSession(venue or SpotAccount(), at, key, run.access, log=self.log, around=around)
        super().__init__(self.session, run, audit, log=self.log)

    async def stop(self) -> None:
        await super().stop()
        await self.session.close()


def make_gateway(
    box: Box,
    audit: MemoryAudit,
    listener: FollowingListener,
    *,
    kind: str = "ED25519",
    run: GatewayRun | None = None,
    limits: OrderLimits | None = None,
) -> LoneGateway:
    """Return a gateway of alice, not started."""
    run = run or GatewayRun(symbol="SIMUSDT", run_id="test", access=OrderAccess())
    found = LoneGateway(urls(box), credentials(box, kind), run, audit, Surroundings(limits=limits))
    found.reports.attach(listener)
    return found


@asynccontextmanager
async def trading(
    scenario: str = "empty",
    *,
    kind: str = "ED25519",
    limits: bool = False,
    faults: str = "",
    access: Mapping[str, Any] | OrderAccess | None = None,
    audit: Any = None,
    gateway_limits: OrderLimits | None = None,
    **more: Any,
) -> AsyncIterator[Rig]:
    """Yield a rig with a gateway that is ready, on an exchange that runs in real time."""
    async with make_box(scenario, limits=limits, faults=[faults] if faults else ()).open() as box:
        audit, listener = audit or MemoryAudit(), FollowingListener()
        settings = {"symbol": "SIMUSDT", "run_id": "test"} | more
        run = GatewayRun(access=access if isinstance(access, OrderAccess) else OrderAccess(**access or {}), **settings)
        gateway = make_gateway(box, audit, listener, kind=kind, run=run, limits=gateway_limits)
        try:
            await gateway.start()
            yield Rig(box, gateway, audit, listener)
        finally:
            await gateway.stop()


def stranger(
    api_key: str,
    *,
    at: Box | tuple[str, str] | None = None,
    run: GatewayRun | None = None,
    audit: Any = None,
    **key: Any,
) -> LoneGateway:
    """Return the gateway of a key of its own.

    Args:
        at: The exchange: a box, or its addresses; None is one that is not there.
        key: The secret or the private key.
    """
    api, rest = ("ws://127.0.0.1:9/ws-api/v3", "http://127.0.0.1:9") if at is None or isinstance(at, Box) else at
    places = urls(at) if isinstance(at, Box) else VenueUrls(api, rest, "ws://127.0.0.1:9")
    return LoneGateway(places, Credentials(api_key, **key), run or run_of(), audit or MemoryAudit())


def beside(rig: Rig, run: GatewayRun) -> Gateway:
    """Return another gateway on the session of a rig's, as that of another symbol."""
    return Gateway(rig.gateway.session, run, MemoryAudit(), log=QuietLog())


def place_for(rig: Rig, who: int, side: int, ticks: int, lots: int, client_id: str = "") -> None:
    """Let the exchange take a limit order of a user that no gateway has sent."""
    new = NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots, **({"client_id": client_id} if client_id else {}))
    rig.box.exchange.place(rig.box.exchange.now_us, who, new)
