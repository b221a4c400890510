import asyncio
import gzip
import json
import time
from contextlib import closing, suppress
from resource import RUSAGE_SELF, getrusage
from types import SimpleNamespace

import pytest
from fake_exchange import FIRST_ID, SYMBOL, FakeExchange

from boxed import Silent
from mm.market_data import snapshot
from mm.market_data.rate_budget import Backoff
from mm.market_data.snapshot import RestClient, RestParts, RestTasks
from mm.markets.binance import SPOT


class FakeSession:
    """A session that requests snapshots until one is accepted by *good*."""

    backfill = None
    epoch_id = 1
    wants_refresh = False

    def __init__(self, good):
        self.good = good
        self.market = SimpleNamespace(book=SimpleNamespace(losses=0, snapshot_waits=False))
        self.requests = []
        self.answers = []

    @property
    def needs_snapshot(self):
        return not (self.answers and self.good(self.answers[-1]))

    def snapshot_requested(self, at_us, attempt):
        self.requests.append((at_us, attempt))

    def snapshot_answered(self, answer):
        self.answers.append(answer)
        return not self.needs_snapshot


async def settled():
    pass


def load(exchange, good=lambda answer: answer.cause is None, limit=5, wait_s=0.01):
    session = FakeSession(good)

    async def scenario():
        rest = RestClient(exchange.urls()["REST_URL"], clock=lambda: 7)
        parts = RestParts(SYMBOL, rest, limit, Backoff(wait_s, 1.0), Backoff(wait_s, 1.0))
        await RestTasks(session, parts, settled, Silent(), lambda: 6).load_snapshot()
        await rest.close()

    asyncio.run(scenario())
    return session


def test_snapshot_is_requested_with_its_limit():
    """The answer has the body as sent and its receive time."""
    with FakeExchange() as exchange:
        session = load(exchange)
    (answer,) = session.answers
    assert exchange.requests == [f"/api/v3/depth?symbol={SYMBOL}&limit=5"]
    assert (answer.recv_us, answer.status, answer.cause) == (7, 200, None)
    body = json.loads(answer.body)
    assert (body["lastUpdateId"], len(body["bids"])) == (FIRST_ID, 5)
    assert answer.url.endswith(exchange.requests[0])
    assert session.requests == [(6, 1)]


def test_failed_requests_are_reported_and_repeated():
    """No failure is fatal, and every attempt sends the same request."""
    with FakeExchange(snapshots=[500, 403, 0.0]) as exchange:
        session = load(exchange)
    assert [(answer.status, answer.cause) for answer in session.answers] == [
        (500, "http 500"),
        (403, "http 403"),
        (200, None),
    ]
    assert [attempt for _, attempt in session.requests] == [1, 2, 3]
    assert len(set(exchange.requests)) == 1


def test_requests_repeat_until_the_session_is_satisfied():
    """The session decides whether a snapshot is usable."""
    with FakeExchange(snapshots=["old", "old"]) as exchange:
        session = load(exchange, good=lambda _answer: len(exchange.requests) == 3)
    assert len(session.answers) == 3


def test_attempts_are_spaced():
    """A lagging REST server is not polled without pauses; the first request is immediate."""
    with FakeExchange(snapshots=["old"] * 3) as exchange:
        begun_s = time.monotonic()
        load(exchange, good=lambda _answer: len(exchange.requests) == 4, wait_s=0.05)
    assert time.monotonic() - begun_s >= (0.05 + 0.1 + 0.2) / 2


def test_no_request_is_sent_before_retry_after():
    """Clients that continue to request are banned for longer."""
    with FakeExchange(snapshots=[418]) as exchange:
        begun_s = time.monotonic()
        session = load(exchange)
    assert time.monotonic() - begun_s >= 0.99
    assert [answer.status for answer in session.answers] == [418, 200]


def test_refused_connection_has_no_status():
    """No server listens on the port."""

    async def scenario(url):
        rest = RestClient(url)
        answer = await rest.depth(SYMBOL, 5)
        await rest.close()
        return answer

    refused = asyncio.run(scenario("http://127.0.0.1:9"))
    assert (refused.status, refused.body) == (None, b"")
    assert refused.cause.startswith("ConnectError")


def test_slow_answer_times_out(monkeypatch):
    """Another request may be faster."""
    monkeypatch.setattr(snapshot, "ANSWER_TIMEOUT_S", 0.05)
    with FakeExchange(snapshots=[0.5]) as exchange:
        session = load(exchange, good=lambda _answer: True)
    assert (session.answers[0].status, session.answers[0].cause) == (None, "timeout")


