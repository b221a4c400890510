"""Orders that take, are amended and come by hand, latencies and filters, worked out for the oracle and the engine.

The book is that of oracle_lab.py: bids 5 at 99 and 7 at 98, asks 5 at 101 and 7 at 103.
"""

import numpy as np
import pytest

from mm.backtest.journal import KINDS
from mm.backtest.latency import Latencies
from mm.backtest.quotes.view import Quotes
from mm.instrument import E8, Filters
from oracle_lab import SNAPSHOT, TWINS, fills, player, story, tape_of, until, whys


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def bid(ticks, lots, kind):
    return {1000: Quotes(ticks, None, lots, None, kind), 1001: None}


def ends(played):
    """Return how each order ended: the status of its last row, and what was left."""
    return {row[1]: (status, row[7]) for row, (_, _, _, status) in zip(played.orders, story(played), strict=True)}


# Kinds and taking


@pytest.mark.parametrize(
    ("kind", "ticks", "lots", "taken", "end"),
    [
        ("LIMIT_MAKER", 101, 3, [], ("REJECTED", 3)),
        ("LIMIT", 101, 3, [(101, 3)], ("FILLED", 0)),
        ("LIMIT", 102, 8, [(101, 5)], ("LIVE", 3)),
        ("LIMIT", 100, 8, [], ("SENT", 8)),  # it rests, without a row
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
def test_what_an_order_of_each_kind_takes(play, kind, ticks, lots, taken, end):
    """Level by level, at each level's price, as far as its own accepts."""
    played = play(bid(ticks, lots, kind), SNAPSHOT, until(1020))
    assert [(row[3], row[4]) for row in played.fills] == taken
    assert {row[6] for row in played.fills} <= {"taker:book"}
    assert ends(played) == {1: end}


def test_a_taker_pays_the_takers_fee_and_what_rests_the_makers(play):
    """505 at 0.2 %, then 204 at 0.1 %."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT")}
    played = play(plan, SNAPSHOT, (1020, "trade", -1, 102, 2), taker_fee_e8=200_000)
    assert [row[3:7] for row in played.fills] == [
        (101, 5, 101_000_000, "taker:book"),
        (102, 2, 20_400_000, "trade_cross:trade"),
    ]


def test_a_market_order_has_no_price(play):
    """Its rows show 0, its fills those of the levels."""
    played = play({1000: Quotes(None, 97.2, None, 9, ask_kind="MARKET"), 1001: None}, SNAPSHOT, until(1020))
    assert {row[5] for row in played.orders} == {0}
    assert fills(played) == [(1010, 1, -1, 99, 5), (1010, 1, -1, 98, 4)]


def test_a_market_quote_stays_whatever_its_price(play):
    """It is on its way for 150 µs; that another price is named at 1100 is no reason to replace it."""
    plan = {1000: Quotes(90, None, 2, None, "MARKET"), 1100: Quotes(95, None, 2, None, "MARKET"), 1101: None}
    assert ends(play(plan, SNAPSHOT, until(1180), order_latency_us=150)) == {1: ("FILLED", 0)}


def test_a_quote_of_another_kind_replaces_the_order(play):
    plan = {1000: Quotes(98, None), 1100: Quotes(98, None, None, None, "LIMIT")}
    played = play(plan, SNAPSHOT, until(1150))
    assert whys(played)[0] == (1100, 1, "CANCEL_REQ", "quote_moved")


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        ((1015, "depth", [(97, 1)], []), [5, 5]),
        ((1015, "trade", 1, 101, 4), [5]),
        ((1015, "snapshot", [(99, 5)], [(101, 2)]), [5, 2]),
    ],
)
def test_what_was_taken_is_there_again_after_the_next_book_event(play, event, taken):
    """Two of ours want five lots each at 101, the second one arrives at 1020."""
    hands = [(1000, "place", 1, 101, 5, "IOC"), (1010, "place", 1, 101, 5, "IOC")]
    assert [row[4] for row in play({}, SNAPSHOT, event, until(1030), by_hand=hands).fills] == taken


def test_a_taker_meets_the_book_before_the_market_moves(play):
    """The ask of 101 leaves at 1010, when the order arrives; it is taken all the same."""
    played = play(bid(101, 3, "IOC"), SNAPSHOT, (1010, "depth", [], [(101, 0)]))
    assert fills(played) == [(1010, 1, 1, 101, 3)]


def test_a_cancel_that_travels_with_an_order_finds_what_it_left(play):
    """Taken at 1150, the rest is cancelled in the same instant."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT"), 1100: None}
    played = play(plan, SNAPSHOT, until(1180), order_latency_us=150)
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_REQ", "SENT"),
        (1150, 1, "FILL", "CANCELLING"),
        (1150, 1, "CANCEL_ACK", "CANCELLED"),
    ]


