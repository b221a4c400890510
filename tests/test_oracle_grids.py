"""Several prices per side, and model calls off the requote grid, on hand-calculated tapes for oracle and engine.

Times and latencies are those of oracle_lab.py; docs/specification/engine.md has the rules.
"""

import pytest

from mm import OwnFill, Quotes
from mm.errors import ModelError
from oracle_lab import SNAPSHOT, TWINS, fills, order_rows, player, reason_rows, until


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def placed(played):
    """Return the orders that were sent as (us, id, side, ticks, lots)."""
    return [(row[0], row[1], *row[4:7]) for row in played.orders if row[2] == 0]


def call_times(played):
    return [view.us for view in played.views]


# Several prices per side


def test_prices_are_sent_nearest_first_and_bids_before_asks(play):
    """Prices are rounded outwards, equal prices are merged, and missing lots become the default quantity."""
    quotes = Quotes(bids=[96, (98.9, 3), (98, 4)], asks=[(103, 2), (101.2, None)])
    assert placed(play({1000: quotes}, SNAPSHOT)) == [
        (1000, 1, 1, 98, 7),
        (1000, 2, 1, 96, 10),
        (1000, 3, -1, 102, 10),
        (1000, 4, -1, 103, 2),
    ]


def test_grid_moved_by_one_step_replaces_one_order_per_side(play):
    """The orders at 97 and 98, and at 103 and 104, keep their places."""
    plan = {
        1000: Quotes(bids=[98, 97, 96], asks=[102, 103, 104]),
        1100: Quotes(bids=[99, 98, 97], asks=[103, 104, 105]),
    }
    played = play(plan, SNAPSHOT, until(1100))
    assert order_rows(played)[6:] == [
        (1100, 3, "CANCEL_REQ", "CANCELLING"),
        (1100, 7, "PLACE", "SENT"),
        (1100, 4, "CANCEL_REQ", "CANCELLING"),
        (1100, 8, "PLACE", "SENT"),
    ]
    assert placed(played)[6:] == [(1100, 7, 1, 99, 10), (1100, 8, -1, 105, 10)]
    assert reason_rows(played) == [(1100, 1, "CANCEL_REQ", "quote_moved"), (1100, -1, "CANCEL_REQ", "quote_moved")]


def test_side_without_prices_is_withdrawn(play):
    plan = {1000: Quotes(bids=[98, 97], asks=[102]), 1100: Quotes(asks=[102])}
    played = play(plan, SNAPSHOT, until(1100))
    assert reason_rows(played) == [(1100, 1, "CANCEL_REQ", "quote_withdrawn")] * 2


def test_order_at_remaining_price_is_kept_when_prices_are_removed(play):
    """The order at 97 is kept, although it was second."""
    played = play({1000: Quotes(bids=[98, 97]), 1100: Quotes(97, None), 1200: None}, SNAPSHOT, until(1200))
    assert order_rows(played)[2:] == [
        (1100, 1, "CANCEL_REQ", "CANCELLING"),
        (1105, 1, "CANCEL_ACK", "CANCELLED"),
        (1200, 2, "CANCEL_REQ", "CANCELLING"),
    ]


def test_filled_price_is_quoted_again_and_others_are_kept(play):
    played = play({1000: Quotes(bids=[98, 97])}, SNAPSHOT, (1050, "trade", -1, 98, 10), until(1100))
    assert fills(played) == [(1050, 1, 1, 98, 10)]
    assert placed(played)[2:] == [(1100, 3, 1, 98, 10)]


def test_sweeping_trade_fills_orders_price_by_price(play):
    """A trade of 15 lots at 97 fills the 10 at 98 first, then 5 of those at 97."""
    played = play({1000: Quotes(bids=[97, 98])}, SNAPSHOT, (1050, "trade", -1, 97, 15))
    assert fills(played) == [(1050, 1, 1, 98, 10), (1050, 2, 1, 97, 5)]


def test_refresh_age_is_per_price(play):
    """97 is sent at 1000 and 98 at 1100: with a refresh age of 150 µs they are cancelled at 1200 and 1300."""
    plan = {1000: Quotes(bids=[97]), 1100: Quotes(bids=[98, 97])}
    played = play(plan, SNAPSHOT, until(1300), refresh_us=150)
    requests = [row for row in reason_rows(played) if row[2] == "CANCEL_REQ"]
    assert requests == [(1200, 1, "CANCEL_REQ", "refresh"), (1300, 1, "CANCEL_REQ", "refresh")]


def test_skip_reason_of_a_price_is_written_once(play):
    """Cash covers one order only; the reason belongs to the rank and stays while the grid moves."""
    plan = {1000: Quotes(bids=[98, 97]), 1200: Quotes(bids=[97, 96])}
    played = play(plan, SNAPSHOT, until(1300), start_cash_e8=1000 * 10**8)
    assert [row for row in reason_rows(played) if row[2] == "SKIP"] == [(1000, 1, "SKIP", "insufficient_cash")]


def test_quote_levels_of_run_conflict_with_several_prices_of_model():
    with pytest.raises(ModelError, match="Plan quotes several prices itself; leave QUOTE_LEVELS=2 out"):
        player("engine")({1000: Quotes(bids=[98])}, SNAPSHOT, quote_levels=2)


