"""The market streams without a socket: what is said, when, and to whom."""

import json
import random

import pytest
from exchange_double import INSTRUMENT, START_US
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listeners import Listener, book_of, rebuilt

from mm.sim.matching.order_log import IOC, LIMIT
from mm.sim.wire.feed import StreamFeed
from mm.sim.wire.stream_requests import read_stream
from plain_matching import PlainMatching

DEPTH, SLOW = "simusdt@depth@100ms", "simusdt@depth"


def subscribe(feed, listener, *names):
    for name in names:
        feed.subscribe(listener, read_stream(name))
    return listener


def market(seed, orders=120, most_step_us=60_000):
    """Return chunks of rows, each with the instant of its order, often the same: a busy market in a narrow band."""
    draw, matching, us, chunks = random.Random(seed), PlainMatching(), START_US, []
    for _ in range(orders):
        us += draw.choice((0, draw.randrange(most_step_us)))
        side, kind = draw.choice((1, -1)), draw.choice((LIMIT, LIMIT, IOC))
        matching.submit(us, 1_000, side, 10_000 + draw.randint(-6, 6), draw.randint(1, 9), kind)
        resting = matching.open_orders(1_000)
        if len(resting) > 12:
            matching.cancel(us, draw.choice(resting))
        chunks.append((us, matching.take_log()))
    return chunks


def play(feed, chunks):
    for us, rows in chunks:
        feed.take(rows)
        feed.advance(us)
    feed.advance(chunks[-1][0] + 1_000_000)


def one_order(feed, matching, us, *order):
    matching.submit(us, 1_000, *order)
    feed.take(matching.take_log())


class TestExactTexts:
    """Fields, their order and their types are the exchange's, byte for byte."""

    @pytest.fixture
    def said(self):
        """What each stream says of two asks that one buyer takes, 37 µs into a ms."""
        feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener(micro=False)
        subscribe(
            feed, listener, *(f"simusdt@{kind}" for kind in ("trade", "aggTrade", "bookTicker", "depth", "depth5"))
        )
        for us, *order in (
            (37, -1, 10_001, 2_000),
            (37, -1, 10_001, 500),
            (40, -1, 10_003, 10),
            (50_000, 1, 10_001, 2_100),
        ):
            one_order(feed, matching, START_US + us, *order)
        feed.advance(START_US + 1_000_000)
        return {
            kind: [m.raw.decode() for m in listener.got if m.kind == kind] for kind in {m.kind for m in listener.got}
        }

    def test_trade(self, said):
        """No order ids; E and T; M is always there."""
        assert said["trade"] == [
            '{"e":"trade","E":1767600000050,"s":"SIMUSDT","t":1,"p":"100.01000000","q":"2.00000000",'
            '"T":1767600000050,"m":false,"M":true}',
            '{"e":"trade","E":1767600000050,"s":"SIMUSDT","t":2,"p":"100.01000000","q":"0.10000000",'
            '"T":1767600000050,"m":false,"M":true}',
        ]

    def test_agg_trade(self, said):
        """One taker order at one price is one aggregate."""
        assert said["aggTrade"] == [
            '{"e":"aggTrade","E":1767600000050,"s":"SIMUSDT","a":1,"p":"100.01000000","q":"2.10000000",'
            '"f":1,"l":2,"T":1767600000050,"m":false,"M":true}'
        ]

    def test_book_ticker(self, said):
        """No event type and no stamp; every change of the best price or its quantity, none of the rest of the book."""
        assert said["bookTicker"][0] == (
            '{"u":1,"s":"SIMUSDT","b":"0.00000000","B":"0.00000000","a":"100.01000000","A":"2.00000000"}'
        )
        assert [json.loads(text)["u"] for text in said["bookTicker"]] == [1, 2, 4, 5]

    def test_depth(self, said):
        """Absolute quantities of all levels that changed, under the ids that changed them."""
        assert said["depth"] == [
            '{"e":"depthUpdate","E":1767600001000,"s":"SIMUSDT","U":1,"u":5,"b":[],'
            '"a":[["100.01000000","0.40000000"],["100.03000000","0.01000000"]]}'
        ]

    def test_partial_depth(self, said):
        """A book without stamp and symbol."""
        assert said["partial"] == [
            '{"lastUpdateId":5,"bids":[],"asks":[["100.01000000","0.40000000"],["100.03000000","0.01000000"]]}'
        ]

    def test_microseconds(self):
        """Stamps are the same instants, a thousand times finer."""
        feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener(micro=True)
        subscribe(feed, listener, "simusdt@trade", DEPTH)
        one_order(feed, matching, START_US + 37, -1, 10_001, 5)
        one_order(feed, matching, START_US + 99, 1, 10_001, 5)
        feed.advance(START_US + 200_000)
        assert [event["E"] for event in listener.events()] == [START_US + 99, START_US + 100_000]

    def test_a_wrapped_event_has_its_streams_name_in_front(self):
        """Combined connections tell their streams apart by it."""
        feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
        subscribe(feed, listener, DEPTH)
        one_order(feed, matching, START_US, 1, 10_000, 5)
        feed.advance(START_US + 100_000)
        (message,) = listener.got
        assert message.payload(combined=True) == b'{"stream":"simusdt@depth@100ms","data":' + message.raw + b"}"
        assert message.frame(combined=True).endswith(message.payload(combined=True))
        assert message.frame(combined=False).endswith(message.raw)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 999))
