"""``mm bench wire`` for a moment: what ten clients count is whole, whatever the times are."""

import math

import pytest

from benchmarks.turns import PYTHON, run
from benchmarks.wire import AIM, CLIENTS, measure


@pytest.fixture(scope="module")
def said():
    """The results of one turn of a third of a second."""
    return run([*PYTHON, "benchmarks.wire", "0.3"]).said


def test_ten_clients_hear_depth_and_trades(said):
    """All of them, of a market that trades; nothing is counted twice."""
    assert said["messages"] > said["depth"] > 0
    assert said["bytes"] > 100 * said["messages"]
    assert said["rate"] == pytest.approx(said["messages"] / said["seconds"] / CLIENTS)


def test_times_are_numbers(said):
    """A lag is behind the promptest message, so none is negative."""
    assert 0 <= said["lag_ms"] <= said["late_ms"] < math.inf
    assert 0 < said["share"] < math.inf
    assert said["slipped_s"] >= 0


def test_every_row_is_whole(said, monkeypatch):
    """A measurement of two turns has rows of two numbers."""
    monkeypatch.setattr("benchmarks.wire.run", lambda _command: type("Ran", (), {"said": said}))
    measured = measure(2)
    assert all(len(row.ours) == 2 for row in measured.rows)
    at_aim = next(row for row in measured.rows if f"{AIM:,}" in row.name)
    assert at_aim.ours[0] == pytest.approx(said["share"] * AIM / said["rate"])
    assert measured.lines("wire")
