"""The market as a state machine, as a live consumer sees it: events alone, without a file."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from captured import NOON_US, SYMBOL, diff, snapshot, trade
from mm.ids import MissingIds
from mm.market_data.grid import Grid
from mm.market_data.local_orderbook import LocalOrderBook
from mm.market_data.market_events import (
    BookChanged,
    BookLost,
    BookResynced,
    DepthArrived,
    DepthMissing,
    EpochOpened,
    TradeArrived,
    TradesMissing,
)
from mm.market_data.market_state import DISCONNECTED, Before, MarketState, Taken
from mm.market_data.messages import DepthSnapshot, Messages


class Consumer:
    """What trades on a market: a book and the last trade, from events alone."""

    def __init__(self):
        self.events, self.book, self.book_id = [], LocalOrderBook(), None

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, EpochOpened):
            self.book, self.book_id = LocalOrderBook.of(event.bids, event.asks), event.last_update_id
        elif isinstance(event, BookChanged):
            self.book.change(event.update.b, event.update.a)
            self.book_id = event.update.u
        elif isinstance(event, BookLost):
            self.book_id = None

    @property
    def kinds(self):
        return [type(event) for event in self.events]


class Feed:
    """A market with two consumers, and messages that arrive one every 100 ms."""

    def __init__(self, **options):
        self.first, self.second, self.us = Consumer(), Consumer(), NOON_US
        grid = Grid()
        self.messages = Messages(SYMBOL, grid)
        self.market = MarketState(grid, (self.first, self.second), top_n=3, **options)

    def take(self, message, conn=None):
        self.us += 100_000
        decoded = self.messages.received(json.dumps(message))
        self.market.arrived(self.us)
        if isinstance(decoded, DepthSnapshot):
            return self.market.snapshot(self.us, decoded)
        return self.market.take(self.us, decoded, conn)


def test_a_message_gives_a_verdict_and_events():
    """In the order in which things happen, to each subscriber alike."""
    feed = Feed()
    assert feed.take(diff(11, 11)) == Taken(ids_missing=False, advanced=True, late=False)
    assert feed.market.wants_snapshot
    assert feed.take(snapshot(10))
    assert not feed.market.wants_snapshot
    assert feed.take(diff(14, 15)) == Taken(ids_missing=True, advanced=True, late=False)
    assert not feed.take(snapshot(9))
    assert feed.take(snapshot(14))
    assert feed.take(trade(5)) == Taken(ids_missing=False, advanced=True, late=False)
    kinds = [kind.__name__ for kind in feed.first.kinds]
    assert kinds == [
        *("DepthArrived", "EpochOpened", "BookChanged"),
        *("DepthArrived", "DepthMissing", "BookLost", "SnapshotRefused"),
        *("EpochOpened", "BookResynced", "BookChanged", "TradeArrived"),
    ]
    assert feed.first.events == feed.second.events
    (missing,) = (event for event in feed.first.events if isinstance(event, DepthMissing))
    assert (missing.missing, missing.cause) == (
        MissingIds(12, 13, NOON_US + 100_000 * 2, NOON_US + 100_000 * 3),
        "ids_missing",
    )


def test_a_subscriber_may_take_trades_alone():
    """One that has no use for the book costs nothing there."""
    trades = Consumer()
    feed = Feed(trade_subscribers=(trades,))
    for message in (diff(11, 11), snapshot(11), diff(12, 12), trade(5), trade(7)):
        feed.take(message)
    assert [kind.__name__ for kind in trades.kinds] == ["TradeArrived", "TradesMissing", "TradeArrived"]
    assert [event for event in feed.first.events if event in trades.events] == trades.events


def test_the_cause_of_missing_ids():
    """What an earlier run left until the first message, a lost connection until the next one."""
    feed = Feed(before=Before(update_id=10, trade_id=3, cause="restart"))
    feed.take(diff(12, 12))
    feed.take(diff(14, 14))
    feed.take(trade(7))
    feed.take(trade(9))
    feed.market.all_closed()
    feed.take(diff(20, 20))
    feed.take(trade(11))
    feed.take(trade(13))
    causes = [event.cause for event in feed.first.events if isinstance(event, DepthMissing | TradesMissing)]
    assert causes == ["restart", "ids_missing", "restart", "ids_missing", DISCONNECTED, DISCONNECTED, "ids_missing"]


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("diff"), st.integers(-2, 3), st.integers(0, 2), st.integers(90, 99), st.integers(0, 3)),
            st.tuples(st.just("snapshot"), st.integers(-3, 3), st.just(0), st.just(0), st.just(0)),
        ),
        max_size=25,
    )
)
def test_a_consumer_of_events_has_the_book_of_the_market(steps):
    """Whatever comes: its book is the market's wherever that is valid, and it has none where that is not."""
    feed, last = Feed(), 10
    for kind, jump, more, price, qty in steps:
        if kind == "diff":
            first = max(1, last + 1 + jump)
            feed.take(diff(first, first + more, [[f"{price}.00", f"{qty}"]]))
            last = max(last, first + more)
        else:
            feed.take(snapshot(max(1, last + jump)))
        assert feed.first.book_id == feed.market.book_id
        if feed.market.book_id is not None:
            assert feed.first.book.levels() == feed.market.book.book.levels()
    applied = [event.number for event in feed.first.events if isinstance(event, BookChanged)]
    arrived = [event.number for event in feed.first.events if isinstance(event, DepthArrived)]
    assert applied == sorted(set(applied))
    assert set(applied) <= set(arrived) == set(range(1, len(arrived) + 1))


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 12)), max_size=40))
def test_two_connections_give_each_trade_once(sent):
    """In the order of the ids, whichever connection brings it first."""
    feed = Feed()
    for conn in (1, 2):
        feed.market.opened(conn)
    for conn, number in sent:
        feed.take(trade(number), conn)
    feed.market.flush()
    ids = [event.trade.t for event in feed.first.events if isinstance(event, TradeArrived)]
    assert ids == sorted(set(ids))
    assert not ids or ids[-1] == max(number for _, number in sent)
    assert BookResynced not in feed.first.kinds
