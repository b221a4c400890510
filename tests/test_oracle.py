"""Every race and rule of docs/specification/engine.md on hand-calculated tapes, for both the oracle and the engine.

This file covers quoted orders with `trade_cross` and `poisson`; test_oracle_orders.py and test_oracle_models.py cover
the rest. Times and latencies are those of oracle_lab.py.
"""

from dataclasses import replace
from math import exp, isnan, log, sqrt

import pytest

from mm import Quotes
from mm.backtest.journal import CANCEL_REASONS
from mm.tape.tape import TapeMeta
from oracle_fills import unit_exponential
from oracle_lab import ASKS, BIDS, SNAPSHOT, TWINS, fills, order_rows, player, reason_rows, tape_of, until
from oracle_market import mix

ALWAYS = 2**62


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


BID_98 = {1000: Quotes(98, None)}
ASK_102 = {1000: Quotes(None, 102)}


# One instant


def test_order_arriving_at_trade_instant_can_fill(play):
    """At one instant, our messages are processed before market events."""
    played = play(BID_98, SNAPSHOT, (1010, "trade", -1, 98, 4))
    assert fills(played) == [(1010, 1, 1, 98, 4)]


def test_order_arriving_one_microsecond_late_misses_trade(play):
    assert fills(play(BID_98, SNAPSHOT, (1009, "trade", -1, 98, 4), until(1010))) == []


@pytest.mark.parametrize(("trade_us", "filled"), [(1104, [(1104, 1, 1, 98, 4)]), (1105, [])])
def test_order_does_not_fill_at_its_cancel_effective_us(play, trade_us, filled):
    """The cancel is requested at 1100 with 5 µs of latency: a trade 4 µs later still fills, one 5 µs later does not."""
    played = play({1000: Quotes(98, None), 1100: None}, SNAPSHOT, (trade_us, "trade", -1, 98, 4), until(1110))
    assert fills(played) == filled
    assert order_rows(played)[-1] == (1105, 1, "CANCEL_ACK", "CANCELLED")


