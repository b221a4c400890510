"""Tapes worked out by hand: every race and rule of docs/engine.md, for the oracle and for the engine alike.

Here are quoted orders with `trade_cross` and `poisson`; test_oracle_orders.py and test_oracle_models.py have the rest.
Times and latencies are those of oracle_lab.py.
"""

from dataclasses import replace
from math import exp, isnan, log, sqrt

import pytest

from mm.backtest.journal import CANCEL_REASONS
from mm.backtest.quotes.view import Quotes
from mm.tape.tape import TapeMeta
from oracle_fills import unit_exponential
from oracle_lab import ASKS, BIDS, SNAPSHOT, TWINS, fills, player, story, tape_of, until, whys
from oracle_market import mix

ALWAYS = 2**62


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


BID_98 = {1000: Quotes(98, None)}
ASK_102 = {1000: Quotes(None, 102)}


# One instant


def test_an_order_that_arrives_at_a_trades_instant_can_fill(play):
    """Our messages come before the market."""
    played = play(BID_98, SNAPSHOT, (1010, "trade", -1, 98, 4))
    assert fills(played) == [(1010, 1, 1, 98, 4)]


def test_an_order_one_microsecond_late_misses_the_trade(play):
    assert fills(play(BID_98, SNAPSHOT, (1009, "trade", -1, 98, 4), until(1010))) == []


@pytest.mark.parametrize(("trade_us", "filled"), [(1104, [(1104, 1, 1, 98, 4)]), (1105, [])])
def test_nothing_fills_at_its_own_cancel_effective_us(play, trade_us, filled):
    """Asked for at 1100 with 5 µs of latency: a trade 4 µs later still fills, one 5 µs later does not."""
    played = play({1000: Quotes(98, None), 1100: None}, SNAPSHOT, (trade_us, "trade", -1, 98, 4), until(1110))
    assert fills(played) == filled
    assert story(played)[-1] == (1105, 1, "CANCEL_ACK", "CANCELLED")


def test_an_order_may_expire_while_its_cancel_travels(play):
    """Asked for at 1100 and in force at 1105, the cancel finds that the order ended at 1103, partly filled."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1102, "trade", -1, 98, 4), until(1120), ttl_us=93)
    assert story(played)[1:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1102, 1, "FILL", "CANCELLING"),
        (1103, 1, "EXPIRE", "EXPIRED"),
    ]
    assert played.orders[-1][7] == 6


@pytest.mark.parametrize(("trade_us", "filled"), [(1049, [(1049, 1, 1, 98, 4)]), (1050, [])])
def test_nothing_fills_at_its_own_expire_us(play, trade_us, filled):
    """The time to live of 40 µs counts from the arrival at 1010."""
    played = play(
        {1000: Quotes(98, None), 1001: None}, SNAPSHOT, (trade_us, "trade", -1, 98, 4), until(1060), ttl_us=40
    )
    assert fills(played) == filled
    assert story(played)[-1] == (1050, 1, "EXPIRE", "EXPIRED")


def test_cancel_comes_before_expiry(play):
    """Both at 1105: the order is cancelled, and so it cannot expire."""
    played = play({1000: Quotes(98, None), 1100: None}, SNAPSHOT, until(1110), ttl_us=95)
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1105, 1, "CANCEL_ACK", "CANCELLED"),
    ]


def test_crossing_is_judged_by_the_book_before_the_market_moves(play):
    """At 1010 the ask leaves 101 for 103; an order at 101 that arrives then would have crossed, one µs later not."""
    moves = (1010, "depth", [], [(101, 0)])
    assert whys(play({1000: Quotes(101, None)}, SNAPSHOT, moves)) == [(1010, 1, "REJECT", "would_cross")]
    late = play({1000: Quotes(101, None)}, SNAPSHOT, moves, until(1020), order_latency_us=11)
    assert whys(late) == []


def test_a_requote_sees_all_of_its_instant(play):
    """Book and trade of 1100, and the fill of 1100, are known to the quote of 1100."""
    played = play(
        {1000: Quotes(98, None)},
        SNAPSHOT,
        (1100, "depth", [(99, 6)], []),
        (1100, "trade", -1, 98, 3),
        (1100, "trade", 1, 101, 2),
    )
    view = played.seen[-1]
    assert (view.us, view.bid_lots, view.inventory_lots, view.cash) == (1100, 6, 103, 10**6 - 3 * 98 - 0.294)
    assert view.last_trade == (1100, 1, 101, 2, 4)


def test_a_state_row_comes_before_the_requote_of_its_instant(play):
    """The first row counts no orders, though the quotes of that instant are sent."""
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, until(2000))
    assert played.state == [(1000, 100, 0, 0, 200, 0), (2000, 100, 0, 0, 200, 2)]


def test_without_latency_an_order_arrives_behind_its_own_instant(play):
    """Sent at 1100 it misses the trade of 1100, and is there for the next."""
    plan = {1100: Quotes(98, None)}
    events = (SNAPSHOT, (1100, "trade", -1, 98, 4), (1101, "trade", -1, 98, 3))
    assert fills(play(plan, *events, order_latency_us=0)) == [(1101, 1, 1, 98, 3)]


def test_without_latency_a_cancel_takes_effect_behind_its_own_instant(play):
    """The trade of 1100 still fills the order that is cancelled at 1100; that of 1101 does not."""
    plan = {1000: Quotes(98, None), 1100: None}
    events = (SNAPSHOT, (1100, "trade", -1, 98, 4), (1101, "trade", -1, 98, 3))
    played = play(plan, *events, order_latency_us=0, cancel_latency_us=0)
    assert fills(played) == [(1100, 1, 1, 98, 4)]
    assert story(played)[-2:] == [(1100, 1, "CANCEL_REQ", "CANCELLING"), (1100, 1, "CANCEL_ACK", "CANCELLED")]


def test_messages_of_one_instant_are_taken_by_order_id(play):
    """The cancel of order 1 frees, at 1110, the lots that order 2 needs when it arrives at 1110."""
    plan = {1000: Quotes(None, 102), 1100: Quotes(None, 103)}
    played = play(plan, SNAPSHOT, until(1120), start_lots=10, cancel_latency_us=10)
    assert story(played)[-2:] == [(1100, 2, "PLACE", "SENT"), (1110, 1, "CANCEL_ACK", "CANCELLED")]
    late = play(plan, SNAPSHOT, until(1120), start_lots=10, cancel_latency_us=11)
    assert story(late)[-2:] == [(1110, 2, "REJECT", "REJECTED"), (1111, 1, "CANCEL_ACK", "CANCELLED")]


# Beginning and end


def test_the_first_snapshot_fixes_the_grids(play):
    """Trades before it are played, and nothing is asked or marked."""
    played = play({}, until(900), SNAPSHOT, until(1250), state_us=120)
    assert [row[0] for row in played.state] == [1000, 1120, 1240]
    assert [view.us for view in played.seen] == [1000, 1100, 1200]
    assert (played.counters["first_us"], played.counters["last_us"]) == (1000, 1250)
    assert (played.counters["events"], played.counters["rows"]) == (3, 6)


def test_what_falls_due_at_the_end_happens_and_nothing_later(play):
    """The tape ends at 1100: the requote and the trade of 1100 are played, the order of 1100 never arrives."""
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, (1100, "trade", -1, 98, 10))
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "FILL", "FILLED"),
        (1100, 1, "CLOSE_FILLED", "FILLED"),
        (1100, 2, "PLACE", "SENT"),
    ]


def test_a_window_builds_its_book_in_silence(play):
    """Events before 1050 make the book, count for nothing, and the grids begin at 1050; it ends at 1160."""
    early = (1020, "depth", [(99, 0)], []), (1020, "trade", 1, 101, 1)
    tape = tape_of(SNAPSHOT, *early, (1100, "depth", [(97, 3)], []), until(1200))
    played = play({}, tapes=[tape.between(1050, 1160)], state_us=60)
    assert [(view.us, view.bid_ticks, view.last_trade, view.depth) for view in played.seen] == [
        (1050, 98, None, [0, 7, 0]),
        (1150, 98, None, [3, 7, 0]),
    ]
    assert played.state == [(1050, 100, 0, 0, 199, 0), (1110, 100, 0, 0, 199, 0)]
    assert played.mids == [(1050, 199)]
    assert [played.counters[name] for name in ("events", "rows", "valid_us")] == [1, 1, 110]


def test_a_book_event_before_a_window_keys_its_draws(play):
    """The snapshot of 1000, number 1, last changed the mid; not the window's begin, not the trade of 1040."""
    tape = tape_of(SNAPSHOT, until(1040), until(9000))
    wait = int(unit_exponential(0, 1000, 1, 3) / 0.01)
    played = play({1050: Quotes(98, None)}, tapes=[tape.between(1050, 9001)], fills=hazard((0, ALWAYS, 0.01, 1e-12)))
    assert fills(played)[0][:2] == (1060 + wait, 1)


