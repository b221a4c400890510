"""Book minus ours: against a plain exchange of which both books are known, with reports in any order and late."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.backtest.market_without_us import MarketWithoutUs
from named import feed_event

MS = 1_000


def message(ms, *rows, kind="depth"):
    return feed_event(kind, ms * MS, ms, ms, rows, ms * MS if kind == "depth" else 0)


def begun():
    market = MarketWithoutUs()
    market.without_us([message(0, (1, 100, 7), (-1, 110, 9), kind="snapshot"), message(10)])
    return market


def rows(market, *events):
    """Return the rows of what is passed on."""
    return [row for event in market.without_us(events) for row in event.rows]


def test_market_of_others_is_passed_on_unchanged():
    event = message(20, (1, 100, 5))
    assert begun().without_us([event]) == (event,)


def test_order_is_in_the_books_from_its_acceptance_to_its_end():
    """5 of ours at 101, and then 3: no row, since the others have nothing there before, meanwhile and after."""
    market = begun()
    market.sent(1, 1, 101, 5)
    assert market.known(1, 15 * MS, 5) is None
    assert rows(market, message(20, (1, 101, 5))) == []
    market.known(1, 25 * MS, 3)
    assert rows(market, message(30, (1, 101, 3))) == []
    market.known(1, 35 * MS, 0)
    assert rows(market, message(40, (1, 101, 0))) == []
    assert rows(market, message(50, (1, 101, 4))) == [(1, 101, 4)]


def test_lots_of_others_at_our_price_are_theirs():
    market = begun()
    market.sent(1, 1, 100, 5)
    market.known(1, 15 * MS, 5)
    assert rows(market, message(20, (1, 100, 12))) == []
    assert rows(market, message(30, (1, 100, 8))) == [(1, 100, 3)]
    market.known(1, 35 * MS, 0)
    assert rows(market, message(40, (1, 100, 3))) == []


def moving():
    """Return a market with 5 of ours at 101, which are asked to be at 100."""
    market = begun()
    market.sent(1, 1, 101, 5)
    market.known(1, 15 * MS, 5)
    assert rows(market, message(20, (1, 101, 5))) == []
    market.moving(1, 100, 5)
    return market


def test_moved_order_leaves_one_price_for_another():
    """At 100 the others have 7. The book comes before the report, or after it."""
    for late in (True, False):
        market = moving()
        if late:
            assert rows(market, message(30, (1, 101, 0), (1, 100, 12))) == []
        market.known(1, 25 * MS, 5)
        assert market.moved(1, 25 * MS) is None
        assert rows(market, message(40, (1, 101, 3), (1, 100, 12))) == [(1, 101, 3)]
        market.known(1, 45 * MS, 0)
        assert rows(market, message(50, (1, 100, 7))) == []
        assert market.alone


def test_order_that_was_not_moved_stays_where_it_was():
    market = moving()
    assert market.moved_not(1) is None
    assert rows(market, message(30, (1, 100, 12))) == [(1, 100, 12)]
    assert rows(market, message(40, (1, 101, 6))) == [(1, 101, 1)]


def test_order_that_ends_while_it_moves_is_at_neither_price():
    market = moving()
    market.known(1, 25 * MS, 0)
    assert sorted(rows(market, message(30, (1, 101, 4), (1, 100, 12)))) == [(1, 100, 12), (1, 101, 4)]
    assert market.alone


def test_book_without_a_row_at_our_price_is_of_its_event_time_too():
    """Our 5 end and 5 of another come between two messages: the exchange sends no row, and the others have 12."""
    market = begun()
    market.sent(1, 1, 100, 5)
    market.known(1, 15 * MS, 5)
    assert rows(market, message(20, (1, 100, 12))) == []
    market.known(1, 25 * MS, 0)
    assert rows(market, message(30)) == [(1, 100, 12)]


@pytest.mark.parametrize("late", [False, True])
def test_report_after_the_book_that_has_the_order(late):
    """The order is not acknowledged when the book comes: it is taken for ours, and its rejection corrects that."""
    market = begun()
    market.sent(1, 1, 101, 5)
    assert rows(market, message(20, (1, 101, 5))) == []
    if late:
        assert market.known(1, 15 * MS, 5) is None
        assert rows(market, message(30, (1, 101, 6))) == [(1, 101, 1)]
    else:
        assert market.never(1).rows == [(1, 101, 5)]


def test_report_of_a_cancel_after_the_book_without_the_order():
    """The book has lost our lots, or another one's: which, is known with the report."""
    for cancelled, expected in ((True, None), (False, [(1, 100, 2)])):
        market = begun()
        market.sent(1, 1, 100, 5)
        market.known(1, 15 * MS, 5)
        market.without_us([message(20, (1, 100, 12))])
        market.leaving(1)
        assert rows(market, message(30, (1, 100, 7))) == []
        found = market.known(1, 25 * MS, 0) if cancelled else market.stays(1)
        assert (found and found.rows) == expected


