"""The market streams without a socket: content, time and receiver of messages."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listeners import DEPTH, SLOW, Listener, book_of, market, one_order, play, rebuilt, subscribe

from exchange_double import INSTRUMENT, START_US
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.stream_requests import read_stream
from plain_matching import PlainMatching


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 999))
def test_depth_batches_are_contiguous_and_rebuild_the_book(seed, phase_ms):
    """U is the previous u plus one, and the absolute quantities give the book of the log, at every u."""
    chunks = market(seed)
    rows = [row for _, chunk in chunks for row in chunk]
    feed, fast, slow = StreamFeed(INSTRUMENT, START_US), Listener(phase_ms), Listener(phase_ms)
    subscribe(feed, fast, DEPTH)
    subscribe(feed, slow, SLOW)
    play(feed, chunks)
    for listener, interval_ms in ((fast, 100), (slow, 1_000)):
        events = listener.events()
        assert events[0]["U"] == 1
        assert events[-1]["u"] == feed.update_id
        assert all((event["E"] - phase_ms) % interval_ms == 0 for event in events)
        for count in (1, len(events) // 2, len(events)):
            if count:
                assert rebuilt(events[:count]) == book_of(rows, INSTRUMENT, events[count - 1]["u"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 119), max_size=20, unique=True))
@example(seed=61894, cuts=[])  # an order at the very instant at which a batch ends
def test_messages_are_independent_of_row_chunks(seed, cuts):
    """A late scheduler gives the same as a punctual one."""
    chunks = market(seed)
    received = []
    for ends in (range(120), sorted({*cuts, 119})):
        feed, listener = StreamFeed(INSTRUMENT, START_US), Listener(437)
        subscribe(
            feed, listener, DEPTH, SLOW, "simusdt@trade", "simusdt@aggTrade", "simusdt@bookTicker", "simusdt@depth5"
        )
        joined, waiting = [], []
        for at, (us, rows) in enumerate(chunks):
            waiting += rows
            if at in ends:
                joined.append((us, waiting))
                waiting = []
        play(feed, joined)
        received.append([message.payload(combined=True) for message in listener.got])
    assert received[0] == received[1]


def test_batch_contains_changes_before_its_end():
    """A change at the instant of the message is in the next one; best prices precede the depth that contains them."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, DEPTH, "simusdt@bookTicker")
    for us in (99_999, 100_000, 100_001):
        one_order(feed, matching, START_US + us, 1, 10_000, 5)
    feed.advance(START_US + 200_000)
    assert [(m.kind, m.first_id, m.last_id) for m in listener.got] == [
        ("bookTicker", 1, 1),
        ("depth", 1, 1),
        ("bookTicker", 2, 2),
        ("bookTicker", 3, 3),
        ("depth", 2, 3),
    ]


def test_batch_boundaries_differ_between_phases():
    """Two connections of one exchange receive different U and u, as in reality, and the same book."""
    chunks = market(7)
    feed, listeners = StreamFeed(INSTRUMENT, START_US), [Listener(phase) for phase in (0, 37, 74)]
    for listener in listeners:
        subscribe(feed, listener, DEPTH)
    play(feed, chunks)
    borders = [{(event["U"], event["u"]) for event in listener.events()} for listener in listeners]
    assert borders[0] != borders[1] != borders[2] != borders[0]
    assert rebuilt(listeners[0].events()) == rebuilt(listeners[1].events()) == rebuilt(listeners[2].events())


def test_connections_of_one_phase_share_messages():
    """A message is serialized once for all receivers."""
    feed, matching = StreamFeed(INSTRUMENT, START_US), PlainMatching()
    one, other, micro = Listener(), Listener(), Listener(micro=True)
    for listener in (one, other, micro):
        subscribe(feed, listener, DEPTH, "simusdt@trade")
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 100_000)
    assert [id(m) for m in one.got] == [id(m) for m in other.got]
    assert [m.raw for m in one.got] != [m.raw for m in micro.got]


