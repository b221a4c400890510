"""Trade ids: no duplicates, and no unexplained gaps."""

import pytest

from day_files import RowWriter, defects_of
from mm import DayFolder

T = 1_767_600_000_000_000


def trade_defects(tmp_path, ids, gaps=()):
    """Return row and kind of the defects for trades (id and source) with declared gaps."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        for first, last in gaps:
            gap = {"from_id": first, "to_id": last, "from_us": T, "to_us": T, "cause": "silence"}
            writer.gap(T, "trade_gap", 0, gap)
        for trade_id, source in ids:
            ms = None if source == "rest" else T // 1000
            writer.trade(T, ms, trade_id, T // 1000, "1", "1", True, trade_id, trade_id, source)
    return [(defect.row, defect.kind) for defect in defects_of(folder)]


@pytest.mark.parametrize(
    ("ids", "gaps", "defects"),
    [
        ([(1, "ws"), (2, "ws"), (3, "ws")], [], []),
        ([(1, "ws"), (5, "ws")], [(2, 4)], []),
        ([(1, "ws"), (5, "ws")], [(2, 3)], [(2, "trade_hole")]),
        ([(1, "ws"), (5, "ws"), (3, "rest")], [], [(2, "trade_hole"), (2, "trade_hole")]),
        ([(1, "ws"), (5, "ws"), (3, "rest")], [(2, 2), (4, 4)], []),
        ([(1, "ws"), (5, "ws"), (3, "rest"), (4, "rest"), (2, "rest")], [], []),
        ([(1, "ws"), (5, "ws"), (3, "ws")], [(2, 4)], [(3, "trade_id")]),
        ([(1, "import"), (5, "import"), (3, "import")], [(2, 4)], []),
        ([(5, "ws"), (3, "rest"), (4, "rest")], [], []),
        ([(5, "ws"), (3, "rest"), (3, "rest")], [], [(3, "trade_id")]),
        ([(1, "ws"), (1, "ws")], [], [(2, "trade_id")]),
        ([(1, "ws"), (2, "ws"), (1, "rest")], [], [(3, "trade_id")]),
        ([(9_000_000, "ws"), (9_000_001, "ws"), (1, "ws"), (2, "ws")], [], []),
    ],
)
def test_defects_of_trade_ids(tmp_path, ids, gaps, defects):
    """Stream ids increase; REST and imports fill gaps; the ledger declares other gaps; ids may restart."""
    assert trade_defects(tmp_path, ids, gaps) == defects


def test_repeated_trade_with_other_content_is_reported_with_both(tmp_path):
    """A row that repeats its trade in other words is only a repetition."""
    folder = DayFolder(tmp_path, "A", "20260105")
    ms = T // 1000
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        trades = [(1, "10", "2"), (2, "10", "2"), (1, "10.0", "2.00"), (2, "10", "3"), (2, "11", "2")]
        for trade_id, price, qty in trades:
            writer.trade(T, ms, trade_id, ms, price, qty, True, trade_id, trade_id, "import")
        again = {"kind": "duplicate", "stream": "trade", "is_buyer_maker": True}
        older = [again | {"trade_id": 2}, again | {"trade_id": 9, "trade_time_ms": ms, "price": "1", "qty": "2"}]
        for details in (again | {"trade_id": 1, "trade_time_ms": ms + 1, "price": "10", "qty": "2"}, *older):
            writer.event(T, "anomaly", 0, details)
    defects = [defect for defect in defects_of(folder) if defect.kind == "contradiction"]
    assert [(defect.file, defect.row) for defect in defects] == [
        (folder.trades.name, 4),
        (folder.trades.name, 5),
        (folder.events.name, 2),
    ]
    stored = f"in row 2 of {folder.trades.name} price 10, qty 2, is_buyer_maker true, trade_time_ms {ms}"
    assert f"trade 2 has price 10, qty 3, is_buyer_maker true, trade_time_ms {ms}" in defects[0].message
    assert stored in defects[0].message
    assert f"trade_time_ms {ms + 1}, but in row 1 " in defects[2].message


def test_content_of_a_first_row_after_an_id_reset_is_its_own(tmp_path):
    """The exchange counts its trades from 1 again: the same ids are other trades."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        for trade_id, price in ((9_000_000, "10"), (1, "11"), (1, "11"), (9_000_000, "12"), (9_000_000, "12")):
            writer.trade(T, T // 1000, trade_id, T // 1000, price, "2", True, trade_id, trade_id, "import")
    assert "contradiction" not in {defect.kind for defect in defects_of(folder)}


def test_rows_wider_than_an_older_header_are_reported(tmp_path):
    """Blocks of rows are compared with the columns of the file, not with today's."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with RowWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        for number in range(1, 20):
            writer.trade(T, T // 1000, number, T // 1000, "1", "1", True, number, number)
    head, rows = folder.trades.read_text().split("\n", 1)
    folder.trades.write_text(f"{head.rpartition(',')[0]}\n{rows}")
    defects = [defect for defect in defects_of(folder) if defect.file == folder.trades.name]
    assert [(defect.row, defect.kind) for defect in defects] == [(row, "columns") for row in range(1, 20)]
