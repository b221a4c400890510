"""Takers, amendments, orders by hand, latencies and filters on hand-calculated tapes, for oracle and engine.

The book is that of oracle_lab.py: bids 5 at 99 and 7 at 98, asks 5 at 101 and 7 at 103.
"""

from dataclasses import replace

import numpy as np
import pytest

from mm import Quotes
from mm.backtest.journal import KINDS, REJECT_REASONS
from mm.backtest.latency import Latencies
from mm.instrument import E8, Filters
from oracle_lab import SNAPSHOT, TWINS, fills, order_rows, player, reason_rows, tape_of, until


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def bid(ticks, lots, kind):
    return {1000: Quotes(ticks, None, lots, None, kind), 1001: None}


def final_states(played):
    """Return the final status and the remaining lots of each order."""
    return {row[1]: (status, row[7]) for row, (_, _, _, status) in zip(played.orders, order_rows(played), strict=True)}


# Order kinds and taking


@pytest.mark.parametrize(
    ("kind", "ticks", "lots", "taken", "end"),
    [
        ("LIMIT_MAKER", 101, 3, [], ("REJECTED", 3)),
        ("LIMIT", 101, 3, [(101, 3)], ("FILLED", 0)),
        ("LIMIT", 102, 8, [(101, 5)], ("LIVE", 3)),
        ("LIMIT", 100, 8, [], ("SENT", 8)),  # rests without a row
        ("IOC", 102, 8, [(101, 5)], ("EXPIRED", 3)),
        ("IOC", 100, 8, [], ("EXPIRED", 8)),
        ("IOC", 103, 8, [(101, 5), (103, 3)], ("FILLED", 0)),
        ("FOK", 102, 8, [], ("EXPIRED", 8)),
        ("FOK", 103, 12, [(101, 5), (103, 7)], ("FILLED", 0)),
        ("FOK", 103, 13, [], ("EXPIRED", 13)),
        ("MARKET", 1, 8, [(101, 5), (103, 3)], ("FILLED", 0)),
        ("MARKET", 1, 20, [(101, 5), (103, 7)], ("EXPIRED", 8)),
    ],
)
def test_order_kinds_take_liquidity_by_their_rules(play, kind, ticks, lots, taken, end):
    """Orders take level by level, at each level's price, up to their limit."""
    played = play(bid(ticks, lots, kind), SNAPSHOT, until(1020))
    assert [(row[3], row[4]) for row in played.fills] == taken
    assert {row[6] for row in played.fills} <= {"taker:book"}
    assert final_states(played) == {1: end}


@pytest.mark.parametrize(
    ("order", "prints", "taken"),
    [
        (("MARKET", 1, 8), [(101, 5)], [(103, 7)]),
        (("MARKET", 1, 8), [(101, 3)], [(101, 2), (103, 6)]),
        (("MARKET", 1, 8), [(102, 1)], [(103, 7)]),  # beyond 101, where nothing is left
        (("MARKET", 1, 8), [(101, 2), (103, 4)], [(103, 3)]),
        (("IOC", 103, 8), [(101, 4), (101, 4)], [(103, 7)]),
        (("FOK", 103, 9), [(101, 4)], []),
        (("FOK", 103, 8), [(101, 4)], [(101, 1), (103, 7)]),
        (("LIMIT", 102, 8), [(101, 5)], []),
        (("LIMIT", 102, 8), [(101, 1)], [(101, 4)]),
    ],
)
@pytest.mark.parametrize("shown", [False, True])
def test_a_taker_gets_what_prints_left_since_the_last_book(play, order, prints, taken, shown):
    """Five lots at 101 and seven at 103; a book event after the prints has its own lots, and restores them here."""
    kind, ticks, lots = order
    plan = {1000: None, 1100: Quotes(ticks, None, lots, None, kind), 1101: None}
    events = [(1020, "trade", 1, *one) for one in prints]
    events += [(1020, "trade", -1, 99, 4), *[(1030, "depth", [(98, 8)], [])] * shown]  # a seller takes from the bids
    played = play(plan, SNAPSHOT, *events, until(1150))
    found = [(row[3], row[4]) for row in played.fills if row[6] == "taker:book"]
    whole = {"MARKET": [(101, 5), (103, 3)], "IOC": [(101, 5), (103, 3)], "LIMIT": [(101, 5)]}
    whole["FOK"] = [(101, 5), (103, lots - 5)]
    assert found == (whole[kind] if shown else taken)


