"""The fuzz targets: a function of bytes for each, with examples to start from."""

import asyncio
import hmac
import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from plain_parse import OffTick, PlainDiffs, PlainTable, Refused
from websockets.frames import Frame, Opcode

import captured
from mm.errors import BrokenFile, MMError, OffGrid
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.messages import DepthUpdate, Futures
from mm.tape._parse import Cell, DiffParser, TableParser
from simulation import lockstep_box

REFUSALS = (ValueError, OffGrid, msgspec.MsgspecError, Futures)
"""The documented exceptions of `Messages.received`."""
TRADES = {
    "recv_time_us": int(Cell.INT | Cell.OPTIONAL),
    "recv_time_ms": int(Cell.INT),
    "run_id": int(Cell.WORD | Cell.OPTIONAL),
    "trade_id": int(Cell.INT),
    "price": int(Cell.PRICE),
    "qty": int(Cell.QTY),
    "is_buyer_maker": int(Cell.FLAG),
}
TICKS_E8 = (0, 1_000_000, 3)
SIZES = (1 << 20, 1, 7, 64)
MOST_STEPS = 200


@dataclass(frozen=True)
class Target:
    """A function to fuzz.

    Attributes:
        run: Takes one input; returns whether it was accepted, and raises on a finding.
        seeds: Inputs to start with.
        tokens: Pieces that inputs are made of.
    """

    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()


def planted(data: bytes) -> bool:
    """Crash on an input that random bytes do not find: a check of the fuzzer itself."""
    for number, sign in enumerate(b"mm!"):
        if data[number : number + 1] != bytes([sign]):
            return False
    raise AssertionError("planted")


# Messages of streams and answers of REST.


def messages(data: bytes) -> bool:
    """Read a message twice with and without the packed reader: the four results must be equal."""
    results = []
    for packs in (False, True):
        reader, grid = captured.decoder(packs=packs)
        results += [_read(reader, data), _read(reader, data)]
        results[-1] = results[-1], results[-2], grid.seen_tick_e8, grid.seen_step_e8
        del results[-2]
    assert results[0] == results[1], f"the packed reader differs: {results}"
    first, second = results[0][:2]
    assert first == second, f"the second reading differs: {results[0]}"
    for path in ("exchangeInfo", "depth?symbol=SIMUSDT"):
        with suppress(*REFUSALS):
            captured.decoder()[0].answer(f"https://x/api/v3/{path}", data)
    for aggregates in (True, False):
        BINANCE_SPOT.last_trade_id(data, aggregates=aggregates)
        for history in BINANCE_SPOT.trade_history(aggregates=aggregates):
            with suppress(ValueError, msgspec.MsgspecError):
                history.page(data)
    BINANCE_SPOT.server_time_us(data)
    return first[0] != "refused"


def _read(reader: Any, data: bytes) -> tuple[object, ...]:
    try:
        message = reader.received(data)
    except REFUSALS:
        return ("refused",)
    if isinstance(message, DepthUpdate):
        return "depth", message.E, message.U, message.u, list(map(tuple, message.b)), list(map(tuple, message.a))
    return type(message).__name__, str(message)


# Files of a day, as read into a tape.


