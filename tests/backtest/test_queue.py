"""The queue models computed by hand: 10 lots are ahead of our 5 at 100."""

import math

import pytest
from fill_lab import bought, depth, play, sold
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.base import QueueProbLog, QueueProbPower, QueueRiskAverse
from mm.backtest.fills.intensity import Hybrid
from mm.errors import UsageError

MODELS = [QueueRiskAverse, QueueProbPower, QueueProbLog]
every_model = pytest.mark.parametrize("model", MODELS)


def trades(*fills):
    """Return the expected fills after prints, each (µs, lots), of our buy at 100."""
    return [(us, 1, 100, lots, "queue:trade") for us, lots in fills]


@every_model
def test_print_takes_lots_ahead_first(model):
    """4 and then 6 lots exhaust the ten ahead; the next 3 are ours."""
    events = [sold(100, 100, 4), sold(200, 100, 6), sold(300, 100, 3)]
    assert play(model(), events) == trades((300, 3))


@every_model
def test_rest_of_a_print_after_the_queue_fills_our_order(model):
    """12 lots: ten were ahead, two reach us, and three of our five remain for the next print."""
    assert play(model(), [sold(100, 100, 12), sold(200, 100, 9)]) == trades((100, 2), (200, 3))


@every_model
def test_depth_reduced_by_a_trade_is_not_a_cancellation(model):
    """4 lots print, then the book shows 6: without cancellations six are ahead, and the seventh is ours."""
    events = [sold(100, 100, 4), depth(150, bids=[(100, 6)]), sold(200, 100, 7)]
    assert play(model(), events) == trades((200, 1))


@every_model
def test_later_orders_join_behind_ours(model):
    """The level grows to 30; ten lots are still ahead."""
    assert play(model(), [depth(50, bids=[(100, 30)]), sold(100, 100, 11)]) == trades((100, 1))


@every_model
def test_lots_ahead_never_exceed_displayed_lots(model):
    """One lot is left at our price: a print of eight leaves at least seven for our five."""
    assert play(model(), [depth(50, bids=[(100, 1)]), sold(100, 100, 8)]) == trades((100, 5))


@every_model
def test_order_inside_the_spread_has_no_lots_ahead(model):
    """The level at 101 is empty."""
    assert play(model(), [sold(100, 101, 2)], bid=101) == [(100, 1, 101, 2, "queue:trade")]


@every_model
def test_print_beyond_our_price_fills_up_to_its_size(model):
    """A seller at 99 would have traded at 100 with us."""
    assert play(model(), [sold(100, 99, 3), sold(200, 99, 3)]) == trades((100, 3), (200, 2))


@every_model
def test_prints_of_our_side_or_short_of_our_price_fill_nothing(model):
    """Buyers do not fill a buy, and a print at 101 does not reach 100."""
    assert play(model(), [bought(100, 102, 50), sold(200, 101, 50), sold(300, 100, 10)]) == []


@every_model
def test_opposite_quote_at_our_price_fills_the_rest(model):
    """The level is gone, whatever the model's queue position."""
    events = [sold(100, 100, 11), depth(200, bids=[(100, 0)], asks=[(100, 4)])]
    assert play(model(), events) == [(100, 1, 100, 1, "queue:trade"), (200, 1, 100, 4, "queue:book")]


@every_model
def test_prints_before_our_arrival_reduce_the_queue(model):
    """The book at 0 shows 10, and 7 print before our order arrives at 100: 3 are ahead. The book that shows them
    is no cancellation."""
    events = [sold(50, 100, 7), depth(150, bids=[(100, 3)]), sold(200, 100, 4)]
    assert play(model(), events, latency_us=100) == trades((200, 1))


@every_model
def test_two_orders_at_one_price_never_fill_on_the_same_lots(model):
    """A replacement rests beside the order whose cancel is in flight: of 17 lots, 7 are left for both."""
    events = [depth(60, bids=[(99, 21)]), sold(400_000, 100, 17)]
    fills = play(model(), events, requote_us=100_000, refresh_us=200_000, cancel_latency_us=300_000)
    assert fills == trades((400_000, 5), (400_000, 2))


