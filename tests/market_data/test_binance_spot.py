"""Addresses, weights and limits of Binance Spot, as its documentation has them."""

import pytest

from mm.market_data.binance_spot import BINANCE_SPOT
from mm.market_data.messages import Futures
from mm.market_data.venue import RestRequest, with_symbol


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
def test_futures_are_refused(url):
    """Their update ids follow another rule."""
    BINANCE_SPOT.check_address("wss://stream.binance.com:9443")
    with pytest.raises(Futures, match="host"):
        BINANCE_SPOT.check_address(url)
