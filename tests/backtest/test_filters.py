"""The exchange's price and size filters, from exchangeInfo to a rejection in the journal."""

import json
from dataclasses import replace

import pytest
from fill_lab import ASKS, BEGIN_US, BIDS, TEST, bought, depth, sold

from mm import PaperExchange, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.journal import ACTIONS, REJECT_REASONS
from mm.errors import BrokenFile
from mm.instrument import E8, Filters, from_exchange_info

ENTRY = {
    "symbol": "TESTUSDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00004", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000"},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "4",
            "askMultiplierDown": "0.25",
            "avgPriceMins": 5,
        },
    ],
}


class NoQuotes:
    def quote(self, _view):
        return None


def outcomes(filters, orders, events=()):
    """Return actions and reject reasons of orders placed as (µs, side, ticks, lots[, kind]), without fills."""
    end = (900_000_000, "depth", [(98, 1)], [])
    all_events = [(BEGIN_US, "snapshot", BIDS, ASKS), *((BEGIN_US + us, *rest) for us, *rest in (*events, end))]
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=0, enforce_balances=False, filters=filters)
    exchange = PaperExchange(NoQuotes(), TradeCross(strict=True, penetration_ticks=999), rules)
    exchange.attach(Tape.of(TEST, all_events))
    for us, *order in orders:
        exchange.advance(BEGIN_US + us)
        exchange.place(*order)
    exchange.advance(BEGIN_US + 900_000_000)
    rows = exchange.journal().orders.tolist()
    return [(ACTIONS[row[2]], REJECT_REASONS[row[12]]) for row in rows if ACTIONS[row[2]] != "FILL"]


LIVE = ("PLACE", "")


def test_filters_are_read_from_exchange_info():
    """Prices and quantities in 1e-8, multiples in 1e-8, minutes unchanged."""
    filters = from_exchange_info(ENTRY, "here").filters
    assert filters == Filters(
        min_price_e8=E8 // 100,
        max_price_e8=1000 * E8,
        min_qty_e8=4_000,
        max_qty_e8=9_000 * E8,
        max_notional_e8=9_000_000 * E8,
        bid_up_e8=5 * E8,
        bid_down_e8=E8 // 5,
        ask_up_e8=4 * E8,
        ask_down_e8=E8 // 4,
        average_mins=5,
    )


def test_older_percent_filter_applies_to_both_sides():
    """PERCENT_PRICE has one pair of multiples."""
    entry = json.loads(json.dumps(ENTRY))
    entry["filters"][3] = {
        "filterType": "PERCENT_PRICE",
        "multiplierUp": "2",
        "multiplierDown": "0.5",
        "avgPriceMins": 1,
    }
    filters = from_exchange_info(entry, "here").filters
    assert (filters.bid_up_e8, filters.ask_up_e8, filters.bid_down_e8, filters.ask_down_e8) == (
        2 * E8,
        2 * E8,
        E8 // 2,
        E8 // 2,
    )
    assert filters.average_mins == 1


@pytest.mark.parametrize("value", ["many", None, {}])
def test_invalid_average_minutes_raise_broken_file(value):
    """The message names the file."""
    entry = json.loads(json.dumps(ENTRY))
    entry["filters"][3]["avgPriceMins"] = value
    with pytest.raises(BrokenFile, match="here: not an exchangeInfo entry"):
        from_exchange_info(entry, "here")


def test_price_out_of_limits_is_rejected_on_arrival():
    """0.90 to 1.01: 90 to 101 ticks."""
    filters = Filters(min_price_e8=90 * TEST.tick_e8, max_price_e8=101 * TEST.tick_e8)
    assert outcomes(filters, [(0, 1, 89, 5)]) == [LIVE, ("REJECT", "price_out_of_band")]
    assert outcomes(filters, [(0, 1, 90, 5)]) == [LIVE]
    assert outcomes(filters, [(0, -1, 102, 5)]) == [LIVE, ("REJECT", "price_out_of_band")]


