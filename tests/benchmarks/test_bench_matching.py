"""``mm bench matching`` on a small market: rows are complete, and the timed commands do the same as `run`."""

import json

import numpy as np
import pytest

from benchmarks import matching as bench
from benchmarks.__main__ import DAYLESS
from benchmarks._clocked import clock_alone, clocked
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import MARKET, OP_CANCEL, OP_REDUCE, OP_REPLACE, OP_SUBMIT

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product

COUNT = 20_000


@pytest.fixture
def rows():
    """A small market."""
    return bench.market(COUNT)


def test_market_has_documented_shares_of_commands(rows):
    """45 % limit orders, 45 % cancels, 10 % market orders; most cancels find their order, and no order is left."""
    submits = rows[:, 1] == OP_SUBMIT
    assert np.count_nonzero(rows[:, 1] == OP_CANCEL) == 0.45 * COUNT
    assert np.count_nonzero(submits & (rows[:, 6] == MARKET)) == 0.10 * COUNT
    assert np.array_equal(rows, bench.market(COUNT))
    matching = Matching()
    matching.run(rows)
    counts = np.bincount(matching.take_log()[:, 1], minlength=9)
    assert matching.last_order_id == np.count_nonzero(submits)
    assert counts[2] > 0.05 * COUNT
    assert counts[5] > 0.30 * COUNT
    assert matching.resting == 0


def test_market_can_be_repeated_in_same_book(rows):
    """Memory is measured over many rounds; cancels of a later round must find the orders of that round."""
    matching = Matching()
    logged_rows = [bench._played(matching, rows, turn) for turn in range(3)]
    assert logged_rows[0] == logged_rows[1] == logged_rows[2] > 2 * COUNT
    assert matching.resting == 0


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


def test_invalid_rows_raise_value_error_and_keep_book_usable(rows):
    """Tables of different lengths are rejected before any command is executed."""
    matching = Matching()
    rows[1, 5] = 0
    with pytest.raises(ValueError, match="lots 0"):
        clocked(matching, rows, np.empty(COUNT, np.int64))
    assert matching.last_order_id == 1
    for commands, took_ns in ((rows[:, :7].copy(), COUNT), (rows, COUNT - 1)):
        with pytest.raises(ValueError, match="took_ns of"):
            clocked(matching, commands, np.empty(took_ns, np.int64))


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


def test_matching_is_measured_without_a_day():
    """It needs no day, so none is created for it."""
    assert DAYLESS["matching"] == "matching:measure"
