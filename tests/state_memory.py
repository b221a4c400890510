"""A state store in memory with scripted failures, and the tables that logs give without failures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mm.base.audit_chain import read_rows
from mm.live.audit.books import AuditBooks, Changes
from mm.live.audit.log import logs_of
from mm.live.state.tables import TABLES, StateBatch, StoreUnavailable, Tick

FAILURES = ("refuses", "loses the answer", "was written to by another", "is empty again")


def plain_tables(folder: Path, symbol: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables computed from all rows of the logs in a folder."""
    books, changes = AuditBooks(symbol), Changes()
    for path in logs_of(folder):
        for row in read_rows(path):
            books.apply(row, changes)
    books.note_position(changes)
    return StateBatch(symbol, "", 0, 0, 0, changes).rows()


class MemoryState:
    """A store that keeps rows in dictionaries and applies whole batches.

    Args:
        failures: The failure of each call of `apply`, in order; None, or the end, is no failure.

    Attributes:
        applied: Batches that were stored, in order.
    """

    place = "memory"

    def __init__(self, failures: Sequence[str | None] = ()) -> None:
        self._failures: Iterator[str | None] = iter(failures)
        self.connects = 0
        self.applied: list[StateBatch] = []
        self.published: list[tuple[dict[str, str], list[Tick]]] = []
        self._wipe()

    def _wipe(self) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {table: {} for table in TABLES}
        self.cursors: dict[str, int] = {}

    def connect(self) -> None:
        self.connects += 1

    def progress(self, symbol: str) -> dict[str, int]:
        return dict(self.cursors)

    def apply(self, batch: StateBatch) -> bool:
        failure = next(self._failures, None)
        if failure == "refuses":
            raise StoreUnavailable("away")
        if failure == "was written to by another":
            self._store(batch)  # the other process follows the same log
        if failure == "is empty again":
            self._wipe()
        if not batch.follows(self.cursors):
            return False
        self._store(batch)
        if failure == "loses the answer":
            raise StoreUnavailable("lost")
        return True

    def _store(self, batch: StateBatch) -> None:
        self.applied.append(batch)
        for name, rows in batch.rows().items():
            table = TABLES[name]
            places = [list(table.columns).index(column) for column in table.key]
            for row in rows:
                key = tuple(row[place] for place in places)
                if table.replaces or key not in self.rows[name]:
                    self.rows[name][key] = row
        self.cursors[batch.file] = batch.last

    def forget(self, symbol: str) -> None:
        self._wipe()

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the stored rows without the cursors."""
        return {name: list(rows.values()) for name, rows in self.rows.items() if rows}

    def close(self) -> None:
        pass


class MemoryLive(MemoryState):
    """A store in memory that also keeps live state.

    Attributes:
        away: Whether connections, documents and ticks are refused.
    """

    away = False
    last = (0, 0)

    def publish(self, documents: Mapping[str, str], ticks: Sequence[Tick]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.published.append((dict(documents), list(ticks)))

    def last_tick(self, stream: str) -> tuple[int, int]:
        return self.last

    def connect(self) -> None:
        super().connect()
        if self.away:
            raise StoreUnavailable("away")
