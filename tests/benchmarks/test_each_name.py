"""Every ``mm bench NAME``, short: it comes to its end and has rows; and what was measured is printed if one fails."""

import json
import sys
from dataclasses import replace
from functools import partial

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as bench
from benchmarks import calibration, commands, doors, imports, inference, live, live_venue, matching, recorder, wire
from benchmarks.live import Stopwatch
from benchmarks.turns import Measured, Row, run
from mm.errors import MMError

NAMES = next(one for one in bench.main.params if one.name == "names").type.choices
SHORT_LOAD = live_venue.Load(seconds=1.5)
SHORT = {
    "calibration": [
        (calibration, "STUDIES", {name: replace(one, quick=2) for name, one in calibration.STUDIES.items()}),
        (calibration, "DRAWN", {name: replace(one, quick=2) for name, one in calibration.DRAWN.items()}),
    ],
    "day": [(commands, "HOURS", 0.01)],
    "doors": [(doors.measure, "__defaults__", (0.02, 30))],
    "import": [(imports, "MESSAGES", 3_000)],
    "inference": [(inference, "CALLS", 200)],
    "live": [(live, "LOADS", (SHORT_LOAD,)), (live_venue, "Load", partial(live_venue.Load, seconds=1.5))],
    "matching": [(matching, "COMMANDS", 20_000), (matching, "ROUNDS", 2)],
    "recorder": [(recorder.measure, "__defaults__", (2_000, 3))],
    "wire": [(wire, "SECONDS", 1.0)],
}
"""What is smaller here, by name; a measurement on a day is short by --hours."""
SMALL = ("--turns", "1", "--hours", "0.02", "--symbols", "2", "--assets", "5", "--rate", "400")


@pytest.fixture(scope="module")
def out_root(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


def _bench(out_root, *words):
    """Return the finished command, and its JSON object."""
    done = CliRunner().invoke(bench.main, [*words, "--json", "--out-root", str(out_root)])
    return done, json.loads(done.stdout) if done.stdout else {}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_measurement_comes_to_its_end(name, out_root, monkeypatch):
    """A row may miss its aim, which times of a busy machine decide; each has a value."""
    for owner, what, value in SHORT.get(name, []):
        monkeypatch.setattr(owner, what, value)
    done, found = _bench(out_root, name, *SMALL)
    if name == "fills":  # it compares with hftbacktest alone, which an environment of its own has
        assert done.exit_code == 2
        assert "hftbacktest" in found["failed"][0]
        return
    assert found["failed"] == [], done.stderr
    assert done.exit_code in (0, 1), done.stderr
    assert done.exit_code == 0 or "aims missed" in done.stderr
    measured = found["measured"][name]
    assert measured["studies" if name == "calibration" else "rows"]
    assert all(row["ours"] is not None for row in measured.get("rows", []))


def _one_and_no_more(_turns):
    run([sys.executable, "-c", "print('{\"first_us\": 7}')"])
    raise MMError("the second process ended with 1: no more")


def test_what_was_measured_is_printed_whatever_fails_later(out_root, monkeypatch):
    """The process of the measurement that failed, and the measurements before and after it."""
    monkeypatch.setattr(bench, "DAYLESS", {name: name for name in bench.DAYLESS})
    one_row = lambda _turns: Measured([Row("a row", "us", [3.0])])  # noqa: E731
    monkeypatch.setattr(bench, "_function", {"wire": one_row, "trials": _one_and_no_more, "doors": one_row}.get)
    done = CliRunner().invoke(bench.main, ["wire", "trials", "doors", "--out-root", str(out_root)])
    assert done.exit_code == 1
    assert "no more" in done.stderr
    assert done.stdout.count("a row") == 2
    assert '"first_us": 7' in done.stdout
    _, found = _bench(out_root, "wire", "trials", "doors")
    assert (list(found["measured"]), len(found["failed"])) == (["wire", "doors"], 1)


def test_time_of_a_trade_begins_with_the_first_move():
    """A start on a busy machine lasts longer than the measurement, and a signal before its end leaves no cause."""
    watch, begun = Stopwatch(), []
    watch.on_first = lambda: begun.append(len(watch.moves))
    take = watch.wrap_market(lambda _: None, "BTCUSDT")
    feed = live_venue.MovingFeed("BTCUSDT", levels=3).messages()
    for number in range(30):
        take(live_venue.stamped(live_venue.head("BTCUSDT"), next(feed), 1_000 + number))
    assert begun == [0]
    assert len(watch.moves) == 3
