"""price_cross, followed by hand."""

import pytest
from fill_lab import depth, play, sold

from mm.backtest.fills.crossing import PriceCross
from mm.errors import UsageError

# Our buy rests at 101, inside the spread of 100 to 102.
AT_OURS = depth(100, asks=[(101, 3), (102, 10)])


def test_the_other_side_at_our_price_fills_the_whole_order():
    """Somebody who offers at our bid would have met us; how much is displayed does not matter."""
    assert play(PriceCross(), [AT_OURS], bid=101) == [(100, 1, 101, 5, "price_cross:book")]


def test_the_other_side_beside_our_price_does_not():
    """102 is not 101."""
    assert play(PriceCross(), [depth(100, asks=[(102, 1)])], bid=101) == []


def test_penetration_asks_for_more():
    """One tick beyond our price, not at it."""
    model = PriceCross(penetration_ticks=1)
    beyond = depth(200, bids=[(100, 0), (99, 20)], asks=[(100, 1)])
    assert play(model, [AT_OURS, beyond], bid=101) == [(200, 1, 101, 5, "price_cross:book")]


def test_a_sell_mirrors_a_buy():
    """The best bid reaches our ask."""
    event = depth(100, bids=[(101, 1)])
    assert play(PriceCross(), [event], bid=None, ask=101) == [(100, -1, 101, 5, "price_cross:book")]


def test_a_side_that_empties_reaches_nothing():
    """No best ask is not a best ask of 0."""
    assert play(PriceCross(), [depth(100, asks=[(102, 0), (103, 0)])], bid=101) == []


def test_trades_alone_fill_nothing():
    """The model reads the book."""
    assert play(PriceCross(), [sold(100, 90, 50)]) == []


def test_what_is_left_after_a_fill_of_another_kind_has_no_meaning_here():
    """An order fills once, whole: the next crossing finds the next order."""
    later = depth(400_000, asks=[(101, 2)])
    fills = play(PriceCross(), [AT_OURS, depth(200, asks=[(101, 0)]), later], bid=101, requote_us=300_000)
    assert [fill[0] for fill in fills] == [100, 400_000]


def test_a_negative_penetration_is_refused():
    """It would fill before the price came."""
    with pytest.raises(UsageError, match="penetration_ticks is -1"):
        PriceCross(penetration_ticks=-1)