def test_snapshot_and_gap():
    market = begun()
    market.sent(1, 1, 101, 5)
    market.known(1, 15 * MS, 5)
    market.without_us([message(20, (1, 101, 5))])
    assert rows(market, message(30, (1, 100, 7), (1, 101, 8), (-1, 110, 9), kind="snapshot")) == [
        (1, 100, 7),
        (-1, 110, 9),
        (1, 101, 3),
    ]
    assert market.without_us([message(40, kind="gap")]) == (message(40, kind="gap"),)
    assert rows(market, message(50, (1, 101, 5), kind="snapshot")) == []
    assert market.known(1, 55 * MS, 0) is None


def test_correction_follows_everything_that_was_passed_on():
    """Also trades, which come between two books; an engine refuses events out of the order of time."""
    market = begun()
    market.sent(1, 1, 101, 5)
    market.without_us([message(20, (1, 101, 5)), feed_event("trade", 25 * MS, 25, 6, ((1, 110, 1),))])
    found = market.never(1)
    assert (found.us, found.recv_seq, found.rows) == (25 * MS, 20, [(1, 101, 5)])


def test_our_trades_are_left_out():
    market = begun()
    market.traded(7)
    prints = [feed_event("trade", 20, 1, number, ((1, 110, 1),)) for number in (6, 7, 8)]
    assert [event.event_id for event in market.without_us(prints)] == [6, 8]


class Exchange:
    """Lots of others and of ours by price; the times of our orders, and the books that it publishes."""

    def __init__(self):
        self.ms, self.others, self.ours, self.dirty = 0, {}, {}, set()

    def lots(self, price):
        own = sum(left for at, left in self.ours.values() if at == price)
        return self.others.get(price, 0) + own


@settings(max_examples=150)
@given(st.integers(0, 10**9), st.booleans())
def test_market_is_that_of_the_others_once_all_reports_are_in(seed, late):
    """Others and ours come, fill in part, are amended and go; reports arrive at once, or after some messages.

    Known at once, each book is exact; late, as soon as its reports are in. No two things happen in one millisecond.
    """
    rng, market, real = random.Random(seed), MarketWithoutUs(), Exchange()
    prices = [(1, 98), (1, 99), (-1, 101), (-1, 102)]
    seen, waiting, number = {}, [], 0
    take = lambda events: [seen.__setitem__(row[:2], row[2]) for event in events for row in event.rows]  # noqa: E731
    take(market.without_us([message(0, *((*price, 9) for price in prices), kind="snapshot"), message(1)]))
    real.others = dict.fromkeys(prices, 9)
    real.ms = 2
    for _ in range(rng.randint(1, 40)):
        real.ms += 1
        price, act = rng.choice(prices), rng.random()
        if act < 0.3:
            real.others[price] = rng.randint(0, 9)
            real.dirty.add(price)
        elif act < 0.55:
            number += 1
            lots = rng.randint(1, 5)
            market.sent(number, *price, lots)
            real.ours[number] = (price, lots)
            real.dirty.add(price)
            waiting.append((number, real.ms, lots))
        elif act < 0.8 and real.ours:
            which = rng.choice(sorted(real.ours))
            price, left = real.ours[which]
            left = rng.randint(0, left - 1)
            market.leaving(which)
            real.ours[which] = (price, left)
            if not left:
                del real.ours[which]
            real.dirty.add(price)
            waiting.append((which, real.ms, left))
        else:
            real.ms += 1
            changed = [(*at, real.lots(at)) for at in sorted(real.dirty)]
            real.dirty.clear()
            take(market.without_us([message(real.ms, *changed)]))
        while waiting and (not late or rng.random() < 0.4):
            correction = market.known(waiting[0][0], waiting[0][1] * MS, waiting[0][2])
            del waiting[0]
            take([correction] if correction else [])
        if not waiting and not real.dirty:
            for order in real.ours:
                found = market.stays(order)
                take([found] if found else [])
            assert {price: seen[price] for price in prices} == real.others
