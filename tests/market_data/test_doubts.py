"""Ids far ahead: one of them is refused, and costs nothing; a second one shows a gap, and nothing of it is lost."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import NOON_US, SYMBOL, diff, snapshot, trade
from mm.market_data.binance_spot import Messages
from mm.market_data.doubts import DOUBT_S, FAR_IDS
from mm.market_data.grid import Grid
from mm.market_data.market_events import (
    Anomaly,
    BookLost,
    DepthArrived,
    DepthMissing,
    MessageRefused,
    TradeArrived,
    TradeRepeated,
    TradesMissing,
)
from mm.market_data.market_state import Before, MarketState
from mm.market_data.venue import DepthSnapshot

FAR = 70_000_000
"""Of the ids in these tests: not so far behind it that the exchange must have begun anew."""
NEAR = FAR + 40_000


class Feed:
    """A market, its events, and messages that arrive one every 100 ms."""

    def __init__(self, *conns, **options):
        self.events, self.us, self.now_s = [], NOON_US, 100.0
        grid = Grid()
        self.messages = Messages(SYMBOL, grid)
        self.market = MarketState(grid, (self.events.append,), top_n=3, **options)
        for conn in conns:
            self.market.opened(conn)

    def take(self, message, conn):
        self.us, self.now_s = self.us + 100_000, self.now_s + 0.1
        raw = json.dumps(message).encode()
        decoded = self.messages.received(raw)
        if isinstance(decoded, DepthSnapshot):
            return self.market.snapshot(self.us, decoded)
        return self.market.take(self.us, decoded, conn, self.now_s, raw)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def trades(self):
        return [event.trade.t for event in self.of(TradeArrived)]

    @property
    def updates(self):
        return [(event.update.U, event.update.u) for event in self.of(DepthArrived)]

    @property
    def refused(self):
        return [json.loads(event.raw)["data"] for event in self.of(MessageRefused)]


@pytest.mark.parametrize("conns", [(1,), (1, 2)])
@pytest.mark.parametrize("ahead", [FAR_IDS + 1, 40_000, 999_999, 10**15])
def test_one_trade_far_ahead_costs_nothing(conns, ahead):
    """Over one connection or two: every other trade is there, none is late, missing or twice."""
    feed = Feed(*conns)
    for number in range(FAR, FAR + 6):
        for conn in conns:
            feed.take(trade(number), conn)
        if number == FAR + 2:
            feed.take(trade(number + 1 + ahead), conns[-1])
    assert feed.trades == list(range(FAR, FAR + 6))
    assert [one["t"] for one in feed.refused] == [FAR + 3 + ahead]
    assert not feed.of(TradesMissing) + feed.of(TradeRepeated) + feed.of(Anomaly)


@pytest.mark.parametrize("conns", [(1,), (1, 2)])
@pytest.mark.parametrize("ahead", [FAR_IDS + 1, 40_000, 999_999, 10**15])
def test_one_update_far_ahead_costs_nothing(conns, ahead):
    """Not even a resync: the book continues."""
    feed = Feed(*conns)
    for number in range(FAR, FAR + 8):
        for conn in conns:
            feed.take(diff(number, number), conn)
        if number == FAR + 2:
            feed.take(snapshot(FAR + 1), None)
            feed.take(diff(number + 1 + ahead, number + 2 + ahead), conns[-1])
    assert feed.market.book_id == FAR + 7
    assert sorted(set(feed.updates)) == [(number, number) for number in range(FAR, FAR + 8)]
    assert [one["U"] for one in feed.refused] == [FAR + 3 + ahead]
    assert not feed.of(DepthMissing) + feed.of(BookLost) + feed.of(Anomaly)


def test_while_a_connection_hands_over_one_trade_far_ahead_costs_nothing():
    """It comes on the old one, which receives nothing more; the new one continues from there."""
    feed = Feed(1)
    for number in (FAR, FAR + 1):
        feed.take(trade(number), 1)
    feed.market.opened(2)
    feed.take(trade(NEAR), 1)
    feed.market.closed(1)
    for number in (FAR + 2, FAR + 3):
        feed.take(trade(number), 2)
    assert feed.trades == [FAR, FAR + 1, FAR + 2, FAR + 3]
    assert [one["t"] for one in feed.refused] == [NEAR]


def test_a_second_one_there_shows_a_gap_and_both_have_their_own_stamps():
    """Of updates and of trades."""
    feed = Feed(1)
    for message in (
        diff(FAR, FAR),
        trade(FAR),
        diff(NEAR, NEAR + 4),
        trade(NEAR),
        diff(NEAR + 5, NEAR + 5),
        trade(NEAR + 1),
    ):
        feed.take(message, 1)
    assert feed.updates == [(FAR, FAR), (NEAR, NEAR + 4), (NEAR + 5, NEAR + 5)]
    assert feed.trades == [FAR, NEAR, NEAR + 1]
    assert [event.recv_us - NOON_US for event in feed.of(DepthArrived)] == [100_000, 300_000, 500_000]
    assert [event.recv_us - NOON_US for event in feed.of(TradeArrived)] == [200_000, 400_000, 600_000]
    (updates,), (trades,) = feed.of(DepthMissing), feed.of(TradesMissing)
    assert tuple(updates.missing.ids) == tuple(trades.missing.ids) == (FAR + 1, NEAR - 1)
    assert feed.refused == []


def test_the_other_connection_shows_it_as_well():
    """Both have lost the same ids."""
    feed = Feed(1, 2)
    for conn in (1, 2):
        feed.take(trade(FAR), conn)
    for conn in (1, 2):
        feed.take(trade(NEAR), conn)
    feed.take(trade(NEAR + 1), 2)
    assert feed.trades == [FAR, NEAR, NEAR + 1]
    assert (len(feed.of(TradesMissing)), feed.refused) == (1, [])


def test_an_id_that_is_sent_twice_shows_nothing():
    """A message that comes twice is wrong twice."""
    feed = Feed(1)
    for number in (FAR, NEAR, NEAR, FAR + 1):
        feed.take(trade(number), 1)
    assert feed.trades == [FAR, FAR + 1]
    assert [one["t"] for one in feed.refused] == [NEAR, NEAR]


def test_in_silence_it_is_refused_and_a_later_one_still_shows_the_gap():
    """Its own trade is among the missing then, which are fetched."""
    feed = Feed(1)
    for number in (FAR, FAR + 1, NEAR):
        feed.take(trade(number), 1)
    feed.market.let_through(feed.now_s + DOUBT_S - 0.01)
    assert feed.refused == []
    feed.market.let_through(feed.now_s + DOUBT_S)
    assert [one["t"] for one in feed.refused] == [NEAR]
    feed.take(trade(NEAR + 1), 1)
    assert feed.trades == [FAR, FAR + 1, NEAR + 1]
    assert tuple(feed.of(TradesMissing)[0].missing.ids) == (FAR + 2, NEAR)


@pytest.mark.parametrize("ends", ["let_through", "closed", "flush"])
def test_the_first_message_after_an_outage_goes_through_when_nothing_contradicts(ends):
    """A symbol that trades once an hour has lost a thousand trades, on its only connection."""
    feed = Feed(1, before=Before(trade_id=FAR, cause="restart"))
    feed.take(trade(NEAR), 1)
    assert feed.trades == []
    arguments = {"let_through": (feed.now_s + DOUBT_S,), "closed": (1,), "flush": ()}[ends]
    getattr(feed.market, ends)(*arguments)
    assert feed.trades == [NEAR]
    (missing,) = feed.of(TradesMissing)
    assert (tuple(missing.missing.ids), missing.cause) == ((FAR + 1, NEAR - 1), "restart")


def test_at_the_end_what_is_in_doubt_is_kept_aside():
    """Its bytes are not lost."""
    feed = Feed(1)
    for number in (FAR, FAR + 1, NEAR):
        feed.take(trade(number), 1)
    feed.market.flush()
    assert [one["t"] for one in feed.refused] == [NEAR]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 2), st.booleans()), max_size=40),
    st.integers(FAR_IDS + 200, 10**12),
)
def test_whatever_is_far_ahead_every_true_trade_is_there(steps, ahead):
    """Against a plain set: two connections bring the same trades, each some of them, and wrong ids among them.

    Wrong ids are far from each other, each further out than the previous one.
    """
    feed, next_id, wrong, sent = Feed(1, 2), {1: FAR, 2: FAR}, 0, {FAR - 1}
    feed.take(trade(FAR - 1), 1)
    for conn, lost, errs in steps:
        if errs:
            wrong += 1
            feed.take(trade(FAR + wrong * ahead), conn)
        next_id[conn] += lost
        sent.add(next_id[conn])
        feed.take(trade(next_id[conn]), conn)
        next_id[conn] += 1
    feed.market.flush()
    assert set(feed.trades) == sent
    assert feed.trades == sorted(feed.trades)
    assert len(feed.refused) == wrong
