"""A short ``mm bench wire``: the counts of ten clients are consistent, independent of the measured times."""

import pytest

from benchmarks.turns import PYTHON, run
from benchmarks.wire import AIM, measure

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


@pytest.fixture(scope="module")
def output():
    """The output of one turn of a third of a second."""
    return run([*PYTHON, "benchmarks.wire", "0.3"]).output


def test_measure_returns_complete_rows(output, monkeypatch):
    """A measurement of two turns has rows of two values."""
    monkeypatch.setattr("benchmarks.wire.run", lambda _command: type("ProcessResult", (), {"output": output}))
    measured = measure(2)
    assert all(len(row.ours) == 2 for row in measured.rows)
    at_aim = next(row for row in measured.rows if f"{AIM:,}" in row.name)
    assert at_aim.ours[0] == pytest.approx(output["share"] * AIM / output["rate"])
    assert measured.lines("wire")
