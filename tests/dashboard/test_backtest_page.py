"""The page of backtests: the form, its command, the started run, and grids."""

import json
import shutil
import time

import pytest
from page_reading import figures_of, text_of

from mm.backtest.metrics.numbers import Summary
from mm.backtest.summary_text import bounds_text
from mm.cli.frame import known_knobs
from mm.commands.backtest import backtest
from mm.dashboard import sources
from mm.dashboard.backtest_page import PLACED
from mm.dashboard.sources import Folders

REQUESTED = {"symbol": "SIMUSDT", "day": "20260105", "quote_model": "fixed_spread"}


def press(at, label):
    """Press the button with a label."""
    return next(button for button in at.button if button.label == label).click().run()


def wait_for_end(at):
    """Wait until a run ends, and return the page that shows the result."""
    deadline = time.monotonic() + 60
    while at.session_state["job"].running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return at.run()


@pytest.mark.slow
def test_every_knob_is_a_control(opened):
    """By the single declaration; model parameters replace the knobs that are JSON."""
    at = opened("backtest_page", **REQUESTED)
    assert not at.exception
    keys = {knob.key for knob in [*at.text_input, *at.selectbox]}
    names = {knob.name for knob in known_knobs(backtest)} - set(PLACED) - {"quote_params_json", "fill_params_json"}
    assert {f"knob {name}" for name in names} <= keys
    assert "parameter fixed_spread delta_ticks" in keys
    assert "parameter queue_prob_power exponent" in keys


@pytest.mark.slow
def test_query_parameters_fill_the_form(opened):
    """For any knob."""
    at = opened("backtest_page", **REQUESTED, initial_cash="500", quote_params_json='{"delta_ticks": 2}')
    chosen = {control.key: control.value for control in [*at.selectbox, *at.text_input]}
    assert {name: chosen[f"knob {name}"] for name in REQUESTED} == REQUESTED
    assert chosen["knob initial_cash"] == "500"
    assert chosen["knob quote_params_json"] == '{"delta_ticks": 2}'


@pytest.mark.slow
def test_run_backtest_button_equals_the_command_line(opened, made, tmp_path):
    """The run uses the knobs of the form; the page shows its result and a link to the run."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = opened("backtest_page", tmp_path, **REQUESTED)
    at.text_input(key="parameter fixed_spread delta_ticks").input("3")
    at.text_input(key="knob run_id").input("again")
    at.selectbox(key="knob sensitivity").select("0")
    at = wait_for_end(press(at, "Run backtest"))
    assert not at.exception
    assert not at.error
    run = "backtest/SIMUSDT/20260105_{}/fills_SIMUSDT.csv"
    from_page, from_command = (
        (home / "out" / run.format(name)).read_bytes() for home, name in ((tmp_path, "again"), (made, "wide"))
    )
    assert from_page == from_command
    assert "/runs?run=again" in text_of(at)
    assert "PnL" in text_of(at)


@pytest.mark.parametrize(
    ("knob", "text", "message"),
    [
        ("initial_cash", "much", "initial-cash was 'much'"),
        ("day", "", "day is missing"),
    ],
)
def test_invalid_knob_gives_one_error(opened, knob, text, message):
    """Nothing is started."""
    requested = {**REQUESTED, knob: text} if knob != "day" else {"symbol": "SIMUSDT"}
    at = press(opened("backtest_page", **requested), "Run backtest")
    assert not at.exception
    assert message in at.error[0].value
    assert "job" not in at.session_state


def test_failed_run_shows_the_reason(opened):
    """With its exit code and its error line."""
    at = opened("backtest_page", symbol="SIMUSDT", day="20260106")
    at = wait_for_end(press(at, "Run backtest"))
    assert not at.exception
    assert "Exit code 3: no day folder" in at.error[0].value


def test_run_can_be_stopped(opened, made, tmp_path):
    """It leaves no run."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = press(opened("backtest_page", tmp_path, **{**REQUESTED, "day": "20260105"}), "Run backtest")
    job = at.session_state["job"]
    at.session_state["job"].end()
    assert not job.running
    assert job.code != 0


def fill_list_cache(monkeypatch, home):
    """Put an empty list of runs into the cache of the pages."""
    sources._found.clear()
    with monkeypatch.context() as patched:
        patched.setattr(sources, "find_runs", lambda *_: ([], []))
        assert Folders(home / "data", home / "out").runs() == []


@pytest.mark.slow
def test_sweep_is_started_and_listed_as_soon_as_it_ends(opened, made, tmp_path, monkeypatch):
    """One axis per line; the list of runs is otherwise cached for two seconds."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = opened("backtest_page", tmp_path, symbol="SIMUSDT", day="20260105", run_id="grid2", jobs="1")
    at.text_area(key="sweep grid").input("GAMMA=0.01,1\nORDER_LATENCY_MS=10,200")
    at = press(at, "Run sweep")
    at.session_state["job"].answer()
    fill_list_cache(monkeypatch, tmp_path)
    at = wait_for_end(at)
    assert not at.exception
    assert not at.error
    assert "Sweep grid2: 4 points" in text_of(at)
    assert at.selectbox(key="sweep").value == "grid2"


def test_sweep_shows_ranking_heatmap_and_deflated_sharpe(opened, made):
    """And the values of the best point."""
    at = opened("backtest_page", sweep="grid")
    content = json.loads((made / "out/sweep/SIMUSDT/20260105_grid/sweep.json").read_text())
    tiles = {metric.label: metric.value for metric in at.metric}
    assert not at.exception
    (figure,) = figures_of(at)
    assert figure["data"][0]["type"] == "heatmap"
    assert {"Bound of the chosen, USDT", "Deflated Sharpe", "Its quoting PnL, USDT"} <= set(tiles)
    assert tiles["Trials"] == str(content["n_trials"])
    bounds = bounds_text(Summary.read({**content["best"], "quote_asset": "USDT"}))
    assert bounds
    assert bounds in " ".join(caption.value for caption in at.caption)
    assert at.dataframe[0].value["point"].tolist() == [row["point"] for row in content["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{}", '{"rows": 1, "axes": []}', "[1]", '{"rows": [{}], "axes": [{}]}'])
def test_broken_sweep_gives_one_error(opened, made, tmp_path, text):
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "out/sweep/SIMUSDT/20260105_grid/sweep.json").write_text(text)
    at = opened("backtest_page", tmp_path, sweep="grid")
    assert not at.exception
    assert "make the run again" in at.error[0].value
