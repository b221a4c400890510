"""Trade ids: no duplicates, and no unexplained gaps."""

import pytest

from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.rows import Trade

T = 1_767_600_000_000_000


def defects_of(tmp_path, ids, gaps=()):
    """Return row and kind of the defects for trades (id and source) with declared gaps."""
    folder = DayFolder(tmp_path, "A", "20260105")
    with DayWriter(folder, "R1", top_n=1) as writer:
        writer.event(T, "run_start", 0, {"version": "0", "knobs": {}})
        for first, last in gaps:
            gap = {"from_id": first, "to_id": last, "from_us": T, "to_us": T, "cause": "silence"}
            writer.gap(T, "trade_gap", 0, gap)
        for trade_id, source in ids:
            ms = None if source == "rest" else T // 1000
            writer.trade(T, Trade(ms, trade_id, T // 1000, "1", "1", True, trade_id, trade_id, source))
    return [(defect.row, defect.kind) for defect in check_day(folder).defects]


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
    assert defects_of(tmp_path, ids, gaps) == defects
