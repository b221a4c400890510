"""Start and end of connections: limits, pings, age, shutdown, and unannounced ends."""

import asyncio
import json
import socket

import pytest
from exchange_double import START_US, heard, open_box, run, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from mm.errors import UsageError
from mm.sim.wire.limits import WireLimits

TRADE = "simusdt@trade"


def at(box, path="/ws", **how):
    return connect(box.base + path, proxy=None, **how)


async def closed_as(client):
    """Return code and reason with which a client's connection ends."""
    await client.wait_closed()
    return client.close_code, client.close_reason


def frame(opcode, payload=b"", *, fin=True):
    """Return a client's frame, masked with zeros."""
    assert len(payload) < 126
    return bytes([fin << 7 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def bare(box, path="/ws"):
    """Return reader and writer of a WebSocket that answers nothing by itself."""
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
    """Five a second, whatever they are; a rolling window."""

    @pytest.mark.parametrize("kind", ["ping", "pong", "text"])
    def test_the_sixth_in_a_second_ends_the_connection(self, kind):
        """1008, with the exchange's words."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                send = {"ping": client.ping, "pong": client.pong, "text": lambda: client.send("{}")}[kind]
                for _ in range(6):
                    await send()
                assert await closed_as(client) == (1008, "Too many requests")

        run(scenario)

    def test_five_in_every_second_are_fine(self):
        """The window rolls on with the time."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                for _ in range(5):
                    for _ in range(5):
                        await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
                        assert (await heard(client))["result"] == []
                    box.wall.now_s += 1

        run(scenario)

    def test_a_window_is_no_bucket(self):
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

    def test_thousands_in_one_packet_are_no_more_work_than_six(self):
        """What came behind the one too many is not looked at."""

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

    def test_fragments_are_put_together_and_each_counts(self):
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

    def test_a_client_that_answers_stays(self):
        """The payload comes back as it was sent; the library does that by itself."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                (connection,) = box.server.sockets
                for _ in range(12):
                    box.wall.now_s += 20
                    box.server.sweep()
                    await until(lambda: not connection._pings)
                await client.send("{}")
                assert "error" in await heard(client)

        run(scenario)

    def test_one_that_answers_no_ping_is_closed_after_a_minute(self):
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

    def test_an_answer_to_a_later_ping_covers_the_earlier_ones(self):
        """Frames come in order: who answers the third has seen the first."""

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

    def test_a_ping_of_the_client_is_answered(self):
        """With its own payload."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                await (await client.ping(b"abc"))

        run(scenario)


class TestAge:
    """The maximum age of a connection is 24 hours."""

    def test_it_is_closed_in_order_when_it_is_old(self):
        """However it behaved; a new one takes its place."""

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
                    assert "error" in await heard(younger)

        run(scenario)

    def test_by_default_that_is_a_day(self):
        """As in the exchange's documentation."""
        limits = WireLimits()
        assert (limits.age_s, limits.ping_s, limits.pong_s) == (86_400, 20, 60)
        assert (limits.messages, limits.messages_s, limits.streams) == (5, 1, 1_024)
        assert (limits.attempts, limits.attempts_s) == (300, 300)


class TestAttempts:
    """300 handshakes of one address in five minutes."""

    def test_one_too_many_is_refused_and_told_when_to_come_back(self):
        """429 with Retry-After; the connections that are there are left alone."""

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
                    assert "error" in await heard(first)

        run(scenario)

    def test_a_thousand_come_and_go(self):
        """Without the limit every one is let in, and nothing of them is left."""

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
                    assert (await heard(client))["t"] == 1

        run(scenario)


class TestEnds:
    """Whichever side ends it, nothing is left and no other connection is affected."""

    def test_a_message_that_is_too_long_ends_the_connection(self):
        """1009, and the client hears it although it was still sending."""

        async def scenario():
            async with open_box(WireLimits(message_bytes=1_000)) as box, at(box) as client, at(box) as other:
                await client.send("x" * 3_000_000)
                assert (await closed_as(client))[0] == 1009
                await other.send("{}")
                assert "error" in await heard(other)

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
    def test_frames_that_are_none_end_the_connection(self, sent, code):
        """With the code of the reason."""

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

    def test_a_close_frame_is_answered_with_its_code(self):
        """The closing handshake as the client began it."""

        async def scenario():
            async with open_box() as box:
                reader, writer = await bare(box)
                writer.write(frame(8, b"\x0b\xb8bye"))
                assert await frame_of(reader) == (8, b"\x0b\xb8bye")
                assert await reader.read() == b""
                writer.close()
                await until(lambda: not box.server.sockets)

        run(scenario)

    def test_a_client_that_vanishes_is_forgotten_with_its_subscriptions(self):
        """A reset in the middle of everything."""

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

    def test_a_client_that_closes_never_is_cut(self):
        """It got its close frame, and did not follow."""

        async def scenario():
            async with open_box(WireLimits(close_s=0.05)) as box:
                reader, writer = await bare(box)
                (connection,) = box.server.sockets
                connection.close(1000, "enough")
                assert await frame_of(reader) == (8, b"\x03\xe8enough")
                await until(lambda: not box.server.sockets)
                writer.close()

        run(scenario)

    def test_an_abort_is_a_reset(self):
        """No close frame: the client's library calls it abnormal."""

        async def scenario():
            async with open_box() as box, at(box) as client:
                next(iter(box.server.sockets)).abort()
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
                assert client.close_code == 1006

        run(scenario)

    def test_a_half_open_connection_takes_nothing_more(self):
        """What the client sends is not read; its own keepalive must notice."""

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


class TestTurns:
    """Much from one client."""

    def test_who_asks_much_at_once_does_not_keep_others_waiting(self):
        """A thousand requests in one packet are answered in order over time; a single one is not delayed by them."""

        async def scenario():
            async with open_box() as box:
                (answers, much), (_, once) = await bare(box, "/ws-api/v3"), await bare(box, "/ws-api/v3")
                much.write(b"".join(frame(1, b"%d" % n) for n in range(1_000)) + frame(9, b"end") + frame(8))
                once.write(frame(1, b"once"))
                await until(lambda: box.sessions[1].heard)
                assert len(box.sessions[0].heard) < 500
                told = await answers.read()
                assert box.sessions[0].heard == [str(n) for n in range(1_000)]
                assert told.count(b"heard") == 1_000
                assert told.endswith(bytes([0x8A, 3]) + b"end" + bytes([0x88, 0]))
                much.close()
                once.close()

        run(scenario)


class TestShutdown:
    """The server goes."""

    def test_stream_connections_are_told_and_closed(self):
        """The event in the form of the connection, then 1001."""

        async def scenario():
            async with open_box() as box:
                raw = await at(box, "/ws").__aenter__()
                combined = await at(box, "/stream?timeUnit=MICROSECOND").__aenter__()
                api = await at(box, "/ws-api/v3").__aenter__()
                stopping = asyncio.create_task(box.server.stop())
                assert await heard(raw) == {"e": "serverShutdown", "E": START_US // 1_000}
                told = {"e": "serverShutdown", "E": START_US}
                assert await heard(combined) == {"stream": "!serverShutdown", "data": told}
                assert await heard(api) == {"event": {"e": "serverShutdown", "E": START_US // 1_000}}
                for client in (raw, combined, api):
                    assert (await closed_as(client))[0] == 1001
                await stopping
                assert not box.server.sockets
                assert box.sessions[0].closed

        run(scenario)

    def test_it_waits_for_nobody(self):
        """Clients that read nothing, and incomplete requests, are cut within the time of a close."""

        async def scenario():
            async with open_box(WireLimits(close_s=0.05)) as box:
                _, deaf = await bare(box)
                half = socket.create_connection(("127.0.0.1", box.port))
                half.sendall(b"GET /x HTTP/1.1\r\n")
                await until(lambda: box.server.http_connections and box.server.sockets)
                await box.server.stop()
                assert not box.server.sockets
                await until(lambda: not box.server.http_connections)
                half.close()
                deaf.close()

        run(scenario)

    def test_a_port_that_is_taken_is_said_in_one_line(self):
        """Before anything is served."""

        async def scenario():
            async with open_box() as box, open_box() as other:
                for host, port in (("127.0.0.1", box.port), ("192.0.2.1", 0)):
                    with pytest.raises(UsageError, match=r"--port \(SERVE_PORT\)"):
                        await other.server.start(host, port)

        run(scenario)


class TestApi:
    """The WebSocket API's connections."""

    def test_a_session_gets_the_handshake_and_its_messages(self):
        """Parameters of the address belong to the session; it ends with the connection."""

        async def scenario():
            async with open_box() as box:
                async with at(box, "/ws-api/v3?timeUnit=MICROSECOND&returnRateLimits=false") as client:
                    for number in range(20):
                        await client.send(f"message {number}")
                        told = await heard(client)
                        assert told["heard"] == f"message {number}"
                        assert told["params"] == {"timeUnit": "MICROSECOND", "returnRateLimits": "false"}
                await until(lambda: box.sessions[0].closed)
                assert not box.server.opened

        run(scenario)

    def test_what_a_session_says_by_itself_is_sent(self):
        """Reports of orders come without a question."""

        async def scenario():
            async with open_box() as box, at(box, "/ws-api/v3") as client:
                box.sessions[0].send({"e": "executionReport"})
                box.pass_ms(0)
                assert await heard(client) == {"e": "executionReport"}

        run(scenario)
