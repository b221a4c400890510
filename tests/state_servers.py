"""Real servers for tests of the state store, and a proxy between them and the client with scripted failures.

PostgreSQL is the machine's server (`POSTGRES`), with a separate database per test; Redis is a separate process, which a
test may kill, fill and restart.
"""

import itertools
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mm.live.state.stores import SHOWN
from mm.live.state.tables import TABLES

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgresql://root@127.0.0.1:5432/postgres")
_IN_CI = bool(os.environ.get("CI"))
_number = itertools.count()


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
    """Wait until a condition holds; fail with *what* after a timeout."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not in {timeout_s} s: {what}"
        time.sleep(0.01)


def missing(why: str) -> None:
    """Skip a test without its server; fail in continuous integration, where the servers are required."""
    if _IN_CI:
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def postgres_database() -> Iterator[str]:
    """Yield the URL of a new database, which is dropped afterwards."""
    psycopg = pytest.importorskip("psycopg", reason="the extra state is not installed")
    name = f"mm_test_{os.getpid()}_{next(_number)}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError as error:
        missing(f"no PostgreSQL at {POSTGRES} ({str(error).splitlines()[0]}); set TEST_POSTGRES_URL")
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield POSTGRES.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def postgres_tables(url: str, symbol: str) -> dict[str, list[Any]]:
    """Return the rows of each shown table by a separate client, normalised by `numbers`."""
    import psycopg

    found = {}
    with psycopg.connect(url) as connection:
        for table in SHOWN:
            kinds = TABLES[table].columns.items()
            names = ", ".join(f"{name}::text" if kind in ("decimal", "json") else name for name, kind in kinds)
            rows = connection.execute(f"SELECT {names} FROM {table} WHERE symbol = '{symbol}'").fetchall()
            found[table] = numbers(rows)
    return found


def numbers(rows: list[Any]) -> list[Any]:
    """Return sorted rows with decimals as numbers, so that 1.00000000 and 1.0 are equal."""
    return sorted([tuple(Decimal(v) if _is_decimal(v) else v for v in row) for row in rows], key=str)


def _is_decimal(value: Any) -> bool:
    return isinstance(value, str) and value.replace("-", "").replace(".", "", 1).isdigit() and len(value) < 30


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class RedisServer:
    """A Redis process on loopback; its append-only file keeps acknowledged writes, even after a kill."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("redis", reason="the extra state is not installed")
        program = shutil.which("redis-server")
        if program is None:
            missing("no redis-server on PATH")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning"]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, f"redis-server on port {self.port}")

    def kill(self) -> None:
        """Kill the server."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def send(self, number: int) -> None:
        """Send the server a signal, such as SIGSTOP: it hangs, and its port still accepts."""
        assert self._process
        self._process.send_signal(number)

    def client(self) -> Any:
        """Return a client of the server."""
        import redis

        return redis.Redis(port=self.port, decode_responses=True)

    def _answers(self) -> bool:
        import redis

        with self.client() as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Yield a running Redis server for one test."""
    server = RedisServer(folder)
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """Forwards bytes between its own port and a server's, until it is paused or cut.

    Attributes:
        port: The listening port.
        accepts: Whether connections are accepted; otherwise they are closed at once.
        answers_s: The delay of each response of the server, in s.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.accepts = True
        self.answers_s = 0.0
        self._flows = threading.Event()
        self._flows.set()
        self._ended = threading.Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._lost_answers = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop forwarding without closing connections."""
        self._flows.clear()

    def resume(self) -> None:
        """Resume forwarding."""
        self._flows.set()

    def cut(self) -> None:
        """Close every connection."""
        with self._lock:
            for one in list(self._pairs):
                self._drop(one)

    def cut_before_answers(self, count: int = 1) -> None:
        """Close the connection instead of forwarding the next *count* responses, whose requests are executed."""
        self._lost_answers = count

    def close(self) -> None:
        """Stop the proxy."""
        self._ended.set()
        self._flows.set()
        self._thread.join()
        self.cut()
        self._listener.close()

    def _run(self) -> None:
        self._listener.settimeout(0)
        while not self._ended.is_set():
            self._flows.wait()
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                with self._lock:
                    for one in self._pairs:
                        selector.register(one, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select(0.01)]
            for one in ready:
                if not self._flows.is_set():
                    break
                if one is self._listener:
                    self._accept()
                else:
                    self._forward(one)  # type: ignore[arg-type]

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            if not self.accepts:
                client.close()
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                return
            server_side = server
            with self._lock:
                self._pairs[client], self._pairs[server_side] = server_side, client
            self._servers = {**getattr(self, "_servers", {}), server_side: None}

    def _forward(self, one: socket.socket) -> None:
        with self._lock:
            other = self._pairs.get(one)
            if other is None:
                return
            try:
                data = one.recv(1 << 16)
                if data and self._lost_answers and one in self._servers:
                    self._lost_answers -= 1
                    data = b""
                if data and one in self._servers:
                    self._ended.wait(self.answers_s)
                if data:
                    other.sendall(data)
                else:
                    self._drop(one)
            except OSError:
                self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        one.close()
        if other is not None:
            self._pairs.pop(other, None)
            other.close()


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Yield a proxy to a port of this machine."""
    one = Proxy(port)
    try:
        yield one
    finally:
        one.close()