def test_a_market_order_is_valued_at_what_prints_left(play):
    """Cash of 510 pays five lots at 101; after a print took these, five at 103 cost 515."""
    plan = {1000: None, 1100: Quotes(1, None, 5, None, "MARKET"), 1101: None}
    gone = (1020, "trade", 1, 101, 5)
    for events, lots in (((), [(101, 5)]), ((gone,), [])):
        played = play(plan, SNAPSHOT, *events, until(1150), start_cash_e8=510 * 10**8, maker_fee_e8=0, taker_fee_e8=0)
        assert [row[3:5] for row in map(tuple, played.fills)] == lots
        assert [REJECT_REASONS[row[12]] for row in played.orders if row[12]] == ["insufficient_cash"] * (not lots)


def test_taken_lots_pay_taker_fee_and_resting_lots_maker_fee(play):
    """505 at 0.2 %, then 204 at 0.1 %."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT")}
    played = play(plan, SNAPSHOT, (1020, "trade", -1, 102, 2), taker_fee_e8=200_000)
    assert [row[3:7] for row in played.fills] == [
        (101, 5, 101_000_000, "taker:book"),
        (102, 2, 20_400_000, "trade_cross:trade"),
    ]


def test_market_order_rows_have_price_zero(play):
    """Fills have the prices of the levels."""
    played = play({1000: Quotes(None, 97.2, None, 9, ask_kind="MARKET"), 1001: None}, SNAPSHOT, until(1020))
    assert {row[5] for row in played.orders} == {0}
    assert fills(played) == [(1010, 1, -1, 99, 5), (1010, 1, -1, 98, 4)]


def test_market_order_is_not_replaced_when_quote_price_changes(play):
    """The order is in transit for 150 µs; the other price quoted at 1100 does not replace it."""
    plan = {1000: Quotes(90, None, 2, None, "MARKET"), 1100: Quotes(95, None, 2, None, "MARKET"), 1101: None}
    assert final_states(play(plan, SNAPSHOT, until(1180), order_latency_us=150)) == {1: ("FILLED", 0)}


def test_quote_of_another_kind_replaces_order(play):
    plan = {1000: Quotes(98, None), 1100: Quotes(98, None, None, None, "LIMIT")}
    played = play(plan, SNAPSHOT, until(1150))
    assert reason_rows(played)[0] == (1100, 1, "CANCEL_REQ", "quote_moved")


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        ((1015, "depth", [(97, 1)], []), [5, 5]),
        ((1015, "trade", 1, 101, 4), [5]),
        ((1015, "snapshot", [(99, 5)], [(101, 2)]), [5, 2]),
    ],
)
def test_taken_liquidity_is_restored_by_next_book_event(play, event, taken):
    """Two of our orders take five lots each at 101; the second one arrives at 1020."""
    hands = [(1000, "place", 1, 101, 5, "IOC"), (1010, "place", 1, 101, 5, "IOC")]
    assert [row[4] for row in play({}, SNAPSHOT, event, until(1030), manual=hands).fills] == taken


def test_taker_is_matched_before_market_events_of_its_instant(play):
    """The ask at 101 is removed at 1010, when the order arrives, but is still taken."""
    played = play(bid(101, 3, "IOC"), SNAPSHOT, (1010, "depth", [], [(101, 0)]))
    assert fills(played) == [(1010, 1, 1, 101, 3)]


def test_cancel_in_transit_cancels_remainder_of_taker(play):
    """The order takes at 1150, and its remainder is cancelled at the same instant."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT"), 1100: None}
    played = play(plan, SNAPSHOT, until(1180), order_latency_us=150)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1150, 1, "FILL", "CANCELLING"),
        (1150, 1, "CANCEL_ACK", "CANCELLED"),
    ]