def test_a_run_without_a_book_has_no_beginning(play):
    played = play({}, until(1000), until(2000))
    assert [played.counters[name] for name in ("first_us", "last_us", "valid_us", "events")] == [-1, 2000, 0, 2]


def test_a_window_with_no_book_yet_begins_with_its_first_snapshot(play):
    tape = tape_of(SNAPSHOT, (1020, "gap"), (1080, "snapshot", BIDS, ASKS), until(1200))
    played = play({}, tapes=[tape.between(1050, 1190)])
    assert played.counters["first_us"] == played.state[0][0] == played.mids[0][0] == 1080


# The book


def test_a_snapshot_replaces_the_book_and_a_depth_its_prices(play):
    events = (SNAPSHOT, (1050, "depth", [(99, 0), (97, 4)], [(101, 9)]), (1150, "snapshot", [(99, 1)], [(101, 2)]))
    played = play({}, *events, until(1200))
    assert [view.depth for view in played.seen] == [[0, 7, 5], [4, 7, 0], [0, 0, 1]]
    assert [(view.bid_ticks, view.bid_lots, view.ask_lots) for view in played.seen] == [
        (99, 5, 5),
        (98, 7, 9),
        (99, 1, 2),
    ]


def test_mids_are_written_where_mid2_changes(play):
    """A side that empties, and a gap, are 0; a change of lots is none."""
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


def test_state_is_marked_at_the_last_valid_mid(play):
    played = play({}, SNAPSHOT, (1050, "gap"), until(1150), state_us=100)
    assert [row[4] for row in played.state] == [200, 200]


def test_a_keyframe_is_passed_over_unless_the_tape_begins_with_it(play):
    tape = tape_of(SNAPSHOT, (1020, "depth", [(99, 0)], []), (1020, "keyframe"), until(1200))
    assert play({}, tapes=[tape]).mids == [(1000, 200), (1020, 199)]
    window = tape.between(1021, 1150)
    assert window.kind.tolist() == [5]
    assert play({}, tapes=[window]).mids == [(1021, 199)]


