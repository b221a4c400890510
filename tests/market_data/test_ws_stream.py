import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, closing, suppress
from functools import partial

import pytest
from streams import most_attempts, stream_to
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from mm.clock import US_PER_S, now_us
from mm.market_data import ws_link, ws_stream


class Listener:
    """Keeps what a stream reports, and stops it after *enough* messages, or once *enough* of the listener is true."""

    def __init__(self, stream, enough, each=None, then=None):
        self.events = []
        self.received = []
        self.stream = stream
        self.enough = enough if callable(enough) else lambda _: len(self.received) == enough
        self.each = each
        self.then = then or {}
        self.can_join = True
        self.stopping = None

    def noticed(self, *event):
        self.events.append(event)
        if len(self.events) in self.then:
            asyncio.get_running_loop().call_soon(self.then[len(self.events)])
        self.stop_if_enough()

    def stop_if_enough(self):
        if self.stopping is None and self.enough(self):
            self.stopping = asyncio.ensure_future(self.stream.stop("enough"))

    def connected(self, _url, conn, slot):
        self.noticed("connected", conn, slot)

    def disconnected(self, conn, _slot, code, reason):
        self.noticed("disconnected", conn, code, reason)

    def unreachable(self, reason):
        self.noticed("unreachable", reason.partition(":")[0])

    def message(self, recv_us, conn, _slot, raw):
        self.received.append((recv_us, conn, raw))
        if self.each:
            self.each(raw)
        self.stop_if_enough()

    def joined(self, conn):
        return self.can_join and any(conn == other for _, other, _ in self.received)

    @property
    def raws(self):
        return [raw for _, _, raw in self.received]


@asynccontextmanager
async def served(handler, **options):
    """Serve *handler* on loopback; yield a factory of streams connected to it."""
    async with serve(handler, "127.0.0.1", 0, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield partial(stream_to, f"ws://127.0.0.1:{port}/")


async def listen(stream, enough, each=None, limit_s=60.0, then=None):
    """Run *stream* until there are *enough* messages, with actions after some events, and return the listener."""
    listener = Listener(stream, enough, each, then)
    async with asyncio.timeout(limit_s):
        await stream.run(listener)
    return listener


def events(count):
    """Return the condition of that many events."""
    return lambda listener: len(listener.events) >= count


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(ws_stream, "LINGER_S", 0.02)
    monkeypatch.setattr(ws_stream, "POLL_S", 0.01)


def test_messages_of_any_form_arrive_as_bytes_in_order():
    """Text, binary, fragmented and non-UTF-8 messages are delivered as sent."""

    async def handler(connection):
        await connection.send("one")
        await connection.send(b"\xff\xfe")
        await connection.send(["th", "r", "ee"])
        await connection.send("four" * 600_000)
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await listen(stream(), 4)

    listener = asyncio.run(scenario())
    assert listener.raws == [b"one", b"\xff\xfe", b"three", b"four" * 600_000]
    assert listener.events == [("connected", 1, 0), ("disconnected", 1, 1000, "enough")]


def test_messages_are_stamped_at_arrival_not_at_delivery():
    """Defect 9: work on a message does not delay the stamps of the following ones."""

    async def handler(connection):
        for number in range(5):
            await connection.send(str(number))
        await connection.wait_closed()

    taken_us = []

    def slow(_raw):
        taken_us.append(now_us())
        time.sleep(0.3)

    async def scenario():
        async with served(handler) as stream:
            return await listen(stream(), 5, slow)

    before_us = now_us()
    stamps = [recv_us for recv_us, _, _ in asyncio.run(scenario()).received]
    assert before_us <= stamps[0]
    assert stamps[-1] - stamps[0] < 0.75 * (taken_us[-1] - taken_us[0])  # of four times the work
    assert stamps == sorted(stamps)


def test_burst_is_delivered_in_slices_with_turns_of_the_loop():
    """While hundreds of messages wait, the loop continues to stamp arrivals."""
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

        async with served(handler) as stream:
            counter = asyncio.create_task(count())
            await listen(stream(), 300, lambda _raw: time.sleep(0.0005))
            counter.cancel()

    asyncio.run(scenario())
    assert turns > 50


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, None])
def test_connection_is_reopened_after_any_close(code):
    """A clean close does not end the stream either; received messages are delivered first."""
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
            return await listen(stream(), 3)

    listener = asyncio.run(scenario())
    assert listener.raws == [b"1", b"2", b"3"]
    reason = "bye" if code else "no close frame received or sent"
    ends = [("disconnected", conn, code or 1006, reason) for conn in (1, 2)]
    assert listener.events[1::2] == [*ends, ("disconnected", 3, 1000, "enough")]
    assert listener.events[0::2] == [("connected", conn, 0) for conn in (1, 2, 3)]


async def _talk(connection):
    """Send a number every few ms until the connection ends."""
    number = 0
    while not connection.close_code:
        number += 1
        await connection.send(str(number))
        await asyncio.sleep(0.005)


