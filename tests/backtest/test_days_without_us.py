"""A day on which we traded, replayed without us: the market that the others made, event by event."""

import random

import numpy as np
from fill_lab import BEGIN_US, TEST
from hypothesis import given, settings
from hypothesis import strategies as st

from mm import Tape
from mm.backtest.days_without_us import OwnActivity, RecordedOrder, without_us
from mm.tape.tape import DEPTH, KEYFRAME

MS = 1_000
PRICES = ((1, 98), (1, 99), (1, 100), (-1, 104), (-1, 105), (-1, 106))


def total(others, ours):
    """Return the lots of all by price."""
    return {at: lots + sum(left for price, left in ours.values() if price == at) for at, lots in others.items()}


def levels(book):
    """Return bids and asks."""
    return [[(ticks, lots) for (of, ticks), lots in sorted(book.items()) if of == side] for side in (1, -1)]


def played(seed):
    """Return the tape of all, that of the others, and what we did."""
    rng = random.Random(seed)
    others, ours, steps, dirty = dict.fromkeys(PRICES, 9), {}, {}, set()
    us, number = BEGIN_US, 0
    both = [(us, "snapshot", *levels(others))]
    alone = list(both)
    for _ in range(rng.randint(1, 60)):
        us += MS
        price, act = rng.choice(PRICES), rng.random()
        if act < 0.25:
            others[price] = rng.randint(1, 9)
            dirty.add(price)
        elif act < 0.45:
            number += 1
            lots = rng.randint(1, 5)
            ours[number], steps[number] = (price, lots), (price, [(us, lots)])
            dirty.add(price)
        elif act < 0.7 and ours:
            which = rng.choice(sorted(ours))
            price, left = ours[which]
            left = rng.randint(0, left - 1)
            ours[which] = (price, left)
            steps[which][1].append((us, left))
            if not left:
                del ours[which]
            dirty.add(price)
        elif act < 0.75:
            for events in (both, alone):
                events.append((us, "gap"))
            us += MS
            both.append((us, "snapshot", *levels(total(others, ours))))
            alone.append((us, "snapshot", *levels(others)))
            dirty.clear()
        elif act < 0.8 and both[-1][1] != "keyframe":
            for events in (both, alone):
                events.append((events[-1][0], "keyframe"))
        else:
            both.append((us, "depth", *levels({at: total(others, ours)[at] for at in dirty})))
            alone.append((us, "depth", *levels({at: others[at] for at in dirty})))
            dirty.clear()
    tick_e8, lot_e8 = TEST.tick_e8, TEST.lot_e8
    orders = [
        RecordedOrder(side, ticks * tick_e8, made[0][1] * lot_e8, tuple((at, left * lot_e8) for at, left in made))
        for (side, ticks), made in steps.values()
    ]
    return Tape.of(TEST, both), Tape.of(TEST, alone), OwnActivity(tuple(orders), frozenset())


def books(tape):
    """Return the book after each event that is no KEYFRAME; None without one."""
    book, found = {}, []
    for event, kind in enumerate(tape.kind.tolist()):
        if kind == KEYFRAME:
            assert {row[:2]: row[2] for row in tape.rows(event)} == {at: lots for at, lots in book.items() if lots}
            continue
        rows = {row[:2]: row[2] for row in tape.rows(event)}
        book = book | rows if kind == DEPTH else rows
        found.append({at: lots for at, lots in book.items() if lots})
    return found


@settings(max_examples=200)
@given(st.integers(0, 10**9))
def test_day_without_us_is_that_of_the_others(seed):
    """Books, best prices and keyframes, over gaps; orders at one price, filled in part, older than a book."""
    both, alone, own = played(seed)
    found = without_us(both, own)
    found.check()
    assert books(found) == books(alone)
    for name in ("top_bid_ticks", "top_ask_ticks", "top_bid_lots", "top_ask_lots", "event_us", "kind"):
        assert np.array_equal(getattr(found, name), getattr(alone, name)), name


def test_our_trades_are_left_out_and_others_stay():
    events = [
        (BEGIN_US, "snapshot", [(99, 5)], [(101, 5)]),
        *((BEGIN_US + at, "trade", 1, 101, at) for at in (1, 2, 3)),
    ]
    tape = Tape.of(TEST, events)
    found = without_us(tape, OwnActivity((), frozenset({int(tape.event_id[2])})))
    assert found.row_lots[found.first_row[1:-1]].tolist() == [1, 3]
    assert "1 trades of ours" in found.meta.warnings[-1]
