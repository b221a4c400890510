"""``mm bench recorder`` for a moment: nothing is lost and everything is counted, whatever the times are."""

import math

import pytest

from benchmarks.recorder import KINDS, Feed, measure
from benchmarks.turns import PYTHON, run


@pytest.fixture(scope="module")
def said():
    """The results of one short turn of each kind."""
    return {kind: run([*PYTHON, "benchmarks.recorder", kind, "2000"]).said for kind in KINDS}


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_no_message_is_lost(said, kind):
    """Not at 5,000 a second either: the straightforward one is a fair yardstick."""
    assert said[kind]["lost"] == 0
    assert math.isfinite(said[kind]["us"])
    assert said[kind]["peak_mb"] > 10


@pytest.mark.parametrize("kind", ["burst", "plain_burst"])
def test_a_burst_is_stamped_and_recorded(said, kind):
    """No stamp is before the message was sent."""
    assert said[kind]["lost"] == 0
    assert 0 <= said[kind]["late_ms"] < math.inf


def test_deep_books_are_measured_beside_thin_ones(said):
    """The ratio is that of the two."""
    deep = said["deep"]
    assert deep["ratio"] == pytest.approx(deep["deep_us"] / deep["thin_us"])


def test_every_row_is_whole(said, monkeypatch):
    """A measurement of two turns has rows of two numbers."""
    monkeypatch.setattr("benchmarks.recorder.run", lambda command: type("Ran", (), {"said": said[command[3]]}))
    measured = measure(2, 2000)
    assert all(len(row.ours) == 2 for row in measured.rows)
    assert measured.lines("recorder")


def test_a_feed_is_the_same_for_the_same_seed():
    """Both recorders get the same messages."""
    one, other = (Feed(100, seed=3) for _ in range(2))
    assert [one.diff() for _ in range(5)] == [other.diff() for _ in range(5)]
    assert one.snapshot() == other.snapshot()