@pytest.mark.parametrize(("cash_e8", "reason"), [(506_010_000_00, ""), (506_009_999_99, "insufficient_cash")])
def test_a_taker_binds_the_larger_fee(play, cash_e8, reason):
    """5 at 101 are 505, at the taker rate of 0.2 % 1.01 more."""
    played = play(bid(101, 5, "LIMIT"), SNAPSHOT, start_cash_e8=cash_e8, taker_fee_e8=200_000)
    assert [row[3] for row in whys(played)] == [reason] * bool(reason)


@pytest.mark.parametrize(("cash_e8", "reason"), [(608 * E8, ""), (608 * E8 - 1, "insufficient_cash")])
def test_a_market_buy_binds_what_it_would_pay(play, cash_e8, reason):
    """5 at 101 and one at 103, without a fee."""
    played = play(bid(1, 6, "MARKET"), SNAPSHOT, start_cash_e8=cash_e8, maker_fee_e8=0, taker_fee_e8=0)
    assert [row[3] for row in whys(played)] == [reason] * bool(reason)


def test_open_orders_count_in_the_best_and_the_worst_case(play):
    """Ten lots on each side, on their way at 1100 or resting, cancelled ones too until they are gone."""
    plan = {1000: Quotes(98, 102), 1200: Quotes(97, 102)}
    played = play(plan, SNAPSHOT, until(1300), cancel_latency_us=150)
    assert [(view.us, view.most_lots, view.least_lots) for view in played.seen] == [
        (1000, 100, 100),
        (1100, 110, 90),
        (1200, 110, 90),
        (1300, 120, 90),
    ]


# By hand


