"""Stream names, and handling of the requests on a stream connection; no socket."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from mm.errors import MMError, UsageError

MS_SLOW, MS_FAST = 1_000, 100
_SERVED = re.compile(
    r"(?P<symbol>[\w-]+)@(?:(?P<kind>trade|aggTrade|bookTicker)|depth(?P<levels>5|10|20)?(?P<fast>@100ms)?)"
)
# Further streams of the exchange: a connection may subscribe to them, but receives no events in this simulation.
_KLINES = r"kline_(?:1s|1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M)(?:@[+-]\d\d:\d\d)?"
_SILENT = re.compile(
    rf"[\w-]+@(?:{_KLINES}|miniTicker|ticker(?:_(?:1h|4h|1d))?|avgPrice|referencePrice|blockTrade)"
    r"|!(?:miniTicker|ticker|ticker_(?:1h|4h|1d))@arr"
)
_COMBINED_PATH, _RAW_PATH = "/stream", "/ws"
API_PATH = "/ws-api/v3"
_MOST_PARAMS = {"LIST_SUBSCRIPTIONS": 0, "SET_PROPERTY": 2, "GET_PROPERTY": 1}
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_UNKNOWN_PROPERTY, _WRONG_TYPE, _INVALID_REQUEST, _INVALID_JSON, _TOO_MANY = range(5)
_LONGEST_ID = 36


class BadTimeUnit(UsageError):
    """Error for a time unit that the exchange does not have."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A parsed stream name.

    Attributes:
        name: The name as sent by the client, also used in wrapped events.
        kind: ``depth partial trade aggTrade bookTicker``, or ``silent`` for a stream that is not simulated.
        interval_ms: Time between two events of ``depth`` and ``partial``; 0 for other kinds.
        levels: Levels per side of ``partial``; 0 for other kinds.
    """

    name: str
    symbol: str
    kind: str
    interval_ms: int = 0
    levels: int = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """The parsed address of a stream connection.

    Attributes:
        target: Raw path and query.
        streams: Initial streams, in order, without duplicates; unknown names are ignored, as the exchange does.
        combined: Whether events are wrapped with their stream's name.
        micro: Whether time stamps are in µs, not in ms.
    """

    target: str
    streams: tuple[StreamName, ...]
    combined: bool
    micro: bool


def read_stream(name: str) -> StreamName | None:
    """Return the parsed stream *name*; None if the exchange has no such stream."""
    found = _SERVED.fullmatch(name)
    if found is None:
        return StreamName(name, "", "silent") if _SILENT.fullmatch(name) else None
    if found["kind"]:
        return StreamName(name, found["symbol"], found["kind"])
    interval_ms = MS_FAST if found["fast"] else MS_SLOW
    return StreamName(
        name, found["symbol"], "partial" if found["levels"] else "depth", interval_ms, int(found["levels"] or 0)
    )


def read_opening(path: str, query: str) -> Opening | None:
    """Return the parsed address of a connection, given raw *path* and *query*; None for an unknown path.

    Raises:
        BadTimeUnit: If the query has a unit other than milliseconds and microseconds.
    """
    given, target = parse_qs(query), f"{path}?{query}" if query else path
    head, slash, rest = unquote(path).removesuffix("/")[1:].partition("/")
    if f"/{head}" == _COMBINED_PATH and not slash:
        names = [name for part in given.get("streams", []) for name in part.split("/")]
        return Opening(target, _known(names), True, is_micro(given))
    if f"/{head}" == _RAW_PATH:
        return Opening(target, _known(rest.split("/")), False, is_micro(given))
    return None


def is_micro(given: dict[str, list[str]]) -> bool:
    """Return whether the query parameters request µs; raises BadTimeUnit for unknown units."""
    unit = given.get("timeUnit", ["MILLISECOND"])[-1]
    if unit.upper() not in ("MILLISECOND", "MICROSECOND"):
        raise BadTimeUnit(f"timeUnit was {unit!r}: it must be MILLISECOND or MICROSECOND")
    return unit.upper() == "MICROSECOND"


def _known(names: list[str]) -> tuple[StreamName, ...]:
    found = {name: stream for name in names if (stream := read_stream(name))}
    return tuple(found.values())


class RefusedMessage(MMError):
    """Error for a client's message that the exchange refuses; *code* is the exchange's error code."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a client's message: the response, and the added and removed streams.

    *closes* is the reason of the close frame after the response; empty if the connection stays open.
    """

    answer: dict[str, Any]
    joined: Sequence[StreamName] = ()
    left: Sequence[StreamName] = ()
    closes: str = ""


class StreamControl:
    """Subscriptions and properties of one connection, with at most *most* streams.

    Attributes:
        combined: Whether events are wrapped with their stream's name.
        streams: Streams by name, in the order of subscription.
    """

    def __init__(self, *, combined: bool, most: int) -> None:
        self.combined = combined
        self.streams: dict[str, StreamName] = {}
        self._most = most

    def begin(self, streams: Sequence[StreamName]) -> Reply | None:
        """Subscribe to the *streams* of the connection's address; return the error to send, None without an error."""
        if len(streams) > self._most:
            return Reply(_error(_TOO_MANY, "Too many subscriptions"), closes="Invalid request")
        self.streams = {stream.name: stream for stream in streams}
        return None

    def handle(self, text: str) -> Reply:
        """Execute the client's message *text*, and return the result."""
        request_id: Any = None
        try:
            message = _read(text)
            request_id = _read_id(message)
            return self._do(_method(message, text), message.get("params", []), request_id)
        except RefusedMessage as refused:
            closes = "Invalid request" if refused.code == _TOO_MANY else ""
            return Reply(_error(refused.code, str(refused), request_id), closes=closes)

    def _do(self, method: str, params: Any, request_id: Any) -> Reply:
        if not isinstance(params, list):
            raise RefusedMessage(_INVALID_REQUEST, "Invalid request: params must be an array")
        if len(params) > _MOST_PARAMS.get(method, len(params)):
            raise RefusedMessage(_INVALID_REQUEST, "Invalid request: too many parameters")
        joined: list[StreamName] = []
        left: list[StreamName] = []
        result: Any = None
        if method == "SUBSCRIBE":
            joined = [stream for stream in _streams(params) if stream.name not in self.streams]
            if len(self.streams) + len(joined) > self._most:
                raise RefusedMessage(_TOO_MANY, "Too many subscriptions")
            self.streams |= {stream.name: stream for stream in joined}
        elif method == "UNSUBSCRIBE":
            left = [self.streams.pop(stream.name) for stream in _streams(params) if stream.name in self.streams]
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(self.streams)
        else:
            result = self._property(method, params)
        return Reply({"result": result, "id": request_id}, joined, left)

    def _property(self, method: str, params: list[Any]) -> bool | None:
        """Return the value for GET_PROPERTY, or set it for SET_PROPERTY."""
        if not params or not isinstance(params[0], str):
            raise RefusedMessage(_INVALID_REQUEST, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise RefusedMessage(_UNKNOWN_PROPERTY, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < 2 or not isinstance(params[1], bool):
            raise RefusedMessage(_WRONG_TYPE, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RefusedMessage(_INVALID_JSON, f"Invalid JSON: expected value at {where}") from error
    except (ValueError, RecursionError) as error:
        raise RefusedMessage(_INVALID_JSON, "Invalid JSON: number out of range or recursion limit exceeded") from error
    if not isinstance(found, dict):
        raise RefusedMessage(_INVALID_REQUEST, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    return found


def no_number(constant: str) -> None:
    """Refuse NaN and Infinity, which Python would read."""
    raise ValueError(f"{constant} is not a JSON number")


def _read_id(message: dict[str, Any]) -> Any:
    request_id = message.get("id", ...)
    if isinstance(request_id, str) and len(request_id) <= _LONGEST_ID:
        return request_id
    whole = isinstance(request_id, int) and not isinstance(request_id, bool)
    if request_id is None or (whole and -(2**63) <= request_id < 2**63):
        return request_id
    raise RefusedMessage(_INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")


def _method(message: dict[str, Any], text: str) -> str:
    method = message.get("method")
    if method is None:
        raise RefusedMessage(_INVALID_REQUEST, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if method not in METHODS:
        found = re.search(r'"method"\s*:\s*"(?:[^"\\]|\\.)*"', text)
        names = ", ".join(f"`{name}`" for name in METHODS)
        raise RefusedMessage(
            _INVALID_REQUEST,
            f"Invalid request: unknown variant `{method}`, expected one of {names} "
            f"at line 1 column {found.end() if found else len(text)}",
        )
    return str(method)


def _streams(params: list[Any]) -> list[StreamName]:
    found = []
    for name in params:
        stream = read_stream(name) if isinstance(name, str) else None
        if stream is None:
            raise RefusedMessage(_INVALID_REQUEST, "Invalid request: invalid stream")
        found.append(stream)
    return list({stream.name: stream for stream in found}.values())


def _error(code: int, msg: str, request_id: Any = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"error": {"code": code, "msg": msg}}
    return answer if request_id is None else {**answer, "id": request_id}
