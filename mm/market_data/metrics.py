"""Prometheus metrics, shared by recorder, shadow and trader: families, their text (format 0.0.4), and its server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mm.base.doors import READ, Door, HttpRefusal
from mm.errors import UsageError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_REQUEST_BYTES = 16 << 10
REQUEST_TIMEOUT_S = 5.0
_TLS_TIMES: Mapping[str, Any] = {"ssl_handshake_timeout": REQUEST_TIMEOUT_S, "ssl_shutdown_timeout": 1.0}
_PLAIN = "text/plain; charset=utf-8"
_PAGES = (b"/metrics", b"/")
_HEALTH, _LIVE, _READY = b"/health", b"/health/live", b"/health/ready"

MetricSample = tuple[str, Mapping[str, str], float | str]
"""Suffix of the family's name (``_sum``), labels other than ``symbol``, and a number or exact decimal text."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric; *name* is in base units, a counter's ends in ``_total``."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


FilledFamily = tuple[MetricFamily, list[MetricSample]]

BOOK_AGE = MetricFamily(
    "mm_book_age_seconds",
    "gauge",
    "Age of a book in sync: since its last update, or by the exchange's clock if that is more.",
)
GAPS = MetricFamily("mm_gaps_total", "counter", "Number of sequence gaps of the book.")
MESSAGES = MetricFamily("mm_messages_total", "counter", "Messages processed, by stream.", ("stream",))
REFUSED = MetricFamily(
    "mm_requests_refused_total", "counter", "Requests to this page without a token that allows them.", ("reason",)
)
EXPIRY = MetricFamily("mm_certificate_expiry_timestamp_seconds", "gauge", "When this page's certificate expires.")
DOOR_FAMILIES = (REFUSED, EXPIRY)


def market_families(age_s: float | None, gaps: int, messages: Mapping[str, int]) -> list[FilledFamily]:
    """Book age (None before its first update), gaps, messages by stream."""
    return [
        (BOOK_AGE, [] if age_s is None else [("", {}, float(age_s))]),
        (GAPS, [("", {}, gaps)]),
        (MESSAGES, [("", {"stream": stream}, count) for stream, count in messages.items()]),
    ]


def exposition(symbol: str, families: Iterable[FilledFamily]) -> str:
    """Families without samples are left out; an empty *symbol* is no label."""
    common, lines = {"symbol": symbol} if symbol else {}, []
    for family, samples in families:
        if samples:
            lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
            lines += [_line(family.name + suffix, {**common, **labels}, value) for suffix, labels, value in samples]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float | str) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(int(value))
    return f"{name}{{{inside}}} {number}" if inside else f"{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _door_page(door: Door) -> str:
    if door.tokens is None and door.expires_s is None:
        return ""
    refused: list[MetricSample] = [("", {"reason": reason}, count) for reason, count in door.refusals.items()]
    expiry: list[MetricSample] = [] if door.expires_s is None else [("", {}, door.expires_s)]
    return exposition("", [(REFUSED, refused), (EXPIRY, expiry)])


@asynccontextmanager
async def metrics_served(
    host: str,
    port: int,
    text: Callable[[], str],
    why_not_ready: Callable[[], str] = str,
    health: Callable[[], Mapping[str, object]] | None = None,
    door: Door | None = None,
) -> AsyncIterator[int]:
    """Serve ``/metrics``, ``/health/live`` and ``/health/ready`` until the block ends; yield the port."""
    guard = door or Door(host)

    def page() -> str:
        return text() + _door_page(guard)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                refusal = _refusal(guard, head, str((writer.get_extra_info("peername") or ("",))[0]))
                writer.write(_refused(refusal) if refusal else _response(head, page, why_not_ready, health))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
            pass  # the client is gone, or has sent no request
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    try:
        server = await asyncio.start_server(
            answer, host, port, limit=MOST_REQUEST_BYTES, ssl=guard.context, **(_TLS_TIMES if guard.context else {})
        )
    except OSError as error:
        raise UsageError(
            "{metrics_port} was '{}': {}:{} cannot be bound ({}); give another port", port, host, port, error.strerror
        ) from error
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _refusal(door: Door, head: bytes, peer: str) -> HttpRefusal | None:
    first, *lines = head.split(b"\r\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    target = b"".join(first.split(b" ")[1:2]).partition(b"?")[0]
    return door.refusal(None if target == _LIVE else READ, headers, peer, target.decode("latin-1"))


def _refused(refusal: HttpRefusal) -> bytes:
    status = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    return _http(status, _PLAIN, f"{refusal.reason}\n", headers=refusal.headers)


def _response(
    head: bytes,
    text: Callable[[], str],
    why_not_ready: Callable[[], str],
    health: Callable[[], Mapping[str, object]] | None,
) -> bytes:
    method, _, rest = head.partition(b" ")
    target = rest.partition(b" ")[0].partition(b"?")[0]
    if target not in (*_PAGES, _LIVE, _READY) and not (target == _HEALTH and health):
        return _http("404 Not Found", _PLAIN, "the pages are /metrics, /health/live and /health/ready\n")
    if method not in (b"GET", b"HEAD"):
        return _http("405 Method Not Allowed", _PLAIN, "only GET and HEAD\n")
    with_body = method == b"GET"
    if target in _PAGES:
        return _http("200 OK", CONTENT_TYPE, text(), with_body=with_body)
    if target == _HEALTH and health:
        return _http("200 OK", "application/json", json.dumps(health()) + "\n", with_body=with_body)
    if target == _LIVE:
        return _http("200 OK", _PLAIN, "live\n", with_body=with_body)
    reason = why_not_ready()
    status = "503 Service Unavailable" if reason else "200 OK"
    return _http(status, _PLAIN, f"not ready: {reason}\n" if reason else "ready\n", with_body=with_body)


def _http(
    status: str, content_type: str, text: str, *, with_body: bool = True, headers: Mapping[str, str] | None = None
) -> bytes:
    body = text.encode()
    own = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + (body if with_body else b"")
