"""The end of a process that was ended from outside, in its logs: what it could not write itself.

The run log gets the row of a failed run, the audit log its stop, and the run's temporary folder goes, as at the end of
every failed run. Nothing is written beside a new trader of the symbols, whose first row names the end of each log.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mm.base.audit_chain import STOP, body, decode_row, end_of, seal
from mm.clock import iso
from mm.errors import DataError

RELEASE_S, LOOK_S = 2.0, 0.005
"""Longest time until the last thread of a process that ends has released its locks, and between two looks, in s."""


@dataclass(frozen=True)
class GuardedRun:
    symbol: str
    run_id: str
    log: str
    partial: str
    audit: str
    key: str = ""
    market: str = ""
    out_root: str = ""


def record_end(runs: Sequence[GuardedRun], locks: Sequence[Path], code: int, why: str, us: int) -> None:
    """Record the end of a process that is gone; what a disk refuses is lost: the process tells it on stderr too."""
    for run in runs:
        shutil.rmtree(run.partial, ignore_errors=True)
    with _held(locks) as held:
        for run in runs if held else ():
            for path in Path(run.audit).glob(f"*_{run.run_id}.ndjson") if run.audit else ():
                with suppress(OSError, DataError):
                    _stop(path, why, us)
    for run in runs:  # last: by it the watchdog knows the end
        with suppress(OSError):
            if run.log:
                append_line(Path(run.log), _failed(run, code, why, us))


def _failed(run: GuardedRun, code: int, why: str, us: int) -> bytes:
    from mm.terminal.console import FAILED

    head = {"ts": iso(us), "level": "critical", "event": FAILED, "run_id": run.run_id, "symbol": run.symbol}
    return json.dumps({**head, "error": why, "exit_code": code}, ensure_ascii=False).encode() + b"\n"


def _stop(path: Path, why: str, us: int) -> None:
    end, last = end_of(path), _last_line(path)
    if not last.endswith(b"\n"):
        return
    row = decode_row(last, end.rows, path.name)
    if row["type"] != STOP:
        line, _ = seal(body(end.rows + 1, max(us, row["us"]), STOP, {"reason": "error", "why": why}), end.hash.encode())
        append_line(path, line)


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readlines()[-1]


def append_line(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, last: bool) -> bool:
    """OSError if the file is not locked at the *last* attempt."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if last:
            raise
        return False
    return True


@contextmanager
def _held(locks: Sequence[Path]) -> Iterator[bool]:
    """Hold the locks, and yield whether nobody else holds one."""
    descriptors: list[int] = []
    until_s = time.monotonic() + RELEASE_S
    try:
        for lock in locks:
            descriptors.append(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600))
            while not _locked(descriptors[-1], last=time.monotonic() >= until_s):
                time.sleep(LOOK_S)
    except OSError:
        yield False
    else:
        yield True
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
