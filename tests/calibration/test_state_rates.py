"""State rates from sums: a known product of factors is recovered, and few fills are shrunk.

Level of a window: its fills relative to those expected from the flow of aggressive orders.
"""

import dataclasses
import math
from itertools import product

import numpy as np
import pytest

import small_tapes
from mm.backtest.metrics._market_paths import SINCE_S
from mm.backtest.metrics.fill_states import FillStates, StateRates
from mm.backtest.metrics.market_paths import MarketPaths
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_US
from mm.calibration.state_rates import StateLevels, rates_until

FLOWS = {-4: 0.4, -2: 1.0, -1: 1.7, 1: 3.0}
BASE = {(2, 2): 0.5, (2, 1): 4.0, (6, 6): 0.1, (6, 5): 0.3, (6, 2): 2.0}  # 1/s, by sent and current half ticks
RESTED = {0: 1.0, 1: 1.3}
SINCE = {0: 3.0, 2: 0.6}  # by class of the time since the last aggressive order
TOUCH = {-1: 2.5, 0: 1.0, 1: 0.2}
DEVIATION = {-3: 0.6, 0: 1.0, 2: 1.9}
SWEPT = {0: 0.8, 4: 2.2}
TIMES = {-12: 0.25, -6: 0.5, -3: 2.0, 0: 6.0}
RATES = StateRates(
    tuple((ticks, ticks, 0, 0, 1e4, 1e4, 1e3) for ticks in (1.0, 3.0)),
    tuple(
        (ticks, rested, since, level, times)
        for ticks in (1.0, 3.0)
        for rested in (0, 1)
        for since in SINCE_S
        for level, times in TIMES.items()
    ),
    (),
    (),
    (),
)
LINE = ((1.0, 0.1), (3.0, 0.02))
EVER_AFTER = 1 << 40


def rates_of(sums):
    """Return the rates of all periods."""
    return rates_until(sums, [EVER_AFTER])[EVER_AFTER]


def cells():
    """Yield each state with its time and rate; the time is not a product, e.g. moved orders rarely rest in bursts."""
    random = np.random.default_rng(7)
    for (sent, stands), rate in BASE.items():
        for flow, often in FLOWS.items():
            for factors in product(*map(dict.items, (RESTED, SINCE, TOUCH, DEVIATION, SWEPT))):
                (rested, since, touch, deviation, swept), times = zip(*factors, strict=True)
                seconds = random.uniform(2e4, 4e5) * (0.02 if sent == 2 and flow == 1 else 1.0)
                seconds *= 0.05 if sent == 6 and touch == -1 else 1.0
                seconds *= 0.1 if deviation == 2 and swept == 4 else 1.0
                state = sent, stands, 2 * (20 * since + flow + 12) + rested, touch, deviation, swept
                yield state, seconds, rate * often * math.prod(times)


def sums(thin=1.0):
    """Return the cells in the format of ``state_sums``, with the share *thin* of time and fills."""
    bins = {2: {2: 0, 1: 80 + 1}, 6: {6: 0, 5: 80 + 1, 2: 160 + 2}}
    return np.array(
        [
            (0, sent, bins[sent][stands], stands, 0, *others, thin * seconds, thin * seconds * rate)
            for (sent, stands, *others), seconds, rate in cells()
        ]
    )


def test_rates_recover_product_of_factors():
    """For unequal times per state: factors are separated by what the others expect."""
    states = FillStates(rates_of(sums()), 0.3, 1.0)
    for (sent, stands, *others), _, rate in cells():
        state = [sent, stands, 0, *others]
        assert states.rates(np.array([state])).item() == pytest.approx(rate, rel=0.03), state


def test_predicted_fills_of_each_distance_match():
    """Predictions for the measured time equal the measured fills, also with few fills."""
    for thin in (1.0, 1e-3, 3e-5):
        rows = sums(thin)
        states = FillStates(rates_of(rows), 0.3, 1.0)
        predicted = states.rates(rows[:, [1, 3, 4, 5, 6, 7, 8]].astype(np.int64)) * rows[:, 9]
        for sent in (2, 6):
            at_distance = rows[:, 1] == sent
            assert predicted[at_distance].sum() == pytest.approx(rows[at_distance, 10].sum(), rel=1e-6)


def test_few_fills_give_nearly_equal_level_factors():
    """A handful of fills shrinks the factors towards each other."""
    times = [row[-1] for row in rates_of(sums(3e-8)).hits]
    assert max(times) / min(times) < 2 < max(FLOWS.values()) / min(FLOWS.values())


def test_few_fills_give_nearly_equal_touch_factors():
    """A handful of fills hardly separates orders inside the spread from those behind the best price."""
    few, many = ([row[-1] for row in rates_of(sums(thin)).touch] for thin in (3e-8, 1.0))
    assert max(few) / min(few) < 3
    assert max(many) / min(many) > 10


def test_empty_sums_have_no_rates():
    """A run without resting orders."""
    assert rates_of(np.empty((0, 11))) == StateRates((), (), (), (), ())


def test_runs_with_same_states_are_summed():
    """Equal states of two runs are merged, and the nearest distance of a bin is common."""
    rows = sums()
    farther = rows.copy()
    farther[:, [0, 3]] += 1
    twice, once = rates_of(np.concatenate((rows, farther))).states, rates_of(rows).states
    assert [row[:4] for row in twice] == [row[:4] for row in once]
    assert [row[6] for row in twice] == pytest.approx([2 * row[6] for row in once])
    assert [row[4] for row in twice] == pytest.approx([2 * row[4] for row in once])


