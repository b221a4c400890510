"""The flow from instant to instant, against sums over all aggressive orders before."""

import math

import numpy as np
import pytest

import small_tapes
from mm.backtest.metrics.flow_levels import aggressors, flow_of_sides, joined

SECOND = 1_000_000
SINCE = (0.0, 0.3, 3.0)
QUIET = SINCE[-1], -12


def flow_at(hits, side, us):
    """The flow by its definition: the time since the last aggressive order before an instant, and two averages."""
    ages = [(us - at) / SECOND for at, hit in hits if hit == side and at < us]
    whole = [age - ages[-1] % 1 for age in ages]  # averages decay in steps of a second since the last one
    per_s = sum(math.exp(-age / window) / window for age in whole for window in (30, 300)) / 2
    level = -12 if per_s == 0 else min(max(math.floor(math.log2(per_s)), -12), 7)
    return max(one for one in SINCE if one <= ages[-1]) if ages else SINCE[-1], level


def at(levels, side, us):
    """The flow that orders of a side see at an instant: seconds since the last aggressive order, and the level."""
    since, number = levels[0 if side == 1 else 1]
    seconds, level = divmod(int(number[np.searchsorted(since, us, side="right") - 1]), 20)
    return SINCE[seconds], level - 12


@pytest.mark.parametrize("seed", range(20))
def test_the_flow_is_that_of_its_definition(seed):
    """Just after each aggressive order, at the edges of the classes of time, and whole seconds later."""
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(60 * SECOND, 30, replace=False)) + 5 * SECOND
    hits = np.column_stack((times, random.choice([1, -1], 30)))
    levels = flow_of_sides(hits)
    for side in (1, -1):
        mine = hits[hits[:, 1] == side, 0].tolist()
        for one, until in zip(mine, [*mine[1:], 400 * SECOND], strict=True):
            edges = [one + shift + round(edge * SECOND) for edge in SINCE[1:] for shift in (-1, 0, 1)]
            for us in {one + 1, *(edge for edge in edges if edge < until), *range(one + SECOND, until, SECOND)}:
                assert at(levels, side, us) == flow_at(hits.tolist(), side, us), us
        assert at(levels, side, mine[0]) == QUIET, "an aggressive order does not see itself"


def test_the_number_changes_whenever_it_is_noted():
    """In order of time; the last class of time and the lowest level end it."""
    for since, number in flow_of_sides(np.array([[0, 1], [0, 1], [1, 1], [2 * SECOND, -1], [2 * SECOND + 1, 1]])):
        assert (np.diff(since[1:]) > 0).all()
        assert number[0] == number[-1] == 2 * 20


def test_quiet_and_busy_markets_have_the_outermost_levels():
    """A year without a trade, and a thousand in a millisecond."""
    levels = flow_of_sides(np.column_stack((np.arange(10_000), np.ones(10_000, np.int64))))
    assert at(levels, 1, 10_000) == (0.0, 7)
    assert at(levels, -1, 10_000) == QUIET
    assert at(levels, 1, 365 * 86_400 * SECOND) == QUIET
    assert [at(flow_of_sides(np.empty((0, 2), np.int64)), side, 5) for side in (1, -1)] == [QUIET, QUIET]


def test_prints_of_one_aggressive_order_count_once():
    """Prints of one trade time and side are one; without trade times, those of one instant."""
    prints = [(10, 1, 5), (11, 1, 5), (12, -1, 5), (13, -1, 6), (13, -1, 6), (20, 1, 0), (20, 1, 0), (21, 1, 0)]
    events = [small_tapes.trade(us, aggressor, 100, exch_us) for us, aggressor, exch_us in prints]
    tapes = [small_tapes.tape([small_tapes.book(1, 100, 101), *some], 0, 99) for some in (events, [], events[:1])]
    own = [[10, -1], [12, 1], [13, 1], [20, -1], [21, -1]]
    assert [aggressors(one).tolist() for one in tapes] == [own, [], own[:1]]
    assert joined([aggressors(one) for one in tapes]).tolist() == [*own, own[0]]
    assert joined([]) is None
