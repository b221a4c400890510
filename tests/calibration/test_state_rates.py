"""State rates from sums: a known product of factors is recovered, and few fills are shrunk."""

import math
from itertools import product

import numpy as np
import pytest

from mm.backtest.metrics.fill_states import FillStates, StateRates
from mm.calibration.state_rates import rates_of

FLOWS = {-4: 0.4, -2: 1.0, -1: 1.7, 1: 3.0}
BASE = {(2, 2): 0.5, (2, 1): 4.0, (6, 6): 0.1, (6, 5): 0.3, (6, 2): 2.0}  # 1/s, by sent and current half ticks
RESTED = {0: 1.0, 1: 1.3}
SINCE = {0: 3.0, 2: 0.6}  # by class of the time since the last aggressive order
TOUCH = {-1: 2.5, 0: 1.0, 1: 0.2}
DEVIATION = {-3: 0.6, 0: 1.0, 2: 1.9}
SWEPT = {0: 0.8, 4: 2.2}


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
            (sent, bins[sent][stands], stands, 0, *others, thin * seconds, thin * seconds * rate)
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
        predicted = states.rates(rows[:, [0, 2, 3, 4, 5, 6, 7]].astype(np.int64)) * rows[:, 8]
        for sent in (2, 6):
            at_distance = rows[:, 0] == sent
            assert predicted[at_distance].sum() == pytest.approx(rows[at_distance, 9].sum(), rel=1e-6)


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
    assert rates_of(np.empty((0, 10))) == StateRates((), (), (), (), ())


def test_runs_with_same_states_are_summed():
    """Equal states of two runs are merged, and the nearest distance of a bin is common."""
    rows = sums()
    farther = rows.copy()
    farther[:, 2] += 1
    twice, once = rates_of(np.concatenate((rows, farther))).states, rates_of(rows).states
    assert [row[:4] for row in twice] == [row[:4] for row in once]
    assert [row[6] for row in twice] == pytest.approx([2 * row[6] for row in once])
    assert [row[4] for row in twice] == pytest.approx([2 * row[4] for row in once])
