"""The page that lists all runs."""

import pytest

from mm.report.index_page import Listing, index_page
from pages import read


@pytest.mark.parametrize("link", [None, "backtest/X/1_a/report.html"])
def test_index_lists_every_run_newest_first(link):
    """A run without a page is listed without a link."""
    cells = ["backtest", "BTCUSDT", "20251216"]
    runs = [
        Listing([*cells, "old", "ok", "2026-01-01T00:00:00Z"], link, {"pnl_total": 1.5}),
        Listing([*cells, "n<w", "unusable", "2026-01-02T00:00:00Z"], None, {}),
    ]
    html = index_page(runs, "out")
    read(html)
    assert html.index("n&lt;w") < html.index("old")
    assert "pnl_total 1.5" in html
    assert (f'<a href="{link}">old</a>' in html) is (link is not None)
    assert "There are no runs." in index_page([], "out")
