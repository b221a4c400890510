"""The paths of market states over time, against sums over all earlier events."""

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


def paths_of(hits):
    """Return the paths of a market of aggressive orders: first print, side hit, last print, and ticks swept."""
    return MarketPaths.of(MarketRows(np.array(hits, np.int64).reshape(-1, 4), NO_ROWS, NO_ROWS))


def number_at(path, us):
    """Return the number of a path at a time."""
    since, number = path
    return int(number[np.searchsorted(since, us, side="right") - 1])


def flow_at(hits, side, us):
    """Return the flow by definition: the time since the last aggressive order, and two averages."""
    ages = [(us - us_of_hit) / SECOND for us_of_hit, hit in hits if hit == side and us_of_hit < us]
    whole = [age - ages[-1] % 1 for age in ages]  # averages decay in steps of one second from the last order
    per_s = sum(math.exp(-age / window) / window for age in whole for window in (30, 300)) / 2
    level = -12 if per_s == 0 else min(max(math.floor(math.log2(per_s)), -12), 7)
    return max(one for one in SINCE if one <= ages[-1]) if ages else SINCE[-1], level


def flow_of(levels, side, us):
    """Return the flow of the paths for orders of a side: seconds since the last aggressive order, and the level."""
    seconds, level = divmod(number_at(levels[0 if side == 1 else 1], us), 20)
    return SINCE[seconds], level - 12


@pytest.mark.parametrize("seed", range(20))
def test_flow_equals_its_definition(seed):
    """Just after each aggressive order, at the edges of the time classes, and whole seconds later."""
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(60 * SECOND, 30, replace=False)) + 5 * SECOND
    hits = np.column_stack((times, random.choice([1, -1], 30)))
    levels = paths_of(np.column_stack((hits, times + 9 * SECOND, random.integers(0, 9, 30)))).flow
    for side in (1, -1):
        times_of_side = hits[hits[:, 1] == side, 0].tolist()
        for time, until in zip(times_of_side, [*times_of_side[1:], 400 * SECOND], strict=True):
            edges = [time + shift + round(edge * SECOND) for edge in SINCE[1:] for shift in (-1, 0, 1)]
            for us in {time + 1, *(edge for edge in edges if edge < until), *range(time + SECOND, until, SECOND)}:
                assert flow_of(levels, side, us) == flow_at(hits.tolist(), side, us), us
        assert flow_of(levels, side, times_of_side[0]) == QUIET, "an aggressive order does not see itself"


def test_flow_paths_rise_in_time_and_end_in_the_quiet_state():
    """They end with the last time class and the lowest level."""
    hits = (0, 1), (0, 1), (1, 1), (2 * SECOND, -1), (2 * SECOND + 1, 1)
    for since, number in paths_of([(us, side, us, 0) for us, side in hits]).flow:
        assert (np.diff(since[1:]) > 0).all()
        assert number[0] == number[-1] == 2 * 20


def test_quiet_and_busy_markets_have_the_extreme_levels():
    """A year without trades, and ten thousand orders within 10 ms."""
    levels = paths_of([(us, 1, us, 0) for us in range(10_000)]).flow
    assert flow_of(levels, 1, 10_000) == (0.0, 7)
    assert flow_of(levels, -1, 10_000) == QUIET
    assert flow_of(levels, 1, 365 * 86_400 * SECOND) == QUIET
    assert [flow_of(paths_of([]).flow, side, 5) for side in (1, -1)] == [QUIET, QUIET]


def class_of(value):
    """Return the signed class: 0 below 1, then one more with each doubling, up to 12."""
    return int(math.copysign(min(1 + math.floor(math.log2(abs(value))), 12), value)) if abs(value) >= 1 else 0


@pytest.mark.parametrize("seed", range(20))
def test_swept_ticks_equal_their_definition(seed):
    """The half ticks of all ended aggressive orders of one side, each decaying by a factor e per 5 s."""
    random = np.random.default_rng(seed)
    ends = np.sort(random.choice(60 * SECOND, 40, replace=False))
    depths = random.integers(0, 3, 40) * random.integers(0, 30, 40)
    hits = np.column_stack((ends - 9 * SECOND, random.choice([1, -1], 40), ends, depths))
    swept, classes = paths_of(hits).swept, set()
    for side, path in zip((1, -1), swept, strict=True):
        orders_of_side = [(end, depth) for _, hit, end, depth in hits.tolist() if hit == side]
        assert all((np.diff(numbers) != 0).all() for _, numbers in swept)
        for us in np.sort(random.integers(0, 100 * SECOND, 300)).tolist() + [
            end + more for end, _ in orders_of_side for more in (0, 1)
        ]:
            value = sum(
                2 * depth * math.exp(-(us - end - 1) / (5 * SECOND)) for end, depth in orders_of_side if end < us
            )
            if all(abs(value - edge) > 1e-3 for edge in (1, 2, 4, 8, 16, 32, 64, 128)):
                assert number_at(path, us) == class_of(value), us
                classes.add(class_of(value))
    assert classes >= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("seed", range(20))
