"""Several orders of a side, worked out by hand, for oracle and engine alike (docs/engine.md, *Requotes*)."""

import pytest

from mm.backtest.journal import ACTIONS
from mm.backtest.quotes.view import Quotes
from oracle_lab import SNAPSHOT, TWINS, fills, player, until


@pytest.fixture(params=TWINS)
def play(request):
    return player(request.param)


def acts(played):
    """Return the orders table as (us, id, action, ticks)."""
    return [(row[0], row[1], ACTIONS[row[2]], row[5]) for row in played.orders]


def test_levels_stand_step_by_step_farther_from_the_mid(play):
    """The nearest first, and of each level the buy first."""
    played = play({1000: Quotes(98.5, 102)}, SNAPSHOT, until(1010), quote_levels=3, level_step_ticks=2)
    assert [(row[4], row[5]) for row in played.orders] == [(1, 98), (-1, 102), (1, 96), (-1, 104), (1, 94), (-1, 106)]


def test_each_level_is_brought_to_its_price_by_itself(play):
    """Moved by a tick, all are replaced, each level's own order by its new one; a filled level comes back alone."""
    plan = {1000: Quotes(98, None), 1100: Quotes(97, None)}
    sale = (1150, "trade", -1, 97, 10)
    played = play(plan, SNAPSHOT, sale, until(1200), quote_levels=2)
    assert [row for row in acts(played) if row[2] in ("PLACE", "CANCEL_REQ")] == [
        (1000, 1, "PLACE", 98),
        (1000, 2, "PLACE", 97),
        (1100, 1, "CANCEL_REQ", 98),
        (1100, 3, "PLACE", 97),
        (1100, 2, "CANCEL_REQ", 97),
        (1100, 4, "PLACE", 96),
        (1200, 5, "PLACE", 97),
    ]
    assert fills(played) == [(1150, 3, 1, 97, 10)]


def test_a_withdrawn_quote_withdraws_all_its_levels(play):
    played = play({1000: Quotes(98, 102), 1100: Quotes(98, None)}, SNAPSHOT, until(1110), quote_levels=2)
    assert [row[1:] for row in acts(played) if row[0] == 1100] == [(2, "CANCEL_REQ", 102), (4, "CANCEL_REQ", 103)]


def test_a_level_at_no_price_is_skipped_once_and_the_others_stand(play):
    """The third level of a bid of 2 would be at 0."""
    played = play({1000: Quotes(2, None)}, SNAPSHOT, until(1300), quote_levels=3)
    assert acts(played) == [(1000, 1, "PLACE", 2), (1000, 2, "PLACE", 1), (1000, 0, "SKIP", 0)]


@pytest.mark.parametrize(("kind", "count"), [("LIMIT", 2), ("IOC", 1), ("FOK", 1), ("MARKET", 1)])
def test_orders_that_do_not_rest_have_one_level(play, kind, count):
    played = play({1000: Quotes(98, None, None, None, kind, kind)}, SNAPSHOT, until(1010), quote_levels=2)
    assert [row[2] for row in acts(played)].count("PLACE") == count
