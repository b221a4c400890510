"""The tear sheet: several backtests side by side, and what makes them hard to compare."""

from dataclasses import replace

import numpy as np
import pytest

from drawn_runs import result_of
from journals import seeded
from mm.backtest.metrics.numbers import Summary
from mm.report.run_columns import columns_of
from mm.report.tear_sheet import ComparedRun, TearSheet, compared, tear_sheet
from pages import check_figure, figures_of, read

DAY_US = 86_400_000_000


def compared_run(name, scribe, **knobs):
    result = result_of(scribe)
    manifest = {
        "run_id": name,
        "kind": "backtest",
        "symbol": "BTCUSDT",
        "day": "20251216",
        "version": "1",
        "commit": None,
        "knobs": {key: {"value": value, "source": "flag"} for key, value in knobs.items()},
        "inputs": [{"path": "BTCUSDT/20251216/trades.csv", "sha256": "aa"}],
    }
    return ComparedRun(name, manifest, Summary.read(result.summary), columns=columns_of(result))


def later(run, us, name):
    """Return a run at other instants, as on another day."""
    state, fills = (
        {**table, "recv_us": np.asarray(table["recv_us"]) + us} for table in (run.columns.state, run.columns.fills)
    )
    columns = replace(run.columns, state=state, fills=fills, mid_us=run.columns.mid_us + us)
    return replace(run, name=name, columns=columns)


def cut(run, seconds, name):
    """Return a run that ended after some seconds."""
    us = np.asarray(run.columns.state["recv_us"])
    rows = us <= us[0] + seconds * 1_000_000
    state = {key: np.asarray(values)[rows] for key, values in run.columns.state.items()}
    return replace(run, name=name, columns=replace(run.columns, state=state))


def quoting_pnl(run, last_us=None):
    """Return the PnL of the quoting from the state rows alone, up to an instant."""
    us, equity, mid = (np.asarray(run.columns.state[name], float) for name in ("recv_us", "equity", "mid"))
    value = (equity - run.columns.target * mid)[: None if last_us is None else np.searchsorted(us, last_us, "right")]
    known = value[~np.isnan(value)]
    return known[-1] - known[0]


def test_runs_are_shown_side_by_side():
    """Every run has its name at every chart, its own colour, its numbers, and only the knobs that differ are listed."""
    runs = [
        compared_run("base", seeded(300), quote_model="glft", seed=1, run_id="base"),
        compared_run("wi<de", seeded(300), quote_model="symmetric", seed=1, run_id="wide"),
        replace(compared_run("own", seeded(200), quote_model="glft", seed=1), tags=["live"], note="as <traded>"),
    ]
    html = tear_sheet(TearSheet(runs))
    words = read(html).words
    figures = figures_of(html)
    for figure in figures:
        check_figure(figure)
    drawn = [trace for trace in figures[0]["data"] if trace["name"] != "no valid book"]
    assert [trace["name"] for trace in drawn] == ["base", "wi&lt;de", "own"] * 3
    assert len({trace["line"]["color"] for trace in drawn}) == 3
    assert {"quote_model", "glft", "symmetric", "#live as <traded>"} <= {word.strip() for word in words}
    assert not {"seed", "run_id"} & set(words)
    for run in runs:
        assert f"{run.summary.n_fills:,}" in html


def test_difference_is_that_of_the_state_rows_over_the_common_time():
    """Of a run that ended earlier, only the time that both cover counts."""
    base, other = compared_run("a", seeded(1_500)), compared_run("b", seeded(1_500, fill_chance=0.5))
    whole = TearSheet([base, other]).difference(other)
    assert whole["pnl"] == pytest.approx(quoting_pnl(other) - quoting_pnl(base))
    assert (whole["lower95"] + whole["upper95"]) / 2 == pytest.approx(whole["pnl"])  # some of it lies in no minute
    half = cut(other, 700, "half")
    shorter, last = TearSheet([base, half]).difference(half), half.span[1]
    assert shorter["pnl"] == pytest.approx(quoting_pnl(half) - quoting_pnl(base, last))
    assert shorter["seconds"] == pytest.approx(700, abs=1)
    drawn = dict(TearSheet([base, half]).curves())
    assert drawn["a"].us[-1] == drawn["half"].us[-1] == last
    assert TearSheet([base, replace(base, name="again")]).difference(base) is None
    again = replace(base, name="again")
    assert TearSheet([base, again]).difference(again)["pnl"] == 0


def test_runs_of_other_days_are_drawn_by_the_time_of_day():
    """They have no difference, and the page says why."""
    base = compared_run("a", seeded(300))
    sheet = TearSheet([base, later(base, 3 * DAY_US + 60_000_000, "b")])
    assert sheet.common is None
    assert sheet.difference(sheet.runs[1]) is None
    (_, first), (_, second) = sheet.curves()
    assert second.us[0] - first.us[0] == 60_000_000
    assert "no time is common" in sheet.unequal()[0]
    check_figure(figures_of(tear_sheet(sheet))[0])


def with_summary(run, name, **values):
    return replace(run, name=name, summary=replace(run.summary, **values))


def with_manifest(run, name, **values):
    return replace(run, name=name, manifest={**run.manifest, **values})


