"""The connection of the WebSocket API with a fake server: log-on, requests, timeouts, disconnection."""

import asyncio
from functools import partial
from typing import Any

import pytest
from ws_rig import NOW_US, Play, played

from mm.errors import UsageError
from mm.live.venues import ws_api
from mm.live.venues.binance_spot import CANCEL, PLACE, TIME
from mm.live.venues.requests import ApiAnswer, Outcome
from mm.live.venues.ws_api import MOST_EXPIRIES
from virtual_loop import VirtualLoop


@pytest.mark.parametrize("kind", ["ED25519", "HMAC"])
def test_ed25519_logs_on_and_hmac_signs_each_request(kind: str) -> None:
    """The clock is measured first."""

    async def scenario(play: Play) -> None:
        play.api.request(PLACE, {"symbol": "S"}, play.events.append)
        last = play.links[-1].sent[-1]["params"]
        assert ("signature" in last) == (kind == "HMAC")
        assert abs(last["timestamp"] - (play.now_us() // 1_000 + 7_000)) <= 10

    play = played(scenario, kind)
    logon = (
        ["session.logon", "userDataStream.subscribe"] if kind == "ED25519" else ["userDataStream.subscribe.signature"]
    )
    assert play.methods() == ["time", *logon, "order.place"]
    assert play.events[0] == "connected"


def test_answers_are_matched_to_requests_by_id() -> None:
    """In any order; an answer without a pending request has no effect."""

    async def scenario(play: Play) -> None:
        received: list[tuple[str, ApiAnswer]] = []
        for name in ("a", "b"):
            play.api.request(CANCEL, {"symbol": name}, lambda answer, name=name: received.append((name, answer)))
        link = play.links[-1]
        first, second = (request["id"] for request in link.sent[-2:])
        link.push({"id": second, "status": 200, "result": {"x": 2}})
        link.push({"id": 999, "status": 200, "result": {}})
        link.push({"id": first, "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}})
        assert [(name, answer.outcome, answer.code) for name, answer in received] == [
            ("b", Outcome.DONE, 0),
            ("a", Outcome.REFUSED, -2011),
        ]

    played(scenario)


def test_timeout_gives_unknown_outcome_and_reconnects() -> None:
    """A half-open connection: the request may have been executed."""

    async def scenario(play: Play) -> None:
        received: list[ApiAnswer] = []
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(2.1)
        assert [answer.outcome for answer in received] == [Outcome.UNKNOWN]
        await asyncio.sleep(3)
        assert len(play.links) == 2
        assert play.api.up

    assert "no answer within 2 s" in played(scenario).events


def test_connection_that_answers_other_requests_is_kept() -> None:
    """Only the one request is UNKNOWN."""

    async def scenario(play: Play) -> None:
        received: list[ApiAnswer] = []
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(1)
        play.api.request(TIME, {}, lambda _: None)
        await asyncio.sleep(1.5)
        assert [answer.outcome for answer in received] == [Outcome.UNKNOWN]
        assert len(play.links) == 1

    played(scenario)


def test_each_request_times_out_at_its_own_deadline() -> None:
    """One timer serves all: later requests, answered ones, callbacks that fail or send another request."""

    async def scenario(play: Play) -> None:
        received: list[tuple[int, int]] = []
        begun_s = play.seconds()

        def note(number: int, answer: ApiAnswer) -> None:
            received.append((number, round(1_000 * (play.seconds() - begun_s))))
            if number == 2:
                play.api.request(PLACE, {}, partial(note, 9))
            if number == 3:
                raise ValueError("a taker that fails")

        failed: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failed.append(about["exception"]))
        for number in range(5):
            play.api.request(PLACE, {}, partial(note, number))
            await asyncio.sleep(0.3)
            play.api.request(TIME, {}, lambda _: None)
        await asyncio.sleep(6)
        assert received == [(0, 2_000), (1, 2_300), (2, 2_600), (3, 2_900), (4, 3_200), (9, 4_600)]
        assert [type(error) for error in failed] == [ValueError]

    played(scenario)


def test_disconnect_makes_pending_unknown_and_new_unsent() -> None:
    """A pending request may have been executed."""

    async def scenario(play: Play) -> None:
        received: list[ApiAnswer] = []
        play.api.request(PLACE, {}, received.append)
        play.refuses = True
        play.links[-1].abort()
        await asyncio.sleep(0.01)
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(0.01)
        assert [answer.outcome for answer in received] == [Outcome.UNKNOWN, Outcome.UNSENT]

    played(scenario)


def test_rejected_key_stops_the_connection() -> None:
    """One error line with a remedy, and no further attempts."""

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
def test_expired_log_on_reconnects(answer: dict[str, Any]) -> None:
    """The request was refused, so it was not executed."""

    async def scenario(play: Play) -> None:
        received: list[ApiAnswer] = []
        play.answers["order.place"] = answer
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(3)
        assert [one.outcome for one in received] == [Outcome.REFUSED]
        assert len(play.links) == 2
        assert play.api.up

    error = answer["error"]
    assert f"the log-on has expired: {error['code']} {error['msg']}" in played(scenario, "ED25519").events


@pytest.mark.parametrize("event", ["eventStreamTerminated", "serverShutdown"])
def test_stream_termination_or_server_shutdown_reconnects(event: str) -> None:
    """The event itself is not passed on."""

    async def scenario(play: Play) -> None:
        play.links[-1].push({"event": {"e": event, "E": 1}})
        await asyncio.sleep(3)
        assert len(play.links) == 2
        assert play.api.up

    events = played(scenario).events
    assert not [one for one in events if isinstance(one, tuple)]
    assert events[0] == events[2] == "connected"
    assert "the exchange" in events[1]


def test_user_events_are_passed_on_and_invalid_messages_ignored() -> None:
    """The reconcile makes up for unreadable messages."""

    async def scenario(play: Play) -> None:
        link = play.links[-1]
        link._take(b"{nonsense", 1)
        link._take(b"\xff\xfe", 1)
        link.push({"subscriptionId": 0, "event": {"e": "executionReport", "s": "S"}})
        assert play.events[-1] == ("executionReport", {"e": "executionReport", "s": "S"})

    played(scenario)


def test_nothing_is_sent_before_retry_after() -> None:
    """A 429 answer with the instant from which requests are allowed again."""

    async def scenario(play: Play) -> None:
        data = {"serverTime": NOW_US, "retryAfter": NOW_US + 5_000_000}
        play.answers["order.place"] = {"status": 429, "error": {"code": -1003, "msg": "Too many.", "data": data}}
        received: list[ApiAnswer] = []
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(0.5)
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(0.5)
        assert [answer.outcome for answer in received] == [Outcome.REFUSED, Outcome.UNSENT]
        await asyncio.sleep(5)
        play.answers["order.place"] = {"status": 200, "result": {}}
        play.api.request(PLACE, {}, received.append)
        await asyncio.sleep(0.5)
        assert received[-1].outcome is Outcome.DONE

    played(scenario)


def test_idle_connection_requests_the_time() -> None:
    """After every five seconds without a message: it tests the connection, and measures the clock."""

    async def scenario(play: Play) -> None:
        await asyncio.sleep(11)
        assert play.methods().count("time") == 3

    played(scenario)


@pytest.mark.parametrize(("accepted", "refused"), [((), True), ((1,), False)])
def test_key_whose_orders_are_refused_on_one_connection_after_another_ends_it(accepted, refused) -> None:
    """Each log-on succeeds, which says nothing of orders; one that is accepted does."""
    error = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}

    async def scenario(play: Play) -> None:
        for attempt in range(MOST_EXPIRIES):
            if attempt in accepted:
                play.answers["order.place"] = {"status": 200, "result": {}}
                play.api.request(PLACE, {}, lambda _: None)
                await asyncio.sleep(1)
            play.answers["order.place"] = {"status": 400, "error": error}
            play.api.request(PLACE, {}, lambda _: None)
            await asyncio.sleep(10)
        assert (play.api.failure is not None) == refused

    played(scenario, "ED25519")


def test_time_that_a_refused_connection_names_holds_off_the_next_ones(monkeypatch) -> None:
    """Those of the other processes of this host too."""
    held: list[float] = []

    class Attempts:
        async def granted(self, _count: int) -> None: ...

        def hold_off(self, seconds: float) -> None:
            held.append(seconds)

    async def scenario(play: Play) -> None:
        play.limits._attempts = Attempts()  # type: ignore[assignment]
        play.refuses = True
        play.links[-1].abort()
        await asyncio.sleep(5)

    monkeypatch.setattr(ws_api, "refused_for_s", lambda _error: 7.0)
    played(scenario)
    assert held
    assert set(held) == {7.0}
