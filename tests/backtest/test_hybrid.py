"""Several fill models at once."""

import pytest
from fill_lab import depth, play, sold

from mm.backtest.fills.crossing import PriceCross, TradeCross
from mm.backtest.fills.hybrid import Hybrid
from mm.backtest.fills.intensity import Intensity, Poisson
from mm.backtest.fills.queue import QueueProbPower, QueueRiskAverse
from mm.errors import UsageError


class Half:
    """A user's model: half of every print."""

    def on_trade(self, order, trade):
        return trade.lots // 2


def poisson(A=50.0):
    return Poisson(Intensity.constant(A, 0.1), seed=1)


def test_the_most_generous_answer_counts_once():
    """Both would fill: 4 and 2 lots of a print of 4 make 4."""
    model = Hybrid([Half(), TradeCross()])
    assert play(model, [sold(100, 100, 4)]) == [(100, 1, 100, 4, "trade_cross:trade")]


def test_among_equals_the_first_is_named():
    """Two models that agree are one fill."""
    assert play(Hybrid([TradeCross(), Half()]), [sold(100, 100, 1)])[0][4] == "trade_cross:trade"
    assert play(Hybrid([QueueRiskAverse(), TradeCross()]), [sold(100, 99, 3)])[0][4] == "queue:trade"


class Greedy:
    """A user's model that answers more than there is."""

    def on_trade(self, order, trade):
        return 10**6

    def on_book(self, order, book, elapsed_us):
        return 10**6


def test_answers_count_as_what_they_may_fill():
    """Five lots of an order and more than that are the same; so are a print of three and more."""
    assert play(Hybrid([QueueRiskAverse(), Greedy()]), [sold(100, 99, 30)])[0][3:] == (5, "queue:trade")
    assert play(Hybrid([QueueRiskAverse(), Greedy()]), [sold(100, 99, 3)])[0][3:] == (3, "queue:trade")
    crossing = depth(200, bids=[(100, 0)], asks=[(100, 1)])
    assert play(Hybrid([PriceCross(), Greedy()]), [crossing])[0][3:] == (5, "price_cross:book")


def test_each_model_brings_its_own_reasons():
    """A print for one, a crossing book for the other."""
    model = Hybrid([TradeCross(), PriceCross()])
    crossing = depth(200, bids=[(100, 0)], asks=[(100, 1)])
    assert [fill[4] for fill in play(model, [sold(100, 100, 2), crossing])] == ["trade_cross:trade", "price_cross:book"]


def test_a_model_that_is_not_heard_still_follows_its_queue():
    """trade_cross answers the first print; the queue model has seen it all the same, so eight are ahead after it."""
    alone = play(QueueRiskAverse(), [sold(100, 100, 2), sold(200, 100, 9)])
    assert alone == [(200, 1, 100, 1, "queue:trade")]
    silent = Hybrid([TradeCross(strict=True), QueueRiskAverse()])
    assert play(silent, [sold(100, 100, 2), sold(200, 100, 9)]) == alone


def test_a_share_of_a_print_binds_its_model_alone():
    """A tenth of 20 is 2 for the cautious; without a share it is all five."""
    cautious = Hybrid([TradeCross(share=0.1), PriceCross()])
    assert play(cautious, [sold(100, 100, 20)]) == [(100, 1, 100, 2, "trade_cross:trade")]
    both = Hybrid([TradeCross(share=0.1), TradeCross(strict=True)])
    assert play(both, [sold(100, 99, 20)]) == [(100, 1, 100, 5, "trade_cross:trade")]


def test_draws_and_prints_mix():
    """The drawn fill has the reason hazard, a print before it trade; quotes continue after each."""
    fills = play(Hybrid([TradeCross(), poisson()]), [sold(10, 100, 1), depth(5_000_000, bids=[(99, 21)])])
    assert fills[0] == (10, 1, 100, 1, "trade_cross:trade")
    assert {fill[4] for fill in fills[1:]} == {"poisson:hazard"}
    alone = play(poisson(), [depth(5_000_000, bids=[(99, 21)])])
    assert len(alone) > 3
    assert play(Hybrid([poisson(), PriceCross()]), [depth(5_000_000, bids=[(99, 21)])]) == alone


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ([], "models is empty"),
        ([poisson(), poisson()], "one model may draw"),
        ([QueueRiskAverse(), QueueProbPower()], "one may keep a queue"),
        ([Hybrid([TradeCross()])], "a hybrid in a hybrid"),
    ],
)
def test_what_cannot_mix_is_refused(models, told):
    """An order has one place for a queue and one for a draw."""
    with pytest.raises(UsageError, match=told):
        Hybrid(models)