def test_a_gap_cancels_what_rests_and_refuses_what_arrives(play):
    """Order 1 is LIVE, 2 CANCELLING, 3 on its way when the book breaks at 1204; 4 arrives after the resync of 1320."""
    plan = {1000: Quotes(98, 102), 1200: Quotes(98, 103), 1300: Quotes(97, 103)}
    events = (SNAPSHOT, (1204, "gap"), (1320, "snapshot", BIDS, ASKS), (1500, "gap"))
    played = play(plan, *events, cancel_latency_us=50)
    assert story(played) == [
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
    # cancel_req_us, cancel_effective_us and the reason are those of the break, but for the request that was made
    assert [row[10:] for row in played.orders[4:7]] == [(-1, 1204, 0, 4), (1200, 1204, 0, 4), (-1, -1, 5, 0)]


def test_an_order_on_its_way_through_a_gap_arrives_in_the_new_book(play):
    played = play(BID_98, SNAPSHOT, (1004, "gap"), (1008, "snapshot", BIDS, ASKS), (1011, "trade", -1, 98, 4))
    assert fills(played) == [(1011, 1, 1, 98, 4)]


# The life of an order


@pytest.mark.parametrize(
    ("quotes", "crosses"),
    [(Quotes(101, None), True), (Quotes(100, None), False), (Quotes(None, 99), True), (Quotes(None, 100), False)],
)
def test_an_order_at_the_other_sides_best_price_would_cross(play, quotes, crosses):
    played = play({1000: quotes}, SNAPSHOT, until(1010))
    assert [row[2:] for row in whys(played)] == ([("REJECT", "would_cross")] if crosses else [])


def test_an_absent_side_is_not_crossed(play):
    played = play({1000: Quotes(150, None)}, SNAPSHOT, (1005, "depth", [], [(101, 0), (103, 0)]), until(1010))
    assert whys(played) == []


def test_a_cancel_never_overtakes_its_order(play):
    """Asked for at 1100 and due at 1105, the cancel waits for the order to arrive at 1250; it never rests alone."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 98, 4), until(1300), order_latency_us=250)
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1250, 1, "CANCEL_ACK", "CANCELLED"),
    ]
    assert played.orders[1][8:] == (1250, -1, 1100, 1250, 0, CANCEL_REASONS.index("quote_withdrawn"))


def test_an_order_that_arrives_with_a_cancel_on_its_heels_can_fill(play):
    """It rests from 1150, CANCELLING, until 1160."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1155, "trade", -1, 98, 4), until(1300), order_latency_us=150, cancel_latency_us=60)
    assert story(played)[2:] == [(1155, 1, "FILL", "CANCELLING"), (1160, 1, "CANCEL_ACK", "CANCELLED")]


def test_a_rejected_order_needs_no_cancel(play):
    plan = {1000: Quotes(101, None), 1100: None}
    played = play(plan, SNAPSHOT, until(1300), order_latency_us=150, cancel_latency_us=60)
    assert story(played)[1:] == [(1100, 1, "CANCEL_REQ", "SENT"), (1150, 1, "REJECT", "REJECTED")]


def test_every_row_of_an_order_shows_what_is_known_so_far(play):
    """Ten lots: four fill at 1020, a cancel is asked for at 1100, six fill at 1103; the order would expire at 1510."""
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


def test_bids_are_floored_and_asks_ceiled(play):
    played = play({1000: Quotes(97.9, 102.1)}, SNAPSHOT)
    assert [(row[4], row[5], row[6]) for row in played.orders] == [(1, 97, 10), (-1, 103, 10)]


def test_a_quote_may_name_its_lots(play):
    played = play({1000: Quotes(97, 102, 3, 4)}, SNAPSHOT)
    assert [row[6] for row in played.orders] == [3, 4]


def test_a_quote_that_moves_is_replaced_at_once_bid_first(play):
    played = play({1000: Quotes(98, 102), 1100: Quotes(97, 103)}, SNAPSHOT, until(1100))
    assert story(played)[2:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1100, 3, "PLACE", "SENT"),
        (1100, 2, "CANCEL_REQ", "CANCELLING"),
        (1100, 4, "PLACE", "SENT"),
    ]
    assert whys(played) == [(1100, 1, "CANCEL_REQ", "quote_moved"), (1100, -1, "CANCEL_REQ", "quote_moved")]


def test_an_order_on_its_way_is_replaced_too(play):
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, until(1200), order_latency_us=150)
    assert story(played)[1:] == [
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1100, 2, "PLACE", "SENT"),
        (1150, 1, "CANCEL_ACK", "CANCELLED"),
    ]


def test_an_order_at_the_wanted_price_stays_whatever_is_left_of_it(play):
    plan = {1000: Quotes(98, None), 1100: Quotes(98.7, None, 3)}
    played = play(plan, SNAPSHOT, (1020, "trade", -1, 98, 9), until(1300))
    assert story(played) == [(1000, 1, "PLACE", "SENT"), (1020, 1, "FILL", "LIVE")]


def test_no_quote_withdraws_the_order_of_its_side(play):
    plan = {1000: Quotes(98, 102), 1100: Quotes(None, 102), 1200: None}
    played = play(plan, SNAPSHOT, until(1300))
    assert whys(played) == [
        (1100, 1, "CANCEL_REQ", "quote_withdrawn"),
        (1105, 1, "CANCEL_ACK", "quote_withdrawn"),
        (1200, -1, "CANCEL_REQ", "quote_withdrawn"),
        (1205, -1, "CANCEL_ACK", "quote_withdrawn"),
    ]


