"""The comparison as text and as a page: both contain every number."""

import json
from dataclasses import asdict, replace

import pytest
from test_compare import Files, both  # noqa: F401 - a fixture

from mm.live.pages.compare import compare_runs, read_run
from mm.live.pages.compare_page import comparison_page, comparison_text
from pages import figures_of


def test_text_and_page_show_same_numbers(both):  # noqa: F811
    found = compare_runs(both)
    text, html = comparison_text(found), comparison_page(found, both)
    for shown in ("backtest one", "shadow two", "– would_cross", "1 / 1 / 1"):
        assert shown in text
        assert shown in html
    (figure,) = figures_of(html)
    assert [trace["name"] for trace in figure["data"]] == ["backtest one", "shadow two"]
    assert json.loads(json.dumps(asdict(found)))["runs"][0]["kind"] == "backtest"


def test_bounds_of_a_queue_stand_beside_the_trade(both):  # noqa: F811
    """A replay's PnL and fills from the back of every queue to the front; a trade has none, and without any no rows."""
    ends = {"back": -1.25, "chosen": 0.5, "front": 2.75}
    bounds = {
        name: {"n_fills": 10 + at, "fill_ratio": 0.25, "markout_5s": None, "pnl_quoting": pnl}
        for at, (name, pnl) in enumerate(ends.items())
    }
    bounded = replace(both[0], bounded={"bounds": bounds, "open_share": 8.0})
    found = compare_runs([bounded, both[1]])
    text, html = comparison_text(found), comparison_page(found, [bounded, both[1]])
    for shown in ("-1.25 to +2.75", "10 to 12", "800"):
        assert shown in text.replace("−", "-")
        assert shown in html.replace("−", "-")
    assert asdict(found)["runs"][0]["bounds"] == bounds
    assert asdict(found)["runs"][1]["bounds"] is None
    assert "bounds" not in comparison_text(compare_runs(both))


def test_unknown_numbers_are_shown_as_dash(tmp_path):
    runs = [read_run(Files(run_id=name).write(tmp_path / name)) for name in ("a", "b")]
    found = compare_runs(runs)
    assert "–" in comparison_text(found)
    assert "–" in comparison_page(found, runs)


def test_page_without_valid_book_has_no_chart(tmp_path):
    files = [Files(run_id=name) for name in ("a", "b")]
    for one in files:
        one.state = [row.replace(",100,", ",,").rsplit(",", 2)[0] + ",,0" for row in one.state[:5]]
    runs = [read_run(one.write(tmp_path / one.run_id)) for one in files]
    found = compare_runs(runs)
    assert found.runs[0].pnl is None
    assert "No run has a valid book" in comparison_page(found, runs)


@pytest.mark.parametrize("count", [2, 5])
def test_page_contains_every_run(tmp_path, count):
    runs = [read_run(Files(run_id=f"run{name}").write(tmp_path / str(name))) for name in range(count)]
    page = comparison_page(compare_runs(runs), runs)
    assert all(f"run{name}" in page for name in range(count))