@pytest.fixture(scope="module")
def tape():
    """Return six blocks of five minutes: one sale per minute in the first half, ten per minute in the second."""
    quiet = range(BLOCK_US // 5, 3 * BLOCK_US, BLOCK_US // 5)
    busy = range(3 * BLOCK_US, 6 * BLOCK_US, BLOCK_US // 50)
    sales = [small_tapes.trade(us, -1, 100) for us in (*quiet, *busy)]
    return small_tapes.tape([small_tapes.book(1, 100, 101), *sales], 0, 6 * BLOCK_US)


def factor(tape, begin_us, end_us):
    """Return the mean factor of a period over both sides, sampled every 0.1 s."""
    found = []
    for since, number in MarketPaths.of_days([tape]).flow:
        level = (
            number[np.searchsorted(since, np.arange(begin_us, end_us, 100_000) + 50_000, side="right") - 1] % 20 - 12
        )
        nearest = np.array(list(TIMES))[np.abs(level[:, None] - list(TIMES)).argmin(axis=1)]
        found.append(np.mean([TIMES[int(one)] for one in nearest]))
    return np.mean(found)


def points(fills, delta=1.0, seconds=600.0):
    """Return two sides of orders at one distance."""
    columns = (np.full(2, one) for one in (delta, np.inf, seconds, fills / 2))
    return Points(*columns, side=np.array([1, -1], np.int8), block=np.full(2, -1))


def test_level_is_one_when_fills_follow_flow(tape):
    """More aggressive orders raise the expected fills; only the excess is a level."""
    levels, past, busy = StateLevels([tape], 0.3), (0, 3 * BLOCK_US), (3 * BLOCK_US, 6 * BLOCK_US)
    more = factor(tape, *busy) / factor(tape, *past)
    assert more > 2
    for beyond in (1.0, 1.5):
        measured = points(beyond * more * 1200 * 0.1)
        assert levels.level(measured, LINE, (past[1], RATES), busy) == pytest.approx(beyond, rel=0.01)
    again = points(1200 * 0.1)
    assert levels.level(again, LINE, (past[1], RATES), past) == pytest.approx(1.0)


@pytest.mark.parametrize("span", [(0, 4 * BLOCK_US - 50_000), (BLOCK_US // 2, BLOCK_US // 2 + 60_000_000)])
def test_level_of_a_window_is_not_changed_by_the_market_after_it(tape, span):
    """Neither to the end of a block of five minutes, nor in a window within one."""
    levels = [StateLevels([day], 0.3) for day in (tape, tape.between(0, span[1]))]
    whole, known = (each.level(points(10.0), LINE, (BLOCK_US // 2, RATES), span) for each in levels)
    assert whole == known


def test_unmeasured_distances_give_no_level(tape):
    """Orders farther away than all played distances."""
    levels = StateLevels([tape], 0.3)
    assert levels.level(points(10.0, delta=9.0), LINE, (BLOCK_US, RATES), (0, BLOCK_US)) is None


def test_level_joins_days(tape):
    """The night between two days belongs to no block."""
    later = small_tapes.tape([small_tapes.book(90 * BLOCK_US, 100, 101)], 90 * BLOCK_US, 92 * BLOCK_US)
    levels = StateLevels([tape, later], 0.3)
    over = (0, 3 * BLOCK_US), (90 * BLOCK_US, 92 * BLOCK_US)
    quiet = factor(tape, *over[0])
    found = levels.level(points(1200 * 0.1), LINE, (3 * BLOCK_US, RATES), over[1])
    assert found == pytest.approx(quiet / TIMES[-12], rel=0.01)


def test_deviations_of_consecutive_days_are_joined():
    """Day one has a constant mid, day two a mid that jumps up and down every second."""
    still = small_tapes.tape([small_tapes.book(0, 500, 501)], 0, 2 * BLOCK_US)
    jumps = [(2 * BLOCK_US + second * 1_000_000, 100 + second % 2 * 8) for second in range(600)]
    moving = small_tapes.tape([small_tapes.book(us, bid, bid + 1) for us, bid in jumps], 2 * BLOCK_US, 4 * BLOCK_US)
    deviation = tuple((ticks, number, 1.5**number) for ticks in (1.0, 3.0) for number in range(-12, 13))
    rates = dataclasses.replace(RATES, hits=(), deviation=deviation)
    at, classes = MarketPaths.of_days([moving]).deviations[0]
    numbers = classes[np.searchsorted(at, np.arange(2 * BLOCK_US, 4 * BLOCK_US, 1_000), side="right") - 1]
    assert len(set(numbers.tolist())) > 4
    times = (np.mean(1.5**numbers) + np.mean(1.5**-numbers)) / 2
    for days in ([still, moving], [still, moving, small_tapes.tape([], 4 * BLOCK_US, 5 * BLOCK_US)]):
        levels = StateLevels(days, 0.3)
        found = levels.level(points(1200 * 0.1), LINE, (2 * BLOCK_US, rates), (2 * BLOCK_US, 4 * BLOCK_US))
        assert found == pytest.approx(1 / times, rel=1e-3)
