"""Queues, crossing books, hybrid models, user hooks and a delayed feed on hand-calculated tapes, for oracle and engine.

The book is that of oracle_lab.py: bids 5 at 99 and 7 at 98, asks 5 at 101 and 7 at 103; our bid of ten lots rests at
98 from 1010, behind seven.
"""

from dataclasses import replace

import numpy as np
import pytest

from mm import Quotes
from oracle_lab import ASKS, BIDS, SNAPSHOT, TWINS, fills, order_rows, player, tape_of, until

BID_98 = {1000: Quotes(98, None)}
CAUTIOUS, FRONT, POWER, LOG = ("queue_back",), ("queue_front",), ("queue_prob_power", 2.0), ("queue_prob_log",)


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def filled(played):
    """Return the fills as (us, lots, reason)."""
    return [(row[0], row[4], row[6]) for row in played.fills]


def sold(us, ticks, lots):
    return (us, "trade", -1, ticks, lots)


def bids(us, *levels):
    return (us, "depth", list(levels), [])


# price_cross


@pytest.mark.parametrize(("penetration_ticks", "ask_ticks", "lots"), [(0, 98, 10), (1, 98, 0), (1, 97, 10), (0, 99, 0)])
def test_price_cross_fills_whole_order_when_opposite_price_reaches_it(play, penetration_ticks, ask_ticks, lots):
    """The bids are removed, and an ask appears at or near our bid."""
    book = (1050, "depth", [(99, 0), (98, 0)], [(ask_ticks, 1)])
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 3), book, fills=("price_cross", penetration_ticks))
    assert filled(played) == [(1050, lots, "price_cross:book")] * bool(lots)


@pytest.mark.parametrize("model", [("price_cross", 0), CAUTIOUS])
def test_a_fill_has_the_last_valid_mid_before_the_event_that_fills_it(play, model):
    """A change of the book moves the mid from 99.5 to 97.5 and fills our bid at 98: it earned 1.5 ticks of half-spread.

    The mid was 100, and moved to 99.5 at the same instant, before that. The state row has the mid after both changes.
    """
    first = (1050, "depth", [(99, 0)], [])
    book = (1050, "depth", [(98, 0), (97, 4)], [(98, 1)])
    played = play(BID_98, SNAPSHOT, first, book, fills=model)
    assert [row[7] for row in played.fills] == [98 + 101]
    assert [(row[0], row[4]) for row in played.state if row[0] == 1050] == [(1050, 97 + 98)]


def test_a_print_fills_at_the_mid_before_it(play):
    """The mid moves from 100 to 99.5 before the print, and to 102 after it, all at one instant."""
    events = (1050, "depth", [(99, 0)], []), sold(1050, 97, 20), (1050, "depth", [(101, 1)], [(101, 0), (103, 7)])
    played = play(BID_98, SNAPSHOT, *events, until(1060))
    assert [(row[1], row[7]) for row in played.fills] == [(1, 199)]


def test_price_cross_fills_only_with_a_new_book_event(play):
    """The rest of a taker order at 102, above the best ask of 101 that it took, fills with the next book event."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT")}
    played = play(plan, SNAPSHOT, sold(1020, 90, 9), bids(1050, (97, 1)), fills=("price_cross", 0))
    assert filled(played) == [(1010, 5, "taker:book"), (1050, 3, "price_cross:book")]


# Queues


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_trades_consume_queue_ahead_first(play, model):
    """Seven lots are ahead: five trade, then four, of which two are ours."""
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 5), sold(1030, 98, 4), fills=model)
    assert filled(played) == [(1030, 2, "queue:trade")]


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_depth_removed_by_trade_is_not_a_cancellation(play, model):
    """Five trade and two remain displayed: two are still ahead."""
    events = (sold(1020, 98, 5), bids(1025, (98, 2)), sold(1030, 98, 3))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, 1, "queue:trade")]


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_trades_before_arrival_reduce_the_queue_ahead(play, model):
    """Three trade at 1005, so four are ahead at 1010; the book of 1015 that shows four is no cancellation."""
    events = (sold(1005, 98, 3), bids(1015, (98, 4)), sold(1030, 98, 5))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, 1, "queue:trade")]


@pytest.mark.parametrize("model", [FRONT, POWER, LOG])
def test_cancellations_exceeding_queue_behind_reduce_queue_ahead(play, model):
    """Six join, then nine of thirteen leave: at least three of those were ahead, since only six were behind."""
    events = (bids(1020, (98, 13)), bids(1025, (98, 4)), sold(1030, 98, 6))
    (fill,) = filled(play(BID_98, SNAPSHOT, *events, fills=model))
    assert fill[1] >= 2


@pytest.mark.parametrize(("model", "ours"), [(CAUTIOUS, 1), (POWER, 3), (LOG, 5), (FRONT, 8)])
def test_cancellation_is_split_between_ahead_and_behind(play, model, ours):
    """Seven ahead, 13 behind, ten leave: none, 10·49/218 = 2.2 or 10·ln 8/(ln 8 + ln 14) = 4.4 of them from ahead."""
    events = (bids(1020, (98, 20)), bids(1025, (98, 10)), sold(1030, 98, 8))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, ours, "queue:trade")]


def test_trade_beyond_price_clears_queue_even_when_fully_consumed(play):
    """Two orders at 98 and 97: a trade of ten at 96 fills the first, and the second becomes first in its queue."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    events = (bids(1005, (97, 9)), sold(1050, 96, 10), sold(1060, 97, 1))
    played = play(plan, SNAPSHOT, *events, fills=CAUTIOUS, cancel_latency_us=500, requote_us=20)
    assert fills(played) == [(1050, 1, 1, 98, 10), (1060, 2, 1, 97, 1)]


