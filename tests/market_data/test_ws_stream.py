import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, closing, suppress

import pytest
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

from mm.clock import US_PER_S, now_us
from mm.market_data import ws_link, ws_stream
from mm.market_data.rate_budget import Backoff, RateBudget
from mm.market_data.ws_stream import WsStream


class Ear:
    """Records the events of the stream, and stops it after a number of messages."""

    def __init__(self, stream, count, each=None):
        self.told = []
        self.got = []
        self.stream = stream
        self.count = count
        self.each = each
        self.brings_on = True

    def connected(self, _url, conn, slot):
        self.told.append(("connected", conn, slot))

    def disconnected(self, conn, _slot, code, reason):
        self.told.append(("disconnected", conn, code, reason))

    def unreachable(self, reason):
        self.told.append(("unreachable", reason.partition(":")[0]))

    def message(self, recv_us, conn, _slot, raw):
        self.got.append((recv_us, conn, raw))
        if self.each:
            self.each(raw)
        if len(self.got) == self.count:
            self.stopping = asyncio.ensure_future(self.stream.stop("enough"))

    def joined(self, conn):
        return self.brings_on and any(conn == other for _, other, _ in self.got)

    @property
    def raws(self):
        return [raw for _, _, raw in self.got]


@asynccontextmanager
async def served(handler, **options):
    """Serve *handler* on loopback and yield what makes a stream to it."""
    async with serve(handler, "127.0.0.1", 0, compression=None, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield lambda max_age_s=60.0, links=1, **more: WsStream(
            f"ws://127.0.0.1:{port}/", [Backoff(0.01, 0.02) for _ in range(links)], max_age_s, **more
        )


async def heard(stream, count, each=None, limit_s=60.0):
    """Return an ear that has heard *stream* until *count* messages had come."""
    ear = Ear(stream, count, each)
    async with asyncio.timeout(limit_s):
        await stream.run(ear)
    return ear


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(ws_stream, "LINGER_S", 0.02)
    monkeypatch.setattr(ws_stream, "POLL_S", 0.01)


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

    ear = asyncio.run(scenario())
    assert ear.raws == [b"one", b"\xff\xfe", b"three", b"four" * 600_000]
    assert ear.told == [("connected", 1, 0), ("disconnected", 1, 1000, "enough")]


def test_arrival_is_stamped_when_it_happens_not_when_it_is_read():
    """Defect 9: the work on one message does not delay the stamps of those behind it."""

    async def handler(connection):
        for number in range(5):
            await connection.send(str(number))
        await connection.wait_closed()

    def slow(_raw):
        time.sleep(0.3)

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 5, slow)

    before_us = now_us()
    stamps = [recv_us for recv_us, _, _ in asyncio.run(scenario()).got]
    assert before_us <= stamps[0]
    assert stamps[-1] - stamps[0] < 900_000  # the work on those before the last takes 1.2 s
    assert stamps == sorted(stamps)


def test_a_burst_is_read_in_slices_so_that_the_socket_is_never_left_alone():
    """While thousands wait to be handled, the loop continues to stamp arrivals."""
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
            await heard(stream(), 300, lambda _raw: time.sleep(0.0005))
            counter.cancel()

    asyncio.run(scenario())
    assert turns > 50


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, None])
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

    ear = asyncio.run(scenario())
    assert ear.raws == [b"1", b"2", b"3"]
    reason = "bye" if code else "no close frame received or sent"
    ends = [("disconnected", conn, code or 1006, reason) for conn in (1, 2)]
    assert ear.told[1::2] == [*ends, ("disconnected", 3, 1000, "enough")]
    assert ear.told[0::2] == [("connected", conn, 0) for conn in (1, 2, 3)]


async def _talk(connection):
    """Send a number every few ms until the connection ends."""
    number = 0
    while not connection.close_code:
        number += 1
        await connection.send(str(number))
        await asyncio.sleep(0.005)


def test_the_next_connection_is_there_before_an_old_one_goes():
    """Make before break: for its age, and the ledger then has the reason."""

    async def scenario():
        async with served(_talk) as stream:
            return await heard(stream(max_age_s=0.1), 90)

    told = asyncio.run(scenario()).told
    order = [(one[0], one[1]) for one in told]
    assert order[:4] == [("connected", 1), ("connected", 2), ("disconnected", 1), ("connected", 3)]
    assert next(one[2:] for one in told if one[0] == "disconnected") == (1000, "max_age")


