"""The flow from instant to instant, against sums over all aggressive orders before."""

import math

import numpy as np
import pytest

import small_tapes
from mm.backtest.metrics.flow_levels import aggressors, flow_of_sides, joined

SECOND = 1_000_000


def flow_at(hits, side, us):
    """The level of the flow by its definition: three averages over all aggressive orders before an instant."""
    ages = [(us - at) / SECOND for at, hit in hits if hit == side and at < us]
    per_s = sum(math.exp(-age / window) / window for age in ages for window in (2, 30, 300)) / 3
    return -12 if per_s == 0 else min(max(math.floor(math.log2(per_s)), -12), 7)


def at(levels, side, us):
    """The level that orders of a side see at an instant."""
    since, number = levels[0 if side == 1 else 1]
    return int(number[np.searchsorted(since, us, side="right") - 1]) - 12


@pytest.mark.parametrize("seed", range(20))
def test_levels_are_those_of_their_definition(seed):
    """Just after each aggressive order, and whole seconds later: until the next one, it decays so."""
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(60 * SECOND, 30, replace=False)) + 5 * SECOND
    hits = np.column_stack((times, random.choice([1, -1], 30)))
    levels = flow_of_sides(hits)
    for side in (1, -1):
        mine = hits[hits[:, 1] == side, 0].tolist()
        for one, until in zip(mine, [*mine[1:], 400 * SECOND], strict=True):
            for us in {one + 1, *range(one + SECOND, until, SECOND)}:
                assert at(levels, side, us) == flow_at(hits.tolist(), side, us), us
        assert at(levels, side, mine[0]) == -12, "an aggressive order does not see itself"


def test_quiet_and_busy_markets_have_the_outermost_levels():
    """A year without a trade, and a thousand in a millisecond."""
    levels = flow_of_sides(np.column_stack((np.arange(1000), np.ones(1000, np.int64))))
    assert at(levels, 1, 1000) == 7
    assert at(levels, -1, 1000) == -12
    assert at(levels, 1, 365 * 86_400 * SECOND) == -12
    assert [at(flow_of_sides(np.empty((0, 2), np.int64)), side, 5) for side in (1, -1)] == [-12, -12]


def test_prints_of_one_aggressive_order_count_once():
    """Prints of one trade time and side are one; without trade times, those of one instant."""
    prints = [(10, 1, 5), (11, 1, 5), (12, -1, 5), (13, -1, 6), (13, -1, 6), (20, 1, 0), (20, 1, 0), (21, 1, 0)]
    events = [small_tapes.trade(us, aggressor, 100, exch_us) for us, aggressor, exch_us in prints]
    tapes = [small_tapes.tape([small_tapes.book(1, 100, 101), *some], 0, 99) for some in (events, [], events[:1])]
    own = [[10, -1], [12, 1], [13, 1], [20, -1], [21, -1]]
    assert [aggressors(one).tolist() for one in tapes] == [own, [], own[:1]]
    assert joined([aggressors(one) for one in tapes]).tolist() == [*own, own[0]]
    assert joined([]) is None
