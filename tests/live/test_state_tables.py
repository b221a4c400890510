"""Common parts of the stores: columns, batches, and addresses without passwords."""

import pytest

from audit_story import FILL
from mm.live.audit.books import AuditOrder, Changes
from mm.live.state.stores import SHOWN
from mm.live.state.tables import TABLES, StateBatch, fill_row, place_of

# Tables and positions as in docs/trading.md.
DOCUMENTED = {
    "fills": "trade_id symbol order_id client_id side price qty commission commission_asset us run_id",
    "orders": "client_id order_id symbol side price qty filled status us run_id",
    "positions": (
        "symbol position cash fees fills last_trade_id us run_id "
        "funding entry_price liquidation_price mark_price margin maintenance_margin seen_us"
    ),
    "configs": "version symbol knobs hash us",
}


@pytest.mark.parametrize("table", SHOWN)
def test_tables_have_the_documented_columns(table: str) -> None:
    """External readers rely on them, in their order."""
    assert list(TABLES[table].columns) == DOCUMENTED[table].split()
    assert set(TABLES[table].key) <= set(TABLES[table].columns)


def test_batch_rows_have_the_columns_of_their_tables() -> None:
    """Tables without a row are left out."""
    order = AuditOrder("a", None, "BTCUSDT", "BUY", "1.5", "2", "NEW", 9, "r1")
    changes = Changes([(FILL, "r1")], {"a": order}, [(1, "BTCUSDT", "{}", "h", 3)], ("BTCUSDT",) * 15)
    rows = StateBatch("BTCUSDT", "f", 0, 4, 0, changes).rows()
    assert {table: len(found[0]) for table, found in rows.items()} == {
        table: len(names.split()) for table, names in DOCUMENTED.items()
    }
    assert dict(zip(TABLES["fills"].columns, rows["fills"][0], strict=True)) == {
        name: value for name, value in FILL.row().items() if name != "maker"
    } | {"symbol": "BTCUSDT", "run_id": "r1"}
    assert rows["fills"] == [fill_row(FILL, "BTCUSDT", "r1")]
    assert StateBatch("BTCUSDT", "f", 0, 4, 0, Changes()).rows() == {}


def test_batch_follows_stored_progress_of_all_logs() -> None:
    """It does not follow in a store that was emptied between two logs."""
    batch = StateBatch("BTCUSDT", "b", 2, 5, 9, Changes())
    assert batch.follows({"a": 7, "b": 2})
    assert not batch.follows({"b": 2})
    assert not batch.follows({"a": 7})
    assert not batch.follows({"a": 4, "b": 5})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:secret@host:1/3", "redis://host:1/3"),
        ("postgresql://me:secret@host/mm", "postgresql://host/mm"),
        ("postgresql:///mm", "postgresql:///mm"),
    ],
)
def test_place_contains_no_password(url: str, place: str) -> None:
    """It is used in log lines and errors."""
    assert place_of(url) == place
