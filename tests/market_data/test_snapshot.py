import asyncio
import json
import time

import pytest
from fake_exchange import FIRST_ID, SYMBOL, FakeExchange

from mm.market_data import snapshot
from mm.market_data.rate_budget import Backoff
from mm.market_data.snapshot import RestClient, Snapshots


class Desk:
    """Wants snapshots until one is good enough."""

    def __init__(self, good):
        self.good = good
        self.requests = []
        self.answers = []

    @property
    def wants_snapshot(self):
        return not (self.answers and self.good(self.answers[-1]))

    def snapshot_requested(self, at_us, attempt):
        self.requests.append((at_us, attempt))

    async def snapshot_answered(self, answer):
        self.answers.append(answer)


def load(exchange, good=lambda answer: answer.cause is None, limit=5, wait_s=0.01):
    desk = Desk(good)

    async def scenario():
        rest = RestClient(exchange.urls()["REST_URL"], clock=lambda: 7)
        await Snapshots(rest, SYMBOL, limit, Backoff(wait_s, 1.0), lambda: 6).load(desk)
        await rest.close()

    asyncio.run(scenario())
    return desk


def test_a_snapshot_is_asked_for_with_its_limit():
    """It comes as it was sent, with the time at which it was there."""
    with FakeExchange() as exchange:
        desk = load(exchange)
    (answer,) = desk.answers
    assert exchange.asked == [f"/api/v3/depth?symbol={SYMBOL}&limit=5"]
    assert (answer.recv_us, answer.status, answer.cause) == (7, 200, None)
    body = json.loads(answer.body)
    assert (body["lastUpdateId"], len(body["bids"])) == (FIRST_ID, 5)
    assert answer.url.endswith(exchange.asked[0])
    assert desk.requests == [(6, 1)]


def test_whatever_fails_is_told_and_asked_again():
    """Nothing is fatal, and every attempt asks for the same."""
    with FakeExchange(snapshots=[500, 403, 0.0]) as exchange:
        desk = load(exchange)
    assert [(answer.status, answer.cause) for answer in desk.answers] == [
        (500, "http 500"),
        (403, "http 403"),
        (200, None),
    ]
    assert [attempt for _, attempt in desk.requests] == [1, 2, 3]
    assert len(set(exchange.asked)) == 1


def test_a_snapshot_that_does_not_bridge_is_asked_for_again():
    """Whether one will do is not decided here."""
    with FakeExchange(snapshots=["old", "old"]) as exchange:
        desk = load(exchange, good=lambda _answer: len(exchange.asked) == 3)
    assert len(desk.answers) == 3


def test_attempts_are_spaced():
    """A REST server that lags must not be asked without a pause; the first need is served at once."""
    with FakeExchange(snapshots=["old"] * 3) as exchange:
        begun_s = time.monotonic()
        load(exchange, good=lambda _answer: len(exchange.asked) == 4, wait_s=0.05)
    assert time.monotonic() - begun_s >= (0.05 + 0.1 + 0.2) / 2


def test_no_request_before_the_time_the_exchange_names():
    """Whoever goes on asking is banned for longer; the ledger's request is the one that was made."""
    with FakeExchange(snapshots=[418]) as exchange:
        begun_s = time.monotonic()
        desk = load(exchange)
    assert time.monotonic() - begun_s >= 0.99
    assert [answer.status for answer in desk.answers] == [418, 200]


def test_no_answer_at_all_has_no_status():
    """Nobody listens, or the answer takes too long."""

    async def scenario(url):
        rest = RestClient(url)
        answer = await rest.depth(SYMBOL, 5)
        await rest.close()
        return answer

    refused = asyncio.run(scenario("http://127.0.0.1:9"))
    assert (refused.status, refused.body) == (None, b"")
    assert refused.cause.startswith("ConnectError")


def test_an_answer_that_takes_too_long_is_given_up(monkeypatch):
    """Another one may be quicker."""
    monkeypatch.setattr(snapshot, "ANSWER_TIMEOUT_S", 0.05)
    with FakeExchange(snapshots=[0.5]) as exchange:
        desk = load(exchange, good=lambda _answer: True)
    assert (desk.answers[0].status, desk.answers[0].cause) == (None, "timeout")


@pytest.mark.parametrize(("infos", "refused"), [([400], True), ([503], False), ([], False)])
def test_a_symbol_is_refused_only_in_the_exchange_s_own_words(infos, refused):
    """StallDetector or an error of the server say nothing about it."""

    async def scenario(url):
        rest = RestClient(url)
        refusal = await rest.refusal(SYMBOL)
        await rest.close()
        return refusal

    with FakeExchange(infos=infos) as exchange:
        refusal = asyncio.run(scenario(exchange.urls()["REST_URL"]))
    assert (refusal is not None and "Invalid symbol" in refusal) == refused


def test_filters_are_asked_for_by_symbol():
    """The whole list is megabytes."""

    async def scenario(exchange):
        rest = RestClient(exchange.urls()["REST_URL"])
        answer = await rest.exchange_info(SYMBOL)
        await rest.close()
        return answer

    with FakeExchange() as exchange:
        answer = asyncio.run(scenario(exchange))
    assert exchange.asked == [f"/api/v3/exchangeInfo?symbol={SYMBOL}"]
    assert json.loads(answer.body)["symbols"][0]["symbol"] == SYMBOL
