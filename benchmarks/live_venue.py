"""An exchange for `benchmarks.live`: depth streams with moving best prices, and an order API that answers at once.

``python -m benchmarks.live_venue`` reads a `Load` as JSON from its standard input, prints its addresses as one JSON
object, and serves until it is ended. Nothing is matched: an order rests until it is cancelled.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from mm.clock import now_us

SYMBOLS = ("BTCUSDT", *(f"C{number:02}USDT" for number in range(1, 50)))
SYMBOL = SYMBOLS[0]
MID_TICKS = 6_000_000
MOVE_EVERY = 10
"""One of this many messages moves both best prices by a tick."""
_DEEPEST = 1_000
_LIMITS = [
    {"rateLimitType": kind, "interval": unit, "intervalNum": count, "limit": 10**6, "count": 1}
    for kind, unit, count in (("REQUEST_WEIGHT", "MINUTE", 1), ("ORDERS", "SECOND", 10), ("ORDERS", "DAY", 1))
]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a trader has to cope with.

    Attributes:
        levels: Mean number of changed levels per message, besides those of a move.
        symbols: Number of symbols.
        assets: Number of assets with a balance.
        rate: Depth messages per second, of all symbols together.
        seconds: How long it is measured, after `benchmarks.live.WARM_S`.
    """

    levels: int = 10
    symbols: int = 1
    assets: int = 2
    rate: int = 1_000
    seconds: float = 8.0

    @property
    def traded(self) -> tuple[str, ...]:
        """The symbols."""
        return SYMBOLS[: self.symbols]


def price_text(ticks: int) -> str:
    """Return a price in the exchange's format."""
    return f"{ticks // 100}.{ticks % 100:02}000000"


def head(symbol: str) -> bytes:
    """Return the begin of a message of a symbol, up to its send time."""
    return f'{{"stream":"{symbol.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":'.encode()


MOVED = f'["{price_text(MID_TICKS + 1)}",'.encode()
"""Text in the messages that move the best prices, and in no others."""


def stamped(begin: bytes, message: bytes, us: int) -> bytes:
    """Return a message of a feed, which has its `head` as *begin*, with its send time."""
    return b"%b%d%b" % (begin, us, message)


def moved_us(begins: bytes, data: bytes) -> int:
    """Return the send time of the message that moves the best prices, µs; 0 if *data* has none with its begin."""
    moved = data.find(MOVED)
    begin = data.rfind(begins, 0, moved) if moved >= 0 else -1
    return int(data[begin + len(begins) : data.index(b",", begin + len(begins))]) if begin >= 0 else 0


class MovingFeed:
    """Depth messages of one symbol; the best prices go up a tick and down again.

    Args:
        symbol: Upper case.
        levels: Mean number of changed levels per message, besides those of a move.
        seed: Random seed.
    """

    def __init__(self, symbol: str, levels: int, seed: int = 7) -> None:
        self._rng, self._levels, self._symbol = random.Random(seed), levels, symbol
        self._update_id, self._high = 1_000, False

    def snapshot(self) -> bytes:
        """Return the response of ``/api/v3/depth``: a bid below and an ask on the tick above the middle, and so on."""
        bids = [[price_text(MID_TICKS - n), "1.50000000"] for n in range(1, _DEEPEST + 1)]
        asks = [[price_text(MID_TICKS + n), "1.50000000"] for n in range(1, _DEEPEST + 1)]
        return json.dumps({"lastUpdateId": 1_000, "bids": bids, "asks": asks}).encode()

    def messages(self) -> Iterator[bytes]:
        """Yield messages without end, for `stamped`; each `MOVE_EVERY`-th moves the best prices."""
        while True:
            for number in range(MOVE_EVERY):
                yield self._message(moves=number == 0)

    def _message(self, *, moves: bool) -> bytes:
        rng = self._rng
        sides: tuple[list[str], list[str]] = ([], [])
        for _ in range(1 + int(rng.expovariate(1 / self._levels))):
            away, side = 5 + min(int(rng.expovariate(1 / 150)), _DEEPEST - 6), rng.random() < 0.5
            qty = f"{rng.randrange(1, 10**6) / 1e5:.8f}"
            sides[side].append(f'["{price_text(MID_TICKS + (away if side else -away))}","{qty}"]')
        if moves:
            self._high = not self._high
            bid_qty, ask_qty = ("1.50000000", "0.00000000") if self._high else ("0.00000000", "1.50000000")
            sides[0].append(f'["{price_text(MID_TICKS)}","{bid_qty}"]')
            sides[1].append(f'["{price_text(MID_TICKS + 1)}","{ask_qty}"]')
        first, self._update_id = self._update_id + 1, self._update_id + 60
        bids, asks = (",".join(levels) for levels in sides)
        return f',"s":"{self._symbol}","U":{first},"u":{self._update_id},"b":[{bids}],"a":[{asks}]}}}}'.encode()


