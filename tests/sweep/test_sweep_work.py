"""What a sweep plays, and what it knows from before."""

import json
import shlex
import sys

import pytest
from sweep_desk import FILES, called, folder_of, found, manifest, own_model, same

from mm.cli.task_knobs import Sweep
from mm.commands.backtest import main as backtest
from mm.commands.schedule import walkforward
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import Hawkes as HawkesMarket
from mm.sim.flow.session import Session
from mm.sweep import work


def test_what_was_played_is_not_played_again(serial, sweep_data, monkeypatch):
    """Another grid over the same OUT_ROOT plays what is new in it, and equal points of a grid once."""
    cwd = serial.parents[3]
    monkeypatch.chdir(cwd)
    done = called(sweep_data, JOBS="1", GRID="FILL_MODEL=trade_cross;GAMMA=1,0.1,5,5")
    assert done.stdout.splitlines()[0] == "4 points, 1 played, 3 known before"
    assert manifest(folder_of(done, cwd))["timings"]["played"] == 1
    content = found(done, cwd)
    assert content["trials"] == 3
    assert manifest(folder_of(done, cwd))["summary"]["on_record"]["trials"] == 7  # six of the first sweep, one new one
    assert "7 trials on record for these days" in done.stdout
    anew = called(sweep_data, JOBS="1", REUSE_POINTS="0")
    assert "6 points, 6 played, 0 known before" in anew.stdout
    same(serial, folder_of(anew, cwd))


