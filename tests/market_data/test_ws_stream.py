import asyncio
import time
from contextlib import aclosing, asynccontextmanager

import pytest
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from mm.clock import US_PER_S, now_us
from mm.market_data import ws_stream
from mm.market_data.backoff import Backoff
from mm.market_data.ws_stream import WsStream, stream_url


class Ear:
    """Notes what the stream tells of its connections."""

    def __init__(self):
        self.heard = []

    def connected(self, _url, conn):
        self.heard.append(("connected", conn))

    def disconnected(self, conn, code, reason):
        self.heard.append(("disconnected", conn, code, reason))

    def unreachable(self, reason):
        self.heard.append(("unreachable", reason.partition(":")[0]))


@asynccontextmanager
async def served(handler, **options):
    """Serve *handler* on loopback and yield what makes a stream to it."""
    async with serve(handler, "127.0.0.1", 0, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield lambda max_age_s=60.0: WsStream(f"ws://127.0.0.1:{port}/", Backoff(0.01, 0.02), max_age_s)


async def heard(stream, count, each=None):
    """Return what the stream tells, and *count* messages of it; *each* is called with every one."""
    ear, messages = Ear(), []
    async with aclosing(stream.messages(ear)) as source:
        async for recv_us, raw in source:
            messages.append((recv_us, raw))
            if each:
                await each(raw)
            if len(messages) == count:
                await stream.stop("enough")
    return ear.heard, messages


def test_the_address_asks_for_both_streams_and_microseconds():
    """Symbols are lower case there, and a name beyond ASCII is quoted."""
    assert stream_url("wss://x:9443", "ETHUSDT", "aggTrade") == (
        "wss://x:9443/stream?streams=ethusdt@depth@100ms/ethusdt@aggTrade&timeUnit=MICROSECOND"
    )
    assert "streams=%C3%A4usdt@depth" in stream_url("wss://x", "ÄUSDT", "trade")


def test_messages_come_as_bytes_in_order_whatever_their_form():
    """Text, binary, in fragments, or no UTF-8 at all: what was sent is what is handed out."""

    async def handler(connection):
        await connection.send("one")
        await connection.send(b"\xff\xfe")
        await connection.send(["th", "r", "ee"])
        await connection.send("four" * 600_000)
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 4)

    told, messages = asyncio.run(scenario())
    assert [raw for _, raw in messages] == [b"one", b"\xff\xfe", b"three", b"four" * 600_000]
    assert told == [("connected", 1), ("disconnected", 1, 1000, "enough")]


def test_arrival_is_stamped_when_it_happens_not_when_it_is_read():
    """The work on one message does not delay the stamps of those behind it."""

    async def handler(connection):
        for number in range(5):
            await connection.send(str(number))
        await connection.wait_closed()

    async def slow(raw):
        await asyncio.sleep(0.05 if raw == b"0" else 0)
        time.sleep(0.02)

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 5, slow)

    before_us = now_us()
    _, messages = asyncio.run(scenario())
    stamps = [recv_us for recv_us, _ in messages]
    assert before_us <= stamps[0]
    assert stamps[-1] - stamps[0] < 100_000
    assert stamps == sorted(stamps)


def test_a_burst_is_read_in_slices_so_that_the_socket_is_never_left_alone(monkeypatch):
    """While thousands wait to be handled, the loop goes on stamping what arrives."""
    turns = 0

    async def handler(connection):
        for _ in range(300):
            await connection.send("x")
        await connection.wait_closed()

    async def scenario():
        nonlocal turns

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def work(_raw):
            time.sleep(0.0005)

        async with served(handler) as stream:
            counter = asyncio.create_task(count())
            await heard(stream(), 300, work)
            counter.cancel()

    asyncio.run(scenario())
    assert turns > 50


@pytest.mark.parametrize("code", [1000, 1001, 1011, None])
def test_whatever_ends_a_connection_another_one_follows(code):
    """A clean close is no reason to end, either; what had arrived is handed out first."""
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        await connection.send(f"{connections}")
        if connections < 3:
            if code is None:
                connection.transport.abort()
            else:
                await connection.close(code, "bye")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 3)

    told, messages = asyncio.run(scenario())
    assert [raw for _, raw in messages] == [b"1", b"2", b"3"]
    reason = "bye" if code else "no close frame received or sent"
    ends = [("disconnected", conn, code or 1006, reason) for conn in (1, 2)]
    assert told[1::2] == [*ends, ("disconnected", 3, 1000, "enough")]
    assert told[0::2] == [("connected", conn) for conn in (1, 2, 3)]


def test_a_connection_that_is_old_enough_is_replaced():
    """Before the exchange cuts it; the ledger then says whose will it was."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(max_age_s=0.05), 3)

    told, _ = asyncio.run(scenario())
    assert told[1] == ("disconnected", 1, 1000, "max_age")
    assert told[-1] == ("disconnected", 3, 1000, "enough")


def test_a_refused_attempt_waits_as_long_as_the_exchange_asks():
    """Whoever goes on trying is banned for longer."""
    attempts_s = []

    def refuse(_connection, _request):
        attempts_s.append(time.monotonic())
        if len(attempts_s) > 1:
            return None
        return Response(418, "No", Headers({"Retry-After": "1", "Content-Length": "0"}), b"")

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    async def scenario():
        async with served(handler, process_request=refuse) as stream:
            return await heard(stream(), 1)

    told, _ = asyncio.run(scenario())
    assert told[:2] == [("unreachable", "InvalidStatus"), ("connected", 1)]
    assert attempts_s[1] - attempts_s[0] >= 1


def test_nobody_listening_is_not_the_end():
    """The exchange may be down for hours."""

    async def scenario():
        stream, ear = WsStream("ws://127.0.0.1:9/", Backoff(0.01, 0.02), 60.0), Ear()
        async with aclosing(stream.messages(ear)) as source:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(source), 0.3)
        return ear.heard

    told = asyncio.run(scenario())
    assert len(told) > 3
    assert set(told) == {("unreachable", "ConnectionRefusedError")}


def test_too_much_that_waits_ends_the_connection_and_loses_nothing_of_it(monkeypatch):
    """Memory is bounded; what was not taken in is a gap that the ids tell of."""
    monkeypatch.setattr(ws_stream, "MOST_WAITING_BYTES", 10_000)
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        for number in range(30 if connections == 1 else 1):
            await connection.send(f"{number:0500d}")
        await connection.wait_closed()

    async def dawdle(raw):
        await asyncio.sleep(0.1 if raw == b"0" * 500 else 0)

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 22, dawdle)

    told, messages = asyncio.run(scenario())
    assert [int(raw) for _, raw in messages[:21]] == list(range(21))
    assert told[1][:3] == ("disconnected", 1, 1006)


def test_the_clock_is_the_one_it_was_given():
    """A recording's instants all come from one clock."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            url = stream()._url
            return await heard(WsStream(url, Backoff(0.01, 0.02), 60.0, lambda: 7 * US_PER_S), 1)

    _, messages = asyncio.run(scenario())
    assert messages == [(7 * US_PER_S, b"hello")]
