"""A feed for recorders: a busy symbol's depth and trades over loopback, as many and as fast as asked for.

Messages are made before they are needed, so that sending costs little beside receiving. They are mixed as on
a busy day: ten depth messages of some 46 levels to 28 trades.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, serve

from mm.clock import now_us

SYMBOL = "BTCUSDT"
LEVELS_A_DIFF = 46
_MID_TICKS = 6_000_000
_DEPTH_SHARE = 10 / 38
_STEP_S = 0.005
_LATE_S = 60.0


class Feed:
    """The messages of one symbol, and the REST answers that go with them.

    Args:
        levels: Of each side of the book.
        seed: Of all that is left to chance.
    """

    def __init__(self, levels: int = 1_000, seed: int = 7) -> None:
        self._luck = random.Random(seed)
        self._levels = levels
        self._update_id = 1_000
        self._trade_id = 1

    def snapshot(self) -> bytes:
        """Return the answer of ``/api/v3/depth``: every level, at id 1,000."""
        sides = ([[_price(sign * n), "1.50000000"] for n in range(1, self._levels + 1)] for sign in (-1, 1))
        bids, asks = sides
        return json.dumps({"lastUpdateId": 1_000, "bids": bids, "asks": asks}).encode()

    def info(self) -> bytes:
        """Return the answer of ``/api/v3/exchangeInfo``."""
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001"},
        ]
        entry = {"symbol": SYMBOL, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": filters}
        return json.dumps({"symbols": [entry]}).encode()

    def messages(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield what stands before and behind the time of each of the next *count* messages."""
        for _ in range(count):
            yield self.diff() if self._luck.random() < _DEPTH_SHARE else self._trade()

    def diff(self) -> tuple[bytes, bytes]:
        """Return the next depth message."""
        luck = self._luck
        sides: tuple[list[str], list[str]] = ([], [])
        for _ in range(1 + int(luck.expovariate(1 / LEVELS_A_DIFF))):
            away = 1 + min(int(luck.expovariate(1 / 150)), self._levels - 1)
            side = luck.random() < 0.5
            qty = "0.00000000" if away > 1 and luck.random() < 0.25 else f"{luck.randrange(1, 10**6) / 1e5:.8f}"
            sides[side].append(f'["{_price(away if side else -away)}","{qty}"]')
        first, self._update_id = self._update_id + 1, self._update_id + 60
        head = f'{{"stream":"{SYMBOL.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":'
        ids = f',"s":"{SYMBOL}","U":{first},"u":{self._update_id}'
        return head.encode(), f'{ids},"b":[{",".join(sides[0])}],"a":[{",".join(sides[1])}]}}}}'.encode()

    def _trade(self) -> tuple[bytes, bytes]:
        number, self._trade_id = self._trade_id, self._trade_id + 1
        qty = f"{self._luck.randrange(1, 10**5) / 1e5:.8f}"
        head = f'{{"stream":"{SYMBOL.lower()}@trade","data":{{"e":"trade","E":'
        tail = f',"s":"{SYMBOL}","t":{number},"p":"{_price(1)}","q":"{qty}","T":{now_us()},"m":false,"M":true}}}}'
        return head.encode(), tail.encode()


class FeedServer:
    """Sends a feed to the first client that connects, and answers its questions.

    Args:
        feed: What is sent.
        sizes: How many messages a step, one number each.
        step_s: From one step to the next.

    Attributes:
        sent: Set when all have been, or the client has gone.
        urls: Bases of streams and of REST.
    """

    def __init__(self, feed: Feed, sizes: Sequence[int], step_s: float = _STEP_S) -> None:
        self.sent = asyncio.Event()
        self.urls = ("", "")
        self._feed = feed
        self._sizes = sizes
        self._step_s = step_s
        self._asked = asyncio.Event()

    async def open(self) -> None:
        """Listen on loopback, on ports of the system's choice."""
        streams = await serve(self._send, "127.0.0.1", 0, compression=None, ping_interval=None)
        rest = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        ports = [next(iter(server.sockets)).getsockname()[1] for server in (streams, rest)]
        self.urls = (f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")

    async def _send(self, client: ServerConnection) -> None:
        """Send one update, and all else behind the snapshot, so that each of them has its frame."""
        self._write(client, [self._feed.diff()])
        await self._asked.wait()
        await asyncio.sleep(0.5)
        next_s = time.monotonic()
        for size in self._sizes:
            batch = list(self._feed.messages(size))
            next_s += self._step_s
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            if client.transport.is_closing():
                break
            self._write(client, batch)
            while client.transport.get_write_buffer_size() > 1 << 22:
                await asyncio.sleep(self._step_s)
        while client.transport.get_write_buffer_size():
            await asyncio.sleep(self._step_s)
        self.sent.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(client.wait_closed(), _LATE_S)

    def _write(self, client: ServerConnection, batch: list[tuple[bytes, bytes]]) -> None:
        """Write messages as frames, each with the instant at which it is written."""
        for head, tail in batch:
            body = b"%b%d%b" % (head, now_us(), tail)
            size = len(body)
            length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2)
            client.transport.write(b"\x81" + length + body)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # a connection that was opened ahead of need
            writer.close()
            return
        depth = b"/api/v3/depth" in head
        body = self._feed.snapshot() if depth else self._feed.info()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        if depth:
            self._asked.set()


def _price(away: int) -> str:
    """Return the price *away* ticks from the middle, as the exchange writes it."""
    ticks = _MID_TICKS + away
    return f"{ticks // 100}.{ticks % 100:02}000000"
