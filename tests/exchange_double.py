"""An exchange for tests of the wire: a plain matching engine controlled by the test, and a server in front of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mm.instrument import Instrument
from mm.sim.matching.order_log import LIMIT
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.http_messages import Request, Response, json_response
from mm.sim.wire.limits import WireLimits
from mm.sim.wire.server import Routes, Server
from plain_matching import PlainMatching

SYMBOL = "SIMUSDT"
INSTRUMENT = Instrument(SYMBOL, 1_000_000, 100_000)  # ticks of 0.01, lots of 0.001
START_US = 1_767_600_000_000_000


class Wall:
    """A wall clock that is set manually, in s."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Echo:
    """A session of the WebSocket API that echoes its input."""

    def __init__(self, send: Callable[[object], None], request: Request) -> None:
        self.send = send
        self.request = request
        self.received: list[str] = []
        self.closed = False

    def handle(self, text: str) -> None:
        self.received.append(text)
        self.send({"heard": text, "params": dict(self.request.params)})

    def close(self) -> None:
        self.closed = True


class Box:
    """A server whose market is controlled by the test, at the given instants.

    Args:
        limits: Limits of connections.
        rest: Answers HTTP requests; by default they are echoed.
    """

    def __init__(self, limits: WireLimits | None = None, rest: Callable[[Request], Response] | None = None) -> None:
        self.matching = PlainMatching()
        self.feed = StreamFeed(INSTRUMENT, START_US)
        self.now_us = START_US
        self.rows: list[tuple[int, ...]] = []
        self.sessions: list[Echo] = []
        self.wall = Wall()
        routes = Routes(rest or echo_request, self._open, echo_request)
        self.server = Server(self.feed, routes, limits or WireLimits(), self.wall)
        self.port = 0

    @property
    def base(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def submit(self, side: int, ticks: int, lots: int, kind: int = LIMIT) -> int:
        """Submit an order at the current instant."""
        order_id = self.matching.submit(self.now_us, 1_000, side, ticks, lots, kind)
        self._drain()
        return order_id

    def cancel(self, order_id: int) -> None:
        self.matching.cancel(self.now_us, order_id)
        self._drain()

    def pass_ms(self, ms: float) -> None:
        """Advance the time, and send what is due."""
        self.now_us += round(ms * 1_000)
        self.server.passed(self.now_us)

    def _drain(self) -> None:
        rows = self.matching.take_log()
        self.rows += rows
        self.feed.take(rows)

    def _open(self, send: Callable[[object], None], request: Request) -> Echo:
        self.sessions.append(Echo(send, request))
        return self.sessions[-1]


def echo_request(request: Request) -> Response:
    """Answer the request."""
    content = {"method": request.method, "path": request.path, "query": request.query, "params": dict(request.params)}
    return json_response(200, {**content, "body": request.body.decode(), "remote": request.remote})


@asynccontextmanager
async def open_box(
    limits: WireLimits | None = None, rest: Callable[[Request], Response] | None = None
) -> AsyncIterator[Box]:
    """Yield a box whose server listens on loopback."""
    box = Box(limits, rest)
    box.port = await box.server.start("127.0.0.1", 0)
    try:
        yield box
    finally:
        await box.server.stop()


def run(scenario: Callable[[], object]) -> None:
    """Run a test's coroutine function to its end within a time limit; no background failure is allowed."""
    failures: list[object] = []

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with asyncio.timeout(120):
            await scenario()

    asyncio.run(bounded())
    assert not failures


async def until(condition: Callable[[], object]) -> None:
    """Run the event loop until *condition* holds."""
    while not condition():
        await asyncio.sleep(0)


async def receive(client) -> dict:
    """Return the next message of a client, parsed as JSON."""
    return json.loads(await client.recv())