@every_model
def test_sell_order_mirrors_a_buy_order(model):
    """Ten lots are ahead at 102."""
    assert play(model(), [bought(100, 102, 12)], bid=None, ask=102) == [(100, -1, 102, 2, "queue:trade")]


# Where the models differ: 10 ahead, 10 more join behind, then 8 cancel


CANCELLED = [depth(50, bids=[(100, 20)]), depth(60, bids=[(100, 12)])]


def filled_lots(model, print_lots):
    return sum(fill[3] for fill in play(model, [*CANCELLED, sold(100, 100, print_lots)]))


def test_risk_averse_assumes_all_cancellations_behind():
    """Ten lots are still ahead."""
    assert [filled_lots(QueueRiskAverse(), lots) for lots in (10, 11, 12)] == [0, 1, 2]


@pytest.mark.parametrize("model", [QueueProbPower(exponent=1), QueueProbPower(exponent=3), QueueProbLog()])
def test_equal_lots_ahead_and_behind_share_cancellations(model):
    """4 of the 8 cancelled lots were ahead: 6 remain."""
    assert [filled_lots(model, lots) for lots in (6, 7, 8)] == [0, 1, 2]


def ahead_after(share_ahead, ahead=10.0, cancelled=8.0):
    return ahead - share_ahead * cancelled


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (QueueProbPower(exponent=1), 10 / 40),
        (QueueProbPower(exponent=3), 10**3 / (10**3 + 30**3)),
        (QueueProbPower(exponent=0.5), 10**0.5 / (10**0.5 + 30**0.5)),
        (QueueProbLog(), math.log(11) / (math.log(11) + math.log(31))),
    ],
)
def test_larger_part_of_the_queue_has_more_cancellations(model, share):
    """10 ahead and 30 behind, 8 cancel; whole lots of a print beyond the fractional queue are ours."""
    events = [depth(50, bids=[(100, 40)]), depth(60, bids=[(100, 32)]), sold(100, 100, 11)]
    assert sum(fill[3] for fill in play(model, events)) == math.floor(11 - ahead_after(share))


@every_model
def test_cancellations_beyond_lots_behind_are_ahead(model):
    """Ten ahead, two behind; nine cancel, so at least seven of them were ahead: three remain."""
    events = [depth(50, bids=[(100, 12)]), depth(60, bids=[(100, 3)]), sold(100, 100, 5)]
    filled = sum(fill[3] for fill in play(model(), events))
    assert filled >= 2


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("print"), st.integers(1, 30)),
            st.tuples(st.just("level"), st.integers(0, 30)),
        ),
        max_size=12,
    )
)
def test_risk_averse_never_fills_more_than_other_models(steps):
    """It is the most pessimistic model; no model fills more than the prints."""
    events = [
        sold(100 * (i + 1), 100, lots) if kind == "print" else depth(100 * (i + 1), bids=[(100, lots)])
        for i, (kind, lots) in enumerate(steps)
    ]
    filled = {model: play(model(), events, requote_us=10**9) for model in MODELS}
    for model in MODELS:
        assert sum(fill[3] for fill in filled[QueueRiskAverse]) <= sum(fill[3] for fill in filled[model]) <= 5
        printed = sum(lots for kind, lots in steps if kind == "print")
        assert sum(fill[3] for fill in filled[model]) <= printed


@pytest.mark.parametrize("exponent", [0.0, -1.0, 101.0, math.nan])
def test_invalid_exponent_raises_usage_error(exponent):
    """An exponent of 0 would give each side half, whatever its size."""
    with pytest.raises(UsageError, match="exponent is"):
        QueueProbPower(exponent=exponent)


class FillsNothing:
    """A user's model: beside it, a hybrid shows each print to the orders of both sides."""

    def on_trade(self, order, trade):
        return 0


@pytest.mark.parametrize("fills", [lambda model: model, lambda model: Hybrid([model, FillsNothing()])])
@pytest.mark.parametrize("model", [QueueRiskAverse, QueueProbPower])
def test_prints_of_our_own_side_fill_nothing(model, fills):
    """A buyer's order does not trade with our bid, whatever the price of its print."""
    assert play(fills(model()), [bought(100, 99, 40), bought(200, 100, 40)], bid=100) == []
    assert play(fills(model()), [sold(100, 103, 40), sold(200, 102, 40)], bid=None, ask=102) == []
