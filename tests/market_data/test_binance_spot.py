"""Binance Spot as a venue: its addresses, weights and limits, and its messages as types."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captured import SYMBOL, agg_trade, diff, exchange_info, snapshot, ticker, trade
from mm.errors import MMError, OffGrid
from mm.market_data.binance_spot import BINANCE_SPOT, Messages
from mm.market_data.grid import Grid
from mm.market_data.venue import (
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


def test_the_address_asks_for_both_streams_and_microseconds():
    """Symbols are lower case there, and a name beyond ASCII is quoted."""
    assert BINANCE_SPOT.stream_url("wss://x:9443", "ETHUSDT", "aggTrade") == (
        "wss://x:9443/stream?streams=ethusdt@depth@100ms/ethusdt@aggTrade&timeUnit=MICROSECOND"
    )
    assert "streams=%C3%A4usdt@depth" in BINANCE_SPOT.stream_url("wss://x", "ÄUSDT", "trade")


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1_001, 250), (5_000, 250)]
)
def test_a_snapshot_costs_what_its_levels_cost(limit, weight):
    """The steps of the exchange's table."""
    assert BINANCE_SPOT.depth("AB", limit) == RestRequest(
        "/api/v3/depth", {"symbol": "AB", "limit": str(limit)}, weight
    )


def test_other_requests():
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
def test_the_time_of_an_answer(body, us):
    """In ms or µs; None where it has none."""
    assert BINANCE_SPOT.server_time_us(body) == us


@pytest.mark.parametrize(("text", "used"), [("17", 17), ("", None), ("many", None)])
def test_the_count_of_used_weight(text, used):
    """The header of the last minute."""
    assert BINANCE_SPOT.used_weight({"X-MBX-USED-WEIGHT-1M": text}) == used
    assert BINANCE_SPOT.used_weight({}) is None


def test_the_recorders_of_an_address_stay_below_its_limits():
    """6,000 of weight per minute and 300 attempts to connect in five minutes."""
    limits = BINANCE_SPOT.limits
    assert (limits.weight, limits.weight_window_s) < (6_000, 60.1)
    assert (limits.connections, limits.connections_window_s) < (300, 300.1)


@pytest.mark.parametrize("url", ["wss://fstream.binance.com", "https://dapi.binance.com/x"])
def test_addresses_of_futures_are_refused(url):
    """Their update ids follow another rule."""
    BINANCE_SPOT.check_address("wss://stream.binance.com:9443")
    with pytest.raises(Futures, match="host"):
        BINANCE_SPOT.check_address(url)


KLINE = {"stream": "simusdt@kline_1m", "data": {"e": "kline", "s": SYMBOL, "k": {}}}
PARTIAL = {"stream": "simusdt@depth5@100ms", "data": snapshot(7)}


def received(message):
    return Messages(SYMBOL, Grid()).received(json.dumps(message))


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
def test_streams_come_combined_or_bare(message, kind, bare):
    """A recorder of one stream has no wrapper to keep."""
    assert type(received(message["data"] if bare else message)) is kind


def test_the_texts_of_the_exchange_stay_as_they_came():
    """Not one digit goes through a float."""
    update = received(diff(1, 2, [["1.50000000", "92233720368.54775807"]]))
    assert (update.U, update.u, update.b) == (1, 2, [("1.50000000", "92233720368.54775807")])


def test_rest_answers_are_known_by_their_fields_or_their_address():
    """Only the address names the symbol of a snapshot."""
    messages = Messages(SYMBOL, Grid())
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
def test_what_has_no_place_in_a_day_is_other(message):
    """A partial book is no snapshot: it would leave all but a few levels out."""
    assert isinstance(received(message), Other)


def test_every_symbol_is_counted():
    """An import that finds nothing names what it could have found."""
    messages = Messages(SYMBOL, Grid())
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
def test_futures_are_refused(message, sign):
    """Their ids follow another rule."""
    with pytest.raises(Futures, match=sign):
        received(message)


def test_hosts_of_futures_are_refused():
    """The address shows it before the first message."""
    messages = Messages(SYMBOL, Grid())
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
def test_what_cannot_be_right_is_an_error(text, error):
    """The caller keeps the raw line; nothing of it reaches a book."""
    with pytest.raises(error):
        Messages(SYMBOL, Grid()).received(text)


def test_a_ticker_of_an_empty_side_is_no_error():
    """Price and quantity are zero then."""
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
def test_what_is_known_of_a_stream_changes_nothing_of_what_its_messages_are(name, field, value, outer, outer_value):
    """The second message of a stream is read in one go: it is, or is refused for, what the first one is."""
    payload = {**FRAMED[name], field: value}
    body = {"stream": f"simusdt@{name}", "data": payload}
    text = json.dumps({**body, outer: outer_value} if outer else body, separators=(",", ":")).encode()
    plain = json.dumps({"stream": f"simusdt@{name}", "data": FRAMED[name]}, separators=(",", ":")).encode()

    def outcome(messages):
        try:
            return messages.received(text)
        except (ValueError, MMError, msgspec.MsgspecError) as error:
            return type(error), str(error)

    first, later = Messages("SIMUSDT", Grid()), Messages("SIMUSDT", Grid())
    later.received(plain)
    assert outcome(later) == outcome(first)