@pytest.mark.parametrize(
    ("infos", "refused"), [([400, 400], True), ([400], False), ([400, 503], False), ([503], False), ([], False)]
)
def test_symbol_is_refused_only_by_the_error_of_the_exchange(infos, refused, monkeypatch):
    """Neither a server error nor a single answer refuses the symbol: a gateway that starts may not know it yet."""
    monkeypatch.setattr(snapshot, "REFUSAL_AGAIN_S", 0.01)

    async def scenario(url):
        rest = RestClient(url)
        refusal = await rest.refusal(SYMBOL)
        await rest.close()
        return refusal

    with FakeExchange(infos=infos) as exchange:
        refusal = asyncio.run(scenario(exchange.urls()["REST_URL"]))
    assert (refusal is not None and "Invalid symbol" in refusal) == refused


def test_other_bad_requests_do_not_refuse_the_symbol():
    """A gateway may send arbitrary errors for a moment."""

    async def answer(reader, writer):
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 12\r\n\r\n" + b'{"code":-1} ')

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            rest = RestClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            refusal = await rest.refusal(SYMBOL)
            await rest.close()
            return refusal

    assert asyncio.run(scenario()) is None


def test_exchange_info_is_requested_by_symbol():
    """The list of all symbols has megabytes."""

    async def scenario(exchange):
        rest = RestClient(exchange.urls()["REST_URL"])
        answer = await rest.exchange_info(SYMBOL)
        await rest.close()
        return answer

    with FakeExchange() as exchange:
        answer = asyncio.run(scenario(exchange))
    assert exchange.requests == [f"/api/v3/exchangeInfo?symbol={SYMBOL}"]
    assert json.loads(answer.body)["symbols"][0]["symbol"] == SYMBOL


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n"
BOMB = gzip.compress(bytes(200 << 20), 1)
HOSTILE = {
    "a weight of 400 digits": (HEAD + b"X-MBX-USED-WEIGHT-1M: " + b"9" * 400 + b"\r\n\r\n{}", None),
    "a cookie that is no ASCII": (HEAD + b"Set-Cookie: \xff\xfe=\xe2\x82; Domain=\xff\r\n\r\n{}", None),
    "a redirect to no host": (
        HEAD.replace(b"200 OK", b"302 Found") + b"Location: http://[::bad/\x7f:99999999\r\n\r\n{}",
        "http 302",
    ),
    "a bomb": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
        "TooLong",
    ),
    "half of a gzip": (HEAD.replace(b"2\r\n", b"9\r\n") + b"Content-Encoding: gzip\r\n\r\n" + BOMB[:9], "EOFError"),
    "no gzip": (HEAD + b"Content-Encoding: br\r\n\r\n{}", "error"),
    "no HTTP": (b"hello\r\n\r\n", "RemoteProtocolError"),
    "a status that is none": (HEAD.replace(b"200", b"999") + b"\r\n{}", "http 999"),
    "headers without an end": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000, "RemoteProtocolError"),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", "RemoteProtocolError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_neither_raise_nor_fill_memory(name):
    """Each hostile answer is a failure, or its invalid part is ignored; the next request is answered."""
    sent, cause = HOSTILE[name]
    answers = [sent, HEAD + b"\r\n[]"]

    async def answer(reader, writer):
        with closing(writer), suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0))
            await writer.drain()

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            rest = RestClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            found = [await rest.depth(SYMBOL, 5), await rest.depth(SYMBOL, 5)]
            await rest.close()
            return found, rest.used_weight

    before_kb = getrusage(RUSAGE_SELF).ru_maxrss
    (hostile, healthy), weight = asyncio.run(scenario())
    assert (hostile.cause is None) if cause is None else (cause in hostile.cause)
    assert (healthy.cause, healthy.body, weight) == (None, b"[]", None)
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kb < 120_000


@pytest.mark.parametrize("steps", range(5))
def test_learning_ends_when_cancelled_soon_after_a_wish(steps):
    """A connection is lost as the recording ends, so many iterations of the loop before."""
    book = SimpleNamespace(anomalies={"grid": 0})
    known = SimpleNamespace(off_grid=False, grid={}, report=SimpleNamespace(book=book), learn=lambda _: "TRADING")

    async def scenario():
        feed = SimpleNamespace(market=SPOT)
        rest = SimpleNamespace(recent_info=lambda: SimpleNamespace(cause=None), feed=feed)
        parts = RestParts(SYMBOL, rest, 5, Backoff(0.0, 0.0), Backoff(0.0, 0.0))
        tasks = RestTasks(known, parts, settled, Silent(), lambda: 6)
        learning = asyncio.create_task(tasks._learn())
        await asyncio.sleep(0.05)
        assert not learning.done()
        tasks.status_wanted.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        learning.cancel()
        ended, _ = await asyncio.wait({learning}, timeout=1)
        assert ended

    asyncio.run(scenario())
