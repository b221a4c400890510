"""What connections and routes exchange: requests and responses; no socket, no clock."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

JSON_HEADERS = {"Content-Type": "application/json;charset=UTF-8"}
CONTROL_PATH = "/sim/"
"""What the path of a control call begins with."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, read whole.

    Attributes:
        method: In capitals.
        path: Without the query, percent-decoded.
        params: Of the query string and of an urlencoded body, decoded; where both name one, the query's holds.
        headers: Names in lower case; of a repeated one the last.
        body: As it came, raw, for signatures.
        remote: The client's address, without its port.
        query: As it came, without the question mark, raw, for signatures.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    remote: str = "127.0.0.1"
    query: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request, and what a fault does to it on its way.

    Attributes:
        status: HTTP status code.
        headers: Without ``Content-Length``, which the wire adds.
        body: Whole.
        delay_s: Seconds of wall time before the first byte is sent.
        cut_at: Bytes of the body after which the connection is cut, though its full length was announced.
        reset: Whether the connection is reset instead of any answer.
        wait: Takes the function that sends it, and calls it when it is time, or never; None sends it at once.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    cut_at: int | None = None
    reset: bool = False
    wait: "Callable[[Callable[[], None]], None] | None" = None


Answer = Callable[[Request], Response]


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes, remote: str) -> Request:
    """Return the request of a request line's *target* (path and query) and of what followed it.

    Names of headers are in lower case. A body without a type is read as a form as well: the exchange's own clients
    leave the type out at times.
    """
    path, _, query = target.partition("?")
    is_form = headers.get("content-type", _FORM).partition(";")[0].strip().lower() == _FORM
    given = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) if is_form else []
    named = parse_qsl(query, keep_blank_values=True)
    return Request(method, unquote(path), dict(given) | dict(named), headers, body, remote, query)


def json_response(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response whose body is *content* as compact JSON, with *headers* beside the content type."""
    return Response(status, {**JSON_HEADERS, **(headers or {})}, json_bytes(content))


def refusal(status: int, code: int, msg: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response to a request that is refused, with the exchange's own *code*."""
    return json_response(status, {"code": code, "msg": msg}, headers)


def json_bytes(content: Any) -> bytes:
    """Return *content* as compact JSON in UTF-8: what every message of the exchange is."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
