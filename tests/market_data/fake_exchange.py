"""A small exchange on loopback with a known truth: seeded book changes of one id each, trades, and scripted faults.

It runs in its own thread, so that a client may be a process, a command or another event loop. As a script it plays
for a minute, drops one update, and prints its addresses.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from mm.clock import now_us

SYMBOL = "SIMUSDT"
FIRST_ID = 1_000
FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000.00", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.01", "maxQty": "9000.00", "stepSize": "0.01000000"},
    {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
]
ENTRY = {"symbol": SYMBOL, "status": "TRADING", "baseAsset": "SIM", "quoteAsset": "USDT", "filters": FILTERS}


class Market:
    """The truth: a book that changes one level per id, and trades numbered from 1."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.trades: list[dict] = []
        self.last_id = FIRST_ID
        self._opening = {(side, cents): "1.00" for side in (1, -1) for cents in _ladder(side, 30)}
        self._changes: list[tuple[int, int, str]] = []

    def change(self) -> tuple[int, str, str]:
        """Generate the next id and return side, price and quantity of its level."""
        side = self._random.choice((1, -1))
        cents = self._random.choice(_ladder(side, 60))
        qty = "0.00" if self._random.random() < 0.3 else f"{self._random.randint(1, 999) / 100:.2f}"
        self.last_id += 1
        self._changes.append((side, cents, qty))
        return side, _price(cents), qty

    def trade(self) -> dict:
        """Generate the next trade and return it as the stream sends it."""
        us, number = now_us(), len(self.trades) + 1
        price, qty = _price(self._random.choice((9_999, 10_001))), f"{self._random.randint(1, 99) / 10:.2f}"
        fields = {"e": "trade", "E": us, "s": SYMBOL, "t": number, "p": price, "q": qty, "T": us - 300}
        self.trades.append(fields | {"m": self._random.random() < 0.5, "M": True})
        return self.trades[-1]

    def book(self, last_id: int) -> tuple[list[list[str]], list[list[str]]]:
        """Return bids and asks after *last_id*, best first."""
        levels = dict(self._opening)
        for side, cents, qty in self._changes[: last_id - FIRST_ID]:
            levels.pop((side, cents), None)
            if qty != "0.00":
                levels[side, cents] = qty
        bids = sorted((key for key in levels if key[0] > 0), reverse=True)
        asks = sorted(key for key in levels if key[0] < 0)
        return tuple([[_price(cents), levels[side, cents]] for side, cents in keys] for keys in (bids, asks))


