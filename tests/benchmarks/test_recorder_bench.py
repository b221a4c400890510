"""A short ``mm bench recorder``: no message is lost and all are counted, independent of the measured times."""

import math

import pytest
import structlog
from structlog.testing import capture_logs

from benchmarks.recorder import KINDS, measure
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


def test_measure_returns_complete_rows(outputs, monkeypatch):
    """A measurement of two turns has rows of two values, and logs each output as soon as there is one."""
    outputs["50"] = {"rss_mb": 200.0}
    monkeypatch.setattr(
        "benchmarks.recorder.run", lambda command: type("ProcessResult", (), {"output": outputs[command[3]]})
    )
    with capture_logs() as logged:
        measured = measure(2, structlog.get_logger(), 2000)
    assert len(logged) == 1 + 2 * len(KINDS)
    assert all(len(row.ours) == 2 for row in measured.rows[:-1])
    assert measured.lines("recorder")