@pytest.mark.parametrize(("refresh_us", "renewed_us"), [(200, 1200), (201, 1300), (0, None)])
def test_an_order_of_some_age_is_renewed(play, refresh_us, renewed_us):
    """The age counts from the sending, at 1000."""
    played = play(BID_98, SNAPSHOT, until(1300), refresh_us=refresh_us)
    expected = [(renewed_us, 1, "CANCEL_REQ", "CANCELLING"), (renewed_us, 2, "PLACE", "SENT")] if renewed_us else []
    assert story(played)[1:3] == expected


@pytest.mark.parametrize("broken", [(1050, "gap"), (1050, "depth", [], [(101, 0), (103, 0)])])
def test_without_two_prices_nothing_is_asked_sent_or_cancelled(play, broken):
    played = play({1000: Quotes(98, None), 1100: Quotes(97, None)}, SNAPSHOT, broken, until(1300))
    assert [view.us for view in played.seen] == [1000]
    assert [row for row in story(played) if row[0] >= 1100] == []


@pytest.mark.parametrize(
    ("quotes", "reason"),
    [
        (Quotes(0.9, None), "price_not_positive"),
        (Quotes(98, None, 2), "quantity_below_step"),
        (Quotes(98, None, 5), "min_notional"),
        (Quotes(98, None, 11), "insufficient_cash"),
        (Quotes(None, 102, 11), "insufficient_inventory"),
    ],
)
def test_why_an_order_is_not_sent(play, quotes, reason):
    """A step is 3 lots, the least notional 300, cash 800, inventory 8: 5 lots are 3, 11 are 9 (882 + 0.882)."""
    terms = {"step_lots": 3, "min_notional_e8": 300 * 10**8, "start_cash_e8": 800 * 10**8, "start_lots": 8}
    played = play({1000: quotes}, SNAPSHOT, **terms)
    assert story(played) == [(1000, 0, "SKIP", "REJECTED")]
    assert whys(played)[0][3] == reason
    assert played.orders[0][7:12] == (played.orders[0][6], -1, -1, -1, -1)


@pytest.mark.parametrize(("lots", "sent"), [(5, 3), (6, 6), (8, 6)])
def test_a_quantity_is_cut_down_to_whole_steps(play, lots, sent):
    played = play({1000: Quotes(98, None, lots)}, SNAPSHOT, step_lots=3)
    assert [row[6] for row in played.orders] == [sent]


def test_a_skip_stands_at_the_beginning_of_a_stretch_of_one_reason(play):
    """Two reasons alternate with sending and with wanting nothing; an instant at which nobody is asked ends nothing."""
    plan = {
        1000: Quotes(-1, None),  # a row
        1100: Quotes(-2, None),  # the same reason
        1200: None,
        1300: Quotes(-1, None),  # a row
        1400: Quotes(98, None, 0),  # another reason, a row
        1500: Quotes(98, None),
        1600: Quotes(0, None),  # a row, behind the cancel
        1800: Quotes(0, None),
    }
    events = (SNAPSHOT, (1650, "depth", [], [(101, 0), (103, 0)]), (1750, "depth", [], [(101, 5)]))
    played = play(plan, *events, until(1800))
    assert [row[0] for row in story(played) if row[2] == "SKIP"] == [1000, 1300, 1400, 1600]
    assert [view.us for view in played.seen][-3:] == [1500, 1600, 1800]
    assert [row[2] for row in story(played) if row[0] == 1600] == ["CANCEL_REQ", "SKIP"]


# Balances


def test_a_buy_binds_its_notional_and_its_fee(play):
    """10 lots at 98 are 980, the fee on them is 0.98: cash of 980.98 covers them, 1e-8 less does not."""
    assert whys(play(BID_98, SNAPSHOT, start_cash_e8=98_098_000_000)) == []
    assert whys(play(BID_98, SNAPSHOT, start_cash_e8=98_097_999_999)) == [(1000, 1, "SKIP", "insufficient_cash")]


def test_nothing_binds_where_balances_are_not_enforced(play):
    terms = {"enforce_balances": False, "start_cash_e8": 0, "start_lots": 0}
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, (1020, "trade", 1, 102, 10), until(1100), **terms)
    assert (whys(played), played.fills[0][8]) == ([], -10)


def test_an_order_under_cancel_binds_on_arrival_but_not_at_the_requote(play):
    """Cash covers one order. The new one is sent, but if it arrives (1110) before the old one is gone it is refused."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    terms = {"start_cash_e8": 1000 * 10**8}
    gone = play(plan, SNAPSHOT, until(1200), cancel_latency_us=10, **terms)
    assert story(gone, of=2) == [(1100, 2, "PLACE", "SENT")]
    there = play(plan, SNAPSHOT, until(1200), cancel_latency_us=11, **terms)
    assert story(there, of=2)[1:] == [
        (1110, 2, "REJECT", "REJECTED"),
    ]
    assert whys(there)[1] == (1110, 1, "REJECT", "insufficient_cash")


def test_a_bound_order_binds_what_is_left_of_it(play):
    """Eight lots at 98 fill (784.784), two stay bound under cancel (196.196): 1078.077 cover one at 97 (97.097)."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None, 1), 1200: None}
    events = (SNAPSHOT, (1020, "trade", -1, 98, 8), until(1200))
    covered = play(plan, *events, start_cash_e8=107_807_700_000, cancel_latency_us=50)
    assert [row for row in whys(covered) if row[2] == "REJECT"] == []
    short = play(plan, *events, start_cash_e8=107_807_699_999, cancel_latency_us=50)
    assert [row for row in whys(short) if row[2] == "REJECT"] == [(1110, 1, "REJECT", "insufficient_cash")]


