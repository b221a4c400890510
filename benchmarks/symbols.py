"""A recorder of many symbols: time until the last book is synchronised, memory and processor time.

``python -m benchmarks.symbols 50`` serves 50 symbols on loopback, with ten depth messages and some trades per second
each and snapshots of 5,000 levels per side. It counts request weight like the exchange: 6,000 per minute, and status
429 beyond, so that the last book comes in the third minute; with ``--snapshot-limit 1000`` the same snapshots weigh a
fifth. The recorder is `mm record`, as started by a user. The exit code is 1 if a day has a gap or a defect, or if the
exchange rejected a request.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve

from mm.clock import now_us
from mm.dayfolder.check import check_day
from mm.dayfolder.layout import DayFolder, days_of
from mm.market_data.health import read_health

LEVELS, MESSAGES_PER_S, CHANGES = 5_000, 10, 20
MAX_WEIGHT, WINDOW_S = 6_000, 60.0
MID = 10_000_000  # ticks of 0.01
STAY_S = 20.0
POLL_S = 0.25
AT_ONCE = ("--snapshot-limit", "1000", "--log-level", "ERROR")
"""Flags with which the last book does not wait for the weight limit, and nothing but the result is printed."""
_FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001000"},
]


class Symbol:
    """The market of one symbol: a deep book around a constant mid, and its ids.

    Args:
        name: Symbol in upper case.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._draw = random.Random(name)
        self._lots = {side: [self._qty() for _ in range(2 * LEVELS)] for side in (1, -1)}
        self._last_id, self._trades = 1_000, 0
        self.clients: set[ServerConnection] = set()

    async def play(self) -> None:
        """Send its messages to every client, without end."""
        due_s = time.monotonic()
        while True:
            for text in self._messages():
                broadcast(self.clients, text)
            due_s += 1 / MESSAGES_PER_S
            await asyncio.sleep(max(due_s - time.monotonic(), 0))

    def _qty(self) -> str:
        return f"{self._draw.randrange(1, 10**6) / 1e5:.8f}"

    def _messages(self) -> list[str]:
        """Return the next messages of its streams."""
        changed: dict[int, dict[int, str]] = {1: {}, -1: {}}
        first_id = self._last_id + 1
        for _ in range(CHANGES):
            side = self._draw.choice((1, -1))
            away = min(int(self._draw.expovariate(0.02)), 2 * LEVELS - 1)
            self._lots[side][away] = changed[side][away] = self._qty()
            self._last_id += 1
        ids = {"e": "depthUpdate", "E": now_us(), "s": self.name, "U": first_id, "u": self._last_id}
        levels = {"b": _levels(1, changed[1].items()), "a": _levels(-1, changed[-1].items())}
        made = [self._wrapped("depth@100ms", ids | levels)]
        if self._draw.random() < 0.3:
            self._trades += 1
            us, buys = now_us(), self._draw.random() < 0.5
            trade = {"e": "trade", "E": us, "s": self.name, "t": self._trades, "p": _price(-1 if buys else 1, 0)}
            made.append(self._wrapped("trade", trade | {"q": "0.00100000", "T": us, "m": not buys, "M": True}))
        return made

    def _wrapped(self, stream: str, data: dict[str, Any]) -> str:
        return json.dumps({"stream": f"{self.name.lower()}@{stream}", "data": data}, separators=(",", ":"))

    def snapshot(self) -> dict[str, Any]:
        """Return the response to a request for its depth, of any limit."""
        bids, asks = (_levels(side, list(enumerate(self._lots[side]))[:LEVELS]) for side in (1, -1))
        return {"lastUpdateId": self._last_id, "bids": bids, "asks": asks}


def _levels(side: int, found: Any) -> list[tuple[str, str]]:
    return [(_price(side, away), qty) for away, qty in found]


def _price(side: int, away: int) -> str:
    ticks = MID - away if side > 0 else MID + 1 + away
    return f"{ticks // 100}.{ticks % 100:02}000000"


