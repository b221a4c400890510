"""The queue models computed by hand: 10 lots are ahead of our 5 at 100."""

import math

import pytest
from fill_lab import bought, depth, play, sold
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.fills.base import QueueBack, QueueFront, QueueProbLog, QueueProbPower
from mm.backtest.fills.intensity import Hybrid
from mm.errors import UsageError

MODELS = [QueueBack, QueueFront, QueueProbPower, QueueProbLog]
every_model = pytest.mark.parametrize("model", MODELS)
but_back = pytest.mark.parametrize("model", MODELS[1:])


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


@but_back
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


@but_back
def test_book_that_reaches_us_fills_at_most_what_it_shows(model):
    """Two of five lots are offered at our price and one below; they are met once, and two wait for the next print."""
    crossing = depth(200, bids=[(100, 0), (99, 0)], asks=[(100, 2), (99, 1)])
    events = [crossing, depth(300, bids=[(98, 7)]), sold(400, 100, 9)]
    assert play(model(), events) == [(200, 1, 100, 3, "queue:book"), (400, 1, 100, 2, "queue:trade")]


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


def test_bounds_take_all_cancellations_behind_or_ahead():
    """Ten lots are still ahead; or two."""
    assert [filled_lots(QueueBack(), lots) for lots in (10, 11, 12)] == [0, 1, 2]
    assert [filled_lots(QueueFront(), lots) for lots in (2, 3, 4)] == [0, 1, 2]


def late_print(model, *events):
    """Ten lots are shown, then six; a print of four comes after that change, which it may have caused."""
    return play(model(), [depth(50, bids=[(100, 6)]), sold(60, 100, 4), *events])


def test_a_print_after_the_change_it_caused_counts_once_for_the_back():
    """Six lots are ahead still, and none of the next prints' lots is given already."""
    assert late_print(QueueBack, sold(200, 100, 6)) == []
    assert late_print(QueueBack, sold(200, 100, 7)) == trades((200, 1))
    assert late_print(QueueBack, depth(70, bids=[(100, 2)]), sold(200, 100, 7)) == trades((200, 1))
    assert late_print(QueueFront, sold(200, 100, 3)) == trades((200, 1))


def test_a_print_before_its_change_counts_once():
    """The book that shows six after a print of four has given nothing more."""
    events = [sold(50, 100, 4), depth(60, bids=[(100, 6)]), sold(200, 100, 7)]
    assert [play(model(), events) for model in MODELS] == [trades((200, 1))] * len(MODELS)


def test_the_back_fills_our_orders_at_a_price_in_their_sequence():
    """The first order's ten lots went by a change whose print may be this one; the second waits behind the first.

    Alone, the second would have nothing ahead.
    """
    events = [depth(50, bids=[(100, 0)]), sold(150, 100, 5), sold(250, 100, 11)]
    twice = {"requote_us": 100, "refresh_us": 100, "cancel_latency_us": 10**9}
    fills = play(QueueBack(), events, **twice)
    assert {us for us, *_ in fills} == {250}
    assert sum(fill[3] for fill in play(QueueFront(), events, **twice) if fill[0] == 150) == 5


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


@but_back
def test_cancellations_beyond_lots_behind_are_ahead(model):
    """Ten ahead, two behind; nine cancel, so at least seven of them were ahead: three remain."""
    events = [depth(50, bids=[(100, 12)]), depth(60, bids=[(100, 3)]), sold(100, 100, 5)]
    filled = sum(fill[3] for fill in play(model(), events))
    assert filled >= 2


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("print"), st.integers(1, 30)),
        st.tuples(st.just("level"), st.integers(0, 30)),
        st.tuples(st.just("cross"), st.integers(0, 9)),
    ),
    max_size=14,
)
SHARES = [QueueProbPower(exponent=0.5), QueueProbPower(exponent=1), QueueProbPower(), QueueProbLog()]


def happened(steps):
    """Prints, levels at our price, and asks that reach it and go."""
    for turn, (kind, lots) in enumerate(steps, 1):
        if kind == "print":
            yield sold(100 * turn, 100, lots)
        elif kind == "level":
            yield depth(100 * turn, bids=[(100, lots)])
        else:
            yield depth(100 * turn, bids=[(100, 0)], asks=[(100, lots)])
            yield depth(100 * turn + 50, asks=[(100, 0)])


def lots_until(fills):
    """The lots filled until each instant."""
    total, by_us = 0, []
    for us, _, _, lots, _ in fills:
        total += lots
        by_us.append((us, total))
    return by_us


@pytest.mark.slow
@given(CHANGES, st.integers(1, 12))
def test_every_share_lies_between_front_and_back_at_every_instant(steps, clip):
    """Filled lots of the front are never fewer, those of the back never more, and none exceeds the prints' lots."""
    events = list(happened(steps))
    front, back, *others = (
        lots_until(play(model, events, lots=clip, requote_us=10**9)) for model in (QueueFront(), QueueBack(), *SHARES)
    )

    def by(rows, us):
        return max((total for at, total in rows if at <= us), default=0)

    for us in {at for rows in (front, back, *others) for at, _ in rows}:
        for other in others:
            assert by(back, us) <= by(other, us) <= by(front, us) <= clip


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
@pytest.mark.parametrize("model", [QueueBack, QueueProbPower])
def test_prints_of_our_own_side_fill_nothing(model, fills):
    """A buyer's order does not trade with our bid, whatever the price of its print."""
    assert play(fills(model()), [bought(100, 99, 40), bought(200, 100, 40)], bid=100) == []
    assert play(fills(model()), [sold(100, 103, 40), sold(200, 102, 40)], bid=None, ask=102) == []
