"""Several levels per side (docs/specification/engine.md, *Requotes*) on tapes by hand, for oracle and engine."""

import pytest

from mm import Quotes
from mm.backtest.journal import ACTIONS
from oracle_lab import SNAPSHOT, TWINS, fills, player, until


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def actions(played):
    """Return the rows of the orders table as (us, id, action, ticks)."""
    return [(row[0], row[1], ACTIONS[row[2]], row[5]) for row in played.orders]


def test_levels_are_spaced_by_steps_away_from_the_mid(play):
    """The nearest level is sent first, and each level's buy before its sell."""
    played = play({1000: Quotes(98.5, 102)}, SNAPSHOT, until(1010), quote_levels=3, level_step_ticks=2)
    assert [(row[4], row[5]) for row in played.orders] == [(1, 98), (-1, 102), (1, 96), (-1, 104), (1, 94), (-1, 106)]


def test_each_level_is_replaced_independently(play):
    """After a move by a tick, each level's order is replaced; a filled level is requoted alone."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    sale = (1150, "trade", -1, 97, 10)
    played = play(plan, SNAPSHOT, sale, until(1200), quote_levels=2)
    assert [row for row in actions(played) if row[2] in ("PLACE", "CANCEL_REQ")] == [
        (1000, 1, "PLACE", 98),
        (1000, 2, "PLACE", 97),
        (1100, 1, "CANCEL_REQ", 98),
        (1100, 3, "PLACE", 97),
        (1100, 2, "CANCEL_REQ", 97),
        (1100, 4, "PLACE", 96),
        (1200, 5, "PLACE", 97),
    ]
    assert fills(played) == [(1150, 3, 1, 97, 10)]


def test_withdrawn_quote_cancels_all_levels(play):
    played = play({1000: Quotes(98, 102), 1100: Quotes(98, None)}, SNAPSHOT, until(1110), quote_levels=2)
    assert [row[1:] for row in actions(played) if row[0] == 1100] == [(2, "CANCEL_REQ", 102), (4, "CANCEL_REQ", 103)]


def test_level_at_nonpositive_price_is_skipped_once(play):
    """The third level of a bid of 2 would be at 0."""
    played = play({1000: Quotes(2, None)}, SNAPSHOT, until(1300), quote_levels=3)
    assert actions(played) == [(1000, 1, "PLACE", 2), (1000, 2, "PLACE", 1), (1000, 0, "SKIP", 0)]


@pytest.mark.parametrize(("kind", "count"), [("LIMIT", 2), ("IOC", 1), ("FOK", 1), ("MARKET", 1)])
def test_only_resting_order_kinds_have_several_levels(play, kind, count):
    played = play({1000: Quotes(98, None, None, None, kind, kind)}, SNAPSHOT, until(1010), quote_levels=2)
    assert [row[2] for row in actions(played)].count("PLACE") == count
