"""Stream connections over real sockets: paths, subscriptions, messages, and the effect of a slow client on others."""

import asyncio
import itertools
import json
import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listeners import book_of, rebuilt
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from exchange_double import INSTRUMENT, START_US, open_box, receive, run, until
from mm.sim.wire.limits import WireLimits

DEPTH, TRADE = "simusdt@depth@100ms", "simusdt@trade"
QUIET = WireLimits(messages=1_000, close_s=0.05)


def at(box, path):
    return connect(box.base + path, proxy=None, max_queue=None)


async def request(client, method, *params, request_id=1):
    await client.send(json.dumps({"method": method, "params": list(params), "id": request_id}))
    return await receive(client)


def trade(box, lots=5):
    box.submit(1, 10_000, lots)
    box.submit(-1, 10_000, lots)


@pytest.mark.parametrize(
    ("path", "combined"),
    [
        (f"/ws/{TRADE}", False),
        ("/ws/simusdt%40trade", False),
        (f"/ws/{TRADE}?timeUnit=MILLISECOND", False),
        (f"/ws/simusdt@avgPrice/{TRADE}", False),
        (f"/stream?streams={TRADE}", True),
        (f"/stream?streams=nonsense/{TRADE}", True),
    ],
)
def test_stream_path_delivers_events(path, combined):
    """Raw on /ws, wrapped on /stream."""

    async def scenario():
        async with open_box() as box, at(box, path) as client:
            trade(box)
            box.pass_ms(0)
            event = await receive(client)
            assert set(event) == ({"stream", "data"} if combined else set("eEstpqTmM"))
            assert (event["data"] if combined else event)["t"] == 1
            assert not combined or event["stream"] == TRADE

    run(scenario)


@pytest.mark.parametrize(("path", "combined"), [("/ws", False), ("/ws/", False), ("/ws/0", False), ("/stream", True)])
def test_connection_without_streams_can_subscribe_later(path, combined):
    """Client libraries do so; the form of the events is that of the path until the property is set."""

    async def scenario():
        async with open_box() as box, at(box, path) as client:
            assert await request(client, "LIST_SUBSCRIPTIONS") == {"result": [], "id": 1}
            assert await request(client, "SUBSCRIBE", TRADE) == {"result": None, "id": 1}
            for is_wrapped in (combined, not combined):
                trade(box)
                box.pass_ms(0)
                assert ("stream" in await receive(client)) is is_wrapped
                assert await request(client, "SET_PROPERTY", "combined", not combined) == {"result": None, "id": 1}
            assert await request(client, "LIST_SUBSCRIPTIONS") == {"result": [TRADE], "id": 1}

    run(scenario)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 404), ("/stream/x", 404), ("/ws?timeUnit=X", 400), ("/api/v3/ping", 404)]
)
def test_invalid_addresses_are_rejected_in_the_handshake(path, status):
    """An HTTP status and no WebSocket."""

    async def scenario():
        async with open_box() as box:
            with pytest.raises(InvalidStatus) as refused:
                await at(box, path).__aenter__()
            assert refused.value.response.status_code == status
            assert "code" in json.loads(refused.value.response.body)

    run(scenario)


