"""Seconds and fills by the state of an order, against a plain implementation."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from paths import lives_of

from journals import table_of
from mm.backtest.metrics import resting_states
from mm.backtest.metrics.fill_states import bins, state_sums
from mm.backtest.metrics.market_paths import MarketPaths
from mm.backtest.metrics.order_lives import lives
from mm.backtest.metrics.resting_states import OrderMarkets, RestingStates

SECOND = 1_000_000
RECENT_US = 300_000
EVER = 0, 1 << 62


def plain_sums(journal, tape, market):
    """Return seconds and fills by state: one order and one change at a time."""
    tops = list(zip(tape.event_us[tape.top_event], tape.top_bid_ticks, tape.top_ask_ticks, strict=True))
    best_us = [int(us) for us, *_ in tops]
    path = [(us, mid2) for us, mid2 in journal.mids.tolist()]
    path = [begin_us for number, begin_us in enumerate(path) if not number or begin_us[1] != path[number - 1][1]]
    times = [us for us, _ in path]
    flow, deviations, swept = (
        dict(zip((1, -1), ((at.tolist(), begin_us) for at, begin_us in sides), strict=True))
        for sides in (market.flow, market.deviations, market.swept)
    )
    last_us = journal.counters["last_us"]
    found = lives(journal)
    sums = defaultdict(lambda: [0.0, 0])
    rows = enumerate(table_of(found).tolist(), start=found.first_id)
    orders = {number: (sent_us, begin, side, ticks) for number, (sent_us, begin, side, ticks, *_) in rows}
    for number, order in enumerate(table_of(found).tolist(), start=found.first_id):
        _, begin, side, _, _, end, rejected = order
        end = last_us if end < 0 else end
        if rejected or begin > end:
            continue
        cuts = {begin, end, begin + SECOND, *(us + extra for us in times for extra in (0, RECENT_US)), *best_us}
        cuts.update(us for levels in (flow, deviations, swept) for us in levels[side][0])
        ordered = sorted(us for us in cuts if begin <= us <= end)
        for begin_us, end_us in pairwise(ordered):
            state = state_of(path, times, orders[number], bisect_right(times, begin_us) - 1, begin_us)
            if state:
                touch = touch_of(tops[bisect_right(best_us, begin_us) - 1], orders[number])
                others = (number_at(levels[side], begin_us) for levels in (deviations, swept))
                sums[*state, level_of(flow, orders[number], begin_us), touch, *others][0] += (end_us - begin_us) / 1e6
    for us, number, *_ in journal.fills.tolist():
        state = state_of(path, times, orders[number], bisect_left(times, us) - 1, us - 1)
        if state:
            touch = touch_of(tops[bisect_left(best_us, us) - 1], orders[number])
            others = (number_at(levels[orders[number][2]], us - 1) for levels in (deviations, swept))
            sums[*state, level_of(flow, orders[number], us - 1), touch, *others][1] += 1
    return sums


def touch_of(top, order):
    """Return whether an order is inside the best prices (-1), at its side's best price (0) or behind it (1)."""
    _, bid, ask = top
    *_, side, ticks = order
    if ticks == (bid if side == 1 else ask):
        return 0
    return -1 if (ticks > bid if side == 1 else ticks < ask) else 1


def level_of(levels, order, us):
    """Return twice the level of the flow, plus one if the order has rested for one second."""
    return 2 * number_at(levels[order[2]], us) + (us - order[1] >= SECOND)


def number_at(path, us):
    """Return the number of a path at a time."""
    at, number = path
    return int(number[bisect_right(at, us) - 1])


def state_of(path, times, order, row, us):
    """Return the state of an order at a row of the path and a time; None without a book."""
    sent_us, _, side, ticks = order
    at_sending = path[bisect_right(times, sent_us) - 1][1]
    if row < 0 or not path[row][1] or not at_sending:
        return None
    before = path[row - 1][1] if row else path[0][1]
    towards = before > 0 and side * (path[row][1] - before) < 0
    recent = before > 0 and us - path[row][0] < RECENT_US
    return side * (at_sending - 2 * ticks), side * (path[row][1] - 2 * ticks), towards + 2 * recent


def test_state_sums_equal_those_of_a_plain_implementation(journal):
    """Every second and every fill, by state and by bin of the distance."""
    market = MarketPaths.of_days(journal.tapes)
    expected, nearest = defaultdict(lambda: [0.0, 0]), defaultdict(list)
    for (sent, stands, *others), (seconds, fills) in plain_sums(journal.journal, journal.tapes[0], market).items():
        state = sent, int(bins(np.array([sent]), np.array([stands])).item()), *others
        expected[state] = [expected[state][0] + seconds, expected[state][1] + fills]
        nearest[state].append(stands)
    found = state_sums(journal.journal, EVER, OrderMarkets(RECENT_US, market)).tolist()
    assert sum(fills for _, fills in expected.values()) > 100
    assert len({state[-4] for state in expected}) > 4, "levels come about"
    assert {state[-3] for state in expected} == {-1, 0, 1}
    assert {state[-2] for state in expected} >= {-2, -1, 0, 1, 2}
    assert {state[-1] for state in expected} >= {0, 1, 2}
    assert {key for key, (seconds, _) in expected.items() if seconds > 1e-6} <= {(*row[:2], *row[3:8]) for row in found}
    for sent, stood, near, *others, seconds, fills in found:
        state = sent, stood, *others
        assert seconds == pytest.approx(expected[state][0], abs=1e-5), state
        assert fills == expected[state][1], state
        assert near == min(nearest[state]), state


