"""A killed walk-forward resumes and ends with the results of an uninterrupted one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simulation import simulate_day
from support import ROOT, run_python

KNOBS = {
    "SYMBOL": "SIMUSDT",
    "DAY": "20260105:20260106",
    "WF_TRAIN_WINDOW_MIN": "5",
    "WF_STEP_MIN": "1",
    "CALIB_METHOD": "fixed",
    "CALIB_DELTAS": "1,2,4",
    "MIN_USABLE_DELTAS": "2",
    "MAKER_FEE_RATE": "0",
}
LABEL = "20260105-20260106"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of two days of a quarter of an hour each."""
    root = Path(tmp_path_factory.mktemp("sim"))
    for seed, day in enumerate(("20260105", "20260106")):
        simulate_day(root, hours=0.25, seed=seed, day=day, A_per_s=1.0, k_per_tick=0.4)
    return root


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return folder and standard output of an uninterrupted walk-forward."""
    cwd = tmp_path_factory.mktemp("whole")
    result = run_python("-m", "mm", "walkforward", cwd=cwd, DATA_ROOT=str(data), RUN_ID="whole", **KNOBS)
    assert result.returncode == 0, result.stderr
    return cwd / f"out/walkforward/SIMUSDT/{LABEL}_whole", result.stdout


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "run_manifest.json").read_text())


def start(cwd: Path, data: Path, **knobs: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mm", "walkforward"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **KNOBS, **knobs, "DATA_ROOT": str(data), "RUN_ID": "mine"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def lines_of(partial: Path) -> int:
    path = partial / "checkpoint/windows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


# Kill as soon as the partial folder has this state.
POINTS: dict[str, Callable[[Path], bool]] = {
    "begun": lambda partial: partial.exists(),
    "one run of orders": lambda partial: (partial / "checkpoint/delta_1.npz").exists(),
    "first window": lambda partial: lines_of(partial) > 0,
    "half the windows": lambda partial: lines_of(partial) > 12,
    "schedule written": lambda partial: (partial / "poisson_schedule.json").exists(),
}


@pytest.mark.slow
def test_repeatedly_killed_walkforward_matches_uninterrupted_run(data, whole, tmp_path):
    """SIGKILL at five points of a run, each time resumed with the same RUN_ID; the final digests are equal."""
    runs = tmp_path / "out/walkforward/SIMUSDT"
    partial, kills = runs / f"{LABEL}_mine.partial", 0
    for reached in POINTS.values():
        process = start(tmp_path, data)
        while not reached(partial) and process.poll() is None:
            time.sleep(0.0005)
        process.kill()
        _, output = process.communicate(timeout=60)
        assert process.returncode in (-9, 0), output
        kills += process.returncode == -9
        if process.returncode == 0:
            break
        assert not (runs / f"{LABEL}_mine").exists()
    assert kills >= 3
    if process.returncode != 0:
        last = run_python("-m", "mm", "walkforward", cwd=tmp_path, DATA_ROOT=str(data), RUN_ID="mine", **KNOBS)
        assert last.returncode == 0, last.stderr
        assert "run_resumed" in last.stderr
        assert "windows_known" in last.stderr
    resumed, uninterrupted = manifest_of(runs / f"{LABEL}_mine"), manifest_of(whole[0])
    assert resumed["digest"] == uninterrupted["digest"]
    assert hashes(resumed) == hashes(uninterrupted)
    assert [path.name for path in runs.iterdir()] == [f"{LABEL}_mine"]
    assert not (runs / f"{LABEL}_mine/checkpoint").exists()
    again = run_python("-m", "mm", "walkforward", cwd=tmp_path, DATA_ROOT=str(data), RUN_ID="mine", **KNOBS)
    assert again.returncode == 2
    assert "was used before" in again.stderr


@pytest.mark.slow
def test_killed_walkforward_with_hawkes_fills_resumes_clustering(tmp_path):
    """Process and means of ``hawkes`` are stored with the window fits, and the fills are the same."""
    data, knobs = tmp_path / "data", {"FILL_MODEL": "hawkes", "CALIB_METHOD": "marks"}
    for seed, day in enumerate(("20260105", "20260106")):
        simulate_day(data, "hawkes", hours=0.25, seed=seed, day=day, mu_per_s=0.4, branching_ratio=0.6)
    settings = {**KNOBS, **knobs, "OUT_ROOT": "alone", "RUN_ID": "whole"}  # with a ledger of trials of its own
    whole = run_python("-m", "mm", "walkforward", cwd=tmp_path, DATA_ROOT=str(data), **settings)
    assert whole.returncode == 0, whole.stderr
    runs = tmp_path / "out/walkforward/SIMUSDT"
    partial = runs / f"{LABEL}_mine.partial"
    for least in (3, 15):  # lines of the checkpoint
        process = start(tmp_path, data, **knobs)
        while lines_of(partial) < least and process.poll() is None:
            time.sleep(0.0005)
        process.kill()
        _, output = process.communicate(timeout=60)
        assert process.returncode == -9, output
    kept = (partial / "checkpoint/windows.jsonl").read_text()
    assert '"clustering' in kept
    process = start(tmp_path, data, **knobs)
    _, output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "windows_known" in output
    alone = tmp_path / "alone/walkforward/SIMUSDT" / f"{LABEL}_whole"
    assert hashes(manifest_of(runs / f"{LABEL}_mine")) == hashes(manifest_of(alone))
    found = json.loads((runs / f"{LABEL}_mine/poisson_schedule.json").read_text())
    assert found["clustering"]["kernels"]
    assert len({one["mean_bid_per_s"] for one in found["segments"]}) > 5


def hashes(manifest: dict) -> dict[str, str]:
    """Return the hashes of outputs by path, without the page, which contains times."""
    return {one["path"]: one["sha256"] for one in manifest["outputs"] if not one["path"].endswith(".html")}


@pytest.mark.slow
def test_two_days_are_one_walkforward(whole):
    """One account and one schedule over both days; the second trades from its first minute; a table is printed."""
    folder, printed = whole
    segments = json.loads((folder / "poisson_schedule.json").read_text())["segments"]
    assert len(segments) == 10 + 15
    assert [one["end_us"] for one in segments[:-1]] == [one["start_us"] for one in segments[1:]]
    summary = json.loads((folder / "backtest/summary.json").read_text())
    assert summary["days"] == ["20260105", "20260106"]
    forward = manifest_of(folder)["summary"]["walkforward"]
    assert forward["segments"] == len(segments)
    assert f"{len(segments)} segments: " in printed
