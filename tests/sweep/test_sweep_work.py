"""Which points a sweep plays, and which it has from before."""

import json
import shlex
import sys

import pytest
from sweep_desk import FILES, assert_same, folder_of, invoke, manifest, own_of, sweep_json, write_own_model

from mm.cli.task_knobs import Workers
from mm.commands.backtest import backtest
from mm.commands.schedule import walkforward
from mm.sweep import work
from simulation import simulate_day


def test_played_points_are_not_played_again(serial, sweep_data, monkeypatch):
    """Another grid over the same OUT_ROOT plays only its new points, and equal points of a grid once."""
    cwd = serial.parents[3]
    monkeypatch.chdir(cwd)
    done = invoke(sweep_data, JOBS="1", GRID="FILL_MODEL=trade_cross;GAMMA=1,0.1,5,5")
    assert "4 points, 1 played, 3 reused" in done.stdout.splitlines()
    assert manifest(folder_of(done, cwd))["timings"]["played"] == 1
    content = sweep_json(done, cwd)
    assert content["n_trials"] == 3
    assert (
        manifest(folder_of(done, cwd))["summary"]["trials"]["on_these_days"] == 4
    )  # three of the first sweep, one new
    assert "one of 4 tried on these days" in done.stdout
    replayed = invoke(sweep_data, JOBS="1", REUSE_POINTS="0")
    assert "6 points, 6 played, 0 reused" in replayed.stdout
    assert_same(serial, folder_of(replayed, cwd))


def test_edited_model_is_another_model(sweep_data, tmp_path, monkeypatch):
    """Also if only a module that it imports was edited."""
    write_own_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    knobs = {"QUOTE_MODEL": "my_own:Own", "GRID": "DELTA=1,2", "JOBS": "1"}
    first = invoke(sweep_data, **knobs)
    assert "2 points, 2 played" in first.stdout
    assert "2 points, 0 played" in invoke(sweep_data, **knobs).stdout
    (tmp_path / "my_helper.py").write_text("LOTS = 120  # more\n")
    second = invoke(sweep_data, **knobs)
    assert "2 points, 2 played" in second.stdout
    assert sweep_json(first, tmp_path)["best"]["pnl_total"] != sweep_json(second, tmp_path)["best"]["pnl_total"]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"GRID": "GAMMX=1"}, "GAMMX is neither a knob nor a parameter of the models; did you mean GAMMA?"),
        ({"GRID": "GAMMA=0.1,-1"}, "the point GAMMA=-1 is invalid: "),
        ({"GRID": "GAMMA=a"}, "gamma is 'a'; it must be a number above 0 or auto, in 1/(tick·clip)"),
        ({"GRID": "QUOTE_QTY=0.5,0.0000001"}, "the point QUOTE_QTY=0.0000001 is invalid: "),
        ({"GRID": "FILL_MODEL=trade_cross,poisson"}, "the point FILL_MODEL=poisson is invalid: poisson needs A and k"),
        ({"GRID": ""}, "--grid (GRID) is missing"),
        ({"JOBS": "0"}, "--jobs (JOBS) was '0'"),
        ({"CLUSTER": "host:1"}, "--cluster (CLUSTER) was 'host:1': it must be the address of a Dask scheduler"),
    ],
)
def test_invalid_grid_is_rejected_before_anything_is_played(sweep_data, tmp_path, monkeypatch, knobs, message):
    """One line, exit code 2, no run folder, no point kept."""
    monkeypatch.chdir(tmp_path)
    done = invoke(sweep_data, **knobs)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not list(tmp_path.glob("out/points"))
    assert not list(tmp_path.glob("out/sweep/SIMUSDT/*"))