@pytest.mark.parametrize(("cash_e8", "reason"), [(506_010_000_00, ""), (506_009_999_99, "insufficient_cash")])
def test_possible_taker_locks_the_larger_fee(play, cash_e8, reason):
    """5 lots at 101 are 505, plus 1.01 at the taker rate of 0.2 %."""
    played = play(bid(101, 5, "LIMIT"), SNAPSHOT, start_cash_e8=cash_e8, taker_fee_e8=200_000)
    assert [row[3] for row in reason_rows(played)] == [reason] * bool(reason)


@pytest.mark.parametrize(("cash_e8", "reason"), [(608 * E8, ""), (608 * E8 - 1, "insufficient_cash")])
def test_market_buy_locks_its_cost_in_the_current_book(play, cash_e8, reason):
    """5 lots at 101 and one at 103, without a fee."""
    played = play(bid(1, 6, "MARKET"), SNAPSHOT, start_cash_e8=cash_e8, maker_fee_e8=0, taker_fee_e8=0)
    assert [row[3] for row in reason_rows(played)] == [reason] * bool(reason)


def test_view_most_and_least_lots_include_open_orders(play):
    """Ten lots per side count while in transit or resting, and under cancel until the cancel takes effect."""
    plan = {1000: Quotes(98, 102), 1200: Quotes(97, 102)}
    played = play(plan, SNAPSHOT, until(1300), cancel_latency_us=150)
    assert [(view.us, view.most_lots, view.least_lots) for view in played.views] == [
        (1000, 100, 100),
        (1100, 110, 90),
        (1200, 110, 90),
        (1300, 120, 90),
    ]


# By hand


def test_orders_by_hand_are_independent_of_the_quote_model(play):
    """The model withdraws its own order at 1100; the order by hand stays."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1120, "trade", -1, 97, 30), manual=[(1050, "place", 1, 98, 4, "LIMIT_MAKER")])
    assert played.results == [2]
    assert fills(played) == [(1120, 2, 1, 98, 4)]


def test_cancel_by_hand_is_sent_once(play):
    hands = [(1000, "place", 1, 98, 4, "LIMIT_MAKER"), (1020, "cancel", 1), (1021, "cancel", 1), (1050, "cancel", 9)]
    played = play({}, SNAPSHOT, until(1100), manual=hands)
    assert played.results == [1, 1, 0, 0]
    assert reason_rows(played) == [(1020, 1, "CANCEL_REQ", "asked"), (1025, 1, "CANCEL_ACK", "asked")]


def test_action_by_hand_is_processed_last_in_its_instant(play):
    """An order sent at 1000 without latency misses the trade of 1000 and fills with that of 1001."""
    sale = (1000, "trade", -1, 98, 4)
    hands = [(1000, "place", 1, 98, 9, "LIMIT_MAKER")]
    played = play({}, SNAPSHOT, sale, (1001, "trade", -1, 98, 3), manual=hands, order_latency_us=0)
    assert fills(played) == [(1001, 1, 1, 98, 3)]


def test_every_unsendable_order_by_hand_leaves_a_skip_row(play):
    """A quote model would leave one row per stretch of equal reasons."""
    hands = [(1000, "place", 1, 0, 4, "LIMIT"), (1000, "place", 1, 0, 4, "LIMIT"), (1000, "place", 1, 98, 0, "IOC")]
    played = play({}, SNAPSHOT, manual=hands)
    assert played.results == [0, 0, 0]
    assert [row[3] for row in reason_rows(played)] == ["price_not_positive"] * 2 + ["quantity_below_step"]


@pytest.mark.parametrize("kind", KINDS)
def test_order_arriving_without_a_book_is_rejected(play, kind):
    played = play({}, SNAPSHOT, (1005, "gap"), until(1020), manual=[(1000, "place", 1, 98, 4, kind)])
    assert reason_rows(played) == [(1010, 1, "REJECT", "book_invalid")]


# Amending


def test_amendment_has_the_latency_of_an_order(play):
    """Of ten lots three fill at 1020; the amendment to six takes effect at 1025, so three are left at 1030."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1015, "amend", 1, 6)]
    sales = [(1020, "trade", -1, 98, 3), (1030, "trade", -1, 98, 9)]
    played = play({}, SNAPSHOT, *sales, manual=hands)
    assert played.results == [1, 1]
    assert [row[4] for row in played.fills] == [3, 3]
    assert played.orders[2] == (1025, 1, 8, 1, 1, 98, 6, 3, 1010, -1, -1, -1, 0, 0)


