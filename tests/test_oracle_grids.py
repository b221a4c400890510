"""Tapes worked out by hand, for the oracle and for the engine: several prices per side, and calls beside the grid.

Times and latencies are those of oracle_lab.py; docs/engine.md has the rules.
"""

import pytest

from mm.backtest.quotes.view import OwnFill, Quotes
from mm.errors import ModelError
from oracle_lab import SNAPSHOT, TWINS, fills, player, story, until, whys


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def placed(played):
    """Return the orders that were sent as (us, id, side, ticks, lots)."""
    return [(row[0], row[1], *row[4:7]) for row in played.orders if row[2] == 0]


def called(played):
    return [view.us for view in played.seen]


# Several prices per side


def test_prices_are_sent_the_nearest_first_bids_before_asks(play):
    """Rounded outwards, equal ones as one price with the sum of their lots, no lots as the usual quantity."""
    quotes = Quotes(bids=[96, (98.9, 3), (98, 4)], asks=[(103, 2), (101.2, None)])
    assert placed(play({1000: quotes}, SNAPSHOT)) == [
        (1000, 1, 1, 98, 7),
        (1000, 2, 1, 96, 10),
        (1000, 3, -1, 102, 10),
        (1000, 4, -1, 103, 2),
    ]


def test_a_grid_that_moves_by_a_step_replaces_one_order_per_side(play):
    """The orders at 97 and 98, and at 103 and 104, keep their places."""
    plan = {
        1000: Quotes(bids=[98, 97, 96], asks=[102, 103, 104]),
        1100: Quotes(bids=[99, 98, 97], asks=[103, 104, 105]),
    }
    played = play(plan, SNAPSHOT, until(1100))
    assert story(played)[6:] == [
        (1100, 3, "CANCEL_REQ", "CANCELLING"),
        (1100, 7, "PLACE", "SENT"),
        (1100, 4, "CANCEL_REQ", "CANCELLING"),
        (1100, 8, "PLACE", "SENT"),
    ]
    assert placed(played)[6:] == [(1100, 7, 1, 99, 10), (1100, 8, -1, 105, 10)]
    assert whys(played) == [(1100, 1, "CANCEL_REQ", "quote_moved"), (1100, -1, "CANCEL_REQ", "quote_moved")]


def test_a_side_without_prices_is_withdrawn(play):
    plan = {1000: Quotes(bids=[98, 97], asks=[102]), 1100: Quotes(asks=[102])}
    played = play(plan, SNAPSHOT, until(1100))
    assert whys(played) == [(1100, 1, "CANCEL_REQ", "quote_withdrawn")] * 2


def test_one_price_after_several_counts_as_one_of_several(play):
    """The order at 97 stays, though it stood second."""
    played = play({1000: Quotes(bids=[98, 97]), 1100: Quotes(97, None), 1200: None}, SNAPSHOT, until(1200))
    assert story(played)[2:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1105, 1, "CANCEL_ACK", "CANCELLED"),
        (1200, 2, "CANCEL_REQ", "CANCELLING"),
    ]


def test_a_filled_price_is_quoted_again_and_the_others_stay(play):
    played = play({1000: Quotes(bids=[98, 97])}, SNAPSHOT, (1050, "trade", -1, 98, 10), until(1100))
    assert fills(played) == [(1050, 1, 1, 98, 10)]
    assert placed(played)[2:] == [(1100, 3, 1, 98, 10)]


def test_a_sweep_fills_price_by_price(play):
    """A print of 15 lots at 97 takes the 10 at 98 first, and 5 of those at 97."""
    played = play({1000: Quotes(bids=[97, 98])}, SNAPSHOT, (1050, "trade", -1, 97, 15))
    assert fills(played) == [(1050, 1, 1, 98, 10), (1050, 2, 1, 97, 5)]


def test_refresh_looks_at_each_price_by_itself(play):
    """97 was sent at 1000, 98 at 1100: 150 µs later the one is cancelled, at 1200, and the other at 1300."""
    plan = {1000: Quotes(bids=[97]), 1100: Quotes(bids=[98, 97])}
    played = play(plan, SNAPSHOT, until(1300), refresh_us=150)
    asked = [row for row in whys(played) if row[2] == "CANCEL_REQ"]
    assert asked == [(1200, 1, "CANCEL_REQ", "refresh"), (1300, 1, "CANCEL_REQ", "refresh")]


def test_each_price_says_once_why_nothing_is_sent(play):
    """Without cash for more than one order; the rank keeps its reason while the grid moves."""
    plan = {1000: Quotes(bids=[98, 97]), 1200: Quotes(bids=[97, 96])}
    played = play(plan, SNAPSHOT, until(1300), start_cash_e8=1000 * 10**8)
    assert [row for row in whys(played) if row[2] == "SKIP"] == [(1000, 1, "SKIP", "insufficient_cash")]


def test_levels_of_the_run_and_of_the_model_exclude_each_other():
    with pytest.raises(ModelError, match="Plan quotes several prices itself; leave QUOTE_LEVELS=2 out"):
        player("engine")({1000: Quotes(bids=[98])}, SNAPSHOT, quote_levels=2)