def test_order_can_expire_while_its_cancel_is_in_transit(play):
    """The cancel requested at 1100 would take effect at 1105, but the order ended at 1103, partly filled."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1102, "trade", -1, 98, 4), until(1120), ttl_us=93)
    assert order_rows(played)[1:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1102, 1, "FILL", "CANCELLING"),
        (1103, 1, "EXPIRE", "EXPIRED"),
    ]
    assert played.orders[-1][7] == 6


@pytest.mark.parametrize(("trade_us", "filled"), [(1049, [(1049, 1, 1, 98, 4)]), (1050, [])])
def test_order_does_not_fill_at_its_expire_us(play, trade_us, filled):
    """The time to live of 40 µs starts with the arrival at 1010."""
    played = play(
        {1000: Quotes(98, None), 1001: None}, SNAPSHOT, (trade_us, "trade", -1, 98, 4), until(1060), ttl_us=40
    )
    assert fills(played) == filled
    assert order_rows(played)[-1] == (1050, 1, "EXPIRE", "EXPIRED")


def test_cancel_is_processed_before_expiry(play):
    """Both are due at 1105: the order is cancelled and does not expire."""
    played = play({1000: Quotes(98, None), 1100: None}, SNAPSHOT, until(1110), ttl_us=95)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1105, 1, "CANCEL_ACK", "CANCELLED"),
    ]


def test_crossing_is_checked_against_book_before_market_events(play):
    """At 1010 the ask moves from 101 to 103; an order at 101 that arrives then crosses, one µs later it does not."""
    moves = (1010, "depth", [], [(101, 0)])
    assert reason_rows(play({1000: Quotes(101, None)}, SNAPSHOT, moves)) == [(1010, 1, "REJECT", "would_cross")]
    late = play({1000: Quotes(101, None)}, SNAPSHOT, moves, until(1020), order_latency_us=11)
    assert reason_rows(late) == []


def test_requote_view_includes_all_events_of_its_instant(play):
    """The view of 1100 contains the book, the trade and the fill of 1100."""
    played = play(
        {1000: Quotes(98, None)},
        SNAPSHOT,
        (1100, "depth", [(99, 6)], []),
        (1100, "trade", -1, 98, 3),
        (1100, "trade", 1, 101, 2),
    )
    view = played.views[-1]
    assert (view.us, view.bid_lots, view.inventory_lots, view.cash) == (1100, 6, 103, 10**6 - 3 * 98 - 0.294)
    assert view.last_trade == (1100, 1, 101, 2, 4)


def test_state_row_is_written_before_requote_of_same_instant(play):
    """The first row counts no orders, although quotes are sent at that instant."""
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, until(2000))
    assert played.state == [(1000, 100, 0, 0, 200, 0), (2000, 100, 0, 0, 200, 2)]


def test_order_without_latency_arrives_after_its_instant(play):
    """An order sent at 1100 misses the trade of 1100 and fills with the next one."""
    plan = {1100: Quotes(98, None)}
    events = (SNAPSHOT, (1100, "trade", -1, 98, 4), (1101, "trade", -1, 98, 3))
    assert fills(play(plan, *events, order_latency_us=0)) == [(1101, 1, 1, 98, 3)]


def test_cancel_without_latency_takes_effect_after_its_instant(play):
    """The trade of 1100 still fills the order cancelled at 1100; the trade of 1101 does not."""
    plan = {1000: Quotes(98, None), 1100: None}
    events = (SNAPSHOT, (1100, "trade", -1, 98, 4), (1101, "trade", -1, 98, 3))
    played = play(plan, *events, order_latency_us=0, cancel_latency_us=0)
    assert fills(played) == [(1100, 1, 1, 98, 4)]
    assert order_rows(played)[-2:] == [(1100, 1, "CANCEL_REQ", "CANCELLING"), (1100, 1, "CANCEL_ACK", "CANCELLED")]


def test_messages_of_one_instant_are_processed_by_order_id(play):
    """At 1110, the cancel of order 1 frees the lots that order 2 needs on arrival at 1110."""
    plan = {1000: Quotes(None, 102), 1100: Quotes(None, 103)}
    played = play(plan, SNAPSHOT, until(1120), start_lots=10, cancel_latency_us=10)
    assert order_rows(played)[-2:] == [(1100, 2, "PLACE", "SENT"), (1110, 1, "CANCEL_ACK", "CANCELLED")]
    later = play(plan, SNAPSHOT, until(1120), start_lots=10, cancel_latency_us=11)
    assert order_rows(later)[-2:] == [(1110, 2, "REJECT", "REJECTED"), (1111, 1, "CANCEL_ACK", "CANCELLED")]


# Start and end


def test_first_snapshot_starts_requote_and_state_grids(play):
    """Earlier trades are played, but there are no requotes and no state rows."""
    played = play({}, until(900), SNAPSHOT, until(1250), state_us=120)
    assert [row[0] for row in played.state] == [1000, 1120, 1240]
    assert [view.us for view in played.views] == [1000, 1100, 1200]
    assert (played.counters["first_us"], played.counters["last_us"]) == (1000, 1250)
    assert (played.counters["events"], played.counters["rows"]) == (3, 6)


def test_events_due_at_end_of_tape_are_processed_and_none_later(play):
    """The tape ends at 1100: the requote and the trade of 1100 are processed, the order sent at 1100 never arrives."""
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, (1100, "trade", -1, 98, 10))
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "FILL", "FILLED"),
        (1100, 1, "CLOSE_FILLED", "FILLED"),
        (1100, 2, "PLACE", "SENT"),
    ]


def test_window_builds_book_from_earlier_events_without_counting(play):
    """Events before 1050 build the book but are not counted; the grids begin at 1050, and the window ends at 1160."""
    early = (1020, "depth", [(99, 0)], []), (1020, "trade", 1, 101, 1)
    tape = tape_of(SNAPSHOT, *early, (1100, "depth", [(97, 3)], []), until(1200))
    played = play({}, tapes=[tape.between(1050, 1160)], state_us=60)
    assert [(view.us, view.bid_ticks, view.last_trade, view.depth) for view in played.views] == [
        (1050, 98, None, [0, 7, 0]),
        (1150, 98, None, [3, 7, 0]),
    ]
    assert played.state == [(1050, 100, 0, 0, 199, 0), (1110, 100, 0, 0, 199, 0)]
    assert played.mids == [(1050, 199)]
    assert [played.counters[name] for name in ("events", "rows", "valid_us")] == [1, 1, 110]


def test_draw_key_is_last_mid_change_even_before_the_window(play):
    """The snapshot of 1000, number 1, last changed the mid, not the start of the window or the trade of 1040."""
    tape = tape_of(SNAPSHOT, until(1040), until(9000))
    wait = int(unit_exponential(0, 1000, 1, 3) / 0.01)
    played = play({1050: Quotes(98, None)}, tapes=[tape.between(1050, 9001)], fills=hazard((0, ALWAYS, 0.01, 1e-12)))
    assert fills(played)[0][:2] == (1060 + wait, 1)


def test_run_without_book_has_no_first_us(play):
    played = play({}, until(1000), until(2000))
    assert [played.counters[name] for name in ("first_us", "last_us", "valid_us", "events")] == [-1, 2000, 0, 2]


def test_window_without_book_starts_at_its_first_snapshot(play):
    tape = tape_of(SNAPSHOT, (1020, "gap"), (1080, "snapshot", BIDS, ASKS), until(1200))
    played = play({}, tapes=[tape.between(1050, 1190)])
    assert played.counters["first_us"] == played.state[0][0] == played.mids[0][0] == 1080


# The book


def test_snapshot_replaces_book_and_depth_updates_prices(play):
    events = (SNAPSHOT, (1050, "depth", [(99, 0), (97, 4)], [(101, 9)]), (1150, "snapshot", [(99, 1)], [(101, 2)]))
    played = play({}, *events, until(1200))
    assert [view.depth for view in played.views] == [[0, 7, 5], [4, 7, 0], [0, 0, 1]]
    assert [(view.bid_ticks, view.bid_lots, view.ask_lots) for view in played.views] == [
        (99, 5, 5),
        (98, 7, 9),
        (99, 1, 2),
    ]


def test_mids_are_written_when_mid2_changes(play):
    """An empty side and a gap give 0; a change of lots gives no row."""
    events = (
        SNAPSHOT,
        (1010, "depth", [(99, 1)], []),
        (1020, "depth", [(99, 0)], []),
        (1030, "depth", [(98, 0)], []),
        (1040, "depth", [(98, 2)], []),
        (1050, "gap"),
        (1060, "snapshot", BIDS, ASKS),
    )
    assert play({}, *events).mids == [(1000, 200), (1020, 199), (1030, 0), (1040, 199), (1050, 0), (1060, 200)]


def test_state_row_uses_last_valid_mid(play):
    played = play({}, SNAPSHOT, (1050, "gap"), until(1150), state_us=100)
    assert [row[4] for row in played.state] == [200, 200]


def test_keyframe_is_ignored_unless_tape_begins_with_it(play):
    tape = tape_of(SNAPSHOT, (1020, "depth", [(99, 0)], []), (1020, "keyframe"), until(1200))
    assert play({}, tapes=[tape]).mids == [(1000, 200), (1020, 199)]
    window = tape.between(1021, 1150)
    assert window.kind.tolist() == [5]
    assert play({}, tapes=[window]).mids == [(1021, 199)]


def test_gap_cancels_resting_orders_and_rejects_arriving_ones(play):
    """Order 1 is LIVE, 2 CANCELLING, 3 in transit when the book breaks at 1204; 4 arrives after the resync at 1320."""
    plan = {1000: Quotes(98, 102), 1200: Quotes(98, 103), 1300: Quotes(97, 103)}
    events = (SNAPSHOT, (1204, "gap"), (1320, "snapshot", BIDS, ASKS), (1500, "gap"))
    played = play(plan, *events, cancel_latency_us=50)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1000, 2, "PLACE", "SENT"),
        (1200, 2, "CANCEL_REQ", "CANCELLING"),
        (1200, 3, "PLACE", "SENT"),
        (1204, 1, "CANCEL_ACK", "CANCELLED"),
        (1204, 2, "CANCEL_ACK", "CANCELLED"),
        (1210, 3, "REJECT", "REJECTED"),
        (1400, 4, "PLACE", "SENT"),
        (1400, 5, "PLACE", "SENT"),
        (1500, 4, "CANCEL_ACK", "CANCELLED"),
        (1500, 5, "CANCEL_ACK", "CANCELLED"),
    ]
    # cancel_req_us, cancel_effective_us and the reason are those of the break, except for the earlier request
    assert [row[10:] for row in played.orders[4:7]] == [(-1, 1204, 0, 4), (1200, 1204, 0, 4), (-1, -1, 5, 0)]


def test_order_in_transit_during_gap_arrives_in_new_book(play):
    played = play(BID_98, SNAPSHOT, (1004, "gap"), (1008, "snapshot", BIDS, ASKS), (1011, "trade", -1, 98, 4))
    assert fills(played) == [(1011, 1, 1, 98, 4)]


# Order lifecycle


@pytest.mark.parametrize(
    ("quotes", "crosses"),
    [(Quotes(101, None), True), (Quotes(100, None), False), (Quotes(None, 99), True), (Quotes(None, 100), False)],
)
def test_post_only_order_at_opposite_best_price_is_rejected(play, quotes, crosses):
    played = play({1000: quotes}, SNAPSHOT, until(1010))
    assert [row[2:] for row in reason_rows(played)] == ([("REJECT", "would_cross")] if crosses else [])


def test_order_does_not_cross_an_empty_side(play):
    played = play({1000: Quotes(150, None)}, SNAPSHOT, (1005, "depth", [], [(101, 0), (103, 0)]), until(1010))
    assert reason_rows(played) == []


def test_cancel_takes_effect_no_earlier_than_order_arrival(play):
    """The cancel requested at 1100 and due at 1105 waits for the arrival of the order at 1250."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 98, 4), until(1300), order_latency_us=250)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1250, 1, "CANCEL_ACK", "CANCELLED"),
    ]
    assert played.orders[1][8:] == (1250, -1, 1100, 1250, 0, CANCEL_REASONS.index("quote_withdrawn"))


