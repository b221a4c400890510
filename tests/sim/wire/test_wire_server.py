"""Start and end of connections: limits, pings, age, shutdown, and abrupt ends."""

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from exchange_double import START_US, open_box, receive, run, until
from mm.errors import UsageError
from mm.sim.wire.limits import WireLimits

TRADE = "simusdt@trade"


def at(box, path="/ws", **options):
    return connect(box.base + path, proxy=None, **options)


async def closed_as(client):
    """Return code and reason of the end of a client's connection."""
    await client.wait_closed()
    return client.close_code, client.close_reason


def frame(opcode, payload=b"", *, fin=True):
    """Return a client's frame, masked with zeros."""
    assert len(payload) < 126
    return bytes([fin << 7 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def bare(box, path="/ws"):
    """Return reader and writer of a WebSocket that sends nothing automatically."""
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer


async def frame_of(reader):
    """Return opcode and payload of the server's next short frame."""
    first, size = await reader.readexactly(2)
    assert size < 126
    return first & 15, await reader.readexactly(size)


class TestIncomingMessages:
    """Five per second of any kind; a rolling window."""

    @pytest.mark.parametrize("kind", ["ping", "pong", "text"])
    def test_sixth_message_in_a_second_closes_the_connection(self, kind):
        """1008, with the exchange's reason."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                send = {"ping": client.ping, "pong": client.pong, "text": lambda: client.send("{}")}[kind]
                for _ in range(6):
                    await send()
                assert await closed_as(client) == (1008, "Too many requests")

        run(scenario)

    def test_five_messages_per_second_are_accepted(self):
        """The window rolls on with the time."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                for _ in range(5):
                    for _ in range(5):
                        await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
                        assert (await receive(client))["result"] == []
                    box.wall.now_s += 1

        run(scenario)

    def test_message_limit_uses_a_rolling_window(self):
        """Five at the end of one second and one at the start of the next are six within a second."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                box.wall.now_s += 0.9
                for _ in range(5):
                    await client.send("{}")
                    await client.recv()
                box.wall.now_s += 0.2
                await client.send("{}")
                assert await closed_as(client) == (1008, "Too many requests")

        run(scenario)

    def test_messages_after_the_limit_are_not_read(self):
        """Thousands in one packet cost no more than six."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                writer.write(frame(1, b"{}") * 10_000)
                answers = []
                while (got := await frame_of(reader))[0] != 8:
                    answers.append(got)
                assert len(answers) == 5
                assert got[1] == b"\x03\xf0Too many requests"
                writer.close()

        run(scenario)

    def test_fragments_are_joined_and_each_counts(self):
        """A message in pieces is one message; a thousand pieces are a flood."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                writer.write(frame(1, b'{"method":"LIST_', fin=False) + frame(0, b'SUBSCRIPTIONS","id":1}'))
                assert json.loads((await frame_of(reader))[1]) == {"result": [], "id": 1}
                writer.write(frame(1, b"{", fin=False) + frame(0, fin=False) * 1_000)
                assert (await frame_of(reader))[1].startswith(b"\x03\xf0")
                writer.close()

        run(scenario)


class TestPings:
    """Every 20 s, and an answer within a minute."""

    def test_client_that_answers_pings_stays_connected(self):
        """The library answers automatically."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                (connection,) = box.server.sockets
                for _ in range(12):
                    box.wall.now_s += 20
                    box.server.sweep()
                    await until(lambda: not connection._pings)
                await client.send("{}")
                assert "error" in await receive(client)

        run(scenario)

    def test_client_without_pong_is_closed_after_a_minute(self):
        """1008, Pong timeout; unsolicited pongs do not help."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                box.wall.now_s += 20
                box.server.sweep()
                assert (await frame_of(reader))[0] == 9
                for _ in range(2):
                    writer.write(frame(10, b"unasked"))
                    box.wall.now_s += 20
                    box.server.sweep()
                    assert (await frame_of(reader))[0] == 9
                box.wall.now_s += 19
                box.server.sweep()
                assert len(box.server.sockets) == 1
                box.wall.now_s += 1
                box.server.sweep()
                assert await frame_of(reader) == (8, b"\x03\xf0Pong timeout")
                assert await reader.read() == b""
                writer.close()
                await until(lambda: not box.server.sockets)

        run(scenario)

    def test_pong_to_later_ping_covers_earlier_pings(self):
        """Frames come in order: a client that answers the third ping has received the first."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                payload = b""
                for _ in range(3):
                    box.wall.now_s += 19
                    box.wall.now_s += 1
                    box.server.sweep()
                    payload = (await frame_of(reader))[1]
                writer.write(frame(10, payload))
                (connection,) = box.server.sockets
                await until(lambda: not connection._pings)
                writer.close()

        run(scenario)

    def test_client_ping_is_answered(self):
        """With its own payload."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                await (await client.ping(b"abc"))

        run(scenario)


class TestAge:
    """The maximum age of a connection is 24 hours."""

    def test_connection_is_closed_at_maximum_age(self):
        """A new connection takes its place."""

        async def scenario():
            async with open_box(WireLimits(age_s=100.0)) as box, at(box) as client:
                box.wall.now_s += 99.9
                box.server.sweep()
                assert len(box.server.sockets) == 1
                async with at(box) as younger:
                    box.wall.now_s += 0.1
                    box.server.sweep()
                    assert (await closed_as(client))[0] == 1001
                    await younger.send("{}")
                    assert "error" in await receive(younger)

        run(scenario)

    def test_default_limits_match_documentation(self):
        """As in the exchange's documentation."""
        limits = WireLimits()
        assert (limits.age_s, limits.ping_s, limits.pong_s) == (86_400, 20, 60)
        assert (limits.messages, limits.messages_s, limits.streams) == (5, 1, 1_024)
        assert (limits.attempts, limits.attempts_s) == (300, 300)


class TestAttempts:
    """300 handshakes per address in five minutes."""

    def test_attempt_over_limit_returns_429_with_retry_after(self):
        """Open connections are not affected."""

        async def scenario():
            async with open_box(WireLimits(attempts=2, attempts_s=10.0)) as box, at(box) as first, at(box):
                for _ in range(2):
                    with pytest.raises(InvalidStatus) as refused:
                        await at(box).__aenter__()
                    assert refused.value.response.status_code == 429
                    assert refused.value.response.headers["Retry-After"] == "10"
                    assert json.loads(refused.value.response.body)["code"] == -1003
                box.wall.now_s += 10
                async with at(box):
                    await first.send("{}")
                    assert "error" in await receive(first)

        run(scenario)

    def test_thousand_connections_leave_no_trace(self):
        """Without the limit every one is accepted."""

        async def scenario():
            async with open_box(WireLimits(attempts=None, close_s=0.05)) as box:
                for _ in range(20):
                    clients = await asyncio.gather(*(bare(box, f"/ws/{TRADE}") for _ in range(50)))
                    for _, writer in clients:
                        writer.close()
                    await asyncio.gather(*(writer.wait_closed() for _, writer in clients))
                await until(lambda: not box.server.sockets and not box.server.http_connections)
                assert box.server.opened == 1_000
                async with at(box, f"/ws/{TRADE}") as client:
                    box.submit(1, 10_000, 1)
                    box.submit(-1, 10_000, 1)
                    box.pass_ms(0)
                    assert (await receive(client))["t"] == 1

        run(scenario)


class TestEnds:
    """After any end of a connection nothing is left and no other connection is affected."""

    def test_too_long_message_closes_with_1009(self):
        """The client receives the code although it was still sending."""

        async def scenario():
            async with open_box(WireLimits(message_bytes=1_000)) as box, at(box) as client, at(box) as other:
                await client.send("x" * 3_000_000)
                assert (await closed_as(client))[0] == 1009
                await other.send("{}")
                assert "error" in await receive(other)

        run(scenario)

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            (b"\xff\xff\xff\xff", 1002),
            (frame(3), 1002),
            (bytes([0x81, 2]) + b"{}", 1002),
            (frame(0, b"x"), 1002),
            (frame(9, fin=False), 1002),
            (frame(1, b"\xff\xfe"), 1007),
            (frame(8, b"\x03"), 1002),
        ],
        ids=[
            "reserved bits",
            "unknown opcode",
            "no mask",
            "stray continuation",
            "ping in pieces",
            "no UTF-8",
            "torn close",
        ],
    )
    def test_invalid_frame_closes_the_connection(self, sent, code):
        """With the close code of the reason."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                writer.write(sent)
                opcode, payload = await frame_of(reader)
                assert (opcode, int.from_bytes(payload[:2])) == (8, code)
                assert await reader.read() == b""
                writer.close()
                await until(lambda: not box.server.sockets)

        run(scenario)

    def test_close_frame_is_answered_with_its_code(self):
        """The closing handshake started by the client."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                writer.write(frame(8, b"\x0b\xb8bye"))
                assert await frame_of(reader) == (8, b"\x0b\xb8bye")
                assert await reader.read() == b""
                writer.close()
                await until(lambda: not box.server.sockets)

        run(scenario)

    def test_aborted_client_is_removed_with_its_subscriptions(self):
        """A reset without a closing handshake."""

        async def scenario():
            async with open_box() as box:
                for _ in range(20):
                    _, writer = await bare(box, f"/ws/{TRADE}")
                    writer.transport.abort()
                await until(lambda: not box.server.sockets)
                box.submit(1, 10_000, 1)
                box.submit(-1, 10_000, 1)
                box.pass_ms(0)
                assert not any(box.feed._live.values())

        run(scenario)

    def test_client_that_ignores_close_frame_is_disconnected(self):
        """After the close timeout."""

        async def scenario():
            async with open_box(WireLimits(close_s=0.05)) as box:
                reader, writer = await bare(box)
                (connection,) = box.server.sockets
                connection.close(1000, "enough")
                assert await frame_of(reader) == (8, b"\x03\xe8enough")
                await until(lambda: not box.server.sockets)
                writer.close()

        run(scenario)

    def test_abort_closes_without_close_frame(self):
        """The client's library reports an abnormal end."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                next(iter(box.server.sockets)).abort()
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
                assert client.close_code == 1006

        run(scenario)

    def test_half_open_connection_reads_nothing(self):
        """The client's own keepalive must notice."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                (connection,) = box.server.sockets
                connection.pause_reading()
                waiter = await client.ping()
                for _ in range(50):
                    await asyncio.sleep(0)
                assert not waiter.done()
                client.transport.abort()

        run(scenario)


