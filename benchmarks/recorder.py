"""The recorder compared with a straightforward one: processor time per message, late timestamps, deep books, memory.

Each turn runs ``python -m benchmarks.recorder KIND MESSAGES``, which prints one JSON object: a feed, and a recorder of
that KIND (``ours`` or ``plain``) in a separate process, which is stopped when all messages are sent. ``burst`` and
``plain_burst`` are the same recorders with bursts of 520 messages within 10 ms; ``deep`` needs no process. Fifty
symbols are recorded once (`benchmarks.symbols`).

The feed is the depth and trades of a busy symbol over loopback. Messages are made in advance, so that sending costs
little compared with receiving; the mix is that of a busy day: ten depth messages of some 46 levels per 28 trades.
"""

import asyncio
import gzip
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server, ServerConnection, serve

from benchmarks.plain_recorder import SYMBOL
from benchmarks.symbols import AT_ONCE
from benchmarks.turns import PYTHON, Measured, Row, at_most, run
from mm.clock import now_us

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

LEVELS_PER_DIFF = 46
_MID_TICKS = 6_000_000
_DEPTH_SHARE = 10 / 38
_STEP_S = 0.005
_CLOSE_TIMEOUT_S = 60.0
MESSAGES = 20_000
RATE = 5_000
BURST = 520
BURSTS = 8
DIFFS = 3_000
SYMBOLS = 50
AIM_US = 30
WITHIN = "their ratio is watched"
_BURST_STEPS = 10
_BURST_STEP_S = 0.001
_PAUSE_STEPS = 190
_STEPS_PER_S = 200
_FEW = 1_000
KINDS = ("ours", "plain", "burst", "plain_burst", "deep")


