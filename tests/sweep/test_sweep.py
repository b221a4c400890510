"""Sweeps as a user runs them: parallel, repeated, killed, with points that fail."""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sweep_desk import FILES, GRID, KNOBS, MODEL, called, folder_of, found, swept

import mm
from mm.commands.backtest import main as backtest
from mm.commands.walkforward import main as walkforward
from mm.errors import UsageError
from mm.sweep import play
from support import ROOT, run_python


@pytest.fixture(scope="module")
def serial(sweep_data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that was played one point after another: its folder."""
    cwd = tmp_path_factory.mktemp("serial")
    done = swept(cwd, sweep_data, JOBS="1", RUN_ID="whole")
    assert (done.returncode, done.stderr) == (0, "")
    return folder_of(done, cwd)


def same(one: Path, other: Path) -> None:
    """Assert that two sweeps left the same bytes, and the same digest."""
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert manifest(one)["digest"] == manifest(other)["digest"]


def manifest(folder: Path) -> dict:
    return json.loads((folder / "run_manifest.json").read_text())


def own_model(folder: Path) -> None:
    (folder / "my_own.py").write_text(MODEL)
    (folder / "my_helper.py").write_text("LOTS = 60\n")


def test_parallel_is_serial_byte_for_byte(serial, sweep_data, tmp_path):
    """Who plays a point does not show, nor does where: three processes for six points, elsewhere."""
    done = swept(tmp_path, sweep_data, JOBS="3")
    assert (done.returncode, done.stderr) == (0, "")
    same(serial, folder_of(done, tmp_path))


def test_a_row_is_the_backtest_that_its_command_plays(serial, sweep_data, tmp_path):
    """Every row can be had as a whole run, with the same summary."""
    content = json.loads((serial / "sweep.json").read_text())
    row = content["rows"][2]
    done = run_python("-m", *shlex.split(row["command"]), "--json", cwd=tmp_path, DATA_ROOT=str(sweep_data))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    lines = [json.loads(line) for line in (serial / "points.ndjson").read_text().splitlines()]
    kept = lines[row["point"] - 1]
    more = ("path", "honesty")  # the sensitivity is measured by the command alone
    assert kept["summary"] == {name: value for name, value in summary.items() if name not in more}
    assert {name: row[name] for name in ("sharpe", "pnl_total", "n_fills")} == {
        name: summary[name] for name in ("sharpe", "pnl_total", "n_fills")
    }
    series = [line.split(",") for line in (serial / "pnl_60s.csv").read_text().splitlines()]
    column = series[0].index(f"point_{row['point']}")
    # A run's first state row stands before any fill, and its last one at the end: nothing is lost between.
    assert len(series) == 30
    assert abs(sum(float(line[column]) for line in series[1:]) - summary["pnl_total"]) < abs(summary["pnl_total"]) * 0.2


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


def test_a_point_that_fails_is_named_and_the_others_are_kept(sweep_data, tmp_path):
    """A model that raises, and one whose process dies each time; one that dies once is played again."""
    own_model(tmp_path)
    once = tmp_path / "died_once"
    knobs = {"QUOTE_MODEL": "my_own:Own", "GRID": f"ILL=null,raises,dies,{once}", "JOBS": "2"}
    done = swept(tmp_path, sweep_data, **knobs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "2 of 4 points failed, the others are written: point 2 (ILL=raises): Own.quote raised" in done.stderr
    assert "point 3 (ILL=dies): its process ended with SIGKILL, 2 times" in done.stderr
    content = found(done, tmp_path)
    assert {row["point"]: row["status"] for row in content["rows"]} == {1: "ok", 4: "ok", 2: "failed", 3: "failed"}
    assert manifest(folder_of(done, tmp_path))["status"] == "incomplete"
    lines = [json.loads(line) for line in (folder_of(done, tmp_path) / "points.ndjson").read_text().splitlines()]
    assert "RuntimeError: no idea" in lines[1]["traceback"]
    again = swept(tmp_path, sweep_data, **{**knobs, "GRID": f"ILL=null,{once}"})
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "2 points, 0 played, 2 known before")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_model_that_ends_its_process_fails_alone_and_with_its_own_words(sweep_data, tmp_path, jobs):
    """sys.exit() within a model, in this process or another one."""
    own_model(tmp_path)
    done = swept(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="ILL=null,exits", JOBS=jobs)
    assert done.returncode == 1
    assert "point 2 (ILL=exits): Own.quote raised SystemExit: no more" in done.stderr
    assert {row["point"]: row["status"] for row in found(done, tmp_path)["rows"]} == {1: "ok", 2: "failed"}


def test_a_process_that_dies_is_reported_with_its_exit_code_and_last_words(sweep_data, tmp_path):
    """Not with the code 0 of a process whose input was closed."""
    own_model(tmp_path)
    done = swept(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="ILL=null,leaves", JOBS="2")
    assert done.returncode == 1
    assert "point 2 (ILL=leaves): its process ended with exit code 7 (no disk), 2 times" in done.stderr
    assert done.stderr.startswith("no disk\n")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (math.nan, "unforeseen ValueError: summary.gamma.0 is nan, which JSON cannot hold"),
        (math.inf, "unforeseen ValueError: summary.gamma.0 is inf, which JSON cannot hold"),
        (np.float64(1.5), None),
        (np.int64(1), "unforeseen TypeError: summary.gamma.0 is np.int64(1), which JSON cannot hold"),
    ],
)
def test_a_summary_that_json_cannot_hold_fails_its_point_alone(monkeypatch, value, told):
    """The number is named; the sweep goes on."""
    outcome = {"summary": {"gamma": [value]}, "series": {"pnl": [0.5, None]}}
    monkeypatch.setattr(play, "_played", lambda _task: None)
    monkeypatch.setattr(play, "told", lambda _result: outcome)
    found = play.play({})
    assert found.get("error") == told
    if told is None:
        assert found is outcome


def started(cwd: Path, data: Path, **knobs: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **KNOBS, "GRID": GRID, "DATA_ROOT": str(data), **knobs}
    return subprocess.Popen(
        [sys.executable, "-m", "mm", "sweep"], cwd=cwd, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def kept(cwd: Path) -> int:
    return len(list(cwd.glob("out/points/SIMUSDT/20260105/*.json")))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_sweep_that_was_stopped_goes_on_where_it_was(serial, sweep_data, tmp_path, monkeypatch, sent, code):
    """Killed or Ctrl-C'd after its first points, it plays the rest, and ends with the same bytes."""
    process = started(tmp_path, sweep_data, RUN_ID="mine", JOBS="1")
    while kept(tmp_path) < 2 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(sent)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    known = kept(tmp_path)
    assert 2 <= known < 6
    assert [path.name for path in (tmp_path / "out/sweep/SIMUSDT").iterdir()] == (
        ["20260105_mine.partial"] if code == -9 else []
    )
    points = tmp_path / "out/points/SIMUSDT/20260105"
    torn = points / f"torn.json.{process.pid}.partial"
    torn.write_text("{")  # as when it is killed while it keeps a point
    os.utime(torn, (time.time() - 120,) * 2)
    monkeypatch.chdir(tmp_path)
    done = called(sweep_data, RUN_ID="mine", JOBS="1")
    assert done.stdout.splitlines()[0] == f"6 points, {6 - known} played, {known} known before", done.stderr
    same(serial, folder_of(done, tmp_path))
    assert manifest(folder_of(done, tmp_path))["run_id"] == "mine"
    assert list(points.glob("*.partial")) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_no_process_outlives_the_sweep_that_it_plays_for(sweep_data, tmp_path, sent, code):
    """Whatever it is doing, and however the sweep ended."""
    own_model(tmp_path)
    waits = "Path(f'pid_{os.getpid()}').touch()\n        import time\n        time.sleep(600)"
    (tmp_path / "my_own.py").write_text(MODEL.replace("self.asked += 1", waits))
    process = started(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="DELTA=1,2", JOBS="2")
    while len(list(tmp_path.glob("pid_*"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(sent)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in told
    until = time.monotonic() + 30
    for path in tmp_path.glob("pid_*"):
        while alive(int(path.name[4:])):
            assert time.monotonic() < until, "a worker is still there"
            time.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"GRID": "GAMMX=1"}, "GAMMX is neither a knob nor a parameter; did you mean GAMMA?"),
        ({"GRID": "GAMMA=0.1,-1"}, "the point GAMMA=-1 cannot be: "),
        ({"GRID": "GAMMA=a"}, "gamma is 'a'; it must be above 0, in 1/(tick·clip), or auto"),
        ({"GRID": "QUOTE_QTY=0.5,0.0000001"}, "the point QUOTE_QTY=0.0000001 cannot be: "),
        ({"GRID": "FILL_MODEL=trade_cross,poisson"}, "the point FILL_MODEL=poisson cannot be: poisson needs A and k"),
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


def test_the_python_face_finds_what_the_command_finds(serial, sweep_data, tmp_path):
    """A notebook gets the same rows from values as the command from texts; and its typing errors are told."""
    content = json.loads((serial / "sweep.json").read_text())
    grid = {"GAMMA": [0.01, 0.1, 1], "FILL_MODEL": ["trade_cross", "price_cross"]}
    places, known = {"data_root": sweep_data, "out_root": tmp_path}, []
    found = mm.sweep("SIMUSDT", "20260105", grid, maker_fee_rate=0, jobs=1, step=known.append, **places)
    assert json.loads(json.dumps(found.rows)) == content["rows"]
    assert sum(known) == 6
    with pytest.raises(UsageError, match=r"no setting 'jops'; did you mean jobs\?"):
        mm.sweep("SIMUSDT", "20260105", grid, jops=1)
    with pytest.raises(UsageError, match=r"--jobs \(JOBS\) was '0'"):
        mm.sweep("SIMUSDT", "20260105", grid, jobs=0)


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
