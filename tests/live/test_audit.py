"""The writer of the audit log: which rows are on disk at which time, with kills and full disks."""

import asyncio
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from mm.base.audit_chain import ZEROS, audit_path, end_of, read_rows, verify_lines
from mm.errors import RunExists, TryLater
from mm.instrument import E8, Instrument
from mm.live.audit.log import AuditLog, earlier_logs, logs_of, witnesses_of
from support import ROOT

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
both = pytest.mark.parametrize("sync", [True, False])


class Ticking:
    """A clock that advances by 1 µs with each reading."""

    def __init__(self, us: int = 1_000) -> None:
        self.us = us

    def __call__(self) -> int:
        self.us += 1
        return self.us


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """Limit every file to *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return audit_path(tmp_path, "BTCUSDT", "20260105", "r1")


@both
def test_rows_are_written_in_order_and_read_back(path: Path, sync: bool) -> None:
    """With their instants; sides are BUY or SELL, and the instant of a row's subject is ``exchange_us``."""
    log = AuditLog(path, sync=sync, clock=Ticking())
    assert log.start(BTC, "r1", venue="box") == 1
    assert log.append("intent", action="place", client_id="a-1", side=-1, price="100.01", qty="0.5") == 2
    assert log.append("fill", trade_id=7, side="BUY", us=55) == 3
    assert log.append("reject", message="ünfit\u2028") == 4
    assert log.append("stop") == log.rows == 5
    log.close()
    rows = list(read_rows(path))
    bare = [{k: v for k, v in row.items() if k not in ("prev", "hash", "seq")} for row in rows]
    assert bare == [
        {"us": 1001, "type": "start", "symbol": "BTCUSDT", "run_id": "r1", "base_asset": "BTC", "quote_asset": "USDT"}
        | {"venue": "box", "earlier": []},
        {"us": 1002, "type": "intent", "action": "place", "client_id": "a-1", "side": "SELL", "price": "100.01"}
        | {"qty": "0.5"},
        {"us": 1003, "type": "fill", "trade_id": 7, "side": "BUY", "exchange_us": 55},
        {"us": 1004, "type": "reject", "message": "ünfit\u2028"},
        {"us": 1005, "type": "stop"},
    ]
    data = path.read_bytes()
    assert verify_lines(BytesIO(data)).row is None
    assert data.isascii()


@both
def test_synced_row_is_in_the_file(path: Path, sync: bool) -> None:
    """With and without forcing it to the disk."""

    async def run() -> None:
        for seq in range(1, 50):
            assert log.append("start" if seq == 1 else "intent") == seq
            await log.synced(seq)
            assert path.read_bytes().count(b"\n") >= seq
            await log.synced(1)

    log = AuditLog(path, sync=sync)
    asyncio.run(run())
    log.close()


def test_synced_waits_for_fdatasync_and_batches_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop continues meanwhile, and waiting rows are written together."""
    release, started, calls = threading.Event(), threading.Event(), []

    def slow(descriptor: int) -> None:
        calls.append(os.fstat(descriptor).st_size)
        started.set()
        assert release.wait(60)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def run() -> None:
        first = asyncio.create_task(log.synced(log.append("start")))
        await asyncio.get_running_loop().run_in_executor(None, started.wait, 10)
        others = [asyncio.create_task(log.synced(log.append("intent"))) for _ in range(9)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert not any(task.done() for task in [first, *others])
        release.set()
        await asyncio.gather(first, *others)

    log = AuditLog(path)
    asyncio.run(run())
    log.close()
    assert len(calls) == 2
    assert calls[1] == path.stat().st_size


@both
def test_stalled_disk_holds_up_only_those_who_wait(path: Path, sync: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are appended while a write takes for ever; an order whose row is not written yet does not leave."""
    release, stalled, write = threading.Event(), threading.Event(), os.pwrite

    def slow(descriptor: int, data: bytes, offset: int) -> int:
        stalled.set()
        assert release.wait(60)
        return write(descriptor, data, offset)

    async def run() -> None:
        order = asyncio.create_task(log.synced(log.append("start")))
        await asyncio.get_running_loop().run_in_executor(None, stalled.wait, 60)
        assert [log.append("intent") for _ in range(5)] == [2, 3, 4, 5, 6]
        assert not order.done()
        release.set()
        await order

    log = AuditLog(path, sync=sync)
    monkeypatch.setattr(os, "pwrite", slow)
    asyncio.run(run())
    log.close()
    assert len(list(read_rows(path))) == 6


@both
def test_full_disk_failure_is_permanent(path: Path, sync: bool) -> None:
    """`synced` keeps raising, although the refused rows are written once there is room."""

    async def run() -> None:
        await log.synced(log.append("start"))
        with full_at(path.stat().st_size + 300):
            seq = [log.append("intent", number=number) for number in range(5)][-1]
            with pytest.raises(OSError, match="File too large"):
                await log.synced(seq)
        assert isinstance(log.failure, OSError)
        with pytest.raises(OSError, match="File too large"):
            await log.synced(log.append("stop"))

    log = AuditLog(path, sync=sync)
    asyncio.run(run())
    log.close()
    assert verify_lines(BytesIO(path.read_bytes())).row is None
    assert [row["type"] for row in read_rows(path)] == ["start", *["intent"] * 5, "stop"]


