from mm.market_data.day_journal import DayReport


def test_to_json_returns_a_flat_report():
    """Counts of the book are at the top level."""
    report = DayReport("20260105", 1, 2)
    report.book.anomalies["crossed"] += 1
    found = report.to_json()
    assert (found["frames"], found["anomalies"], found["synced"], "book" in found) == (0, {"crossed": 1}, False, False)


def test_line_omits_counts_of_zero():
    """Counts above zero are shown."""
    report = DayReport("20260105", 1, 2, trades=1_200, trade_gaps=2, quarantined=1)
    report.book.epochs = report.book.snapshots = 1
    assert report.line() == (
        "20260105  0 diffs, 1,200 trades, 0 frames, 1 snapshot, 1 epoch, 0 gaps, 2 trade gaps, 1 in quarantine"
    )
    assert DayReport("20260105", 1, 2).line().endswith("0 gaps, never synced, so no frames")
