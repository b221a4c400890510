"""One point in any process: a failure affects only this point."""

import json
import math
import random
import signal
from collections import deque
from itertools import islice
from threading import Event, get_ident

import numpy as np
import pytest
from sweep_desk import folder_of, manifest, run_sweep, sweep_json, write_own_model

from mm.sweep import engines, play


@pytest.mark.slow
def test_failed_point_is_named_and_the_others_are_kept(sweep_data, tmp_path):
    """A model that raises, and one whose process dies each time; one that dies once is played again."""
    write_own_model(tmp_path)
    once = tmp_path / "died_once"
    knobs = {"QUOTE_MODEL": "my_own:Own", "GRID": f"ILL=null,raises,dies,{once}", "JOBS": "2"}
    done = run_sweep(tmp_path, sweep_data, **knobs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "2 of 4 points failed, the others are written: point 2 (ILL=raises): Own.quote raised" in done.stderr
    assert "point 3 (ILL=dies): its process ended with SIGKILL, 2 times" in done.stderr
    content = sweep_json(done, tmp_path)
    assert {row["point"]: row["status"] for row in content["rows"]} == {1: "ok", 4: "ok", 2: "failed", 3: "failed"}
    assert manifest(folder_of(done, tmp_path))["status"] == "incomplete"
    lines = [json.loads(line) for line in (folder_of(done, tmp_path) / "points.ndjson").read_text().splitlines()]
    assert "RuntimeError: no idea" in lines[1]["traceback"]
    repeated = run_sweep(tmp_path, sweep_data, **{**knobs, "GRID": f"ILL=null,{once}"})
    assert (repeated.returncode, repeated.stdout.splitlines()[0]) == (0, "2 points, 0 played, 2 reused")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_model_that_exits_fails_only_its_point(sweep_data, tmp_path, jobs):
    """sys.exit() within a model, in this process or another one; the message has its text."""
    write_own_model(tmp_path)
    done = run_sweep(tmp_path, sweep_data, QUOTE_MODEL="my_own:Own", GRID="ILL=null,exits", JOBS=jobs)
    assert done.returncode == 1
    assert "point 2 (ILL=exits): Own.quote raised SystemExit: no more" in done.stderr
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
    monkeypatch.setattr(play, "_played", lambda _task: None)
    monkeypatch.setattr(play, "outcome_of", lambda _result: outcome)
    result = play.play({})
    assert result.get("error") == message
    if message is None:
        assert result is outcome


def tasks(count, sources=()):
    """Return tasks that differ by their place; with *sources* as if a user's model were among them."""
    return [{"place": place, "sources": dict.fromkeys(sources, "1")} for place in range(count)]


def test_two_points_are_played_in_parallel_after_the_first(monkeypatch):
    """Each waits for the other: in sequence the test would never end."""
    started = [Event() for _ in range(5)]

    def played(task):
        place = task["place"]
        started[place].set()
        if place == 0:
            assert not any(event.is_set() for event in started[1:])
        else:
            assert started[place + 1 if place % 2 else place - 1].wait(10)
        return {"summary": place}

    monkeypatch.setattr(engines, "play", played)
    results = list(engines.in_process(tasks(5)))
    assert results[0] == (0, {"summary": 0})
    assert sorted(results) == [(place, {"summary": place}) for place in range(5)]
    assert list(engines.in_process([])) == []


def test_points_of_a_user_model_are_played_one_by_one(monkeypatch):
    """They share its module; a point is summarised while the next is played, or the test would never end."""
    turns, summed = [Event(), Event(), Event()], [Event(), Event(), Event()]

    def played(task):
        place = task["place"]
        turns[place].set()
        assert place == 0 or summed[place - 1].wait(10)
        return place

    def outcome(place):
        assert place == 2 or turns[place + 1].wait(10)
        summed[place].set()
        return {"summary": place}

    monkeypatch.setattr(engines, "backtested", played)
    monkeypatch.setattr(engines, "outcome", outcome)
    results = list(engines.in_process(tasks(3, ["my_own"])))
    assert results == [(place, {"summary": place}) for place in range(3)]


def test_exception_in_a_thread_reaches_the_caller(monkeypatch):
    """The thread that summarises or plays cannot raise it elsewhere, and the sweep must not wait for the point."""

    def failing(argument):
        if argument == 0 or argument["place"]:
            raise KeyError("a bug")

    monkeypatch.setattr(engines, "backtested", lambda _task: 0)
    monkeypatch.setattr(engines, "outcome", failing)
    monkeypatch.setattr(engines, "play", failing)
    for sources in ([], ["my_own"]):
        with pytest.raises(KeyError, match="a bug"):
            list(engines.in_process(tasks(3, sources)))


@pytest.mark.parametrize("sources", [[], ["my_own"]])
def test_outcomes_are_kept_by_the_threads_that_have_them(monkeypatch, sources):
    """The waiting thread encodes and writes only the first outcome; an error of a full disk reaches it."""
    monkeypatch.setattr(engines, "backtested", lambda task: task["place"])
    monkeypatch.setattr(engines, "outcome", lambda place: {"summary": place})
    monkeypatch.setattr(engines, "play", lambda task: {"summary": task["place"]})
    own, kept = get_ident(), {}

    def keep(place, outcome):
        kept[place] = get_ident()
        return {**outcome, "kept": place}

    results = dict(engines.in_process(tasks(4, sources), keep))
    assert results == {place: {"summary": place, "kept": place} for place in range(4)}
    assert own not in {kept[place] for place in (1, 2, 3)}

    def full(place, outcome):
        if place:
            raise OSError("no space left")
        return outcome

    with pytest.raises(OSError, match="no space left"):
        list(engines.in_process(tasks(4, sources), full))


@pytest.mark.slow
@pytest.mark.parametrize("sources", [[], ["my_own"]])
def test_sweep_interrupted_at_any_time_ends(monkeypatch, sources):
    """A future's wait can be interrupted while its lock is held; regression: the summarising thread waited for ever."""

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    monkeypatch.setattr(engines, "backtested", lambda task: task)
    monkeypatch.setattr(engines, "outcome", lambda result: {"summary": result})
    monkeypatch.setattr(engines, "play", lambda task: {"summary": task})
    all_tasks = tasks(1, sources) * 20_000
    before, rng = signal.signal(signal.SIGALRM, stop), random.Random(0)
    try:
        for _ in range(500):
            outcomes = engines.in_process(all_tasks)
            deque(islice(outcomes, 2), maxlen=0)  # Python reports a thread whose start is interrupted
            with pytest.raises(Stop):  # noqa: PT012 - the alarm may come at once
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(5e-5, 2e-3))
                deque(outcomes, maxlen=0)
    finally:
        signal.signal(signal.SIGALRM, before)
