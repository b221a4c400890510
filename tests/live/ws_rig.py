"""A connection of the WebSocket API whose server answers from a table, in virtual time."""

import asyncio
import json
from typing import Any

import msgspec

from mm.live.venues.binance import Signer
from mm.live.venues.binance_spot import LOG_ON
from mm.live.venues.keys import Credentials
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ExchangeClock
from mm.live.venues.ws_api import WsApi
from virtual_loop import VirtualLoop

NOW_US = 1_700_000_000_000_000


class PlayedLink:
    """A connection whose server answers from a table: a method's result, an error, or nothing."""

    def __init__(self, play: "Play", take: Any) -> None:
        self.changed = asyncio.Event()
        self.play = play
        self._take = take
        self.sent: list[dict[str, Any]] = []

    async def open(self) -> None:
        if self.play.refuses:
            raise OSError("refused")

    def send(self, text: bytes) -> None:
        request = json.loads(text)
        self.sent.append(request)
        answer = self.play.answers.get(request["method"])
        if answer is not None:
            asyncio.get_running_loop().call_later(0.01, self.push, {"id": request["id"], **answer})

    def push(self, content: dict[str, Any]) -> None:
        if not self.changed.is_set():
            self._take(msgspec.json.encode(content), self.play.now_us())

    def close(self, reason: str = "") -> None:
        self.abort()

    def abort(self) -> None:
        self.changed.set()

    def ending(self) -> tuple[int | None, str]:
        return 1006, "gone"


class Play:
    """A fake connection, and its observer."""

    def __init__(self, kind: str = "HMAC") -> None:
        self.refuses = False
        self.answers: dict[str, Any] = {
            "time": {"status": 200, "result": {"serverTime": NOW_US // 1_000 + 7_000}},
            "session.logon": {"status": 200, "result": {}},
            "userDataStream.subscribe": {"status": 200, "result": {"subscriptionId": 0}},
            "userDataStream.subscribe.signature": {"status": 200, "result": {"subscriptionId": 0}},
        }
        self.links: list[PlayedLink] = []
        self.events: list[Any] = []
        self.clock = ExchangeClock(self.now_us)
        key = Credentials("k", secret="s")
        if kind == "ED25519":
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            key = Credentials("k", private=Ed25519PrivateKey.generate())
        self.limits = OrderLimits(None, self.seconds)
        self.api = WsApi("ws://x/ws-api/v3", Signer(key, self.clock, 1_000), self.limits, self, LOG_ON, self._connect)

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        return NOW_US + int(self.seconds() * 1e6)

    def _connect(self, url: str, take: Any) -> PlayedLink:
        assert url == "ws://x/ws-api/v3?timeUnit=MICROSECOND"
        self.links.append(PlayedLink(self, take))
        return self.links[-1]

    def connected(self) -> None:
        self.events.append("connected")

    def disconnected(self, why: str) -> None:
        self.events.append(why)

    def event(self, kind: str, body: bytes, us: int) -> None:
        self.events.append((kind, json.loads(body)))

    def methods(self) -> list[str]:
        return [request["method"] for request in self.links[-1].sent]


def played(scenario: Any, kind: str = "HMAC") -> Play:
    """Run *scenario* with a connection that is kept up; time is virtual."""

    async def main() -> Play:
        play = Play(kind)
        task = asyncio.create_task(play.api.run())
        await asyncio.sleep(0.1)
        await scenario(play)
        play.api.close()
        await asyncio.wait_for(task, 30)
        return play

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