class ManySymbols:
    """An exchange on loopback that lists every requested symbol.

    Args:
        unknown: Symbols that it does not list.

    Attributes:
        refused: Number of requests beyond the weight limit of a minute.
    """

    def __init__(self, *unknown: str) -> None:
        self.refused = 0
        self._unknown = unknown
        self._symbols: dict[str, Symbol] = {}
        self._playing: list[asyncio.Task[None]] = []
        self._minute = self._used = 0

    async def serve(self, ready: "asyncio.Future[tuple[int, int]]") -> None:
        """Serve until cancelled; *ready* receives the ports of the streams and of REST."""
        streams = serve(self._stream, "127.0.0.1", 0, compression=None)
        async with streams as ws, await asyncio.start_server(self._request, "127.0.0.1", 0) as rest:
            ws_port, rest_port = (next(iter(server.sockets)).getsockname()[1] for server in (ws, rest))
            ready.set_result((ws_port, rest_port))
            try:
                await asyncio.Event().wait()
            finally:
                for playing in self._playing:
                    playing.cancel()

    def _symbol(self, name: str) -> Symbol:
        if name.upper() not in self._symbols:
            symbol = self._symbols[name.upper()] = Symbol(name.upper())
            self._playing.append(asyncio.create_task(symbol.play()))
        return self._symbols[name.upper()]

    async def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        symbol = self._symbol(parse_qs(urlsplit(connection.request.path).query)["streams"][0].partition("@")[0])
        symbol.clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            symbol.clients.discard(connection)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                target = urlsplit((await reader.readuntil(b"\r\n\r\n")).decode().split()[1])
                query = {name: values[0] for name, values in parse_qs(target.query).items()}
                status, body = self._answer(target.path, query)
                text = json.dumps(body).encode()
                head = [
                    f"HTTP/1.1 {status} X",
                    f"Content-Length: {len(text)}",
                    f"X-MBX-USED-WEIGHT-1M: {self._used_weight()}",
                ]
                writer.write("\r\n".join([*head, "", ""]).encode() + text)
                await writer.drain()
        writer.close()

    def _used_weight(self) -> int:
        """Return the used weight of the current minute, as the exchange counts it."""
        minute = int(time.time() // WINDOW_S)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        return self._used

    def _answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        kind = path.rpartition("/")[2]
        limit = int(query.get("limit", 100))
        weight = {"exchangeInfo": 20, "depth": 250 if limit > 1000 else 50, "time": 1}.get(kind, 25)
        if self._used_weight() + weight > MAX_WEIGHT:
            self.refused += 1
            return 429, {"code": -1003, "msg": "Too much request weight used"}
        self._used += weight
        if kind == "time":
            return 200, {"serverTime": now_us() // 1000}
        if query.get("symbol") in self._unknown:
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        if kind == "exchangeInfo":
            entry = {"symbol": query["symbol"], "status": "TRADING", "baseAsset": "B", "quoteAsset": "Q"}
            return 200, {"timezone": "UTC", "symbols": [entry | {"filters": _FILTERS}]}
        if kind == "depth":
            return 200, self._symbol(query["symbol"]).snapshot()
        return 200, []


async def measured(count: int, *flags: str) -> dict[str, Any]:
    """Record *count* symbols until each has a book and `STAY_S` longer; *flags* are passed to ``mm record``."""
    exchange, ready = ManySymbols(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(exchange.serve(ready))
    ws_port, rest_port = await ready
    symbols = [f"S{number:03}USDT" for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="mm-symbols-") as folder:
        root = Path(folder)
        command = [sys.executable, "-m", "mm", "record", "--symbol", ",".join(symbols), "--window-start", "always"]
        command += ["--ws-url", f"ws://127.0.0.1:{ws_port}", "--rest-url", f"http://127.0.0.1:{rest_port}"]
        command += ["--data-root", str(root / "data"), "--min-free-mb", "0", "--json", "--log-level", "WARNING", *flags]
        # Request budgets are in TMPDIR: they are not shared with other recorders.
        environment = {**os.environ, "TMPDIR": folder}
        began_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
        unsynced = set(symbols)
        while unsynced and process.returncode is None:
            await asyncio.sleep(POLL_S)
            unsynced -= {one for one in unsynced if getattr(read_health(root / "data", one), "state", "") == "synced"}
        last_s = time.monotonic() - began_s
        if process.returncode is not None:
            raise SystemExit(f"mm record ended with {process.returncode} before all books were there; see above")
        await asyncio.sleep(STAY_S)
        found = _processes(process.pid)
        process.send_signal(signal.SIGTERM)
        stdout, _ = await process.communicate()
        serving.cancel()
        await asyncio.wait({serving})
        answer = json.loads(stdout)
        days = [DayFolder(root / "data", symbol, day) for symbol in symbols for day in days_of(root / "data", symbol)]
        checked = [(day, check_day(day)) for day in days]
    ended = answer.get("symbols") or {answer["symbol"]: answer}
    return {
        "symbols": count,
        "last_book_s": round(last_s, 1),
        "processes": len(found),
        "rss_mb": round(sum(rss for rss, _, _ in found) / 1e3, 1),
        "pss_mb": round(sum(pss for _, pss, _ in found) / 1e3, 1),
        "cores": round(sum(cpu_s for _, _, cpu_s in found) / (last_s + STAY_S), 3),
        "refused": exchange.refused,
        "gaps": sum(day["gaps"] for one in ended.values() for day in one["days"]),
        "defects": [f"{day.symbol}: {one}" for day, report in checked for one in report.defects],
        "exit": process.returncode,
    }


def _processes(root: int) -> list[tuple[int, int, float]]:
    """Return memory (resident, and its proportional share, kB) and processor time (s) of a process and its children."""
    found, pids = [], [root]
    while pids:
        pid = pids.pop()
        proc_folder = Path("/proc", str(pid))
        children = (task / "children" for task in (proc_folder / "task").iterdir())
        pids += [int(child) for listed in children for child in listed.read_text().split()]
        rollup = dict(line.split(":", 1) for line in (proc_folder / "smaps_rollup").read_text().splitlines()[1:])
        stat = (proc_folder / "stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        found.append((int(rollup["Rss"].split()[0]), int(rollup["Pss"].split()[0]), ticks / os.sysconf("SC_CLK_TCK")))
    return found


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.symbols", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=50)
    settings, flags = parser.parse_known_args()
    found = asyncio.run(measured(settings.count, *flags))
    print(json.dumps(found))
    raise SystemExit(bool(found["refused"] or found["gaps"] or found["defects"] or found["exit"]))


if __name__ == "__main__":
    main()
