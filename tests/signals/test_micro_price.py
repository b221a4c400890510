"""Micro-price against its definition: summed expected moves, and a chain with a known solution."""

import itertools
import json

import numpy as np
import pytest

from mm import Tape
from mm.errors import BrokenFile
from mm.instrument import Instrument
from mm.signals.micro_price import BUCKETS, MicroPriceFit, expected_move, fit_micro_price


def test_expected_move_of_chain_with_known_solution():
    """In state 0 the mid falls half a tick or nothing happens, in state 1 it rises; otherwise the state changes."""
    before, after = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    found = expected_move(before, after, np.array([-0.5, 0.0, 0.5, 0.0]), 3)
    # First moves: x = (1/2)(-1/2) + (1/2)y and y = -x, so x = -1/6; then B = [[2/3, 1/3], [1/3, 2/3]], and
    # g = x + (2/3)g - (1/3)g, so g = 3x/2.
    assert found[:2] == pytest.approx([-0.25, 0.25])
    assert np.isnan(found[2])


def by_series(steps, states):
    """Return the sum of the expected moves of all jumps, each iterated until the mid moves."""
    counts = np.zeros((states, states, 2))
    moves = np.zeros(states)
    for x, y, moved in steps:
        counts[x, y, int(moved != 0)] += 1
        moves[x] += moved
    visits = np.maximum(counts.sum(axis=(1, 2)), 1)
    still, jump, mean = counts[:, :, 0] / visits[:, None], counts[:, :, 1] / visits[:, None], moves / visits
    first, arrive = np.zeros(states), np.zeros((states, states))
    reach = np.eye(states)
    for _ in range(3000):
        first += reach @ mean
        arrive += reach @ jump
        reach = reach @ still
    total, term = np.zeros(states), first
    for _ in range(3000):
        total += term
        term = arrive @ term
    return total


def tape_of(tops, day="20260105"):
    events, (bid, _b, ask, _a) = [(1_000_000_000, "snapshot", [(tops[0][0], tops[0][1])], [tops[0][2:]])], tops[0]
    for place, top in enumerate(tops[1:], 1):
        bids = [(bid, 0)] * (top[0] != bid) + [(top[0], top[1])]
        asks = [(ask, 0)] * (top[2] != ask) + [(top[2], top[3])]
        events.append((1_000_000_000 + 1000 * place, "depth", bids, asks))
        bid, _b, ask, _a = top
    return Tape.of(Instrument("SIMUSDT", 1_000_000, 1_000_000), events, day)


@pytest.fixture(scope="module")
def tops():
    """Return a random walk of the best prices that follows the queues."""
    rng, mid, found = np.random.default_rng(5), 1000, []
    for _ in range(3000):
        b, a, wide = (int(one) for one in rng.integers([1, 1, 1], [20, 20, 3]))
        found.append((mid, b, mid + wide, a))
        mid += int(rng.random() < 0.4 * b / (a + b)) - int(rng.random() < 0.4 * a / (a + b))
    return found


def test_fit_equals_sum_of_expected_moves(tops):
    fit = fit_micro_price([tape_of(tops)])
    spreads = fit.ticks.shape[1]
    assert spreads == 2

    def state(top):
        return min(BUCKETS * top[1] // (top[1] + top[3]), BUCKETS - 1) * 2 + top[2] - top[0] - 1

    def mirrored(number):
        return (BUCKETS - 1 - number // 2) * 2 + number % 2

    steps = []
    for one, two in itertools.pairwise(tops):
        moved = (two[0] + two[2] - one[0] - one[2]) / 2
        steps += [(state(one), state(two), moved), (mirrored(state(one)), mirrored(state(two)), -moved)]
    assert fit.ticks.ravel() == pytest.approx(by_series(steps, BUCKETS * 2), abs=1e-9)
    assert fit.ticks == pytest.approx(-fit.ticks[::-1], abs=1e-12)
    assert fit.ticks[9, 0] > 0.1 > -0.1 > fit.ticks[0, 0]


def test_fit_round_trips_through_json_and_other_content_is_rejected(tops):
    fit = fit_micro_price([tape_of(tops, "20260104"), tape_of(tops)])
    again = MicroPriceFit.from_json(json.loads(json.dumps(fit.to_json())), "fit.json")
    assert (again.symbol, again.days, again.tick_e8, again.steps) == (fit.symbol, fit.days, fit.tick_e8, fit.steps)
    assert again.days == ("20260104", "20260105")
    assert np.array_equal(again.ticks, fit.ticks, equal_nan=True)
    with pytest.raises(BrokenFile, match=r"fit.json: not a fit of a micro-price"):
        MicroPriceFit.from_json({"ticks": [1]}, "fit.json")


def test_constant_mid_has_no_fit(tops):
    assert fit_micro_price([tape_of([(10, 5, 11, 5), (10, 6, 11, 5), (10, 6, 11, 7)])]) is None
