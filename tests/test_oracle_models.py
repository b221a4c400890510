"""Queues, crossing books, several models, users' hooks and a feed that lags, worked out for the oracle and the engine.

The book is that of oracle_lab.py: bids 5 at 99 and 7 at 98, asks 5 at 101 and 7 at 103; our bid of ten lots rests at
98 from 1010 on, behind seven.
"""

from dataclasses import replace

import numpy as np
import pytest

from mm.backtest.quotes.view import Quotes
from oracle_lab import ASKS, BIDS, SNAPSHOT, TWINS, fills, player, story, tape_of, until

BID_98 = {1000: Quotes(98, None)}
CAUTIOUS, POWER, LOG = ("queue_risk_averse",), ("queue_prob_power", 2.0), ("queue_prob_log",)


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def filled(played):
    """Return when how much was filled, and why."""
    return [(row[0], row[4], row[6]) for row in played.fills]


def sold(us, ticks, lots):
    return (us, "trade", -1, ticks, lots)


def bids(us, *levels):
    return (us, "depth", list(levels), [])


# price_cross


@pytest.mark.parametrize(("penetration_ticks", "asked", "fills"), [(0, 98, 10), (1, 98, 0), (1, 97, 10), (0, 99, 0)])
def test_the_other_sides_best_price_fills_the_whole_order(play, penetration_ticks, asked, fills):
    """The bids leave, and somebody asks what we bid."""
    book = (1050, "depth", [(99, 0), (98, 0)], [(asked, 1)])
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 3), book, fills=("price_cross", penetration_ticks))
    assert filled(played) == [(1050, fills, "price_cross:book")] * bool(fills)


def test_a_book_that_is_there_already_asks_nobody(play):
    """The rest of an order that took stands at 102, above the best ask of 101 that it emptied, until the next book."""
    plan = {1000: Quotes(102, None, 8, None, "LIMIT")}
    played = play(plan, SNAPSHOT, sold(1020, 90, 9), bids(1050, (97, 1)), fills=("price_cross", 0))
    assert filled(played) == [(1010, 5, "taker:book"), (1050, 3, "price_cross:book")]


# Queues


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_what_is_ahead_is_taken_first(play, model):
    """Seven ahead: five print, then four, of which two are ours."""
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 5), sold(1030, 98, 4), fills=model)
    assert filled(played) == [(1030, 2, "queue:trade")]


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_the_depth_that_a_trade_took_is_no_cancellation(play, model):
    """Five print and two remain displayed: two are ahead still."""
    events = (sold(1020, 98, 5), bids(1025, (98, 2)), sold(1030, 98, 3))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, 1, "queue:trade")]


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_prints_before_the_arrival_are_not_ahead_of_us(play, model):
    """Three print at 1005, at 1010 four are ahead; the book that says so, at 1015, cancels nothing."""
    events = (sold(1005, 98, 3), bids(1015, (98, 4)), sold(1030, 98, 5))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, 1, "queue:trade")]


@pytest.mark.parametrize("model", [CAUTIOUS, POWER, LOG])
def test_what_comes_later_stands_behind_until_it_cannot(play, model):
    """Six join, then nine of thirteen leave: at least three of those were ahead, for only six were behind."""
    events = (bids(1020, (98, 13)), bids(1025, (98, 4)), sold(1030, 98, 6))
    (fill,) = filled(play(BID_98, SNAPSHOT, *events, fills=model))
    assert fill[1] >= 2


@pytest.mark.parametrize(("model", "ours"), [(CAUTIOUS, 1), (POWER, 3), (LOG, 5)])
def test_how_a_cancellation_is_shared(play, model, ours):
    """Seven ahead, 13 behind, ten leave: ahead lose none, 10·49/218 = 2.2, or 10·ln 8/(ln 8 + ln 14) = 4.4 of them."""
    events = (bids(1020, (98, 20)), bids(1025, (98, 10)), sold(1030, 98, 8))
    assert filled(play(BID_98, SNAPSHOT, *events, fills=model)) == [(1030, ours, "queue:trade")]