def test_quantity_out_of_limits_is_not_sent():
    """At least 3 lots, at most 8."""
    filters = Filters(min_qty_e8=3 * TEST.lot_e8, max_qty_e8=8 * TEST.lot_e8)
    assert [outcomes(filters, [(0, 1, 99, lots)]) for lots in (2, 3, 8, 9)] == [
        [("SKIP", "quantity_out_of_range")],
        [LIVE],
        [LIVE],
        [("SKIP", "quantity_out_of_range")],
    ]


def test_market_orders_have_limits_of_their_own():
    """MARKET_LOT_SIZE: 2 to 6 lots in steps of 2; a LIMIT order of any size is sent. A step of 0 is none."""
    filters = Filters(market_min_qty_e8=2 * TEST.lot_e8, market_max_qty_e8=6 * TEST.lot_e8)
    stepped = replace(filters, market_step_e8=2 * TEST.lot_e8)
    skipped = [("SKIP", "quantity_out_of_range")]
    for given, refused in ((filters, {1, 7}), (stepped, {1, 3, 5, 7})):
        for lots in range(1, 8):
            assert (outcomes(given, [(0, 1, 0, lots, "MARKET")]) == skipped) == (lots in refused)
            assert outcomes(given, [(0, 1, 90, lots, "LIMIT")]) == [LIVE]


def test_position_and_open_buys_stay_within_the_exchanges_limit():
    """MAX_POSITION of 10 lots: 6 and 4 are sent, one more is not; a sell always is."""
    filters = Filters(max_position_e8=10 * TEST.lot_e8)
    orders = [(0, 1, 90, 6), (0, 1, 91, 4), (0, 1, 92, 1), (0, -1, 120, 50)]
    assert outcomes(filters, orders) == [LIVE, LIVE, ("SKIP", "quantity_out_of_range"), LIVE]


def test_limits_of_the_notional_apply_to_market_orders_as_the_exchange_says():
    """100 ticks x 10 lots at most, which a MARKET buy of ten lots exceeds."""
    unit_e16 = TEST.tick_e8 * TEST.lot_e8
    filters = Filters(max_notional_e8=100 * 10 * unit_e16 // E8, max_to_market=False)
    assert outcomes(filters, [(0, 1, 0, 10, "MARKET")])[0] == LIVE
    assert outcomes(filters, [(0, 1, 100, 11)]) == [("SKIP", "max_notional")]


def test_market_filters_are_read_and_others_are_named():
    """Every filter that may reject an order of ours is applied or named; those of other kinds of orders are neither."""
    more = [
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.0", "maxQty": "107", "stepSize": "0.00000000"},
        {"filterType": "MAX_POSITION", "maxPosition": "40"},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "T_PLUS_SELL"},
    ]
    filters = from_exchange_info({**ENTRY, "filters": ENTRY["filters"] + more}, "here").filters
    assert (filters.market_min_qty_e8, filters.market_max_qty_e8, filters.market_step_e8) == (0, 107 * E8, 0)
    assert (filters.max_position_e8, filters.not_applied) == (40 * E8, "MAX_NUM_ORDERS, T_PLUS_SELL")
    assert (filters.min_to_market, filters.max_to_market) == (True, True)


def test_maximum_below_one_step_allows_no_order():
    """It differs from a missing limit: no quantity of whole lots and no price of whole ticks is small enough."""
    assert outcomes(Filters(max_qty_e8=TEST.lot_e8 - 1), [(0, 1, 99, 1)]) == [("SKIP", "quantity_out_of_range")]
    assert outcomes(Filters(max_price_e8=TEST.tick_e8 - 1), [(0, 1, 99, 1)]) == [LIVE, ("REJECT", "price_out_of_band")]