def test_order_arriving_shortly_before_its_cancel_can_fill(play):
    """The order rests from 1150 to 1160 with status CANCELLING."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1155, "trade", -1, 98, 4), until(1300), order_latency_us=150, cancel_latency_us=60)
    assert order_rows(played)[2:] == [(1155, 1, "FILL", "CANCELLING"), (1160, 1, "CANCEL_ACK", "CANCELLED")]


def test_cancel_of_rejected_order_leaves_no_row(play):
    plan = {1000: Quotes(101, None), 1100: None}
    played = play(plan, SNAPSHOT, until(1300), order_latency_us=150, cancel_latency_us=60)
    assert order_rows(played)[1:] == [(1100, 1, "CANCEL_REQ", "SENT"), (1150, 1, "REJECT", "REJECTED")]


def test_order_rows_show_the_state_known_at_their_time(play):
    """Of ten lots four fill at 1020 and six at 1103, after a cancel request at 1100; the order would expire at 1510."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1020, "trade", -1, 98, 4), (1103, "trade", -1, 97, 9), ttl_us=500)
    withdrawn = CANCEL_REASONS.index("quote_withdrawn")
    assert played.orders == [
        (1000, 1, 0, 0, 1, 98, 10, 10, 1010, 1510, -1, -1, 0, 0),
        (1020, 1, 3, 1, 1, 98, 10, 6, 1010, 1510, -1, -1, 0, 0),
        (1100, 1, 1, 2, 1, 98, 10, 6, 1010, 1510, 1100, 1105, 0, withdrawn),
        (1103, 1, 3, 4, 1, 98, 10, 0, 1010, 1510, 1100, 1105, 0, withdrawn),
        (1103, 1, 4, 4, 1, 98, 10, 0, 1010, 1510, 1100, 1105, 0, withdrawn),
    ]
    # fees are 0.392 and 0.588
    assert played.fills == [
        (1020, 1, 1, 98, 4, 39_200_000, "trade_cross:trade", 200, 104),
        (1103, 1, 1, 98, 6, 58_800_000, "trade_cross:trade", 200, 110),
    ]
    assert played.state == [
        (1000, 100, 0, 0, 200, 0),
        (1020, 104, -392, 39_200_000, 200, 1),
        (1103, 110, -980, 98_000_000, 200, 0),
    ]


# Requotes


def test_bids_are_floored_and_asks_are_ceiled(play):
    played = play({1000: Quotes(97.9, 102.1)}, SNAPSHOT)
    assert [(row[4], row[5], row[6]) for row in played.orders] == [(1, 97, 10), (-1, 103, 10)]


def test_quote_can_set_its_lots(play):
    played = play({1000: Quotes(97, 102, 3, 4)}, SNAPSHOT)
    assert [row[6] for row in played.orders] == [3, 4]


def test_moved_quotes_are_replaced_at_once_bid_first(play):
    played = play({1000: Quotes(98, 102), 1100: Quotes(97, 103)}, SNAPSHOT, until(1100))
    assert order_rows(played)[2:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1100, 3, "PLACE", "SENT"),
        (1100, 2, "CANCEL_REQ", "CANCELLING"),
        (1100, 4, "PLACE", "SENT"),
    ]
    assert reason_rows(played) == [(1100, 1, "CANCEL_REQ", "quote_moved"), (1100, -1, "CANCEL_REQ", "quote_moved")]


def test_order_in_transit_is_replaced_when_quote_moves(play):
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, until(1200), order_latency_us=150)
    assert order_rows(played)[1:] == [
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1100, 2, "PLACE", "SENT"),
        (1150, 1, "CANCEL_ACK", "CANCELLED"),
    ]


def test_partly_filled_order_at_quoted_price_is_kept(play):
    plan = {1000: Quotes(98, None), 1100: Quotes(98.7, None, 3)}
    played = play(plan, SNAPSHOT, (1020, "trade", -1, 98, 9), until(1300))
    assert order_rows(played) == [(1000, 1, "PLACE", "SENT"), (1020, 1, "FILL", "LIVE")]


def test_missing_quote_withdraws_order_of_its_side(play):
    plan = {1000: Quotes(98, 102), 1100: Quotes(None, 102), 1200: None}
    played = play(plan, SNAPSHOT, until(1300))
    assert reason_rows(played) == [
        (1100, 1, "CANCEL_REQ", "quote_withdrawn"),
        (1105, 1, "CANCEL_ACK", "quote_withdrawn"),
        (1200, -1, "CANCEL_REQ", "quote_withdrawn"),
        (1205, -1, "CANCEL_ACK", "quote_withdrawn"),
    ]


