"""Sweeps as a user runs them: parallel, repeated, killed, with points that fail."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_desk import GRID, KNOBS, MODEL, assert_same, folder_of, invoke, manifest, run_sweep, write_own_model

import mm
from mm.errors import UsageError
from support import ROOT, run_python


@pytest.mark.slow
def test_parallel_sweep_equals_serial_sweep_byte_for_byte(serial, sweep_data, tmp_path):
    """Neither processes nor folders matter: three processes for six points, in another folder."""
    done = run_sweep(tmp_path, sweep_data, JOBS="3")
    assert (done.returncode, done.stderr) == (0, "")
    assert_same(serial, folder_of(done, tmp_path))


def test_row_equals_the_backtest_of_its_command(serial, sweep_data, tmp_path):
    """Every row can be played as a whole run, with the same summary."""
    text = (serial / "sweep.json").read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    row = max(content["rows"], key=lambda one: one["n_fills"])
    # Without the further fill models of a run's sensitivity, which may show what a point cannot know: that its PnL is
    # no upper bound.
    alone = {"DATA_ROOT": str(sweep_data), "SENSITIVITY": "0"}
    done = run_python("-m", *shlex.split(row["command"]), "--json", cwd=tmp_path, **alone)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    lines = [json.loads(line) for line in (serial / "points.ndjson").read_text().splitlines()]
    point = lines[row["point"] - 1]["summary"]
    assert point["inventory"].items() <= summary.pop("inventory").items()
    assert set(point["warnings"]) <= set(summary.pop("warnings"))
    assert {name: value for name, value in point.items() if name in summary} == {
        name: value for name, value in summary.items() if name in point
    }
    assert set(point) - set(summary) == {"inventory", "warnings"}
    names = ("sharpe", "pnl_total", "pnl_quoting", "pnl_hold", "n_fills")
    assert {name: row[name] for name in names} == {name: summary[name] for name in names}
    series = [line.split(",") for line in (serial / "pnl_60s.csv").read_text().splitlines()]
    column = series[0].index(f"point_{row['point']}")
    # A run's first state row is before any fill, and its last one at the end: nothing is lost between.
    assert len(series) == 30
    earned = summary["pnl_quoting"]
    assert abs(sum(float(line[column]) for line in series[1:]) - earned) < abs(earned) * 0.2


def start_sweep(cwd: Path, data: Path, **knobs: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **KNOBS, "GRID": GRID, "DATA_ROOT": str(data), **knobs}
    return subprocess.Popen(
        [sys.executable, "-m", "mm", "sweep"], cwd=cwd, env=env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def n_kept_points(cwd: Path) -> int:
    return len(list(cwd.glob("out/points/SIMUSDT/20260105/*.json")))


@pytest.mark.slow
@pytest.mark.parametrize(("signal_sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_sweep_resumes_and_writes_the_same_bytes(serial, sweep_data, tmp_path, monkeypatch, signal_sent, code):
    """Killed or interrupted after its first points, it plays the rest and writes the same bytes."""
    for _ in range(9):  # points take milliseconds: on a busy machine all may be stored before the signal
        process = start_sweep(tmp_path, sweep_data, RUN_ID="mine", JOBS="1")
        while n_kept_points(tmp_path) < 2 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal_sent)
        _, stderr = process.communicate(timeout=60)
        n_known = n_kept_points(tmp_path)
        if n_known < 6:
            break
        shutil.rmtree(tmp_path / "out")
    assert process.returncode == code, stderr
    assert 2 <= n_known < 6
    assert [path.name for path in (tmp_path / "out/sweep/SIMUSDT").iterdir()] == (
        ["20260105_mine.partial"] if code == -9 else []
    )
    points = tmp_path / "out/points/SIMUSDT/20260105"
    torn = points / f"torn.json.{process.pid}.partial"
    torn.write_text("{")  # as when it is killed while it writes a point
    os.utime(torn, (time.time() - 120,) * 2)
    monkeypatch.chdir(tmp_path)
    done = invoke(sweep_data, RUN_ID="mine", JOBS="1")
    assert f"6 points, {6 - n_known} played, {n_known} reused" in done.stdout.splitlines(), done.stderr
    assert_same(serial, folder_of(done, tmp_path))
    assert manifest(folder_of(done, tmp_path))["run_id"] == "mine"
    assert list(points.glob("*.partial")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("signal_sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_workers_end_with_their_sweep(sweep_data, tmp_path, signal_sent, code):
    """During any work, and however the sweep ended."""
    write_own_model(tmp_path)
    waits = "Path(f'pid_{os.getpid()}').touch()\n        import time\n        time.sleep(600)"
    (tmp_path / "my_own.py").write_text(MODEL.replace("self.n_calls += 1", waits))
    process = start_sweep(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="DELTA=1,2", JOBS="2")
    while len(list(tmp_path.glob("pid_*"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal_sent)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in stderr
    deadline = time.monotonic() + 30
    for path in tmp_path.glob("pid_*"):
        while is_alive(int(path.name[4:])):
            assert time.monotonic() < deadline, "a worker is still there"
            time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_python_sweep_equals_the_command(serial, sweep_data, tmp_path):
    """A notebook gets the same rows from values as the command from texts, and errors for misspelled knobs."""
    content = json.loads((serial / "sweep.json").read_text())
    grid = {"GAMMA": [0.01, 0.1, 1], "FILL_MODEL": ["trade_cross", "price_cross"]}
    places, steps = {"data_root": sweep_data, "out_root": tmp_path}, []
    findings = mm.sweep("SIMUSDT", "20260105", grid, maker_fee_rate=0, jobs=1, step=steps.append, **places)
    assert json.loads(json.dumps(findings.rows)) == content["rows"]
    assert sum(steps) == 6
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'jops'; did you mean jobs\?"):
        mm.sweep("SIMUSDT", "20260105", grid, jops=1)
    with pytest.raises(UsageError, match=r"^jobs was '0'"):
        mm.sweep("SIMUSDT", "20260105", grid, jobs=0)


def test_a_holding_changes_no_rank(sweep_data, tmp_path):
    """The same fills with few and many coins held: the same order, lower bounds, ties and selection bias."""
    grid = {"DELTA_TICKS": [1, 2, 3, 4], "QUOTE_QTY": ["0.5", "1"]}
    knobs = {"quote_model": "fixed_spread", "fill_model": "trade_cross"}
    knobs |= {"data_root": sweep_data, "jobs": 1, "maker_fee_rate": 0, "initial_cash": 10**6}
    few, many = (  # each with a ledger of its own
        mm.sweep("SIMUSDT", "20260105", grid, initial_inventory=coins, out_root=tmp_path / str(coins), **knobs)
        for coins in (500, 50_000)
    )
    same = ("rank", "point", "n_fills", "pnl_quoting", "pnl_lower95", "tied", "deflated_sharpe", "max_drawdown")
    assert [[row[name] for name in same] for row in many.rows] == [[row[name] for name in same] for row in few.rows]
    assert len({row["n_fills"] for row in few.rows}) > 1
    for one, other in zip(few.rows, many.rows, strict=True):
        assert other["pnl_hold"] == pytest.approx(100 * one["pnl_hold"]) != 0
        assert other["pnl_total"] == pytest.approx(other["pnl_quoting"] + other["pnl_hold"])
    assert many.content["assumptions"] == few.content["assumptions"]
