"""The audit log and the state store: the cost of an append for the loop, and the rows per second of each store.

Each turn runs ``python -m benchmarks.live_state``, which prints one JSON object and skips stores without a server.
PostgreSQL and Redis are those on loopback, or at ``LEDGER_URL`` and ``STATE_URL``; a separate database and separate
keys are created, and removed at the end.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.turns import PYTHON, Measured, Row, at_least, at_most, run
from mm.base.audit_chain import audit_folder, audit_path, verify_lines
from mm.instrument import E8, Instrument
from mm.live.audit.books import rebuild_symbol
from mm.live.audit.log import AuditLog
from mm.live.state.follow import bring_up
from mm.live.state.postgres import PostgresState
from mm.live.state.redis import RedisState
from mm.live.state.sqlite import SqliteState
from mm.live.state.tables import StateBackend, StoreUnavailable, Tick
from mm.live.venues.fills import AccountFill

POSTGRES, REDIS = "postgresql://root@127.0.0.1:5432/postgres", "redis://127.0.0.1:6379/0"
APPENDS, SYNCED, FILLS, TICKS = 20_000, 300, 40_000, 100_000
SYMBOL = f"BENCH{os.getpid()}"
GRID = Instrument(SYMBOL, E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
AIMS = {
    "append_us": at_most(20),
    "append_p99_us": at_most(20),
    "append_sync_us": at_most(20),
    "redis_ticks": at_least(50_000),
    "postgres_fills": at_least(20_000),
}
NAMES = {
    "append_us": ("audit append, AUDIT_SYNC=0", "µs"),
    "append_p99_us": ("the same, p99", "µs"),
    "append_sync_us": ("audit append, AUDIT_SYNC=1", "µs"),
    "append_sync_p99_us": ("the same, p99", "µs"),
    "synced_us": ("append until the row is on disk", "µs"),
    "verify": ("audit verify", "rows/s"),
    "rebuild": ("positions rebuilt from the log", "rows/s"),
    "sqlite_fills": ("fills from the log to SQLite", "/s"),
    "postgres_fills": ("fills from the log to PostgreSQL", "/s"),
    "redis_fills": ("fills from the log to Redis", "/s"),
    "redis_ticks": ("ticks to Redis", "/s"),
}


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh processes."""
    outputs = [run([*PYTHON, "benchmarks.live_state"]).output for _ in range(turns)]
    rows = [
        Row(
            name,
            unit,
            [output[key] for output in outputs],
            aim=AIMS.get(key, "a disk or a server of the machine decides"),
        )
        for key, (name, unit) in NAMES.items()
        if all(key in output for output in outputs)
    ]
    facts = {"appends": APPENDS, "fills": FILLS, "ticks": TICKS}
    return Measured(rows, facts, list(outputs[-1]["notes"]))


def _intent(number: int) -> dict[str, object]:
    return {
        "action": "place",
        "client_id": f"r20261121-{number:06d}-B",
        "side": 1,
        "price": "100.01000000",
        "qty": "0.00100000",
        "kind": "LIMIT_MAKER",
    }