def test_batches_chain_and_rebuild_the_book(seed, phase_ms):
    """U is the u before plus one, and absolute quantities put together are the book of the log, at every u."""
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
def test_how_the_rows_are_cut_makes_no_difference(seed, cuts):
    """A pump that was late tells the same as one that was not."""
    chunks = market(seed)
    heard = []
    for joints in (range(120), sorted({*cuts, 119})):
        feed, listener = StreamFeed(INSTRUMENT, START_US), Listener(437)
        subscribe(
            feed, listener, DEPTH, SLOW, "simusdt@trade", "simusdt@aggTrade", "simusdt@bookTicker", "simusdt@depth5"
        )
        joined, waiting = [], []
        for at, (us, rows) in enumerate(chunks):
            waiting += rows
            if at in joints:
                joined.append((us, waiting))
                waiting = []
        play(feed, joined)
        heard.append([message.payload(combined=True) for message in listener.got])
    assert heard[0] == heard[1]


def test_a_batch_holds_what_changed_before_it_ended():
    """A change at the instant of the message is in the next one; best prices come before the depth that has them."""
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


def test_borders_of_batches_differ_between_phases():
    """Two connections of one exchange see different U and u, as they do in life, and the same book."""
    chunks = market(7)
    feed, listeners = StreamFeed(INSTRUMENT, START_US), [Listener(phase) for phase in (0, 37, 74)]
    for listener in listeners:
        subscribe(feed, listener, DEPTH)
    play(feed, chunks)
    borders = [{(event["U"], event["u"]) for event in listener.events()} for listener in listeners]
    assert borders[0] != borders[1] != borders[2] != borders[0]
    assert rebuilt(listeners[0].events()) == rebuilt(listeners[1].events()) == rebuilt(listeners[2].events())


def test_connections_of_one_phase_share_the_message():
    """It is put into bytes once, however many hear it."""
    feed, matching = StreamFeed(INSTRUMENT, START_US), PlainMatching()
    one, other, micro = Listener(), Listener(), Listener(micro=True)
    for listener in (one, other, micro):
        subscribe(feed, listener, DEPTH, "simusdt@trade")
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 100_000)
    assert [id(m) for m in one.got] == [id(m) for m in other.got]
    assert [m.raw for m in one.got] != [m.raw for m in micro.got]


def test_nothing_happened_nothing_is_sent():
    """An empty batch has no ids to tell; the next one goes on where the last ended."""
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


def test_one_that_joins_late_chains_from_its_first_event():
    """Who subscribes in the middle of a batch gets all of it, or nothing of it, and no hole afterwards."""
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
def test_one_that_is_behind_gets_its_batches_joined(seed, switches):
    """Conflated events chain without a hole and make the same book; they are fewer."""
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


def test_one_that_is_behind_gets_the_newest_best_prices_later():
    """Best prices of the past are worth nothing; the last ones are sent as soon as they can be."""
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
def test_who_has_left_hears_nothing(kind):
    """Unsubscribing holds at once, and the others hear what they heard before."""
    feed, matching, gone, there = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener(), Listener()
    for listener in (gone, there):
        subscribe(feed, listener, f"simusdt@{kind}")
    feed.unsubscribe(gone, read_stream(f"simusdt@{kind}"))
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 100_000)
    assert not gone.got
    assert len(there.got) >= 1


def test_one_speed_of_depth_ends_and_the_other_goes_on():
    """They are two streams, also where a phase was changed after the subscription."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, DEPTH, SLOW)
    listener.phase_ms = 50
    feed.unsubscribe(listener, read_stream(DEPTH))
    one_order(feed, matching, START_US, 1, 10_000, 5)
    feed.advance(START_US + 1_000_000)
    assert [message.stream for message in listener.got] == [SLOW]


def test_streams_of_other_symbols_are_silent():
    """They are acknowledged, and nothing ever comes."""
    feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
    subscribe(feed, listener, "btcusdt@trade", "btcusdt@depth@100ms", "simusdt@kline_1m", "SIMUSDT@trade")
    one_order(feed, matching, START_US, 1, 10_000, 5)
    one_order(feed, matching, START_US, -1, 10_000, 5)
    feed.advance(START_US + 2_000_000)
    feed.unsubscribe(listener, read_stream("btcusdt@trade"))
    assert not listener.got


def test_no_event_holds_a_number_with_a_point():
    """A float would lose digits on its way; every price and quantity is text."""
    feed, listener = StreamFeed(INSTRUMENT, START_US), Listener()
    subscribe(feed, listener, DEPTH, "simusdt@trade", "simusdt@aggTrade", "simusdt@bookTicker", "simusdt@depth20@100ms")
    play(feed, market(5))

    def refuse(text):
        raise AssertionError(text)

    for message in listener.got:
        json.loads(message.raw, parse_float=refuse)
