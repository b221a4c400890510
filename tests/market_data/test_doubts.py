"""Ids far away: a single one is refused without loss; a second one reports a gap or a reset, and both are kept."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captured import NOON_US, decoder, diff, snapshot, trade
from mm.market_data.doubts import AGAIN_MS, DOUBT_S, FAR_IDS
from mm.market_data.market_state import MarketState, PreviousRun

FAR = 70_000_000
"""First id of these tests, large enough that jumps are not taken for an id reset."""
NEAR = FAR + 40_000


class Feed:
    """A market and its events; a message arrives every 100 ms."""

    def __init__(self, *conns, **options):
        self.events, self.us, self.now_s = [], NOON_US, 100.0
        self.messages, grid = decoder()
        self.market = MarketState(grid, (self.events.append,), top_n=3, **options)
        for conn in conns:
            self.market.opened(conn)

    def take(self, message, conn):
        self.us, self.now_s = self.us + 100_000, self.now_s + 0.1
        raw = json.dumps(message).encode()
        decoded = self.messages.received(raw)
        if hasattr(decoded, "lastUpdateId"):
            return self.market.snapshot(self.us, decoded)
        return self.market.take(self.us, decoded, conn, self.now_s, raw)

    def of(self, kind):
        return [event for event in self.events if type(event).__name__ == kind]

    @property
    def trades(self):
        return [event.trade.t for event in self.of("TradeArrived")]

    @property
    def updates(self):
        return [(event.update.U, event.update.u) for event in self.of("DepthArrived")]

    @property
    def refused(self):
        return [json.loads(event.raw)["data"] for event in self.of("MessageRefused")]


@pytest.mark.parametrize("gaps", [(3, 3), (1, 900, 2), (5, 1, 5, 1, 5)])
def test_each_gap_of_trades_is_told_as_the_first_was(gaps):
    """Whatever was missing before: nothing is refused, no reset is seen, each missing id is named once."""
    feed, number = Feed(1), FAR
    missing = []
    for lost in (*gaps, 0):
        for _ in range(3):
            feed.take(trade(number), 1)
            number += 1
        missing += [(number, number + lost - 1)] if lost else []
        number += lost
    assert feed.refused == []
    assert [event.kind for event in feed.of("Anomaly")] == []
    assert [(gap.missing.first_id, gap.missing.last_id) for gap in feed.of("TradesMissing")] == missing


@pytest.mark.parametrize("conns", [(1,), (1, 2)])
@pytest.mark.parametrize("ahead", [FAR_IDS + 1, 40_000, 999_999, 10**15, -FAR, -2_000_000])
def test_single_trade_far_away_is_refused_without_loss(conns, ahead):
    """Over one or two connections: every other trade arrives, and none is late, missing or repeated."""
    feed = Feed(*conns)
    for number in range(FAR, FAR + 6):
        for conn in conns:
            feed.take(trade(number), conn)
        if number == FAR + 2:
            feed.take(trade(number + 1 + ahead), conns[-1])
    assert feed.trades == list(range(FAR, FAR + 6))
    assert [message["t"] for message in feed.refused] == [FAR + 3 + ahead]
    assert not feed.of("TradesMissing") + feed.of("TradeRepeated") + feed.of("Anomaly")


@pytest.mark.parametrize("conns", [(1,), (1, 2)])
@pytest.mark.parametrize("ahead", [FAR_IDS + 1, 40_000, 999_999, 10**15, -FAR, -2_000_000])
def test_single_update_far_away_is_refused_without_loss(conns, ahead):
    """There is no resync: the book continues."""
    feed = Feed(*conns)
    for number in range(FAR, FAR + 8):
        for conn in conns:
            feed.take(diff(number, number), conn)
        if number == FAR + 2:
            feed.take(snapshot(FAR + 1), None)
            feed.take(diff(number + 1 + ahead, number + 2 + ahead), conns[-1])
    assert feed.market.book_id == FAR + 7
    assert sorted(set(feed.updates)) == [(number, number) for number in range(FAR, FAR + 8)]
    assert [message["U"] for message in feed.refused] == [FAR + 3 + ahead]
    assert not feed.of("DepthMissing") + feed.of("BookLost") + feed.of("Anomaly")


@pytest.mark.parametrize("conns", [(1,), (1, 2)])
def test_second_message_far_back_confirms_a_reset(conns):
    """Both messages are kept, on every connection, and the old ids do not return."""
    feed = Feed(*conns)
    for number in (FAR, FAR + 1, 1, 2, 3):
        for conn in conns:
            feed.take(trade(number), conn)
    assert feed.trades == [FAR, FAR + 1, 1, 2, 3]
    assert [event.kind for event in feed.of("Anomaly")] == ["id_reset"]
    assert not feed.of("TradesMissing") + feed.refused


LATER = NOON_US // 1000 + AGAIN_MS


def again(kind, number, later_ms=0):
    return kind(*([number, number] if kind is diff else [number]), E=LATER + later_ms)


@pytest.mark.parametrize(("kind", "last_id"), [(diff, FAR + 5), (trade, FAR + 5), (trade, 3 * FAR)])
@pytest.mark.parametrize("conns", [(1,), (1, 2)])
def test_known_ids_on_a_new_connection_later_are_ids_given_again(kind, last_id, conns):
    """Both messages that show it are not rows; nothing else is taken until the ids are forgotten."""
    feed = Feed(*conns)
    for number in sorted({*range(FAR, FAR + 5), last_id - 1, last_id}):
        for conn in conns:
            feed.take(again(kind, number, -AGAIN_MS), conn)
    for conn in conns:
        feed.market.closed(conn)
        feed.market.opened(conn + 2)
    for number in (FAR + 2, FAR + 3, FAR + 9):
        assert not feed.market.ids_again
        before = feed.updates + feed.trades
        feed.take(again(kind, number), 3)
        if feed.market.ids_again:
            break
    assert number == FAR + 3
    feed.take(again(kind, FAR + 9), 3)
    assert feed.updates + feed.trades == before
    assert [event.kind for event in feed.of("Anomaly")] == ["ids_again"]
    feed.market.forget_ids()
    feed.take(again(kind, FAR + 4), 3)
    assert (feed.updates + feed.trades)[len(before) :] in ([FAR + 4], [(FAR + 4, FAR + 4)])
    assert [event.kind for event in feed.of("Anomaly")] == ["ids_again"]


@pytest.mark.parametrize("kind", [diff, trade])
@pytest.mark.parametrize("spoiled", ["time", "connection", "advanced", "single", "twice the same"])
def test_other_known_ids_are_no_ids_given_again(kind, spoiled):
    feed = Feed(1)
    for number in range(FAR, FAR + 6):
        feed.take(again(kind, number, -AGAIN_MS), 1)
    if spoiled != "connection":
        feed.market.closed(1)
        feed.market.opened(2)
    conn = 1 if spoiled == "connection" else 2
    if spoiled == "advanced":
        feed.take(again(kind, FAR + 6, -1), conn)
    numbers = {"single": [FAR + 2, FAR + 6], "twice the same": [FAR + 2, FAR + 2]}.get(spoiled, [FAR + 2, FAR + 3])
    for number in numbers:
        feed.take(again(kind, number, -1 if spoiled == "time" else 0), conn)
    assert not feed.market.ids_again
    feed.take(again(kind, FAR + 7, 100), conn)
    assert (feed.updates + feed.trades)[-1] in (FAR + 7, (FAR + 7, FAR + 7))


def test_trade_far_ahead_during_a_handover_is_refused_without_loss():
    """The trade comes on the old connection, which receives nothing more; the new one continues."""
    feed = Feed(1)
    for number in (FAR, FAR + 1):
        feed.take(trade(number), 1)
    feed.market.opened(2)
    feed.take(trade(NEAR), 1)
    feed.market.closed(1)
    for number in (FAR + 2, FAR + 3):
        feed.take(trade(number), 2)
    assert feed.trades == [FAR, FAR + 1, FAR + 2, FAR + 3]
    assert [message["t"] for message in feed.refused] == [NEAR]


def test_second_id_far_ahead_reports_a_gap_and_both_keep_their_stamps():
    """For updates and for trades."""
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
    assert [event.recv_us - NOON_US for event in feed.of("DepthArrived")] == [100_000, 300_000, 500_000]
    assert [event.recv_us - NOON_US for event in feed.of("TradeArrived")] == [200_000, 400_000, 600_000]
    (updates,), (trades,) = feed.of("DepthMissing"), feed.of("TradesMissing")
    assert tuple(updates.missing.ids) == tuple(trades.missing.ids) == (FAR + 1, NEAR - 1)
    assert feed.refused == []


def test_two_ids_far_ahead_and_far_apart_confirm_nothing():
    feed = Feed(1)
    for number in (FAR, NEAR, NEAR + 2 * FAR_IDS, FAR + 1):
        feed.take(trade(number), 1)
    assert (feed.trades, feed.of("TradesMissing")) == ([FAR, FAR + 1], [])
    assert [message["t"] for message in feed.refused] == [NEAR, NEAR + 2 * FAR_IDS]


def test_second_id_far_ahead_may_come_from_the_other_connection():
    """Both connections have lost the same ids."""
    feed = Feed(1, 2)
    for conn in (1, 2):
        feed.take(trade(FAR), conn)
    for conn in (1, 2):
        feed.take(trade(NEAR), conn)
    feed.take(trade(NEAR + 1), 2)
    assert feed.trades == [FAR, NEAR, NEAR + 1]
    assert (len(feed.of("TradesMissing")), feed.refused) == (1, [])


def test_repeated_id_far_ahead_is_no_gap():
    """Both copies of the message are refused."""
    feed = Feed(1)
    for number in (FAR, NEAR, NEAR, FAR + 1):
        feed.take(trade(number), 1)
    assert feed.trades == [FAR, FAR + 1]
    assert [message["t"] for message in feed.refused] == [NEAR, NEAR]


def test_id_far_ahead_is_refused_after_silence_and_a_later_one_reports_gap():
    """The refused trade is among the missing ones, which are fetched."""
    feed = Feed(1)
    for number in (FAR, FAR + 1, NEAR):
        feed.take(trade(number), 1)
    feed.market.let_through(feed.now_s + DOUBT_S - 0.01)
    assert feed.refused == []
    feed.market.let_through(feed.now_s + DOUBT_S)
    assert [message["t"] for message in feed.refused] == [NEAR]
    feed.take(trade(NEAR + 1), 1)
    assert feed.trades == [FAR, FAR + 1, NEAR + 1]
    assert tuple(feed.of("TradesMissing")[0].missing.ids) == (FAR + 2, NEAR)


@pytest.mark.parametrize("ends", ["let_through", "closed", "flush"])
def test_first_message_after_an_outage_is_accepted_if_not_contradicted(ends):
    """After an outage a symbol may have missed thousands of trades, on its only connection."""
    feed = Feed(1, before=PreviousRun(trade_id=FAR, cause="restart"))
    feed.take(trade(NEAR), 1)
    assert feed.trades == []
    arguments = {"let_through": (feed.now_s + DOUBT_S,), "closed": (1,), "flush": ()}[ends]
    getattr(feed.market, ends)(*arguments)
    assert feed.trades == [NEAR]
    (missing,) = feed.of("TradesMissing")
    assert (tuple(missing.missing.ids), missing.cause) == ((FAR + 1, NEAR - 1), "restart")


def test_flush_refuses_doubtful_messages():
    """The raw message is reported, so its bytes are not lost."""
    feed = Feed(1)
    for number in (FAR, FAR + 1, NEAR):
        feed.take(trade(number), 1)
    feed.market.flush()
    assert [message["t"] for message in feed.refused] == [NEAR]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 2), st.booleans()), max_size=40),
    st.integers(FAR_IDS + 200, 10**12),
)
def test_every_true_trade_is_kept_despite_ids_far_ahead(steps, ahead):
    """Two connections each send a part of the same trades, with wrong ids among them; compared with a plain set.

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


