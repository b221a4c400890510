"""The state store without a server, one SQLite file, and what all SQL stores share."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from mm.live.state.tables import TABLES, StateBatch, StateTable, StoreUnavailable

_KINDS = {"int": "INTEGER", "text": "TEXT", "decimal": "TEXT", "json": "TEXT"}
_WAIT_S = 5.0  # for another writing process


def table_sql(name: str, table: StateTable, kinds: Mapping[str, str]) -> str:
    columns = ", ".join(f"{column} {kinds[kind]}" for column, kind in table.columns.items())
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({', '.join(table.key)}))"


def column_sqls(name: str, table: StateTable, kinds: Mapping[str, str], present: Collection[str]) -> list[str]:
    lacking = {column: kind for column, kind in table.columns.items() if column not in present}
    return [f"ALTER TABLE {name} ADD COLUMN {column} {kinds[kind]}" for column, kind in lacking.items()]


def conflict_sql(table: StateTable) -> str:
    """Return the end of an insert: the effect of a row with an existing key."""
    if not table.replaces:
        return f"ON CONFLICT ({', '.join(table.key)}) DO NOTHING"
    others = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column not in table.key)
    return f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {others}"


class SqlState:
    """A state store in a database with tables; a subclass connects, begins transactions, and inserts rows."""

    place: str
    mark = "?"  # of a value in a statement
    _connection: Any = None

    def connect(self) -> None:
        raise NotImplementedError

    def progress(self, symbol: str) -> dict[str, int]:
        with self._transaction(writes=False) as connection:
            return self._stored(connection, symbol)

    def apply(self, batch: StateBatch) -> bool:
        with self._transaction() as connection:
            self._lock(connection, batch.symbol)
            if not batch.follows(self._stored(connection, batch.symbol)):
                return False
            for table, rows in {**batch.rows(), "cursors": [(batch.symbol, batch.file, batch.last)]}.items():
                self._insert(connection, table, rows)
        return True

    def forget(self, symbol: str) -> None:
        with self._transaction() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table} WHERE symbol = {self.mark}", (symbol,))

    def read(self, table: str, symbol: str | None) -> list[dict[str, Any]]:
        columns = TABLES[table].columns
        texts = [f"CAST({name} AS TEXT)" if kind in ("decimal", "json") else name for name, kind in columns.items()]
        where = f"WHERE symbol = {self.mark}" if symbol else ""
        order = f"symbol, {'version' if table == 'configs' else 'us'}, {self._last_order(table)}"
        with self._transaction(writes=False) as connection:
            statement = f"SELECT {', '.join(texts)} FROM {table} {where} ORDER BY {order}"
            found = connection.execute(statement, (symbol,) if symbol else ()).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in found]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _stored(self, connection: Any, symbol: str) -> dict[str, int]:
        found = connection.execute(f"SELECT file, rows FROM cursors WHERE symbol = {self.mark}", (symbol,))
        return dict(found.fetchall())

    def _transaction(self, *, writes: bool = True) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def _lock(self, connection: Any, symbol: str) -> None: ...

    def _insert(self, connection: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        raise NotImplementedError

    def _last_order(self, table: str) -> str:
        return ", ".join(TABLES[table].key)


def _insert_sql(name: str, table: StateTable) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {name} ({', '.join(table.columns)}) VALUES ({marks}) {conflict_sql(table)}"


INSERTS = {name: _insert_sql(name, table) for name, table in TABLES.items()}
CREATES = [table_sql(name, table, _KINDS) for name, table in TABLES.items()]


class SqliteState(SqlState):
    """A state store in one file; decimals are stored as text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = str(path)

    def connect(self) -> None:
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
            for name, table in TABLES.items():
                present = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
                for statement in column_sqls(name, table, _KINDS, present):
                    connection.execute(statement)

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.place}: the state store cannot be used ({error})") from error

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self.place}: the state store is not open")
        with self._reconnecting():
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _insert(self, connection: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        connection.executemany(INSERTS[table], rows)

    def _last_order(self, table: str) -> str:  # noqa: ARG002 - the base's signature
        return "rowid"
