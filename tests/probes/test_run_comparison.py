"""Comparison of two runs by their tables, and the report of all tests."""

from pathlib import Path

import pytest

from mm.probes.run_comparison import OPENED, REPEAT, STRETCHED, TRUNCATED, Finding, Report, RunTables

ORDERS = "recv_us,order_id,action,side,price,qty,reject_reason,cancel_reason"
FILLS = "recv_us,order_id,side,price,qty,reason"


def tables(folder: Path, orders: list[str], fills: list[str]) -> RunTables:
    folder.mkdir()
    for name, lines in (("orders", [ORDERS, *orders]), ("fills", [FILLS, *fills])):
        (folder / f"{name}_BTCUSDT.csv").write_text("\n".join(lines) + "\n")
    (folder / "state_BTCUSDT.csv").write_text("recv_us,inventory\n1000,0.000\n2000,0.100\n")
    return RunTables(folder)


@pytest.fixture
def run(tmp_path: Path) -> RunTables:
    return tables(tmp_path / "one", ["1000,1,PLACE,BUY,10.00,0.100,,"], ["2000,1,BUY,10.00,0.100,trade_cross:trade"])


def test_equal_runs_do_not_differ(run, tmp_path):
    """Independent of the folder names."""
    same = ["1000,1,PLACE,BUY,10.00,0.100,,"], ["2000,1,BUY,10.00,0.100,trade_cross:trade"]
    assert run.first_difference(tables(tmp_path / "two", *same)) is None
    assert run.first_order_us == 1000


def test_first_difference_reports_actions_of_both_runs(run, tmp_path):
    """A missing fill is "nothing"; differences from the cut on do not count."""
    other = tables(tmp_path / "two", ["1000,1,PLACE,BUY,10.00,0.100,,"], [])
    us, action, other_action = run.first_difference(other)
    assert (us, other_action) == (2000, "nothing")
    assert action == "fill of order 1, BUY 0.1 at 10 (trade_cross:trade)"
    assert run.first_difference(other, until_us=2000) is None


def test_inventory_at_returns_last_row_before(run):
    """Zero before the first row."""
    assert [run.inventory_at(us) for us in (500, 1500, 2000)] == ["0", "0", "0.1"]


def test_report_counts_comparisons_and_shows_first_findings():
    """In the order of the tests; tests that were not made are not listed."""
    report = Report(notes=["seen"])
    report.add(TRUNCATED, None)
    report.add(TRUNCATED, Finding(TRUNCATED, 5, 4, "it differs"))
    report.add(REPEAT, None)
    report.add(OPENED, None)
    assert list(report.lines()) == [
        "passed  repeat     the same run again in this process: equal",
        "FAILED  truncated  tapes that end at the cut: 1 of 2 differ",
        "        it differs",
        "passed  opened     files that the model opened itself, of the day or made after it began: none",
        "note: seen",
    ]


@pytest.mark.parametrize(
    ("equal", "orders", "fails", "notes"), [(0.0, 50, 1, 0), (0.0, 5, 0, 1), (0.6, 50, 0, 1), (1.0, 50, 0, 0)]
)
def test_model_that_does_nothing_the_same_on_a_longer_day_looks_instants_up(equal, orders, fails, notes):
    """What changes a little is a note, and a few orders prove nothing."""
    report = Report()
    report.add_stretch((equal, equal, equal), orders)
    assert (len(report.failed(STRETCHED)), len(report.notes)) == (fails, notes)
    assert report.to_json()["stretch"]["equal"] == equal
