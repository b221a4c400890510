"""HTTP connections: real sockets on loopback, real clients, and bytes that no client would send."""

import asyncio
import socket
import struct
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange_double import echo_request, open_box, run, until
from mm.sim.wire.http_connection import HttpConnection
from mm.sim.wire.http_messages import Response, json_response, read_request
from mm.sim.wire.limits import WireLimits

SMALL = WireLimits(header_bytes=2_000, body_bytes=1_000, close_s=0.05)


async def raw(box, sent, *, eof=False):
    """Send bytes on a new socket and return the complete answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
    writer.write(sent)
    if eof:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def request(line, *headers, body=b""):
    head = "\r\n".join([line, "Host: x", *headers, "", ""])
    return head.encode() + body


UPGRADE = request(
    "GET /ws HTTP/1.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
)


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_query_and_form_arrive_decoded_and_raw(method):
    """Routes read the decoded parameters; signatures are made over the raw texts."""

    async def scenario():
        async with open_box() as box, httpx.AsyncClient() as client:
            form = None if method in ("GET", "DELETE") else {"b": "x y"}
            answer = (await client.request(method, f"{box.http}/api/v3/order?a=1%2B1&c=", data=form)).json()
            assert answer["path"] == "/api/v3/order"
            assert (answer["method"], answer["query"]) == (method, "a=1%2B1&c=")
            assert answer["params"] == {"a": "1+1", "c": ""} | ({"b": "x y"} if form else {})
            assert answer["body"] == ("b=x+y" if form else "")
            assert answer["remote"] == "127.0.0.1"

    run(scenario)


def test_connection_serves_pipelined_requests():
    """Keep-alive, and requests that are sent before the last one was answered."""

    async def scenario():
        async with open_box() as box:
            last = request("GET /b?n=3 HTTP/1.1", "Connection: close")
            answer = await raw(box, request("GET /a HTTP/1.1") * 2 + last)
            assert statuses(answer) == [200, 200, 200]
            assert answer.endswith(b'"remote":"127.0.0.1"}')

    run(scenario)


def test_request_sent_byte_by_byte_is_accepted():
    """Packets may end anywhere, also within the body."""

    async def scenario():
        async with open_box() as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            for byte in request("POST /x HTTP/1.1", "Content-Length: 3", "Connection: close", body=b"a=b"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert b'"params":{"a":"b"}' in await reader.read()
            writer.close()

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET /x HTTP/1.1", "X-Long: " + "x" * 3_000), 431),
        (request("GET /" + "x" * 3_000 + " HTTP/1.1"), 431),
        (b"GET /" + b"x" * 1_000_000, 431),
        (request("POST /x HTTP/1.1", "Content-Length: 1001"), 413),
        (request("POST /x HTTP/1.1", "Content-Length: 100000000000000"), 413),
        (
            request(
                "POST /x HTTP/1.1", "Transfer-Encoding: chunked", body=b"3e9\r\n" + b"x" * 1_001 + b"\r\n0\r\n\r\n"
            ),
            413,
        ),
        (request("POST /x HTTP/1.1", "Content-Length: minus"), 400),
        (request("POST /x HTTP/1.1", "Content-Length: -5"), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\x00" * 100 + b"\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n\r\n", 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET  /x  HTTP/9.9\r\n\r\n", 400),
        (request("PATCH /x HTTP/1.1", "Connection: close"), 405),
        (request("HEAD /x HTTP/1.1", "Connection: close"), 405),
        (request("OPTIONS * HTTP/1.1", "Connection: close"), 405),
        (request("CONNECT x:443 HTTP/1.1", "Connection: close"), 405),
        (request("TRACE /x HTTP/1.1", "Connection: close"), 405),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else str(value),
)
def test_invalid_request_returns_error_and_next_client_is_served(sent, status):
    """An error code, the end of that connection, and no effect on others."""

    async def scenario():
        async with open_box(SMALL) as box:
            answer = await raw(box, sent)
            assert statuses(answer) == [status]
            if not sent.startswith(b"HEAD"):
                assert b'{"code":-1000,"msg":"' in answer
            assert statuses(await raw(box, request("GET /x HTTP/1.1", "Connection: close"))) == [200]
            await until(lambda: not box.server.http_connections)

    run(scenario)


def test_malformed_request_after_head_gets_an_error_with_body():
    """The answer to HEAD has no body; the error for the next request on the same connection has one."""

    async def scenario():
        async with open_box(SMALL) as box:
            answer = await raw(box, request("HEAD /x HTTP/1.1") + b"\x00NONSENSE\r\n\r\n")
            assert statuses(answer) == [405, 400]
            assert answer.endswith(b'{"code":-1000,"msg":"Malformed HTTP request."}')

    run(scenario)


def test_large_body_within_limit_arrives_complete():
    """The limit is on the body, not on one packet of it."""

    async def scenario():
        async with open_box() as box, httpx.AsyncClient() as client:
            form = {"a": "x" * 200_000}
            assert (await client.post(f"{box.http}/x", data=form)).json()["params"] == form

    run(scenario)


def test_expect_100_continue_is_answered():
    """curl sends this before a large body."""

    async def scenario():
        async with open_box() as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            writer.write(request("POST /x HTTP/1.1", "Content-Length: 3", "Expect: 100-continue", "Connection: close"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            writer.write(b"a=b")
            assert b'"body":"a=b"' in await reader.read()
            writer.close()

    run(scenario)


def test_incomplete_request_is_closed_after_timeout():
    """A client that opens connections and sends nothing must not keep them open."""

    async def scenario():
        async with open_box() as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            writer.write(b"GET /x HT")
            await until(lambda: box.server.http_connections)
            box.wall.now_s += 59
            box.server.sweep()
            assert not reader.at_eof()
            box.wall.now_s += 60
            box.server.sweep()
            assert await reader.read() == b""
            writer.close()

    run(scenario)


def test_connection_whose_answer_is_still_read_is_not_idle():
    """A long answer on a busy machine takes longer than a connection may be idle."""

    async def scenario():
        server = SimpleNamespace(limits=SMALL, seconds=lambda: 0.0, http_connections=set())
        transport = Mock(spec=asyncio.Transport)
        transport.is_closing.return_value = False
        connection = HttpConnection(server)
        connection.connection_made(transport)
        connection.pause_writing()
        connection.sweep(SMALL.idle_s + 1)
        assert not transport.write_eof.called
        connection.resume_writing()
        connection.sweep(SMALL.idle_s + 1)
        assert transport.write_eof.called

    run(scenario)


def test_long_answer_is_read_to_its_end_by_a_slow_client(monkeypatch):
    """A connection that ends with its answer stays while the client takes some of it, and no longer."""
    monkeypatch.setattr("mm.sim.wire.http_connection.SLOW_READER_S", 0.2)
    body = b"x" * 12_000_000

    async def scenario():
        async with open_box(SMALL, lambda _request: Response(200, {}, body)) as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port, limit=2**16)
            writer.write(request("GET /api/v3/time HTTP/1.1", "Connection: close"))
            received = 0
            while chunk := await reader.read(200_000):
                received += len(chunk)
                await asyncio.sleep(0.01)
            assert received > len(body)
            writer.close()

    run(scenario)


def test_half_closed_client_is_still_answered():
    """Half-open is legal: the request was complete."""

    async def scenario():
        async with open_box() as box:
            answer = await raw(box, request("GET /x HTTP/1.1"), eof=True)
            assert statuses(answer) == [200]
            await until(lambda: not box.server.http_connections)

    run(scenario)


def test_client_that_disconnects_mid_request_is_removed():
    """An abrupt end leaves no connection."""

    async def scenario():
        async with open_box() as box:
            for sent in (b"", b"GET /x", request("POST /x HTTP/1.1", "Content-Length: 9", body=b"abc")):
                sock = socket.create_connection(("127.0.0.1", box.port))
                sock.sendall(sent)
                await until(lambda: box.server.http_connections)
                sock.close()
                await until(lambda: not box.server.http_connections)

    run(scenario)


def test_client_reset_before_answer_does_not_affect_others():
    """Its input is read and rejected, without a client left for the response."""

    async def scenario():
        async with open_box(SMALL) as box:
            for sent in (b"NONSENSE\r\n\r\n", b"x" * 5_000, request("GET /x HTTP/1.1"), UPGRADE, UPGRADE + b"\xff" * 9):
                for _ in range(20):
                    sock = socket.create_connection(("127.0.0.1", box.port))
                    sock.sendall(sent)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
                    await asyncio.sleep(0)
            assert statuses(await raw(box, request("GET /x HTTP/1.1", "Connection: close"))) == [200]
            await until(lambda: not box.server.http_connections and not box.server.sockets)

    run(scenario)


def test_closing_a_connection_that_was_just_reset_is_safe():
    """The reset has arrived and was not read yet: the system refuses to close it."""

    async def scenario():
        async with open_box(SMALL) as box:
            sock = socket.create_connection(("127.0.0.1", box.port))
            await until(lambda: box.server.http_connections)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            box.wall.now_s += 60
            box.server.sweep()
            await until(lambda: not box.server.http_connections)

    run(scenario)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["", "head", "upgrade"]))
def test_any_bytes_leave_the_server_running(noise, prefix):
    """As the first bytes, after a request line, or after a handshake."""

    async def scenario():
        async with open_box(SMALL) as box:
            start = {"": b"", "head": b"POST /x HTTP/1.1\r\nHost: x\r\n", "upgrade": UPGRADE}[prefix]
            await raw(box, start + noise, eof=True)
            assert statuses(await raw(box, request("GET /x HTTP/1.1", "Connection: close"))) == [200]

    run(scenario)


def test_answers_are_not_buffered_for_a_client_that_does_not_read():
    """They do not pile up in memory."""
    answered = []

    def large(request):
        answered.append(request)
        return Response(200, {}, b"x" * 1_000_000)

    async def scenario():
        async with open_box(rest=large) as box:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
            writer.write(request("GET /x HTTP/1.1") * 200)
            await until(lambda: len(answered) > 1)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{box.http}/y")).status_code == 200
            assert len(answered) < 100
            size = 0
            while size < 200 * 1_000_000:
                size += len(await reader.read(1 << 20))
            assert len(answered) == 201
            writer.close()

    run(scenario)


class TestFaults:
    """Faults of an HTTP answer on its way."""

    def test_late_answer_keeps_its_place(self):
        """Later requests on the same connection wait; other connections do not."""

        def late(received):
            answer = echo_request(received)
            wait = partial(asyncio.get_running_loop().call_later, 0.3)
            return replace(answer, wait=wait) if received.path == "/late" else answer

        async def scenario():
            async with open_box(rest=late) as box:
                last = request("GET /soon HTTP/1.1", "Connection: close")
                waiting = asyncio.create_task(raw(box, request("GET /late HTTP/1.1") + last))
                assert b"/other" in await raw(box, request("GET /other HTTP/1.1", "Connection: close"))
                assert not waiting.done()
                assert not all(door._transport.is_reading() for door in box.server.http_connections)
                answer = await waiting
                assert answer.index(b"/late") < answer.index(b"/soon")

        run(scenario)

    def test_cut_body_ends_before_content_length(self):
        """The client gets a connection that ends within the body."""

        async def scenario():
            cut = replace(json_response(200, {"a": "b" * 100}), cut_at=20)
            async with open_box(rest=lambda _: cut) as box, httpx.AsyncClient() as client:
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(f"{box.http}/x")
                answer = await raw(box, request("GET /x HTTP/1.1"))
                assert answer.endswith(b"\r\n\r\n" + cut.body[:20])

        run(scenario)

    def test_reset_answer_resets_the_connection(self):
        """Not an empty response: the client's system reports that the peer reset the connection."""

        async def scenario():
            async with open_box(rest=lambda _: Response(200, reset=True)) as box:
                with pytest.raises(ConnectionResetError):
                    await raw(box, request("GET /x HTTP/1.1"))

        run(scenario)


