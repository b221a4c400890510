"""The requests and responses passed between connections and routes; no socket, no clock."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

JSON_HEADERS = {"Content-Type": "application/json;charset=UTF-8"}
CONTROL_PATH = "/sim/"
"""Prefix of the paths of control calls."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """One complete HTTP request.

    Attributes:
        params: Parameters of the query string and of an urlencoded body, decoded; the query takes precedence.
        remote: The client's address, without its port.
        query: Raw query without the question mark, for signatures.
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
    """The response to a request, and faults in its transmission.

    Attributes:
        cut_at: Number of body bytes after which the connection is cut, although ``Content-Length`` is the full length.
        reset: Whether the connection is reset instead of a response.
        wait: Function that is called with the send function, and calls it later or never; None sends at once.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None
    reset: bool = False
    wait: "Callable[[Callable[[], None]], None] | None" = None


Answer = Callable[[Request], Response]


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes, remote: str) -> Request:
    """Return the request for a request line's *target* (path and query) and the data after it.

    Header names are in lower case. A body without a content type is parsed as a form as well, since the exchange's own
    clients sometimes omit the type.
    """
    path, _, query = target.partition("?")
    is_form = headers.get("content-type", _FORM).partition(";")[0].strip().lower() == _FORM
    given = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) if is_form else []
    named = parse_qsl(query, keep_blank_values=True)
    return Request(method, unquote(path), dict(given) | dict(named), headers, body, remote, query)


def json_response(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response whose body is *content* as compact JSON, with *headers* after the content type."""
    return Response(status, {**JSON_HEADERS, **(headers or {})}, json_bytes(content))


def refusal(status: int, code: int, msg: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_response(status, {"code": code, "msg": msg}, headers)


def json_bytes(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
