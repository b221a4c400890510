"""The fill model price_cross against cases computed by hand."""

import pytest
from fill_lab import depth, play, sold

from mm.backtest.fills.base import PriceCross
from mm.errors import UsageError

# Our buy order rests at 101, inside the spread of 100 to 102.
AT_OURS = depth(100, asks=[(101, 3), (102, 10)])


def test_opposite_quote_at_our_price_fills_the_whole_order():
    """An ask at our bid would have matched it; the displayed quantity does not matter."""
    assert play(PriceCross(), [AT_OURS], bid=101) == [(100, 1, 101, 5, "price_cross:book")]


def test_opposite_quote_at_another_price_fills_nothing():
    """An ask at 102 does not reach a bid at 101."""
    assert play(PriceCross(), [depth(100, asks=[(102, 1)])], bid=101) == []


def test_penetration_requires_ticks_beyond_our_price():
    """One tick beyond our price fills; our price itself does not."""
    model = PriceCross(penetration_ticks=1)
    beyond = depth(200, bids=[(100, 0), (99, 20)], asks=[(100, 1)])
    assert play(model, [AT_OURS, beyond], bid=101) == [(200, 1, 101, 5, "price_cross:book")]


def test_sell_order_mirrors_a_buy_order():
    """The best bid reaches our ask."""
    event = depth(100, bids=[(101, 1)])
    assert play(PriceCross(), [event], bid=None, ask=101) == [(100, -1, 101, 5, "price_cross:book")]


def test_emptied_side_fills_nothing():
    """A missing best ask is not a best ask of 0."""
    assert play(PriceCross(), [depth(100, asks=[(102, 0), (103, 0)])], bid=101) == []


def test_trades_alone_fill_nothing():
    """The model reads the book only."""
    assert play(PriceCross(), [sold(100, 90, 50)]) == []


def test_order_fills_once_and_next_crossing_fills_next_order():
    """Each crossing fills a whole order, so the second one fills the replacement."""
    later = depth(400_000, asks=[(101, 2)])
    fills = play(PriceCross(), [AT_OURS, depth(200, asks=[(101, 0)]), later], bid=101, requote_us=300_000)
    assert [fill[0] for fill in fills] == [100, 400_000]


def test_negative_penetration_raises_usage_error():
    """It would fill before the price is reached."""
    with pytest.raises(UsageError, match="penetration_ticks is -1"):
        PriceCross(penetration_ticks=-1)