def test_orders_by_hand_are_none_of_the_quote_models(play):
    """It withdraws its own at 1100; the other stays, and is no reason not to send."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, (1120, "trade", -1, 97, 30), by_hand=[(1050, "place", 1, 98, 4, "LIMIT_MAKER")])
    assert played.told == [2]
    assert fills(played) == [(1120, 2, 1, 98, 4)]


def test_a_cancel_by_hand_is_asked_for_once(play):
    hands = [(1000, "place", 1, 98, 4, "LIMIT_MAKER"), (1020, "cancel", 1), (1021, "cancel", 1), (1050, "cancel", 9)]
    played = play({}, SNAPSHOT, until(1100), by_hand=hands)
    assert played.told == [1, 1, 0, 0]
    assert whys(played) == [(1020, 1, "CANCEL_REQ", "asked"), (1025, 1, "CANCEL_ACK", "asked")]


def test_a_hand_acts_behind_everything_of_its_instant(play):
    """Sent at 1000 without latency it has missed the trade of 1000, and meets that of 1001."""
    sale = (1000, "trade", -1, 98, 4)
    hands = [(1000, "place", 1, 98, 9, "LIMIT_MAKER")]
    played = play({}, SNAPSHOT, sale, (1001, "trade", -1, 98, 3), by_hand=hands, order_latency_us=0)
    assert fills(played) == [(1001, 1, 1, 98, 3)]


def test_every_order_that_is_not_sent_by_hand_leaves_a_row(play):
    """Where the quote model's stretches of equal reasons leave one."""
    hands = [(1000, "place", 1, 0, 4, "LIMIT"), (1000, "place", 1, 0, 4, "LIMIT"), (1000, "place", 1, 98, 0, "IOC")]
    played = play({}, SNAPSHOT, by_hand=hands)
    assert played.told == [0, 0, 0]
    assert [row[3] for row in whys(played)] == ["price_not_positive"] * 2 + ["quantity_below_step"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_while_there_is_no_book_is_rejected(play, kind):
    played = play({}, SNAPSHOT, (1005, "gap"), until(1020), by_hand=[(1000, "place", 1, 98, 4, kind)])
    assert whys(played) == [(1010, 1, "REJECT", "book_invalid")]


# Amending


def test_an_amendment_takes_effect_as_late_as_an_order(play):
    """Ten lots, three fill at 1020; amended to six from 1025 on, three are left for the print of 1030."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1015, "amend", 1, 6)]
    sales = [(1020, "trade", -1, 98, 3), (1030, "trade", -1, 98, 9)]
    played = play({}, SNAPSHOT, *sales, by_hand=hands)
    assert played.told == [1, 1]
    assert [row[4] for row in played.fills] == [3, 3]
    assert played.orders[2] == (1025, 1, 8, 1, 1, 98, 6, 3, 1010, -1, -1, -1, 0, 0)


@pytest.mark.parametrize(("sold", "left"), [(5, [5, 1]), (6, [6, 4]), (7, [7, 3])])
def test_an_amendment_that_is_overtaken_by_fills_comes_to_nothing(play, sold, left):
    """To six of ten: if six or more have filled by then, the order stays as it is."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1015, "amend", 1, 6)]
    sales = [(1020, "trade", -1, 98, sold), (1030, "trade", -1, 98, 9)]
    assert [row[4] for row in play({}, SNAPSHOT, *sales, by_hand=hands).fills] == left


@pytest.mark.parametrize(("lots", "answer"), [(0, 0), (10, 0), (11, 0), (5, 0), (4, 1), (8, 1)])
def test_which_amendments_are_sent(play, lots, answer):
    """Whole steps of two, more than have filled and fewer than there are."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1030, "amend", 1, lots), (1031, "amend", 1, 2)]
    played = play({}, SNAPSHOT, (1020, "trade", -1, 98, 1), until(1100), by_hand=hands, step_lots=2)
    assert played.told[1:] == [answer, 1 - answer]  # one at a time


def test_an_amendment_comes_before_the_cancel_of_its_instant(play):
    """Both take effect at 1105, on an order that arrived at 1100."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1005, "amend", 1, 2), (1010, "cancel", 1)]
    played = play({}, SNAPSHOT, until(1110), by_hand=hands, order_latency_us=100, cancel_latency_us=95)
    assert story(played)[2:] == [(1105, 1, "AMEND", "CANCELLING"), (1105, 1, "CANCEL_ACK", "CANCELLED")]
    assert [row[7] for row in played.orders] == [10, 10, 2, 2]


def test_an_amendment_comes_before_the_expiry_of_its_instant(play):
    """Asked for at 1010, it takes effect at 1110, when the order that arrived at 1100 has lived its 10 µs."""
    hands = [(1000, "place", 1, 98, 10, "LIMIT_MAKER"), (1010, "amend", 1, 2)]
    played = play({}, SNAPSHOT, until(1120), by_hand=hands, order_latency_us=100, ttl_us=10)
    assert story(played)[1:] == [(1110, 1, "AMEND", "LIVE"), (1110, 1, "EXPIRE", "EXPIRED")]
    assert [row[7] for row in played.orders] == [10, 2, 2]


# Quotes that get smaller at their price

LESS = {1000: Quotes(98, None, 10), 1100: Quotes(98, None, 6)}


def amendments(played):
    """Return instant, order, quantity and remainder of each amendment."""
    rows = zip(played.orders, story(played), strict=True)
    return [(row[0], row[1], row[6], row[7]) for row, told in rows if told[2] == "AMEND"]


def test_a_quote_that_gets_smaller_amends_its_order(play):
    """Wanted at the requote of 1100, effective at 1110: the same order, and no cancel."""
    played = play(LESS, SNAPSHOT, until(1300), order_amend=True)
    assert story(played) == [(1000, 1, "PLACE", "SENT"), (1110, 1, "AMEND", "LIVE")]
    assert amendments(played) == [(1110, 1, 6, 6)]


def test_the_order_stays_as_it_is_without_the_rule(play):
    assert story(play(LESS, SNAPSHOT, until(1300))) == [(1000, 1, "PLACE", "SENT")]


def test_what_is_wanted_is_what_is_left(play):
    """Three of ten are sold at 1050: of the seven that are left six are wanted, nine in all."""
    played = play(LESS, SNAPSHOT, (1050, "trade", -1, 98, 3), until(1300), order_amend=True)
    assert amendments(played) == [(1110, 1, 9, 6)]


@pytest.mark.parametrize(("lots", "sold"), [(10, 0), (12, 0), (7, 3), (8, 3)])
def test_a_quote_that_is_no_smaller_than_what_is_left_keeps_the_order(play, lots, sold):
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
def test_an_order_is_amended_where_the_exchange_permits_it(play, rules, left):
    """In whole steps, with the quantity that its filters allow; else it stays as it is."""
    played = play(LESS, SNAPSHOT, until(1300), order_amend=True, **rules)
    assert [row[3] for row in amendments(played)] == left
    assert "CANCEL_REQ" not in [row[2] for row in story(played)]


@pytest.mark.parametrize(("most", "left"), [(0, [8, 6, 4]), (2, [8, 6]), (1, [8])])
def test_an_order_is_amended_so_often_only(play, most, left):
    """MAX_NUM_ORDER_AMENDS; 0 is no limit."""
    plan = {us: Quotes(98, None, lots) for us, lots in ((1000, 10), (1100, 8), (1200, 6), (1300, 4))}
    played = play(plan, SNAPSHOT, until(1500), order_amend=True, filters=Filters(max_amends=most))
    assert [row[3] for row in amendments(played)] == left


def test_one_that_is_under_way_is_amended_when_it_rests(play):
    """It arrives at 1150: the requote of 1200 amends it, that of 1100 cannot yet."""
    played = play(LESS, SNAPSHOT, until(1500), order_amend=True, order_latency_us=150)
    assert amendments(played) == [(1350, 1, 6, 6)]


def test_amendments_of_one_order_go_one_by_one(play):
    """The one of 1100 takes effect at 1250: the one of 1200 waits for that until 1300."""
    plan = LESS | {1200: Quotes(98, None, 3)}
    played = play(plan, SNAPSHOT, until(1600), order_amend=True, order_latency_us=150, by_hand=[])
    assert amendments(played) == [(1350, 1, 3, 3)]


def test_an_order_that_is_to_be_renewed_is_replaced(play):
    """`refresh_us` gives up the place in the queue all the same."""
    played = play(LESS, SNAPSHOT, until(1150), order_amend=True, refresh_us=100)
    assert [(row[2], row[1]) for row in story(played)][:3] == [("PLACE", 1), ("CANCEL_REQ", 1), ("PLACE", 2)]


def test_orders_by_hand_are_not_amended_to_a_quote(play):
    plan = {1000: Quotes(97, None, 2)}
    played = play(plan, SNAPSHOT, until(1300), order_amend=True, by_hand=[(1005, "place", 1, 97, 5, "LIMIT_MAKER")])
    assert amendments(played) == []


# Measured latencies


def ms(*us):
    return np.array(us) / 1000


def test_draws_pick_a_row_of_the_file(play):
    """One row: orders take 20 µs, cancels 3."""
    plan = {1000: Quotes(98, None), 1100: None}
    played = play(plan, SNAPSHOT, until(1200), latencies=Latencies.of(ms(20), ms(3)))
    assert played.orders[-1][8:12] == (1020, -1, 1100, 1103)


@pytest.mark.parametrize(("rate", "arrives_us"), [(1.0, 1005), (0.5, 1050), (2.0, 1005)])
def test_of_equal_rates_the_window_stops_where_it_is_no_longer_below(play, rate, arrives_us):
    """One event in the last second: of eleven rows of one rate the first two count, or the last two if it is less."""
    file = Latencies.of(ms(5, 5, *[20] * 7, 50, 50), None, np.full(11, rate))
    played = play({1000: Quotes(98, None)}, SNAPSHOT, until(1060), latencies=file)
    assert played.orders[0][8] == arrives_us


@pytest.mark.parametrize(("trade_us", "arrives_us"), [(1000, 1_001_005), (1001, 1_001_050)])
def test_an_event_of_a_second_ago_is_no_longer_counted(play, trade_us, arrives_us):
    """At 1_001_000 the snapshot of 1000 is gone; the trade only if it was of that instant."""
    file = Latencies.of(ms(5, 50), None, np.array([0.0, 1.0]))
    plan, trade = {1_001_000: Quotes(98, None)}, (trade_us, "trade", 1, 90, 1)
    played = play(plan, SNAPSHOT, trade, until(1_001_100), latencies=file, requote_us=1_000_000)
    assert played.orders[0][8] == arrives_us


def test_amendments_may_overtake_each_other(play):
    """Drawn 60 µs for order 1 and 1 µs for order 2: only orders and cancels keep their order among themselves."""
    file = Latencies.of(ms(1, 60), ms(1, 60))
    hands = [(1000, "place", 1, 98, 4, "LIMIT_MAKER"), (1000, "place", 1, 97, 4, "LIMIT_MAKER")]
    hands += [(1100, "amend", 1, 2), (1100, "amend", 2, 3)]
    found = []
    for seed in range(12):
        played = play({}, SNAPSHOT, until(1300), by_hand=hands, latencies=file, latency_seed=seed)
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
        ({"bid_down_e8": 98 * E8 // 100}, (98, 4), ""),  # of the trade at 100
        ({"bid_down_e8": 98 * E8 // 100 + 1}, (98, 4), "price_out_of_band"),
        ({"ask_down_e8": 2 * E8}, (98, 4), ""),
        ({"bid_up_e8": 97 * E8 // 100}, (98, 4), "price_out_of_band"),
    ],
)
def test_what_the_exchange_asks_of_price_and_size(play, filters, order, reason):
    """Sizes before it is sent, prices on arrival, both ends included."""
    hands = [(1005, "place", 1, *order, "LIMIT_MAKER")]
    played = play({}, SNAPSHOT, (1004, "trade", 1, 100, 1), until(1030), by_hand=hands, filters=Filters(**filters))
    assert [row[3] for row in whys(played)] == [reason] * bool(reason)


def test_the_mean_price_begins_anew_with_a_tape(play):
    """Its trades were at 100 and 110; until the next tape has one, the last of them counts alone."""
    first = tape_of(SNAPSHOT, (1010, "trade", 1, 100, 1), (1020, "trade", 1, 110, 1))
    second = tape_of((1030, *SNAPSHOT[1:]), until(1100))
    filters = Filters(bid_down_e8=90 * E8 // 100, average_mins=1)
    hands = [(1015, "place", 1, 97, 1, "LIMIT_MAKER"), (1040, "place", 1, 98, 1, "LIMIT_MAKER")]
    played = play({}, tapes=[first, second], by_hand=hands, filters=filters, order_latency_us=0)
    assert [row for row in whys(played) if row[2] == "REJECT"] == [(1040, 1, "REJECT", "price_out_of_band")]
