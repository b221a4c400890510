"""Coverage of days with known faults, compared also with a backtest."""

import json

import pytest
from click.testing import CliRunner

from day_files import RowWriter
from mm import DayFolder
from mm.__main__ import main
from mm.dayfolder.coverage import cover, coverage_text
from mm.errors import MissingDay

US = 1_767_596_400_000_000
BIDS, ASKS = [["0.99", "1"]], [["1.01", "1"]]


@pytest.fixture
def writer(tmp_path):
    with RowWriter(DayFolder(tmp_path, "SIMUSDT", "20260105"), "one", instrument=None) as open_writer:
        yield open_writer


def begin(writer, us=US):
    writer.event(us, "run_start", 0, {"version": "1", "knobs": {}})
    writer.event(us, "window_start", 0, {})


def end(writer, us, epoch):
    writer.event(us, "window_end", epoch, {})
    writer.event(us, "run_stop", epoch, {"reason": "window_end"})
    writer.seal()


def coverage_of(writer):
    return cover(DayFolder.at(writer.folder.path))


def test_book_is_valid_from_snapshot_to_gap(writer):
    """A snapshot at 1 s, ids 12 to 14 missing at 3 s, a new snapshot at 5 s; the window ends at 9 s."""
    begin(writer)
    writer.snapshot(US + 1_000_000, "initial", 10, BIDS, ASKS, 1)
    writer.diff(US + 2_000_000, 0, 11, 11, BIDS, [])
    writer.diff(US + 3_000_000, 0, 15, 15, BIDS, [])
    writer.event(US + 3_000_000, "gap", 1, {"from_id": 12, "to_id": 14, "from_us": 0, "to_us": 0, "cause": "lost"})
    writer.snapshot(US + 5_000_000, "resync", 16, BIDS, ASKS, 2)
    writer.diff(US + 6_000_000, 0, 16, 17, BIDS, [])
    end(writer, US + 9_000_000, 2)
    coverage = coverage_of(writer)
    assert [(span.from_us - US, span.to_us - US, span.cause) for span in coverage.excluded] == [
        (0, 1_000_000, "run_start"),
        (2_000_000, 5_000_000, "gap: lost"),
    ]
    assert (coverage.excluded[1].from_id, coverage.excluded[1].to_id) == (12, 14)
    assert (coverage.covered_s, coverage.excluded_s, coverage.epochs, coverage.runs) == (5.0, 4.0, 2, 1)
    assert (coverage.depth.rows, coverage.depth.first_id, coverage.depth.last_id) == (3, 11, 17)
    assert (coverage.depth.gaps, coverage.depth.missing) == (1, 3)


def test_trades_and_missing_trades_are_counted(writer):
    """Three rows, one of them from REST, and one declared gap."""
    begin(writer)
    for trade_id, source in ((5, "ws"), (8, "ws"), (6, "rest")):
        writer.trade(US + trade_id, 1, trade_id, 1, "1.00", "1", False, trade_id, trade_id, source)
    writer.event(US + 9, "trade_gap", 0, {"from_id": 7, "to_id": 7, "from_us": 0, "to_us": 0, "cause": "lost"})
    end(writer, US + 10, 0)
    trades = coverage_of(writer).trades
    assert (trades.rows, trades.first_id, trades.last_id, trades.rest) == (3, 5, 8, 1)
    assert (trades.gaps, trades.missing) == (1, 1)


def test_day_without_book_covers_nothing(writer):
    """The whole window is excluded, and the text has no division by zero."""
    begin(writer)
    end(writer, US + 4_000_000, 0)
    coverage = coverage_of(writer)
    assert (coverage.covered_s, coverage.excluded_s) == (0.0, 4.0)
    assert "covered   0.0 s (0.00 %), 0 epochs, 1 run\n" in coverage_text(coverage)
    assert "excluded  4.0 s in 1 span\n" in coverage_text(coverage)
    assert "depth     no rows" in coverage_text(coverage)


def test_unreadable_rows_are_counted_and_skipped(writer):
    """The check reports the rows; the coverage continues."""
    begin(writer)
    end(writer, US + 4_000_000, 0)
    trades = next(writer.folder.path.glob("trades_ws_*"))
    trades.write_text(trades.read_text(encoding="utf-8") + "no,row\n", encoding="utf-8")
    assert coverage_of(writer).unreadable == 1
    assert "1 row cannot be read; mm data check lists them" in coverage_text(coverage_of(writer))


def test_folder_without_ledger_raises_missing_day(tmp_path):
    """Only the ledger records when a book was valid."""
    (tmp_path / "SIMUSDT" / "20260105").mkdir(parents=True)
    with pytest.raises(MissingDay, match="give a day folder with its ledger"):
        cover(DayFolder(tmp_path, "SIMUSDT", "20260105"))


@pytest.mark.slow
def test_excluded_time_matches_simulated_faults_and_backtest(tmp_path):
    """Simulator, coverage and engine agree on the times without a book, or with trades missing."""
    where = ["--symbol", "SIMUSDT", "--day", "20260105", "--data-root", str(tmp_path)]
    run = CliRunner()
    assert run.invoke(main, ["sim", "day", *where, "--hours", "0.5", "--scenario", "gaps"]).exit_code == 0
    folder = tmp_path / "SIMUSDT" / "20260105"
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    no_book = [tuple(fault["no_book_us"]) for fault in truth["faults"] if fault["no_book_us"]]
    assert no_book
    coverage = json.loads(run.invoke(main, ["data", "coverage", str(folder), "--json"]).stdout)["days"][0]
    excluded = [(span["from_us"], span["to_us"], span["cause"]) for span in coverage["excluded"][1:]]
    for begin, end in no_book:
        assert any(from_us <= begin and end <= to_us for from_us, to_us, _ in excluded)
    assert all((from_us, to_us) in no_book or cause == "trades missing" for from_us, to_us, cause in excluded)
    own = ["--out-root", str(tmp_path / "out"), "--feed-latency", "none", "--json"]  # the ledger is in receive time
    backtest = run.invoke(main, ["backtest", *where, *own])
    summary = json.loads(backtest.stdout)
    assert summary["seconds_excluded"] == pytest.approx(sum(end - begin for begin, end, _ in excluded) / 1e6, abs=1e-6)
    assert len(summary["spans"]) == len(excluded) + 1
