"""``mm bench matching`` on a small market: rows are complete, and the timed commands do the same as `run`."""

import json

import numpy as np
import pytest

from benchmarks import matching as bench
from benchmarks._clocked import clock_alone, clocked
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import OP_CANCEL, OP_REDUCE, OP_REPLACE

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

COUNT = 20_000


@pytest.fixture
def rows():
    """A small market."""
    return bench.market(COUNT)


def test_clocked_commands_write_same_log_as_run(rows):
    """Every operation, called from another kernel, writes the same log."""
    rows = rows[: COUNT // 2].copy()
    cancels = np.flatnonzero(rows[:, 1] == OP_CANCEL)
    rows[cancels[::5], 1] = OP_REDUCE
    rows[cancels[::5], 5] = 1
    rows[cancels[1::5], 1] = OP_REPLACE
    rows[cancels[1::5], 4:6] = (1_000_000, 3)
    took_ns = np.full(len(rows), -1)
    plain, timed = Matching(), Matching()
    plain.run(rows)
    clocked(timed, rows, took_ns)
    log = plain.take_log()
    assert {5, 6} <= set(log[:, 1].tolist())
    assert np.array_equal(log, timed.take_log())
    assert took_ns.min() >= 0
    assert took_ns.max() > 0
    clock_alone(took_ns)
    assert took_ns.min() >= 0


def test_measure_returns_complete_rows(monkeypatch):
    """Each row has one value per turn, and some have the twin's."""
    monkeypatch.setattr(bench, "COMMANDS", COUNT)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    measured = bench.measure(2)
    assert len(measured.rows) == 7
    assert all(len(row.ours) == 2 for row in measured.rows)
    assert all(value >= 0 for row in measured.rows for value in (*row.ours, *row.theirs))
    assert measured.facts["commands"] == COUNT
    assert measured.facts["trades"] > 0
    assert measured.facts["resting"] > 1_000
    assert json.dumps(measured.to_json())
