"""The ledger in a real PostgreSQL: its tables, its transactions, and errors."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_story import contract_log, many_orders, played_logs
from mm.live.audit.books import Changes
from mm.live.state.follow import AuditFollower, bring_up
from mm.live.state.postgres import PostgresState
from mm.live.state.stores import SHOWN
from mm.live.state.tables import TABLES, StateBatch, StoreUnavailable
from state_memory import plain_tables
from state_servers import numbers, postgres_database, postgres_tables

SYMBOL = "BTCUSDT"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_database() as found:
        yield found


@pytest.fixture
def store(url: str) -> Iterator[PostgresState]:
    found = PostgresState(url)
    found.connect()
    found.forget(SYMBOL)
    yield found
    found.close()


def test_postgres_tables_equal_the_logs(tmp_path: Path, url: str, store: PostgresState) -> None:
    """Readable by any client, with the documented columns; the same as in a file."""
    psycopg = pytest.importorskip("psycopg")
    played_logs(tmp_path, many_orders(60), 3)
    folder = tmp_path / "audit" / SYMBOL
    bring_up(store, folder, SYMBOL)
    expected = plain_tables(folder, SYMBOL)
    assert postgres_tables(url, SYMBOL) == {table: numbers(expected[table]) for table in SHOWN}
    with psycopg.connect(url) as connection:
        bought = connection.execute("SELECT sum(qty * price) FROM fills WHERE side = 'BUY'").fetchone()
        assert bought[0] > 0
    fills = store.read("fills", SYMBOL)
    assert list(fills[0]) == list(TABLES["fills"].columns)
    assert store.read("orders", "OTHER") == []
    store.forget(SYMBOL)
    assert all(store.read(table, SYMBOL) == [] for table in SHOWN)


def test_postgres_stores_each_batch_once(store: PostgresState) -> None:
    """A batch that does not begin at the store's progress changes nothing."""
    assert store.apply(StateBatch(SYMBOL, "a", 0, 5, 0, Changes()))
    assert not store.apply(StateBatch(SYMBOL, "a", 0, 5, 0, Changes()))
    assert not store.apply(StateBatch(SYMBOL, "b", 0, 5, 0, Changes()))
    assert store.apply(StateBatch(SYMBOL, "b", 0, 5, 5, Changes()))
    assert store.progress(SYMBOL) == {"a": 5, "b": 5}


def test_concurrent_followers_share_a_database(tmp_path: Path, url: str, store: PostgresState) -> None:
    """Each batch is stored by one of them, and all may create the tables at once."""
    played_logs(tmp_path, many_orders(200), 2)
    folder = tmp_path / "audit" / SYMBOL
    errors: list[BaseException] = []

    def follow() -> None:
        own = PostgresState(url)
        try:
            own.connect()
            follower = AuditFollower(folder, SYMBOL, own)
            while follower.step(20):
                pass
        except BaseException as error:
            errors.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    expected = plain_tables(folder, SYMBOL)
    for table in ("fills", "orders", "configs"):
        assert len(store.read(table, SYMBOL)) == len(expected[table])


def test_table_of_an_earlier_version_gets_its_new_columns(tmp_path: Path) -> None:
    """Also where several open it at the same moment; afterwards a user who may only write can use it."""
    psycopg = pytest.importorskip("psycopg")
    contract_log(tmp_path)
    with postgres_database() as url:
        first = PostgresState(url)
        first.connect()
        first.close()
        new = list(TABLES["positions"].columns)[8:]
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"ALTER TABLE positions {', '.join(f'DROP COLUMN {name}' for name in new)}")
        stores = [PostgresState(url) for _ in range(4)]
        threads = [threading.Thread(target=store.connect) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bring_up(stores[0], tmp_path / "audit" / SYMBOL, SYMBOL)
        for store in stores:
            (row,) = store.read("positions", SYMBOL)
            assert (row["entry_price"], row["margin"]) == ("100.00000000", "10.15000000")
            assert row["liquidation_price"] is None
            store.close()


def test_concurrent_connections_create_tables_without_error() -> None:
    """Several at the same moment in an empty database."""
    with postgres_database() as url:
        stores = [PostgresState(url) for _ in range(4)]
        errors: list[BaseException] = []

        def connect(one: PostgresState) -> None:
            try:
                one.connect()
            except StoreUnavailable as error:
                errors.append(error)

        threads = [threading.Thread(target=connect, args=(one,)) for one in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        for one in stores:
            assert one.read("fills", None) == []
            one.close()


def test_read_only_database_raises_store_away(tmp_path: Path, url: str, store: PostgresState) -> None:
    """Nothing is stored, and nothing is lost: the same batch is stored later."""
    psycopg = pytest.importorskip("psycopg")
    played_logs(tmp_path, many_orders(20), 1)
    folder = tmp_path / "audit" / SYMBOL
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        store.connect()
        follower = AuditFollower(folder, SYMBOL, store)
        with pytest.raises(StoreUnavailable, match="read-only transaction"):
            follower.step()
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    store.connect()
    while follower.step():
        pass
    assert len(store.read("fills", SYMBOL)) == len(plain_tables(folder, SYMBOL)["fills"])


def test_unreachable_server_error_contains_no_password() -> None:
    """The message has the address; a store that never connected raises the same error."""
    store = PostgresState("postgresql://me:secret@127.0.0.1:1/mm")
    with pytest.raises(StoreUnavailable, match=r"postgresql://127\.0\.0\.1:1/mm: .*cannot be used") as caught:
        store.connect()
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreUnavailable, match="not connected"):
        store.progress(SYMBOL)