@pytest.mark.parametrize(("start_lots", "reason"), [(15, []), (14, [(1110, -1, "REJECT", "insufficient_inventory")])])
def test_a_bound_sale_binds_what_is_left_of_it(play, start_lots, reason):
    """Of ten lots eight are sold, two stay bound under cancel, and five more are offered: 8 + 2 + 5."""
    plan = {1000: Quotes(None, 102), 1100: Quotes(None, 103, None, 5), 1200: None}
    events = (SNAPSHOT, (1020, "trade", 1, 102, 8), until(1200))
    played = play(plan, *events, start_lots=start_lots, cancel_latency_us=50)
    assert [row for row in whys(played) if row[2] == "REJECT"] == reason


@pytest.mark.parametrize(
    ("side", "trade", "reason"), [(1, (-1, 98, 10), "insufficient_cash"), (-1, (1, 102, 10), "insufficient_inventory")]
)
def test_what_a_fill_spends_is_gone_when_the_next_order_arrives(play, side, trade, reason):
    """The old order fills at 1103 under cancel; the one that replaces it was covered at 1100 and is not at 1110."""
    plan = (
        {1000: Quotes(98, None), 1100: Quotes(97, None)}
        if side > 0
        else {1000: Quotes(None, 102), 1100: Quotes(None, 103)}
    )
    events = (SNAPSHOT, (1103, "trade", *trade), until(1150))
    played = play(plan, *events, start_cash_e8=1000 * 10**8, start_lots=10)
    assert story(played)[-1] == (1110, 2, "REJECT", "REJECTED")
    assert whys(played)[-1] == (1110, side, "REJECT", reason)


def test_fees_are_rounded_half_to_even(play):
    """At a fee of 0.0005, notionals of 1000e-8 and 3000e-8 owe 0.5e-8 and 1.5e-8: 0 and 2."""
    grid = {"tick_e8": 10**6, "lot_e8": 10**3, "maker_fee_e8": 50_000}
    book = (1000, "snapshot", [(100, 5)], [(101, 5)])
    played = play({1000: Quotes(100, None)}, book, (1020, "trade", -1, 100, 1), (1030, "trade", -1, 100, 3), **grid)
    assert [row[5] for row in played.fills] == [0, 2]


def test_a_rebate_is_a_negative_fee(play):
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
def test_which_trades_fill_a_bid_at_98(play, model, trade, filled):
    """Price, aggressor, strictness, penetration and share, one by one; the order has ten lots."""
    played = play(BID_98, SNAPSHOT, (1020, "trade", *trade), fills=model)
    assert sum(row[4] for row in played.fills) == filled


@pytest.mark.parametrize(("trade", "filled"), [((1, 102, 4), 4), ((1, 101, 4), 0), ((-1, 102, 4), 0)])
def test_which_trades_fill_an_ask_at_102(play, trade, filled):
    played = play(ASK_102, SNAPSHOT, (1020, "trade", *trade))
    assert sum(row[4] for row in played.fills) == filled


def test_a_print_is_shared_best_price_first_then_oldest(play):
    """Bids at 97, 98 and 97 rest, two of them under a slow cancel: 25 lots fill order 2, then 1, then half of 3."""
    plan = {1000: Quotes(97, None), 1100: Quotes(98, None), 1200: Quotes(97, None)}
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 97, 25), cancel_latency_us=500)
    assert fills(played) == [(1250, 2, 1, 98, 10), (1250, 1, 1, 97, 10), (1250, 3, 1, 97, 5)]


def test_the_share_of_a_print_is_over_all_our_orders(play):
    """0.3 of 40 lots are 12: ten for the first and two for the second."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    model = ("trade_cross", False, 0.3, 0)
    played = play(plan, SNAPSHOT, (1150, "trade", -1, 90, 40), cancel_latency_us=500, fills=model)
    assert [row[4] for row in fills(played)] == [10, 2]


def test_a_share_is_the_decimal_that_was_said(play):
    """0.29 of 100 lots are 29, though the nearest binary number to 0.29 times 100 is less."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None), 1200: Quotes(96, None)}
    model = ("trade_cross", False, 0.29, 0)
    played = play(plan, SNAPSHOT, (1250, "trade", -1, 90, 100), cancel_latency_us=500, fills=model)
    assert [row[4] for row in fills(played)] == [10, 10, 9]


# poisson


def hazard(*pieces, reference="mid", seed=0):
    """Return a Poisson model of pieces (start_us, end_us, A per µs, k), the same for both sides."""
    return ("poisson", tuple((a, b, r * 1e6, k, r * 1e6, k, k) for a, b, r, k in pieces), reference, seed)


CERTAIN = 1e9  # fills a µs: whoever is exposed to it fills in its first µs


def test_draws_are_those_of_the_specification():
    """The first number of splitmix64 from state 0 is published; the rest follows from it."""
    assert mix(0) == 0xE220A8397B1DCDAF
    h = mix(mix(mix(mix(7) ^ 1000) ^ 1) ^ 3)
    assert unit_exponential(7, 1000, 1, 3) == -log(((h >> 11) + 0.5) / 2**53)
    assert mix(2**64 - 1) == mix(-1)