def test_control_calls_are_accepted_from_loopback_only():
    """A remote client must not control the exchange."""

    async def scenario():
        async with open_box(rest=lambda _: json_response(200, "rest")) as box:
            for remote, status in (("127.0.0.1", 200), ("127.8.8.8", 200), ("::1", 200), ("10.0.0.1", 403), ("", 403)):
                control_call = read_request("GET", "/sim/state", {}, b"", remote)
                assert box.server.answer(control_call).status == status
            assert box.server.answer(read_request("GET", "/simple", {}, b"", "10.0.0.1")).body == b'"rest"'

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8080"}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8080", "origin": "http://localhost:8080"}, 200),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:none"}, 403),
        ({"host": "rebound.example:8080"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "https://page.example"}, 403),
        ({"host": "127.0.0.1:8080", "origin": "null"}, 403),
        ({"host": "127.0.0.1.page.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "127.0.0.1", "origin": "http://[page]"}, 403),
        ({"host": ""}, 403),
    ],
)
def test_control_calls_of_web_pages_are_rejected(headers, status):
    """A browser on this machine is on loopback as well: Host and Origin identify the page."""

    async def scenario():
        async with open_box() as box:
            control_call = read_request("POST", "/sim/advance", headers, b"{}", "127.0.0.1")
            assert box.server.answer(control_call).status == status

    run(scenario)
