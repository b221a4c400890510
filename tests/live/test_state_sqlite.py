"""The store in a file: tables equal to the logs, several writers, and a disk that fails."""

import sqlite3
import threading
from pathlib import Path

import pytest

from audit_story import contract_log, many_orders, played_logs
from mm.live.audit.books import Changes
from mm.live.state.follow import AuditFollower, bring_up
from mm.live.state.sqlite import SqliteState
from mm.live.state.stores import SHOWN
from mm.live.state.tables import TABLES, StateBatch, StoreUnavailable
from state_memory import plain_tables

SYMBOL = "BTCUSDT"


@pytest.fixture
def store(tmp_path: Path):
    found = SqliteState(tmp_path / "out" / "state.sqlite")
    found.connect()
    yield found
    found.close()


def test_sqlite_tables_equal_the_logs(tmp_path: Path, store: SqliteState) -> None:
    """Readable by any SQLite client, with the documented columns."""
    played_logs(tmp_path, many_orders(60), 3)
    folder = tmp_path / "audit" / SYMBOL
    bring_up(store, folder, SYMBOL)
    expected = plain_tables(folder, SYMBOL)
    with sqlite3.connect(tmp_path / "out" / "state.sqlite") as connection:
        for table in SHOWN:
            names = ", ".join(TABLES[table].columns)
            assert sorted(connection.execute(f"SELECT {names} FROM {table}")) == sorted(expected[table])
    connection.close()
    assert [row["trade_id"] for row in store.read("fills", SYMBOL)]
    assert store.read("fills", "OTHER") == []
    store.forget(SYMBOL)
    assert all(store.read(table, None) == [] for table in SHOWN)
    assert store.progress(SYMBOL) == {}


OF_CONTRACT = {
    "position": "1.00000000",
    "funding": "-0.02030000",
    "entry_price": "100.00000000",
    "liquidation_price": None,
    "mark_price": "101.50000000",
    "margin": "10.15000000",
    "maintenance_margin": "0.81200000",
    "seen_us": 1_000,
}


def test_position_of_a_contract_has_entry_price_and_margin(tmp_path: Path, store: SqliteState) -> None:
    """The entry price is of the fills, the margin as the exchange has shown it last."""
    contract_log(tmp_path)
    bring_up(store, tmp_path / "audit" / SYMBOL, SYMBOL)
    (row,) = store.read("positions", SYMBOL)
    assert {name: row[name] for name in OF_CONTRACT} == OF_CONTRACT


def test_table_of_an_earlier_version_gets_its_new_columns(tmp_path: Path) -> None:
    """Its rows stay, and those of the next batch have all columns; another process may have opened it before."""
    path = tmp_path / "out" / "state.sqlite"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE positions (symbol TEXT, position TEXT, cash TEXT, fees TEXT, fills INTEGER, "
            "last_trade_id INTEGER, us INTEGER, run_id TEXT, PRIMARY KEY (symbol))"
        )
        connection.execute("INSERT INTO positions (symbol, position) VALUES ('OTHER', '3')")
    connection.close()
    contract_log(tmp_path)
    for _ in range(2):
        store = SqliteState(path)
        store.connect()
        bring_up(store, tmp_path / "audit" / SYMBOL, SYMBOL)
        row, other = store.read("positions", None)
        assert {name: row[name] for name in OF_CONTRACT} == OF_CONTRACT
        assert (other["position"], other["margin"]) == ("3", None)
        store.close()


def test_store_is_readable_by_its_owner_alone(tmp_path: Path, store: SqliteState) -> None:
    """Its files have every order and the size of the account."""
    played_logs(tmp_path, many_orders(3), 3)
    bring_up(store, tmp_path / "audit" / SYMBOL, SYMBOL)
    files = sorted((tmp_path / "out").glob("state.sqlite*"))
    assert len(files) > 1  # with the write-ahead log
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_sqlite_stores_each_batch_once(tmp_path: Path, store: SqliteState) -> None:
    """A batch that does not begin at the store's progress changes nothing."""
    batch = StateBatch(SYMBOL, "a", 0, 5, 0, Changes())
    assert store.apply(batch)
    assert not store.apply(batch)
    assert not store.apply(StateBatch(SYMBOL, "a", 6, 7, 6, Changes()))
    assert not store.apply(StateBatch(SYMBOL, "b", 0, 7, 6, Changes()))
    assert store.progress(SYMBOL) == {"a": 5}


def test_concurrent_followers_share_a_file(tmp_path: Path, store: SqliteState) -> None:
    """Each batch is stored by one of them."""
    played_logs(tmp_path, many_orders(200), 2)
    folder = tmp_path / "audit" / SYMBOL

    def follow() -> None:
        own = SqliteState(tmp_path / "out" / "state.sqlite")
        own.connect()
        follower = AuditFollower(folder, SYMBOL, own)
        while follower.step(20):
            pass
        own.close()

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.read("fills", SYMBOL)) == len(plain_tables(folder, SYMBOL)["fills"])
    assert len(store.read("orders", SYMBOL)) == len(plain_tables(folder, SYMBOL)["orders"])


def test_unusable_file_raises_store_away(tmp_path: Path, store: SqliteState) -> None:
    """A folder in its place, a file that is no database, a closed store: one error type."""
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        SqliteState(tmp_path).connect()
    (tmp_path / "b.sqlite").write_text("hello, this is no database" * 100)
    with pytest.raises(StoreUnavailable, match=r"b\.sqlite.*not a database"):
        SqliteState(tmp_path / "b.sqlite").connect()
    store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        store.progress(SYMBOL)


def test_failed_batch_leaves_no_rows(tmp_path: Path, store: SqliteState) -> None:
    """The next attempt stores all of them."""
    played_logs(tmp_path, many_orders(60), 1)
    folder = tmp_path / "audit" / SYMBOL
    with sqlite3.connect(tmp_path / "out" / "state.sqlite") as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    connection.close()
    with pytest.raises(StoreUnavailable, match="disk full"):
        bring_up(store, folder, SYMBOL)
    assert store.read("fills", SYMBOL) == []
    with sqlite3.connect(tmp_path / "out" / "state.sqlite") as connection:
        connection.execute("DROP TRIGGER full")
    connection.close()
    bring_up(store, folder, SYMBOL)
    assert len(store.read("fills", SYMBOL)) == len(plain_tables(folder, SYMBOL)["fills"])
