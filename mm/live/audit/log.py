"""The audit log: one row for each intent, request and report of a trader, written before any action that depends on it.

docs/trading.md has its form and rows. With *sync* a thread forces waiting rows to the disk together, and
`AuditLog.synced` returns when a row survives a power cut. Without it `append` hands the row to the operating system.

The thread also checks the file. A removed or replaced file still takes the last rows and is written back at the end; a
truncated file takes none.
"""

import asyncio
import errno
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from mm.base.atomic_file import fsync_path
from mm.base.audit_chain import OWN, START, STOP, SUFFIX, ZEROS, Witness, body, decode_row, end_of, seal, whole_row
from mm.clock import now_us
from mm.errors import BrokenFile, MMError, RunExists, TryLater
from mm.instrument import Instrument
from mm.live.venues.fills import SIDE_NAMES

RETRY_S, LOOK_S = 0.5, 5.0
"""Time between two attempts to write rows after a disk error, and between two looks at the file, in s."""
KEPT = ".kept"
"""Ends the name of a log in whose place there is another file."""
_CHUNK, _LAST_BYTES = 1 << 20, 1 << 12


def first_row(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        text = file.readline()
    if not text.endswith(b"\n"):
        return None
    row = decode_row(text, 1, path.name)
    if not whole_row(text):
        raise BrokenFile(f"{path}: row 1 was changed: its hash does not match its content; see mm audit verify")
    return row


def logs_of(folder: Path) -> list[Path]:
    return list(starts_of(folder))


def starts_of(folder: Path) -> dict[Path, dict[str, Any]]:
    """Row 1 of each log, in order; raises BrokenFile.

    A log comes after those named in its row 1, regardless of the clock.
    """
    found = {path.name: row for path in folder.glob(f"*{SUFFIX}") if (row := first_row(path)) is not None}
    rows, ordered = dict(found), dict[str, None]()
    waiting = sorted(rows, key=lambda name: (rows[name]["us"], name), reverse=True)
    while waiting:
        name = waiting.pop()
        named = [row["file"] for row in rows[name].get("earlier", [])]
        before = [one for one in named if one in rows and one not in ordered and one != name]
        if not before:
            ordered[name] = None
            continue
        rows[name] = {"earlier": []}  # a cycle of names, which no writer makes, must not loop forever
        waiting += [name, *reversed(before)]
    return {folder / name: found[name] for name in ordered}


def earlier_logs(path: Path) -> list[dict[str, Any]]:
    ends = [end_of(one) for one in logs_of(path.parent) if one != path]
    return [{"file": end.file, "rows": end.rows, "hash": end.hash} for end in ends]


def witnesses_of(path: Path) -> list[Witness]:
    found = []
    for other in sorted(path.parent.glob(f"*{SUFFIX}")):
        if other == path:
            continue
        with suppress(KeyError, TypeError), other.open("rb") as file:
            entries = whole_row(file.readline()).get("earlier", [])
            found += [Witness(path.name, e["rows"], e["hash"], other.name) for e in entries if e["file"] == path.name]
    return found


class LogLost(OSError):
    """The file of a log was removed, replaced or cut while it was being written."""


class AuditLog:
    """One run's log; its methods must be called in the thread of the event loop.

    A thread writes the rows, so that no disk holds up the loop. *failure* is the first error of the disk, or `LogLost`.
    It stays even if the rows could be written later, because nothing may be sent any more. Raises RunExists.
    """

    def __init__(self, path: Path, *, sync: bool = True, clock: Callable[[], int] = now_us) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.rows = path, 0
        self.failure: Exception | None = None
        self._clock, self._sync = clock, sync
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise RunExists(f"{path}: there is an audit log of that run already; give another RUN_ID") from None
        self._end, self._size = (0, ZEROS.encode()), 0  # rows and last hash as far as written, replaced at once
        self._ended = self._closed = False
        self._unwritten: list[bytes] = []
        self._retry_at, self._look_at = 0.0, time.monotonic() + LOOK_S
        self._looked = 0, 0  # where the next look begins to read, and the checksum of what was written from there
        self._cut = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        if sync:
            fsync_path(path.parent)
        self._thread = threading.Thread(target=self._write_behind, name="audit", daemon=True)
        self._thread.start()

    def start(self, instrument: Instrument, run_id: str, **fields: object) -> int:
        base, quote = instrument.base_asset, instrument.quote_asset
        own = {"symbol": instrument.symbol, "run_id": run_id, "base_asset": base, "quote_asset": quote}
        return self.append(START, **own, **fields, earlier=earlier_logs(self.path))

    def append(self, type: str, /, **fields: object) -> int:
        """Return the row's number."""
        if self._ended:
            raise ValueError(f"{self.path}: a row {type!r} after the log ended")
        if not OWN.isdisjoint(fields):
            raise ValueError(f"a row {type!r} with a field named {sorted(OWN & fields.keys())}, which the log writes")
        if "side" in fields:
            fields["side"] = SIDE_NAMES.get(fields["side"], fields["side"])  # type: ignore[call-overload]
        if "us" in fields:
            fields["exchange_us"] = fields.pop("us")
        unsealed = body(self.rows + 1, self._clock(), type, fields)
        self.rows += 1
        self._ended = type == STOP
        self._waiting.put(unsealed)
        return self.rows

    @property
    def end(self) -> Witness:
        rows, last = self._end
        return Witness(self.path.name, rows, last.decode())

    async def synced(self, seq: int) -> None:
        """Wait until row *seq* is on disk; without *sync*, until the operating system has it. OSError if it failed."""
        loop = self._loop = asyncio.get_running_loop()
        if self.failure is None and self._end[0] < seq:
            waiter = loop.create_future()
            self._waiters.append((seq, waiter))
            await waiter
        if self.failure is not None:
            raise self.failure

    @property
    def error(self) -> MMError | None:
        if isinstance(self.failure, LogLost):
            return BrokenFile(f"{self.path}: {self.failure}")
        if self.failure is not None:
            return TryLater(f"{self.path}: the disk refused rows of the audit log ({self.failure}); make room")
        return None

    def close(self) -> None:
        """Close the log; one that somebody has removed is written back."""
        if self._closed:
            return
        self._ended = self._closed = True
        self._waiting.put(None)
        self._thread.join()
        self._retry_at = self._look_at = 0.0
        self._write([])
        way_out = self._bring_back() if isinstance(self.failure, LogLost) else ""
        os.close(self._fd)
        if way_out:
            raise BrokenFile(f"{self.path}: {self.failure}; {way_out}")
        if self._unwritten:
            raise TryLater(
                f"{self.path}: the disk refused {len(self._unwritten)} rows of the audit log, from row "
                f"{self._end[0] + 1} on ({self.failure}); make room, and compare with the exchange before trading"
            )

    def _write_behind(self) -> None:
        ended = False
        while not ended:
            try:
                batch = [self._waiting.get(timeout=RETRY_S if self._unwritten else LOOK_S)]
            except queue.Empty:
                batch = []
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            ended = None in batch
            self._write([unsealed for unsealed in batch if unsealed is not None])
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop has been closed: there are no waiters
                    self._loop.call_soon_threadsafe(self._wake)

    def _write(self, batch: list[bytes]) -> None:
        self._unwritten += batch
        self._look()
        if not self._unwritten or self._cut or (self._retry_at and time.monotonic() < self._retry_at):
            return
        lines, (rows, prev) = [], self._end
        for unsealed in self._unwritten:
            line, prev = seal(unsealed, prev)
            lines.append(line)
        data = b"".join(lines)
        try:
            self._write_all(data)
            if self._sync:
                os.fdatasync(self._fd)
        except OSError as error:
            self.failure = self.failure or error
            self._retry_at = time.monotonic() + RETRY_S
            return
        self._looked = self._looked[0], crc32(data, self._looked[1])
        self._size += len(data)
        self._end = rows + len(lines), prev
        self._unwritten.clear()

    def _look(self) -> None:
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        try:
            here = os.fstat(self._fd)
            begin, written = self._looked
            found, text = 0, b""
            for at in range(begin, self._size, _CHUNK):
                text = os.pread(self._fd, min(_CHUNK, self._size - at), at)
                found = crc32(text, found)
            whole = here.st_size >= self._size and found == written
            if whole:
                text = text[-_LAST_BYTES:]
                self._looked = self._size - len(text), crc32(text)
        except OSError:
            return
        try:
            why = "" if os.path.samestat(os.stat(self.path), here) else "another file was put in its place"
        except (FileNotFoundError, NotADirectoryError):
            why = "it was removed or renamed"
        except OSError:
            why = ""
        self._cut = self._cut or not whole
        if self._cut:
            why = "its rows were cut or changed"
        if why and not isinstance(self.failure, LogLost):
            self.failure = LogLost(f"{why} while the trader ran")

    def _bring_back(self) -> str:
        """Write the file back, beside another one in its place; return the way out."""
        restore = f"mm audit restore --archive DIR --symbol {self.path.parent.name} brings back what was shipped"
        if self._cut:
            return f"keep it as evidence, move it out of the folder, then {restore}"
        place = self.path.with_name(self.path.name + KEPT) if self.path.exists() else self.path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                for at in range(0, self._size, _CHUNK):
                    file.write(os.pread(self._fd, min(_CHUNK, self._size - at), at))
                file.flush()
                os.fsync(file.fileno())
            fsync_path(place.parent)
        except OSError as error:
            return f"it cannot be written back ({error.strerror}); {restore}"
        if place != self.path:
            return f"its rows are in {place.name}: keep the other file as evidence, and move this one in its place"
        return f"it is written back, whole ({self._end[0]} rows): find out who did it, then start again"

    def _write_all(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            count = os.pwrite(self._fd, data[done:], self._size + done)
            if count == 0:
                raise OSError(errno.EIO, f"{self.path}: nothing was written")
            done += count

    def _wake(self) -> None:
        failed, written = self.failure is not None, self._end[0]
        still = []
        for seq, waiter in self._waiters:
            if not failed and seq > written:
                still.append((seq, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still