@pytest.mark.parametrize(("refresh_us", "replaced_us"), [(200, 1200), (201, 1300), (0, None)])
def test_order_older_than_refresh_us_is_replaced(play, refresh_us, replaced_us):
    """The age counts from sending, at 1000."""
    played = play(BID_98, SNAPSHOT, until(1300), refresh_us=refresh_us)
    expected = [(replaced_us, 1, "CANCEL_REQ", "CANCELLING"), (replaced_us, 2, "PLACE", "SENT")] if replaced_us else []
    assert order_rows(played)[1:3] == expected


@pytest.mark.parametrize("broken", [(1050, "gap"), (1050, "depth", [], [(101, 0), (103, 0)])])
def test_no_requote_happens_without_both_best_prices(play, broken):
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, broken, until(1300))
    assert [view.us for view in played.views] == [1000]
    assert [row for row in order_rows(played) if row[0] >= 1100] == []


@pytest.mark.parametrize(
    ("quotes", "reason"),
    [
        (Quotes(0.9, None), "price_not_positive"),
        (Quotes(98, None, 2 / 3), "quantity_below_step"),
        (Quotes(98, None, 5 / 3), "min_notional"),
        (Quotes(98, None, 11 / 3), "insufficient_cash"),
        (Quotes(None, 102, 11 / 3), "insufficient_inventory"),
    ],
)
def test_unsendable_quote_is_skipped_with_reason(play, quotes, reason):
    """A step is 3 lots of the tape, minimum notional 300, cash 800, inventory 8: 5/3 steps become 1, 11/3 become 3."""
    terms = {"step_lots": 3, "min_notional_e8": 300 * 10**8, "start_cash_e8": 800 * 10**8, "start_lots": 8}
    played = play({1000: quotes}, SNAPSHOT, **terms)
    assert order_rows(played) == [(1000, 0, "SKIP", "REJECTED")]
    assert reason_rows(played)[0][3] == reason
    assert played.orders[0][7:12] == (played.orders[0][6], -1, -1, -1, -1)


@pytest.mark.parametrize(("lots", "sent"), [(5 / 3, 3), (2, 6), (8 / 3, 6)])
def test_quantity_is_rounded_down_to_whole_steps(play, lots, sent):
    played = play({1000: Quotes(98, None, lots)}, SNAPSHOT, step_lots=3)
    assert [row[6] for row in played.orders] == [sent]


def test_skip_row_is_written_once_per_stretch_of_equal_reasons(play):
    """Sending or quoting nothing ends a stretch; a requote at which the model is not called does not."""
    plan = {
        1000: Quotes(-1, None),  # a row
        1100: Quotes(-2, None),  # the same reason
        1200: None,
        1300: Quotes(-1, None),  # a row
        1400: Quotes(98, None, 0),  # another reason, a row
        1500: Quotes(98, None),
        1600: Quotes(0, None),  # a row, after the cancel
        1800: Quotes(0, None),
    }
    events = (SNAPSHOT, (1650, "depth", [], [(101, 0), (103, 0)]), (1750, "depth", [], [(101, 5)]))
    played = play(plan, *events, until(1800))
    assert [row[0] for row in order_rows(played) if row[2] == "SKIP"] == [1000, 1300, 1400, 1600]
    assert [view.us for view in played.views][-3:] == [1500, 1600, 1800]
    assert [row[2] for row in order_rows(played) if row[0] == 1600] == ["CANCEL_REQ", "SKIP"]


# Balances


def test_buy_order_locks_its_notional_and_fee(play):
    """10 lots at 98 are 980 plus a fee of 0.98: cash of 980.98 covers them, 1e-8 less does not."""
    assert reason_rows(play(BID_98, SNAPSHOT, start_cash_e8=98_098_000_000)) == []
    assert reason_rows(play(BID_98, SNAPSHOT, start_cash_e8=98_097_999_999)) == [(1000, 1, "SKIP", "insufficient_cash")]


def test_orders_are_sent_without_funds_if_balances_are_not_enforced(play):
    terms = {"enforce_balances": False, "start_cash_e8": 0, "start_lots": 0}
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, (1020, "trade", 1, 102, 10), until(1100), **terms)
    assert (reason_rows(played), played.fills[0][8]) == ([], -10)


def test_order_under_cancel_locks_funds_on_arrival_not_at_requote(play):
    """Cash covers one order. The new one is rejected if it arrives (1110) before the old one is cancelled."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    terms = {"start_cash_e8": 1000 * 10**8}
    cancelled = play(plan, SNAPSHOT, until(1200), cancel_latency_us=10, **terms)
    assert order_rows(cancelled, of=2) == [(1100, 2, "PLACE", "SENT")]
    still_open = play(plan, SNAPSHOT, until(1200), cancel_latency_us=11, **terms)
    assert order_rows(still_open, of=2)[1:] == [
        (1110, 2, "REJECT", "REJECTED"),
    ]
    assert reason_rows(still_open)[1] == (1110, 1, "REJECT", "insufficient_cash")


def test_partly_filled_buy_locks_cash_for_its_remainder(play):
    """Eight lots at 98 fill (784.784), two stay locked under cancel (196.196): 1078.077 covers one at 97 (97.097)."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None, 1), 1200: None}
    events = (SNAPSHOT, (1020, "trade", -1, 98, 8), until(1200))
    covered = play(plan, *events, start_cash_e8=107_807_700_000, cancel_latency_us=50)
    assert [row for row in reason_rows(covered) if row[2] == "REJECT"] == []
    short = play(plan, *events, start_cash_e8=107_807_699_999, cancel_latency_us=50)
    assert [row for row in reason_rows(short) if row[2] == "REJECT"] == [(1110, 1, "REJECT", "insufficient_cash")]


@pytest.mark.parametrize(("start_lots", "reason"), [(15, []), (14, [(1110, -1, "REJECT", "insufficient_inventory")])])
def test_partly_filled_sell_locks_inventory_for_its_remainder(play, start_lots, reason):
    """Of ten lots eight are sold, two stay locked under cancel, and five more are offered: 8 + 2 + 5."""
    plan = {1000: Quotes(None, 102), 1100: Quotes(None, 103, None, 5), 1200: None}
    events = (SNAPSHOT, (1020, "trade", 1, 102, 8), until(1200))
    played = play(plan, *events, start_lots=start_lots, cancel_latency_us=50)
    assert [row for row in reason_rows(played) if row[2] == "REJECT"] == reason


