"""Requests and responses between connections and routes; no socket, no clock."""

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
    """*params* come from the query and an urlencoded body, decoded; the query takes precedence."""

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
        cut_at: Body bytes after which the connection is cut, although ``Content-Length`` is the full length.
        wait: Calls the send function later or never; None sends at once.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_at: int | None = None
    reset: bool = False
    wait: "Callable[[Callable[[], None]], None] | None" = None


Answer = Callable[[Request], Response]


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes, remote: str) -> Request:
    """*target* is path and query; header names are in lower case.

    A body without a content type counts as a form: the exchange's own clients sometimes omit it.
    """
    path, _, query = target.partition("?")
    is_form = headers.get("content-type", _FORM).partition(";")[0].strip().lower() == _FORM
    given = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) if is_form else []
    named = parse_qsl(query, keep_blank_values=True)
    return Request(method, unquote(path), dict(given) | dict(named), headers, body, remote, query)


def json_response(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, {**JSON_HEADERS, **(headers or {})}, json_bytes(content))


def refusal(status: int, code: int, msg: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_response(status, {"code": code, "msg": msg}, headers)


def json_bytes(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