def test_a_hazard_fills_after_its_draw_in_whole_microseconds(play):
    """At 98, two ticks from the mid, with k = ln 2 and A = 0.04 per µs, the intensity is 0.01 per µs."""
    wait = int(unit_exponential(0, 1000, 1, 3) / 0.01)  # the first bid behind the snapshot: 2·1 + 1
    played = play(BID_98, SNAPSHOT, until(5000), fills=hazard((0, ALWAYS, 0.04, log(2))))
    assert fills(played)[0] == (1010 + wait, 1, 1, 98, 10)
    assert wait > 1


def test_a_fill_takes_the_whole_order_and_says_that_it_was_drawn(play):
    played = play(BID_98, SNAPSHOT, until(1060), fills=hazard((1050, ALWAYS, CERTAIN, 0.1)))
    assert played.fills == [(1050, 1, 1, 98, 10, 98_000_000, "poisson:hazard", 200, 110)]
    assert played.state[-1] == (1050, 110, -980, 98_000_000, 200, 0)


def test_intensity_is_integrated_piece_by_piece(play):
    """0.001 per µs for 40 µs, nothing for 50, then 0.02: what the first leaves of the draw is waited for behind."""
    draw = unit_exponential(0, 1000, 1, 3)
    due = 1100 + int((draw - 0.001 * 40) / 0.02)
    pieces = [(1000, 1050, 0.001, 1e-12), (1100, ALWAYS, 0.02, 1e-12)]
    assert fills(play(BID_98, SNAPSHOT, until(5000), fills=hazard(*pieces)))[0][0] == due
    assert draw > 0.04


def test_a_side_has_its_own_numbers(play):
    piece = (0, ALWAYS, 0.0, 0.1, CERTAIN * 1e6, 0.1, 0.1)
    played = play({1000: Quotes(98, 102)}, SNAPSHOT, until(1050), fills=("poisson", (piece,), "mid", 0))
    assert fills(played) == [(1010, 2, -1, 102, 10)]


@pytest.mark.parametrize(("reference", "delta"), [("mid", 1.5), ("best", 1.0), ("micro", 1.3)])
def test_where_a_bids_distance_is_measured_from(play, reference, delta):
    """Best bid 99 with 3 lots, best ask 100 with 7: the micro price, 99.3, leans to the side with fewer lots."""
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
def test_where_an_asks_distance_is_measured_from(play, reference, delta):
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
def test_which_book_events_begin_a_stretch(play, reference, bids, asks, restarts):
    """The draw that counts for the order tells whether the event at 1030 counted as a change."""
    model = hazard((1040, ALWAYS, 0.002, 1e-12), reference=reference)
    draw = unit_exponential(0, 1030, 2, 1) if reference in restarts else unit_exponential(0, 1000, 1, 3)
    played = play(BID_98, SNAPSHOT, (1030, "depth", bids, asks), until(9000), fills=model)
    assert fills(played)[0][0] == 1040 + int(draw / 0.002)


def test_two_moves_that_leave_the_mid_are_a_stretch_of_best_only(play):
    """Bid and ask step apart by one tick each: the same mid, other best prices."""
    move = (1030, "depth", [(99, 0)], [(101, 0), (102, 5)])
    for reference, draw in (("mid", (1000, 1, 3)), ("best", (1030, 2, 1))):
        model = hazard((1040, ALWAYS, 0.002, 1e-12), reference=reference)
        played = play({1000: Quotes(97, None)}, SNAPSHOT, move, until(9000), fills=model)
        assert fills(played)[0][0] == 1040 + int(unit_exponential(0, *draw) / 0.002)


def test_an_arrival_begins_a_stretch_on_its_own_side_only(play):
    """An ask that arrives at 1110 leaves the bid's stretch alone; a second bid gives both bids the draw 2·2 + 1."""
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
def test_a_drawn_fill_needs_its_stretch_to_outlast_its_instant(play, event, filled):
    """The hazard flares up in the one µs from 1050 on: the mid that moves at 1050 comes first, at 1051 too late."""
    model = hazard((1050, 1051, 1.5, 1e-12), seed=13)
    assert unit_exponential(13, 1000, 1, 3) < 1.5 < unit_exponential(13, 1050, 2, 1)
    assert fills(play(BID_98, SNAPSHOT, event, until(1060), fills=model)) == filled


@pytest.mark.parametrize(("cancel_latency_us", "filled"), [(5, []), (6, [(1105, 1, 1, 98, 10)])])
def test_a_cancel_comes_before_a_drawn_fill(play, cancel_latency_us, filled):
    model = hazard((1105, ALWAYS, CERTAIN, 0.1))
    plan = {1000: Quotes(98, None), 1100: None}
    assert fills(play(plan, SNAPSHOT, until(1200), fills=model, cancel_latency_us=cancel_latency_us)) == filled


@pytest.mark.parametrize(("ttl_us", "filled"), [(95, []), (96, [(1105, 1, 1, 98, 10)])])
def test_an_expiry_comes_before_a_drawn_fill(play, ttl_us, filled):
    """The order rests from 1010 on, and the fill is drawn for 1105."""
    model = hazard((1105, ALWAYS, CERTAIN, 0.1))
    played = play(BID_98, SNAPSHOT, until(1150), fills=model, ttl_us=ttl_us)
    assert fills(played) == filled
    assert story(played)[-1][2] == ("CLOSE_FILLED" if filled else "EXPIRE")