@pytest.mark.parametrize(
    ("side", "trade", "reason"), [(1, (-1, 98, 10), "insufficient_cash"), (-1, (1, 102, 10), "insufficient_inventory")]
)
def test_funds_spent_by_fill_are_unavailable_to_next_arrival(play, side, trade, reason):
    """The old order fills at 1103 under cancel; its replacement was covered at 1100 but is not at 1110."""
    plan = (
        {1000: Quotes(98, None), 1100: Quotes(97, None)}
        if side > 0
        else {1000: Quotes(None, 102), 1100: Quotes(None, 103)}
    )
    events = (SNAPSHOT, (1103, "trade", *trade), until(1150))
    played = play(plan, *events, start_cash_e8=1000 * 10**8, start_lots=10)
    assert order_rows(played)[-1] == (1110, 2, "REJECT", "REJECTED")
    assert reason_rows(played)[-1] == (1110, side, "REJECT", reason)


def test_fees_are_rounded_half_to_even(play):
    """At a fee rate of 0.0005, notionals of 1000e-8 and 3000e-8 have fees of 0.5e-8 and 1.5e-8, rounded to 0 and 2."""
    terms = {"tick_e8": 10**6, "lot_e8": 10**3, "maker_fee_e8": 50_000}
    book = (1000, "snapshot", [(100, 5)], [(101, 5)])
    played = play({1000: Quotes(100, None)}, book, (1020, "trade", -1, 100, 1), (1030, "trade", -1, 100, 3), **terms)
    assert [row[5] for row in played.fills] == [0, 2]


def test_negative_maker_fee_is_a_rebate(play):
    played = play(BID_98, SNAPSHOT, (1020, "trade", -1, 98, 10), maker_fee_e8=-10_000)
    assert played.fills[0][5] == -9_800_000


# trade_cross


@pytest.mark.parametrize(
    ("model", "trade", "filled"),
    [
        (("trade_cross", False, 1.0, 0), (-1, 98, 4), 4),
        (("trade_cross", False, 1.0, 0), (-1, 99, 4), 0),
        (("trade_cross", False, 1.0, 0), (-1, 90, 40), 10),
        (("trade_cross", False, 1.0, 0), (1, 98, 4), 0),
        (("trade_cross", True, 1.0, 0), (-1, 98, 4), 0),
        (("trade_cross", True, 1.0, 0), (-1, 97, 4), 4),
        (("trade_cross", False, 1.0, 2), (-1, 97, 4), 0),
        (("trade_cross", True, 1.0, 2), (-1, 96, 4), 4),
        (("trade_cross", False, 0.5, 0), (-1, 98, 7), 3),
        (("trade_cross", False, 0.5, 0), (-1, 98, 1), 0),
    ],
)
def test_trade_cross_fills_bid_by_price_side_and_share(play, model, trade, filled):
    """Cases vary price, aggressor, strictness, penetration and share; the order has ten lots."""
    played = play(BID_98, SNAPSHOT, (1020, "trade", *trade), fills=model)
    assert sum(row[4] for row in played.fills) == filled


@pytest.mark.parametrize(("trade", "filled"), [((1, 102, 4), 4), ((1, 101, 4), 0), ((-1, 102, 4), 0)])
def test_trade_cross_fills_ask_by_price_and_side(play, trade, filled):
    played = play(ASK_102, SNAPSHOT, (1020, "trade", *trade))
    assert sum(row[4] for row in played.fills) == filled


def test_trade_fills_best_price_first_then_oldest_order(play):
    """Bids at 97, 98 and 97 rest, two of them under a slow cancel: 25 lots fill order 2, then 1, then half of 3."""
    plan = {1000: Quotes(97, None), 1100: Quotes(98, None), 1200: Quotes(97, None)}
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 97, 25), cancel_latency_us=500)
    assert fills(played) == [(1250, 2, 1, 98, 10), (1250, 1, 1, 97, 10), (1250, 3, 1, 97, 5)]


def test_share_of_trade_is_over_all_our_orders(play):
    """0.3 of 40 lots is 12: ten for the first order and two for the second."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    model = ("trade_cross", False, 0.3, 0)
    played = play(plan, SNAPSHOT, (1150, "trade", -1, 90, 40), cancel_latency_us=500, fills=model)
    assert [row[4] for row in fills(played)] == [10, 2]


def test_share_is_applied_as_exact_decimal(play):
    """0.29 of 100 lots is 29, although the product with the nearest binary number is less."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None), 1200: Quotes(96, None)}
    model = ("trade_cross", False, 0.29, 0)
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 90, 100), cancel_latency_us=500, fills=model)
    assert [row[4] for row in fills(played)] == [10, 10, 9]


# poisson


def hazard(*pieces, reference="mid", seed=0):
    """Return a Poisson model of pieces (start_us, end_us, A per µs, k), the same for both sides."""
    return ("poisson", tuple((a, b, r * 1e6, k, r * 1e6, k, k) for a, b, r, k in pieces), reference, seed)


CERTAIN = 1e9  # fills per µs: an exposed order fills in its first µs


def test_unit_exponential_matches_the_specification():
    """The first number of splitmix64 from state 0 is the published one."""
    assert mix(0) == 0xE220A8397B1DCDAF
    h = mix(mix(mix(mix(7) ^ 1000) ^ 1) ^ 3)
    assert unit_exponential(7, 1000, 1, 3) == -log(((h >> 11) + 0.5) / 2**53)
    assert mix(2**64 - 1) == mix(-1)


def test_poisson_fill_time_is_the_draw_in_whole_microseconds(play):
    """At 98, two ticks from the mid, with k = ln 2 and A = 0.04 per µs, the intensity is 0.01 per µs."""
    wait = int(unit_exponential(0, 1000, 1, 3) / 0.01)  # the first bid after the snapshot: 2·1 + 1
    played = play(BID_98, SNAPSHOT, until(5000), fills=hazard((0, ALWAYS, 0.04, log(2))))
    assert fills(played)[0] == (1010 + wait, 1, 1, 98, 10)
    assert wait > 1