def test_stream_address_without_upgrade_is_a_plain_request():
    """A browser that opens it is answered by the routes, not by the sockets."""

    async def scenario():
        async with open_box() as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            writer.write(b"GET /ws/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b'"path":"/ws/x"' in await reader.read()
            writer.close()

    run(scenario)


@pytest.mark.parametrize("key", ["", "Sec-WebSocket-Key: short\r\n", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"])
def test_handshake_without_key_or_version_returns_400(key):
    """No socket is left."""

    async def scenario():
        async with open_box() as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            writer.write(f"GET /ws HTTP/1.1\r\n{upgrade}{key}\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400")
            writer.close()
            assert not box.server.sockets

    run(scenario)


def test_time_unit_of_address_applies_to_all_streams():
    """All stamps of the connection, including later subscriptions."""

    async def scenario():
        async with open_box() as box, at(box, f"/stream?streams={TRADE}&timeUnit=MICROSECOND") as client:
            await request(client, "SUBSCRIBE", DEPTH)
            box.now_us += 123
            trade(box)
            box.pass_ms(100)
            assert (await receive(client))["data"]["T"] == START_US + 123
            assert (await receive(client))["data"]["E"] % 1_000_000 == 437_000 % 100_000

    run(scenario)


def test_silent_and_foreign_streams_are_acknowledged():
    """A library that also subscribes to a ticker gets its acknowledgement, and nothing else."""

    async def scenario():
        async with open_box() as box, at(box, "/ws") as client:
            names = ["simusdt@ticker", "btcusdt@trade", "!miniTicker@arr"]
            assert await request(client, "SUBSCRIBE", *names) == {"result": None, "id": 1}
            trade(box)
            box.pass_ms(1_000)
            assert await request(client, "LIST_SUBSCRIPTIONS", request_id=2) == {"result": names, "id": 2}

    run(scenario)


def test_invalid_messages_return_errors_and_stream_continues():
    """With the exchange's error codes."""

    async def scenario():
        async with open_box(QUIET) as box, at(box, f"/ws/{TRADE}") as client:
            for sent, code in (("{", 3), (b"\x00\x01", 3), ("[]", 2), ('{"method":"X","id":1}', 2), ("\ud7ff", 3)):
                await client.send(sent)
                assert (await receive(client))["error"]["code"] == code
            trade(box)
            box.pass_ms(0)
            assert (await receive(client))["t"] == 1

    run(scenario)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_two_connections_rebuild_one_book_from_different_batches(seed):
    """As without sockets: no gaps, different batch boundaries, the exchange's book at the end."""

    async def scenario():
        draw = random.Random(seed)
        async with open_box() as box, at(box, f"/ws/{DEPTH}") as one, at(box, f"/ws/{DEPTH}") as other:
            for _ in range(80):
                box.submit(draw.choice((1, -1)), 10_000 + draw.randint(-5, 5), draw.randint(1, 9))
                box.pass_ms(draw.randrange(60))
            box.pass_ms(200)
            received_by = []
            for client in (one, other):
                events = [await receive(client)]
                while events[-1]["u"] < box.feed.update_id:
                    events.append(await receive(client))
                received_by.append(events)
                assert rebuilt(events) == book_of(box.rows, INSTRUMENT)
            borders = [{(event["U"], event["u"]) for event in events} for events in received_by]
            assert borders[0] != borders[1]

    run(scenario)


def test_rapid_subscribe_and_unsubscribe_ends_in_the_last_state():
    """Acknowledgements come in the order of the requests."""

    async def scenario():
        async with open_box(QUIET) as box, at(box, "/ws") as client:
            for request_id in range(100):
                method = ("SUBSCRIBE", "UNSUBSCRIBE")[request_id % 2]
                await client.send(json.dumps({"method": method, "params": [TRADE], "id": request_id}))
                if request_id % 7 == 0:
                    trade(box)
                    box.pass_ms(1)
            acks = []
            while len(acks) < 100:
                event = await receive(client)
                if "id" in event:
                    acks.append(event["id"])
            assert acks == list(range(100))
            trade(box)
            box.pass_ms(1)
            assert await request(client, "LIST_SUBSCRIPTIONS", request_id=5) == {"result": [], "id": 5}

    run(scenario)


def test_too_many_streams_return_error_and_close():
    """Code 4, then 1008; in the address as by request."""

    async def scenario():
        few = WireLimits(streams=2, close_s=0.05)
        names = [f"simusdt@depth{levels}" for levels in (5, 10, 20)]
        async with open_box(few) as box:
            async with at(box, "/ws/" + "/".join(names)) as client:
                assert (await receive(client))["error"] == {"code": 4, "msg": "Too many subscriptions"}
                with pytest.raises(ConnectionClosed):
                    await client.recv()
                assert (client.close_code, client.close_reason) == (1008, "Invalid request")
            async with at(box, "/ws/" + "/".join(names[:2])) as client:
                assert (await request(client, "SUBSCRIBE", names[2]))["error"]["code"] == 4
                await client.wait_closed()
                assert client.close_code == 1008

    run(scenario)


def test_address_with_1024_streams_is_accepted():
    """That is the exchange's limit; the request line is not too long."""

    async def scenario():
        names = [f"symbol{number}usdt@depth@100ms" for number in range(1_024)]
        async with open_box() as box, at(box, "/stream?streams=" + "/".join(names)) as client:
            assert len((await request(client, "LIST_SUBSCRIPTIONS"))["result"]) == 1_024

    run(scenario)


def slow_client(box, streams):
    """Return a socket that has subscribed and then reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", box.port))
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET /ws/{streams} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    sock.sendall(head.encode())
    return sock


class TestSlowClients:
    """A client that does not read is conflated, then disconnected; other clients are not affected."""

    LIMITS = WireLimits(slow_bytes=50_000, lost_bytes=2_000_000, close_s=0.05)

    def deep(self, box, seed):
        """Change a hundred levels, and let a batch end."""
        for ticks in range(100):
            box.submit(1, 9_000 + ticks, seed + 1)
        box.pass_ms(100)

    @pytest.mark.slow
    def test_depth_of_slow_client_is_conflated_without_gap(self):
        """It finally reads fewer events, without a gap, and the whole book."""

        async def scenario():
            async with open_box(self.LIMITS) as box, at(box, f"/ws/{DEPTH}") as quick:
                sock = slow_client(box, DEPTH)
                await until(lambda: len(box.server.sockets) == 2)
                connection = list(box.server.sockets)[1]
                count = 0
                while connection.waiting_bytes <= self.LIMITS.slow_bytes:
                    self.deep(box, count)
                    count += 1
                    await asyncio.sleep(0)
                waiting = connection.waiting_bytes
                for more in range(50):
                    self.deep(box, count + more)
                    await asyncio.sleep(0)
                assert connection.waiting_bytes <= waiting
                events = [await receive(quick) for _ in range(count + 50)]

                reader, writer = await asyncio.open_connection(sock=sock)
                await reader.readuntil(b"\r\n\r\n")
                late = []
                while not late or late[-1]["u"] < events[-1]["u"]:
                    if late and not connection.waiting_bytes:
                        box.pass_ms(100)
                    late.append(await next_event(reader))
                assert len(late) < len(events)
                assert rebuilt(late) == rebuilt(events) == book_of(box.rows, INSTRUMENT)
                writer.close()

        run(scenario)

    def test_slow_client_of_trades_is_disconnected(self):
        """Trades cannot be conflated; the fast client receives every trade."""

        async def scenario():
            async with open_box(self.LIMITS) as box, at(box, f"/ws/{TRADE}") as quick:
                sock = slow_client(box, TRADE)
                await until(lambda: len(box.server.sockets) == 2)
                slow, ids = list(box.server.sockets)[1], itertools.count(1)
                while not slow.closing:
                    for _ in range(500):
                        trade(box)
                    box.pass_ms(10)
                    for _ in range(500):
                        assert (await receive(quick))["t"] == next(ids)
                await until(lambda: slow not in box.server.sockets)
                trade(box)
                box.pass_ms(1)
                assert (await receive(quick))["t"] == next(ids)
                sock.close()

        run(scenario)

    def test_stalled_connection_resumes_without_a_gap(self):
        """The hook of a fault: depth waits as one message, other streams continue unless stalled."""

        async def scenario():
            async with open_box() as box, at(box, f"/ws/{DEPTH}/{TRADE}") as client:
                (connection,) = box.server.sockets
                connection.stall(True, {DEPTH})
                for _ in range(5):
                    trade(box)
                    box.pass_ms(100)
                    assert (await receive(client))["e"] == "trade"
                connection.stall(True)
                trade(box)
                box.pass_ms(100)
                connection.stall(False)
                box.pass_ms(100)
                event = await receive(client)
                assert (event["e"], event["U"], event["u"]) == ("depthUpdate", 1, box.feed.update_id)

        run(scenario)


async def next_event(reader):
    """Return the next text frame of a server as JSON."""
    size = (await reader.readexactly(2))[1]
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    return json.loads(await reader.readexactly(size))