@both
def test_close_reports_rows_never_written(path: Path, sync: bool) -> None:
    """The file is valid except for its last line."""
    log = AuditLog(path, sync=sync)
    log.append("start")
    asyncio.run(log.synced(1))
    with full_at(path.stat().st_size + 300):
        for _ in range(5):
            log.append("intent")
        with pytest.raises(TryLater, match=r"refused [45] rows of the audit log, from row [23] on .* before trading"):
            log.close()
    found = verify_lines(BytesIO(path.read_bytes()), open_end=True)
    assert (found.row, found.rows) == (None, 2)
    assert found.torn_bytes > 0


@both
def test_append_after_stop_or_close_raises(path: Path, sync: bool) -> None:
    """Closing twice is harmless."""
    log = AuditLog(path, sync=sync)
    log.append("start")
    log.append("stop")
    with pytest.raises(ValueError, match="after the log ended"):
        log.append("intent")
    log.close()
    log.close()
    with pytest.raises(ValueError, match="after the log ended"):
        log.append("intent")


def test_append_rejects_reserved_fields_and_non_json_values(path: Path) -> None:
    """Neither leaves a row."""
    log = AuditLog(path, sync=False)
    with pytest.raises(ValueError, match=r"field named \['hash', 'seq'\]"):
        log.append("intent", seq=1, hash="x")
    with pytest.raises(TypeError):
        log.append("intent", value=object())
    assert log.append("start") == 1
    log.close()
    assert len(list(read_rows(path))) == 1


def test_existing_log_is_never_overwritten(path: Path) -> None:
    """A second run of the same name would destroy the rows of the first."""
    AuditLog(path, sync=False).close()
    with pytest.raises(RunExists, match="give another RUN_ID"):
        AuditLog(path)


def test_log_is_readable_by_its_owner_alone(path: Path) -> None:
    """It has every order and the size of the account."""
    AuditLog(path, sync=False).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_start_row_contains_ends_of_earlier_logs(tmp_path: Path) -> None:
    """In the order of their starts, torn or not; so a truncated log is detected."""
    clock, paths = Ticking(), [audit_path(tmp_path, "BTCUSDT", "20260105", run) for run in ("z", "a", "m")]
    for place in paths[:2]:
        log = AuditLog(place, sync=False, clock=clock)
        log.start(BTC, "r")
        log.append("stop")
        log.close()
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    AuditLog(paths[0].with_name("empty.ndjson"), sync=False).close()
    log = AuditLog(paths[2], sync=False, clock=clock)
    log.start(BTC, "r")
    log.close()
    ends = [end_of(place) for place in paths[:2]]
    expected = [{"file": one.file, "rows": one.rows, "hash": one.hash} for one in ends]
    assert [(one["file"], one["rows"]) for one in expected] == [("20260105_z.ndjson", 2), ("20260105_a.ndjson", 1)]
    assert next(read_rows(paths[2]))["earlier"] == expected == earlier_logs(paths[2])
    assert logs_of(paths[0].parent) == paths
    assert [(one.rows, one.source) for one in witnesses_of(paths[0])] == [
        (2, "20260105_a.ndjson"),
        (2, "20260105_m.ndjson"),
    ]
    assert all(one.hash != ZEROS for one in witnesses_of(paths[0]))
    paths[2].write_bytes(paths[2].read_bytes().replace(b'"rows":2', b'"rows":9'))
    assert [one.source for one in witnesses_of(paths[0])] == ["20260105_a.ndjson"]  # the other was changed


def test_logs_are_ordered_by_references_to_earlier_logs(tmp_path: Path) -> None:
    """A clock set back between two runs does not change the order."""
    paths = [audit_path(tmp_path, "BTCUSDT", "20260105", run) for run in ("a", "b", "c")]
    for number, place in enumerate(paths):
        log = AuditLog(place, sync=False, clock=Ticking(1_000 - 100 * number))
        log.start(BTC, "r")
        log.close()
    assert logs_of(paths[0].parent) == paths
    paths[0].unlink()
    assert logs_of(paths[0].parent) == paths[1:]


WRITER = """
import asyncio, sys
from pathlib import Path
from mm.instrument import E8, Instrument
from mm.live.audit.log import AuditLog

async def main():
    log = AuditLog(Path(sys.argv[1]), sync=sys.argv[2] == "True")
    for number in range(10**6):
        seq = log.append("intent" if number else "start", client_id=f"r-{number}", text="x" * 300)
        await log.synced(seq)
        print(seq, flush=True)

asyncio.run(main())
"""


@both
@pytest.mark.parametrize("after", [1, 30])
def test_killed_process_has_written_every_reported_row(path: Path, sync: bool, after: int) -> None:
    """The log is valid up to a torn line."""
    command = [sys.executable, "-c", WRITER, str(path), str(sync)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        for _ in range(after):
            process.stdout.readline()
        process.kill()
        reported = [after, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
    found = verify_lines(BytesIO(path.read_bytes()), open_end=True)
    assert found.row is None
    assert found.rows >= reported[-1]


def test_writer_outlives_the_event_loop(path: Path) -> None:
    """Rows appended after the end of the loop are still written."""
    log = AuditLog(path)
    asyncio.run(log.synced(log.append("start")))
    log.append("stop")
    log.close()
    assert verify_lines(BytesIO(path.read_bytes())).row is None