def test_notional_above_the_maximum_is_not_sent():
    """100 ticks x 10 lots at most; a market order counts with its expected cost."""
    unit_e16 = TEST.tick_e8 * TEST.lot_e8
    filters = Filters(max_notional_e8=100 * 10 * unit_e16 // E8)
    assert outcomes(filters, [(0, 1, 100, 10)]) == [LIVE]
    assert outcomes(filters, [(0, 1, 100, 11)]) == [("SKIP", "max_notional")]
    assert outcomes(filters, [(0, 1, 0, 10, "MARKET")]) == [("SKIP", "max_notional")]


BAND = Filters(bid_up_e8=2 * E8, bid_down_e8=E8 // 2, ask_up_e8=3 * E8, ask_down_e8=E8 // 2, average_mins=1)
# 10 lots at 100 and 30 at 104: the mean is 103.
TRADES = [sold(1_000, 100, 10), bought(2_000, 104, 30)]


@pytest.mark.parametrize(
    ("side", "ticks", "good"),
    [(1, 52, True), (1, 51, False), (-1, 309, True), (-1, 310, False), (-1, 206, True)],
)
def test_price_far_from_mean_of_last_minute_is_rejected(side, ticks, good):
    """Half of 103 is 51.5, three times is 309: each side has its own multiples."""
    expected = [LIVE] if good else [LIVE, ("REJECT", "price_out_of_band")]
    assert outcomes(BAND, [(3_000, side, ticks, 5)], TRADES) == expected


def test_mean_price_drops_trades_older_than_its_minutes():
    """At 61 s only the trade at 104 remains; at 63 s none, and the last trade's price replaces it."""
    late = [(61_000_000 + 1_500, 1, 52, 5), (63_000_000, 1, 52, 5), (63_000_000, 1, 51, 5)]
    assert outcomes(BAND, late[:1], TRADES) == [LIVE]
    assert outcomes(BAND, [(61_000_000, 1, 51, 5)], TRADES)[-1] == ("REJECT", "price_out_of_band")
    assert outcomes(BAND, late[1:2], TRADES) == [LIVE]
    assert outcomes(BAND, late[2:], TRADES)[-1] == ("REJECT", "price_out_of_band")


def test_percent_filter_is_inactive_before_the_first_trade():
    """No order is rejected for it."""
    assert outcomes(BAND, [(0, 1, 3, 5)]) == [LIVE]


def test_average_of_zero_minutes_is_the_last_price():
    """As in exchangeInfo with avgPriceMins 0."""
    last = Filters(bid_down_e8=E8, average_mins=0)
    assert outcomes(last, [(3_000, 1, 103, 5, "LIMIT")], [*TRADES, depth(2_500, asks=[(102, 0), (103, 0)])])[-1] == (
        "REJECT",
        "price_out_of_band",
    )
    assert outcomes(last, [(3_000, 1, 104, 5, "LIMIT")], [*TRADES, depth(2_500, asks=[(102, 0), (103, 0)])]) == [LIVE]


def test_market_order_is_exempt_from_the_price_band():
    """It takes the available quantity, which a book event after the trades restores."""
    events = [*TRADES, depth(2_500, asks=[(102, 9)])]
    assert outcomes(BAND, [(3_000, 1, 0, 5, "MARKET")], events)[-1][0] == "CLOSE_FILLED"


def test_trades_before_a_window_are_excluded_from_the_mean():
    """A window from 40 s on: of 4 lots at 90 before it and 10 at 104 in it only the latter count, also at 70 s."""
    all_events = [(0, "snapshot", BIDS, ASKS), sold(5_000_000, 90, 4), bought(41_000_000, 104, 10), depth(90_000_000)]
    tape = Tape.of(TEST, [(BEGIN_US + us, *rest) for us, *rest in all_events]).between(
        BEGIN_US + 40_000_000, BEGIN_US + 90_000_000
    )
    rules = Rules(TEST.tick_e8, TEST.lot_e8, order_latency_us=0, enforce_balances=False, filters=BAND)
    exchange = PaperExchange(NoQuotes(), TradeCross(strict=True, penetration_ticks=999), rules)
    exchange.attach(tape)
    for us in (42, 70):
        exchange.advance(BEGIN_US + us * 1_000_000)
        exchange.place(1, 51, 5)
        exchange.place(1, 52, 5)
    exchange.advance(tape.end_us)
    rejected = [row[1] for row in exchange.journal().orders.tolist() if ACTIONS[row[2]] == "REJECT"]
    assert rejected == [1, 3]
