"""A box in lockstep, and clients of an independent library that keep the messages sent to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mm.sim.wire.box import Box

STREAMS = "simusdt@depth@100ms/simusdt@trade"
PATIENCE_S = 60.0
Case = Callable[[], Awaitable[None]]


class Watcher:
    """A connection whose messages are read as they arrive, until it ends."""

    def __init__(self, box: Box, connection: ClientConnection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.got: list[str | bytes] = []
        self.ended: ConnectionClosed | None = None
        self._box = box
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.got.append(await self.connection.recv())
        except ConnectionClosed as closed:
            self.ended = closed

    @property
    def events(self) -> list[dict[str, Any]]:
        """Parsed events; messages that are not JSON text count as empty events."""
        found = []
        for one in self.got:
            try:
                found.append(json.loads(one) if isinstance(one, str) else {})
            except ValueError:
                found.append({})
        return found

    @property
    def depth(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("e") == "depthUpdate"]

    @property
    def trades(self) -> list[int]:
        return [event["t"] for event in self.events if event.get("e") == "trade"]

    @property
    def log(self) -> Any:
        return self._box.injector.scope.logs[self.number]

    async def caught_up(self) -> None:
        """Wait until everything that was sent has arrived."""
        await until(lambda: len(self.got) >= sum(self.log.counts.values()) or self.ended)

    async def close(self) -> None:
        self.connection.transport.abort()
        await self._reading


async def until(condition: Callable[[], object]) -> None:
    """Run the event loop until *condition* holds, within a time limit."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


class Wire:
    """A box, its clients, and its REST client."""

    def __init__(self, box: Box, rest: httpx.AsyncClient) -> None:
        self.box = box
        self.rest = rest
        self.clients: list[Watcher] = []

    async def connect(self, streams: str = STREAMS, **options: Any) -> Watcher:
        connection = await connect(
            f"{self.box.ws_url}/ws/{streams}",
            proxy=None,
            compression=None,
            ping_interval=None,
            max_queue=None,
            **options,
        )
        self.clients.append(Watcher(self.box, connection, self.box.server.opened))
        return self.clients[-1]

    async def play(self, seconds: float = 2.0) -> None:
        """Advance the time, and wait until everything that was sent has arrived."""
        await self.box.advance(seconds=seconds)
        for client in self.clients:
            await client.caught_up()

    async def depth(self, **params: Any) -> dict[str, Any]:
        return (await self.rest.get("/api/v3/depth", params={"symbol": "SIMUSDT", "limit": 5000, **params})).json()

    async def info(self) -> dict[str, Any]:
        return (await self.rest.get("/api/v3/exchangeInfo")).json()["symbols"][0]


@asynccontextmanager
async def wired(script: str = "", *, clients: int = 1, scenario: str = "large_tick") -> AsyncIterator[Wire]:
    """Yield a box with the faults of *script* and the given number of clients."""
    async with (
        asyncio.timeout(3 * PATIENCE_S),
        Box.in_lockstep(scenario, seed=7, faults=[script]).open() as box,
        httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
    ):
        wire = Wire(box, rest)
        try:
            for _ in range(clients):
                await wire.connect()
            yield wire
        finally:
            for client in wire.clients:
                await client.close()


def falls(events: list[dict[str, Any]]) -> list[int]:
    """Return the indexes of depth events that end before the previous one."""
    return [at for at, (before, after) in enumerate(pairwise(events), 1) if after["u"] < before["u"]]


def book_by(events: list[dict[str, Any]], snapshot: dict[str, Any]) -> tuple[list[tuple[str, str]], ...]:
    """Return the book of a snapshot and depth events, by a dict of texts."""
    sides = []
    for side, name, sign in (("bids", "b", -1), ("asks", "a", 1)):
        book = dict(map(tuple, snapshot[side]))
        for event in events:
            if event["u"] > snapshot["lastUpdateId"]:
                book |= dict(map(tuple, event[name]))
        sides.append(sorted(((p, q) for p, q in book.items() if float(q)), key=lambda one: sign * float(one[0])))
    return tuple(sides)


def run_case(case: Case) -> None:
    """Run a case to its end."""
    asyncio.run(case())