def test_drawn_fill_takes_whole_order_with_reason_hazard(play):
    played = play(BID_98, SNAPSHOT, until(1060), fills=hazard((1050, ALWAYS, CERTAIN, 0.1)))
    assert played.fills == [(1050, 1, 1, 98, 10, 98_000_000, "poisson:hazard", 200, 110)]
    assert played.state[-1] == (1050, 110, -980, 98_000_000, 200, 0)


def test_intensity_is_integrated_over_pieces(play):
    """0.001 per µs for 40 µs, nothing for 50, then 0.02: the rest of the draw is used up in the second piece."""
    draw = unit_exponential(0, 1000, 1, 3)
    due = 1100 + int((draw - 0.001 * 40) / 0.02)
    pieces = [(1000, 1050, 0.001, 1e-12), (1100, ALWAYS, 0.02, 1e-12)]
    assert fills(play(BID_98, SNAPSHOT, until(5000), fills=hazard(*pieces)))[0][0] == due
    assert draw > 0.04


def test_each_side_has_its_own_intensity(play):
    piece = (0, ALWAYS, 0.0, 0.1, CERTAIN * 1e6, 0.1, 0.1)
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, until(1050), fills=("poisson", (piece,), "mid", 0))
    assert fills(played) == [(1010, 2, -1, 102, 10)]


@pytest.mark.parametrize(("reference", "delta"), [("mid", 1.5), ("best", 1.0), ("micro", 1.3)])
def test_distance_of_bid_is_measured_from_the_reference(play, reference, delta):
    """Best bid 99 with 3 lots, best ask 100 with 7: the micro price is 99.3, closer to the side with fewer lots."""
    book = (1000, "snapshot", [(99, 3)], [(100, 7)])
    played = play(
        BID_98,
        book,
        until(1040),
        fills=hazard(
            (
                0,
                ALWAYS,
                1e-9,
                1.0,
            ),
            reference=reference,
        ),
    )
    assert played.counters["expected_fills"] == pytest.approx(30e-9 * exp(-delta))


@pytest.mark.parametrize(("reference", "delta"), [("mid", 2.5), ("best", 2.0), ("micro", 2.7)])
def test_distance_of_ask_is_measured_from_the_reference(play, reference, delta):
    book = (1000, "snapshot", [(99, 3)], [(100, 7)])
    played = play(ASK_102, book, until(1040), fills=hazard((0, ALWAYS, 1e-9, 1.0), reference=reference))
    assert played.counters["expected_fills"] == pytest.approx(30e-9 * exp(-delta))


@pytest.mark.parametrize(
    ("bids", "asks", "restarts"),
    [
        ([(99, 0)], [], "mid best micro"),
        ([(100, 1)], [], "mid best micro"),
        ([], [(101, 0)], "mid best micro"),
        ([(99, 6)], [], "micro"),
        ([], [(101, 6)], "micro"),
        ([(98, 1)], [(103, 1)], ""),
    ],
)
@pytest.mark.parametrize("reference", ["mid", "best", "micro"])
def test_book_event_begins_stretch_when_reference_changes(play, reference, bids, asks, restarts):
    """The draw that applies to the order shows whether the event at 1030 counted as a change."""
    model = hazard((1040, ALWAYS, 0.002, 1e-12), reference=reference)
    draw = unit_exponential(0, 1030, 2, 1) if reference in restarts else unit_exponential(0, 1000, 1, 3)
    played = play(BID_98, SNAPSHOT, (1030, "depth", bids, asks), until(9000), fills=model)
    assert fills(played)[0][0] == 1040 + int(draw / 0.002)


def test_unchanged_mid_with_new_best_prices_begins_stretch_of_best_only(play):
    """Bid and ask each move away by one tick: the same mid, different best prices."""
    move = (1030, "depth", [(99, 0)], [(101, 0), (102, 5)])
    for reference, draw in (("mid", (1000, 1, 3)), ("best", (1030, 2, 1))):
        model = hazard((1040, ALWAYS, 0.002, 1e-12), reference=reference)
        played = play({1000: Quotes(97, None)}, SNAPSHOT, move, until(9000), fills=model)
        assert fills(played)[0][0] == 1040 + int(unit_exponential(0, *draw) / 0.002)


def test_arrival_begins_stretch_on_its_own_side_only(play):
    """An ask arriving at 1110 does not affect the bid's stretch; a second bid gives both bids the draw 2·2 + 1."""
    model = hazard((0, ALWAYS, 0.002, 1e-12))
    first, second = (us + int(unit_exponential(0, 1000, 1, c) / 0.002) for us, c in ((1010, 3), (1110, 5)))
    assert first > 1110
    plan = {1000: Quotes(98, None), 1100: Quotes(98, 102)}
    assert (first, 1, 1, 98, 10) in fills(play(plan, SNAPSHOT, until(9000), fills=model))
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    played = play(plan, SNAPSHOT, until(9000), fills=model, cancel_latency_us=10**6)
    assert fills(played)[:2] == [(second, 1, 1, 98, 10), (second, 2, 1, 97, 10)]


@pytest.mark.parametrize(
    ("event", "filled"),
    [
        ((1050, "depth", [(99, 0)], []), []),
        ((1051, "depth", [(99, 0)], []), [(1050, 1, 1, 98, 10)]),
        ((1050, "depth", [(98, 1)], []), [(1050, 1, 1, 98, 10)]),
        ((1050, "gap"), []),
    ],
)
def test_drawn_fill_requires_stretch_to_last_beyond_its_instant(play, event, filled):
    """The hazard is high in the one µs from 1050: a mid change at 1050 prevents the fill, one at 1051 is too late."""
    model = hazard((1050, 1051, 1.5, 1e-12), seed=13)
    assert unit_exponential(13, 1000, 1, 3) < 1.5 < unit_exponential(13, 1050, 2, 1)
    assert fills(play(BID_98, SNAPSHOT, event, until(1060), fills=model)) == filled


@pytest.mark.parametrize(("cancel_latency_us", "filled"), [(5, []), (6, [(1105, 1, 1, 98, 10)])])
def test_cancel_is_processed_before_drawn_fill(play, cancel_latency_us, filled):
    model = hazard((1105, ALWAYS, CERTAIN, 0.1))
    plan = {1000: Quotes(98, None), 1100: None}
    assert fills(play(plan, SNAPSHOT, until(1200), fills=model, cancel_latency_us=cancel_latency_us)) == filled