def test_a_print_beyond_an_order_empties_its_queue_though_others_took_it_all(play):
    """Two orders, at 98 and 97: a print of ten at 96 goes to the first, and the second is first in its queue."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    events = (bids(1005, (97, 9)), sold(1050, 96, 10), sold(1060, 97, 1))
    played = play(plan, SNAPSHOT, *events, fills=CAUTIOUS, cancel_latency_us=500, requote_us=20)
    assert fills(played) == [(1050, 1, 1, 98, 10), (1060, 2, 1, 97, 1)]


def test_a_book_against_us_fills_what_is_left(play):
    book = (1050, "depth", [(99, 0), (98, 0)], [(98, 1)])
    assert filled(play(BID_98, SNAPSHOT, book, fills=LOG)) == [(1050, 10, "queue:book")]


def test_the_rest_of_a_taker_is_first_at_its_price(play):
    """Nobody bids 102."""
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
def test_the_most_generous_model_is_heard_the_first_among_equals(play, models, reason, lots):
    """A print of four at our price, seven ahead; an answer beyond the print is the print."""
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 4), fills=hybrid(*models))
    assert filled(played) == [(1020, lots, reason)] * bool(lots)


def test_a_share_is_less_what_other_orders_took_of_the_print(play):
    """Of twelve, six are open to one model and all to the other: the first order takes ten, which leaves it none."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    terms = {"cancel_latency_us": 500, "requote_us": 20}
    for models, lots in (([STRICT, HALF], [10, 2]), ([HALF, ("trade_cross", False, 1.0, 2)], [10])):
        played = play(plan, SNAPSHOT, sold(1050, 96, 12), fills=hybrid(*models), **terms)
        assert [row[4] for row in fills(played)] == lots


def test_a_drawn_fill_comes_beside_others(play):
    """Four lots of a print; the certain draw of 1050 takes the six that are left."""
    poisson = ("poisson", ((1050, 2**62, 1e15, 0.1, 1e15, 0.1, 0.1),), "mid", 0)
    played = play(BID_98, SNAPSHOT, sold(1020, 98, 4), until(1060), fills=hybrid(ALL, poisson))
    assert filled(played) == [(1020, 4, "trade_cross:trade"), (1050, 6, "poisson:hazard")]


# Users' hooks

EVERY = ("users", ("on_rest", "on_trade", "on_level", "on_book"), (0,))


def hooks(played, *names):
    return [note for note in played.noted if note[0] in names]


def test_levels_are_told_where_lots_changed_or_printed_and_before_the_book(play):
    """At 1020 other lots, at 1030 nothing, at 1050 as many as before although two printed."""
    events = (bids(1020, (98, 9)), bids(1030, (97, 1)), sold(1040, 98, 2), bids(1050, (98, 9)))
    played = play(BID_98, SNAPSHOT, *events, fills=EVERY)
    assert [note[6:] for note in hooks(played, "on_level")] == [(7, 9), (9, 9)]
    assert [note[0] for note in played.noted] == [
        *("on_rest", "on_level", "on_book", "on_book", "on_trade", "on_level", "on_book")
    ]


def test_a_print_of_before_the_arrival_is_told_with_the_next_book(play):
    """Two printed at 1005; the order came at 1010."""
    played = play(BID_98, SNAPSHOT, sold(1005, 98, 2), bids(1020, (97, 1)), fills=EVERY)
    assert [note[6:] for note in hooks(played, "on_level")] == [(7, 7)]


def test_time_since_the_last_question_is_that_of_the_order(play):
    """Since it rests, then since the last book event; each model of several hears the same."""
    played = play(BID_98, SNAPSHOT, bids(1030, (97, 1)), bids(1070, (97, 2)), fills=hybrid(EVERY, EVERY))
    assert [note[-1] for note in hooks(played, "on_book")] == [20, 20, 40, 40]