class OrderApi:
    """Answers the requests of a gateway over the WebSocket API.

    Args:
        load: The symbols and assets.
    """

    def __init__(self, load: Load) -> None:
        held = {"USDT": "90000000.00000000", **{symbol.removesuffix("USDT"): "1000.00000000" for symbol in load.traded}}
        held |= {f"Z{number:04}": "1.00000000" for number in range(load.assets - len(held))}
        self._account = {"balances": [{"asset": name, "free": free, "locked": "0.0"} for name, free in held.items()]}
        self._open: dict[int, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._count = 0

    def answer(self, request: Mapping[str, Any]) -> bytes:
        """Return the answer to a request."""
        result = self._result(request["method"], request.get("params", {}))
        return msgspec.json.encode({"id": request["id"], "status": 200, "result": result, "rateLimits": _LIMITS})

    def _result(self, method: str, params: Mapping[str, Any]) -> Any:
        if method == "order.place":
            return self._place(params)
        if method == "order.cancel":
            return self._cancel(params.get("orderId") or self._numbers.get(params["origClientOrderId"], 0))
        if method == "order.cancelReplace":
            ended = self._cancel(params["cancelOrderId"])
            made = {"newOrderResult": "SUCCESS", "newOrderResponse": self._place(params)}
            return {"cancelResult": "SUCCESS", "cancelResponse": ended, **made}
        own = [order for order in self._open.values() if order["symbol"] == params.get("symbol")]
        known = {"openOrders.status": own, "myTrades": [], "account.status": self._account}
        return known.get(method, {"serverTime": now_us(), "mins": 5, "price": price_text(MID_TICKS)})

    def _place(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self._count += 1
        number, terms = self._count, ("side", "type", "price")
        self._numbers[params["newClientOrderId"]] = number
        self._open[number] = {
            "symbol": params["symbol"],
            "orderId": number,
            "clientOrderId": params["newClientOrderId"],
            "status": "NEW",
            "origQty": params["quantity"],
            "executedQty": "0.00000000",
            "transactTime": now_us(),
            **{name: params[name] for name in terms},
        }
        return self._open[number]

    def _cancel(self, number: int) -> dict[str, Any]:
        entry = self._open.pop(number, {"orderId": number, "clientOrderId": "", "executedQty": "0"})
        return {**entry, "status": "CANCELED", "origClientOrderId": entry["clientOrderId"], "clientOrderId": "c"}


class LiveVenue:
    """The exchange, on loopback.

    Args:
        load: What it sends.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._feeds = {symbol: MovingFeed(symbol, load.levels) for symbol in load.traded}
        self._requested = {symbol: asyncio.Event() for symbol in load.traded}

    async def run(self) -> None:
        """Print the addresses, and serve without end."""
        rest = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with serve(self._serve, "127.0.0.1", 0, compression=None, ping_interval=None) as sockets, rest:
            ports = [next(iter(server.sockets)).getsockname()[1] for server in (sockets, rest)]
            ws, http = f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
            print(json.dumps({"WS_URL": ws, "REST_URL": http, "WS_API_URL": f"{ws}/ws-api/v3"}), flush=True)
            await asyncio.Event().wait()

    async def _serve(self, client: ServerConnection) -> None:
        assert client.request
        with suppress(ConnectionClosed):
            if client.request.path.startswith("/ws-api"):
                api = OrderApi(self._load)
                async for text in client:
                    await client.send(api.answer(msgspec.json.decode(text)), text=True)
            else:
                path = client.request.path.upper()
                await self._send(client, next(symbol for symbol in self._feeds if symbol in path))

    async def _send(self, client: ServerConnection, symbol: str) -> None:
        """Send one message, and the others at their times after the snapshot was fetched."""
        messages, begin = self._feeds[symbol].messages(), head(symbol)
        self._write(client, begin, next(messages))
        await self._requested[symbol].wait()
        await asyncio.sleep(0.5)
        step_s = self._load.symbols / self._load.rate
        next_s = time.monotonic() + step_s * list(self._feeds).index(symbol) / self._load.symbols
        for message in messages:
            next_s += step_s
            left_s = next_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            if client.state is not State.OPEN:
                return
            self._write(client, begin, message)

    def _write(self, client: ServerConnection, begin: bytes, message: bytes) -> None:
        body = stamped(begin, message, now_us())
        size = len(body)
        length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2)
        client.transport.write(b"\x81" + length + body)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of REST."""
        with suppress(asyncio.IncompleteReadError):  # a connection that was opened in advance
            head = await reader.readuntil(b"\r\n\r\n")
            body = self._rest(head.split(b" ", 2)[1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        writer.close()

    def _rest(self, path: bytes) -> bytes:
        asked = [symbol for symbol in self._feeds if f"symbol={symbol}".encode() in path]
        if path.startswith(b"/api/v3/depth"):
            if b"limit=5&" not in path + b"&":  # except the request for the best prices before the start
                self._requested[asked[0]].set()
            return self._feeds[asked[0]].snapshot()
        if path.startswith(b"/api/v3/exchangeInfo"):
            return _info(asked)
        return b'{"serverTime":%d}' % now_us() if path.startswith(b"/api/v3/time") else b"[]"


def _info(symbols: Sequence[str]) -> bytes:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
    ]
    entries = [
        {
            "symbol": symbol,
            "status": "TRADING",
            "baseAsset": symbol.removesuffix("USDT"),
            "quoteAsset": "USDT",
            "orderTypes": ["LIMIT_MAKER"],
            "filters": filters,
        }
        for symbol in symbols
    ]
    return json.dumps({"symbols": entries, "rateLimits": _LIMITS}).encode()


if __name__ == "__main__":
    asyncio.run(LiveVenue(Load(**json.loads(sys.stdin.readline()))).run())
