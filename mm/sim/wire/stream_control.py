"""SUBSCRIBE and what else a client may say on a stream connection: texts in, answers and changes out; no socket."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mm.errors import MMError
from mm.sim.wire.stream_names import Stream, read_stream

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
POLICY_VIOLATION = 1008
_UNKNOWN_PROPERTY, _WRONG_TYPE, _INVALID_REQUEST, _INVALID_JSON, _TOO_MANY = range(5)
_LONGEST_ID = 36


class Refused(MMError):
    """A client's message that the exchange refuses; *code* is the exchange's own."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What follows from a client's message.

    Attributes:
        answer: What is sent back.
        joined: Streams that begin behind the answer.
        left: Streams that have ended.
        closes: Reason of the close frame that follows the answer; empty where the connection goes on.
    """

    answer: dict[str, Any]
    joined: Sequence[Stream] = ()
    left: Sequence[Stream] = ()
    closes: str = ""


class StreamControl:
    """The subscriptions and properties of one connection.

    Args:
        combined: Whether events are wrapped with their stream's name, to begin with.
        most: Most streams of a connection.

    Attributes:
        combined: As above, as it is now.
        streams: By name, in the order of subscription.
    """

    def __init__(self, *, combined: bool, most: int) -> None:
        self.combined = combined
        self.streams: dict[str, Stream] = {}
        self._most = most

    def begin(self, streams: Sequence[Stream]) -> Reply | None:
        """Subscribe to the *streams* of the connection's address; None where there is nothing to tell the client."""
        if len(streams) > self._most:
            return Reply(_error(_TOO_MANY, "Too many subscriptions"), closes="Invalid request")
        self.streams = {stream.name: stream for stream in streams}
        return None

    def handle(self, text: str) -> Reply:
        """Return what follows from the client's message *text*; what it asks for is noted here already."""
        request_id: Any = None
        try:
            message = _read(text)
            request_id = _read_id(message)
            return self._do(_method(message, text), message.get("params", []), request_id)
        except Refused as refused:
            closes = "Invalid request" if refused.code == _TOO_MANY else ""
            return Reply(_error(refused.code, str(refused), request_id), closes=closes)

    def _do(self, method: str, params: Any, request_id: Any) -> Reply:
        if not isinstance(params, list):
            raise Refused(_INVALID_REQUEST, "Invalid request: params must be an array")
        if method == "SUBSCRIBE":
            return self._subscribe(params, request_id)
        if method == "UNSUBSCRIBE":
            left = [self.streams.pop(stream.name) for stream in _streams(params) if stream.name in self.streams]
            return Reply(_result(None, request_id), left=left)
        if method == "LIST_SUBSCRIPTIONS":
            _at_most(params, 0)
            return Reply(_result(list(self.streams), request_id))
        if method == "SET_PROPERTY":
            _at_most(params, 2)
            _property(params)
            if len(params) < 2 or not isinstance(params[1], bool):
                raise Refused(_WRONG_TYPE, "Invalid value type: expected Boolean")
            self.combined = params[1]
            return Reply(_result(None, request_id))
        _at_most(params, 1)
        _property(params)
        return Reply(_result(self.combined, request_id))

    def _subscribe(self, params: list[Any], request_id: Any) -> Reply:
        joined = [stream for stream in _streams(params) if stream.name not in self.streams]
        if len(self.streams) + len(joined) > self._most:
            raise Refused(_TOO_MANY, "Too many subscriptions")
        self.streams |= {stream.name: stream for stream in joined}
        return Reply(_result(None, request_id), joined=joined)


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Refused(_INVALID_JSON, f"Invalid JSON: expected value at {where}") from error
    except (ValueError, RecursionError) as error:
        raise Refused(_INVALID_JSON, "Invalid JSON: number out of range or recursion limit exceeded") from error
    if not isinstance(found, dict):
        raise Refused(_INVALID_REQUEST, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    return found


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _read_id(message: dict[str, Any]) -> Any:
    request_id = message.get("id", ...)
    if isinstance(request_id, str) and len(request_id) <= _LONGEST_ID:
        return request_id
    whole = isinstance(request_id, int) and not isinstance(request_id, bool)
    if request_id is None or (whole and -(2**63) <= request_id < 2**63):
        return request_id
    raise Refused(_INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")


def _method(message: dict[str, Any], text: str) -> str:
    method = message.get("method")
    if method is None:
        raise Refused(_INVALID_REQUEST, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    if method not in METHODS:
        found = re.search(r'"method"\s*:\s*"(?:[^"\\]|\\.)*"', text)
        names = ", ".join(f"`{name}`" for name in METHODS)
        raise Refused(
            _INVALID_REQUEST,
            f"Invalid request: unknown variant `{method}`, expected one of {names} "
            f"at line 1 column {found.end() if found else len(text)}",
        )
    return str(method)


def _streams(params: list[Any]) -> list[Stream]:
    found = []
    for name in params:
        stream = read_stream(name) if isinstance(name, str) else None
        if stream is None:
            raise Refused(_INVALID_REQUEST, "Invalid request: invalid stream")
        found.append(stream)
    return list({stream.name: stream for stream in found}.values())


def _at_most(params: list[Any], most: int) -> None:
    if len(params) > most:
        raise Refused(_INVALID_REQUEST, "Invalid request: too many parameters")


def _property(params: list[Any]) -> None:
    if not params or not isinstance(params[0], str):
        raise Refused(_INVALID_REQUEST, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise Refused(_UNKNOWN_PROPERTY, "Unknown property")


def _result(result: Any, request_id: Any) -> dict[str, Any]:
    return {"result": result, "id": request_id}


def _error(code: int, msg: str, request_id: Any = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"error": {"code": code, "msg": msg}}
    return answer if request_id is None else {**answer, "id": request_id}
