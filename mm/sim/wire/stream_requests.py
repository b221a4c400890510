"""Stream names and addresses of a market, and the requests on a stream connection; no socket."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, unquote

from mm.errors import MMError, UsageError

MS_SLOW, MS_FAST = 1_000, 100
_SPOT_SERVED = re.compile(
    r"(?P<symbol>[\w-]+)@(?:(?P<kind>trade|aggTrade|bookTicker)|depth(?P<levels>5|10|20)?(?P<speed>@100ms)?)"
)
MINUTES_ON = "1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M"
"""The intervals of klines, but for ``1s``."""
_ZONE = r"(?:@[+-]\d\d:\d\d)?"
_SPOT_SUMMARIES = (
    (re.compile(rf"(?P<symbol>[\w-]+)@kline_(?P<detail>1s{_ZONE})"), "kline", 1_000),
    (re.compile(rf"(?P<symbol>[\w-]+)@kline_(?P<detail>(?:{MINUTES_ON}){_ZONE})"), "kline", 2_000),
    (re.compile(r"(?P<symbol>[\w-]+)@(?P<kind>miniTicker|ticker(?:_(?:1h|4h|1d))?|avgPrice)"), "", 1_000),
    (re.compile(r"!(?P<kind>miniTicker|ticker(?:_(?:1h|4h|1d))?)@arr"), "", 1_000),
)
# Further streams of the exchange: a connection may subscribe to them, but receives no events in this simulation.
_SPOT_SILENT = re.compile(r"[\w-]+@(?:referencePrice|blockTrade)")
_COMBINED, _RAW = "stream", "ws"
API_PATH = "/ws-api/v3"
_MOST_PARAMS = {"LIST_SUBSCRIPTIONS": 0, "SET_PROPERTY": 2, "GET_PROPERTY": 1}
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_UNKNOWN_PROPERTY, _WRONG_TYPE, _INVALID_REQUEST, _INVALID_JSON, _TOO_MANY = range(5)
_LONGEST_ID = 36


class BadTimeUnit(UsageError):
    """The exchange does not have this time unit."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """A parsed stream name.

    Attributes:
        kind: ``depth partial trade aggTrade bookTicker``, a kind of `summaries`, with contracts also ``markPrice
            forceOrder contractInfo user``, or ``silent`` for a stream that is not simulated.
        symbol: In lower case; empty for a stream of all symbols.
    """

    name: str
    symbol: str
    kind: str
    interval_ms: int = 0
    levels: int = 0
    events: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    target: str
    streams: tuple[StreamName, ...]
    combined: bool
    micro: bool
    route: str = ""
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDialect:
    """The stream names and addresses of a market.

    Attributes:
        served: Names of simulated streams: ``symbol``, and ``kind``, or for depth ``levels`` and ``speed``.
        speeds: Suffix of a depth stream by the time between two events, ms; the empty one is the default.
        api_path: Of the WebSocket API; None: there is none.
        announces_end: Whether connections are sent ``serverShutdown`` before they end.
        summaries: Pattern, kind (empty: the matched name) and pace, ms, of streams with a pace of their own.
    """

    served: re.Pattern[str]
    silent: re.Pattern[str]
    speeds: Mapping[int, str]
    api_path: str | None
    users: re.Pattern[str] | None = None
    routes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    summaries: tuple[tuple[re.Pattern[str], str, int], ...] = ()
    announces_end: bool = True

    def control(self, opening: "Opening", most: int) -> "StreamControl":
        """Return what answers the requests of a connection with up to *most* streams."""
        return StreamControl(combined=opening.combined, most=most, dialect=self, route=opening.route)

    def read(self, name: str, route: str = "") -> StreamName | None:
        stream = self._read(name)
        if stream and route and stream.kind not in self.routes[route]:
            return StreamName(name, "", "silent")
        return stream

    def _read(self, name: str) -> StreamName | None:
        if self.users and self.users.fullmatch(name):
            return StreamName(name, "", "user")
        for pattern, kind, pace_ms in self.summaries:
            if found := pattern.fullmatch(name):
                given = found.groupdict()
                detail, symbol = given.get("detail") or "", given.get("symbol") or ""
                return StreamName(name, symbol, kind or given["kind"], pace_ms, detail=detail)
        match = self.served.fullmatch(name)
        if match is None:
            return StreamName(name, "", "silent") if self.silent.fullmatch(name) else None
        groups = match.groupdict()
        if groups["kind"]:
            interval_ms = {None: 0, "": 3_000, "@1s": 1_000}[groups.get("pace")]
            return StreamName(name, groups["symbol"] or "", groups["kind"], interval_ms)
        interval_ms = next(ms for ms, speed in self.speeds.items() if speed == (groups["speed"] or ""))
        levels = int(groups["levels"] or 0)
        return StreamName(name, groups["symbol"], "partial" if levels else "depth", interval_ms, levels)

    def open(self, path: str, query: str) -> Opening | None:
        """Parse raw *path* and *query*; None for an unknown path. Raises BadTimeUnit."""
        given, target = parse_qs(query), f"{path}?{query}" if query else path
        head, slash, rest = unquote(path).removesuffix("/")[1:].partition("/")
        route = head if head in self.routes else ""
        if route:
            head, slash, rest = rest.partition("/")
        names = [name for part in given.get("streams", []) for name in part.split("/")]
        if head not in (_COMBINED, _RAW) or (head == _COMBINED and slash):
            return None
        if head == _RAW:
            names = rest.split("/")
        events = tuple(name for part in given.get("events", []) for name in re.split("[/,]", part))
        names += given.get("listenKey", []) if self.users else []
        known = {name: stream for name in names if (stream := self.read(name, route))}.values()
        streams = tuple(replace(stream, events=events) if stream.kind == "user" else stream for stream in known)
        private = route == "private" or any(stream.kind == "user" for stream in streams)
        return Opening(target, streams, head == _COMBINED, is_micro(given), route, private)


SPOT_STREAMS = StreamDialect(
    served=_SPOT_SERVED,
    silent=_SPOT_SILENT,
    speeds={MS_SLOW: "", MS_FAST: "@100ms"},
    api_path=API_PATH,
    summaries=_SPOT_SUMMARIES,
)


def read_stream(name: str) -> StreamName | None:
    return SPOT_STREAMS.read(name)


def read_opening(path: str, query: str) -> Opening | None:
    return SPOT_STREAMS.open(path, query)


def is_micro(given: dict[str, list[str]]) -> bool:
    unit = given.get("timeUnit", ["MILLISECOND"])[-1]
    if unit.upper() not in ("MILLISECOND", "MICROSECOND"):
        raise BadTimeUnit(f"timeUnit was {unit!r}: it must be MILLISECOND or MICROSECOND")
    return unit.upper() == "MICROSECOND"


class RefusedMessage(MMError):
    """The exchange refuses a client's message."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    answer: dict[str, Any]
    joined: Sequence[StreamName] = ()
    left: Sequence[StreamName] = ()
    closes: str = ""