def test_next_connection_opens_before_the_old_one_closes():
    """At the maximum age the connection is replaced make-before-break, with a reason."""

    async def scenario():
        async with served(_talk) as stream:
            return await listen(stream(max_age_s=0.1), events(4))

    found = asyncio.run(scenario()).events
    order = [(event[0], event[1]) for event in found]
    assert order[:4] == [("connected", 1), ("connected", 2), ("disconnected", 1), ("connected", 3)]
    assert next(event[2:] for event in found if event[0] == "disconnected") == (1000, "max_age")


def test_handover_ends_after_a_limit_if_the_new_connection_is_silent(monkeypatch):
    """The old connection closes after HANDOVER_S, although the new one has delivered nothing."""
    monkeypatch.setattr(ws_stream, "HANDOVER_S", 0.1)

    async def scenario():
        async with served(_talk) as stream:
            client = stream()
            listener = Listener(client, events(3), then={1: lambda: client.replace("stall", slot=0)})
            listener.can_join = False
            async with asyncio.timeout(60):
                await client.run(listener)
            return listener

    found = asyncio.run(scenario()).events
    assert found[:3] == [("connected", 1, 0), ("connected", 2, 0), ("disconnected", 1, 1000, "stall")]


def test_old_connection_continues_while_the_next_cannot_open():
    """Failed attempts cost nothing while another connection is open."""
    attempts = 0

    def refuse(_connection, _request):
        nonlocal attempts
        attempts += 1
        return Response(503, "No", Headers({"Content-Length": "0"}), b"") if 1 < attempts < 5 else None

    async def scenario():
        async with served(_talk, process_request=refuse) as stream:
            return await listen(stream(max_age_s=0.1), lambda seen: len(seen.events) >= 5 and len(seen.received) >= 5)

    listener = asyncio.run(scenario())
    assert listener.events[:5] == [
        ("connected", 1, 0),
        *[("unreachable", "InvalidStatus")] * 3,
        ("connected", 2, 0),
    ]
    # How many messages arrive before the next connection depends on the machine.
    assert [conn for _, conn, _ in listener.received][:5] == [1] * 5


def test_connections_of_a_pair_are_replaced_separately():
    """Each slot has its own connection."""

    async def scenario():
        async with served(_talk) as stream:
            pair = stream(links=2)
            return await listen(pair, events(4), then={2: lambda: pair.replace("server_shutdown", conn=2)})

    found = asyncio.run(scenario()).events
    slots = {conn: slot for kind, conn, slot, *_ in found if kind == "connected"}
    assert sorted(slots) == [1, 2, 3]
    assert sorted([slots[1], slots[2]]) == [0, 1]
    assert slots[3] == slots[2]
    ended = [event for event in found if event[0] == "disconnected"]
    assert ended[0] == ("disconnected", 2, 1000, "server_shutdown")


def test_refused_attempt_waits_for_retry_after():
    """Clients that continue are banned for longer; the ban applies to the whole machine."""
    attempts_s = []

    def refuse(_connection, _request):
        attempts_s.append(time.monotonic())
        if len(attempts_s) > 1:
            return None
        return Response(418, "No", Headers({"Retry-After": "1", "Content-Length": "0"}), b"")

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    shared = most_attempts(10)

    async def scenario():
        async with served(handler, process_request=refuse) as stream:
            return await listen(stream(attempts=shared), 1)

    found = asyncio.run(scenario()).events
    assert found[:2] == [("unreachable", "InvalidStatus"), ("connected", 1, 0)]
    assert attempts_s[1] - attempts_s[0] >= 0.99
    assert shared.spent == 2


def test_refused_connections_are_retried():
    """The exchange may be unavailable for hours."""
    found = asyncio.run(listen(stream_to("ws://127.0.0.1:9/"), events(4))).events
    assert set(found) == {("unreachable", "ConnectionRefusedError")}


def test_too_many_waiting_messages_end_the_connection_and_are_delivered(monkeypatch):
    """Memory is bounded; dropped messages are later detected as a gap in ids."""
    monkeypatch.setattr(ws_link, "MOST_WAITING_BYTES", 10_000)
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        if connections == 1:
            connection.transport.writelines([b"\x82\x7e\x01\xf4" + f"{number:0500d}".encode() for number in range(30)])
        else:
            await connection.send("end")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await listen(stream(), 22)

    listener = asyncio.run(scenario())
    numbers = [int(raw) for raw in listener.raws if raw != b"end"]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 20
    assert listener.events[1][:3] == ("disconnected", 1, 1006)