@pytest.mark.parametrize(("ttl_us", "filled"), [(95, []), (96, [(1105, 1, 1, 98, 10)])])
def test_expiry_is_processed_before_drawn_fill(play, ttl_us, filled):
    """The order rests from 1010, and the fill is drawn for 1105."""
    model = hazard((1105, ALWAYS, CERTAIN, 0.1))
    played = play(BID_98, SNAPSHOT, until(1150), fills=model, ttl_us=ttl_us)
    assert fills(played) == filled
    assert order_rows(played)[-1][2] == ("CLOSE_FILLED" if filled else "EXPIRE")


@pytest.mark.parametrize(("arrives_us", "filled"), [(1110, []), (1111, [(1110, 1, 1, 98, 10)])])
def test_arrival_ends_stretch_before_drawn_fill(play, arrives_us, filled):
    """Order 1 would fill in the one µs from 1110; if order 2 arrives at 1110, both get a new draw and do not fill."""
    model = hazard((1110, 1111, 1.5, 1e-12), seed=13)
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    latencies = {"order_latency_us": arrives_us - 1100, "cancel_latency_us": 1000}
    assert unit_exponential(13, 1000, 1, 3) < 1.5 < unit_exponential(13, 1000, 1, 5)
    assert fills(play(plan, SNAPSHOT, until(1120), fills=model, **latencies)) == filled


def test_drawn_fills_are_in_order_id_and_before_the_requote(play):
    """The ask is the older order, and the view of 1150 includes both fills of 1150."""
    plan = {1000: Quotes(None, 102), 1050: Quotes(98, 102, 7, None)}
    model = hazard((1150, ALWAYS, CERTAIN, 0.1))
    played = play(plan, SNAPSHOT, until(1150), fills=model, requote_us=50)
    assert fills(played) == [(1150, 1, -1, 102, 10), (1150, 2, 1, 98, 7)]
    assert played.views[-1].inventory_lots == 97


def test_order_without_latency_can_fill_by_draw_at_its_instant(play):
    played = play(BID_98, SNAPSHOT, until(1050), fills=hazard((0, ALWAYS, CERTAIN, 0.1)), order_latency_us=0)
    assert fills(played) == [(1000, 1, 1, 98, 10)]


def test_no_fill_is_drawn_while_a_side_is_empty(play):
    """The asks are empty from 1020 to 1060, and the certain fill of 1030 happens when they return."""
    events = (SNAPSHOT, (1020, "depth", [], [(101, 0), (103, 0)]), (1060, "depth", [], [(101, 5)]), until(1090))
    assert fills(play(BID_98, *events, fills=hazard((1030, ALWAYS, CERTAIN, 0.1)))) == [(1060, 1, 1, 98, 10)]


def test_expected_fills_are_intensity_times_exposure(play):
    """At 98: 20 µs at distance 2, then 70 at 1.5, and 5 more under cancel, until 1105."""
    plan = {1000: Quotes(98, None), 1100: None}
    events = (SNAPSHOT, (1030, "depth", [(99, 0)], []), until(1200))
    played = play(plan, *events, fills=hazard((0, ALWAYS, 1e-9, log(4))))
    assert played.counters["expected_fills"] == pytest.approx(1e-9 * (20 / 16 + 75 / 8))
    assert play(plan, *events).counters["expected_fills"] is None


# Counters


def test_counters_sum_valid_and_two_sided_time(play):
    """The book is valid to 1500 and from 1700 to 1800; both sides rest from 1010 to the ask's cancel at 1105."""
    plan = {1000: Quotes(98, 102), 1100: Quotes(98, None)}
    played = play(plan, SNAPSHOT, (1500, "gap"), (1700, "snapshot", BIDS, ASKS), until(1800))
    names = ("valid_us", "invalid_us", "two_sided_us", "first_us", "last_us", "events")
    assert [played.counters[name] for name in names] == [600, 200, 95, 1000, 1800, 4]


def test_spans_are_the_time_with_a_book_in_which_the_strategy_may_quote(play):
    """The book is valid to 1500 and from 1700; the strategy may not quote from 1200 to 1300, nor from 1750 on.

    Both sides rest from 1010 to the gap, and from 1710 on.
    """
    plan = {1000: Quotes(98, 102)}
    hands = ((1200, "trade", False), (1300, "trade", True), (1600, "trade", False), (1650, "trade", True))
    events = (SNAPSHOT, (1500, "gap"), (1700, "snapshot", BIDS, ASKS), until(1800))
    played = play(plan, *events, manual=(*hands, (1750, "trade", False)))
    assert played.spans == [(1000, 1200), (1300, 1500), (1700, 1750)]
    names = ("valid_us", "invalid_us", "two_sided_us")
    assert [played.counters[name] for name in names] == [450, 350, 190 + 200 + 40]


def test_book_that_begins_again_at_once_continues_its_span(play):
    played = play({}, SNAPSHOT, (1500, "gap"), (1500, "snapshot", BIDS, ASKS), until(1800))
    assert played.spans == [(1000, 1800)]


# Several tapes


def test_orders_and_timers_continue_into_joined_tape(play):
    """The second tape begins with the last book of the first: order 1, sent in the first, fills in the second."""
    first = replace_meta(tape_of(SNAPSHOT, until(1050)), last_update_id=7)
    second = replace_meta(tape_of((1080, "snapshot", BIDS, ASKS), (1120, "trade", -1, 98, 4)), carried_from=7)
    played = play(BID_98, tapes=[first, second])
    assert order_rows(played) == [(1000, 1, "PLACE", "SENT"), (1120, 1, "FILL", "LIVE")]
    assert [view.us for view in played.views] == [1000, 1100]
    assert played.mids == [(1000, 200)]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (120, 0)


def test_seam_between_tapes_is_a_gap_at_end_of_the_first(play):
    """The second tape begins with another book: orders are cancelled at 1050, and the book is invalid to 1080."""
    first, second = tape_of(SNAPSHOT, until(1050)), tape_of((1080, "snapshot", BIDS, ASKS), (1120, "trade", -1, 98, 4))
    played = play(BID_98, tapes=[first, second])
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1050, 1, "CANCEL_ACK", "CANCELLED"),
        (1100, 2, "PLACE", "SENT"),
        (1120, 2, "FILL", "LIVE"),
    ]
    assert [row for row in reason_rows(played) if row[2] == "CANCEL_ACK"] == [(1050, 1, "CANCEL_ACK", "epoch_break")]
    assert played.mids == [(1000, 200), (1050, 0), (1080, 200)]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (90, 30)