@pytest.mark.parametrize(("arrives_us", "filled"), [(1110, []), (1111, [(1110, 1, 1, 98, 10)])])
def test_an_arrival_ends_the_stretch_before_a_drawn_fill(play, arrives_us, filled):
    """Order 1 would fill in the one µs from 1110 on; if order 2 arrives right then, both get a new draw, in vain."""
    model = hazard((1110, 1111, 1.5, 1e-12), seed=13)
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    latencies = {"order_latency_us": arrives_us - 1100, "cancel_latency_us": 1000}
    assert unit_exponential(13, 1000, 1, 3) < 1.5 < unit_exponential(13, 1000, 1, 5)
    assert fills(play(plan, SNAPSHOT, until(1120), fills=model, **latencies)) == filled


def test_drawn_fills_of_one_instant_go_by_order_id_and_before_the_requote(play):
    """The ask is the older order, and the quote of 1150 knows of both fills of 1150."""
    plan = {1000: Quotes(None, 102), 1050: Quotes(98, 102, 7, None)}
    model = hazard((1150, ALWAYS, CERTAIN, 0.1))
    played = play(plan, SNAPSHOT, until(1150), fills=model, requote_us=50)
    assert fills(played) == [(1150, 1, -1, 102, 10), (1150, 2, 1, 98, 7)]
    assert played.seen[-1].inventory_lots == 97


def test_an_order_without_latency_may_fill_at_its_own_instant(play):
    played = play(BID_98, SNAPSHOT, until(1050), fills=hazard((0, ALWAYS, CERTAIN, 0.1)), order_latency_us=0)
    assert fills(played) == [(1000, 1, 1, 98, 10)]


def test_nothing_is_drawn_while_a_side_has_no_price(play):
    """The asks are gone from 1020 to 1060, and the certain fill of 1030 waits for their return."""
    events = (SNAPSHOT, (1020, "depth", [], [(101, 0), (103, 0)]), (1060, "depth", [], [(101, 5)]), until(1090))
    assert fills(play(BID_98, *events, fills=hazard((1030, ALWAYS, CERTAIN, 0.1)))) == [(1060, 1, 1, 98, 10)]


def test_expected_fills_are_intensity_times_time_exposed(play):
    """At 98: 20 µs at distance 2, then 70 at 1.5, and 5 more under cancel, until 1105."""
    plan = {1000: Quotes(98, None), 1100: None}
    events = (SNAPSHOT, (1030, "depth", [(99, 0)], []), until(1200))
    played = play(plan, *events, fills=hazard((0, ALWAYS, 1e-9, log(4))))
    assert played.counters["expected_fills"] == pytest.approx(1e-9 * (20 / 16 + 75 / 8))
    assert play(plan, *events).counters["expected_fills"] is None


# What is counted


def test_time_is_counted_by_book_and_by_sides(play):
    """Valid to 1500 and from 1700 to 1800; both sides rest from 1010 to 1105, when the ask's cancel takes effect."""
    plan = {1000: Quotes(98, 102), 1100: Quotes(98, None)}
    played = play(plan, SNAPSHOT, (1500, "gap"), (1700, "snapshot", BIDS, ASKS), until(1800))
    names = ("valid_us", "invalid_us", "two_sided_us", "first_us", "last_us", "events")
    assert [played.counters[name] for name in names] == [600, 200, 95, 1000, 1800, 4]


# Several tapes


def test_orders_account_and_timers_go_on_into_the_next_tape(play):
    """The second tape begins with the book of the first one's end: order 1, sent in the first, fills in the second."""
    first = replace_meta(tape_of(SNAPSHOT, until(1050)), last_update_id=7)
    second = replace_meta(tape_of((1080, "snapshot", BIDS, ASKS), (1120, "trade", -1, 98, 4)), carried_from=7)
    played = play(BID_98, tapes=[first, second])
    assert story(played) == [(1000, 1, "PLACE", "SENT"), (1120, 1, "FILL", "LIVE")]
    assert [view.us for view in played.seen] == [1000, 1100]
    assert played.mids == [(1000, 200)]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (120, 0)


def test_a_seam_is_a_gap_at_the_end_of_the_tape_before(play):
    """The second tape begins with any book: what rested at 1050 is cancelled, and up to 1080 no book is valid."""
    first, second = tape_of(SNAPSHOT, until(1050)), tape_of((1080, "snapshot", BIDS, ASKS), (1120, "trade", -1, 98, 4))
    played = play(BID_98, tapes=[first, second])
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1050, 1, "CANCEL_ACK", "CANCELLED"),
        (1100, 2, "PLACE", "SENT"),
        (1120, 2, "FILL", "LIVE"),
    ]
    assert [row for row in whys(played) if row[2] == "CANCEL_ACK"] == [(1050, 1, "CANCEL_ACK", "epoch_break")]
    assert played.mids == [(1000, 200), (1050, 0), (1080, 200)]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (90, 30)


WHOLE = [(1280, "snapshot", BIDS, ASKS), until(1310)]
WINDOW = [(1020, "snapshot", BIDS, ASKS), until(1310)]


@pytest.mark.parametrize("events", [WHOLE, WINDOW])
def test_time_goes_on_between_tapes(play, events):
    """Nobody is asked at 1100 and 1200, the order on its way arrives in no book, and state rows are written."""
    first, second = tape_of(SNAPSHOT, until(1050)), tape_of(*events).between(1280, 1311)
    played = play(BID_98, tapes=[first, second], order_latency_us=90, state_us=80)
    assert story(played) == [(1000, 1, "PLACE", "SENT"), (1090, 1, "REJECT", "REJECTED"), (1300, 2, "PLACE", "SENT")]
    assert [(row[0], row[5]) for row in played.state] == [(1000, 0), (1080, 1), (1160, 0), (1240, 0)]
    assert [view.us for view in played.seen] == [1000, 1300]
    assert played.mids == [(1000, 200), (1050, 0), (1280, 200)]