def diffs(data: bytes) -> bool:
    """Read depth messages in pieces, and compare the kernel with the plain parser."""
    mode, text = data[:1] or b"\0", data[1:]
    tick_e8, size, lenient = TICKS_E8[mode[0] % 3], SIZES[mode[0] // 3 % 4], mode[0] >= 128
    parser = DiffParser("f", tick_e8, lenient=lenient)
    plain = PlainDiffs(tick_e8, lenient=lenient)
    outcome = _compare(parser, plain, text, size)
    if outcome != "whole":
        return False
    numbers, *columns = parser.take()
    numbers[:, -1] = numbers[:, -1].cumsum()
    parsed = list(map(tuple, numbers.tolist()))
    assert parsed == plain.numbers, (parsed, plain.numbers)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert rows == plain.rows, (rows, plain.rows)
    assert parser.left_out == plain.left_out
    return bool(rows)


def table(data: bytes) -> bool:
    """Read a table of trades in pieces, and compare the kernel with the plain parser."""
    mode, text = data[:1] or b"\0", data[1:]
    tick_e8, size = TICKS_E8[mode[0] % 3], SIZES[mode[0] // 3 % 4]
    parser, plain = TableParser("f", TRADES, tick_e8), PlainTable(TRADES, tick_e8)
    if _compare(parser, plain, text, size) != "whole":
        return False
    cells = parser.take().ravel().tolist()
    assert cells == plain.cells, (cells, plain.cells)
    return bool(cells)


def _compare(parser: DiffParser | TableParser, plain: PlainDiffs | PlainTable, text: bytes, size: int) -> str:
    """Return the outcome of both parsers for *text*, which must be the same."""
    try:
        for begin in range(0, len(text), size):
            parser.feed(text[begin : begin + size])
        kernel = "whole"
    except BrokenFile:
        kernel = "broken"
    except OffGrid:
        kernel = "off the tick"
    try:
        torn = plain.read(text)
        reference = "whole"
    except Refused:
        reference = "broken"
    except OffTick:
        reference = "off the tick"
    assert kernel == reference, f"the kernel returns {kernel}, the plain parser {reference}"
    assert parser.lines == plain.lines, (parser.lines, plain.lines)
    if kernel == "whole":
        assert parser.words == plain.words
        assert (parser.tick_e8, parser.lot_e8) == (plain.price.step, plain.qty.step)
        assert parser.finish(False) == bool(torn.strip())
    return kernel


# Captures.


def captures(data: bytes) -> bool:
    """Import a capture; a rejection must be an error of the project."""
    place = Path(tempfile.mkdtemp(prefix="mm-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        path = place / ("capture.gz" if data[:2] == b"\x1f\x8b" else "capture.dat")
        path.write_bytes(data)
        with suppress(MMError):
            captured.import_files([path], place / "data")
            return True
        return False
    finally:
        shutil.rmtree(place)


# The simulated exchange.


class Pipe(asyncio.Transport):
    """A transport without a socket, which keeps the written bytes."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.written = bytearray()
        self._closing = False
        self._protocol = protocol
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)

    def eof(self) -> None:
        if not self._closing and not self._protocol.eof_received():
            self.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(None)

    close = abort


LOOSE = {"messages": 10**9, "attempts": None, "close_s": 0.0}
SOCKETS = ("/ws", "/stream?streams=simusdt@depth@100ms/simusdt@trade", "/ws-api/v3", "/ws/simusdt@depth5")
KEY = b64encode(bytes(16)).decode()


def server(data: bytes) -> bool:
    """Play bytes, frames, texts, signed requests or control calls to a new exchange, which must keep running."""
    return _LOOP.run_until_complete(_play(data[:1] or b"\0", data[1:]))


async def _play(mode: bytes, data: bytes) -> bool:
    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    box = lockstep_box("empty", seed=5, wire=LOOSE)
    kind, path = mode[0] % 6, SOCKETS[mode[0] // 6 % len(SOCKETS)]
    pipe = Pipe(box.server._accept())
    if kind in (1, 2):
        pipe.feed(_handshake(path))
        assert pipe.written.startswith(b"HTTP/1.1 101 "), bytes(pipe.written)
    for piece in _pieces(box, kind, data):
        pipe.feed(piece)
        await asyncio.sleep(0)
        if kind in (1, 2):
            box.advance_now(us=150_000)
    for _ in range(MOST_STEPS):
        await asyncio.sleep(0)
    pipe.eof()
    await asyncio.sleep(0)
    second_pipe = Pipe(box.server._accept())
    second_pipe.feed(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert second_pipe.written.startswith(b"HTTP/1.1 200 ") or b"maintenance" in data or kind == 5, bytes(
        second_pipe.written
    )
    box.server.sweep()
    if contexts:
        error = contexts[0].get("exception")
        raise error if isinstance(error, BaseException) else AssertionError(str(contexts[0]))
    return b"HTTP/1.1 200" in pipe.written or b'"result"' in pipe.written


def _handshake(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def _pieces(box: Any, kind: int, data: bytes) -> list[bytes]:
    """Return the bytes to send for an input: the input, or frames, requests and calls made from its lines."""
    if kind in (0, 1):
        return [data[: len(data) // 2], data[len(data) // 2 :]]
    lines = data.split(b"\n")[:40]
    if kind == 2:
        return [Frame(Opcode.TEXT, line).serialize(mask=True) for line in lines]
    if kind == 3:
        return [_http("GET", line, b"") for line in lines]
    if kind == 4:
        return [_signed(box, line) for line in lines]
    path, _, body = data.partition(b"\n")
    calls = ("advance", "faults", "truth", "trades", "sent", "account", "state", "shutdown", "none")
    name = calls[path[0] % len(calls)] if path else "state"
    method = "GET" if name in calls[2:7] else "POST"
    target = f"/sim/{name}?".encode() + path[1:]
    return [_http(method, target, _bounded(name, body)), _http("POST", b"/sim/advance", b'{"us":2000000}')]


def _bounded(name: str, body: bytes) -> bytes:
    """Return the body of a control call, with times limited to a second: a day would take too long."""
    with suppress(ValueError, RecursionError):
        content = json.loads(body)
        if name == "advance" and isinstance(content, dict):
            limited = {key: min(value, 10**6) if type(value) is int else value for key, value in content.items()}
            return json.dumps({key: value for key, value in limited.items() if key != "updates"}).encode()
    return body


def _http(method: str, target: bytes, body: bytes) -> bytes:
    plain = bytes(sign if 0x21 <= sign < 0x7F else 0x2B for sign in target) or b"/"
    head = f"\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return method.encode() + b" " + plain + b" HTTP/1.1\r\nHost: localhost" + head + body


def _signed(box: Any, line: bytes) -> bytes:
    """Return a request with a valid signature for a line ``METHOD path name=value&…``."""
    method, _, rest = line.decode("latin-1").partition(" ")
    path, _, text = rest.partition(" ")
    user = box.ready()["accounts"][len(text) % 2]
    parameters = [part.partition("=")[::2] for part in text.split("&") if part][:30]
    query = urlencode([*parameters, ("timestamp", box.exchange.now_us // 1_000)])
    signature = hmac.new(user["secret"].encode(), query.encode(), "sha256").hexdigest()
    verb = method if method in ("GET", "POST", "PUT", "DELETE") else "POST"
    target = "".join(sign for sign in path if sign.isalnum() or sign in "/_") if path.startswith("/") else "/"
    head = f"{verb} {target.encode('ascii', 'replace').decode()}?{query}&signature={signature} HTTP/1.1\r\n"
    return f"{head}Host: x\r\nX-MBX-APIKEY: {user['api_key']}\r\nContent-Length: 0\r\n\r\n".encode()


_LOOP = asyncio.new_event_loop()


def _json(*contents: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(content, separators=(",", ":")).encode() for content in contents)


_MESSAGES = (
    captured.diff(5, 6, [["99.90", "1.0"], ["99.80000000", "0.00000000"]], [["100.10", "0"]]),
    captured.diff(7, 7)["data"],
    captured.trade(3),
    captured.trade(4)["data"],
    captured.agg_trade(3, 5, 6),
    captured.ticker(9),
    captured.ticker(9)["data"],
    captured.snapshot(10),
    captured.exchange_info("SIMUSDT"),
    {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}},
    {"result": None, "id": 1},
    {"serverTime": captured.NOON_US},
    [{"id": 1, "price": "1", "qty": "2", "time": captured.NOON_US, "isBuyerMaker": True}],
    [{"a": 1, "p": "1", "q": "2", "f": 1, "l": 2, "T": captured.NOON_US, "m": False}],
)
_DIFF = (
    b'{"recv_ms":1767610800000,"recv_us":1767610800000136,"recv_seq":4,"run_id":"first","E":1767610800000,'
    b'"U":5,"u":6,"b":[["1.22100000","2889.95000000"]],"a":[["1.3","0"]]}\n'
)
_TABLE = (
    b"event_time_ms,recv_time_ms,recv_seq,run_id,trade_id,trade_time_ms,price,qty,is_buyer_maker,recv_time_us,source\n"
    b"1721772010519,1721772010510,20,first,12796288,1721772010518,1.22400000,14.19000000,true,1721772010510865,ws\n"
    b"1721772010519,1721772010511,21,first,12796289,1721772010518,1.22,14,False,,rest\r\n"
)
_SOME = [captured.snapshot(100), captured.diff(101, 102, [["99.90", "2"]]), captured.trade(1), captured.ticker(102)]
_RECORD = (
    b'{"t":"header","exchange":"BINANCE","ts":1767610800000000000}\n'
    b'{"t":"connect","ts":1767610800000000000,"addr":"wss://stream.binance.com"}\n'
    b'{"t":"http","ts":1767610800000000001,"url":"https://api.binance.com/api/v3/depth?symbol=SIMUSDT","data":'
    + json.dumps(json.dumps(captured.snapshot(100))).encode()
    + b'}\n{"t":"recv","ts":1767610800100000000,"data":'
    + json.dumps(json.dumps(captured.diff(101, 102, [["99.90", "2"]]))).encode()
    + b"}\n"
)
_ORDER = b"POST /api/v3/order symbol=SIMUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=99&quantity=1"

TARGETS = {
    "messages": Target(
        messages,
        _json(*_MESSAGES),
        (*(f'"{key}":'.encode() for key in "esEUubaptqTmMflA"), b"99999999999999999999", b'"1e5"', b"\\u0031"),
    ),
    "diffs": Target(
        diffs,
        (b"\0" + _DIFF, b"\x81" + _DIFF * 2, b'\x04{"recv_ms":7,"U":1,"u":2,"b":[],"a":[],"x":{"y":[1,"}"]}}\n'),
        (b'"recv_us":', b'"run_id":"', b'[["', b'","', b"92233720368.54775807", b"\r\n", b"999999999999999999"),
    ),
    "table": Target(
        table,
        (b"\0" + _TABLE, b"\x05" + _TABLE.replace(b"1.22,", b"1.22000001,"), b"\x01" + _TABLE[:-3]),
        (b"price", b"qty,", b"\xef\xbb\xbf", b"92233720368.54775807", b"\r\n", b"true", b"is_buyer_maker"),
    ),
    "captures": Target(
        captures,
        (
            captured.lines(_SOME),
            captured.lines([captured.exchange_info("SIMUSDT"), *_SOME, captured.diff(105, 106)]),
            captured.lines([*_SOME[:2], captured.agg_trade(3, 5, 6)]),
            b"wss://stream.binance.com:9443/stream <-> 1767610800.25\n" + captured.lines(_SOME),
            b"https://api.binance.com/api/v3/depth?symbol=SIMUSDT -> 1767610800250: "
            + json.dumps(captured.snapshot(100)).encode()
            + b"\n"
            + captured.lines([captured.diff(101, 102, [["100.2", "2"]])]),
            _RECORD,
        ),
        (b"-> ", b" <-> ", b"1767610800", b"\x1f\x8b\x08", b'"t":"recv"', b'"lastUpdateId":', b"depthUpdate", b"\\n"),
    ),
    "server": Target(
        server,
        (
            b"\0GET /api/v3/depth?symbol=SIMUSDT&limit=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\0POST /api/v3/order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=1&b\r\n0\r\n\r\n",
            b"\x01\x81\x85\0\0\0\0hello\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8",
            b'\x02{"method":"SUBSCRIBE","params":["simusdt@trade","simusdt@aggTrade"],"id":1}\n{"method":"x"}',
            b'\x08{"method":"SET_PROPERTY","params":["combined",false],"id":"a"}\n{"method":"LIST_SUBSCRIPTIONS","id":2}',
            b'\x0e{"id":1,"method":"depth","params":{"symbol":"SIMUSDT","limit":5}}\n{"id":2,"method":"exchangeInfo"}',
            b"\x03/api/v3/exchangeInfo?symbols=[\"SIMUSDT\"]\n/api/v3/aggTrades?symbol=SIMUSDT&fromId=1",
            b"\x04" + _ORDER + b"\nGET /api/v3/openOrders symbol=SIMUSDT\nDELETE /api/v3/openOrders symbol=SIMUSDT",
            b"\x04" + _ORDER + b"\n" + _ORDER.replace(b"BUY", b"SELL") + b"\nGET /api/v3/account ",
            b'\x05\x01\nat start do drop n=3\nat id 5 do close code=1006',
            b'\x05\x07\n{"lead_s":0.5}',
        ),
        (b"symbol=SIMUSDT", b"&price=", b"&quantity=", b"orderId=1", b"cancelReplaceMode=STOP_ON_FAILURE", b"\r\n\r\n",
         b"type=MARKET", b"quoteOrderQty=", b"icebergQty=", b"selfTradePreventionMode=",
         b"/api/v3/order/amend/keepPriority"),
    ),
    "planted": Target(planted, (b"",)),
}  # fmt: skip