class FakeExchange:
    """Serve the streams and REST of one symbol; a context manager.

    Args:
        seed: Seed of the market.
        messages: Depth messages to send, from the first connection on; each holds up to four ids and two trades.
        faults: Fault at a depth message, by its number: ``drop`` it, send it ``twice``, send ``garbage`` instead,
            a ``stray`` one of small ids before it, ``cut`` the connections after it, ``close`` them in order, ``mute``
            them for good, ``down`` (cut and refuse the next three attempts).
        snapshots: Answers to the first depth requests: a status, ``old``, ``broken``, or seconds to wait.
        infos: Answers to the first exchangeInfo requests: a status, or an entry.
        then: Called when all messages are sent.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        messages: int = 60,
        faults: dict[int, str] | None = None,
        snapshots: list[object] = (),
        infos: list[object] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        self.market = Market(seed)
        self.paths: list[str] = []
        self.requests: list[str] = []
        self._messages = messages
        self._faults = faults or {}
        self._snapshots = list(snapshots)
        self._infos = list(infos)
        self._then = then
        self._clients: set[ServerConnection] = set()
        self._refuse = 0
        self._ready = threading.Event()
        self.depth_requested = threading.Event()

    def __enter__(self) -> "FakeExchange":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def urls(self) -> dict[str, str]:
        """Return the settings with the addresses of this exchange."""
        return {"WS_URL": f"ws://127.0.0.1:{self._ports[0]}", "REST_URL": f"http://127.0.0.1:{self._ports[1]}"}

    async def _serve(self) -> None:
        self._loop, self._stop, self._started = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        streams = serve(self._client, "127.0.0.1", 0, compression=None, process_request=self._handshake)
        async with streams as ws, await asyncio.start_server(self._request, "127.0.0.1", 0) as rest:
            self._ports = [next(iter(server.sockets)).getsockname()[1] for server in (ws, rest)]
            self._ready.set()
            play = asyncio.create_task(self._play())
            await self._stop.wait()
            play.cancel()
            for client in self._clients:
                client.transport.abort()
            rest.close()
            for _ in range(3):  # let a request that has just arrived start, so that its end closes its connection
                await asyncio.sleep(0)

    async def _play(self) -> None:
        await self._started.wait()
        for number in range(1, self._messages + 1):
            await asyncio.sleep(0.004)
            fault = self._faults.get(number, "")
            depth = self._depth()
            trades = [self._wrapped("trade", self.market.trade()) for _ in range(number % 3)]
            if fault == "mute":
                self._clients.clear()
            texts = {"drop": [], "twice": [depth, depth], "garbage": ['{"stream":"x']}
            texts["stray"] = [self._update({"U": 3, "u": 4}, {"b": [["99.00", "7.00"]], "a": []}), depth]
            for text in (*trades, *texts.get(fault, [depth])):
                await self._send(text)
            if fault in ("cut", "close", "down"):
                await self._cut(orderly=fault == "close")
                self._refuse = 3 if fault == "down" else 0
        await asyncio.sleep(0.05)
        if self._then:
            self._then()

    def _depth(self) -> str:
        first_id = self.market.last_id + 1
        changes = [self.market.change() for _ in range(1 + first_id % 4)]
        # Later changes of a level replace earlier ones of the same message.
        sides = {side: {price: qty for found, price, qty in changes if found == side} for side in (1, -1)}
        ids = {"U": first_id, "u": self.market.last_id}
        levels = {"b": list(map(list, sides[1].items())), "a": list(map(list, sides[-1].items()))}
        return self._update(ids, levels)

    def _update(self, ids: dict[str, int], levels: dict[str, list]) -> str:
        return self._wrapped("depth@100ms", {"e": "depthUpdate", "E": now_us(), "s": SYMBOL} | ids | levels)

    def _wrapped(self, stream: str, data: dict) -> str:
        return json.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": data})

    async def _send(self, text: str) -> None:
        for client in list(self._clients):
            with suppress(ConnectionClosed):
                await client.send(text)

    async def _cut(self, *, orderly: bool) -> None:
        clients, self._clients = self._clients, set()
        for client in clients:
            if orderly:
                await client.close(1001, "going away")
            else:
                client.transport.abort()

    def _handshake(self, _connection: ServerConnection, request: object) -> Response | None:
        self.paths.append(request.path)
        if self._refuse:
            self._refuse -= 1
            return Response(503, "Service Unavailable", Headers({"Content-Length": "0"}), b"")
        return None

    async def _client(self, connection: ServerConnection) -> None:
        self._clients.add(connection)
        self._started.set()
        await connection.wait_closed()
        self._clients.discard(connection)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, asyncio.IncompleteReadError), closing(writer):
            target = (await reader.readuntil(b"\r\n\r\n")).decode().split()[1]
            self.requests.append(target)
            depth = urlsplit(target).path.endswith("/depth")
            if depth:
                self.depth_requested.set()
            status, body = await self._depth_answer(target) if depth else self._answer(target)
            extra = "Retry-After: 1\r\n" if status in (418, 429) else ""
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()

    async def _depth_answer(self, target: str) -> tuple[int, bytes]:
        how = self._snapshots.pop(0) if self._snapshots else 0.0
        limit = int(parse_qs(urlsplit(target).query)["limit"][0])
        if isinstance(how, int):
            return how, b'{"code":-1003,"msg":"Too much request weight used"}'
        last_id = FIRST_ID if how == "old" else self.market.last_id
        bids, asks = self.market.book(last_id)
        body = json.dumps({"lastUpdateId": last_id, "bids": bids[:limit], "asks": asks[:limit]}).encode()
        if isinstance(how, float):
            await asyncio.sleep(how)
        return 200, body[:-9] if how == "broken" else body

    def _answer(self, _target: str) -> tuple[int, bytes]:
        """Return the answer to a request other than depth."""
        return self._info_answer()

    def _info_answer(self) -> tuple[int, bytes]:
        how = self._infos.pop(0) if self._infos else ENTRY
        if isinstance(how, int):
            return how, b'{"code":-1121,"msg":"Invalid symbol."}'
        return 200, json.dumps({"timezone": "UTC", "symbols": [how]}).encode()


def _ladder(side: int, levels: int) -> list[int]:
    return [10_000 - side * step for step in range(1, levels + 1)]


def _price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


if __name__ == "__main__":
    with FakeExchange(messages=10_000, faults={1_000: "drop"}) as playing:
        print(*(f"{name}={url}" for name, url in playing.urls().items()), flush=True)
        time.sleep(60)