UNEQUAL = {
    "different symbols": lambda run: with_summary(run, "b", symbol="ETHUSDT"),
    "PnL in different assets": lambda run: with_summary(run, "b", quote_asset="EUR"),
    "different versions": lambda run: with_manifest(run, "b", commit="0123456789abcdef+dirty"),
    "not the same data: BTCUSDT/20251216/trades.csv": lambda run: with_manifest(
        run, "b", inputs=[{"path": "BTCUSDT/20251216/trades.csv", "sha256": "bb"}]
    ),
    "different fill assumptions (fill_model)": lambda run: with_manifest(
        run, "b", knobs={"fill_model": {"value": "poisson", "source": "flag"}}
    ),
    "different time": lambda run: cut(run, 100, "b"),
}


@pytest.mark.parametrize("expected", UNEQUAL)
def test_what_makes_runs_hard_to_compare_is_said_first(expected):
    """Each of these alone, above the numbers; equal runs have no such line."""
    run = compared_run("a", seeded(300), fill_model="queue_prob_power")
    assert TearSheet([run, replace(run, name="b")]).unequal() == []
    sheet = TearSheet([run, UNEQUAL[expected](run)])
    lines = sheet.unequal()
    assert [line for line in lines if expected in line], lines
    assert sheet.warnings()[: len(lines)] == lines
    tear_sheet(sheet)


def test_markouts_of_different_symbols_are_in_basis_points():
    """A coin of 1 and one of 90,000 have no common unit."""
    run = compared_run("a", seeded(300))
    sheet = TearSheet([run, with_summary(run, "b", symbol="ETHUSDT")])
    markouts = next(one for one in figures_of(tear_sheet(sheet)) if "at the fill" in list(one["data"][0]["x"]))
    volume, spread = run.summary.volume, run.summary.effective_half_spread
    assert markouts["data"][0]["y"][0] == pytest.approx(1e4 * spread / (volume["quote"] / volume["base"]), rel=1e-6)


def test_warnings_of_the_runs_are_named():
    """One that all have is printed once."""
    run = compared_run("a", seeded(300))
    first = with_summary(run, "a", warnings=["both", "only a", "null: x"])
    second = with_summary(run, "b", warnings=["both"])
    assert TearSheet([first, second]).warnings() == ["all runs: both", "a: only a"]


def test_page_reports_a_run_without_state_rows():
    """Two empty runs have no chart, and one empty run does not hide the other."""
    empty, full = compared_run("a", seeded(1, fill_chance=0.0)), compared_run("b", seeded(300))
    empty.columns.state.update({name: values[:0] for name, values in empty.columns.state.items()})
    assert "There are no state rows." in tear_sheet(TearSheet([empty, replace(empty, name="c")]))
    sheet = TearSheet([empty, full])
    assert "There are no state rows." not in tear_sheet(sheet)
    assert "a has no state rows" in sheet.unequal()[0]
    assert sheet.difference(full) is None


def test_tear_sheet_is_drawn_in_a_browser(chrome, tmp_path):
    """Without errors, requests or a page wider than the window."""
    path = tmp_path / "sheet.html"
    runs = [compared_run(name, seeded(240 - 20 * place)) for place, name in enumerate("abcdefgh")]
    path.write_text(tear_sheet(TearSheet(runs)), encoding="utf-8")
    observed = chrome.opened(path, width=800)
    assert (observed.errors, observed.requests, observed.overflow) == ([], [], 0)
    assert observed.charts == 3


def test_bounds_of_a_queue_are_compared():
    """Beside a run without a queue, which has none; the numbers are named as in summary.json."""
    ends = {"back": (-1.25, 3), "chosen": (0.5, 4), "front": (2.75, 7)}
    bounds = {name: {"pnl_quoting": pnl, "n_fills": fills} for name, (pnl, fills) in ends.items()}
    bounded = compared_run("queue", seeded(300))
    summary = replace(bounded.summary, bounds=bounds, open_share=8.0)
    sheet = TearSheet([replace(bounded, summary=summary), compared_run("cross", seeded(300))])
    numbers = sheet.to_json()["numbers"]
    assert numbers["bounds.back.pnl_quoting"] == [-1.25, None]
    assert numbers["bounds.front.n_fills"] == [7, None]
    assert numbers["open_share"] == [8.0, None]
    assert "-1.25 to +2.75" in tear_sheet(sheet).replace("−", "-")
    assert not any(name.startswith("bounds") for name in TearSheet(sheet.runs[1:] * 2).numbers())


def test_numbers_are_collected_by_name():
    """A number that only one run has is None in the other; the Sharpe ratio needs twenty days in all."""
    month = [f"202601{day:02}" for day in range(1, 21)]
    first = {"days": month, "sharpe": 1.5, "n_fills": 3, "fees": None, "inventory_from_target": {"rms": 0.5}}
    second = {"days": month, "sharpe": 1.0, "n_fills": 5, "fees": None, "inventory_from_target": {"rms": None}}
    rows = {"sharpe": [1.5, 1.0], "n_fills": [3, 5], "inventory_from_target.rms": [0.5, None]}
    assert compared([Summary.read(first), Summary.read(second)]) == rows
    assert compared([Summary.read(first), Summary.read(second | {"days": month[:19]})]) == {
        name: rows[name] for name in list(rows)[1:]
    }
    more = {"pnl_quoting": 2.0, "seconds_covered": 1_800.0, "volume": {"quote": 4_000.0}}
    earned = Summary.read(first | more)
    assert compared([earned])["pnl_per_hour"] == [4.0]
    assert compared([earned])["pnl_per_turnover_bp"] == [5.0]
