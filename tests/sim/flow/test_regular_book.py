"""The regular book: its columns replayed level by level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.instrument import Instrument
from mm.sim.flow.session import STEP_MS, MarketDay, Session
from mm.sim.flow.regular_book import RegularBook, Sweeps, play

GRID = Instrument("SIMUSDT", 1_000_000, 100_000)
LEVELS = 4


@st.composite
def markets(draw):
    """A mid that jumps, also further than the book is deep, and sweeps of both sides at any moment of the flow."""
    moves = draw(st.lists(st.integers(-6, 6), min_size=3, max_size=12))
    session = Session("SIMUSDT", "20260105", (len(moves) + 1) * STEP_MS / 3_600_000, draw(st.integers(0, 99)))
    best_bid = 1000 + np.concatenate(([0], np.cumsum(np.array(moves, np.int64))))
    book = RegularBook(best_bid, draw(st.integers(1, 3)), LEVELS, 10)
    first_ms, end_ms = session.flow_ms
    moment = st.tuples(st.integers(first_ms, end_ms - 1), st.sampled_from([-1, 1]))
    orders = sorted(draw(st.sets(moment, max_size=12)))
    prints = [draw(st.integers(1, LEVELS)) for _ in orders]
    columns = np.array([(ms, side, n) for (ms, side), n in zip(orders, prints, strict=True)], np.int64).reshape(-1, 3)
    return session, book, Sweeps(*columns.T)


def messages(day: MarketDay):
    for i, (start, end) in enumerate(zip(day.first_row[:-1], day.first_row[1:], strict=True)):
        rows = zip(day.row_side[start:end], day.row_ticks[start:end], day.row_lots[start:end], strict=True)
        yield int(day.sent_ms[i]), bool(day.is_trade[i]), [tuple(map(int, row)) for row in rows]


@given(markets())
@settings(max_examples=150, deadline=None)
def test_messages_keep_the_book_regular_and_prints_meet_what_it_shows(market):
    """Whatever the mid does, a reader's book is the one the orders met: whole, uncrossed, as wide as stated.

    The next depth message names each level that was swept.
    """
    session, book, sweeps = market
    day = play(session, GRID, book, sweeps, {})
    shown = dict(
        zip(zip(day.opening_side.tolist(), day.opening_ticks.tolist(), strict=True), day.opening_lots, strict=True)
    )
    prints, swept = [], set()
    for sent_ms, is_trade, rows in messages(day):
        step = (sent_ms - session.open_ms) // STEP_MS
        if is_trade:
            ((side, ticks, lots),) = rows
            assert 1 <= lots <= shown[-side, ticks]
            swept.add((step + 1, -side, ticks))
            prints.append((sent_ms, side, ticks, lots == shown[-side, ticks]))
            continue
        assert sent_ms == session.open_ms + step * STEP_MS
        assert len({row[:2] for row in rows}) == len(rows)
        swept -= {(step, *row[:2]) for row in rows}
        assert not swept
        for side, ticks, lots in rows:
            if lots:
                shown[side, ticks] = lots
            else:
                del shown[side, ticks]
        bid, ask = int(book.best_bid[step]), int(book.best_bid[step]) + book.spread
        assert set(shown) == {(1, bid - n) for n in range(LEVELS)} | {(-1, ask + n) for n in range(LEVELS)}
    assert not swept
    assert len(prints) == sweeps.prints.sum()
    assert_sweeps(session, book, sweeps, prints)


def assert_sweeps(session, book, sweeps, prints):
    at = 0
    for sent_ms, side, count in zip(sweeps.sent_ms.tolist(), sweeps.side.tolist(), sweeps.prints.tolist(), strict=True):
        bid = int(book.best_bid[(sent_ms - session.open_ms) // STEP_MS])
        touch = bid + book.spread if side > 0 else bid
        for nth, (ms, print_side, ticks, whole) in enumerate(prints[at : at + count]):
            assert (ms, print_side, ticks) == (sent_ms, side, touch + side * nth)
            assert whole or nth == count - 1
        at += count


def test_the_first_message_sets_both_touches():
    """So frames begin where the flow does, also on a day that is silent at first."""
    session = Session("SIMUSDT", "20260105", 5 * STEP_MS / 3_600_000, 0)
    none = np.array([], np.int64)
    day = play(session, GRID, RegularBook(np.full(5, 1000), 2, LEVELS, 10), Sweeps(none, none, none), {})
    ((sent_ms, is_trade, rows),) = messages(day)
    assert (sent_ms, is_trade) == (session.open_ms + STEP_MS, False)
    assert [row[:2] for row in rows] == [(1, 1000), (-1, 1002)]


@pytest.mark.parametrize("mean", [1, 2, 7])
def test_quantities_lie_around_their_mean(mean):
    """A level that is there has at least a lot."""
    session = Session("SIMUSDT", "20260105", 5 * STEP_MS / 3_600_000, 0)
    none = np.array([], np.int64)
    day = play(session, GRID, RegularBook(np.full(5, 1000), 2, 500, mean), Sweeps(none, none, none), {})
    assert day.opening_lots.min() >= max(1, mean // 2)
    assert day.opening_lots.max() <= mean + mean // 2
