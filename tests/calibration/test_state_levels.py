"""The level of a window: what its fills say beyond the flow of its aggressive orders."""

import numpy as np
import pytest

import small_tapes
from mm.backtest.metrics.fill_states import StateRates
from mm.backtest.metrics.flow_levels import aggressors, flow_of_sides
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_US
from mm.calibration.state_rates import StateLevels

TIMES = {-12: 0.25, -6: 0.5, -3: 2.0, 0: 6.0}
RATES = StateRates(
    tuple((ticks, ticks, 0, 0, 1e4, 1e4, 1e3) for ticks in (1.0, 3.0)),
    tuple((ticks, rested, level, times) for ticks in (1.0, 3.0) for rested in (0, 1) for level, times in TIMES.items()),
)
LINE = ((1.0, 0.1), (3.0, 0.02))


@pytest.fixture(scope="module")
def tape():
    """Six blocks of five minutes: a sale a minute in the first half, ten a minute in the second."""
    quiet = range(BLOCK_US // 5, 3 * BLOCK_US, BLOCK_US // 5)
    busy = range(3 * BLOCK_US, 6 * BLOCK_US, BLOCK_US // 50)
    sales = [small_tapes.trade(us, -1, 100) for us in (*quiet, *busy)]
    return small_tapes.tape([small_tapes.book(1, 100, 101), *sales], 0, 6 * BLOCK_US)


def factor(tape, begin_us, end_us):
    """The mean factor of a stretch, of both sides, second by second."""
    found = []
    for since, number in flow_of_sides(aggressors(tape)):
        level = number[np.searchsorted(since, np.arange(begin_us, end_us, 100_000) + 50_000, side="right") - 1] - 12
        nearest = np.array(list(TIMES))[np.abs(level[:, None] - list(TIMES)).argmin(axis=1)]
        found.append(np.mean([TIMES[int(one)] for one in nearest]))
    return np.mean(found)


def points(fills, delta=1.0, seconds=600.0):
    """Two sides of orders at one distance."""
    columns = (np.full(2, one) for one in (delta, np.inf, seconds, fills / 2))
    return Points(*columns, side=np.array([1, -1], np.int8), block=np.full(2, -1))


def test_a_window_as_its_flow_has_it_is_at_level_one(tape):
    """Where more aggressive orders come, more fills are expected; only what goes beyond is a level."""
    levels, past, busy = StateLevels([tape], 0.3), (0, 3 * BLOCK_US), (3 * BLOCK_US, 6 * BLOCK_US)
    more = factor(tape, *busy) / factor(tape, *past)
    assert more > 2
    for beyond in (1.0, 1.5):
        seen = points(beyond * more * 1200 * 0.1)
        assert levels.level(seen, LINE, (past[1], RATES), busy) == pytest.approx(beyond, rel=0.01)
    again = points(1200 * 0.1)
    assert levels.level(again, LINE, (past[1], RATES), past) == pytest.approx(1.0)


def test_distances_that_were_not_measured_say_nothing(tape):
    """Orders farther away than all that were played."""
    levels = StateLevels([tape], 0.3)
    assert levels.level(points(10.0, delta=9.0), LINE, (BLOCK_US, RATES), (0, BLOCK_US)) is None


def test_days_are_joined(tape):
    """The night between two days is in no block."""
    later = small_tapes.tape([small_tapes.book(90 * BLOCK_US, 100, 101)], 90 * BLOCK_US, 92 * BLOCK_US)
    levels = StateLevels([tape, later], 0.3)
    over = (0, 3 * BLOCK_US), (90 * BLOCK_US, 92 * BLOCK_US)
    quiet = factor(tape, *over[0])
    found = levels.level(points(1200 * 0.1), LINE, (3 * BLOCK_US, RATES), over[1])
    assert found == pytest.approx(quiet / TIMES[-12], rel=0.01)
