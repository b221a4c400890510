"""Hostile input: for any bytes on the socket the server continues, and a rejected request changes nothing.

One exchange in a thread serves all examples; after each, it must still answer, with an unchanged book.
"""

import asyncio
import base64
import hmac
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from mm.sim.wire.spot import OPERATIONS
from simulation import lockstep_box

PATIENCE_S = 10.0
KEY = base64.b64encode(os.urandom(16)).decode()
KNOWN = {200, 400, 401, 403, 404, 405, 409, 410, 413, 414, 418, 426, 429, 431, 501, 505}
LOOSE = {"messages": 10**9, "attempts": None, "close_s": 0.02}
FUZZ = settings(max_examples=60, deadline=None)


class Running:
    """A box in lockstep, in a thread with its own event loop."""

    def __init__(self) -> None:
        self.box = lockstep_box("large_tick", seed=5, wire=LOOSE)
        self.troubles: list[dict[str, Any]] = []
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        self.state = self.box.truth.last_update_id, self.box.truth.book(self.box.truth.last_update_id)

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.troubles.append(context))
        async with self.box.open():
            self._stop = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._stop.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", int(self.box.rest_url.rpartition(":")[2])), PATIENCE_S)

    def send(self, data: bytes) -> bytes:
        """Return the complete answer of the server to *data*, after which nothing more is sent."""
        with closing(self.connect()) as sock:
            received = bytearray()
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while chunk := sock.recv(1 << 16):
                    received += chunk
            except (ConnectionResetError, BrokenPipeError):
                pass  # the server closed before reading the rest
            return bytes(received)

    def check(self) -> None:
        """Check that the server answers, that no exception was raised, and that the book is unchanged."""
        (answer,) = answers(self.send(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
        assert answer == (200, {})
        assert self.troubles == []
        update_id = self.box.truth.last_update_id
        assert (update_id, self.box.truth.book(update_id)) == self.state


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    one = Running()
    yield one
    one.stop()


def answers(received: bytes) -> list[tuple[int, Any]]:
    """Return status and content of each HTTP answer; an error must have the exchange's format."""
    parsed = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1\.1 (\d{3}) ", head)[1])
        if status in (100, 101):
            received = rest
            continue
        size = int(re.search(rb"(?im)^content-length: (\d+)", head)[1])
        assert len(rest) >= size
        body, received = rest[:size], rest[size:]
        assert status in KNOWN, (status, body)
        if re.search(rb"(?im)^content-type: application/json", head):
            content = json.loads(body)
            if status in (404, 405) and "code" not in content:
                assert set(content) == {"status", "error", "path"}, "there is no such endpoint"
            elif status != 200:
                assert content["code"] < 0
                assert content["msg"]
        else:
            assert status in (400, 410, 426), "only handshakes and removed endpoints have other bodies"
            content = body
        parsed.append((status, content))
    return parsed


TOKENS = st.sampled_from(
    [b"GET ", b"POST ", b"/api/v3/depth", b"?symbol=SIMUSDT", b" HTTP/1.1\r\n", b" HTTP/9.9\r\n", b"Host: x\r\n",
     b"\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n",
     b"\x00", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Sec-WebSocket-Version: 99\r\n",
     b"Expect: 100-continue\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00", b"x" * 70_000,
     b": \r\n"]
)  # fmt: skip


@given(st.lists(TOKENS | st.binary(max_size=60), max_size=12).map(b"".join))
@example(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000)
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
@FUZZ
def test_server_survives_bytes_that_are_not_http(running: Running, data: bytes) -> None:
    """Port scanners and TLS clients find every port."""
    answers(running.send(data))
    running.check()


TEXTS = st.text(max_size=12) | st.sampled_from(["SIMUSDT", "0", "-1", "1e5", "9" * 30, "null", "\x00", "NaN", "%"])
NAMES = st.sampled_from(sorted({name for one in OPERATIONS for name in one.parameters} | {"signature", "timestamp"}))
PATHS = st.sampled_from([one.route[1] for one in OPERATIONS]) | st.sampled_from(
    ["/", "/ws", "/stream", "/ws-api/v3", "/api/v1/depth", "/api/v3/x", "/sim/truth", "/sim/trades", "/sim/none"]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "get"])


@given(
    METHODS, PATHS | st.text(max_size=9).map(lambda text: "/" + quote(text)), st.dictionaries(NAMES, TEXTS), st.data()
)
@FUZZ
def test_invalid_http_requests_return_one_error(
    running: Running, method: str, path: str, parameters: dict, data: st.DataObject
) -> None:
    """Every refusal has the exchange's code and message."""
    body = data.draw(st.sampled_from([b"", b"{}", b"\xff\xfe", b"a=1&a=2&=&%zz"]) | st.binary(max_size=40))
    key = data.draw(st.sampled_from(["", "no such key", running.box.ready()["accounts"][0]["api_key"]]))
    query = urlencode(parameters, errors="surrogatepass")
    head = f"{method} {path}?{query} HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: {key}\r\nConnection: close\r\n"
    received = running.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    if method != "HEAD":
        assert len(answers(received)) == 1
    running.check()


@given(
    st.sampled_from([one.route for one in OPERATIONS if one.signed and one.route[0] != "GET"]),
    st.dictionaries(NAMES, TEXTS | st.sampled_from(["BUY", "SELL", "LIMIT", "GTC", "100", "1", "STOP_ON_FAILURE"])),
)
@FUZZ
def test_rejected_signed_requests_keep_the_book(running: Running, route: tuple, parameters: dict) -> None:
    """A valid signature does not make an invalid order valid."""
    user = running.box.ready()["accounts"][0]
    stamp = running.box.exchange.now_us // 1_000
    changes = {"symbol": "SIMUSDT", "timestamp": stamp, "price": "0.001", "orderId": "5"}
    query = urlencode({key: value for key, value in (parameters | changes).items() if key != "signature"})
    signature = hmac.new(user["secret"].encode(), query.encode(), "sha256").hexdigest()
    head = f"{route[0]} {route[1]}?{query}&signature={signature} HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: {user['api_key']}"
    ((status, _),) = answers(running.send(f"{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()))
    assert status != 200 or route[1].endswith("/order/test")
    running.check()


def upgraded(running: Running, path: str) -> socket.socket:
    """Return a socket after its handshake."""
    sock = running.connect()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += sock.recv(1)
    assert received.startswith(b"HTTP/1.1 101 ")
    return sock


def frames(received: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and payload of each frame of a server, which is final and not masked."""
    parsed = []
    while received:
        assert received[0] & 0xF0 == 0x80
        size, begin = received[1], 2
        assert size < 128
        if size > 125:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(received[2:begin])
        parsed.append((received[0] & 0x0F, received[begin : begin + size]))
        received = received[begin + size :]
    return parsed


def frames_answering(running: Running, path: str, data: bytes) -> list[tuple[int, bytes]]:
    """Return the frames that answer *data* on a new WebSocket connection."""
    with closing(upgraded(running, path)) as sock:
        received = bytearray()
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while chunk := sock.recv(1 << 16):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # the server closed before reading the rest
        return frames(bytes(received))


SOCKETS = st.sampled_from(["/ws", "/stream", "/ws/simusdt@depth", "/ws-api/v3"])
HEADS = st.builds(
    lambda first, second, rest: bytes([first, second]) + rest,
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=24),
)


@given(SOCKETS, st.lists(HEADS | st.binary(max_size=30), max_size=5).map(b"".join))
@example("/ws", b"\x81\xff" + b"\x7f" * 8 + b"abcd")
@example("/ws", b"\x81\x05hello")
@example("/ws-api/v3", b"\x88\x80abcd")
@FUZZ
def test_invalid_websocket_frames_close_the_connection(running: Running, path: str, data: bytes) -> None:
    """Broken frames end their own connection, with a close code."""
    for opcode, payload in frames_answering(running, path, data):
        if opcode == Opcode.CLOSE and payload:
            Close.parse(payload).check()
        else:
            assert opcode in (Opcode.TEXT, Opcode.PONG, Opcode.CLOSE)
    running.check()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
STREAM_NAMES = st.sampled_from(
    ["simusdt@depth", "simusdt@trade", "btcusdt@trade", "", "@", "simusdt@depth7", "x" * 999]
)
MESSAGES = st.one_of(
    JSON.map(json.dumps),
    st.text(max_size=30),
    st.sampled_from(["[" * 50_000, '{"id":' + "9" * 5_000 + "}", "{}", "null", '{"method":"SUBSCRIBE","method":1}']),
    st.fixed_dictionaries(
        {},
        optional={
            "method": st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "x"]) | JSON,
            "params": st.lists(STREAM_NAMES | JSON, max_size=3) | JSON,
            "id": st.integers() | st.text(max_size=40) | JSON,
        },
    ).map(json.dumps),
)


def masked(text: str) -> bytes:
    return Frame(Opcode.TEXT, text.encode("utf-8", "replace")).serialize(mask=True)


@given(st.sampled_from(["/ws", "/stream"]), MESSAGES)
@FUZZ
def test_random_stream_messages_get_one_answer_each(running: Running, path: str, text: str) -> None:
    """A result, or an error with a code and a message."""
    received = frames_answering(running, path, masked(text))
    contents = [json.loads(payload) for opcode, payload in received if opcode == Opcode.TEXT]
    assert len(contents) == 1
    error = contents[0].get("error")
    assert ("result" in contents[0]) != bool(error)
    if error:
        assert isinstance(error["code"], int)
        assert error["msg"]
    running.check()


API_METHODS = [*(one.method for one in OPERATIONS), "session.logon", "userDataStream.subscribe", "x"]
API_MESSAGES = st.one_of(
    JSON.map(json.dumps),
    st.text(max_size=30),
    st.sampled_from(["[" * 50_000, '{"id":' + "9" * 5_000 + "}", "{}", "null"]),
    st.fixed_dictionaries(
        {"method": st.sampled_from(API_METHODS) | JSON},
        optional={
            "params": st.dictionaries(NAMES, TEXTS | JSON, max_size=4) | JSON,
            "id": st.integers() | st.text(max_size=40) | JSON,
        },
    ).map(json.dumps),
)


@given(API_MESSAGES)
@FUZZ
def test_random_websocket_api_messages_get_one_answer_each(running: Running, text: str) -> None:
    """A status, and for an error a code and a message."""
    received = frames_answering(running, "/ws-api/v3", masked(text))
    contents = [json.loads(payload) for opcode, payload in received if opcode == Opcode.TEXT]
    assert len(contents) == 1
    assert contents[0]["status"] in KNOWN
    if contents[0]["status"] != 200:
        assert contents[0]["error"]["code"] < 0
        assert contents[0]["error"]["msg"]
    running.check()


@given(
    METHODS,
    st.sampled_from(
        ["/sim/advance", "/sim/faults", "/sim/shutdown", "/sim/truth?id=1", "/sim/sent?conn=1", "/sim/state"]
    ),
    JSON.map(json.dumps) | st.text(max_size=40) | st.sampled_from(['{"us":-1}', '{"until_us":1e999}', "at id 1 do"]),
)
@FUZZ
def test_invalid_control_calls_return_one_answer(running: Running, method: str, path: str, text: str) -> None:
    """The control interface must survive invalid input as well."""
    body = text.encode("utf-8", "replace")
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    received = running.send(head.encode() + body)
    if method != "HEAD":
        assert len(answers(received)) == 1
    running.check()