@pytest.mark.parametrize(("sold", "left"), [(5, [5, 1]), (6, [6, 4]), (7, [7, 3])])
def test_amendment_overtaken_by_fills_has_no_effect(play, sold, left):
    """Amending ten lots to six has no effect if six or more have filled by then."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1015, "amend", 1, 6)]
    sales = [(1020, "trade", -1, 98, sold), (1030, "trade", -1, 98, 9)]
    assert [row[4] for row in play({}, SNAPSHOT, *sales, manual=hands).fills] == left


@pytest.mark.parametrize(("lots", "answer"), [(0, 0), (10, 0), (11, 0), (5, 0), (4, 1), (8, 1)])
def test_invalid_amendments_are_not_sent(play, lots, answer):
    """The new quantity must be whole steps of two, above the filled and below the current quantity."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1030, "amend", 1, lots), (1031, "amend", 1, 2)]
    played = play({}, SNAPSHOT, (1020, "trade", -1, 98, 1), until(1100), manual=hands, step_lots=2)
    assert played.results[1:] == [answer, 1 - answer]  # one at a time


def test_amendment_is_processed_before_cancel_of_same_instant(play):
    """Both take effect at 1105 on an order that arrived at 1100."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1005, "amend", 1, 2), (1010, "cancel", 1)]
    played = play({}, SNAPSHOT, until(1110), manual=hands, order_latency_us=100, cancel_latency_us=95)
    assert order_rows(played)[2:] == [(1105, 1, "AMEND", "CANCELLING"), (1105, 1, "CANCEL_ACK", "CANCELLED")]
    assert [row[7] for row in played.orders] == [10, 10, 2, 2]


def test_amendment_is_processed_before_expiry_of_same_instant(play):
    """Requested at 1010, it takes effect at 1110, when the order that arrived at 1100 reaches its TTL of 10 µs."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1010, "amend", 1, 2)]
    played = play({}, SNAPSHOT, until(1120), manual=hands, order_latency_us=100, ttl_us=10)
    assert order_rows(played)[1:] == [(1110, 1, "AMEND", "LIVE"), (1110, 1, "EXPIRE", "EXPIRED")]
    assert [row[7] for row in played.orders] == [10, 2, 2]


# Quotes that get smaller at the same price

REDUCED = {1000: Quotes(98, None, 10), 1100: Quotes(98, None, 6)}


def amendments(played):
    """Return the amendments as (us, id, lots, remaining lots)."""
    rows = zip(played.orders, order_rows(played), strict=True)
    return [(row[0], row[1], row[6], row[7]) for row, order_row in rows if order_row[2] == "AMEND"]


def test_smaller_quote_amends_the_order(play):
    """Requested at 1100 and effective at 1110: the order is kept without a cancel."""
    played = play(REDUCED, SNAPSHOT, until(1300), order_amend=True)
    assert order_rows(played) == [(1000, 1, "PLACE", "SENT"), (1110, 1, "AMEND", "LIVE")]
    assert amendments(played) == [(1110, 1, 6, 6)]


def test_smaller_quote_keeps_order_without_order_amend(play):
    assert order_rows(play(REDUCED, SNAPSHOT, until(1300))) == [(1000, 1, "PLACE", "SENT")]


def test_amended_quantity_includes_lots_already_filled(play):
    """Three of ten lots fill at 1050: to leave six of the remaining seven, the order is amended to nine."""
    played = play(REDUCED, SNAPSHOT, (1050, "trade", -1, 98, 3), until(1300), order_amend=True)
    assert amendments(played) == [(1110, 1, 9, 6)]