def test_empty_batch_is_not_sent():
    """It has no ids; the next batch continues after the last one."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, DEPTH)
    one_order(feed, matching, START_US + 1, 1, 10_000, 5)
    feed.advance(START_US + 3_600_000_000)
    one_order(feed, matching, START_US + 3_600_000_001, 1, 10_000, 5)
    feed.advance(START_US + 3_600_200_000)
    assert [(e["U"], e["u"], e["E"]) for e in listener.events()] == [
        (1, 1, START_US // 1_000 + 100),
        (2, 2, START_US // 1_000 + 3_600_100),
    ]


def test_late_subscriber_gets_contiguous_events():
    """A subscriber in the middle of a batch gets all of it, or nothing of it, and no gap afterwards."""
    chunks = market(3)
    feed, early, late = StreamFeed(INSTRUMENT, START_US), Listener(11), Listener(11)
    subscribe(feed, early, DEPTH)
    play_half = len(chunks) // 2
    for us, rows in chunks[:play_half]:
        feed.take(rows)
        feed.advance(us)
    subscribe(feed, late, DEPTH)
    play(feed, chunks[play_half:])
    assert late.events() == early.events()[-len(late.events()) :]
    assert len(late.events()) > 5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 119), max_size=12))
def test_slow_client_gets_joined_batches(seed, switches):
    """Conflated events are contiguous and give the same book; they are not more."""
    chunks = market(seed)
    feed, slow, quick = StreamFeed(INSTRUMENT, START_US), Listener(), Listener()
    subscribe(feed, slow, DEPTH)
    subscribe(feed, quick, DEPTH)
    for at, (us, rows) in enumerate(chunks):
        slow.slow ^= at in switches
        feed.take(rows)
        feed.advance(us)
    slow.slow = False
    feed.advance(chunks[-1][0] + 1_000_000)
    assert rebuilt(slow.events()) == rebuilt(quick.events())
    assert slow.events()[0]["U"] == quick.events()[0]["U"] == 1
    assert slow.events()[-1]["u"] == quick.events()[-1]["u"]
    assert len(slow.got) <= len(quick.got)


def test_slow_client_gets_newest_best_prices_later():
    """Old best prices are worthless; the latest are sent as soon as possible."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, "simusdt@bookTicker", "simusdt@depth5@100ms")
    listener.slow = True
    for ticks in (10_000, 10_001, 10_002):
        one_order(feed, matching, START_US, 1, ticks, 5)
    feed.advance(START_US + 150_000)
    assert not listener.got
    listener.slow = False
    feed.advance(START_US + 200_000)
    assert [message.kind for message in listener.got] == ["partial", "bookTicker"]
    assert {message.last_id for message in listener.got} == {3}


@pytest.mark.parametrize("kind", ["trade", "aggTrade", "bookTicker", "depth@100ms", "depth5@100ms"])
def test_unsubscribed_client_receives_nothing(kind):
    """Unsubscribing takes effect at once, and other clients are not affected."""
    feed, matching, left, subscribed = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener(), Listener()
    for listener in (left, subscribed):
        subscribe(feed, listener, f"simusdt@{kind}")
    feed.unsubscribe(left, read_stream(f"simusdt@{kind}"))
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 100_000)
    assert not left.got
    assert len(subscribed.got) >= 1


def test_unsubscribing_one_depth_speed_keeps_the_other():
    """They are two streams, also where a phase was changed after the subscription."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, DEPTH, SLOW)
    listener.phase_ms = 50
    feed.unsubscribe(listener, read_stream(DEPTH))
    one_order(feed, matching, START_US, 1, 10_000, 5)
    feed.advance(START_US + 1_000_000)
    assert [message.stream for message in listener.got] == [SLOW]


def test_streams_of_other_symbols_send_nothing():
    """They are acknowledged, and no event is sent."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, "btcusdt@trade", "btcusdt@depth@100ms", "simusdt@kline_1m", "SIMUSDT@trade")
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 2_000_000)
    feed.unsubscribe(listener, read_stream("btcusdt@trade"))
    assert not listener.got
