"""The generated capture of the import benchmark."""

import pytest

from benchmarks import imports
from day_files import defects_of
from mm.market_data.capture_import import import_captures

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_generated_capture_is_a_consistent_market(tmp_path):
    """The capture is realistic: no gap, no crossed book, and every best price agrees."""
    counts = imports.write_capture(tmp_path / "capture.gz", 300)
    report = import_captures([tmp_path / "capture.gz"], imports.SYMBOL, tmp_path / "data", run_id="R1")
    (day,) = report.days
    assert (day.book.diffs, day.book.frames, day.trades, day.tickers) == (300, 300, 300, 300)
    assert (report.compared, report.agreed, day.book.gaps, day.trade_gaps) == (300, 300, 0, 0)
    assert counts == {"depth messages": 300, "levels": counts["levels"], "trades": 300, "best prices": 300}
    assert 20 * 300 < counts["levels"] < 24 * 300
    assert not defects_of(tmp_path / "data" / imports.SYMBOL / day.day)


def test_rows_without_peer_have_no_ratio(monkeypatch):
    """The import is measured alone."""
    monkeypatch.setattr(imports, "MESSAGES", 50)
    measured = imports.measure(1, None)
    assert [row.ratio for row in measured.rows] == [None] * 3
    assert len(measured.notes) == 1