@pytest.mark.parametrize(("lots", "sold"), [(10, 0), (12, 0), (7, 3), (8, 3)])
def test_quote_not_below_remaining_lots_keeps_the_order(play, lots, sold):
    plan = {1000: Quotes(98, None, 10), 1100: Quotes(98, None, lots)}
    trades = [(1050, "trade", -1, 98, sold)] if sold else []
    assert amendments(play(plan, SNAPSHOT, *trades, until(1300), order_amend=True)) == []


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({"step_lots": 4}, [4]),
        ({"min_notional_e8": 6 * 98 * E8}, [6]),
        ({"min_notional_e8": 6 * 98 * E8 + 1}, []),
        ({"filters": Filters(min_qty_e8=6 * E8)}, [6]),
        ({"filters": Filters(min_qty_e8=7 * E8)}, []),
        ({"filters": Filters(amend_allowed=False)}, []),
        ({"quote_levels": 2}, [6, 6]),
    ],
)
def test_amendments_respect_steps_and_exchange_filters(play, rules, left):
    """Amendments are in whole steps and within the filters; otherwise the order is kept unchanged."""
    step = rules.get("step_lots", 1)
    plan = {us: replace(quotes, bid_lots=quotes.bid_lots / step) for us, quotes in REDUCED.items()}
    played = play(plan, SNAPSHOT, until(1300), order_amend=True, **rules)
    assert [row[3] for row in amendments(played)] == left
    assert "CANCEL_REQ" not in [row[2] for row in order_rows(played)]


@pytest.mark.parametrize(("most", "left"), [(0, [8, 6, 4]), (2, [8, 6]), (1, [8])])
def test_amendments_per_order_are_limited(play, most, left):
    """MAX_NUM_ORDER_AMENDS; 0 is no limit."""
    plan = {us: Quotes(98, None, lots) for us, lots in ((1000, 10), (1100, 8), (1200, 6), (1300, 4))}
    played = play(plan, SNAPSHOT, until(1500), order_amend=True, filters=Filters(max_amends=most))
    assert [row[3] for row in amendments(played)] == left


def test_order_in_transit_is_amended_only_when_resting(play):
    """The order arrives at 1150: the requote of 1200 amends it, that of 1100 cannot."""
    played = play(REDUCED, SNAPSHOT, until(1500), order_amend=True, order_latency_us=150)
    assert amendments(played) == [(1350, 1, 6, 6)]


def test_order_in_transit_is_amended_once_to_latest_quote(play):
    """The order arrives at 1150; one amendment, to three lots, takes effect at 1350."""
    plan = REDUCED | {1200: Quotes(98, None, 3)}
    played = play(plan, SNAPSHOT, until(1600), order_amend=True, order_latency_us=150, manual=[])
    assert amendments(played) == [(1350, 1, 3, 3)]


def test_amendment_waits_for_the_one_in_transit(play):
    """That of 1200 takes effect at 1350; the quote of 1300 is amended at the first requote after it."""
    plan = {1000: Quotes(98, None, 10), 1200: Quotes(98, None, 8), 1300: Quotes(98, None, 6)}
    played = play(plan, SNAPSHOT, until(1700), order_amend=True, order_latency_us=150)
    assert amendments(played) == [(1350, 1, 8, 8), (1550, 1, 6, 6)]


def test_order_due_for_refresh_is_replaced_not_amended(play):
    """`refresh_us` gives up the place in the queue."""
    played = play(REDUCED, SNAPSHOT, until(1150), order_amend=True, refresh_us=100)
    assert [(row[2], row[1]) for row in order_rows(played)][:3] == [("PLACE", 1), ("CANCEL_REQ", 1), ("PLACE", 2)]


def test_orders_by_hand_are_not_amended_by_quotes(play):
    plan = {1000: Quotes(97, None, 2)}
    played = play(plan, SNAPSHOT, until(1300), order_amend=True, manual=[(1005, "place", 1, 97, 5, "LIMIT_MAKER")])
    assert amendments(played) == []


# Quotes whose order moves

MOVED = {1000: Quotes(98, None, 10), 1100: Quotes(97, None, 10)}
MODIFIES = {"order_modify": True, "enforce_balances": False}


def test_moved_quote_moves_its_order_by_one_request(play):
    """Requested at 1100, effective at 1110: until then the order trades at its old price, then at the new one."""
    sales = [(1105, "trade", -1, 98, 3), (1120, "trade", -1, 98, 9), (1130, "trade", -1, 97, 9)]
    played = play(MOVED, SNAPSHOT, *sales, until(1150), **MODIFIES)
    assert order_rows(played)[:3] == [(1000, 1, "PLACE", "SENT"), (1105, 1, "FILL", "LIVE"), (1110, 1, "AMEND", "LIVE")]
    assert played.orders[2][5:8] == (97, 10, 7)
    assert [(row[0], row[3], row[4]) for row in played.fills] == [(1105, 98, 3), (1130, 97, 7)]