WHOLE = [(1280, "snapshot", BIDS, ASKS), until(1310)]
WINDOW = [(1020, "snapshot", BIDS, ASKS), until(1310)]


@pytest.mark.parametrize("events", [WHOLE, WINDOW])
def test_time_passes_between_tapes_without_a_book(play, events):
    """There are no requotes at 1100 and 1200, the order in transit is rejected, and state rows are written."""
    first, second = tape_of(SNAPSHOT, until(1050)), tape_of(*events).between(1280, 1311)
    played = play(BID_98, tapes=[first, second], order_latency_us=90, state_us=80)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1090, 1, "REJECT", "REJECTED"),
        (1300, 2, "PLACE", "SENT"),
    ]
    assert [(row[0], row[5]) for row in played.state] == [(1000, 0), (1080, 1), (1160, 0), (1240, 0)]
    assert [view.us for view in played.views] == [1000, 1300]
    assert played.mids == [(1000, 200), (1050, 0), (1280, 200)]


def replace_meta(tape, **meta):
    return replace(tape, meta=TapeMeta(**meta))


# Volatility


def steps(*mids, begin_us=1000):
    """Return one snapshot per second, so that mid2 takes the values of *mids* at the samples."""
    books = [((mid2 - 2) // 2, mid2 - (mid2 - 2) // 2) for mid2 in mids]
    return [(begin_us + second * 10**6, "snapshot", [(bid, 5)], [(ask, 5)]) for second, (bid, ask) in enumerate(books)]


def test_sigma_is_root_mean_square_of_one_second_mid_changes(play):
    """Three samples, mid2 moving by 2, −4 and 6: σ² = (1 + 4 + 9)/3 ticks²; in a window of two, (4 + 9)/2."""
    for window_s, last in ((3, sqrt(14 / 3)), (2, sqrt(13 / 2)), (1, 3.0), (4, None)):
        played = play({}, *steps(200, 202, 198, 204), requote_us=10**6, sigma_window_s=window_s)
        sigmas = [view.sigma_ticks for view in played.views]
        assert all(isnan(sigma) for sigma in sigmas[:window_s])
        assert isnan(sigmas[-1]) if last is None else sigmas[-1] == pytest.approx(last)


def test_second_with_a_gap_gives_no_volatility_sample(play):
    """Even a short gap drops the sample of its second; the window of two is full again later."""
    events = steps(200, 202, 198, 204, 205)
    events[2:2] = [(1_500_000, "gap"), (1_500_000, "snapshot", [(98, 5)], [(102, 5)])]
    played = play({}, *events, requote_us=10**6, sigma_window_s=2)
    sigmas = [view.sigma_ticks for view in played.views]
    assert [isnan(sigma) for sigma in sigmas] == [True, True, True, True, False]
    assert sigmas[-1] == pytest.approx(sqrt((9 + 0.25) / 2))


def test_volatility_sample_is_after_market_and_before_requote(play):
    """The σ in the view of the last requote includes the move of that instant."""
    played = play({}, *steps(200, 210), requote_us=10**6, sigma_window_s=1)
    assert played.views[-1].sigma_ticks == pytest.approx(5.0)


def sigmas(play, *events, **changes):
    return [view.sigma_ticks for view in play({}, *events, requote_us=10**6, **changes).views]


def test_two_scale_sigma_removes_bid_ask_bounce(play):
    """m = 2: mid2 moves by 2, −4, 6 and 2 per second and −2, 2 and 8 over two: σ² = ((4 + 4 + 64)/3 − 60/4)/4; then
    the window of four moves on by a second. A mid that only bounces has σ = 0."""
    two_scale = {"sigma_method": "two_scale", "sigma_window_s": 4}
    found = sigmas(play, *steps(200, 202, 198, 204, 206, 205), **two_scale)
    assert all(isnan(sigma) for sigma in found[:4])
    assert found[4:] == pytest.approx([1.5, sqrt((23 - 14.25) / 4)])
    assert sigmas(play, *steps(200, 202, 200, 202, 200), **two_scale)[-1] == 0.0


def test_two_scale_changes_do_not_span_a_gap(play):
    """Changes end before the gap; four seconds later there are three changes over two seconds again."""
    events = steps(200, 202, 198, 204, 205, 206, 207)
    events[2:2] = [(1_500_000, "gap"), (1_500_000, "snapshot", [(98, 5)], [(102, 5)])]
    found = sigmas(play, *events, sigma_method="two_scale", sigma_window_s=4)
    assert [isnan(sigma) for sigma in found] == [True] * 6 + [False]
    assert found[-1] == pytest.approx(sqrt((((205 - 198) ** 2 + 2**2 + 2**2) / 3 - (36 + 1 + 1 + 1) / 4) / 4))


def test_ewma_weight_halves_after_half_life(play):
    """mid2 moves by 2, −4 and 6: σ² = 4/4, then (2 + 16)/1.5/4, then (1 + 8 + 36)/1.75/4."""
    found = sigmas(play, *steps(200, 202, 198, 204), sigma_method="ewma", sigma_half_life_s=1)
    assert isnan(found[0])
    assert found[1:] == pytest.approx([1.0, sqrt(3), sqrt(45 / 7)])
    found = sigmas(play, *steps(200, 202, 198, 204), sigma_method="ewma", sigma_half_life_s=2.5)
    assert [isnan(sigma) for sigma in found] == [True, True, True, False]


@pytest.mark.parametrize(("half_life_s", "pause_s", "old"), [(1.0, 1, 0.25), (0.4, 4, 0.5**12.5), (0.4, 5, 0.0)])
def test_ewma_weights_decay_during_a_gap(play, half_life_s, pause_s, old):
    """mid2 moves by 2, then some seconds have a gap, then it moves by 4. *old* is the remaining weight of the first."""
    back_us = 1000 + (1 + pause_s) * 10**6
    events = [*steps(200, 202), (1_500_000, "gap"), *steps(200, 204, begin_us=back_us)]
    found = sigmas(play, *events, sigma_method="ewma", sigma_half_life_s=half_life_s)
    assert found[-1] == pytest.approx(sqrt((4 * old + 16) / (old + 1)) / 2, rel=1e-12)
    assert isnan(found[-2]) == (old == 0.0)
