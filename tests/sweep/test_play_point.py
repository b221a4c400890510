"""One point in any process: a failure affects only this point."""

import json
import math
import random
import signal
from collections import deque
from itertools import islice

import numpy as np
import pytest
from sweep_desk import folder_of, manifest, run_sweep, sweep_json, write_own_model

from mm.sweep import engines, play_point


@pytest.mark.slow
def test_failed_point_is_named_and_the_others_are_kept(sweep_data, tmp_path):
    """A model that raises, and one whose process dies each time; one that dies once is played again."""
    write_own_model(tmp_path)
    once = tmp_path / "died_once"
    knobs = {"QUOTE_MODEL": "my_own:Own", "GRID": f"ILL=null,raises,dies,{once}", "JOBS": "2"}
    done = run_sweep(tmp_path, sweep_data, **knobs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "2 of 4 points failed, the others are written: point 2 (ILL=raises): my_own.py:" in done.stderr
    assert "Own.quote raised RuntimeError: no idea" in done.stderr
    assert "point 3 (ILL=dies): its process ended with SIGKILL, 2 times" in done.stderr
    content = sweep_json(done, tmp_path)
    assert {row["point"]: row["status"] for row in content["rows"]} == {1: "ok", 4: "ok", 2: "failed", 3: "failed"}
    assert manifest(folder_of(done, tmp_path))["status"] == "incomplete"
    lines = [json.loads(line) for line in (folder_of(done, tmp_path) / "points.ndjson").read_text().splitlines()]
    assert "RuntimeError: no idea" in lines[1]["traceback"]
    repeated = run_sweep(tmp_path, sweep_data, **{**knobs, "GRID": f"ILL=null,{once}"})
    assert repeated.returncode == 0, repeated.stderr
    assert "2 points, 0 played, 2 reused" in repeated.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_model_that_exits_fails_only_its_point(sweep_data, tmp_path, jobs):
    """sys.exit() within a model, in this process or another one; the message has its text."""
    write_own_model(tmp_path)
    done = run_sweep(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="ILL=null,exits", JOBS=jobs)
    assert done.returncode == 1
    assert "point 2 (ILL=exits): my_own.py:17: Own.quote raised SystemExit: no more" in done.stderr
    assert {row["point"]: row["status"] for row in sweep_json(done, tmp_path)["rows"]} == {1: "ok", 2: "failed"}


@pytest.mark.slow
def test_died_process_is_reported_with_exit_code_and_stderr(sweep_data, tmp_path):
    """Not with the code 0 of a process whose input was closed."""
    write_own_model(tmp_path)
    done = run_sweep(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="ILL=null,leaves", JOBS="2")
    assert done.returncode == 1
    assert "point 2 (ILL=leaves): its process ended with exit code 7 (no disk), 2 times" in done.stderr
    assert done.stderr.startswith("no disk\n")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "unforeseen ValueError: summary.gamma.0 is nan, which JSON cannot hold"),
        (math.inf, "unforeseen ValueError: summary.gamma.0 is inf, which JSON cannot hold"),
        (np.float64(1.5), None),
        (np.int64(1), "unforeseen TypeError: summary.gamma.0 is np.int64(1), which JSON cannot hold"),
    ],
)
def test_summary_that_json_cannot_hold_fails_only_its_point(monkeypatch, value, message):
    """The number is named; the sweep continues."""
    outcome = {"summary": {"gamma": [value]}, "series": {"pnl": [0.5, None]}}
    monkeypatch.setattr(play_point, "_played", lambda _task: None)
    monkeypatch.setattr(play_point, "outcome_of", lambda _result: outcome)
    result = play_point.play({})
    assert result.get("error") == message
    if message is None:
        assert result is outcome


def tasks(count):
    """Return tasks that differ by their place."""
    return [{"place": place} for place in range(count)]


@pytest.mark.parametrize("engine", [engines.in_process, lambda tasks: engines.in_processes(tasks, 2)])
def test_every_task_is_played_and_an_exception_reaches_the_caller(monkeypatch, engine):
    """The thread of a worker cannot raise it elsewhere, and the sweep must not wait for the point."""
    monkeypatch.setattr(engines, "play", lambda task: {"summary": task["place"]})
    monkeypatch.setattr(engines._Worker, "play", lambda _worker, task: engines.play(task))
    assert sorted(engine(tasks(5))) == [(place, {"summary": place}) for place in range(5)]
    assert list(engine([])) == []

    def failing(_task):
        raise KeyError("a bug")

    monkeypatch.setattr(engines, "play", failing)
    with pytest.raises(KeyError, match="a bug"):
        list(engine(tasks(3)))


@pytest.mark.slow
def test_sweep_interrupted_at_any_time_ends(monkeypatch):
    """A future's wait can be interrupted while its lock is held; regression: another thread waited for ever."""

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    monkeypatch.setattr(engines._Worker, "play", lambda _worker, task: {"summary": task})
    all_tasks = tasks(1) * 20_000
    before, rng = signal.signal(signal.SIGALRM, stop), random.Random(0)
    try:
        for _ in range(500):
            outcomes = engines.in_processes(all_tasks, 2)
            deque(islice(outcomes, 2), maxlen=0)  # Python reports a thread whose start is interrupted
            with pytest.raises(Stop):  # noqa: PT012 - the alarm may come at once
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(5e-5, 1e-3))  # taking 20,000 outcomes takes longer
                deque(outcomes, maxlen=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
