"""Filters, each tested at its edges."""

import pytest

from exchange_rig import ALICE, BOB, BUY, INSTRUMENT, SELL, START_US, Desk
from mm.errors import UsageError
from mm.instrument import E8, Instrument
from mm.sim.exchange.accounts import with_assets
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.rules import SymbolRules

RULES = SymbolRules(instrument=INSTRUMENT, reference_ticks=10_000)


def error_message(action: object, *arguments: object, **options: object) -> str:
    """Call *action* and return the exchange's error message, empty if there is none."""
    try:
        action(*arguments, **options)  # type: ignore[operator]
    except ApiError as error:
        return f"{error.code} {error.msg}"
    return ""


@pytest.mark.parametrize(
    ("price_e8", "message"),
    [
        (100 * E8, ""),
        (1_000_000, ""),
        (1_000_000 * E8, ""),
        (1_000_000 * E8 + 1_000_000, "-1013 Filter failure: PRICE_FILTER"),
        (100 * E8 + 1, "-1013 Filter failure: PRICE_FILTER"),
        (999_999, "-1013 Filter failure: PRICE_FILTER"),
        (0, "-1013 Invalid price."),
    ],
)
def test_price_filter(price_e8: int, message: str) -> None:
    """A price is a multiple of tickSize between minPrice and maxPrice."""
    assert error_message(RULES.ticks, price_e8) == message


def test_steps_that_are_coarser_than_those_of_the_market_bind_users() -> None:
    """Prices of 0.05 and quantities of 0.020 where simulated orders have 0.01 and 0.001."""
    rules = RULES.with_filters({"tick": "0.05", "step": "0.02"})
    assert (rules.ticks(100 * E8 + E8 // 20), rules.lots(E8 // 50)) == (10_005, 20)
    assert error_message(rules.ticks, 100 * E8 + E8 // 100) == "-1013 Filter failure: PRICE_FILTER"
    assert error_message(rules.lots, E8 // 50 + E8 // 1_000) == "-1013 Filter failure: LOT_SIZE"


@pytest.mark.parametrize(
    ("qty_e8", "market", "message"),
    [
        (E8, False, ""),
        (100_000, False, ""),
        (99_999, False, "-1013 Filter failure: LOT_SIZE"),
        (100_001, False, "-1013 Filter failure: LOT_SIZE"),
        (1_000_000 * E8, False, ""),
        (1_000_000 * E8 + 100_000, False, "-1013 Filter failure: LOT_SIZE"),
        (0, False, "-1013 Invalid quantity."),
        (500_000 * E8, True, ""),
        (500_000 * E8 + 100_000, True, "-1013 Filter failure: MARKET_LOT_SIZE"),
    ],
)
def test_lot_size(qty_e8: int, market: bool, message: str) -> None:
    """A quantity is a multiple of stepSize between minQty and maxQty; MARKET orders have their own maxQty."""
    assert error_message(RULES.lots, qty_e8, market=market) == message


@pytest.mark.parametrize(
    ("ticks", "failed_filter"), [(2_000, ""), (50_000, ""), (1_999, "PERCENT"), (50_001, "PERCENT")]
)
def test_percent_price_uses_reference_price_before_first_trade(ticks: int, failed_filter: str) -> None:
    """From a fifth to five times 100.00."""
    assert error_message(RULES.check_price, ticks, (10_000, 1)) == (
        failed_filter and "-1013 Filter failure: PERCENT_PRICE_BY_SIDE"
    )


def test_percent_price_uses_five_minute_mean_then_last_price() -> None:
    """1 at 100.00 and 3 at 20.00 have a mean of 40.00: the highest price is 200.00; later the last price counts."""
    desk = Desk(multiplier_up_e8=5 * E8)
    for ticks, lots in ((10_000, 1_000), (2_000, 3_000)):
        desk.limit(BOB, SELL, ticks, lots)
        desk.market(ALICE, BUY, lots)
    assert error_message(desk.limit, ALICE, SELL, 20_001, 1_000) == "-1013 Filter failure: PERCENT_PRICE_BY_SIDE"
    assert error_message(desk.limit, ALICE, SELL, 20_000, 1_000) == ""
    desk.us = START_US + 300_000_000
    assert error_message(desk.limit, ALICE, SELL, 10_001, 1_000) == "-1013 Filter failure: PERCENT_PRICE_BY_SIDE"
    assert error_message(desk.limit, ALICE, SELL, 10_000, 1_000) == ""


def test_notional() -> None:
    """5 USDT at least, 9,000,000 at most."""
    desk = Desk()
    message = "-1013 Filter failure: NOTIONAL"
    assert error_message(desk.limit, ALICE, BUY, 10_000, 49) == message
    assert error_message(desk.limit, ALICE, BUY, 10_000, 50) == ""
    assert error_message(desk.limit, ALICE, BUY, 10_000, 90_000_001) == message


def test_notional_of_market_orders_uses_mean_price() -> None:
    """They have no maximum; an order by quote quantity is checked by that quantity."""
    desk = Desk()
    desk.core.submit(desk.us, 1_000, SELL, 10_000, 10_000)
    message = "-1013 Filter failure: NOTIONAL"
    assert error_message(desk.market, ALICE, BUY, 49) == message
    assert error_message(desk.market, ALICE, BUY, 50) == ""
    assert error_message(desk.market, ALICE, BUY, quote_e8=5 * E8 - 1) == message
    assert error_message(desk.market, ALICE, BUY, quote_e8=5 * E8) == ""


def test_filters_lists_exactly_the_enforced_filters() -> None:
    """The filters tested above, and no other."""
    assert [one["filterType"] for one in RULES.filters()] == [
        "PRICE_FILTER",
        "LOT_SIZE",
        "MARKET_LOT_SIZE",
        "PERCENT_PRICE_BY_SIDE",
        "NOTIONAL",
        "MAX_NUM_ORDERS",
        "MAX_NUM_ORDER_AMENDS",
    ]
    price = RULES.filters()[0]
    assert (price["minPrice"], price["maxPrice"], price["tickSize"]) == ("0.01000000", "1000000.00000000", "0.01000000")


def test_grid_finer_than_eight_places_raises_usage_error() -> None:
    """Amounts have eight places: 0.00001 times 0.0001 of a quote asset is smaller than the last of them."""
    grid = Instrument("SIMUSDT", 1_000, 10_000)
    with pytest.raises(UsageError, match="make tick_size"):
        SymbolRules(instrument=grid, reference_ticks=1)


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [("SIMUSDT", "SIM", "USDT"), ("ETHBTC", "ETH", "BTC"), ("AAABBB", "AAA", "BBB"), ("USDT", "U", "SDT")],
)
def test_assets_are_derived_from_symbol(symbol: str, base: str, quote: str) -> None:
    """Known quote assets first, else the last three letters; the instrument's own names take precedence."""
    named = with_assets(Instrument(symbol, 1, E8))
    assert (named.base_asset, named.quote_asset) == (base, quote)
    assert with_assets(INSTRUMENT) is INSTRUMENT
