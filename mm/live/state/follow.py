"""Updates a store from the audit logs of a symbol, row by row, also while a run writes them."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mm.base.audit_chain import SUFFIX, decode_row, end_of
from mm.errors import DataError
from mm.live.audit.books import BOOKS, AuditBooks, Changes
from mm.live.audit.log import logs_of, starts_of
from mm.live.state.tables import StateBackend, StateBatch

BATCH_ROWS = 2_000
_CHUNK = 1 << 18
_SAME_STAMP_NS = 10**9  # two changes of a folder within this time may have the same stamp


class LogTail:
    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self._offset, self._rest = 0, b""
        self._lines: list[bytes] = []

    def next_lines(self, most: int) -> list[bytes]:
        if len(self._lines) < most:
            self._read()
        found, self._lines = self._lines[:most], self._lines[most:]
        self.rows += len(found)
        return found

    def _read(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_CHUNK)
        except OSError as error:
            raise DataError(f"{self.path}: the audit log cannot be read ({error.strerror})") from error
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += lines


class LogSeries:
    """The logs of a symbol in the order of their start, read as they grow and as new ones begin."""

    def __init__(self, folder: Path, skipped: Iterable[Path]) -> None:
        self.tails: list[LogTail] = []
        self._folder, self._known = folder, set(skipped)
        self._at, self._seen_ns = 0, -1

    def next_lines(self, most: int) -> tuple[LogTail, list[bytes]] | None:
        while True:
            self._find()
            if self._at == len(self.tails):
                return None
            tail = self.tails[self._at]
            if lines := tail.next_lines(most):
                return tail, lines
            if self._at + 1 == len(self.tails):
                return None
            self._at += 1  # a later log exists: this one does not grow any more

    def _find(self) -> None:
        try:
            changed_ns = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return
        if changed_ns == self._seen_ns:
            return
        found = logs_of(self._folder)
        self.tails += [LogTail(path) for path in found if path not in self._known]
        self._known.update(found)
        old = time.time_ns() - changed_ns > _SAME_STAMP_NS
        if old and len(found) == len(list(self._folder.glob(f"*{SUFFIX}"))):
            self._seen_ns = changed_ns  # else a log has no complete row yet, or another may follow within the stamp


class AuditFollower:
    def __init__(self, folder: Path, symbol: str, backend: StateBackend) -> None:
        self._folder, self._symbol, self._backend = folder, symbol, backend
        self.stored: dict[str, int] = {}
        self._books: AuditBooks | None = None
        self._logs: LogSeries
        self._batch: StateBatch | None = None

    def step(self, most: int = BATCH_ROWS) -> bool:
        """Store the next rows; False if there are none. Raises StoreUnavailable or DataError."""
        if self._books is None:
            self._restart()
        if self._batch is None:
            self._batch = self._next(most)
        batch = self._batch
        if batch is None:
            return False
        if self._backend.apply(batch) or self._backend.progress(self._symbol).get(batch.file) == batch.last:
            self.stored[batch.file] = batch.last  # now, or before a lost response
        else:
            self._books = None  # another process has written: read from the beginning
        self._batch = None
        return True

    def _restart(self) -> None:
        """Begin at the last log whose row 1 sums up all that the store has completely."""
        self.stored = self._backend.progress(self._symbol)
        starts = starts_of(self._folder)
        self._logs = LogSeries(self._folder, list(starts)[: self._first_needed(starts)])
        self._batch = None
        self._books = AuditBooks(self._symbol)

    def _first_needed(self, starts: Mapping[Path, Mapping[str, Any]]) -> int:
        logs = list(starts)
        whole = [self.stored.get(log.name, 0) >= end_of(log).rows for log in logs[:-1]]
        usable = len({row.get("venue") for row in starts.values()}) <= 1
        for at in range(len(logs) - 1, 0, -1):
            if usable and all(whole[:at]) and BOOKS in starts[logs[at]]:
                return at
        return 0

    def _next(self, most: int) -> StateBatch | None:
        books = self._books
        assert books is not None
        while found := self._logs.next_lines(most):
            tail, lines = found
            name, changes, first = tail.path.name, Changes(), tail.rows - len(lines)
            stored = self.stored.get(name, 0)
            for number, line in enumerate(lines, first + 1):
                if number == stored + 1:
                    changes = Changes()
                books.apply(decode_row(line, number, name), changes)
            if tail.rows > stored:
                books.note_position(changes)
                total = sum(self.stored.values())
                return StateBatch(self._symbol, name, max(first, stored), tail.rows, total, changes)
        return None


def bring_up(backend: StateBackend, folder: Path, symbol: str) -> int:
    follower = AuditFollower(folder, symbol, backend)
    before: dict[str, int] = backend.progress(symbol)
    while follower.step():
        pass
    return sum(follower.stored.values()) - sum(before.values())


def symbols_with_logs(root: Path) -> Iterator[str]:
    """Raise DataError if *root*, the folder ``audit``, does not exist."""
    if not root.is_dir():
        raise DataError(f"{root}: there are no audit logs; set OUT_ROOT to the folder that holds audit/<SYMBOL>")
    for folder in sorted(root.iterdir()):
        if folder.is_dir():
            yield folder.name