class StreamControl:
    def __init__(self, *, combined: bool, most: int, dialect: StreamDialect = SPOT_STREAMS, route: str = "") -> None:
        self.combined = combined
        self._dialect, self._route = dialect, route
        self.streams: dict[str, StreamName] = {}
        self._most = most

    def begin(self, streams: Sequence[StreamName]) -> Reply | None:
        if len(streams) > self._most:
            return Reply(_error(_TOO_MANY, "Too many subscriptions"), closes="Invalid request")
        self.streams = {stream.name: stream for stream in streams}
        return None

    def handle(self, text: str) -> Reply:
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
            joined = [stream for stream in self._named(params) if stream.name not in self.streams]
            if len(self.streams) + len(joined) > self._most:
                raise RefusedMessage(_TOO_MANY, "Too many subscriptions")
            self.streams |= {stream.name: stream for stream in joined}
        elif method == "UNSUBSCRIBE":
            left = [self.streams.pop(stream.name) for stream in self._named(params) if stream.name in self.streams]
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(self.streams)
        else:
            result = self._property(method, params)
        return Reply({"result": result, "id": request_id}, joined, left)

    def _named(self, params: list[Any]) -> list[StreamName]:
        streams = []
        for name in params:
            stream = self._dialect.read(name, self._route) if isinstance(name, str) else None
            if stream is None:
                raise RefusedMessage(_INVALID_REQUEST, "Invalid request: invalid stream")
            streams.append(stream)
        return list({stream.name: stream for stream in streams}.values())

    def _property(self, method: str, params: list[Any]) -> bool | None:
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
        message = json.loads(text, parse_constant=no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RefusedMessage(_INVALID_JSON, f"Invalid JSON: expected value at {where}") from error
    except (ValueError, RecursionError) as error:
        raise RefusedMessage(_INVALID_JSON, "Invalid JSON: number out of range or recursion limit exceeded") from error
    if not isinstance(message, dict):
        raise RefusedMessage(_INVALID_REQUEST, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    return message


def no_number(constant: str) -> None:
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
        written = re.search(r'"method"\s*:\s*"(?:[^"\\]|\\.)*"', text)
        names = ", ".join(f"`{name}`" for name in METHODS)
        raise RefusedMessage(
            _INVALID_REQUEST,
            f"Invalid request: unknown variant `{method}`, expected one of {names} "
            f"at line 1 column {written.end() if written else len(text)}",
        )
    return str(method)


def _error(code: int, msg: str, request_id: Any = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"error": {"code": code, "msg": msg}}
    return answer if request_id is None else {**answer, "id": request_id}
