from collections import Counter

from mm.instrument import Instrument
from mm.market_data.day_journal import BookCounts
from mm.market_data.import_session import CaptureReport, DayReport, ImportReport, percentiles


def report():
    book = BookCounts(2_000, 1_990, 2, 1, 1, 2, Counter(stale=3, crossed=1))
    whole = DayReport("20260105", 1, 2, "data/SIMUSDT/20260105", 3_000, 900, 4, 1, 5, 1, 6, book, -40_250, 9_000)
    empty = DayReport("20260106", 3, 4, "data/SIMUSDT/20260106")
    return ImportReport(
        "SIMUSDT",
        "R1",
        [CaptureReport("a.gz", 10), CaptureReport("b.gz", 1_234, 1, 99, ends_early=True)],
        [whole, empty],
        7,
        6,
        Instrument("SIMUSDT", 1_000_000, 1_000),
        ["tick size"],
        ["careful"],
    )


def test_report_lines_contain_all_counts_and_warnings():
    """The report has a few lines; zero counts of rare events are omitted."""
    assert report().lines() == [
        "20260105  2,000 diffs, 900 trades, 1,990 frames, 2 snapshots, 2 epochs, 1 gap, 1 trade gap, "
        "4 duplicate trades left out, 1 clock step, 6 in quarantine, anomalies: 1 crossed, 3 stale",
        "20260106  0 diffs, 0 trades, 0 frames, 0 snapshots, 0 epochs, 0 gaps, never synced, so no frames",
        "bookTicker check: 7 compared, 6 agreed",
        "receive clock minus exchange stamp, median per day: -40.2 ms",
        "tick size 0.01, quantity step 0.00001 (inferred from the capture: tick size)",
        "lost: b.gz: the gzip stream ends early, 99 bytes could not be decompressed, 1 truncated line(s) in "
        "quarantine; all 1,233 complete lines used",
        "warning: careful",
        "data/SIMUSDT/20260105",
        "data/SIMUSDT/20260106: never synced, so it cannot be replayed",
    ]


def test_to_json_returns_a_plain_complete_record():
    """Decimals are text, counts are flat, the path is that of the last day."""
    record = report().to_json()
    assert record["instrument"] == {"tick_size": "0.01", "qty_step": "0.00001", "min_notional": "0"}
    assert record["path"] == "data/SIMUSDT/20260106"
    first, second = record["days"]
    assert (first["frames"], first["anomalies"], first["synced"]) == (1_990, {"stale": 3, "crossed": 1}, True)
    assert (second["synced"], second["clock_offset_us"]) == (False, None)
    assert record["captures"][1]["lost_bytes"] == 99
    assert ImportReport("SIMUSDT", "R1").to_json()["path"] is None


def test_report_shows_the_first_lines_in_quarantine():
    """The line shows five places and the number of the others."""
    capture = CaptureReport("a.gz", 10)
    for number in range(1, 8):
        capture.quarantine(f"a.gz:{number}: no JSON", cut=number == 7)
    (line,) = [line for line in ImportReport("SIMUSDT", "R1", [capture]).lines() if "quarantine: " in line]
    shown = "; ".join(f"a.gz:{number}: no JSON" for number in range(1, 6))
    assert line == f"in quarantine: {shown}; and 2 more of a.gz"
    assert (capture.unread_lines, capture.cut_lines) == (7, 1)


def test_percentiles_are_observed_values():
    """There is no interpolation: a clock offset belongs to one message."""
    assert percentiles(Counter()) == (None, None)
    assert percentiles(Counter([5])) == (5, 5)
    assert percentiles(Counter(range(101))) == (50, 99)
