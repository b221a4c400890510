"""A short ``mm bench recorder``: no message is lost and all are counted, independent of the measured times."""

import math

import pytest

from benchmarks.recorder import KINDS, Feed, measure
from benchmarks.turns import PYTHON, run

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(scope="module")
def outputs():
    """The outputs of one short turn of each kind."""
    return {kind: run([*PYTHON, "benchmarks.recorder", kind, "2000"]).output for kind in KINDS}


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_recorders_lose_no_message(outputs, kind):
    """At 5,000 per second, also the plain recorder loses none: it is a fair reference."""
    assert outputs[kind]["lost"] == 0
    assert math.isfinite(outputs[kind]["us"])
    assert outputs[kind]["peak_mb"] > 10


@pytest.mark.parametrize("kind", ["burst", "plain_burst"])
def test_burst_is_recorded_with_plausible_receive_times(outputs, kind):
    """No receive time is before the send time of its message."""
    assert outputs[kind]["lost"] == 0
    assert 0 <= outputs[kind]["late_ms"] < math.inf


def test_deep_ratio_is_deep_over_thin_time(outputs):
    """The ratio is deep over thin."""
    deep = outputs["deep"]
    assert deep["ratio"] == pytest.approx(deep["deep_us"] / deep["thin_us"])


def test_measure_returns_complete_rows(outputs, monkeypatch):
    """A measurement of two turns has rows of two values."""
    monkeypatch.setattr(
        "benchmarks.recorder.run", lambda command: type("ProcessResult", (), {"output": outputs[command[3]]})
    )
    measured = measure(2, 2000)
    assert all(len(row.ours) == 2 for row in measured.rows)
    assert measured.lines("recorder")


def test_feeds_with_same_seed_are_equal():
    """Both recorders receive the same messages."""
    one, other = (Feed(100, seed=3) for _ in range(2))
    assert [one.diff() for _ in range(5)] == [other.diff() for _ in range(5)]
    assert one.snapshot() == other.snapshot()
