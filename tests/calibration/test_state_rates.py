"""Rates by state from sums: a known product is found again, and what few fills show is not believed."""

import numpy as np
import pytest

from mm.backtest.metrics.fill_states import FillStates, StateRates
from mm.calibration.state_rates import rates_of

FLOWS = {-4: 0.4, -2: 1.0, -1: 1.7, 1: 3.0}
BASE = {(2, 2): 0.5, (2, 1): 4.0, (6, 6): 0.1, (6, 5): 0.3, (6, 2): 2.0}  # 1/s by sent at and stands at, half ticks
RESTED = {0: 1.0, 1: 1.3}


def cells():
    """Each state with its rate, and time that is no product: an order that moves away from bursts is seldom in them."""
    random = np.random.default_rng(7)
    for (sent, stands), rate in BASE.items():
        for flow, often in FLOWS.items():
            for rested, more in RESTED.items():
                seconds = random.uniform(2e4, 4e5) * (0.02 if sent == 2 and flow == 1 else 1.0)
                yield sent, stands, 2 * (flow + 12) + rested, seconds, rate * often * more


def sums(thin=1.0):
    """The cells as ``state_sums`` has them; the share *thin* of their time and fills."""
    bins = {2: {2: 0, 1: 80 + 1}, 6: {6: 0, 5: 80 + 1, 2: 160 + 2}}
    return np.array(
        [
            (0, sent, bins[sent][stands], stands, 0, level, thin * seconds, thin * seconds * rate)
            for sent, stands, level, seconds, rate in cells()
        ]
    )


def test_a_product_is_found_again():
    """Whatever the time in each state: factors are told apart by what the others expect."""
    states = FillStates(rates_of(sums()), 0.3, 1.0)
    for sent, stands, level, _, rate in cells():
        columns = (np.array([one]) for one in (sent, stands, 0, level))
        assert states.rates(*columns).item() == pytest.approx(rate, rel=0.03), (sent, stands, level)


def test_fills_of_each_distance_stay():
    """What the rates predict of the time that they are from is what was seen, also where few fills were."""
    for thin in (1.0, 1e-3, 3e-5):
        rows = sums(thin)
        states = FillStates(rates_of(rows), 0.3, 1.0)
        predicted = states.rates(*rows[:, [1, 3, 4, 5]].T.astype(np.int64)) * rows[:, 6]
        for sent in (2, 6):
            mine = rows[:, 1] == sent
            assert predicted[mine].sum() == pytest.approx(rows[mine, 7].sum(), rel=1e-6)


def test_few_fills_say_little_of_levels():
    """With a handful of fills, the levels of a market are all nearly alike."""
    times = [row[-1] for row in rates_of(sums(2e-7)).flow]
    assert max(times) / min(times) < 2 < max(FLOWS.values()) / min(FLOWS.values())


def test_nothing_seen_is_no_rate():
    """A run without an order that rested."""
    assert rates_of(np.empty((0, 8))) == StateRates((), ())


def test_periods_and_runs_are_summed():
    """The same states of two runs are one, and the nearest distance of a bin is that of both."""
    rows = sums()
    farther = rows.copy()
    farther[:, [0, 3]] += 1
    twice, once = rates_of(np.concatenate((rows, farther))).states, rates_of(rows).states
    assert [row[:4] for row in twice] == [row[:4] for row in once]
    assert [row[6] for row in twice] == pytest.approx([2 * row[6] for row in once])
    assert [row[4] for row in twice] == pytest.approx([2 * row[4] for row in once])
