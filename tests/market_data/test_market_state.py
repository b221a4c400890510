"""The market as a state machine, and the merged feed of several connections."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import NOON_US, decoder, diff, snapshot, trade
from mm.ids import MissingIds
from mm.market_data.market_state import DISCONNECTED, HOLD_S, Arbiter, Lane, MarketState, PreviousRun, Taken
from mm.markets.local_orderbook import LocalOrderBook


def named(event):
    """Return the class of an event by its name."""
    return type(event).__name__


def is_applied(event):
    """Return whether an event shows that an update was applied to the book, at once or later."""
    return named(event) == "BookChanged" or (named(event) == "DepthArrived" and event.book is not None)


class Consumer:
    """A consumer that trades on a market: its book is built from events alone."""

    def __init__(self):
        self.events, self.book, self.book_id = [], LocalOrderBook(), None

    def __call__(self, event):
        self.events.append(event)
        if named(event) == "EpochOpened":
            self.book, self.book_id = LocalOrderBook.of(event.bids, event.asks), event.last_update_id
        elif is_applied(event):
            self.book.change(event.update.b, event.update.a)
            self.book_id = event.update.u
        elif named(event) == "BookLost":
            self.book_id = None

    @property
    def kinds(self):
        return [named(event) for event in self.events]


class Feed:
    """A market with two consumers; a message arrives every 100 ms."""

    def __init__(self, **options):
        self.first, self.second, self.us = Consumer(), Consumer(), NOON_US
        self.messages, grid = decoder()
        self.market = MarketState(grid, (self.first, self.second), top_n=3, **options)

    def take(self, message, conn=None):
        self.us += 100_000
        decoded = self.messages.received(json.dumps(message))
        self.market.arrived(self.us)
        if "lastUpdateId" in message:
            return self.market.snapshot(self.us, decoded)
        return self.market.take(self.us, decoded, conn)


def test_message_returns_a_result_and_publishes_events():
    """Each subscriber receives the same events in order."""
    feed = Feed()
    assert feed.take(diff(11, 11)) == Taken(ids_missing=False, advanced=True, late=False)
    assert feed.market.needs_snapshot
    assert feed.take(snapshot(10))
    assert not feed.market.needs_snapshot
    assert feed.take(diff(14, 15)) == Taken(ids_missing=True, advanced=True, late=False)
    assert not feed.take(snapshot(9))
    assert feed.take(snapshot(14))
    assert feed.take(trade(5)) == Taken(ids_missing=False, advanced=True, late=False)
    kinds = feed.first.kinds
    assert kinds == [
        *("DepthArrived", "EpochOpened", "BookChanged"),
        *("DepthArrived", "DepthMissing", "BookLost", "SnapshotRefused"),
        *("EpochOpened", "BookResynced", "BookChanged", "TradeArrived"),
    ]
    assert feed.first.events == feed.second.events
    (missing,) = (event for event in feed.first.events if named(event) == "DepthMissing")
    assert (missing.missing, missing.cause) == (
        MissingIds(12, 13, NOON_US + 100_000 * 2, NOON_US + 100_000 * 3),
        "ids_missing",
    )


def test_trade_subscriber_receives_trade_events_only():
    """Trade subscribers receive no book events."""
    trades = Consumer()
    feed = Feed(trade_subscribers=(trades,))
    for message in (diff(11, 11), snapshot(11), diff(12, 12), trade(5), trade(7)):
        feed.take(message)
    assert trades.kinds == ["TradeArrived", "TradesMissing", "TradeArrived"]
    assert [event for event in feed.first.events if event in trades.events] == trades.events


def test_missing_ids_have_the_cause_of_their_period():
    """A restart is the cause until the first message, a disconnection until the next message."""
    feed = Feed(before=PreviousRun(update_id=10, trade_id=3, cause="restart"))
    feed.take(diff(12, 12))
    feed.take(diff(14, 14))
    feed.take(trade(7))
    feed.take(trade(9))
    feed.market.all_closed()
    feed.take(diff(20, 20))
    feed.take(trade(11))
    feed.take(trade(13))
    causes = [event.cause for event in feed.first.events if named(event) in ("DepthMissing", "TradesMissing")]
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
def test_book_built_from_events_equals_the_book_of_the_market(steps):
    """For arbitrary messages; there is no book where the book of the market is invalid."""
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
    applied = [event.number for event in feed.first.events if is_applied(event)]
    arrived = [event.number for event in feed.first.events if named(event) == "DepthArrived"]
    assert applied == sorted(set(applied))
    assert set(applied) <= set(arrived) == set(range(1, len(arrived) + 1))


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 12)), max_size=40))
def test_two_connections_deliver_each_trade_once(sent):
    """Trades are in id order, whichever connection sends them first."""
    feed = Feed()
    for conn in (1, 2):
        feed.market.opened(conn)
    for conn, number in sent:
        feed.take(trade(number), conn)
    feed.market.flush()
    ids = [event.trade.t for event in feed.first.events if named(event) == "TradeArrived"]
    assert ids == sorted(set(ids))
    assert not ids or ids[-1] == max(number for _, number in sent)
    assert "BookResynced" not in feed.first.kinds


@pytest.mark.parametrize("release", ["let_through", "closed", "flush"])
def test_released_updates_are_stamped_at_their_release(release):
    """Their rows are not stamped before rows that were written in the meantime."""
    feed = Feed()
    for conn in (1, 2):
        feed.market.opened(conn)
    for message in (diff(11, 11), diff(14, 14)):
        feed.take(message, 1)
    late_us = feed.us + 5_000_000
    arguments = {"let_through": (1e9, late_us), "closed": (2, late_us), "flush": (late_us,)}[release]
    getattr(feed.market, release)(*arguments)
    (missing,) = (event for event in feed.first.events if named(event) == "DepthMissing")
    assert missing.recv_us == missing.missing.to_us == late_us
    assert feed.first.kinds[-1] == "DepthMissing"


def opened(*conns, last_id=None):
    """Return a lane with these connections open, optionally with a last id."""
    lane = Lane()
    for conn in conns:
        lane.opened(conn)
    if last_id is not None:
        lane.last_id = last_id
    return lane


def take(lane, conn, first, last, now_s=0.0):
    """Take a batch whose item is its id range, or note it if the connection is alone."""
    if lane.alone == conn:
        lane.note(last)
        return [(first, last)]
    return lane.take(conn, first, last, (first, last), now_s)


def test_batches_of_a_single_connection_pass_unchanged():
    """Stale, repeated or non-contiguous batches pass as well: the book state handles them."""
    lane = opened(1)
    batches = [(5, 7), (5, 7), (6, 6), (12, 13)]
    assert [take(lane, 1, *batch) for batch in batches] == [[batch] for batch in batches]
    assert lane.last_id == 13


def test_covered_batches_are_dropped_and_overlapping_ones_pass():
    """Quantities are absolute, so an overlap is harmless."""
    lane = opened(1, 2, last_id=4)
    assert take(lane, 1, 5, 7) == [(5, 7)]
    assert take(lane, 2, 5, 6) == []
    assert take(lane, 2, 7, 9) == [(7, 9)]
    assert take(lane, 1, 8, 9) == []


def test_missing_ids_are_awaited_while_another_connection_may_send_them():
    """The lagging connection sends them."""
    lane = opened(1, 2, last_id=4)
    take(lane, 2, 3, 4)
    assert take(lane, 1, 8, 9) == []
    assert take(lane, 1, 10, 12) == []
    assert take(lane, 2, 5, 7) == [(5, 7), (8, 9), (10, 12)]


def test_hole_is_released_when_all_connections_have_passed_it():
    """Both connections have lost the same ids, so it is a gap."""
    lane = opened(1, 2, last_id=4)
    assert take(lane, 1, 8, 9) == []
    assert take(lane, 2, 8, 10) == [(8, 9), (8, 10)]


def test_held_batches_are_released_after_hold_s():
    """A stalled connection does not block the others for longer."""
    lane = opened(1, 2, last_id=4)
    assert take(lane, 1, 8, 9, now_s=100.0) == []
    assert lane.overdue(100.0 + HOLD_S - 0.01) == []
    assert lane.overdue(100.0 + HOLD_S) == [(8, 9)]
    assert lane.last_id == 9


def test_closed_connection_is_not_awaited():
    """All messages of a closed connection have been received."""
    lane = opened(1, 2, last_id=4)
    assert take(lane, 1, 8, 9) == []
    assert lane.closed(2) == [(8, 9)]
    assert lane.closed(1) == []


def test_last_connection_is_alone_again_once_its_ids_are_contiguous():
    """Until then its batches may overlap with those of the closed connection."""
    lane = opened(1, 2, last_id=4)
    take(lane, 1, 5, 9)
    lane.closed(1)
    assert take(lane, 2, 3, 7) == []
    assert take(lane, 2, 8, 12) == [(8, 12)]
    assert lane.alone is None
    assert take(lane, 2, 13, 14) == [(13, 14)]
    assert lane.alone == 2


def test_reset_ids_pass_and_old_ids_of_other_connections_do_not():
    """The lagging connection still sends old ids; its messages pass again after its own reset."""
    lane = opened(1, 2, last_id=5_000_000)
    take(lane, 1, 5_000_001, 5_000_004)
    take(lane, 2, 5_000_001, 5_000_002)
    assert take(lane, 1, 1, 3) == [(1, 3)]
    assert take(lane, 2, 5_000_003, 5_000_004) == []
    assert take(lane, 1, 4, 5) == [(4, 5)]
    assert take(lane, 2, 1, 4) == []
    assert take(lane, 2, 5, 8) == [(5, 8)]


def test_lagging_connection_is_not_taken_as_an_id_reset():
    """However far it lags, its own ids only rise."""
    lane = opened(1, 2, last_id=100)
    take(lane, 2, 100, 101)
    take(lane, 1, 102, 4_000)
    assert take(lane, 2, 102, 110) == []
    assert lane.last_id == 4_000


def test_successor_has_joined_once_its_first_message_is_delivered():
    """Before that, the old connection must not be closed."""
    lane = opened(1, last_id=None)
    take(lane, 1, 5, 7)
    lane.opened(2)
    assert not lane.joined(2)
    take(lane, 2, 10, 12)
    assert not lane.joined(2)
    take(lane, 1, 8, 9)
    assert lane.joined(2)


@st.composite
def feeds(draw):
    """Draw the batches of two or three connections: each splits the ids 1 to n differently and loses some."""
    last = draw(st.integers(1, 40))
    return [
        [
            batch
            for batch in batches(draw(st.lists(st.integers(1, 6), min_size=last)), last)
            if draw(st.integers(0, 9)) < 8
        ]
        for _ in range(draw(st.integers(2, 3)))
    ]


def batches(sizes, last):
    found, first = [], 1
    for size in sizes:
        if first > last:
            break
        found.append((first, min(first + size - 1, last)))
        first += size
    return found


def ids(messages):
    return {number for first, last in messages for number in range(first, last + 1)}


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(feeds(), st.randoms(use_true_random=False))
def test_several_connections_merge_into_one_complete_ordered_feed(feed, luck):
    """Every id sent by any connection is delivered in order; only ids lost by all connections are missing."""
    lane, out, left = opened(*range(len(feed)), last_id=0), [], [list(batches_of_conn) for batches_of_conn in feed]
    while any(left):
        conn = luck.choice([conn for conn, batches_of_conn in enumerate(left) if batches_of_conn])
        out += take(lane, conn, *left[conn].pop(0))
        if not left[conn] and luck.random() < 0.5:
            out += lane.closed(conn)
    out += lane.rest()
    assert ids(out) == ids(batch for batches_of_conn in feed for batch in batches_of_conn)
    reached = [0, *(last for _, last in out)]
    assert reached == sorted(set(reached))  # each batch has new ids, and ids never decrease
    for (first, _), before in zip(out, reached, strict=False):
        assert not set(range(before + 1, first)) & ids(batch for batches_of_conn in feed for batch in batches_of_conn)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(feeds(), st.randoms(use_true_random=False), st.floats(0, 3))
def test_merged_feed_stays_complete_with_a_running_clock(feed, luck, pace_s):
    """Batches are never repeated, never held for longer than HOLD_S, and never lost, even if they are late."""
    lane, out, left, now_s = (
        opened(*range(len(feed)), last_id=0),
        [],
        [list(batches_of_conn) for batches_of_conn in feed],
        0.0,
    )
    while any(left):
        conn = luck.choice([conn for conn, batches_of_conn in enumerate(left) if batches_of_conn])
        now_s += luck.random() * pace_s
        out += take(lane, conn, *left[conn].pop(0), now_s)
        out += lane.overdue(now_s)
    out += lane.overdue(now_s + HOLD_S)
    assert lane.rest() == []
    delivered = set()
    for batch in out:
        assert ids([batch]) - delivered, "each batch has new ids"
        delivered |= ids([batch])
    assert delivered == ids(batch for batches_of_conn in feed for batch in batches_of_conn)


def test_updates_and_trades_do_not_wait_for_each_other():
    """Both have separate ids; released messages keep their arrival time."""
    arbiter = Arbiter()
    update, printed, first = (decoder()[0].received(json.dumps(one)) for one in (diff(8, 9), trade(3), diff(4, 5)))
    arbiter.opened(1)
    assert (arbiter.alone(1, first), arbiter.alone(1, first)) == (True, False)
    arbiter.opened(2)
    assert arbiter.alone(1, update) is None
    assert arbiter.take(70, 1, update, 0.0) == []
    assert arbiter.take(71, 1, printed, 0.0) == [(71, printed)]
    assert arbiter.overdue(HOLD_S) == [(70, update)]
    assert arbiter.closed(1) == []
    assert arbiter.open
    assert arbiter.closed(2) == []
    assert not arbiter.open


def test_update_that_the_others_skipped_is_passed_on_after_contradictory_ids():
    """It arrives on a connection that lags."""
    lane = opened(1, 2, last_id=10)
    assert take(lane, 1, 13, 20) == []
    assert lane.overdue(HOLD_S) == [(13, 20)]
    assert lane.start_again() == []
    assert take(lane, 1, 18, 30) == [(18, 30)]
    assert take(lane, 2, 11, 19) == [(11, 19)]
    assert take(lane, 2, 20, 25) == []