def test_one_that_brings_nothing_does_not_keep_the_old_one_open_for_ever(monkeypatch):
    """A bounded time, and the old one goes: it was suspected for a reason."""
    monkeypatch.setattr(ws_stream, "HANDOVER_S", 0.1)

    async def scenario():
        async with served(_talk) as stream:
            one = stream()
            ear = Ear(one, 100)
            ear.brings_on = False
            asyncio.get_running_loop().call_later(0.05, lambda: one.replace("stall", slot=0))
            async with asyncio.timeout(15):
                await one.run(ear)
            return ear

    told = asyncio.run(scenario()).told
    assert told[:3] == [("connected", 1, 0), ("connected", 2, 0), ("disconnected", 1, 1000, "stall")]


def test_while_the_next_one_cannot_be_opened_the_old_one_goes_on():
    """Attempts that fail cost nothing where there still is a connection."""
    attempts = 0

    def refuse(_connection, _request):
        nonlocal attempts
        attempts += 1
        return Response(503, "No", Headers({"Content-Length": "0"}), b"") if 1 < attempts < 5 else None

    async def scenario():
        async with served(_talk, process_request=refuse) as stream:
            return await heard(stream(max_age_s=0.1), 80)

    ear = asyncio.run(scenario())
    assert ear.told[:5] == [
        ("connected", 1, 0),
        *[("unreachable", "InvalidStatus")] * 3,
        ("connected", 2, 0),
    ]
    assert [conn for _, conn, _ in ear.got][:5] == [1] * 5  # how many come until the next one is open: by the machine


def test_a_pair_is_two_connections_at_a_time_and_either_is_replaced_alone():
    """Each slot has its own."""

    async def scenario():
        async with served(_talk) as stream:
            one = stream(links=2)
            asyncio.get_running_loop().call_later(0.1, lambda: one.replace("server_shutdown", conn=2))
            return await heard(one, 120)

    told = asyncio.run(scenario()).told
    slots = {conn: slot for kind, conn, slot, *_ in told if kind == "connected"}
    assert sorted(slots) == [1, 2, 3]
    assert sorted([slots[1], slots[2]]) == [0, 1]
    assert slots[3] == slots[2]
    ended = [one for one in told if one[0] == "disconnected"]
    assert ended[0] == ("disconnected", 2, 1000, "server_shutdown")


def test_a_refused_attempt_waits_as_long_as_the_exchange_asks():
    """Clients that continue are banned for longer; the ban applies to all processes of the machine."""
    attempts_s = []

    def refuse(_connection, _request):
        attempts_s.append(time.monotonic())
        if len(attempts_s) > 1:
            return None
        return Response(418, "No", Headers({"Retry-After": "1", "Content-Length": "0"}), b"")

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    shared = RateBudget(10, 300.0)

    async def scenario():
        async with served(handler, process_request=refuse) as stream:
            return await heard(stream(attempts=shared), 1)

    told = asyncio.run(scenario()).told
    assert told[:2] == [("unreachable", "InvalidStatus"), ("connected", 1, 0)]
    assert attempts_s[1] - attempts_s[0] >= 0.99
    assert shared.spent == 2


def test_nobody_listening_is_not_the_end():
    """The exchange may be down for hours."""

    async def scenario():
        stream = WsStream("ws://127.0.0.1:9/", [Backoff(0.01, 0.02)], 60.0)
        ear = Ear(stream, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.run(ear), 0.3)
        return ear.told

    told = asyncio.run(scenario())
    assert len(told) > 3
    assert set(told) == {("unreachable", "ConnectionRefusedError")}


def test_too_much_that_waits_ends_the_connection_and_loses_nothing_of_it(monkeypatch):
    """Memory is bounded; what was not taken in is a gap that the ids tell of."""
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
            return await heard(stream(), 22)

    ear = asyncio.run(scenario())
    numbers = [int(raw) for raw in ear.raws if raw != b"end"]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 20
    assert ear.told[1][:3] == ("disconnected", 1, 1006)


def test_a_connection_to_a_host_that_is_gone_is_noticed_and_given_back(monkeypatch):
    """Half-open: nothing arrives, without a reason; pings are not answered."""
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
            return await heard(stream(), 2)

    ear = asyncio.run(scenario())
    assert ear.told[1][:3] == ("disconnected", 1, 1006 if ear.told[1][2] == 1006 else 1011)
    assert ear.told[2] == ("connected", 2, 0)
    assert ws_link.PING_TIMEOUT_S <= 20