@pytest.mark.parametrize(
    ("quotes", "message"),
    [
        (Quotes(98, None, asks=[101]), "both one price and several: bid_ticks=98"),
        (Quotes(bids=5), "bids=5; it must be a list of prices"),
        (Quotes(asks=[(101, -1)]), r"asks=-1; it must be a number of lots, 0 or more"),
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
def test_invalid_quotes_raise_model_error(quotes, message):
    with pytest.raises(ModelError, match=message):
        player("engine")({1000: quotes}, SNAPSHOT)


# Calls off the grid


def test_model_is_called_at_its_requested_again_us(play):
    """The model is called at 1030, after the trade of that instant; the call at 1100 cancels the one of 1160."""
    plan = {1000: Quotes(98, None, again_us=1030), 1030: Quotes(97, None, again_us=1160), 1100: Quotes(97, None)}
    played = play(plan, SNAPSHOT, (1030, "trade", 1, 101, 2), until(1200))
    assert call_times(played) == [1000, 1030, 1100, 1200]
    assert played.views[1].last_trade == (1030, 1, 101, 2, 2)
    assert placed(played) == [(1000, 1, 1, 98, 10), (1030, 2, 1, 97, 10)]


def test_requote_on_fill_clears_requested_again_us(play):
    plan = {1000: Quotes(98, None, again_us=1080), 1050: None}
    played = play(plan, SNAPSHOT, (1050, "trade", -1, 98, 4), until(1100), requote_on_fill=True)
    assert call_times(played) == [1000, 1050, 1100]


def test_on_best_calls_model_at_next_best_price_change(play):
    """A change of lots does not count; the answer of 1040 has no on_best, so 1060 passes without a call."""
    plan = {1000: Quotes(98, None, on_best=True), 1040: Quotes(97, None)}
    changes = (
        (1020, "depth", [(99, 9)], []),
        (1040, "depth", [(100, 1)], []),
        (1060, "depth", [(100, 0)], []),
    )
    played = play(plan, SNAPSHOT, *changes, until(1100))
    assert [(view.us, view.bid_ticks) for view in played.views] == [(1000, 99), (1040, 100), (1100, 99)]


def test_on_best_counts_change_reverted_in_same_instant(play):
    plan = {1000: Quotes(98, None, on_best=True)}
    changes = ((1040, "depth", [(100, 1)], []), (1040, "depth", [(100, 0)], []))
    assert call_times(play(plan, SNAPSHOT, *changes, until(1090))) == [1000, 1040]


def test_on_best_ignores_gap_but_counts_next_snapshot(play):
    changes = ((1020, "gap"), (1040, "snapshot", [(97, 1)], [(101, 5)]))
    assert call_times(play({1000: Quotes(96, None, on_best=True)}, SNAPSHOT, *changes, until(1090))) == [1000, 1040]


def test_on_fill_is_called_before_the_following_requote(play):
    """One trade fills two orders, one placed by hand; both fills are passed, then one call has the new position."""
    received, plan = [], {1000: Quotes(98, None), 1050: None}
    played = play(
        plan,
        SNAPSHOT,
        (1050, "trade", -1, 97, 14),
        until(1100),
        manual=[(1001, "place", 1, 97, 6, "LIMIT_MAKER")],
        on_fill=received.append,
    )
    assert received == [OwnFill(1050, 1, 1, 98, 10, 0, took=False), OwnFill(1050, 2, 1, 97, 4, 2, took=False)]
    assert [(view.us, view.inventory_lots) for view in played.views] == [(1000, 100), (1050, 114), (1100, 114)]


def test_taker_fill_is_marked_as_took(play):
    received = []
    play({1000: Quotes(101, None, 5, bid_kind="IOC"), 1001: None}, SNAPSHOT, until(1020), on_fill=received.append)
    assert received == [OwnFill(1010, 1, 1, 101, 5, 0, took=True)]


def test_error_in_on_fill_names_model_and_line():
    def broken(fill):
        raise KeyError(fill.order_id)

    with pytest.raises(ModelError, match=r"test_oracle_grids\.py:\d+: Plan\.on_fill raised KeyError: 1"):
        player("engine")({1000: Quotes(98, None)}, SNAPSHOT, (1050, "trade", -1, 98, 10), until(1100), on_fill=broken)


# Trades


def test_on_print_receives_trades_in_order_before_next_call(play):
    """Trades at the instant of a call are included."""
    trades = [(1020, "trade", 1, 101, 2), (1020, "trade", -1, 99, 3), (1100, "trade", 1, 101, 1)]
    received = []
    play(
        {1000: None},
        SNAPSHOT,
        *trades,
        until(1200),
        on_print=lambda trade: received.append((trade.us, trade.side, trade.lots)),
    )
    assert received[:3] == [(1020, 1, 2), (1020, -1, 3), (1100, 1, 1)]


def test_error_in_on_print_names_model_and_line():
    def broken(trade):
        raise KeyError(trade.ticks)

    with pytest.raises(ModelError, match=r"test_oracle_grids\.py:\d+: Plan\.on_print raised KeyError: 101"):
        player("engine")({1000: None}, SNAPSHOT, (1050, "trade", 1, 101, 1), until(1100), on_print=broken)


def test_repeated_price_tuple_is_validated_again_when_kind_changes():
    bids = (98, 97)
    plan = {1000: Quotes(bids=bids), 1100: Quotes(bids=bids), 1200: Quotes(bids=bids, bid_kind="IOC")}
    assert placed(player("engine")(plan, SNAPSHOT, until(1100))) == [(1000, 1, 1, 98, 10), (1000, 2, 1, 97, 10)]
    with pytest.raises(ModelError, match="bids of the kind IOC"):
        player("engine")(plan, SNAPSHOT, until(1200))
