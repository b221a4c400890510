"""One point in whatever process: a failure stays its own."""

import gc
import json
import math
import random
import signal
from collections import deque
from itertools import islice
from threading import Event

import numpy as np
import pytest
from sweep_desk import folder_of, found, manifest, own_model, swept

from mm.sweep import engines, play


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
    monkeypatch.setattr(play, "outcome_of", lambda _result: outcome)
    found = play.play({})
    assert found.get("error") == told
    if told is None:
        assert found is outcome


def tasks(count, sources=()):
    """Return tasks that differ by their place; with *sources* as if a user's model were among them."""
    return [{"place": place, "sources": dict.fromkeys(sources, "1")} for place in range(count)]


def test_two_points_are_played_at_a_time_behind_the_first(monkeypatch):
    """Each waits for the other here: one after the other they would never end."""
    begun = [Event() for _ in range(5)]

    def played(task):
        place = task["place"]
        begun[place].set()
        if place == 0:
            assert not any(one.is_set() for one in begun[1:])
        else:
            assert begun[place + 1 if place % 2 else place - 1].wait(10)
        return {"summary": place}

    monkeypatch.setattr(engines, "play", played)
    found = list(engines.in_process(tasks(5)))
    assert found[0] == (0, {"summary": 0})
    assert sorted(found) == [(place, {"summary": place}) for place in range(5)]
    assert list(engines.in_process([])) == []


def test_points_of_a_users_model_are_played_one_by_one(monkeypatch):
    """Its module is one for all of them; one is summed up while the next is played, or this would never end."""
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
    found = list(engines.in_process(tasks(3, ["my_own"])))
    assert found == [(place, {"summary": place}) for place in range(3)]


def test_what_is_raised_in_a_thread_reaches_the_caller(monkeypatch):
    """The thread that sums up or plays has nobody else to raise it to, and the sweep must not wait for the point."""

    def ill(given):
        if given == 0 or given["place"]:
            raise KeyError("a bug")

    monkeypatch.setattr(engines, "backtested", lambda _task: 0)
    monkeypatch.setattr(engines, "outcome", ill)
    monkeypatch.setattr(engines, "play", ill)
    for sources in ([], ["my_own"]):
        with pytest.raises(KeyError, match="a bug"):
            list(engines.in_process(tasks(3, sources)))


@pytest.mark.parametrize("sources", [[], ["my_own"]])
def test_a_sweep_that_is_interrupted_at_any_instant_ends(monkeypatch, sources):
    """A future's wait can be ended while its lock is held: then the thread that sums up waited for ever."""

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    monkeypatch.setattr(engines, "backtested", lambda task: task)
    monkeypatch.setattr(engines, "outcome", lambda found: {"summary": found})
    monkeypatch.setattr(engines, "play", lambda task: {"summary": task})
    monkeypatch.setattr(engines, "keep_freed", lambda: None)
    every = tasks(1, sources) * 20_000
    before, chance = signal.signal(signal.SIGALRM, stop), random.Random(0)
    try:
        for _ in range(500):
            outcomes = engines.in_process(every)
            deque(islice(outcomes, 2), maxlen=0)  # Python reports a thread whose start is interrupted
            with pytest.raises(Stop):  # noqa: PT012 - the alarm may ring at once
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-5, 2e-3))
                deque(outcomes, maxlen=0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_was_there_is_no_garbage_until_the_sweep_ends():
    """Objects of before are the collector's again behind the block, unless the program keeps it from some itself."""
    with play.without_collection():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    gc.freeze()
    with play.without_collection():
        pass
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
