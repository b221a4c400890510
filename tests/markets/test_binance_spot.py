"""Binance Spot as a venue: addresses, weights, limits, and the types of its messages."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import SYMBOL, agg_trade, decoder, diff, exchange_info, snapshot, ticker, trade
from mm.errors import MMError, OffGrid
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.messages import (
    AggTrade,
    BookTicker,
    Connected,
    DepthSnapshot,
    DepthUpdate,
    ExchangeInfo,
    Futures,
    Other,
    RestRequest,
    TradePrint,
    Unreadable,
    with_symbol,
)


def test_stream_url_contains_both_streams_and_microseconds():
    """Symbols are in lower case, and a name beyond ASCII is quoted."""
    assert BINANCE_SPOT.stream_url("wss://x:9443", "ETHUSDT", "aggTrade") == (
        "wss://x:9443/stream?streams=ethusdt@depth@100ms/ethusdt@aggTrade&timeUnit=MICROSECOND"
    )
    assert "streams=%C3%A4usdt@depth" in BINANCE_SPOT.stream_url("wss://x", "ÄUSDT", "trade")


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1_001, 250), (5_000, 250)]
)
def test_depth_request_weight_depends_on_levels(limit, weight):
    """The limits are the steps of the exchange's table."""
    assert BINANCE_SPOT.depth("AB", limit) == RestRequest(
        "/api/v3/depth", {"symbol": "AB", "limit": str(limit)}, weight
    )


def test_exchange_info_and_time_requests_have_their_weights():
    """Filters and status cost 20, the time costs 1."""
    assert BINANCE_SPOT.exchange_info("AB") == RestRequest("/api/v3/exchangeInfo", {"symbol": "AB"}, 20)
    assert BINANCE_SPOT.time() == RestRequest("/api/v3/time", {}, 1)
    assert with_symbol(RestRequest("/x", {"limit": "1"}, 4), "AB") == RestRequest(
        "/x", {"symbol": "AB", "limit": "1"}, 4
    )


@pytest.mark.parametrize(
    ("body", "us"),
    [
        (b'{"serverTime":1767600000000}', 1_767_600_000_000_000),
        (b'{"serverTime":1767600000000123}', 1_767_600_000_000_123),
        (b"{}", None),
        (b"<html>", None),
    ],
)
def test_server_time_is_read_in_ms_or_us(body, us):
    """None if the body has no time."""
    assert BINANCE_SPOT.server_time_us(body) == us


@pytest.mark.parametrize(("text", "used"), [("17", 17), ("", None), ("many", None)])
def test_used_weight_is_read_from_header(text, used):
    """None if the header has no number or is missing."""
    assert BINANCE_SPOT.used_weight({"X-MBX-USED-WEIGHT-1M": text}) == used
    assert BINANCE_SPOT.used_weight({}) is None


def test_limits_stay_below_those_of_the_exchange():
    """6,000 of weight per minute and 300 attempts to connect in five minutes."""
    limits = BINANCE_SPOT.limits
    assert (limits.weight, limits.weight_window_s) < (6_000, 60.1)
    assert (limits.connections, limits.connections_window_s) < (300, 300.1)


@pytest.mark.parametrize("url", ["wss://fstream.binance.com", "https://dapi.binance.com/x"])
def test_futures_addresses_raise_futures(url):
    """Update ids of futures follow another rule."""
    BINANCE_SPOT.check_address("wss://stream.binance.com:9443")
    with pytest.raises(Futures, match="host"):
        BINANCE_SPOT.check_address(url)


KLINE = {"stream": "simusdt@kline_1m", "data": {"e": "kline", "s": SYMBOL, "k": {}}}
PARTIAL = {"stream": "simusdt@depth5@100ms", "data": snapshot(7)}


def received(message):
    return decoder()[0].received(json.dumps(message))


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (diff(1, 2, [["1.5", "2"]]), DepthUpdate),
        (trade(1), TradePrint),
        (agg_trade(1, 2, 3), AggTrade),
        (ticker(5), BookTicker),
    ],
)
def test_combined_and_bare_messages_decode_to_the_same_types(message, kind, bare):
    """Messages of a single stream have no wrapper."""
    assert type(received(message["data"] if bare else message)) is kind


def test_decoded_levels_keep_the_exchange_texts():
    """No digit goes through a float."""
    update = received(diff(1, 2, [["1.50000000", "92233720368.54775807"]]))
    assert (update.U, update.u, update.b) == (1, 2, [("1.50000000", "92233720368.54775807")])


def test_rest_answers_are_recognized_by_fields_or_url():
    """Only the URL names the symbol of a snapshot."""
    messages = decoder()[0]
    bare = messages.received(json.dumps(snapshot(7)))
    named = messages.answer(f"https://api.binance.com/api/v3/depth?symbol={SYMBOL}&limit=5", json.dumps(snapshot(8)))
    assert (type(bare), bare.symbol) == (DepthSnapshot, None)
    assert (named.lastUpdateId, named.symbol) == (8, SYMBOL)
    info = json.dumps(exchange_info("AAA", SYMBOL))
    for answer in (messages.received(info), messages.answer("https://api.binance.com/api/v3/exchangeInfo", info)):
        assert json.loads(answer.text)["symbol"] == SYMBOL
    assert isinstance(messages.received(json.dumps(exchange_info("AAA"))), Other)
    assert messages.connected("wss://stream.binance.com:9443/stream") == Connected(
        "wss://stream.binance.com:9443/stream"
    )
    assert isinstance(ExchangeInfo("{}"), ExchangeInfo)


