"""The paths of a market from instant to instant, against sums over all that came before."""

import math

import numpy as np
import pytest

import small_tapes
from mm.backtest.metrics._market_paths import decaying_classes
from mm.backtest.metrics.market_paths import MarketPaths, MarketRows, aggressors

SECOND = 1_000_000
SINCE = (0.0, 0.3, 3.0)
QUIET = SINCE[-1], -12
NO_ROWS = np.empty((0, 2), np.int64)


def paths(hits):
    """The paths of a market of aggressive orders: first print, side that was hit, last print, and ticks swept."""
    return MarketPaths.of(MarketRows(np.array(hits, np.int64).reshape(-1, 4), NO_ROWS, NO_ROWS))


def number_at(path, us):
    """The number of a path at an instant."""
    since, number = path
    return int(number[np.searchsorted(since, us, side="right") - 1])


def flow_at(hits, side, us):
    """The flow by its definition: the time since the last aggressive order before an instant, and two averages."""
    ages = [(us - at) / SECOND for at, hit in hits if hit == side and at < us]
    whole = [age - ages[-1] % 1 for age in ages]  # averages decay in steps of a second since the last one
    per_s = sum(math.exp(-age / window) / window for age in whole for window in (30, 300)) / 2
    level = -12 if per_s == 0 else min(max(math.floor(math.log2(per_s)), -12), 7)
    return max(one for one in SINCE if one <= ages[-1]) if ages else SINCE[-1], level


def at(levels, side, us):
    """The flow that orders of a side see at an instant: seconds since the last aggressive order, and the level."""
    seconds, level = divmod(number_at(levels[0 if side == 1 else 1], us), 20)
    return SINCE[seconds], level - 12


@pytest.mark.parametrize("seed", range(20))
def test_the_flow_is_that_of_its_definition(seed):
    """Just after each aggressive order, at the edges of the classes of time, and whole seconds later."""
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(60 * SECOND, 30, replace=False)) + 5 * SECOND
    hits = np.column_stack((times, random.choice([1, -1], 30)))
    levels = paths(np.column_stack((hits, times + 9 * SECOND, random.integers(0, 9, 30)))).flow
    for side in (1, -1):
        mine = hits[hits[:, 1] == side, 0].tolist()
        for one, until in zip(mine, [*mine[1:], 400 * SECOND], strict=True):
            edges = [one + shift + round(edge * SECOND) for edge in SINCE[1:] for shift in (-1, 0, 1)]
            for us in {one + 1, *(edge for edge in edges if edge < until), *range(one + SECOND, until, SECOND)}:
                assert at(levels, side, us) == flow_at(hits.tolist(), side, us), us
        assert at(levels, side, mine[0]) == QUIET, "an aggressive order does not see itself"


def test_the_number_changes_whenever_it_is_noted():
    """In order of time; the last class of time and the lowest level end it."""
    seen = (0, 1), (0, 1), (1, 1), (2 * SECOND, -1), (2 * SECOND + 1, 1)
    for since, number in paths([(us, side, us, 0) for us, side in seen]).flow:
        assert (np.diff(since[1:]) > 0).all()
        assert number[0] == number[-1] == 2 * 20


def test_quiet_and_busy_markets_have_the_outermost_levels():
    """A year without a trade, and a thousand in a millisecond."""
    levels = paths([(us, 1, us, 0) for us in range(10_000)]).flow
    assert at(levels, 1, 10_000) == (0.0, 7)
    assert at(levels, -1, 10_000) == QUIET
    assert at(levels, 1, 365 * 86_400 * SECOND) == QUIET
    assert [at(paths([]).flow, side, 5) for side in (1, -1)] == [QUIET, QUIET]


def class_of(value):
    """Its sign times: 0 below 1, then one more whenever it doubles, up to 12."""
    return int(math.copysign(min(1 + math.floor(math.log2(abs(value))), 12), value)) if abs(value) >= 1 else 0


@pytest.mark.parametrize("seed", range(20))
def test_swept_ticks_are_those_of_their_definition(seed):
    """The half ticks of all aggressive orders that have ended, each less by e per 5 s; of one side alone."""
    random = np.random.default_rng(seed)
    ends = np.sort(random.choice(60 * SECOND, 40, replace=False))
    depths = random.integers(0, 3, 40) * random.integers(0, 30, 40)
    hits = np.column_stack((ends - 9 * SECOND, random.choice([1, -1], 40), ends, depths))
    swept, seen = paths(hits).swept, set()
    for side, path in zip((1, -1), swept, strict=True):
        mine = [(end, depth) for _, one, end, depth in hits.tolist() if one == side]
        assert all((np.diff(numbers) != 0).all() for _, numbers in swept)
        for us in np.sort(random.integers(0, 100 * SECOND, 300)).tolist() + [
            end + more for end, _ in mine for more in (0, 1)
        ]:
            value = sum(2 * depth * math.exp(-(us - end - 1) / (5 * SECOND)) for end, depth in mine if end < us)
            if all(abs(value - edge) > 1e-3 for edge in (1, 2, 4, 8, 16, 32, 64, 128)):
                assert number_at(path, us) == class_of(value), us
                seen.add(class_of(value))
    assert seen >= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("seed", range(20))
