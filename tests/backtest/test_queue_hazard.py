"""Fills by a fitted probability at each print, computed by hand: 10 lots are ahead of our 5 at 100."""

import math

import pytest
from fill_lab import BEGIN_US, bought, depth, play, sold

from mm.backtest.fills.base import QueueHazard
from mm.errors import UsageError

NEVER, ALWAYS = -40.0, 40.0


def model(**coefficients):
    names = ("one", "reach", "surplus", "place", "imbalance", "spread", "age", "inside", "behind")
    return QueueHazard(coefficients=[coefficients.get(name, 0.0) for name in names])


def trades(*fills):
    return [(us, 1, 100, lots, "queue_hazard:trade") for us, lots in fills]


def test_certain_print_fills_and_the_rest_moves_to_the_front():
    """The first print fills its two lots; the rest is then first, so the next print fills three without a draw."""
    assert play(model(one=ALWAYS), [sold(100, 100, 2), sold(200, 100, 9)]) == trades((100, 2), (200, 3))


def test_zero_hazard_still_fills_on_prints_beyond_and_crossing():
    """Prints at the price never fill; a print beyond it does, and so does the opposite best price."""
    assert play(model(one=NEVER), [sold(100, 100, 50), sold(200, 99, 3)]) == trades((200, 3))
    crossed = play(model(one=NEVER), [sold(100, 100, 50), depth(200, bids=[(100, 0)], asks=[(100, 1)])])
    assert crossed == [(200, 1, 100, 5, "queue_hazard:book")]


def test_prints_of_our_side_or_short_of_our_price_fill_nothing():
    assert play(model(one=ALWAYS), [bought(100, 100, 9), sold(200, 101, 9)]) == []


@pytest.mark.parametrize(("lots", "fills"), [(10, []), (12, [(100, 5)])])
def test_surplus_is_positive_only_for_prints_beyond_the_queue(lots, fills):
    """ln((print + 1)/(ahead + 1)) is above 0 for 12 lots against 10 ahead, and 0 for 10."""
    assert play(model(one=-20.0, surplus=300.0), [sold(100, 100, lots)]) == trades(*fills)


def test_printed_lots_are_removed_from_the_queue_ahead():
    """After ten lots nothing is ahead: the next print of one lot has a reach of ln 2."""
    steep = model(one=-0.6 * 300, reach=300.0)
    assert play(steep, [sold(100, 100, 10), sold(200, 100, 1)]) == trades((200, 1))


def test_watched_model_records_features_and_never_fills():
    watched = model(one=ALWAYS)
    records = watched.watch()
    assert play(watched, [sold(100, 100, 4), sold(200, 100, 9)]) == []
    assert [(order, us) for order, us, _ in records] == [(1, BEGIN_US + 100), (1, BEGIN_US + 200)]
    assert records[0][2][1] == pytest.approx(math.log(5 / 11))
    assert records[1][2][1:4] == pytest.approx((math.log(10 / 7), math.log(10 / 7), 0.6))


def test_missing_coefficients_raise_usage_error():
    with pytest.raises(UsageError, match=r"give 9 coefficients \(one, reach"):
        QueueHazard(coefficients=[1.0])
    with pytest.raises(UsageError, match="mm fills hazard"):
        QueueHazard(fit="fit.json")