def appends(out: Path) -> dict[str, float]:
    """Return the cost of an append for its caller, and the time of a row to the disk, in µs."""
    found = {}
    for sync, key in ((False, "append"), (True, "append_sync")):
        log = AuditLog(audit_path(out / key, SYMBOL, "20260105", "bench"), sync=sync)
        log.start(GRID, "bench")
        taken_us = []
        for number in range(APPENDS):
            fields = _intent(number)
            begun_ns = time.perf_counter_ns()
            log.append("intent", **fields)
            taken_us.append((time.perf_counter_ns() - begun_ns) / 1_000)
            if sync and number % 20 == 0:
                time.sleep(0)  # like a loop that waits for the next message
        log.close()
        taken_us.sort()
        found[f"{key}_us"], found[f"{key}_p99_us"] = statistics.median(taken_us), taken_us[APPENDS * 99 // 100]
    return found | {"synced_us": asyncio.run(_synced(out))}


async def _synced(out: Path) -> float:
    log = AuditLog(audit_path(out / "synced", SYMBOL, "20260105", "bench"), sync=True)
    taken_us = []
    for number in range(SYNCED):
        begun_ns = time.perf_counter_ns()
        await log.synced(log.append("intent", **_intent(number)))
        taken_us.append((time.perf_counter_ns() - begun_ns) / 1_000)
    log.close()
    return statistics.median(taken_us)


def write_fills(out: Path) -> Path:
    """Write a log of `FILLS` fills, and return its folder."""
    log = AuditLog(audit_path(out, SYMBOL, "20260105", "fills"), sync=False)
    log.start(GRID, "fills")
    for number in range(1, FILLS + 1):
        fill = AccountFill(number, number, f"r-{number}", 1, "100.01", "0.00100000", "0.000001", "BTC", number, True)
        log.append("fill", **fill.row())
    log.append("stop")
    log.close()
    return audit_folder(out, SYMBOL)


def reading(folder: Path) -> dict[str, float]:
    """Return the numbers of rows per second that are verified, and summed to positions."""
    data = next(folder.iterdir()).read_bytes()
    begun = time.perf_counter()
    assert verify_lines(BytesIO(data)).row is None
    verified = time.perf_counter()
    assert rebuild_symbol(folder, SYMBOL).ledger is not None
    return {"verify": FILLS / (verified - begun), "rebuild": FILLS / (time.perf_counter() - verified)}


def storing(folder: Path, backend: StateBackend) -> float:
    """Return the fills per second from a log into a store, including the reading."""
    backend.connect()
    begun = time.perf_counter()
    rows = bring_up(backend, folder, SYMBOL)
    return rows / (time.perf_counter() - begun)


def ticking(backend: RedisState) -> float:
    """Return the ticks per second into a stream."""
    stream = f"ticks:{SYMBOL}"
    fields = {"us": "1700000000000000", "bid": "100.01", "bid_qty": "1.5", "ask": "100.02", "ask_qty": "2.5"}
    begun = time.perf_counter()
    for first in range(1, TICKS, 1_000):
        backend.publish({}, [Tick(stream, f"{number}-0", fields) for number in range(first, first + 1_000)])
    return TICKS / (time.perf_counter() - begun)


@contextmanager
def _database() -> Iterator[str]:
    """Yield the URL of a new database."""
    import psycopg

    url = os.environ.get("LEDGER_URL") or POSTGRES
    name = f"mm_bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def servers(folder: Path, notes: list[str]) -> dict[str, float]:
    """Return the rates of the servers that answer; note those that do not."""
    found: dict[str, float] = {}
    try:
        import psycopg
        import redis
    except ModuleNotFoundError as error:
        notes.append(f"no servers: {error.name} is not installed, see pip install '.[state]'")
        return found
    try:
        with _database() as url:
            postgres = PostgresState(url)
            found["postgres_fills"] = storing(folder, postgres)
            postgres.close()
    except (psycopg.Error, StoreUnavailable) as error:
        notes.append(f"no PostgreSQL: {str(error).splitlines()[0]}; set LEDGER_URL")
    backend = RedisState(os.environ.get("STATE_URL") or REDIS)
    try:
        found["redis_fills"] = storing(folder, backend)
        found["redis_ticks"] = ticking(backend)
        backend.forget(SYMBOL)
        with redis.Redis.from_url(os.environ.get("STATE_URL") or REDIS) as client:
            client.delete(f"ticks:{SYMBOL}")
    except StoreUnavailable as error:
        notes.append(f"no Redis: {error}; set STATE_URL")
    return found


def main() -> None:
    """Print the results as one JSON object."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as place:
        out = Path(place)
        found: dict[str, Any] = appends(out)
        folder = write_fills(out / "fills")
        found |= reading(folder)
        sqlite = SqliteState(out / "state.sqlite")
        found["sqlite_fills"] = storing(folder, sqlite)
        sqlite.close()
        found |= servers(folder, notes)
    print(json.dumps({**found, "notes": notes}))


if __name__ == "__main__":
    main()