def replace_meta(tape, **meta):
    return replace(tape, meta=TapeMeta(**meta))


# Volatility


def steps(*mids, begin_us=1000):
    """Return a snapshot and a move every second, so that mid2 is that of *mids* at each sample."""
    books = [((mid2 - 2) // 2, mid2 - (mid2 - 2) // 2) for mid2 in mids]
    return [(begin_us + second * 10**6, "snapshot", [(bid, 5)], [(ask, 5)]) for second, (bid, ask) in enumerate(books)]


def test_sigma_is_the_root_mean_square_of_a_seconds_change_of_the_mid(play):
    """Three samples, mid2 moving by 2, −4 and 6: σ² = (1 + 4 + 9)/3 ticks²; in a window of two, (4 + 9)/2."""
    for window_s, last in ((3, sqrt(14 / 3)), (2, sqrt(13 / 2)), (1, 3.0), (4, None)):
        played = play({}, *steps(200, 202, 198, 204), requote_us=10**6, sigma_window_s=window_s)
        sigmas = [view.sigma_ticks for view in played.seen]
        assert all(isnan(sigma) for sigma in sigmas[:window_s])
        assert isnan(sigmas[-1]) if last is None else sigmas[-1] == pytest.approx(last)


def test_a_second_that_saw_no_book_is_left_out(play):
    """The gap in the second second, however short, takes its sample; the window of two is full again a second later."""
    events = steps(200, 202, 198, 204, 205)
    events[2:2] = [(1_500_000, "gap"), (1_500_000, "snapshot", [(98, 5)], [(102, 5)])]
    played = play({}, *events, requote_us=10**6, sigma_window_s=2)
    sigmas = [view.sigma_ticks for view in played.seen]
    assert [isnan(sigma) for sigma in sigmas] == [True, True, True, True, False]
    assert sigmas[-1] == pytest.approx(sqrt((9 + 0.25) / 2))


def test_the_sample_of_an_instant_stands_behind_its_market_and_before_its_requote(play):
    """The move of the last instant is in the σ that its requote sees."""
    played = play({}, *steps(200, 210), requote_us=10**6, sigma_window_s=1)
    assert played.seen[-1].sigma_ticks == pytest.approx(5.0)


def sigmas(play, *events, **changes):
    return [view.sigma_ticks for view in play({}, *events, requote_us=10**6, **changes).seen]


def test_two_scales_take_the_bounce_out(play):
    """m = 2: by 2, −4, 6 and 2 a second, −2, 2 and 8 over two, mid2: σ² = ((4 + 4 + 64)/3 − 60/4)/4; then the window
    of four moves on by a second. A mid that only comes and goes has none."""
    two_scale = {"sigma_method": "two_scale", "sigma_window_s": 4}
    found = sigmas(play, *steps(200, 202, 198, 204, 206, 205), **two_scale)
    assert all(isnan(sigma) for sigma in found[:4])
    assert found[4:] == pytest.approx([1.5, sqrt((23 - 14.25) / 4)])
    assert sigmas(play, *steps(200, 202, 200, 202, 200), **two_scale)[-1] == 0.0


def test_no_change_of_two_scales_spans_a_break(play):
    """What begins before the gap ends before it: three changes over two seconds are there four seconds later again."""
    events = steps(200, 202, 198, 204, 205, 206, 207)
    events[2:2] = [(1_500_000, "gap"), (1_500_000, "snapshot", [(98, 5)], [(102, 5)])]
    found = sigmas(play, *events, sigma_method="two_scale", sigma_window_s=4)
    assert [isnan(sigma) for sigma in found] == [True] * 6 + [False]
    assert found[-1] == pytest.approx(sqrt((((205 - 198) ** 2 + 2**2 + 2**2) / 3 - (36 + 1 + 1 + 1) / 4) / 4))


def test_a_change_counts_half_after_its_half_life(play):
    """mid2 moves by 2, −4 and 6: σ² = 4/4, then (2 + 16)/1.5/4, then (1 + 8 + 36)/1.75/4."""
    found = sigmas(play, *steps(200, 202, 198, 204), sigma_method="ewma", sigma_half_life_s=1)
    assert isnan(found[0])
    assert found[1:] == pytest.approx([1.0, sqrt(3), sqrt(45 / 7)])
    found = sigmas(play, *steps(200, 202, 198, 204), sigma_method="ewma", sigma_half_life_s=2.5)
    assert [isnan(sigma) for sigma in found] == [True, True, True, False]


@pytest.mark.parametrize(("half_life_s", "pause_s", "old"), [(1.0, 1, 0.25), (0.4, 4, 0.5**12.5), (0.4, 5, 0.0)])
def test_weights_fade_in_a_pause_too_and_a_long_one_forgets(play, half_life_s, pause_s, old):
    """mid2 moves by 2; some seconds have no whole book; it moves by 4. *old* is what the first change still weighs."""
    back_us = 1000 + (1 + pause_s) * 10**6
    events = [*steps(200, 202), (1_500_000, "gap"), *steps(200, 204, begin_us=back_us)]
    found = sigmas(play, *events, sigma_method="ewma", sigma_half_life_s=half_life_s)
    assert found[-1] == pytest.approx(sqrt((4 * old + 16) / (old + 1)) / 2, rel=1e-12)
    assert isnan(found[-2]) == (old == 0.0)
