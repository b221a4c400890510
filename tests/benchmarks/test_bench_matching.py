"""``mm bench matching`` on a small market: rows are whole, and what is measured is what `run` does."""

import json

import numpy as np
import pytest

from benchmarks import matching as bench
from benchmarks.__main__ import DAYLESS
from benchmarks._clocked import clock_alone, clocked
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import MARKET, OP_CANCEL, OP_REDUCE, OP_REPLACE, OP_SUBMIT

COUNT = 20_000


@pytest.fixture
def rows():
    """A small market."""
    return bench.market(COUNT)


def test_the_market_is_what_the_page_says_it_is(rows):
    """45 % limit orders, 45 % cancels, 10 % aggressive; most cancels find their order, and nothing is left."""
    submits = rows[:, 1] == OP_SUBMIT
    assert np.count_nonzero(rows[:, 1] == OP_CANCEL) == 0.45 * COUNT
    assert np.count_nonzero(submits & (rows[:, 6] == MARKET)) == 0.10 * COUNT
    assert np.array_equal(rows, bench.market(COUNT))
    matching = Matching()
    matching.run(rows)
    found = np.bincount(matching.take_log()[:, 1], minlength=9)
    assert matching.last_order_id == np.count_nonzero(submits)
    assert found[2] > 0.05 * COUNT
    assert found[5] > 0.30 * COUNT
    assert matching.resting == 0


def test_the_market_can_be_had_again_in_the_same_book(rows):
    """Memory is measured over many rounds; cancels of a later round must find the orders of that round."""
    matching = Matching()
    logged = [bench._drained(matching, rows, turn) for turn in range(3)]
    assert logged[0] == logged[1] == logged[2] > 2 * COUNT
    assert matching.resting == 0


def test_under_the_clock_commands_do_what_run_does(rows):
    """Every operation, as another kernel calls it, leaves the same log."""
    rows = rows[: COUNT // 2].copy()
    cancels = np.flatnonzero(rows[:, 1] == OP_CANCEL)
    rows[cancels[::5], 1] = OP_REDUCE
    rows[cancels[::5], 5] = 1
    rows[cancels[1::5], 1] = OP_REPLACE
    rows[cancels[1::5], 4:6] = (1_000_000, 3)
    took_ns = np.full(len(rows), -1)
    ran, timed = Matching(), Matching()
    ran.run(rows)
    clocked(timed, rows, took_ns)
    log = ran.take_log()
    assert {5, 6} <= set(log[:, 1].tolist())
    assert np.array_equal(log, timed.take_log())
    assert took_ns.min() >= 0
    assert took_ns.max() > 0
    clock_alone(took_ns)
    assert took_ns.min() >= 0


def test_a_bad_row_leaves_the_book_usable(rows):
    """And tables that do not fit each other are refused before anything is done."""
    matching = Matching()
    rows[1, 5] = 0
    with pytest.raises(ValueError, match="lots 0"):
        clocked(matching, rows, np.empty(COUNT, np.int64))
    assert matching.last_order_id == 1
    for commands, took_ns in ((rows[:, :7].copy(), COUNT), (rows, COUNT - 1)):
        with pytest.raises(ValueError, match="took_ns of"):
            clocked(matching, commands, np.empty(took_ns, np.int64))


def test_every_row_is_whole(monkeypatch):
    """A number a turn, and the twin beside it."""
    monkeypatch.setattr(bench, "COMMANDS", COUNT)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    found = bench.measure(2)
    assert len(found.rows) == 7
    assert all(len(row.ours) == 2 for row in found.rows)
    assert all(value >= 0 for row in found.rows for value in (*row.ours, *row.theirs))
    assert found.facts["commands"] == COUNT
    assert found.facts["trades"] > 0
    assert found.facts["resting"] > 1_000
    assert json.dumps(found.to_json())


def test_it_is_one_of_the_measurements():
    """It needs no day, so none is made for it."""
    assert DAYLESS["matching"] == "matching:measure"