@pytest.mark.parametrize("ahead", [FAR_IDS + 1, 40_000])
def test_first_update_that_replaces_a_stalled_connection_is_stored_if_nothing_follows(ahead):
    """The stalled connection is still open; the exchange falls silent after one message on the new one."""
    feed = Feed(1)
    feed.take(diff(FAR, FAR + 9), 1)
    feed.market.opened(2)
    feed.take(diff(FAR + 10 + ahead, FAR + 19 + ahead), 2)
    feed.market.let_through(feed.now_s + DOUBT_S)
    feed.market.closed(1)
    assert feed.updates == [(FAR, FAR + 9), (FAR + 10 + ahead, FAR + 19 + ahead)]
    assert [(gap.missing.first_id, gap.missing.last_id) for gap in feed.of("DepthMissing")] == [
        (FAR + 10, FAR + 9 + ahead)
    ]
    assert not feed.refused


def test_first_update_of_a_new_connection_is_refused_if_the_old_one_continues():
    """The feed is then known to be elsewhere."""
    feed = Feed(1)
    feed.take(diff(FAR, FAR + 9), 1)
    feed.market.opened(2)
    feed.take(diff(NEAR, NEAR + 9), 2)
    feed.take(diff(FAR + 10, FAR + 19), 1)
    feed.market.let_through(feed.now_s + DOUBT_S)
    assert feed.updates == [(FAR, FAR + 9), (FAR + 10, FAR + 19)]
    assert [message["U"] for message in feed.refused] == [NEAR]
