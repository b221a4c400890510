"""The page of backtests: the form, the command it makes, the run it starts, and grids."""

import json
import shutil
import time

import pytest
from page_reading import charts_of, text_of

from mm.cli.frame import known_knobs
from mm.commands import backtest
from mm.dashboard import sources
from mm.dashboard.backtest_page import PLACED
from mm.dashboard.sources import Folders

ASKED = {"symbol": "SIMUSDT", "day": "20260105", "quote_model": "fixed_spread"}


def press(at, label):
    """Press the button of a label."""
    return next(one for one in at.button if one.label == label).click().run()


def ended(at):
    """Follow a run until its page shows how it ended."""
    until = time.monotonic() + 60
    while at.session_state["job"].running:
        assert time.monotonic() < until
        time.sleep(0.05)
    return at.run()


def test_every_knob_is_a_control(opened):
    """By the single declaration; model parameters replace the knobs that are JSON."""
    at = opened("backtest_page", **ASKED)
    assert not at.exception
    keys = {one.key for one in [*at.text_input, *at.selectbox]}
    names = {one.name for one in known_knobs(backtest.main)} - set(PLACED) - {"quote_params_json", "fill_params_json"}
    assert {f"knob {name}" for name in names} <= keys
    assert "parameter fixed_spread delta_ticks" in keys
    assert "parameter queue_prob_power exponent" in keys


def test_the_address_fills_the_form_in(opened):
    """Any knob may be in it."""
    at = opened("backtest_page", **ASKED, initial_cash="500", quote_params_json='{"delta_ticks": 2}')
    chosen = {one.key: one.value for one in [*at.selectbox, *at.text_input]}
    assert {name: chosen[f"knob {name}"] for name in ASKED} == ASKED
    assert chosen["knob initial_cash"] == "500"
    assert chosen["knob quote_params_json"] == '{"delta_ticks": 2}'


def test_run_backtest_leaves_what_the_command_line_leaves(opened, made, tmp_path):
    """The knobs of the form, its result on the page, and a link to the run."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = opened("backtest_page", tmp_path, **ASKED)
    at.text_input(key="parameter fixed_spread delta_ticks").input("3")
    at.text_input(key="knob run_id").input("again")
    at.selectbox(key="knob sensitivity").select("0")
    at = ended(press(at, "Run backtest"))
    assert not at.exception
    assert not at.error
    run = "backtest/SIMUSDT/20260105_{}/fills_SIMUSDT.csv"
    here, there = (
        (home / "out" / run.format(name)).read_bytes() for home, name in ((tmp_path, "again"), (made, "wide"))
    )
    assert here == there
    assert "/runs?run=again" in text_of(at)
    assert "PnL" in text_of(at)


@pytest.mark.parametrize(
    ("knob", "text", "told"),
    [
        ("initial_cash", "much", "--initial-cash (INITIAL_CASH) was 'much'"),
        ("day", "", "--day (DAY) is missing"),
    ],
)
def test_what_a_knob_refuses_is_one_line(opened, knob, text, told):
    """Nothing is started."""
    asked = {**ASKED, knob: text} if knob != "day" else {"symbol": "SIMUSDT"}
    at = press(opened("backtest_page", **asked), "Run backtest")
    assert not at.exception
    assert told in at.error[0].value
    assert "job" not in at.session_state


def test_a_run_that_fails_says_why(opened):
    """With its exit code and its line."""
    at = opened("backtest_page", symbol="SIMUSDT", day="20260106")
    at = ended(press(at, "Run backtest"))
    assert not at.exception
    assert "It ended with 3: no day folder" in at.error[0].value


def test_a_run_can_be_stopped(opened, made, tmp_path):
    """It leaves no run."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = press(opened("backtest_page", tmp_path, **{**ASKED, "day": "20260105"}), "Run backtest")
    job = at.session_state["job"]
    at.session_state["job"].end()
    assert not job.running
    assert job.code != 0


def listed_before(monkeypatch, home):
    """Let the pages have read the list of runs just now, when there was none."""
    sources._found.clear()
    with monkeypatch.context() as patched:
        patched.setattr(sources, "find_runs", lambda _: ([], []))
        assert Folders(home / "data", home / "out").runs() == []


def test_a_grid_is_started_ranked_and_listed_as_soon_as_it_ends(opened, made, tmp_path, monkeypatch):
    """An axis a line; the list of runs is otherwise kept for two seconds."""
    shutil.copytree(made / "data", tmp_path / "data")
    at = opened("backtest_page", tmp_path, symbol="SIMUSDT", day="20260105", run_id="grid2", jobs="1")
    at.text_area(key="sweep grid").input("GAMMA=0.01,1\nORDER_LATENCY_MS=10,200")
    at = press(at, "Run sweep")
    at.session_state["job"].answer()
    listed_before(monkeypatch, tmp_path)
    at = ended(at)
    assert not at.exception
    assert not at.error
    assert "Sweep grid2: 4 points" in text_of(at)
    assert at.selectbox(key="sweep").value == "grid2"


def test_a_sweep_shows_ranking_heat_map_and_the_deflated_figure(opened, made):
    """Beside the best."""
    at = opened("backtest_page", sweep="grid")
    content = json.loads((made / "out/sweep/SIMUSDT/20260105_grid/sweep.json").read_text())
    tiles = {one.label: one.value for one in at.metric}
    assert not at.exception
    assert charts_of(at) == 1
    assert {"Best sharpe", "Deflated Sharpe", "Its PnL"} <= set(tiles)
    assert tiles["Trials"] == str(content["trials"])
    assert at.dataframe[0].value["point"].tolist() == [row["point"] for row in content["rows"]]


@pytest.mark.parametrize("text", ["", "{}", '{"rows": 1, "axes": []}', "[1]", '{"rows": [{}], "axes": [{}]}'])
def test_a_broken_sweep_is_one_line(opened, made, tmp_path, text):
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "out/sweep/SIMUSDT/20260105_grid/sweep.json").write_text(text)
    at = opened("backtest_page", tmp_path, sweep="grid")
    assert not at.exception
    assert "not the files of a sweep" in at.error[0].value