def test_what_a_listener_raises_ends_the_run():
    """A disk that is full must be heard of."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    def full(_raw):
        raise OSError(28, "No space left on device")

    async def scenario():
        async with served(handler) as stream:
            await heard(stream(), 5, full)

    with pytest.raises(OSError, match="No space"):
        asyncio.run(scenario())


def test_the_clock_is_the_one_it_was_given():
    """A recording's instants all come from one clock."""

    async def handler(connection):
        await connection.send("hello")
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(clock_ns=lambda: 7_000 * US_PER_S), 1)

    assert asyncio.run(scenario()).got == [(7 * US_PER_S, 1, b"hello")]


def test_connections_that_come_and_go_leave_nothing_open():
    """A storm of them, and as many files are open behind it as before."""

    async def handler(connection):
        await connection.send("hello")
        connection.transport.abort()

    async def scenario():
        async with served(handler) as stream:
            await heard(stream(), 3)
            before = len(os.listdir("/proc/self/fd"))
            await heard(stream(), 40)
            await asyncio.sleep(0)
            return before, len(os.listdir("/proc/self/fd"))

    before, after = asyncio.run(scenario())
    assert after <= before


def test_a_name_that_does_not_resolve_is_not_the_end(monkeypatch):
    """The router may be down in the night."""

    async def gone(*_args):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(ws_link.Link, "open", gone)

    async def scenario():
        stream = WsStream("ws://exchange.invalid/", [Backoff(0.01, 0.02)], 60.0)
        ear = Ear(stream, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.run(ear), 0.2)
        return ear.told

    assert set(asyncio.run(scenario())) == {("unreachable", "gaierror")}


def test_a_stop_before_the_first_connection_opens_none():
    """A signal may come while the start is delayed."""

    async def scenario():
        stream = WsStream("ws://127.0.0.1:9/", [Backoff(0.01, 0.02)], 60.0)
        ear = Ear(stream, 1)
        await stream.stop("SIGTERM")
        await stream.run(ear)
        return ear.told

    assert asyncio.run(scenario()) == []


def test_a_successor_is_opened_at_once_however_short_ago_the_last_attempt_was():
    """A shutdown that is announced may follow in a moment."""

    async def scenario():
        async with served(_talk) as stream:
            one = stream()
            one._backoffs = [Backoff(60.0, 60.0)]
            asyncio.get_running_loop().call_later(0.05, lambda: one.replace("server_shutdown", conn=1))
            return await heard(one, 60)

    told = asyncio.run(scenario()).told
    assert told[:3] == [("connected", 1, 0), ("connected", 2, 0), ("disconnected", 1, 1000, "server_shutdown")]


@pytest.mark.parametrize(("lives_s", "opened"), [(0.8, 3), (0.0, 1)])
def test_only_a_connection_that_ends_at_once_delays_the_next_one(lives_s, opened, monkeypatch):
    """A server that accepts and closes must not take the whole budget of attempts within seconds."""
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
            one = stream()
            one._backoffs = [Backoff(60.0, 60.0)]
            with suppress(TimeoutError):
                await heard(one, 3, limit_s=60.0 if opened == 3 else 1.5)
            return connections

    assert asyncio.run(scenario()) == opened


@pytest.mark.parametrize(
    "wrong", [b"\x81\x85aaaahello", b"\xc1\x01x", b"\x81\x7f" + (1 << 40).to_bytes(8), b"\x01\x01a\x81\x01b"]
)
def test_frames_that_no_server_may_send_end_the_connection_and_nothing_else(wrong):
    """Masked, with reserved bits, too long, or amid the fragments of another: the next connection continues."""
    connections = 0

    async def handler(connection):
        nonlocal connections
        connections += 1
        connection.transport.write(b"\x81\x05hello" + (wrong if connections == 1 else b"\x81\x03end"))
        await connection.wait_closed()

    async def scenario():
        async with served(handler) as stream:
            return await heard(stream(), 3)

    ear = asyncio.run(scenario())
    assert ear.raws == [b"hello", b"hello", b"end"]
    assert ear.told[1][:2] == ("disconnected", 1)


def test_an_answer_that_is_none_is_an_attempt_that_failed():
    """Whatever listens there, and however long it talks."""
    answers = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"x" * 200_000, b"HTTP/1.1 101 x\r\n\r\n"]

    async def answer(reader, writer):
        with closing(writer), suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0) if answers else b"")

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            stream = WsStream(f"ws://127.0.0.1:{port}/", [Backoff(0.01, 0.02)], 60.0)
            ear = Ear(stream, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.run(ear), 0.5)
        for _ in range(3):  # a connection that came last begins to be answered, and so is closed
            await asyncio.sleep(0)
        return ear.told

    told = asyncio.run(scenario())
    assert len(told) > 4
    assert {one[0] for one in told} == {"unreachable"}