@pytest.mark.slow
def test_schedule_is_fitted_once_and_used_for_every_point(sweep_data, tmp_path, monkeypatch):
    """In sample A and k are of the whole day, walk-forward of the past; the command of a row plays the former."""
    monkeypatch.chdir(tmp_path)
    knobs = {"SWEEP_WALKFORWARD": "1", "GRID": "GAMMA=0.1,1;FILL_MODEL=poisson,trade_cross", "JOBS": "1"}
    windows = {"WF_TRAIN_WINDOW_MIN": "10", "WF_STEP_MIN": "5"}
    done = invoke(sweep_data, **knobs, **windows)
    assert done.exit_code == 0, done.stderr
    assert "4 points, 8 played, 0 reused" in done.stdout
    folder = folder_of(done, tmp_path)
    rows = {row["point"]: row for row in sweep_json(done, tmp_path)["rows"]}
    models = {"QUOTE_PARAMS_JSON": '{"gamma": 1}', "FILL_MODEL": "poisson", **windows}
    forward = json.loads(invoke(sweep_data, walkforward, ["--json"], **models).stdout)
    assert forward["pnl_total"] == rows[3]["walkforward_pnl_total"] != rows[3]["pnl_total"]
    words = shlex.split(rows[3]["command"])
    assert words[-2:] == ["--fill-params-file", "poisson_fit.json"]
    monkeypatch.chdir(folder)
    assert json.loads(invoke(sweep_data, backtest, [*words[2:], "--json"]).stdout)["pnl_total"] == rows[3]["pnl_total"]
    monkeypatch.chdir(tmp_path)
    again = invoke(sweep_data, **knobs, **windows, KEEP_RUNS="best", RUN_ID="again")
    assert "4 points, 0 played, 8 reused" in again.stdout
    for name in FILES:
        assert own_of(folder_of(again, tmp_path) / name) == own_of(folder / name), name
    best = next(row["point"] for row in rows.values() if row["rank"] == 1)
    kept_run = manifest(tmp_path / f"out/backtest/SIMUSDT/20260105_again_p{best}")
    assert kept_run["summary"]["pnl_total"] == rows[best]["pnl_total"]


@pytest.mark.slow
def test_hawkes_points_use_the_process_of_the_schedule(tmp_path, monkeypatch):
    """Walk-forward, a point of ``hawkes`` equals ``mm walkforward``; other points are as without it."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    simulate_day(data, "hawkes", hours=0.5, seed=4, mu_per_s=0.4, branching_ratio=0.6, spread_ticks=1)
    knobs = {"SWEEP_WALKFORWARD": "1", "WF_TRAIN_WINDOW_MIN": "10", "WF_STEP_MIN": "5", "JOBS": "1"}
    done = invoke(data, GRID="FILL_MODEL=hawkes,poisson", **knobs)
    assert done.exit_code == 0, done.stderr
    rows = {row["FILL_MODEL"]: row for row in sweep_json(done, tmp_path)["rows"]}
    windows = {name: value for name, value in knobs.items() if name.startswith("WF_")}
    for model, row in rows.items():
        forward = json.loads(invoke(data, walkforward, ["--json"], FILL_MODEL=model, **windows).stdout)
        assert forward["pnl_total"] == row["walkforward_pnl_total"], model
    assert rows["hawkes"]["walkforward_pnl_total"] != rows["poisson"]["walkforward_pnl_total"]
    alone = sweep_json(invoke(data, GRID="FILL_MODEL=poisson", **knobs), tmp_path)["rows"][0]
    assert alone["walkforward_pnl_total"] == rows["poisson"]["walkforward_pnl_total"]


@pytest.mark.parametrize(
    ("jobs", "cores", "expected"),
    [
        (None, 2, 2),
        (None, 1, "here"),
        (None, 8, 3),  # there are no more points
        (2, 8, 2),
        (1, 8, "here"),
    ],
)
def test_points_are_played_in_as_many_processes_as_jobs_or_cores(monkeypatch, jobs, cores, expected):
    """One job is this process."""
    monkeypatch.setattr(work, "cpu_count", lambda: cores)
    monkeypatch.setattr(work, "in_process", lambda _tasks: "here")
    monkeypatch.setattr(work, "in_processes", lambda _tasks, count: count)
    assert work.engine(Workers(jobs=jobs))([{}] * 3) == expected
