"""Several fill models combined in a hybrid."""

import pytest
from fill_lab import depth, play, sold

from mm.backtest.fills.base import PriceCross, QueueBack, QueueProbPower, TradeCross
from mm.backtest.fills.intensity import Hybrid, Intensity, Poisson
from mm.errors import UsageError


class Half:
    """A user's model that fills half of every print."""

    def on_trade(self, order, trade):
        return trade.lots // 2


def poisson(A=50.0):
    return Poisson(Intensity.constant(A, 0.1), seed=1)


def test_largest_answer_counts_once():
    """Answers of 4 and 2 lots to a print of 4 fill 4."""
    model = Hybrid([Half(), TradeCross()])
    assert play(model, [sold(100, 100, 4)]) == [(100, 1, 100, 4, "trade_cross:trade")]


def test_first_of_equal_answers_gives_the_reason():
    """Two equal answers make one fill."""
    assert play(Hybrid([TradeCross(), Half()]), [sold(100, 100, 1)])[0][4] == "trade_cross:trade"
    assert play(Hybrid([QueueBack(), TradeCross()]), [sold(100, 99, 3)])[0][4] == "queue:trade"


class Greedy:
    """A user's model that answers more than is available."""

    def on_trade(self, order, trade):
        return 10**6

    def on_book(self, order, book, elapsed_us):
        return 10**6


def test_answers_are_limited_to_order_and_print():
    """Larger answers than the order's five lots count as five; larger than the print of three, as three."""
    assert play(Hybrid([QueueBack(), Greedy()]), [sold(100, 99, 30)])[0][3:] == (5, "queue:trade")
    assert play(Hybrid([QueueBack(), Greedy()]), [sold(100, 99, 3)])[0][3:] == (3, "queue:trade")
    crossing = depth(200, bids=[(100, 0)], asks=[(100, 1)])
    assert play(Hybrid([PriceCross(), Greedy()]), [crossing])[0][3:] == (5, "price_cross:book")


def test_each_model_gives_its_own_reasons():
    """A print fills by one model, a crossing book by the other."""
    model = Hybrid([TradeCross(), PriceCross()])
    crossing = depth(200, bids=[(100, 0)], asks=[(100, 1)])
    assert [fill[4] for fill in play(model, [sold(100, 100, 2), crossing])] == ["trade_cross:trade", "price_cross:book"]


def test_queue_model_is_updated_when_other_model_does_not_fill():
    """The queue model receives every print, so eight lots are ahead after the first."""
    alone = play(QueueBack(), [sold(100, 100, 2), sold(200, 100, 9)])
    assert alone == [(200, 1, 100, 1, "queue:trade")]
    combined = Hybrid([TradeCross(strict=True), QueueBack()])
    assert play(combined, [sold(100, 100, 2), sold(200, 100, 9)]) == alone


def test_share_limits_its_own_model_only():
    """A tenth of 20 is 2 for the model with a share; without a share it is all five."""
    limited = Hybrid([TradeCross(share=0.1), PriceCross()])
    assert play(limited, [sold(100, 100, 20)]) == [(100, 1, 100, 2, "trade_cross:trade")]
    both = Hybrid([TradeCross(share=0.1), TradeCross(strict=True)])
    assert play(both, [sold(100, 99, 20)]) == [(100, 1, 100, 5, "trade_cross:trade")]


def test_hybrid_combines_drawn_fills_and_prints():
    """A drawn fill has the reason hazard, a print before it trade; quotes continue after each."""
    fills = play(Hybrid([TradeCross(), poisson()]), [sold(10, 100, 1), depth(5_000_000, bids=[(99, 21)])])
    assert fills[0] == (10, 1, 100, 1, "trade_cross:trade")
    assert {fill[4] for fill in fills[1:]} == {"poisson:hazard"}
    alone = play(poisson(), [depth(5_000_000, bids=[(99, 21)])])
    assert len(alone) > 3
    assert play(Hybrid([poisson(), PriceCross()]), [depth(5_000_000, bids=[(99, 21)])]) == alone


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "models is empty"),
        ([poisson(), poisson()], "at most one may draw"),
        ([QueueBack(), QueueProbPower()], "one may track a queue"),
        ([Hybrid([TradeCross()])], "cannot contain a hybrid"),
    ],
)
def test_incompatible_models_raise_usage_error(models, message):
    """An order has room for one queue position and one draw."""
    with pytest.raises(UsageError, match=message):
        Hybrid(models)