def test_moved_order_has_the_quoted_lots_left_whatever_was_filled(play):
    """Three of ten are filled before the request: it asks for thirteen in all."""
    played = play(MOVED, SNAPSHOT, (1050, "trade", -1, 98, 3), until(1150), **MODIFIES)
    assert [row[5:8] for row in played.orders][-1] == (97, 13, 10)


def test_order_filled_before_its_amendment_arrives_ends_there(play):
    played = play(MOVED, SNAPSHOT, (1105, "trade", -1, 98, 10), until(1150), **MODIFIES)
    assert [row[2] for row in order_rows(played)] == ["PLACE", "FILL", "CLOSE_FILLED"]


def test_fills_in_transit_that_reach_the_new_quantity_end_the_order(play):
    """It is to have four lots in all, and five have filled when the request arrives."""
    plan = MOVED | {1100: Quotes(97, None, 4)}
    played = play(plan, SNAPSHOT, (1105, "trade", -1, 98, 5), until(1115), requote_on_fill=False, **MODIFIES)
    assert order_rows(played)[-1] == (1110, 1, "CANCEL_ACK", "CANCELLED")


def test_order_that_would_take_at_its_new_price_ends(play):
    """And that price is not tried again while the touch stands."""
    plan = {1000: Quotes(98, None, 10), 1100: Quotes(102, None, 10), 1200: Quotes(102, None, 10)}
    played = play(plan, SNAPSHOT, until(1250), **MODIFIES)
    assert (1110, 1, "AMEND", "would_cross") in reason_rows(played)
    assert (1110, 1, "CANCEL_ACK", "CANCELLED") in order_rows(played)
    assert "price_rejected" in [row[3] for row in reason_rows(played)]


def test_refused_amendment_leaves_the_order_where_it_is(play):
    """By a filter of the price; the next quote elsewhere cancels it and sends another."""
    plan = MOVED | {1200: Quotes(99, None, 10)}
    played = play(plan, SNAPSHOT, until(1250), filters=Filters(min_price_e8=98 * E8), **MODIFIES)
    assert reason_rows(played)[0] == (1110, 1, "AMEND", "price_out_of_band")
    assert [row[:3] for row in order_rows(played)][2:4] == [(1200, 1, "CANCEL_REQ"), (1200, 2, "PLACE")]


def test_order_that_is_moving_is_replaced_if_the_quote_moves_on(play):
    """The request of 1100 arrives at 1190; the quote of 1150 does not wait for that."""
    plan = MOVED | {1150: Quotes(96, None, 10)}
    rules = MODIFIES | {"order_latency_us": 90, "cancel_latency_us": 90, "requote_us": 50}
    rows = order_rows(play(plan, SNAPSHOT, until(1260), **rules))
    assert [row[:3] for row in rows] == [
        (1000, 1, "PLACE"),
        (1150, 1, "CANCEL_REQ"),
        (1150, 2, "PLACE"),
        (1190, 1, "AMEND"),
        (1240, 1, "CANCEL_ACK"),
    ]


# Measured latencies


def ms(*us):
    return np.array(us) / 1000


