"""The connection of the WebSocket API: log-on, requests, timeouts, and what ends it; the other side is played."""

import asyncio
import json
from functools import partial
from typing import Any

import msgspec
import pytest
from schedule_world import VirtualLoop

from mm.errors import UsageError
from mm.live.api_messages import ApiAnswer, Fate
from mm.live.api_requests import ExchangeClock, Signer
from mm.live.keys import Credentials
from mm.live.order_limits import OrderLimits
from mm.live.ws_api import WsApi

NOW_US = 1_700_000_000_000_000


class PlayedLink:
    """A connection whose other side answers by a table: a method's result, an error, or nothing."""

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
    """A connection that is played, and its watcher."""

    def __init__(self, kind: str = "HMAC") -> None:
        self.refuses = False
        self.answers: dict[str, Any] = {
            "time": {"status": 200, "result": {"serverTime": NOW_US // 1_000 + 7_000}},
            "session.logon": {"status": 200, "result": {}},
            "userDataStream.subscribe": {"status": 200, "result": {"subscriptionId": 0}},
            "userDataStream.subscribe.signature": {"status": 200, "result": {"subscriptionId": 0}},
        }
        self.links: list[PlayedLink] = []
        self.seen: list[Any] = []
        self.clock = ExchangeClock(self.now_us)
        key = Credentials("k", secret="s")
        if kind == "ED25519":
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            key = Credentials("k", private=Ed25519PrivateKey.generate())
        self.limits = OrderLimits(None, self.seconds)
        self.api = WsApi("ws://x/ws-api/v3", Signer(key, self.clock, 1_000), self.limits, self, self._connect)

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()

    def now_us(self) -> int:
        return NOW_US + int(self.seconds() * 1e6)

    def _connect(self, url: str, take: Any) -> PlayedLink:
        assert url == "ws://x/ws-api/v3?timeUnit=MICROSECOND"
        self.links.append(PlayedLink(self, take))
        return self.links[-1]

    def connected(self) -> None:
        self.seen.append("connected")

    def disconnected(self, why: str) -> None:
        self.seen.append(why)

    def event(self, kind: str, body: bytes, us: int) -> None:
        self.seen.append((kind, json.loads(body)))

    def methods(self) -> list[str]:
        return [request["method"] for request in self.links[-1].sent]


def played(story: Any, kind: str = "HMAC") -> Play:
    """Run *story* with a connection that is kept up; time is virtual."""

    async def main() -> Play:
        play = Play(kind)
        task = asyncio.create_task(play.api.run())
        await asyncio.sleep(0.1)
        await story(play)
        play.api.close()
        await asyncio.wait_for(task, 30)
        return play

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("kind", ["ED25519", "HMAC"])
def test_a_session_is_logged_on_or_each_request_is_signed(kind: str) -> None:
    """By the kind of the key; the clock is measured first."""

    async def story(play: Play) -> None:
        play.api.request("order.place", {"symbol": "S"}, play.seen.append)
        last = play.links[-1].sent[-1]["params"]
        assert ("signature" in last) == (kind == "HMAC")
        assert abs(last["timestamp"] - (play.now_us() // 1_000 + 7_000)) <= 10

    play = played(story, kind)
    logon = (
        ["session.logon", "userDataStream.subscribe"] if kind == "ED25519" else ["userDataStream.subscribe.signature"]
    )
    assert play.methods() == ["time", *logon, "order.place"]
    assert play.seen[0] == "connected"


def test_an_answer_finds_its_request() -> None:
    """In any order; one without a waiting request has no effect."""

    async def story(play: Play) -> None:
        got: list[tuple[str, ApiAnswer]] = []
        for name in ("a", "b"):
            play.api.request("order.cancel", {"symbol": name}, lambda answer, name=name: got.append((name, answer)))
        link = play.links[-1]
        first, second = (request["id"] for request in link.sent[-2:])
        link.push({"id": second, "status": 200, "result": {"x": 2}})
        link.push({"id": 999, "status": 200, "result": {}})
        link.push({"id": first, "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}})
        assert [(name, answer.fate, answer.code) for name, answer in got] == [
            ("b", Fate.DONE, 0),
            ("a", Fate.REFUSED, -2011),
        ]

    played(story)


def test_no_answer_in_time_leaves_it_unknown_and_a_silent_connection_is_given_up() -> None:
    """Half open: what was sent may have been done."""

    async def story(play: Play) -> None:
        got: list[ApiAnswer] = []
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(2.1)
        assert [answer.fate for answer in got] == [Fate.UNKNOWN]
        await asyncio.sleep(3)
        assert len(play.links) == 2
        assert play.api.up

    assert "no answer within 2 s" in played(story).seen


def test_a_connection_that_answers_others_is_kept() -> None:
    """Only the one request is UNKNOWN."""

    async def story(play: Play) -> None:
        got: list[ApiAnswer] = []
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(1)
        play.api.request("time", {}, lambda _: None)
        await asyncio.sleep(1.5)
        assert [answer.fate for answer in got] == [Fate.UNKNOWN]
        assert len(play.links) == 1

    played(story)


def test_each_request_is_given_up_when_its_own_answer_is_due() -> None:
    """One timer serves all: requests sent meanwhile, answered ones, and one whose taker fails or sends another."""

    async def story(play: Play) -> None:
        got: list[tuple[int, int]] = []
        begun_s = play.seconds()

        def note(number: int, answer: ApiAnswer) -> None:
            got.append((number, round(1_000 * (play.seconds() - begun_s))))
            if number == 2:
                play.api.request("order.place", {}, partial(note, 9))
            if number == 3:
                raise ValueError("a taker that fails")

        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failed.append(about["exception"]))
        for number in range(5):
            play.api.request("order.place", {}, partial(note, number))
            await asyncio.sleep(0.3)
            play.api.request("time", {}, lambda _: None)
        await asyncio.sleep(6)
        assert got == [(0, 2_000), (1, 2_300), (2, 2_600), (3, 2_900), (4, 3_200), (9, 4_600)]
        assert [type(error) for error in failed] == [ValueError]

    played(story)


def test_what_waits_when_the_connection_ends_is_unknown_and_what_comes_then_is_unsent() -> None:
    """Two different things: the one may have been done."""

    async def story(play: Play) -> None:
        got: list[ApiAnswer] = []
        play.api.request("order.place", {}, got.append)
        play.refuses = True
        play.links[-1].abort()
        await asyncio.sleep(0.01)
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(0.01)
        assert [answer.fate for answer in got] == [Fate.UNKNOWN, Fate.UNSENT]

    played(story)


def test_a_key_that_is_not_accepted_ends_it() -> None:
    """One line with the way out, and no further attempts."""

    async def main() -> None:
        play = Play()
        play.answers["userDataStream.subscribe.signature"] = {
            "status": 401,
            "error": {"code": -2015, "msg": "Invalid."},
        }
        await asyncio.wait_for(play.api.run(), 30)
        assert isinstance(play.api.failure, UsageError)
        assert "BINANCE_API_KEY" in str(play.api.failure)
        assert len(play.links) == 1

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 400, "error": {"code": -1102, "msg": "Mandatory parameter 'apiKey' was not sent."}},
        {"status": 401, "error": {"code": -1002, "msg": "You are not authorized."}},
    ],
)
def test_an_expired_log_on_is_made_again(answer: dict[str, Any]) -> None:
    """The request was refused, so it was not done."""

    async def story(play: Play) -> None:
        got: list[ApiAnswer] = []
        play.answers["order.place"] = answer
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(3)
        assert [one.fate for one in got] == [Fate.REFUSED]
        assert len(play.links) == 2
        assert play.api.up

    error = answer["error"]
    assert f"the log-on has expired: {error['code']} {error['msg']}" in played(story, "ED25519").seen


@pytest.mark.parametrize("event", ["eventStreamTerminated", "serverShutdown"])
def test_the_end_of_the_stream_or_of_the_server_is_a_new_connection(event: str) -> None:
    """And the event itself is not passed on."""

    async def story(play: Play) -> None:
        play.links[-1].push({"event": {"e": event, "E": 1}})
        await asyncio.sleep(3)
        assert len(play.links) == 2
        assert play.api.up

    seen = played(story).seen
    assert not [one for one in seen if isinstance(one, tuple)]
    assert seen[0] == seen[2] == "connected"
    assert "the exchange" in seen[1]


def test_user_events_are_handed_on_and_nonsense_is_not() -> None:
    """What cannot be read is left to the reconcile."""

    async def story(play: Play) -> None:
        link = play.links[-1]
        link._take(b"{nonsense", 1)
        link._take(b"\xff\xfe", 1)
        link.push({"subscriptionId": 0, "event": {"e": "executionReport", "s": "S"}})
        assert play.seen[-1] == ("executionReport", {"e": "executionReport", "s": "S"})

    played(story)


def test_nothing_is_sent_while_the_exchange_demands_silence() -> None:
    """429 with an instant after which to come back."""

    async def story(play: Play) -> None:
        data = {"serverTime": NOW_US, "retryAfter": NOW_US + 5_000_000}
        play.answers["order.place"] = {"status": 429, "error": {"code": -1003, "msg": "Too many.", "data": data}}
        got: list[ApiAnswer] = []
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(0.5)
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(0.5)
        assert [answer.fate for answer in got] == [Fate.REFUSED, Fate.UNSENT]
        await asyncio.sleep(5)
        play.answers["order.place"] = {"status": 200, "result": {}}
        play.api.request("order.place", {}, got.append)
        await asyncio.sleep(0.5)
        assert got[-1].fate is Fate.DONE

    played(story)


def test_an_idle_connection_is_asked_for_the_time() -> None:
    """Every five seconds without a message: it is alive, and the clock is measured."""

    async def story(play: Play) -> None:
        await asyncio.sleep(11)
        assert play.methods().count("time") == 3

    played(story)