def test_the_deviation_is_that_of_its_definition(seed):
    """The mid less its average since the first one, in which older prices count less by e per second, in half ticks."""
    random = np.random.default_rng(seed)
    us = np.sort(random.choice(30 * SECOND, 60, replace=False))
    bid = 1_000 + np.cumsum(random.integers(-4, 5, 60) * random.integers(1, 9, 60))
    ask = bid + random.integers(1, 4, 60)
    bids, asks = MarketPaths.of(MarketRows.of_prices(np.empty((0, 4), np.int64), us, bid, ask)).deviations
    mid2, seen = (bid + ask).tolist(), set()
    for at in [*np.sort(random.integers(us[0], 40 * SECOND, 300)).tolist(), *us.tolist()]:
        begun = [(begin, one) for begin, one in zip(us.tolist(), mid2, strict=True) if begin <= at]
        ends = [*(begin for begin, _ in begun[1:]), at]
        average = begun[0][1] * math.exp(-(at - begun[0][0]) / SECOND)  # the first price, before it was seen
        for (begin, one), end in zip(begun, ends, strict=True):
            average += one * (math.exp(-(at - end) / SECOND) - math.exp(-(at - begin) / SECOND))
        value = begun[-1][1] - average
        if all(abs(abs(value) - edge) > 1e-3 for edge in (1, 2, 4, 8, 16, 32, 64, 128)):
            assert (number_at(bids, at), number_at(asks, at)) == (class_of(value), -class_of(value)), at
            seen.add(class_of(value))
    assert min(seen) < -3
    assert max(seen) > 3


def test_the_average_begins_anew_each_day():
    """A jump over night is no deviation, whatever the day before ended with; aggressive orders and spreads go on."""
    one, two = (
        MarketRows.of_prices(
            np.array([[us, 1, us, 9]]), np.array([us, us + 1]), np.array([bid, bid + 40]), np.full(2, bid + 42)
        )
        for us, bid in ((0, 100), (SECOND, 900))
    )
    rows = MarketRows.joined([one, two])
    found = MarketPaths.of(rows)
    assert all((path[0][1:] >= path[0][:-1]).all() for sides in found for path in sides), "instants rise over all days"
    assert [[number_at(path, us) for path in found.deviations] for us in (0, 1, SECOND - 1, SECOND, SECOND + 1)] == [
        [0, 0],
        [6, -6],
        [4, -4],
        [0, 0],
        [6, -6],
    ]
    assert number_at(found.swept[0], SECOND + 1) == class_of(18 + 18 * math.exp(-1 / 5))
    assert MarketRows.joined([]) is None


def test_a_market_without_a_valid_book_has_no_deviation():
    """Neither a row of it nor one of the spread."""
    rows = MarketRows.of_prices(np.empty((0, 4), np.int64), np.arange(2), np.array([0, 5]), np.array([3, 4]))
    assert [one.shape for one in rows] == [(0, 4), (0, 2), (0, 2)]


def test_a_value_that_leaves_all_classes_stays_in_the_outermost():
    """The largest class holds all greater values, and a value decays through every class below it."""
    path = paths([(0, -1, 0, 10**7)]).swept[1]
    assert path[1].tolist() == [0, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert (np.diff(path[0][1:]) > 0).all()
    assert path[0][2] == pytest.approx(1 + 5 * SECOND * math.log(2 * 10**7 / 2**11), abs=2)


def test_columns_of_unequal_length_are_refused():
    """A jump without an instant."""
    with pytest.raises(ValueError, match="columns of unequal length"):
        decaying_classes(np.ones(2, np.int64), np.ones(1, np.int64), 1.0)


def test_spreads_are_those_of_valid_books():
    """A row where the width changes; none without a bid, of a crossed book, or where both prices move alike."""
    bid = np.array([0, 98, 99, 99, 101, 99])
    ask = np.array([100, 100, 101, 102, 101, 102])
    assert MarketRows.of_prices(NO_ROWS, np.arange(6), bid, ask).spreads.tolist() == [[1, 2], [3, 3]]


def test_prints_of_one_aggressive_order_count_once():
    """Prints of one side and trade time are one, from first to last instant; without times, those of one instant."""
    prints = [(10, 1, 5), (11, 1, 5), (12, -1, 5), (13, -1, 6), (13, -1, 6), (20, 1, 0), (20, 1, 0), (21, 1, 0)]
    ticks = [100, 104, 99, 99, 97, 100, 101, 105]
    events = [
        small_tapes.trade(us, aggressor, at, exch_us)
        for (us, aggressor, exch_us), at in zip(prints, ticks, strict=True)
    ]
    tapes = [small_tapes.tape([small_tapes.book(1, 100, 101), *some], 0, 99) for some in (events, [], events[:1])]
    own = [[10, -1, 11, 4], [12, 1, 12, 0], [13, 1, 13, 2], [20, -1, 20, 1], [21, -1, 21, 0]]
    assert [aggressors(one).tolist() for one in tapes] == [own, [], [[10, -1, 10, 0]]]
    together = MarketRows.joined([MarketRows.of(one) for one in tapes])
    assert together.hits.tolist() == [*own, [10, -1, 10, 0]]
