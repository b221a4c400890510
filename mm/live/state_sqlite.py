"""The state store without a server: one SQLite file, by default ``out/state.sqlite``.

Any process may read it while a run writes; several runs may write to it, each in short transactions.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mm.live.state_tables import TABLES, StateBatch, StateTable, StoreUnavailable

_KINDS = {"int": "INTEGER", "text": "TEXT", "decimal": "TEXT", "json": "TEXT"}
_WAIT_S = 5.0  # for another writing process


def table_sql(name: str, table: StateTable, kinds: Mapping[str, str]) -> str:
    """Return the statement that creates a table if it is missing."""
    columns = ", ".join(f"{column} {kinds[kind]}" for column, kind in table.columns.items())
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({', '.join(table.key)}))"


def conflict_sql(table: StateTable) -> str:
    """Return the end of an insert statement: the effect of a row with an existing key."""
    if not table.replaces:
        return f"ON CONFLICT ({', '.join(table.key)}) DO NOTHING"
    others = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column not in table.key)
    return f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {others}"


def _insert_sql(name: str, table: StateTable) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {name} ({', '.join(table.columns)}) VALUES ({marks}) {conflict_sql(table)}"


INSERTS = {name: _insert_sql(name, table) for name, table in TABLES.items()}
CREATES = [table_sql(name, table, _KINDS) for name, table in TABLES.items()]


class SqliteState:
    """A state store in one file; decimals are stored as text.

    Args:
        path: The file, created if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = str(path)
        self._connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        """Open the file, and create missing tables."""
        self.close()
        with self._reconnecting():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(0o600)  # its -wal and -shm files get the mode of the file
            opened = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
            self._connection = opened
            opened.execute("PRAGMA journal_mode = WAL")
            # A power cut may lose the last batches together with their cursors: they are read from the log again.
            opened.execute("PRAGMA synchronous = NORMAL")
        with self._transaction() as connection:
            for statement in CREATES:
                connection.execute(statement)

    def progress(self, symbol: str) -> dict[str, int]:
        """Return the number of stored rows of each log of the symbol."""
        with self._transaction("BEGIN") as connection:
            return dict(connection.execute("SELECT file, rows FROM cursors WHERE symbol = ?", (symbol,)))

    def apply(self, batch: StateBatch) -> bool:
        """Store a batch completely or not at all; False if the store is not at the start of the batch."""
        with self._transaction() as connection:
            key = (batch.symbol, batch.file)
            stored = dict(connection.execute("SELECT file, rows FROM cursors WHERE symbol = ?", (batch.symbol,)))
            if not batch.follows(stored):
                return False
            for table, rows in batch.rows().items():
                connection.executemany(INSERTS[table], rows)
            connection.execute(INSERTS["cursors"], (*key, batch.last))
        return True

    def forget(self, symbol: str) -> None:
        """Remove all stored data of a symbol."""
        with self._transaction() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table} WHERE symbol = ?", (symbol,))

    def read(self, table: str, symbol: str | None) -> list[dict[str, Any]]:
        """Return the rows of a table, of all symbols if *symbol* is None."""
        names = list(TABLES[table].columns)
        where = "WHERE symbol = ?" if symbol else ""
        order = "version" if table == "configs" else "us"
        statement = f"SELECT {', '.join(names)} FROM {table} {where} ORDER BY symbol, {order}, rowid"
        with self._transaction("BEGIN") as connection:
            found = connection.execute(statement, (symbol,) if symbol else ()).fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        """Convert errors of SQLite or the disk to StoreUnavailable."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.place}: the state store cannot be used ({error})") from error

    @contextmanager
    def _transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction, which is rolled back if the block raises."""
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self.place}: the state store is not open")
        with self._reconnecting():
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