def test_a_trade_is_shown_less_what_other_orders_took(play):
    """Each of the resting orders is asked, also when nothing is left of the print."""
    plan = {1000: Quotes(98, None), 1020: Quotes(97, None)}
    model = ("users", ("on_trade",), (100,))
    played = play(plan, SNAPSHOT, sold(1050, 96, 10), fills=model, cancel_latency_us=500, requote_us=20)
    assert [(note[1], note[9]) for note in hooks(played, "on_trade")] == [(1, 10), (2, 0)]


def test_all_levels_are_told_before_anyone_is_asked_by_the_book(play):
    played = play({1000: Quotes(98, 103)}, SNAPSHOT, (1030, "depth", [(98, 1)], [(103, 1)]), fills=EVERY)
    assert [note[:2] for note in played.noted[2:]] == [("on_level", 1), ("on_level", 2), ("on_book", 1), ("on_book", 2)]


def test_the_book_of_a_window_is_of_its_begin(play):
    """What changed at 1020 was silent; an order that rests at 1060 is shown the book of 1050."""
    tape = tape_of(SNAPSHOT, bids(1020, (99, 0)), until(1100)).between(1050, 1101)
    played = play({1050: Quotes(98, None)}, tapes=[tape], fills=EVERY)
    assert hooks(played, "on_rest")[0][6:9] == (1050, 98, 101)


# A feed that lags


def lagging(*events):
    """Return a tape of events as (when it happened, event); the quickest journey is the 500 µs of the specification."""
    tape = tape_of(*[event for _, event in events], tick_e8=10**8)
    return replace(tape, event_exch_us=np.array([us for us, _ in events]))


def quick(us):
    """Return an event that took no longer than the quickest, so that the clocks are known."""
    return us - 500, until(us)


def test_the_exchange_acts_before_we_see(play):
    """The ask falls to 98 at 1600 and we hear of it at 2100: bids at 98 still leave at 1700, and are rejected."""
    fell = (2100, "depth", [(99, 0), (98, 0), (97, 3)], [(98, 4)])
    tape = lagging((0, SNAPSHOT), quick(1510), (1600, fell), quick(2200))
    played = play({1700: Quotes(98, None), 1701: None}, tapes=[tape], recorded_feed=True)
    assert story(played) == [(1700, 1, "PLACE", "SENT"), (1710, 1, "REJECT", "REJECTED")]
    assert [view.ask_ticks for view in played.seen] == [101] * 11 + [98] * 2
    assert played.mids == [(1000, 200), (1600, 195)]
    assert played.state[1][0::4] == (2000, 195)


def test_a_trade_fills_when_it_happened(play):
    """At 1600, though we see it at 2100; our own fill we know at once."""
    tape = lagging((0, SNAPSHOT), quick(1510), (1600, sold(2100, 98, 4)), quick(2200))
    played = play(BID_98, tapes=[tape], recorded_feed=True)
    assert filled(played) == [(1600, 4, "trade_cross:trade")]
    known = {view.us: (view.inventory_lots, view.last_trade and view.last_trade[0]) for view in played.seen}
    assert (known[1500], known[1600], known[2000], known[2100]) == ((100, None), (104, 1510), (104, 1510), (104, 2100))


def test_a_book_that_comes_back_is_there_when_it_is_received(play):
    """It broke with the message of 1100; nobody bids before the snapshot of 1900, and 800 µs are without a book."""
    tape = lagging(
        (0, SNAPSHOT),
        (1100, bids(1600, (97, 1))),
        (0, (1700, "gap")),
        (0, (1900, "snapshot", BIDS, ASKS)),
        quick(2000),
    )
    played = play(BID_98, tapes=[tape], recorded_feed=True, requote_us=1000)
    assert story(played) == [
        (1000, 1, "PLACE", "SENT"),
        (1100, 1, "CANCEL_ACK", "CANCELLED"),
        (2000, 2, "PLACE", "SENT"),
    ]
    assert (played.counters["valid_us"], played.counters["invalid_us"]) == (200, 800)