@pytest.mark.parametrize(
    ("quotes", "says"),
    [
        (Quotes(98, None, asks=[101]), "both one price and several: bid_ticks=98"),
        (Quotes(bids=5), "bids=5; it must be a list of prices"),
        (Quotes(asks=[(101, -1)]), r"asks=-1; it must be a whole number of lots"),
        (Quotes(bids=[None]), "bids with a price None"),
        (Quotes(bids=[float("nan")]), "bids=nan; it must be a finite number of ticks"),
        (
            Quotes(bids=[98], bid_kind="IOC"),
            "bids of the kind IOC; several prices of a side must be LIMIT_MAKER or LIMIT",
        ),
        (Quotes(98, None, again_us=1000), "again_us=1000 at 1000; it must be a later instant"),
        (Quotes(98, None, again_us=1.5), "again_us=1.5 at 1000"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(quotes, says):
    with pytest.raises(ModelError, match=says):
        player("engine")({1000: quotes}, SNAPSHOT)


# Calls beside the grid


def test_a_model_is_called_again_when_it_says(play):
    """At 1030 after the trade of that instant, and not at 1160: the call at 1100 said nothing of it."""
    plan = {1000: Quotes(98, None, again_us=1030), 1030: Quotes(97, None, again_us=1160), 1100: Quotes(97, None)}
    played = play(plan, SNAPSHOT, (1030, "trade", 1, 101, 2), until(1200))
    assert called(played) == [1000, 1030, 1100, 1200]
    assert played.seen[1].last_trade == (1030, 1, 101, 2, 2)
    assert placed(played) == [(1000, 1, 1, 98, 10), (1030, 2, 1, 97, 10)]


def test_a_fill_before_that_instant_comes_first_and_ends_it(play):
    plan = {1000: Quotes(98, None, again_us=1080), 1050: None}
    played = play(plan, SNAPSHOT, (1050, "trade", -1, 98, 4), until(1100), requote_on_fill=True)
    assert called(played) == [1000, 1050, 1100]


def test_a_model_is_called_at_the_next_change_of_a_best_price(play):
    """Lots alone are no change; after 1040 nothing was asked for, and 1060 passes without a call."""
    plan = {1000: Quotes(98, None, on_best=True), 1040: Quotes(97, None)}
    changes = (
        (1020, "depth", [(99, 9)], []),
        (1040, "depth", [(100, 1)], []),
        (1060, "depth", [(100, 0)], []),
    )
    played = play(plan, SNAPSHOT, *changes, until(1100))
    assert [(view.us, view.bid_ticks) for view in played.seen] == [(1000, 99), (1040, 100), (1100, 99)]


def test_a_change_that_is_undone_in_its_instant_is_a_change(play):
    plan = {1000: Quotes(98, None, on_best=True)}
    changes = ((1040, "depth", [(100, 1)], []), (1040, "depth", [(100, 0)], []))
    assert called(play(plan, SNAPSHOT, *changes, until(1090))) == [1000, 1040]


def test_a_lost_book_is_no_change_of_a_best_price_but_the_next_one_is(play):
    changes = ((1020, "gap"), (1040, "snapshot", [(97, 1)], [(101, 5)]))
    assert called(play({1000: Quotes(96, None, on_best=True)}, SNAPSHOT, *changes, until(1090))) == [1000, 1040]


def test_fills_are_shown_before_the_requote_that_follows_on_them(play):
    """One print fills two orders, an order by hand among them; both are shown, and then one call sees the position."""
    shown, plan = [], {1000: Quotes(98, None), 1050: None}
    played = play(
        plan,
        SNAPSHOT,
        (1050, "trade", -1, 97, 14),
        until(1100),
        by_hand=[(1001, "place", 1, 97, 6, "LIMIT_MAKER")],
        on_fill=shown.append,
    )
    assert shown == [OwnFill(1050, 1, 1, 98, 10, 0, took=False), OwnFill(1050, 2, 1, 97, 4, 2, took=False)]
    assert [(view.us, view.inventory_lots) for view in played.seen] == [(1000, 100), (1050, 114), (1100, 114)]


def test_a_fill_that_took_says_so(play):
    shown = []
    play({1000: Quotes(101, None, 5, bid_kind="IOC"), 1001: None}, SNAPSHOT, until(1020), on_fill=shown.append)
    assert shown == [OwnFill(1010, 1, 1, 101, 5, 0, took=True)]


def test_an_error_in_on_fill_names_the_model_and_its_line():
    def broken(fill):
        raise KeyError(fill.order_id)

    with pytest.raises(ModelError, match=r"Plan\.on_fill raised KeyError: 1 at .*test_oracle_grids\.py:\d+"):
        player("engine")({1000: Quotes(98, None)}, SNAPSHOT, (1050, "trade", -1, 98, 10), until(1100), on_fill=broken)


# Prints


def test_prints_are_shown_in_order_before_the_next_call(play):
    """Those of the instant of a call too; the last one, behind the last call, is not."""
    trades = [(1020, "trade", 1, 101, 2), (1020, "trade", -1, 99, 3), (1100, "trade", 1, 101, 1)]
    shown = []
    play(
        {1000: None},
        SNAPSHOT,
        *trades,
        until(1200),
        on_print=lambda trade: shown.append((trade.us, trade.side, trade.lots)),
    )
    assert shown[:3] == [(1020, 1, 2), (1020, -1, 3), (1100, 1, 1)]


def test_an_error_in_on_print_names_the_model_and_its_line():
    def broken(trade):
        raise KeyError(trade.ticks)

    with pytest.raises(ModelError, match=r"Plan\.on_print raised KeyError: 101 at .*test_oracle_grids\.py:\d+"):
        player("engine")({1000: None}, SNAPSHOT, (1050, "trade", 1, 101, 1), until(1100), on_print=broken)


def test_a_tuple_that_is_returned_again_is_not_read_again_unless_the_kind_forbids_it():
    bids = (98, 97)
    plan = {1000: Quotes(bids=bids), 1100: Quotes(bids=bids), 1200: Quotes(bids=bids, bid_kind="IOC")}
    assert placed(player("engine")(plan, SNAPSHOT, until(1100))) == [(1000, 1, 1, 98, 10), (1000, 2, 1, 97, 10)]
    with pytest.raises(ModelError, match="bids of the kind IOC"):
        player("engine")(plan, SNAPSHOT, until(1200))