def test_latencies_are_drawn_from_rows_of_the_file(play):
    """The file has one row: 20 µs for orders, 3 µs for cancels."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, until(1200), latencies=Latencies.of(ms(20), ms(3)))
    assert played.orders[-1][8:12] == (1020, -1, 1100, 1103)


@pytest.mark.parametrize(("rate", "arrives_us"), [(1.0, 1005), (0.5, 1050), (2.0, 1005)])
def test_latency_rows_of_equal_rates_are_chosen_at_window_edge(play, rate, arrives_us):
    """With one event in the last second, the first two of eleven equal rates apply, or the last two if lower."""
    file = Latencies.of(ms(5, 5, *[20] * 7, 50, 50), None, np.full(11, rate))
    played = play({1000: Quotes(98, None)}, SNAPSHOT, until(1060), latencies=file)
    assert played.orders[0][8] == arrives_us


@pytest.mark.parametrize(("trade_us", "arrives_us"), [(1000, 1_001_005), (1001, 1_001_050)])
def test_event_rate_excludes_events_one_second_old(play, trade_us, arrives_us):
    """At 1_001_000 the snapshot of 1000 is excluded, and so is the trade if it is of the same instant."""
    file = Latencies.of(ms(5, 50), None, np.array([0.0, 1.0]))
    plan, trade = {1_001_000: Quotes(98, None)}, (trade_us, "trade", 1, 90, 1)
    played = play(plan, SNAPSHOT, trade, until(1_001_100), latencies=file, requote_us=1_000_000)
    assert played.orders[0][8] == arrives_us


def test_amendments_can_overtake_each_other(play):
    """With draws of 60 µs for order 1 and 1 µs for order 2; only orders and cancels keep their sequence."""
    file = Latencies.of(ms(1, 60), ms(1, 60))
    hands = [(1000, "place", 1, 98, 4, "LIMIT_MAKER"), (1000, "place", 1, 97, 4, "LIMIT_MAKER")]
    hands += [(1100, "amend", 1, 2), (1100, "amend", 2, 3)]
    found = []
    for seed in range(12):
        played = play({}, SNAPSHOT, until(1300), manual=hands, latencies=file, latency_seed=seed)
        found.append([(row[0], row[1]) for row in played.orders if row[2] == 8])
        placed = [row[8] for row in played.orders if row[2] == 0]
        assert placed == sorted(placed)
    assert [(1101, 2), (1160, 1)] in found


# Filters


@pytest.mark.parametrize(
    ("filters", "order", "reason"),
    [
        ({"min_price_e8": 98 * E8}, (97, 4), "price_out_of_band"),
        ({"min_price_e8": 98 * E8}, (98, 4), ""),
        ({"max_price_e8": 97 * E8}, (98, 4), "price_out_of_band"),
        ({"min_qty_e8": 5 * E8}, (98, 4), "quantity_out_of_range"),
        ({"max_qty_e8": 4 * E8}, (98, 4), ""),
        ({"max_qty_e8": 3 * E8}, (98, 4), "quantity_out_of_range"),
        ({"max_notional_e8": 391 * E8}, (98, 4), "max_notional"),
        ({"max_notional_e8": 392 * E8}, (98, 4), ""),
        ({"bid_down_e8": 98 * E8 // 100}, (98, 4), ""),  # relative to the trade at 100
        ({"bid_down_e8": 98 * E8 // 100 + 1}, (98, 4), "price_out_of_band"),
        ({"ask_down_e8": 2 * E8}, (98, 4), ""),
        ({"bid_up_e8": 97 * E8 // 100}, (98, 4), "price_out_of_band"),
    ],
)
def test_exchange_filters_reject_price_and_size(play, filters, order, reason):
    """Sizes are checked before sending and prices on arrival; bounds are inclusive."""
    hands = [(1005, "place", 1, *order, "LIMIT_MAKER")]
    played = play({}, SNAPSHOT, (1004, "trade", 1, 100, 1), until(1030), manual=hands, filters=Filters(**filters))
    assert [row[3] for row in reason_rows(played)] == [reason] * bool(reason)


def test_average_price_restarts_with_each_tape(play):
    """The first tape's trades are at 100 and 110; until the second tape has a trade, only the last of them counts."""
    first = tape_of(SNAPSHOT, (1010, "trade", 1, 100, 1), (1020, "trade", 1, 110, 1))
    second = tape_of((1030, *SNAPSHOT[1:]), until(1100))
    filters = Filters(bid_down_e8=90 * E8 // 100, average_mins=1)
    hands = [(1015, "place", 1, 97, 1, "LIMIT_MAKER"), (1040, "place", 1, 98, 1, "LIMIT_MAKER")]
    played = play({}, tapes=[first, second], manual=hands, filters=filters, order_latency_us=0)
    assert [row for row in reason_rows(played) if row[2] == "REJECT"] == [(1040, 1, "REJECT", "price_out_of_band")]