def test_sums_of_two_windows_add_up_to_the_whole(journal):
    """A window cuts lives at its border, and no second or fill is lost or counted twice."""
    run, market = journal.journal, MarketPaths.of_days(journal.tapes)
    middle = (run.counters["first_us"] + run.counters["last_us"]) // 2
    whole, *halves = (
        state_sums(run, span, OrderMarkets(RECENT_US, market)) for span in (EVER, (0, middle), (middle, 1 << 62))
    )
    assert sum(half[:, 8:].sum(axis=0) for half in halves) == pytest.approx(whole[:, 8:].sum(axis=0))


QUARTER = 250_000  # µs: all times of a random market are multiples of it, and a move is recent for three quarters


def random_market(random):
    """Return orders, a path of the mid with gaps of the book, and paths by side, within forty quarters."""
    times = np.unique(np.append(random.choice(40, random.integers(0, 12)), 0)) * QUARTER
    mid2 = random.integers(198, 206, len(times)) * (random.random(len(times)) > 0.2)
    count = int(random.integers(1, 9))
    sent_us = np.sort(random.integers(0, 30, count)) * QUARTER
    active_us = sent_us + QUARTER * random.integers(0, 3)
    open_ended = random.random(count) < 0.3
    end_us = np.where(open_ended, -1, active_us + QUARTER * random.integers(0, 20, count))
    side, rejected = random.choice([1, -1], count), random.random(count) < 0.1
    rows = [sent_us, active_us, side, random.integers(97, 105, count), np.ones(count), end_us, rejected]
    table = np.ascontiguousarray(np.stack(rows, axis=1).astype(np.int64))
    found = lives_of(table, last_us=38 * QUARTER)
    paths = [
        tuple(random_path(random, size, low, high) for size in random.integers(0, 5, 2))
        for low, high in ((0, 20), (0, 13), (1, 5), (-12, 13))
    ]
    return found, np.stack((times, mid2), axis=1), MarketPaths(*paths)


def random_path(random, size, low, high):
    """Return times, some of them equal, and a number from each time on."""
    at = np.unique(np.append(random.integers(0, 40, size), random.choice([-1, 3]))) * QUARTER
    return at, random.integers(low, high, len(at))


def state_in(run, order, us):
    """Return the state of an order at a time, rule by rule; None without one."""
    found, path, market = run
    sent_us, active_us, side, ticks, *_ = table_of(found)[order].tolist()
    times, mid2 = path.T
    row, at_sending = (int(np.searchsorted(times, at, side="right")) - 1 for at in (us, sent_us))
    if row < 0 or mid2[row] == 0 or at_sending < 0 or mid2[at_sending] == 0:
        return None
    while row and mid2[row - 1] == mid2[row]:  # not a move
        row -= 1
    before = mid2[max(row - 1, 0)]
    move = 0
    if before > 0:
        move = int(side * (mid2[row] - before) < 0) + 2 * int(us - times[row] < 3 * QUARTER)
    flow, swept, spread, deviation = (
        int(number[max(int(np.searchsorted(at, us, side="right")) - 1, 0)])
        for at, number in (sides[0 if side == 1 else 1] for sides in market)
    )
    level = 2 * flow + int(us - active_us >= SECOND)
    best2 = mid2[row] - side * spread  # twice the side's best price
    touch = int(np.sign(side * (best2 - 2 * ticks)))
    sent = int(side * (mid2[at_sending] - 2 * ticks))
    return sent, int(side * (mid2[row] - 2 * ticks)), move, level, touch, deviation, swept


@pytest.mark.parametrize("seed", range(60))
def test_stretches_and_fills_equal_those_of_each_quarter_second(seed, monkeypatch):
    """Quarter by quarter: time by state and by number of passed cuts, complete; also in pieces of few stretches."""
    random = np.random.default_rng(seed)
    run = random_market(random)
    found, path, market = run
    cuts = np.unique(random.integers(0, 40, 3)) * QUARTER
    start_us, end_us = 2 * QUARTER, random.choice([33, 50]) * QUARTER
    instants, order_ids = np.sort(random.integers(1, 40, 9)) * QUARTER, random.integers(1, len(found) + 1, 9)
    fills = np.zeros((9, 9), np.int64)
    fills[:, 0], fills[:, 1] = instants, order_ids
    if seed % 2:
        monkeypatch.setattr(resting_states, "AT_ONCE", 3)
    orders = RestingStates(found, path, fills, OrderMarkets(3 * QUARTER, market))
    waited = orders.stretches((start_us, end_us), cuts)
    states = [tuple(row) for row in waited.states.tolist()]
    assert len(set(states)) == len(states)
    expected, summed = defaultdict(int), defaultdict(int)
    for period, spent, state in zip(*(column.tolist() for column in waited[:3]), strict=True):
        assert spent > 0
        summed[states[state], period] += spent
    for order in np.flatnonzero(found.rested).tolist():
        _, active_us, *_, stop_us, _ = table_of(found)[order].tolist()
        stop_us = min(stop_us if stop_us >= 0 else found.last_us, end_us)
        for us in range(max(active_us, start_us), stop_us, QUARTER):
            state = state_in(run, order, us)
            if state:
                expected[state, int((cuts <= us).sum())] += QUARTER
    assert summed == expected
    of_fills = [(us, state_in(run, order - 1, us - 1)) for us, order in zip(instants, order_ids, strict=True)]
    filled_us, filled = orders.filled((2 * QUARTER, 30 * QUARTER))
    known = [(us, state) for us, state in of_fills if state and 2 * QUARTER <= us < 30 * QUARTER]
    assert list(zip(filled_us.tolist(), map(tuple, filled.tolist()), strict=True)) == known