@pytest.mark.parametrize(("asks", "lots"), [([(98, 1)], 1), ([(98, 1), (97, 4)], 5), ([(97, 40)], 10)])
def test_queue_model_fills_what_a_crossing_book_shows(play, asks, lots):
    """What the other side shows at our price or better; the rest stays."""
    book = (1050, "depth", [(99, 0), (98, 0)], asks)
    assert filled(play(BID_98, SNAPSHOT, book, fills=LOG)) == [(1050, lots, "queue:book")]


def test_what_the_book_showed_is_met_once_while_it_crosses(play):
    """Three stay for three messages, two more join, and after the book has left it comes anew."""
    events = [
        (1050, "depth", [(99, 0), (98, 0)], [(98, 3)]),
        (1051, "depth", [(97, 2)], []),
        (1052, "depth", [(97, 3)], [(98, 5)]),
        (1053, "depth", [(97, 0), (96, 3)], []),
        (1054, "depth", [], [(98, 0)]),
        (1055, "depth", [], [(98, 1)]),
    ]
    by_book = [(1050, 3, "queue:book"), (1053, 2, "queue:book"), (1055, 1, "queue:book")]
    assert filled(play(BID_98, SNAPSHOT, *events, fills=CAUTIOUS)) == by_book


def test_remainder_of_taker_is_first_in_queue_at_its_price(play):
    """There are no other bids at 102."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT")}
    played = play(plan, SNAPSHOT, sold(1020, 102, 2), fills=POWER)
    assert filled(played) == [(1010, 5, "taker:book"), (1020, 2, "queue:trade")]


# Several models


def hybrid(*models):
    return ("hybrid", models)


HALF, ALL, STRICT = ("trade_cross", False, 0.5, 0), ("trade_cross", False, 1.0, 0), ("trade_cross", True, 1.0, 0)
GREEDY = ("users", ("on_trade", "on_book"), (100,))


@pytest.mark.parametrize(
    ("models", "reason", "lots"),
    [
        ([HALF, ALL], "trade_cross:trade", 4),
        ([CAUTIOUS, HALF], "trade_cross:trade", 2),
        ([GREEDY, ALL], "Noting:trade", 4),
        ([ALL, GREEDY], "trade_cross:trade", 4),
        ([STRICT, CAUTIOUS], None, 0),
    ],
)
def test_hybrid_uses_largest_fill_and_first_model_on_ties(play, models, reason, lots):
    """A trade of four at our price with seven ahead; fills are capped by the trade's lots."""
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 4), fills=hybrid(*models))
    assert filled(played) == [(1020, lots, reason)] * bool(lots)


def test_share_is_reduced_by_lots_other_orders_took(play):
    """Of twelve lots, one model may fill six and the other all: the first order takes ten, which uses up the six."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    terms = {"cancel_latency_us": 500, "requote_us": 20}
    for models, lots in (([STRICT, HALF], [10, 2]), ([HALF, ("trade_cross", False, 1.0, 2)], [10])):
        played = play(plan, SNAPSHOT, sold(1050, 96, 12), fills=hybrid(*models), **terms)
        assert [row[4] for row in fills(played)] == lots


def test_hybrid_combines_drawn_fills_with_trade_fills(play):
    """A trade fills four lots; the certain draw of 1050 fills the remaining six."""
    poisson = ("poisson", ((1050, 2**62, 1e15, 0.1, 1e15, 0.1, 0.1),), "mid", 0)
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 4), until(1060), fills=hybrid(ALL, poisson))
    assert filled(played) == [(1020, 4, "trade_cross:trade"), (1050, 6, "poisson:hazard")]


# User hooks

EVERY = ("users", ("on_rest", "on_trade", "on_level", "on_book"), (0,))


def calls_of(played, *names):
    return [note for note in played.hook_calls if note[0] in names]


def test_on_level_is_called_before_on_book_when_lots_changed_or_traded(play):
    """Lots change at 1020, not at 1030, and are the same at 1050 although two traded."""
    events = (bids(1020, (98, 9)), bids(1030, (97, 1)), sold(1040, 98, 2), bids(1050, (98, 9)))
    played = play(BID_98, SNAPSHOT, *events, fills=EVERY)
    assert [note[6:] for note in calls_of(played, "on_level")] == [(7, 9), (9, 9)]
    assert [note[0] for note in played.hook_calls] == [
        *("on_rest", "on_level", "on_book", "on_book", "on_trade", "on_level", "on_book")
    ]


def test_trade_before_arrival_triggers_on_level_at_next_book(play):
    """Two lots trade at 1005; the order arrives at 1010."""
    played = play(BID_98, SNAPSHOT, sold(1005, 98, 2), bids(1020, (97, 1)), fills=EVERY)
    assert [note[6:] for note in calls_of(played, "on_level")] == [(7, 7)]


def test_elapsed_us_counts_from_rest_or_last_book_event(play):
    """First since the order rests, then since the last book event; each model of a hybrid receives the same value."""
    played = play(BID_98, SNAPSHOT, bids(1030, (97, 1)), bids(1070, (97, 2)), fills=hybrid(EVERY, EVERY))
    assert [note[-1] for note in calls_of(played, "on_book")] == [20, 20, 40, 40]


def test_on_trade_receives_lots_left_by_other_orders(play):
    """The hook is called for each resting order, even when no lots are left."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    model = ("users", ("on_trade",), (100,))
    played = play(plan, SNAPSHOT, sold(1050, 96, 10), fills=model, cancel_latency_us=500, requote_us=20)
    assert [(note[1], note[9]) for note in calls_of(played, "on_trade")] == [(1, 10), (2, 0)]


