"""The price and quantity grid of a symbol: decimal text, ticks and lots, and the exchangeInfo entry."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.errors import BrokenFile, OffGrid
from mm.instrument import (
    Filters,
    Instrument,
    assets_of,
    decimal_text,
    e8,
    from_exchange_info,
    short_text,
    to_exchange_info,
)

BTCUSDT = Instrument("BTCUSDT", 1_000_000, 1_000, 500_000_000, "BTC", "USDT")


@given(st.integers(0, 10**9))
def test_prices_and_quantities_round_trip_through_text(number):
    """Prices and quantities stay equal when they are written and read again."""
    assert BTCUSDT.ticks(BTCUSDT.price(number)) == number
    assert BTCUSDT.lots(BTCUSDT.qty(number)) == number


@given(st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{0,12})?", fullmatch=True))
def test_decimal_is_parsed_exactly_or_rejected(text):
    """Decimals are never rounded."""
    exact = Fraction(text.rstrip(".")) * 10**8
    if exact.denominator == 1:
        assert e8(text) == exact
    else:
        with pytest.raises(OffGrid, match="more than eight decimal places"):
            e8(text)


@pytest.mark.parametrize(
    "text", ["", ".5", "1e5", "1_000", " 1", "nan", "１", "1.0.0", "--1", "x.00000000", "1,00000000"]
)
def test_malformed_decimal_is_rejected(text):
    """Python's float() accepts some of these."""
    with pytest.raises(OffGrid, match="is not a plain decimal number"):
        e8(text)


@given(st.integers(-(10**18), 10**18))
def test_formatted_decimal_parses_to_same_value(value):
    """With all decimal places, or without trailing zeros."""
    assert e8(decimal_text(value)) == e8(short_text(value)) == value


def test_off_grid_error_suggests_tick_and_step_options():
    """The wrong value may be the tick size or the price."""
    with pytest.raises(OffGrid, match=r"BTCUSDT: price 1\.005 is not a multiple of tick size 0\.01; set tick_size"):
        BTCUSDT.ticks("1.005")
    with pytest.raises(OffGrid, match=r"quantity 0\.000001 is not a multiple of step 0\.00001; set qty_step"):
        BTCUSDT.lots("0.000001")


@pytest.mark.parametrize("wrong", [{"tick_e8": 0}, {"lot_e8": -1}, {"min_notional_e8": -1}])
def test_instrument_rejects_nonpositive_steps(wrong):
    """Other code divides by the steps."""
    with pytest.raises(OffGrid, match="must be positive"):
        Instrument(**{"symbol": "A", "tick_e8": 1, "lot_e8": 1, **wrong})


def test_instrument_round_trips_through_exchange_info():
    """``instrument.json`` has the exchange's own format."""
    assert from_exchange_info(json.loads(to_exchange_info(BTCUSDT)), "here") == BTCUSDT


def test_exchange_info_filters_are_parsed():
    """A minimum quantity of one step adds no constraint to the grid."""
    entry = json.loads(to_exchange_info(BTCUSDT))
    entry["filters"][0] |= {"minPrice": "0.01", "maxPrice": "1000"}
    entry["filters"] += [
        {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]
    entry["amendAllowed"] = False
    found = from_exchange_info(entry, "here").filters
    assert found == Filters(
        min_price_e8=e8("0.01"),
        max_price_e8=e8("1000"),
        bid_up_e8=e8("5"),
        bid_down_e8=e8("0.2"),
        ask_up_e8=e8("5"),
        ask_down_e8=e8("0.2"),
        average_mins=5,
        max_amends=10,
        amend_allowed=False,
    )


@pytest.mark.parametrize("entry", [{}, {"filters": None}, {"symbol": "A", "filters": [{}]}, []])
def test_invalid_exchange_info_error_names_file(entry):
    """The error contains the name of the file."""
    with pytest.raises(BrokenFile, match=r"there\.json: not an exchangeInfo entry with PRICE_FILTER and LOT_SIZE"):
        from_exchange_info(entry, "there.json")


@pytest.mark.parametrize(
    ("symbol", "assets"),
    [("BTCUSDT", ("BTC", "USDT")), ("ETHBTC", ("ETH", "BTC")), ("USDT", ("", "")), ("XYZ", ("", ""))],
)
def test_assets_are_split_from_known_quote_suffix(symbol, assets):
    """Reports show the quote asset, such as USDT."""
    assert assets_of(symbol) == assets
