"""A box in lockstep and its users over real sockets: signed requests by WebSocket API and REST, and their messages."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from wired import PATIENCE_S, until

from exchange_rig import ed25519_base64, hmac_hex
from mm.sim.wire.box import Box

SYMBOL = "SIMUSDT"
EVENTS = ("executionReport", "outboundAccountPosition")


class User:
    """One user of the exchange, with the keys of the ready line."""

    def __init__(self, box: Box, rest: httpx.AsyncClient, number: int) -> None:
        account = box.ready()["accounts"][number]
        self.name, self.key, self.secret = account["name"], account["api_key"], account["secret"]
        self.pem = account["ed25519_private_key"]
        self.box = box
        self._rest = rest

    def stamped(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"timestamp": self.box.scheduler.done_us // 1_000} | given

    async def rest(self, verb: str, path: str, **given: Any) -> httpx.Response:
        """Return the answer to a signed request of REST."""
        query = urlencode(self.stamped({"symbol": SYMBOL} | given))
        target = f"/api/v3/{path}?{query}&signature={hmac_hex(self.secret, query)}"
        return await self._rest.request(verb, target, headers={"X-MBX-APIKEY": self.key})

    async def order(self, side: str = "BUY", price: str = "99", qty: str = "1", **options: Any) -> httpx.Response:
        """Return the answer to a LIMIT order by REST."""
        return await self.rest("POST", "order", **limit(side, price, qty, **options))

    @property
    def truth(self) -> dict[str, Any]:
        """The true state of the user."""
        return self.box.account(self.name)

    @property
    def executions(self) -> list[tuple[str, str]]:
        """Kind and client id of each of the user's executions, from the truth."""
        return [(one["x"], one["C"] or one["c"]) for one in self.truth["events"] if one["e"] == EVENTS[0]]


class Talk:
    """A connection of the WebSocket API whose messages are read as they arrive."""

    def __init__(self, user: User, connection: ClientConnection) -> None:
        self.user = user
        self.connection = connection
        self.got: list[dict[str, Any]] = []
        self.ended: ConnectionClosed | None = None
        self._ids = itertools.count(1)
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.got.append(json.loads(await self.connection.recv()))
        except ConnectionClosed as closed:
            self.ended = closed

    async def send(self, method: str, **given: Any) -> int:
        """Send a request, and return its id."""
        number = next(self._ids)
        await self.connection.send(json.dumps({"id": number, "method": method, "params": given}))
        return number

    def answer_to(self, number: int) -> dict[str, Any] | None:
        return next((one for one in self.got if one.get("id") == number), None)

    async def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Return the answer to a request."""
        number = await self.send(method, **given)
        await until(lambda: self.answer_to(number) or self.ended)
        return self.answer_to(number) or {}

    async def order(self, method: str, **given: Any) -> dict[str, Any]:
        """Return the answer to a request that relies on the log-on."""
        return await self.ask(method, **self.user.stamped({"symbol": SYMBOL} | given))

    async def send_signed(self, method: str, **given: Any) -> int:
        """Send a request that relies on the log-on, and return its id after the exchange has handled it."""
        number = await self.send(method, **self.user.stamped({"symbol": SYMBOL} | given))
        await self.ask("ping")
        return number

    async def log_on(self) -> dict[str, Any]:
        given = self.user.stamped({"apiKey": self.user.key})
        payload = "&".join(f"{name}={value}" for name, value in sorted(given.items()))
        return await self.ask("session.logon", **given, signature=ed25519_base64(self.user.pem, payload))

    async def caught_up(self) -> None:
        """Wait until everything that was sent so far has arrived."""
        await self.ask("ping")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [one["event"] for one in self.got if "event" in one]

    @property
    def executions(self) -> list[tuple[str, str]]:
        """Kind and client id of each execution, as received."""
        return [(one["x"], one["C"] or one["c"]) for one in self.events if one["e"] == EVENTS[0]]


class Floor:
    """A box, alice and bob, and their connections."""

    def __init__(self, box: Box, rest: httpx.AsyncClient) -> None:
        self.box = box
        self.control = rest
        self.alice, self.bob = (User(box, rest, number) for number in (0, 1))
        self.talks: list[Talk] = []

    async def talk(self, *, subscribed: bool = True) -> Talk:
        """Open a connection of alice's, log on, and subscribe."""
        options = {"proxy": None, "compression": None, "ping_interval": None}
        talk = Talk(self.alice, await connect(self.box.ready()["ws_api_url"], **options))
        self.talks.append(talk)
        assert (await talk.log_on()).get("status") == 200
        if subscribed:
            assert (await talk.ask("userDataStream.subscribe"))["status"] == 200
        return talk

    async def play(self, seconds: float) -> None:
        """Advance the time, and wait until everything that was sent has arrived."""
        await self.box.advance(seconds=seconds)
        for talk in self.talks:
            if not talk.ended:
                await talk.caught_up()


@asynccontextmanager
async def floor(script: str = "", *, scenario: str = "empty") -> AsyncIterator[Floor]:
    """Yield the users of a box with the faults of *script*."""
    async with (
        asyncio.timeout(3 * PATIENCE_S),
        Box.in_lockstep(scenario, seed=7, faults=[script]).open() as box,
        httpx.AsyncClient(base_url=box.rest_url, trust_env=False) as rest,
    ):
        venue = Floor(box, rest)
        try:
            yield venue
        finally:
            for talk in venue.talks:
                talk.connection.transport.abort()
                await talk.reading


def limit(side: str = "BUY", price: str = "99", qty: str = "1", **options: Any) -> dict[str, Any]:
    """Return the parameters of a LIMIT order."""
    return {"side": side, "type": "LIMIT", "timeInForce": "GTC", "price": price, "quantity": qty} | options
