"""The texts of stream events, byte for byte."""

import json

import pytest
from listeners import DEPTH, Listener, market, one_order, play, subscribe

from exchange_double import INSTRUMENT, START_US
from mm.sim.wire.feed import StreamFeed
from plain_matching import PlainMatching


class TestExactTexts:
    """Fields, their order and their types are the exchange's, byte for byte."""

    @pytest.fixture
    def texts(self):
        """The messages of each stream about two asks taken by one buyer, 37 µs into a ms."""
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

    def test_trade(self, texts):
        """No order ids; E and T; M is always there."""
        assert texts["trade"] == [
            '{"e":"trade","E":1767600000050,"s":"SIMUSDT","t":1,"p":"100.01000000","q":"2.00000000",'
            '"T":1767600000050,"m":false,"M":true}',
            '{"e":"trade","E":1767600000050,"s":"SIMUSDT","t":2,"p":"100.01000000","q":"0.10000000",'
            '"T":1767600000050,"m":false,"M":true}',
        ]

    def test_agg_trade(self, texts):
        """One taker order at one price is one aggregate."""
        assert texts["aggTrade"] == [
            '{"e":"aggTrade","E":1767600000050,"s":"SIMUSDT","a":1,"p":"100.01000000","q":"2.10000000",'
            '"f":1,"l":2,"T":1767600000050,"m":false,"M":true}'
        ]

    def test_book_ticker(self, texts):
        """No event type and no stamp; one for each order that changes the best price or its quantity, whole."""
        assert texts["bookTicker"][0] == (
            '{"u":1,"s":"SIMUSDT","b":"0.00000000","B":"0.00000000","a":"100.01000000","A":"2.00000000"}'
        )
        assert [json.loads(text)["u"] for text in texts["bookTicker"]] == [1, 2, 5]

    def test_depth(self, texts):
        """Absolute quantities of all changed levels, with the ids of the changes."""
        assert texts["depth"] == [
            '{"e":"depthUpdate","E":1767600001000,"s":"SIMUSDT","U":1,"u":5,"b":[],'
            '"a":[["100.01000000","0.40000000"],["100.03000000","0.01000000"]]}'
        ]

    def test_partial_depth(self, texts):
        """A book without stamp and symbol."""
        assert texts["partial"] == [
            '{"lastUpdateId":5,"bids":[],"asks":[["100.01000000","0.40000000"],["100.03000000","0.01000000"]]}'
        ]

    def test_microseconds(self):
        """The same instants in µs."""
        feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener(micro=True)
        subscribe(feed, listener, "simusdt@trade", DEPTH)
        one_order(feed, matching, START_US + 37, -1, 10_001, 5)
        one_order(feed, matching, START_US + 99, 1, 10_001, 5)
        feed.advance(START_US + 200_000)
        assert [event["E"] for event in listener.events()] == [START_US + 99, START_US + 100_000]

    def test_combined_event_has_stream_name_first(self):
        """Combined connections distinguish their streams by it."""
        feed, matching, listener = StreamFeed(INSTRUMENT, START_US), PlainMatching(), Listener()
        subscribe(feed, listener, DEPTH)
        one_order(feed, matching, START_US, 1, 10_000, 5)
        feed.advance(START_US + 100_000)
        (message,) = listener.got
        assert message.payload(combined=True) == b'{"stream":"simusdt@depth@100ms","data":' + message.raw + b"}"
        assert message.frame(combined=True).endswith(message.payload(combined=True))
        assert message.frame(combined=False).endswith(message.raw)


def test_no_event_contains_a_float():
    """A float would lose digits; every price and quantity is text."""
    feed, listener = StreamFeed(INSTRUMENT, START_US), Listener()
    subscribe(feed, listener, DEPTH, "simusdt@trade", "simusdt@aggTrade", "simusdt@bookTicker", "simusdt@depth20@100ms")
    play(feed, market(5))

    def refuse(text):
        raise AssertionError(text)

    for message in listener.got:
        json.loads(message.raw, parse_float=refuse)
