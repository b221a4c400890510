"""Serves a market by uvicorn until a signal arrives."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from mm.api.app import made_app
from mm.api.desk_market import DeskMarket
from mm.base.doors import Door
from mm.errors import UsageError
from mm.terminal.interrupts import at_ending_signals

SEND_BUFFER = 65_536
UNREAD_MS = 10_000
"""Time after which the system ends a connection whose reader acknowledges no data, ms."""
_BACKLOG = 1_024


class _Server(uvicorn.Server):
    """Leaves signals to its caller, so that the process ends with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listening(host: str, port: int) -> socket.socket:
    """Listen with small buffers, so that a slow reader is noticed."""
    opened: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY for this one
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if opened is not None:
            opened.close()
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            "{serve_host} {!r}, {api_port} {}: cannot be bound ({}); give others, or port 0 for a free one",
            host,
            port,
            reason,
        ) from error
    return opened


async def serve(market: DeskMarket, listener: socket.socket, door: Door, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; *ready* is called once requests can be answered."""
    tls: dict[str, Any] = {"ssl_context_factory": lambda *_: door.context} if door.context else {}
    config = uvicorn.Config(
        made_app(market, door), **tls, log_config=None, access_log=False, lifespan="off", ws_max_size=65_536,
        timeout_keep_alive=75, timeout_graceful_shutdown=2, server_header=False,
    )  # fmt: skip
    server = _Server(config)

    def stop() -> None:
        server.should_exit = True

    at_ending_signals(lambda _name: stop())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    passing = asyncio.create_task(market.run())
    passing.add_done_callback(lambda _: stop())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        ready()
    await serving
    passing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await passing