@pytest.mark.parametrize(
    "message", [KLINE, PARTIAL, {"result": None, "id": 1}, diff(1, 2, symbol="ABCUSDT"), KLINE["data"]]
)
def test_messages_that_are_not_recorded_decode_to_other(message):
    """A partial book is not a snapshot: it leaves out all but a few levels."""
    assert isinstance(received(message), Other)


def test_decoder_counts_messages_of_every_symbol():
    """An import that finds nothing lists the available symbols."""
    messages = decoder()[0]
    for message in (diff(1, 2), diff(1, 2, symbol="ABCUSDT"), trade(1, symbol="ABCUSDT"), KLINE):
        messages.received(json.dumps(message))
    messages.answer("https://api.binance.com/api/v3/depth?symbol=XYZUSDT", json.dumps(snapshot(1)))
    assert messages.symbols == {SYMBOL: 1, "ABCUSDT": 2, "XYZUSDT": 1}


@pytest.mark.parametrize(
    ("message", "sign"),
    [
        (diff(1, 2)["data"] | {"pu": 0}, "'pu'"),
        (trade(1)["data"] | {"X": "MARKET"}, "'X'"),
        (snapshot(1) | {"E": 1}, "'E'"),
        ({"e": "markPriceUpdate", "s": SYMBOL}, "markPriceUpdate"),
        ({"stream": "simusdt@markPrice@1s", "data": {}}, "markPrice"),
        ({"stream": "simusdt@depth@0ms", "data": {}}, "@0ms"),
        ({"stream": "!forceOrder@arr", "data": {}}, "forceOrder"),
    ],
)
def test_futures_messages_raise_futures(message, sign):
    """Ids of futures follow another rule."""
    with pytest.raises(Futures, match=sign):
        received(message)


def test_futures_hosts_raise_futures():
    """The address is checked before the first message."""
    messages = decoder()[0]
    with pytest.raises(Futures, match=r"fstream\.binance\.com"):
        messages.connected("wss://fstream.binance.com/stream")
    with pytest.raises(Futures, match=r"fapi\.binance\.com"):
        messages.answer("https://fapi.binance.com/fapi/v1/depth?symbol=SIMUSDT", "{}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"stream":"simusdt@depth","data":{"e"', msgspec.DecodeError),
        ("[1, 2]", msgspec.ValidationError),
        (json.dumps(diff(1, 2) | {"stream": "simusdt@trade"}), msgspec.ValidationError),
        (json.dumps(diff(1, 2, [["1.5"]])), msgspec.ValidationError),
        (json.dumps(diff(1, 2, [[1.5, 2]])), msgspec.ValidationError),
        (json.dumps(diff(1, 2, [["1e5", "2"]])), OffGrid),
        (json.dumps(diff(1, 2, [["1.5", "-2"]])), OffGrid),
        (json.dumps(snapshot(1, [["0", "1"]])), OffGrid),
        (json.dumps(trade(1, price="0")), OffGrid),
        (json.dumps(diff(3, 2)), Unreadable),
        (json.dumps(diff(1, 2, E=17)), ValueError),
        (json.dumps(trade(1, E=10**20)), ValueError),
        (json.dumps({"stream": "simusdt@depth", "data": diff(1, 2, symbol="ABCUSDT")["data"]}), Unreadable),
    ],
)
def test_impossible_messages_raise_errors(text, error):
    """The caller keeps the raw line; no part of it reaches a book."""
    with pytest.raises(error):
        decoder()[0].received(text)


def test_ticker_with_an_empty_side_is_accepted():
    """Price and quantity of an empty side are zero."""
    assert isinstance(received(ticker(1, bid=("0.00000000", "0.00000000"))), BookTicker)


STAMP = 1721772000502
UPDATE = {"e": "depthUpdate", "E": STAMP, "s": "SIMUSDT", "U": 1, "u": 2, "b": [["1.0", "2.0"]], "a": []}
PRINT = {"e": "trade", "E": STAMP, "s": "SIMUSDT", "t": 1, "p": "1.0", "q": "2.0", "T": STAMP, "m": True}
FRAMED = {"depth@100ms": UPDATE, "trade": PRINT}


@given(
    st.sampled_from(sorted(FRAMED)),
    st.sampled_from(["s", "E", "u", "p", "q", "b", "T", "x"]),
    st.sampled_from([None, 0, -1, "1.0", "-1", "ÄUSDT", [["1.0", "0.5"]], [["1.0"]], 1721772000502, 10**30]),
    st.sampled_from(["", "e", "stream"]),
    st.sampled_from(["serverShutdown", "simusdt@trade", "btcusdt@trade", 7]),
)
def test_later_messages_of_a_stream_decode_like_the_first(name, field, value, outer, outer_value):
    """The fast path for later messages returns the same message, or raises the same error, as the first one."""
    payload = {**FRAMED[name], field: value}
    body = {"stream": f"simusdt@{name}", "data": payload}
    text = json.dumps({**body, outer: outer_value} if outer else body, separators=(",", ":")).encode()
    plain = json.dumps({"stream": f"simusdt@{name}", "data": FRAMED[name]}, separators=(",", ":")).encode()

    def outcome(messages):
        try:
            return messages.received(text)
        except (ValueError, MMError, msgspec.MsgspecError) as error:
            return type(error), str(error)

    first, later = decoder("SIMUSDT")[0], decoder("SIMUSDT")[0]
    later.received(plain)
    assert outcome(later) == outcome(first)
