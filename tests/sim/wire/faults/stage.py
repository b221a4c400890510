"""An exchange without a socket that applies a script to the messages of its clients."""

import json
from functools import cache
from itertools import pairwise
from random import Random

from mm.instrument import Instrument
from mm.sim.exchange.truth import MarketTruth
from mm.sim.matching.order_log import LIMIT, MARKET
from mm.sim.wire.faults.injector import FaultInjector
from mm.sim.wire.faults.script import as_rules
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.http_messages import Request, Response, json_response
from mm.sim.wire.stream_messages import server_shutdown
from mm.sim.wire.stream_requests import read_stream
from plain_matching import PlainMatching

GRID = Instrument("SIMUSDT", 1_000_000, 100_000)
START_US = 1_767_600_000_000_000
STREAMS = ("simusdt@depth@100ms", "simusdt@trade", "simusdt@aggTrade", "simusdt@bookTicker", "simusdt@depth5@100ms")


class Client:
    """A stream connection that keeps the messages sent to it, and the calls on it."""

    path = "/ws"
    combined = False
    micro = False

    def __init__(self, stage: "Stage", number: int, streams: tuple[str, ...]) -> None:
        self.id = number
        self.phase_ms = number * 37 % 100
        self.streams = streams
        self.frames: list[bytes] = []
        self.calls: list[object] = []
        self.stage = stage
        self.silent = False

    def is_slow(self, stream: str) -> bool:
        return False

    def deliver(self, message) -> None:
        if self.calls and self.calls[-1] in ("closed", "reset"):
            return
        for out in self.stage.injector.outgoing(self, message):
            self.write(out if isinstance(out, bytes) else out.frame(combined=False))

    def write(self, frame: bytes) -> None:
        if not self.silent:
            self.frames.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        self.calls += [(code, reason), "closed"]
        self.stage.leave(self)

    def abort(self) -> None:
        self.calls.append("reset")
        self.stage.leave(self)

    def shutdown_frame(self, us: int) -> bytes:
        return server_shutdown(us, micro=False).frame(combined=False)

    def stall(self, on: bool, streams=None, *, silent: bool = False) -> None:
        self.silent = on and silent
        self.calls.append(("stall", on))

    def pause_reading(self) -> None:
        self.calls.append("deaf")

    def events(self, name: str = "") -> list[dict]:
        """Return the received events, only those called *name* if it is given."""
        found = [json.loads(text) for frame in self.frames if (text := payload(frame))[:1] == b"{"]
        return [event for event in found if not name or event.get("e") == name]


class Stage:
    """A seeded market, its truth, its streams and its script."""

    def __init__(self, script: str = "", *, seed: int = 1) -> None:
        self.update_id = 0
        self.truth = MarketTruth(GRID)
        self.feed = StreamFeed(GRID, START_US)
        self.injector = FaultInjector(self.truth, START_US, seed=seed)
        self.injector.add(as_rules([script]))
        self.now_us = START_US
        self.clients: list[Client] = []
        self._ms = 0
        self._count = 0

    def connect(self, *streams: str) -> Client | Response:
        """Open a connection, or return the refusal."""
        refusal = self.injector.handshake()
        if refusal:
            return refusal
        self._count += 1
        client = Client(self, self._count, streams or STREAMS[:2])
        self.clients.append(client)
        self.injector.scope.open(client)
        if client in self.clients:
            for name in client.streams:
                self.feed.subscribe(client, read_stream(name))
        return client

    def leave(self, client: Client) -> None:
        if client not in self.clients:
            return
        for name in client.streams:
            self.feed.unsubscribe(client, read_stream(name))
        self.clients.remove(client)
        self.injector.scope.close(client)

    def play(self, ms: int = 1_000, *, chunk_ms: int = 20) -> None:
        """Run the market for *ms*, and deliver rows every *chunk_ms*."""
        for _ in range(ms // chunk_ms):
            rows = [row for one in market()[self._ms : self._ms + chunk_ms] for row in one]
            self._ms += chunk_ms
            self.now_us += chunk_ms * 1_000
            self.update_id = max((row[9] for row in rows), default=self.update_id)
            self.truth.listen(rows)
            for part in self.injector.parts(rows):
                self.feed.take(part)
            self.feed.advance(self.now_us)
            self.injector.advanced(self.now_us)

    def ask(self, path: str = "/api/v3/depth", **params: str) -> Response:
        """Return the answer to a request."""
        bids, asks = self.truth.book(self.truth.last_update_id)
        content = {
            "/api/v3/depth": {"lastUpdateId": self.update_id, "bids": bids, "asks": asks},
            "/api/v3/time": {"serverTime": self.now_us // 1_000},
            "/api/v3/exchangeInfo": {
                "symbols": [
                    {
                        "symbol": "SIMUSDT",
                        "status": "TRADING",
                        "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.01000000"}],
                    }
                ]
            },
        }[path]
        self.injector.requested(path)
        return self.injector.response(Request("GET", path, params), json_response(200, content))


@cache
def market() -> list[list[tuple[int, ...]]]:
    """Return the rows of each of 2,500 ms of one market: one order per ms, one of seven a market order."""
    matching, draw, rows = PlainMatching(), Random(1), []
    for us in range(START_US + 1_000, START_US + 2_501_000, 1_000):
        side = draw.choice((1, -1))
        if draw.random() < 0.15:
            matching.submit(us, 1_000, side, 0, draw.randint(1, 20), MARKET)
        else:
            matching.submit(us, 1_000, side, 10_000 - side * draw.randint(-1, 30), draw.randint(1, 9), LIMIT)
        rows.append(matching.take_log())
    return rows


def payload(frame: bytes) -> bytes:
    """Return the payload of a frame of a server."""
    size, begin = frame[1], 2
    if size == 126:
        begin = 4
    elif size == 127:
        begin = 10
    return frame[begin:]


def depth(client) -> list[dict]:
    return client.events("depthUpdate")


def gaps(events: list[dict]) -> list[tuple[int, int]]:
    """Return the ids that are missing between depth events: first and last of each gap."""
    return [(before["u"] + 1, after["U"] - 1) for before, after in pairwise(events) if after["U"] > before["u"] + 1]


def staged(script: str, ms: int = 1_500, clients: int = 2, **options) -> Stage:
    stage = Stage(script, **options)
    for _ in range(clients):
        stage.connect()
    stage.play(ms)
    return stage