def test_on_level_is_called_for_all_orders_before_on_book(play):
    played = play({1000: Quotes(98, 103)}, SNAPSHOT, (1030, "depth", [(98, 1)], [(103, 1)]), fills=EVERY)
    assert [note[:2] for note in played.hook_calls[2:]] == [
        ("on_level", 1),
        ("on_level", 2),
        ("on_book", 1),
        ("on_book", 2),
    ]


def test_first_book_of_window_has_time_of_window_start(play):
    """The change at 1020 precedes the window; an order that rests at 1060 receives the book of 1050."""
    tape = tape_of(SNAPSHOT, bids(1020, (99, 0)), until(1100)).between(1050, 1101)
    played = play({1050: Quotes(98, None)}, tapes=[tape], fills=EVERY)
    assert calls_of(played, "on_rest")[0][6:9] == (1050, 98, 101)


# A delayed feed


def lagging(*events):
    """Return a tape of (exchange time, event); the lowest latency is the 500 µs of the specification."""
    tape = tape_of(*[event for _, event in events], tick_e8=10**8)
    return replace(tape, event_exch_us=np.array([us for us, _ in events]))


def quick(us):
    """Return an event with the lowest latency, which fixes the clock offset."""
    return us - 500, until(us)


def test_recorded_feed_exchange_acts_before_we_receive_events(play):
    """The ask falls to 98 at 1600 and we receive it at 2100: a bid at 98 is still sent at 1700 and is rejected."""
    fell = (2100, "depth", [(99, 0), (98, 0), (97, 3)], [(98, 4)])
    tape = lagging((0, SNAPSHOT), quick(1510), (1600, fell), quick(2200))
    played = play({1700: Quotes(98, None), 1701: None}, tapes=[tape], recorded_feed=True)
    assert order_rows(played) == [(1700, 1, "PLACE", "SENT"), (1710, 1, "REJECT", "REJECTED")]
    assert [view.ask_ticks for view in played.views] == [101] * 11 + [98] * 2
    assert played.mids == [(1000, 200), (1600, 195)]
    assert played.state[1][0::4] == (2000, 195)


def test_recorded_feed_trade_fills_at_its_exchange_time(play):
    """The fill is at 1600, although we receive the trade at 2100; our own fill is known at once."""
    tape = lagging((0, SNAPSHOT), quick(1510), (1600, sold(2100, 98, 4)), quick(2200))
    played = play(BID_98, tapes=[tape], recorded_feed=True)
    assert filled(played) == [(1600, 4, "trade_cross:trade")]
    views_at = {view.us: (view.inventory_lots, view.last_trade and view.last_trade[0]) for view in played.views}
    assert (views_at[1500], views_at[1600], views_at[2000], views_at[2100]) == (
        (100, None),
        (104, 1510),
        (104, 1510),
        (104, 2100),
    )


def test_recorded_feed_book_is_valid_again_when_received(play):
    """The book breaks with the message of 1100; the snapshot is received at 1900, so 800 µs have no valid book."""
    tape = lagging(
        (0, SNAPSHOT),
        (1100, bids(1600, (97, 1))),
        (0, (1700, "gap")),
        (0, (1900, "snapshot", BIDS, ASKS)),
        quick(2000),
    )
    played = play(BID_98, tapes=[tape], recorded_feed=True, requote_us=1000)
    assert order_rows(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_ACK", "CANCELLED"),
        (2000, 2, "PLACE", "SENT"),
    ]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (200, 800)
