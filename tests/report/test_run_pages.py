"""Pages of several runs: the index, and two backtests over the same time."""

import pytest
from drawn_runs import result_of

from journals import seeded
from mm.report.run_columns import columns_of
from mm.report.run_pages import ComparedRun, Listing, compared, index_page, two_runs_page
from pages import check_figure, figures_of, read


def compared_run(name, scribe, **knobs):
    result = result_of(scribe)
    return ComparedRun(name, knobs, result.summary, columns_of(result))


def test_two_runs_are_shown_side_by_side():
    """Both names at every chart, each number with its difference, and only the knobs that differ."""
    first = compared_run("base", seeded(900), quote_model="glft", seed=1, run_id="base")
    second = compared_run("wi<de", seeded(600), quote_model="symmetric", seed=1, run_id="wide")
    html = two_runs_page(first, second)
    words = read(html).words
    (figure,) = figures_of(html)
    check_figure(figure)
    assert [trace["name"] for trace in figure["data"]] == ["base", "wi&lt;de"] * 3
    titles = " ".join(one["text"] for one in figure["layout"]["annotations"])
    assert all(title in titles for title in ("PnL of the quoting", "Under water", "Inventory"))
    assert {"quote_model", "glft", "symmetric"} <= {word.strip() for word in words}
    assert not {"seed", "run_id"} & set(words)
    fills = [run.summary["n_fills"] for run in (first, second)]
    assert f"<th>n_fills</th><td>{fills[0]}</td><td>{fills[1]}</td>" in html


def test_page_reports_a_run_without_state_rows():
    """Two empty runs have no chart, and one empty run does not hide the other."""
    empty, full = compared_run("a", seeded(1, fill_chance=0.0)), compared_run("b", seeded(300))
    empty.columns.state.update({name: values[:0] for name, values in empty.columns.state.items()})
    assert "There are no state rows." in two_runs_page(empty, empty)
    assert "There are no state rows." not in two_runs_page(empty, full)


def test_two_runs_are_drawn_in_a_browser(chrome, tmp_path):
    """Zoomable like any timeline, without errors."""
    path = tmp_path / "two.html"
    path.write_text(two_runs_page(compared_run("a", seeded(400)), compared_run("b", seeded(300))), encoding="utf-8")
    observed = chrome.opened(path, width=800)
    assert (observed.errors, observed.requests, observed.charts, observed.overflow) == ([], [], 1, 0)


def test_numbers_are_compared_with_their_difference():
    """A number that only one run has gets no difference; the Sharpe ratio needs twenty days in both."""
    month = [f"202601{day:02}" for day in range(1, 21)]
    first = {"days": month, "sharpe": 1.5, "n_fills": 3, "fees": None, "inventory": {"rms": 0.5}}
    second = {"days": month, "sharpe": 1.0, "n_fills": 5, "fees": None, "inventory": {"rms": None}}
    rows = [("sharpe", "1.5", "1", "−0.5"), ("n_fills", "3", "5", "+2"), ("inventory.rms", "0.5", "–", "–")]
    assert compared([first, second]) == rows
    assert compared([first, second | {"days": month[:19]}]) == rows[1:]


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