@pytest.mark.slow
def test_connection_to_a_dead_host_is_detected_and_replaced(monkeypatch):
    """On a half-open connection nothing arrives and pings are not answered."""
    monkeypatch.setattr(ws_link, "PING_INTERVAL_S", 0.05)
    monkeypatch.setattr(ws_link, "PING_TIMEOUT_S", 0.05)
    monkeypatch.setattr(ws_link, "CLOSE_TIMEOUT_S", 0.05)
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        await connection.send("hello")
        if connections == 1:
            connection.transport.pause_reading()
        await connection.wait_closed()

    async def scenario():
        async with served(handler, ping_interval=None) as stream:
            return await listen(stream(), 2)

    listener = asyncio.run(scenario())
    assert listener.events[1][:3] == ("disconnected", 1, 1006 if listener.events[1][2] == 1006 else 1011)
    assert listener.events[2] == ("connected", 2, 0)
    assert ws_link.PING_TIMEOUT_S <= 20


def test_listener_error_ends_the_run():
    """Errors such as a full disk must not be swallowed."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    def full(_raw):
        raise OSError(28, "No space left on device")

    async def scenario():
        async with served(handler) as stream:
            await listen(stream(), 5, full)

    with pytest.raises(OSError, match="No space"):
        asyncio.run(scenario())


def test_stream_uses_the_given_clock():
    """All times of a recording come from one clock."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await listen(stream(clock_ns=lambda: 7_000 * US_PER_S), 1)

    assert asyncio.run(scenario()).received == [(7 * US_PER_S, 1, b"hello")]


def test_closed_connections_leave_no_open_files():
    """After 40 connections no more files are open than before."""

    async def handler(connection):
        await connection.send("hello")
        connection.transport.abort()

    async def scenario():
        async with served(handler) as stream:
            await listen(stream(), 3)
            before = len(os.listdir("/proc/self/fd"))
            await listen(stream(), 40)
            await asyncio.sleep(0)
            return before, len(os.listdir("/proc/self/fd"))

    before, after = asyncio.run(scenario())
    assert after <= before


def test_unresolvable_host_name_is_retried(monkeypatch):
    """The network may be down for a while."""

    async def gone(*_args):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(ws_link.Link, "open", gone)
    stream = stream_to("ws://exchange.invalid/")
    assert set(asyncio.run(listen(stream, events(4))).events) == {("unreachable", "gaierror")}


def test_stop_before_the_first_connection_opens_none():
    """A signal may arrive while the start is delayed."""

    async def scenario():
        stream = stream_to("ws://127.0.0.1:9/")
        listener = Listener(stream, 1)
        await stream.stop("SIGTERM")
        await stream.run(listener)
        return listener.events

    assert asyncio.run(scenario()) == []


def test_successor_opens_without_backoff():
    """An announced shutdown may follow at once, so there is no delay after the last attempt."""

    async def scenario():
        async with served(_talk) as stream:
            client = stream(waits_s=(60.0, 60.0))
            return await listen(client, events(3), then={1: lambda: client.replace("server_shutdown", conn=1)})

    found = asyncio.run(scenario()).events
    assert found[:3] == [("connected", 1, 0), ("connected", 2, 0), ("disconnected", 1, 1000, "server_shutdown")]


@pytest.mark.slow
@pytest.mark.parametrize(("lives_s", "opened"), [(0.8, 3), (0.0, 1)])
def test_only_short_lived_connections_delay_the_next_one(lives_s, opened, monkeypatch):
    """A server that accepts and closes must not use up the budget of attempts within seconds."""
    monkeypatch.setattr(ws_stream, "GOOD_S", 0.5)
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        await connection.send("x")
        if connections < 3:
            await asyncio.sleep(lives_s)
            connection.transport.abort()
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            client = stream(waits_s=(60.0, 60.0))
            with suppress(TimeoutError):
                await listen(client, 3, limit_s=60.0 if opened == 3 else 1.5)
            return connections

    assert asyncio.run(scenario()) == opened


@pytest.mark.parametrize(
    "wrong", [b"\x81\x85aaaahello", b"\xc1\x01x", b"\x81\x7f" + (1 << 40).to_bytes(8), b"\x01\x01a\x81\x01b"]
)
def test_invalid_frames_end_only_their_connection(wrong):
    """Masked, with reserved bits, too long, or between the fragments of another message."""
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        connection.transport.write(b"\x81\x05hello" + (wrong if connections == 1 else b"\x81\x03end"))
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await listen(stream(), 3)

    listener = asyncio.run(scenario())
    assert listener.raws == [b"hello", b"hello", b"end"]
    assert listener.events[1][:2] == ("disconnected", 1)


def test_invalid_handshake_answers_are_failed_attempts():
    """For other protocols, long answers and no answer."""
    answers = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"x" * 200_000, b"HTTP/1.1 101 x\r\n\r\n"]

    async def answer(reader, writer):
        with closing(writer), suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0) if answers else b"")

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            listener = await listen(stream_to(f"ws://127.0.0.1:{port}/"), events(5))
        for _ in range(3):  # let the last connection be answered, so that it is closed
            await asyncio.sleep(0)
        return listener.events

    assert {event[0] for event in asyncio.run(scenario())} == {"unreachable"}
