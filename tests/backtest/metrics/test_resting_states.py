"""Seconds and fills by what has happened to an order, against a plain reading of the journal."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import pairwise

import pytest

from mm.backtest.metrics.fill_states import state_sums
from mm.backtest.metrics.order_lives import lives

SECOND = 1_000_000
RECENT_US = 300_000
EVER = 0, 1 << 62


def plainly(journal):
    """Seconds and fills by state: one order and one µs of change at a time."""
    path = [(us, mid2) for us, mid2 in journal.mids.tolist()]
    path = [one for number, one in enumerate(path) if not number or one[1] != path[number - 1][1]]
    times = [us for us, _ in path]
    last_us = journal.counters["last_us"]
    found = lives(journal)
    seen = defaultdict(lambda: [0.0, 0])
    rows = enumerate(found.table.tolist(), start=found.first_id)
    orders = {number: (sent_us, begin, side, ticks) for number, (sent_us, begin, side, ticks, *_) in rows}
    filled = [(us, orders[order]) for us, order, *_ in journal.fills.tolist()]
    every = [us for us, _ in filled]
    for number, order in enumerate(found.table.tolist(), start=found.first_id):
        _, begin, _, _, _, end, rejected = order
        end = last_us if end < 0 else end
        if rejected or begin > end:
            continue
        cuts = {
            begin,
            end,
            begin + SECOND,
            begin + 2 * SECOND,
            *(us + extra for us in times for extra in (0, RECENT_US)),
        }
        cuts |= {us + extra for us in every for extra in (0, 2 * SECOND)}
        ordered = sorted(us for us in cuts if begin <= us <= end)
        for one, two in pairwise(ordered):
            state = state_of(path, times, orders[number], bisect_right(times, one) - 1, one)
            if state:
                before = filled[: bisect_right(every, one)]
                seen[*state, moment_of(path, times, orders, orders[number], before, one)][0] += (two - one) / 1e6
    for us, number, *_ in journal.fills.tolist():
        state = state_of(path, times, orders[number], bisect_left(times, us) - 1, us - 1)
        if state:
            before = filled[: bisect_left(every, us)]
            seen[*state, moment_of(path, times, orders, orders[number], before, us - 1)][1] += 1
    return seen


def sent_from(path, times, order):
    """The distance at which an order was sent."""
    sent_us, _, side, ticks = order
    return side * (path[bisect_right(times, sent_us) - 1][1] - 2 * ticks)


def farthest_before(path, times, orders, order):
    """The farthest distance of the orders of a side that were sent in two seconds, and of the last one before that."""
    earlier = [one for one in orders.values() if one[2] == order[2] and one[0] < order[0] - 2 * SECOND]
    sent = [one for one in orders.values() if one[2] == order[2] and order[0] - 2 * SECOND <= one[0] <= order[0]]
    return max(sent_from(path, times, one) for one in earlier[-1:] + sent)


def moment_of(path, times, orders, order, filled, us):
    """What was filled in the two seconds before, and whether an order has rested for one second at an instant."""
    last = {side: next(((at, one) for at, one in reversed(filled) if one[2] == side), None) for side in (1, -1)}
    own, other = (one and (us - one[0] < 2 * SECOND) and one for one in (last[order[2]], last[-order[2]]))
    sent = sent_from(path, times, order)
    if own:
        known = sent_from(path, times, own[1]) >= sent - 2
    else:
        known = us - order[1] >= 2 * SECOND or farthest_before(path, times, orders, order) <= sent + 2
    return (bool(own) if known else 2) + 3 * bool(other) + 6 * (us - order[1] >= SECOND)


def state_of(path, times, order, row, us):
    """The state of an order in a row of the path at an instant; None without a book."""
    sent_us, _, side, ticks = order
    at_sending = path[bisect_right(times, sent_us) - 1][1]
    if row < 0 or not path[row][1] or not at_sending:
        return None
    before = path[row - 1][1] if row else path[0][1]
    towards = before > 0 and side * (path[row][1] - before) < 0
    recent = before > 0 and us - path[row][0] < RECENT_US
    return side * (at_sending - 2 * ticks), side * (path[row][1] - 2 * ticks), towards + 2 * recent


def test_sums_are_those_of_a_plain_reading(journal):
    """Every second and every fill, in the state that one order after another shows."""
    found = {tuple(map(int, row[1:5])): row[5:] for row in state_sums(journal.journal, RECENT_US, EVER).tolist()}
    seen = plainly(journal.journal)
    assert sum(fills for _, fills in seen.values()) > 100
    assert {key for key, (seconds, _) in seen.items() if seconds > 1e-6} <= found.keys()
    for state, (seconds, fills) in found.items():
        assert seconds == pytest.approx(seen[state][0], abs=1e-5), state
        assert fills == seen[state][1], state


def test_two_halves_are_the_whole(journal):
    """A window cuts lives at its border, and no second or fill is lost or counted twice."""
    run = journal.journal
    middle = (run.counters["first_us"] + run.counters["last_us"]) // 2
    whole, *halves = (state_sums(run, RECENT_US, cuts) for cuts in (EVER, (0, middle), (middle, 1 << 62)))
    assert sum(half[:, 5:] for half in (one.sum(axis=0, keepdims=True) for one in halves)) == pytest.approx(
        whole[:, 5:].sum(axis=0, keepdims=True)
    )
    both = state_sums(run, RECENT_US, (0, middle, 1 << 62))
    for number, half in enumerate(halves):
        assert both[both[:, 0] == number][:, 1:] == pytest.approx(half[:, 1:])
