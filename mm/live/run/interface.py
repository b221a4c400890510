"""``mm trade --venue api``: the strategy of a trade as a client of the trading interface that `mm sim api` serves."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from mm.backtest.engine.live_feed import FeedEvent
from mm.clock import US_PER_S, day_of
from mm.errors import SafetyError, TryLater, UsageError
from mm.instrument import Instrument, e8, short_text, to_exchange_info
from mm.live.account.kill_switch import KillSwitch, SwitchWatch
from mm.live.account.ledger import Ledger
from mm.live.account.locks import TraderLocks
from mm.live.knobs import API
from mm.live.run.decisions import DecisionLags
from mm.live.run.guard import holder_of
from mm.live.run.live_play import TradePlay, TradeStart
from mm.live.run.live_terms import ShadowTerms
from mm.live.run.trade_account import TradeAccount
from mm.live.run.trade_end import TradeEnd
from mm.live.run.trader import KILL, Trader, TraderParts
from mm.live.venues.fills import SIDES, AccountFill
from mm.live.venues.refusals import Refusal, Why
from mm.play.knobs import Day
from mm.play.setup import PlayKnobs
from mm.tape.freshest import Row
from mm.tape.tape import DEPTH, GAP, SNAPSHOT

if TYPE_CHECKING:
    from mm.clock import SteadyClock
    from mm.runs.in_progress import Run
    from mm.terminal.interrupts import TradeSignals

AWAY_S = 1.0
"""Time between two attempts to connect, in s."""
TYPES = {"LIMIT": "limit", "LIMIT_MAKER": "limit_maker", "MARKET": "market"}
REASONS = {
    "would_cross": Refusal(-2010, "would_cross", Why.CROSSES),
    "max_orders_per_s": Refusal(-1015, "max_orders_per_s", Why.ORDER_RATE),
}
"""Errors of the interface that a trader handles; others keep their message."""


@dataclass(frozen=True, kw_only=True)
class InterfaceAt:
    """The address of the trading interface, the client name to trade under, and the token for it, if it needs one."""

    url: str
    client_id: str
    token: str = ""


class TradingInterfaceClient:
    def __init__(self, at: InterfaceAt) -> None:
        self.at = at
        self.ws_url = f"ws{at.url.removeprefix('http')}"
        self.headers = {"Authorization": f"Bearer {at.token}"} if at.token else {}
        self.tls = ssl.create_default_context() if at.url.startswith("https") else None
        self._http = httpx.AsyncClient(
            base_url=at.url, headers=self.headers, verify=self.tls or False, timeout=10.0, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = await self._http.request(method, path, json=content)
        except httpx.HTTPError as error:
            raise TryLater(
                "{}{}: no answer ({}: {}); start `mm sim api`, or name its address with {api_url}",
                self.at.url,
                path,
                type(error).__name__,
                error,
            ) from error
        if answer.status_code in (401, 403):
            raise SafetyError(
                "{}{}: {} {}; give a token with the roles read and trade by {api_token_file}; orders sent before may "
                "still rest there",
                self.at.url,
                path,
                answer.status_code,
                answer.text,
            )
        if answer.status_code not in (200, 404):
            raise UsageError(f"{self.at.url}{path}: {answer.status_code} {answer.text}; is this `mm sim api`?")
        return json.loads(answer.content, parse_float=Decimal)


@dataclass(slots=True)
class _SentOrder:
    """An order that was sent; *number* is the exchange's order number, 0 before its answer."""

    side: int
    number: int = 0
    sent_s: float = 0.0
    acked_s: float = 0.0


class OrderTimes:
    """Durations of orders, in seconds: to the acknowledgement, from there to a fill, and in total."""

    def __init__(self) -> None:
        self.to_ack: list[float] = []
        self.ack_to_fill: list[float] = []
        self.to_fill: list[float] = []

    def line(self) -> str:
        parts = (("order → ACK", self.to_ack), ("ACK → fill", self.ack_to_fill), ("order → fill", self.to_fill))
        return "; ".join(f"{name} {_quantiles(values)}" for name, values in parts)


