"""The ledger in PostgreSQL (``LEDGER_URL``): tables fills, orders, positions and configs, written in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mm.live.state.sqlite import SqlState, column_sqls, conflict_sql, table_sql
from mm.live.state.tables import TABLES, StateTable, StoreUnavailable, place_of

if TYPE_CHECKING:
    import psycopg

_KINDS = {"int": "BIGINT", "text": "TEXT", "decimal": "NUMERIC", "json": "JSON"}
_SYMBOL_LOCK = 0x6D6D  # serialises processes that follow one symbol
_CREATE_LOCK = 0x6D6D5F7374617465  # concurrent creation of the same table fails
# Timeouts for an unavailable server: an unresponsive host is given up after some ten seconds.
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def _insert_sql(name: str, table: StateTable) -> str:
    arrays = ", ".join(f"%s::{_KINDS[kind]}[]" for kind in table.columns.values())
    return f"INSERT INTO {name} ({', '.join(table.columns)}) SELECT * FROM unnest({arrays}) {conflict_sql(table)}"


INSERTS = {name: _insert_sql(name, table) for name, table in TABLES.items()}
CREATES = [table_sql(name, table, _KINDS) for name, table in TABLES.items()]


class PostgresState(SqlState):
    """*url* is ``postgresql://user@host:port/database``."""

    mark = "%s"

    def __init__(self, url: str) -> None:
        self._url = url
        self.place = place_of(url)

    def connect(self) -> None:
        import psycopg

        self.close()
        with self._reconnecting():
            self._connection = psycopg.connect(self._url, autocommit=True, application_name="mm", **_TIMEOUTS)
        with self._transaction() as connection:
            if self._lacking(connection):
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
                for statement in CREATES:
                    connection.execute(statement)
                for statement in self._lacking(connection):
                    connection.execute(statement)

    def _lock(self, connection: Any, symbol: str) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_SYMBOL_LOCK, symbol))

    def _insert(self, connection: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        kinds = TABLES[table].columns.values()
        columns = zip(kinds, zip(*rows, strict=True), strict=True)
        values = [[one or None if kind == "decimal" else one for one in column] for kind, column in columns]
        connection.execute(INSERTS[table], values)

    def _lacking(self, connection: "psycopg.Connection") -> list[str]:
        found = connection.execute(
            "SELECT name, attname FROM unnest(%s::text[]) AS name JOIN pg_attribute ON attrelid = to_regclass(name)",
            (list(TABLES),),
        ).fetchall()
        return [
            statement
            for name, table in TABLES.items()
            for statement in column_sqls(name, table, _KINDS, {column for of, column in found if of == name})
        ]

    @contextmanager
    def _reconnecting(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            raise StoreUnavailable(f"{self.place}: the state store cannot be used ({text})") from error

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator["psycopg.Connection"]:  # noqa: ARG002 - the base's
        connection = self._connection
        if connection is None:
            raise StoreUnavailable(f"{self.place}: the state store is not connected")
        with self._reconnecting(), connection.transaction():
            yield connection