class Feed:
    """Messages of one symbol, and the matching REST responses.

    Args:
        levels: Number of levels of each side of the book.
        seed: Random seed.
    """

    def __init__(self, levels: int = 1_000, seed: int = 7) -> None:
        self._luck = random.Random(seed)
        self._levels = levels
        self._update_id = 1_000
        self._trade_id = 1

    def snapshot(self) -> bytes:
        """Return the response of ``/api/v3/depth``: every level, at id 1,000."""
        sides = ([[_price(sign * n), "1.50000000"] for n in range(1, self._levels + 1)] for sign in (-1, 1))
        bids, asks = sides
        return json.dumps({"lastUpdateId": 1_000, "bids": bids, "asks": asks}).encode()

    def info(self) -> bytes:
        """Return the response of ``/api/v3/exchangeInfo``."""
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001"},
        ]
        entry = {"symbol": SYMBOL, "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": filters}
        return json.dumps({"symbols": [entry]}).encode()

    def messages(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the text before and after the event time of each of the next *count* messages."""
        for _ in range(count):
            yield self.diff() if self._luck.random() < _DEPTH_SHARE else self._trade()

    def diff(self) -> tuple[bytes, bytes]:
        """Return the next depth message."""
        luck = self._luck
        sides: tuple[list[str], list[str]] = ([], [])
        for _ in range(1 + int(luck.expovariate(1 / LEVELS_PER_DIFF))):
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
    """Sends a feed to the first client that connects, and answers its REST requests.

    Args:
        feed: The feed to send.
        sizes: Number of messages of each step.
        step_s: Interval between steps.

    Attributes:
        sent: Set when all messages are sent, or the client has disconnected.
        urls: Base URLs of the streams and of REST.
    """

    def __init__(self, feed: Feed, sizes: Sequence[int], step_s: float = _STEP_S) -> None:
        self.sent = asyncio.Event()
        self.urls = ("", "")
        self._feed = feed
        self._sizes = sizes
        self._step_s = step_s
        self._requested = asyncio.Event()
        self._servers: tuple[Server, asyncio.Server] | tuple[()] = ()

    async def open(self) -> None:
        """Listen on free ports of loopback."""
        streams = await serve(self._send, "127.0.0.1", 0, compression=None, ping_interval=None)
        rest = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._servers = streams, rest
        ports = [next(iter(server.sockets)).getsockname()[1] for server in self._servers]
        self.urls = (f"ws://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()

    async def _send(self, client: ServerConnection) -> None:
        """Send one update, and all other messages after the snapshot, each in a separate frame."""
        self._write(client, [self._feed.diff()])
        await self._requested.wait()
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
            await asyncio.wait_for(client.wait_closed(), _CLOSE_TIMEOUT_S)

    def _write(self, client: ServerConnection, batch: list[tuple[bytes, bytes]]) -> None:
        """Write messages as frames, each with the time of its write."""
        for head, tail in batch:
            body = b"%b%d%b" % (head, now_us(), tail)
            size = len(body)
            length = bytes((size,)) if size < 126 else b"\x7e" + size.to_bytes(2)
            client.transport.write(b"\x81" + length + body)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one REST request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # a connection that was opened in advance
            writer.close()
            return
        depth = b"/api/v3/depth" in head
        body = self._feed.snapshot() if depth else self._feed.info()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        if depth:
            self._requested.set()


def _price(away: int) -> str:
    """Return the price *away* ticks from the middle, in the exchange's format."""
    ticks = _MID_TICKS + away
    return f"{ticks // 100}.{ticks % 100:02}000000"


def measure(turns: int, log: "Logger", messages: int = MESSAGES, symbols: int = SYMBOLS) -> Measured:
    """Measure it in *turns* fresh processes of each kind, with *messages* messages each; each output is logged."""
    many = run([*PYTHON, "benchmarks.symbols", str(symbols), *AT_ONCE]).output
    log.info("symbols_measured", **many)
    outputs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for turn in range(1, turns + 1):
        for kind, kind_outputs in outputs.items():
            kind_outputs.append(run([*PYTHON, "benchmarks.recorder", kind, str(messages)]).output)
            log.info(f"{kind}_measured", turn=turn, turns=turns, **kind_outputs[-1])
    ours, plain, burst, plain_burst, deep = outputs.values()
    rows = [
        Row("processor time per message", "us", _column(ours, "us"), "plain", _column(plain, "us"), at_most(AIM_US)),
        Row("most memory", "MB", _column(ours, "peak_mb"), "plain", _column(plain, "peak_mb"), at_most(150)),
        Row("messages lost", "", _column(ours, "lost"), aim=at_most(0)),
        Row(
            f"stamps, {BURST} in 10 ms, delay p99",
            "ms",
            _column(burst, "late_ms"),
            "plain",
            _column(plain_burst, "late_ms"),
            at_most(15),
        ),
        Row("a diff, book of 1,000 levels", "us", _column(deep, "thin_us"), aim=WITHIN),
        Row("a diff, book of 20,000 levels", "us", _column(deep, "deep_us"), aim=WITHIN),
        Row("20,000 levels / 1,000 levels", "", _column(deep, "ratio"), aim=at_most(1.5)),
        Row(f"memory, {symbols} symbols", "MB", [many["rss_mb"]], aim=at_most(300)),
    ]
    facts = {"messages": messages, "a second": RATE, "load": round(os.getloadavg()[0], 1)}
    return Measured(rows, facts, ["user and system time of the recorder's process, gzip and fsync included"])


async def record(kind: str, sizes: list[int], step_s: float, folder: Path) -> dict[str, Any]:
    """Serve a feed of *sizes* messages per step to a recorder; return its processor time and its report."""
    server = FeedServer(Feed(), sizes, step_s)
    await server.open()
    (folder / "tmp").mkdir()
    command = [*PYTHON, "benchmarks.plain_recorder", *server.urls, str(folder)]
    if kind != "plain":
        command = [*PYTHON, "mm.market_data.recorder", "--json", "--ws-url", server.urls[0]]
        command += ["--rest-url", server.urls[1], "--symbol", SYMBOL, "--data-root", str(folder / "data")]
        command += ["--window-start", "always", "--start-jitter-s", "0", "--log-level", "ERROR"]
        command += ["--depth-silence-s", "3600"]  # a feed that waits for a processor is not a stall
    env = {**os.environ, "TMPDIR": str(folder / "tmp")}
    before_s = _children_s()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=env)
    ends = [asyncio.create_task(task) for task in (server.sent.wait(), process.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    out, _ = await process.communicate()
    return {"used_s": _children_s() - before_s, "report": json.loads(out.splitlines()[-1])}


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _take(kind: str, sizes: list[int], step_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(record(kind, sizes, step_s, Path(name)))
        late_us = sorted(_late_us(Path(name)))
    report = found["report"]
    days = report.get("days", [{"diffs": report.get("depth", 0), "trades": report.get("trade", 0)}])
    received = sum(day["diffs"] + day["trades"] for day in days)
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    late_ms = late_us[len(late_us) * 99 // 100] / 1e3
    return {"used_s": found["used_s"], "peak_mb": peak_mb, "lost": sum(sizes) + 1 - received, "late_ms": late_ms}


def _late_us(root: Path) -> list[int]:
    """Return the delays of the diffs' timestamps after their send times, in µs."""
    late = []
    for path in root.rglob("*.ndjson.gz"):
        with gzip.open(path) as stream:
            late += [diff["recv_us"] - diff["E"] for diff in map(json.loads, stream)]
    return late


def _rated(kind: str, messages: int) -> dict[str, Any]:
    """Return the processor time of one message, from many less few messages, so that startup cancels out."""
    each = RATE // _STEPS_PER_S
    few = _take(kind, [each] * (_FEW // each), 1 / _STEPS_PER_S)
    many = _take(kind, [each] * (messages // each), 1 / _STEPS_PER_S)
    return {**many, "us": 1e6 * (many["used_s"] - few["used_s"]) / (messages - _FEW)}


def _burst(kind: str, bursts: int) -> dict[str, Any]:
    """Send bursts of 520 messages within 10 ms, a fifth of a second apart."""
    return _take(kind, _burst_sizes(bursts), _BURST_STEP_S)


def _burst_sizes(bursts: int) -> list[int]:
    return ([BURST // _BURST_STEPS] * _BURST_STEPS + [0] * _PAUSE_STEPS) * bursts


def _deep(diffs: int) -> dict[str, Any]:
    """Apply depth messages to thin and deep books in turn, without a socket."""
    used = {levels: _played(levels, diffs) for levels in (1_000, 20_000)}
    thin, deep = (1e6 * seconds / diffs for seconds in used.values())
    return {"thin_us": thin, "deep_us": deep, "ratio": deep / thin}


def _played(levels: int, diffs: int) -> float:
    from mm.clock import now_us
    from mm.dayfolder.day_writer import DayWriter
    from mm.dayfolder.layout import DayFolder
    from mm.market_data.live_session import LiveSession
    from mm.markets.messages import Answer

    feed = Feed(levels)
    raw = [b"%b%d%b" % (head, now_us(), tail) for head, tail in (feed.diff() for _ in range(diffs + 1))]
    with tempfile.TemporaryDirectory() as name, DayWriter(DayFolder(Path(name), SYMBOL, "20260105"), "bench") as writer:
        session = LiveSession(writer, now_us(), 20)
        session.message(now_us(), raw[0])
        url = f"http://x/api/v3/depth?symbol={SYMBOL}"
        session.snapshot_answered(Answer(recv_us=now_us(), url=url, body=feed.snapshot(), status=200, cause=None))
        began_s = time.process_time()
        for message in raw[1:]:
            session.message(now_us(), message)
        return time.process_time() - began_s


def _column(outputs: list[dict[str, Any]], name: str) -> list[float]:
    return [float(output[name]) for output in outputs]


def main(kind: str, messages: str) -> None:
    """Run one turn, and print its results."""
    count = int(messages)
    if kind == "deep":
        found = _deep(max(DIFFS * count // MESSAGES, 200))
    elif kind.endswith("burst"):
        found = _burst("plain" if kind == "plain_burst" else "ours", max(BURSTS * count // MESSAGES, 1))
    else:
        found = _rated(kind, count)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