class InterfaceGateway:
    trader: Trader

    def __init__(self, client: TradingInterfaceClient, grid: Instrument, multiplier: int, clock: "SteadyClock") -> None:
        self.times = OrderTimes()
        self._client, self._grid, self._multiplier, self._clock = client, grid, multiplier, clock
        self._orders: dict[int, _SentOrder] = {}
        self._by_number: dict[int, int] = {}
        self._booked: set[int] = set()
        self._work: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()

    # ------------------------------------------------------------------ as OrderGateway

    def place(self, order_id: int, side: int, price: str, qty: str, kind: str) -> None:
        self._orders[order_id] = _SentOrder(side)
        self._work.put_nowait(partial(self._place, order_id, price, qty, kind))

    def cancel(self, order_id: int) -> None:
        self._work.put_nowait(partial(self._cancel, order_id))

    def amend(self, order_id: int, qty: str, price: str = "") -> None:  # noqa: ARG002 - the protocol's
        refusal = Refusal(-1, "no amendments")
        asyncio.get_running_loop().call_soon(self.trader.amend_failed, order_id, self._clock(), refusal)

    def replace(self, old_id: int, new_id: int, side: int, price: str, qty: str, kind: str) -> None:
        self.cancel(old_id)
        self.place(new_id, side, price, qty, kind)

    # ------------------------------------------------------------------ its loop

    def fills_came(self) -> None:
        self._work.put_nowait(self._book)

    def end(self) -> None:
        """After the queued requests; an order in flight is answered first, so that its fills are booked."""
        self._work.put_nowait(None)

    async def run(self) -> None:
        while (work := await self._work.get()) is not None:
            await work()

    async def stop(self) -> None:
        await self._client.call("POST", f"/cancel_all/{self._client.at.client_id}")
        await self._book()

    async def _place(self, order_id: int, price: str, qty: str, kind: str) -> None:
        sent, size = self._orders[order_id], short_text(e8(qty) // self._multiplier)
        if self.trader.ended is not None:
            return
        order = {"client_id": self._client.at.client_id, "side": "buy" if sent.side > 0 else "sell", "size": size}
        sent.sent_s = perf_counter()
        terms = {"type": TYPES[kind]} if kind == "MARKET" else {"type": TYPES[kind], "price": price}
        answer = await self._client.call("POST", "/order", order | terms)
        sent.acked_s = perf_counter()
        us, reason = self._clock(), answer.get("reason", "")
        if answer["status"] == "rejected":
            word = reason.partition(":")[0]
            self.trader.rejected(order_id, us, sent.side, REASONS.get(word) or Refusal(-1, reason))
            return
        self.times.to_ack.append(sent.acked_s - sent.sent_s)
        sent.number = answer["order_id"]
        self._by_number[sent.number] = order_id
        self.trader.accepted(order_id, us, sent.number)
        if answer["filled"]:
            await self._book()
        if answer["status"] == "cancelled":
            self.trader.closed(order_id, self._clock(), "EXPIRED")

    async def _cancel(self, order_id: int) -> None:
        sent = self._orders.get(order_id)
        if sent is None or not sent.number:  # it was rejected
            return
        answer = await self._client.call("POST", f"/cancel/{sent.number}?client_id={self._client.at.client_id}")
        await self._book()
        if answer.get("status") == "cancelled":
            self.trader.closed(order_id, self._clock(), "CANCELED")

    async def _book(self) -> None:
        came_s = perf_counter()
        for fill in await self._client.call("GET", f"/fills/{self._client.at.client_id}"):
            order_id = self._by_number.get(fill["order_id"])
            if order_id is None or fill["trade_id"] in self._booked:
                continue
            self._booked.add(fill["trade_id"])
            sent = self._orders[order_id]
            self.times.ack_to_fill.append(max(0.0, came_s - sent.acked_s))
            self.times.to_fill.append(came_s - sent.sent_s)
            qty = short_text(e8(_text(fill["size"])) * self._multiplier)
            self.trader.filled(
                order_id,
                AccountFill(
                    trade_id=fill["trade_id"],
                    order_id=fill["order_id"],
                    client_id=str(order_id),
                    side=SIDES[fill["side"].upper()],
                    price=_text(fill["price"]),
                    qty=qty,
                    commission=_text(fill["fee"]),
                    commission_asset=self._grid.quote_asset,
                    us=round(fill["timestamp"] * US_PER_S),
                    maker=fill["liquidity"] == "maker",
                ),
            )


class BookReader:
    """Converts pushed books into market events: the first as a full book, then only the changes."""

    def __init__(self, grid: Instrument, multiplier: int) -> None:
        self._grid, self._multiplier = grid, multiplier
        self._known: dict[tuple[int, int], int] | None = None
        self._count = 0

    def lost(self, us: int) -> FeedEvent:
        self._known = None
        return FeedEvent(GAP, us, self._count, 0, [])

    def event(self, text: str | bytes, us: int) -> FeedEvent:
        content = json.loads(text, parse_float=Decimal)
        found = {
            (side, self._grid.ticks(_text(price))): e8(_text(size)) * self._multiplier // self._grid.lot_e8
            for side, name in ((1, "bids"), (-1, "asks"))
            for price, size in content[name]
        }
        self._count += 1
        rows: list[Row]
        if self._known is None:
            kind, rows = SNAPSHOT, [(*place, lots) for place, lots in found.items()]
        else:
            gone = [(*place, 0) for place in self._known if place not in found]
            new = [(*place, lots) for place, lots in found.items() if self._known.get(place) != lots]
            kind, rows = DEPTH, [*gone, *new]
        self._known = found
        return FeedEvent(kind, us, self._count, self._count, rows)


class InterfaceTrade:
    def __init__(self, run: "Run", day: Day, at: InterfaceAt, knobs: PlayKnobs, clock: "SteadyClock") -> None:
        self._run, self._day, self._at, self._knobs, self._clock = run, day, at, knobs, clock
        self._symbol = day.symbol
        self._switch = KillSwitch(day.out_root, day.symbol)
        self._switch_watch = SwitchWatch(self._switch)

    async def trade(self, signals: "TradeSignals") -> tuple[TradeEnd, OrderTimes]:
        """Trade until a signal, a limit or the kill switch ends it; SafetyError or TryLater."""
        if self._switch.triggered:
            raise SafetyError(self._switch.line())
        try:
            locks = TraderLocks(self._day.out_root, self._at.url, self._at.client_id)
            with locks.alone(holder_of(self._run, self._day, API)):
                return await self._trade(signals)
        finally:
            self._switch_watch.close()

    async def _trade(self, signals: "TradeSignals") -> tuple[TradeEnd, OrderTimes]:
        client = TradingInterfaceClient(self._at)
        try:
            health = await client.call("GET", "/health")
            book = await client.call("GET", "/book")
            trader, gateway, reader, end = self._parts(client, health, book)
            signals.direct(trader.end, lambda _: trader.end(KILL))
            sending = asyncio.create_task(gateway.run())
            following = (self._follow(client, trader, reader), self._announced(client, gateway))
            running = [asyncio.create_task(one) for one in (*following, trader.run())]
            await asyncio.wait([sending, *running], return_when=asyncio.FIRST_COMPLETED)
            trader.end("connection_lost")
            gateway.end()
            for task in running:
                task.cancel()
            results = await asyncio.gather(sending, *running, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                    raise result
            ended = end(trader)
            try:
                await gateway.stop()
            finally:
                if ended.killed_for is not None:
                    await asyncio.to_thread(self._switch.trigger, ended.killed_for, self._clock())
            return ended, gateway.times
        finally:
            await client.close()

    def _parts(
        self, client: TradingInterfaceClient, health: Mapping[str, Any], book: Mapping[str, Any]
    ) -> tuple[Trader, InterfaceGateway, BookReader, Any]:
        symbol, multiplier = health["symbol"], int(health["multiplier"])
        if symbol != self._symbol:
            raise UsageError(
                "{symbol} is {}, but {} trades {}; give --symbol {}", self._symbol, self._at.url, symbol, symbol
            )
        lot_e8 = e8(_text(health["lot_size"])) * multiplier
        named = Instrument(symbol, e8(_text(health["tick_size"])), lot_e8, 0, symbol, "QUOTE")
        bid, ask = (None if book[name] is None else _text(book[name]) for name in ("best_bid", "best_ask"))
        us = self._clock()
        terms = ShadowTerms(symbol, day_of(us), json.loads(to_exchange_info(named)), bid, ask, us)
        terms = terms.fitted(self._knobs, self._day, self._run)
        begin_e8 = (e8(self._knobs.account.initial_inventory), e8(self._knobs.account.initial_cash))
        play = TradePlay(terms, self._knobs, TradeStart(position_e8=begin_e8[0], cash_e8=begin_e8[1]), self._run)
        account = TradeAccount(play.engine, Ledger(play.grid), play.grid, begin_e8)
        lags = DecisionLags(lambda: play.engine.decisions, self._clock)
        watch = self._switch_watch
        parts = TraderParts(
            engine=play.engine,
            grid=play.grid,
            account=account,
            log=self._run.log,
            watch=lambda _: KILL if watch.triggered else None,
            decided=lags.note,
            clock=self._clock,
        )
        gateway = InterfaceGateway(client, play.grid, multiplier, self._clock)
        gateway.trader = trader = Trader(parts, gateway)

        def end(trader: Trader) -> TradeEnd:
            killed = (play.engine.manager.killed_for or watch.why or "signal") if trader.ended == KILL else None
            return TradeEnd(trader.ended or "", killed, None, play, account, trader, lags)

        return trader, gateway, BookReader(play.grid, multiplier), end

    async def _follow(self, client: TradingInterfaceClient, trader: Trader, reader: BookReader) -> None:
        while True:
            async with _connected(client, "/ws/md") as socket:
                async for text in socket:
                    trader.feed([reader.event(text, self._clock())])
            trader.feed([reader.lost(self._clock())])
            self._run.log.warning("market_lost", url=client.ws_url)
            await client.call("GET", "/health")
            await asyncio.sleep(AWAY_S)

    async def _announced(self, client: TradingInterfaceClient, gateway: InterfaceGateway) -> None:
        while True:
            async with _connected(client, f"/ws/fills/{client.at.client_id}") as socket:
                gateway.fills_came()
                async for _ in socket:
                    gateway.fills_came()
            await asyncio.sleep(AWAY_S)


@asynccontextmanager
async def _connected(client: TradingInterfaceClient, path: str) -> AsyncIterator[AsyncIterator[str | bytes]]:
    url = f"{client.ws_url}{path}"
    try:
        socket = await connect(url, additional_headers=client.headers, ssl=client.tls, proxy=None)
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise TryLater(f"{url}: cannot be connected to ({error}); start `mm sim api` again") from error

    async def messages() -> AsyncIterator[str | bytes]:
        try:
            async for text in socket:
                yield text
        except WebSocketException:
            return

    try:
        yield messages()
    finally:
        await socket.close()


def _quantiles(values: list[float]) -> str:
    if not values:
        return "–"
    ranked = sorted(values)
    p50, p99 = (ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms ({len(values)})"


def _text(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