def test_a_model_that_was_edited_is_another_one(sweep_data, tmp_path, monkeypatch):
    """Also where only a module that it imports was."""
    own_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    knobs = {"QUOTE_MODEL": "my_own:Own", "GRID": "DELTA=1,2", "JOBS": "1"}
    first = called(sweep_data, **knobs)
    assert "2 points, 2 played" in first.stdout
    assert "2 points, 0 played" in called(sweep_data, **knobs).stdout
    (tmp_path / "my_helper.py").write_text("LOTS = 120  # more\n")
    second = called(sweep_data, **knobs)
    assert "2 points, 2 played" in second.stdout
    assert found(first, tmp_path)["best"]["pnl_total"] != found(second, tmp_path)["best"]["pnl_total"]


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"GRID": "GAMMX=1"}, "GAMMX is neither a knob nor a parameter; did you mean GAMMA?"),
        ({"GRID": "GAMMA=0.1,-1"}, "the point GAMMA=-1 is invalid: "),
        ({"GRID": "GAMMA=a"}, "gamma is 'a'; it must be above 0, in 1/(tick·clip), or auto"),
        ({"GRID": "QUOTE_QTY=0.5,0.0000001"}, "the point QUOTE_QTY=0.0000001 is invalid: "),
        ({"GRID": "FILL_MODEL=trade_cross,poisson"}, "the point FILL_MODEL=poisson is invalid: poisson needs A and k"),
        ({"GRID": ""}, "--grid (GRID) is missing"),
        ({"JOBS": "0"}, "--jobs (JOBS) was '0'"),
        ({"CLUSTER": "host:1"}, "--cluster (CLUSTER) was 'host:1': it must be the address of a Dask scheduler"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_anything_is_played(sweep_data, tmp_path, monkeypatch, knobs, told):
    """One line, exit code 2, no run folder, no point kept."""
    monkeypatch.chdir(tmp_path)
    done = called(sweep_data, **knobs)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert not list(tmp_path.glob("out/points"))
    assert not list(tmp_path.glob("out/sweep/SIMUSDT/*"))


def test_a_schedule_is_fitted_once_and_every_point_is_played_on_it(sweep_data, tmp_path, monkeypatch):
    """In sample the whole day's A and k, walk-forward those of its past; the command of a row plays the former."""
    monkeypatch.chdir(tmp_path)
    knobs = {"SWEEP_WALKFORWARD": "1", "GRID": "GAMMA=0.1,1;FILL_MODEL=poisson,trade_cross", "JOBS": "1"}
    windows = {"WF_TRAIN_WINDOW_MIN": "10", "WF_STEP_MIN": "5"}
    done = called(sweep_data, **knobs, **windows)
    assert done.exit_code == 0, done.stderr
    assert "4 points, 8 played, 0 known before" in done.stdout
    folder = folder_of(done, tmp_path)
    rows = {row["point"]: row for row in found(done, tmp_path)["rows"]}
    own = {"QUOTE_PARAMS_JSON": '{"gamma": 1}', "FILL_MODEL": "poisson", **windows}
    forward = json.loads(called(sweep_data, walkforward, ["--json"], **own).stdout)
    assert forward["pnl_total"] == rows[3]["walkforward_pnl_total"] != rows[3]["pnl_total"]
    words = shlex.split(rows[3]["command"])
    assert words[-2:] == ["--fill-params-file", "poisson_fit.json"]
    monkeypatch.chdir(folder)
    assert json.loads(called(sweep_data, backtest, [*words[2:], "--json"]).stdout)["pnl_total"] == rows[3]["pnl_total"]
    monkeypatch.chdir(tmp_path)
    again = called(sweep_data, **knobs, **windows, KEEP_RUNS="best", RUN_ID="again")
    assert "4 points, 0 played, 8 known before" in again.stdout
    for name in FILES:
        assert (folder_of(again, tmp_path) / name).read_bytes() == (folder / name).read_bytes(), name
    best = next(row["point"] for row in rows.values() if row["rank"] == 1)
    kept_run = manifest(tmp_path / f"out/backtest/SIMUSDT/20260105_again_p{best}")
    assert kept_run["summary"]["pnl_total"] == rows[best]["pnl_total"]


def test_points_whose_fills_cluster_have_the_process_of_the_schedule(tmp_path, monkeypatch):
    """A point of ``hawkes`` is, walk-forward, what ``mm walkforward`` plays; other points are as without it."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    scenario = HawkesMarket(mu_per_s=0.4, branching_ratio=0.6, spread_ticks=1)
    make_day(DayFolder(data, "SIMUSDT", "20260105"), scenario, Session("SIMUSDT", "20260105", 0.5, 4))
    knobs = {"SWEEP_WALKFORWARD": "1", "WF_TRAIN_WINDOW_MIN": "10", "WF_STEP_MIN": "5", "JOBS": "1"}
    done = called(data, GRID="FILL_MODEL=hawkes,poisson", **knobs)
    assert done.exit_code == 0, done.stderr
    rows = {row["FILL_MODEL"]: row for row in found(done, tmp_path)["rows"]}
    windows = {name: value for name, value in knobs.items() if name.startswith("WF_")}
    for model, row in rows.items():
        forward = json.loads(called(data, walkforward, ["--json"], FILL_MODEL=model, **windows).stdout)
        assert forward["pnl_total"] == row["walkforward_pnl_total"], model
    assert rows["hawkes"]["walkforward_pnl_total"] != rows["poisson"]["walkforward_pnl_total"]
    alone = found(called(data, GRID="FILL_MODEL=poisson", **knobs), tmp_path)["rows"][0]
    assert alone["walkforward_pnl_total"] == rows["poisson"]["walkforward_pnl_total"]


@pytest.mark.parametrize(
    ("jobs", "cores", "own", "where"),
    [
        (None, 2, False, "here"),
        (None, 1, False, "here"),
        (None, 2, True, 2),
        (None, 8, False, 3),  # there are no more points
        (2, 2, False, 2),
        (1, 8, True, "here"),
    ],
)
def test_points_are_played_here_where_two_threads_are_as_good(monkeypatch, jobs, cores, own, where):
    """A process costs its start and imports; a user's model has one to itself, whatever it does to it."""
    monkeypatch.setattr(work, "cpu_count", lambda: cores)
    monkeypatch.setattr(work, "in_process", lambda _tasks: "here")
    monkeypatch.setattr(work, "in_processes", lambda tasks, many: min(many, len(tasks)))
    tasks = [{"sources": {"my_own": "1"} if own else {}}] * 3
    assert work.engine(Sweep(grid="GAMMA=1", jobs=jobs))(tasks) == where