class TestShutdown:
    """The server stops."""

    def test_connections_get_shutdown_event_and_close_frame(self):
        """The event in the form of the connection, then 1001."""

        async def scenario():
            async with open_box() as box:
                raw = await at(box, "/ws").__aenter__()
                combined = await at(box, "/stream?timeUnit=MICROSECOND").__aenter__()
                api = await at(box, "/ws-api/v3?timeUnit=MICROSECOND").__aenter__()
                stopping = asyncio.create_task(box.server.stop())
                assert await receive(raw) == {"e": "serverShutdown", "E": START_US // 1_000}
                event = {"e": "serverShutdown", "E": START_US}
                assert await receive(combined) == {"stream": "!serverShutdown", "data": event}
                assert await receive(api) == {"event": event}
                for client in (raw, combined, api):
                    assert (await closed_as(client))[0] == 1001
                await stopping
                assert not box.server.sockets
                assert box.sessions[0].closed

        run(scenario)

    def test_shutdown_does_not_wait_for_clients(self):
        """Clients that read nothing, and incomplete requests, are cut within the close timeout."""

        async def scenario():
            async with open_box(WireLimits(close_s=0.05)) as box:
                _, unread = await bare(box)
                half = socket.create_connection(("127.0.0.1", box.port))
                half.sendall(b"GET /x HTTP/1.1\r\n")
                await until(lambda: box.server.http_connections and box.server.sockets)
                await box.server.stop()
                assert not box.server.sockets
                await until(lambda: not box.server.http_connections)
                half.close()
                unread.close()

        run(scenario)

    def test_port_in_use_raises_usage_error(self):
        """Before anything is served."""

        async def scenario():
            async with open_box() as box, open_box() as other:
                for host, port in (("127.0.0.1", box.port), ("192.0.2.1", 0)):
                    with pytest.raises(UsageError, match="serve_port"):
                        await other.server.start(host, port)

        run(scenario)


class TestApi:
    """The WebSocket API's connections."""

    def test_session_gets_parameters_and_messages(self):
        """Parameters of the address belong to the session; it ends with the connection."""

        async def scenario():
            async with open_box() as box:
                async with at(box, "/ws-api/v3?timeUnit=MICROSECOND&returnRateLimits=false") as client:
                    for number in range(20):
                        await client.send(f"message {number}")
                        answer = await receive(client)
                        assert answer["heard"] == f"message {number}"
                        assert answer["params"] == {"timeUnit": "MICROSECOND", "returnRateLimits": "false"}
                await until(lambda: box.sessions[0].closed)
                assert not box.server.opened

        run(scenario)

    def test_unsolicited_messages_of_a_session_are_sent(self):
        """Reports of orders come without a request."""

        async def scenario():
            async with open_box() as box, at(box, "/ws-api/v3") as client:
                box.sessions[0].send({"e": "executionReport"})
                box.pass_ms(0)
                assert await receive(client) == {"e": "executionReport"}

        run(scenario)