def test_deviation_equals_its_definition(seed):
    """The mid less its average since the first one, with weights decaying by e per second, in half ticks."""
    random = np.random.default_rng(seed)
    us = np.sort(random.choice(30 * SECOND, 60, replace=False))
    bid = 1_000 + np.cumsum(random.integers(-4, 5, 60) * random.integers(1, 9, 60))
    ask = bid + random.integers(1, 4, 60)
    bids, asks = MarketPaths.of(MarketRows.of_prices(np.empty((0, 4), np.int64), us, bid, ask)).deviations
    mid2, classes = (bid + ask).tolist(), set()
    for instant in [*np.sort(random.integers(us[0], 40 * SECOND, 300)).tolist(), *us.tolist()]:
        begun = [(begin, mid) for begin, mid in zip(us.tolist(), mid2, strict=True) if begin <= instant]
        ends = [*(begin for begin, _ in begun[1:]), instant]
        average = begun[0][1] * math.exp(-(instant - begun[0][0]) / SECOND)  # the first price, extended to the past
        for (begin, mid), end in zip(begun, ends, strict=True):
            average += mid * (math.exp(-(instant - end) / SECOND) - math.exp(-(instant - begin) / SECOND))
        value = begun[-1][1] - average
        if all(abs(abs(value) - edge) > 1e-3 for edge in (1, 2, 4, 8, 16, 32, 64, 128)):
            assert (number_at(bids, instant), number_at(asks, instant)) == (class_of(value), -class_of(value)), instant
            classes.add(class_of(value))
    assert min(classes) < -3
    assert max(classes) > 3


def test_average_mid_restarts_each_day():
    """A jump over night is no deviation; aggressive orders and spreads continue."""
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


def test_market_without_a_valid_book_has_no_rows():
    """Neither of deviations nor of spreads."""
    rows = MarketRows.of_prices(np.empty((0, 4), np.int64), np.arange(2), np.array([0, 5]), np.array([3, 4]))
    assert [table.shape for table in rows] == [(0, 4), (0, 2), (0, 2)]


def test_value_beyond_all_classes_is_in_the_outermost():
    """The largest class holds all greater values, and a value decays through every class below it."""
    path = paths_of([(0, -1, 0, 10**7)]).swept[1]
    assert path[1].tolist() == [0, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert (np.diff(path[0][1:]) > 0).all()
    assert path[0][2] == pytest.approx(1 + 5 * SECOND * math.log(2 * 10**7 / 2**11), abs=2)


def test_columns_of_unequal_length_raise_value_error():
    """Two jumps with one time."""
    with pytest.raises(ValueError, match="columns of unequal length"):
        decaying_classes(np.ones(2, np.int64), np.ones(1, np.int64), 1.0)


def test_spreads_are_recorded_for_valid_books_only():
    """One row per change of the width; none without a bid, for a crossed book, or when both prices move together."""
    bid = np.array([0, 98, 99, 99, 101, 99])
    ask = np.array([100, 100, 101, 102, 101, 102])
    assert MarketRows.of_prices(NO_ROWS, np.arange(6), bid, ask).spreads.tolist() == [[1, 2], [3, 3]]


def test_prints_of_one_aggressive_order_are_joined():
    """Prints of one side and trade time are one order, from first to last print; without them, by receive time."""
    prints = [(10, 1, 5), (11, 1, 5), (12, -1, 5), (13, -1, 6), (13, -1, 6), (20, 1, 0), (20, 1, 0), (21, 1, 0)]
    ticks = [100, 104, 99, 99, 97, 100, 101, 105]
    events = [
        small_tapes.trade(us, aggressor, price, exch_us)
        for (us, aggressor, exch_us), price in zip(prints, ticks, strict=True)
    ]
    tapes = [small_tapes.tape([small_tapes.book(1, 100, 101), *some], 0, 99) for some in (events, [], events[:1])]
    expected = [[10, -1, 11, 4], [12, 1, 12, 0], [13, 1, 13, 2], [20, -1, 20, 1], [21, -1, 21, 0]]
    assert [aggressors(each).tolist() for each in tapes] == [expected, [], [[10, -1, 10, 0]]]
    together = MarketRows.joined([MarketRows.of(each) for each in tapes])
    assert together.hits.tolist() == [*expected, [10, -1, 10, 0]]
