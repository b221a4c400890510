"""Steps around a quote model: what each does, and that no order of them loosens what another has bound."""

import math
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quote_draws import STEP

from mm.backtest.models import QUOTE_STEPS, avellaneda_stoikov
from mm.backtest.quotes.steps import FushimiSize, InventoryBound, LeastSpread, PostOnly, RoundTo, Widen
from mm.backtest.quotes.view import Quotes
from mm.errors import ModelError, UsageError

BOOK = {"bid_ticks": 99, "ask_ticks": 103, "quote_lots": 10}


class Wanting:
    """Quotes what it is set to."""

    def __init__(self, *wanted, **more):
        self.wanted = Quotes(*wanted, **more)

    def quote(self, view):
        return self.wanted


def left(model, **view):
    """Return prices and lots of *model* for a book of 99 and 103, with clips of 10 lots."""
    told = model.answer(**(BOOK | view))
    return told.bid_ticks, told.ask_ticks, told.bid_lots, told.ask_lots


ROOM = [(0, 10, 10), (18, 7, 10), (24, 1, 10), (25, 0, 10), (70, 0, 10), (-18, 10, 7), (-25, 10, 0), (-70, 10, 0)]


@pytest.mark.parametrize(("inventory", "bid_lots", "ask_lots"), ROOM)
def test_no_quote_takes_the_inventory_beyond_its_bound(inventory, bid_lots, ask_lots):
    """A bound of 2.5 clips is 25 lots; a quote is as large as the room that is left, and none without room."""
    wanted = left(InventoryBound(Wanting(98, 104), q_max=2.5), inventory_lots=inventory)
    assert wanted == (98 if bid_lots else None, 104 if ask_lots else None, bid_lots, ask_lots)


def test_the_size_of_the_side_that_adds_falls_off():
    """Fushimi et al.: φ·e^(−ηq) there, floored, and φ on the other side; what falls below a lot is no quote."""
    sized = FushimiSize(Wanting(98, 104), eta=0.5)
    for inventory, lots in ((10, 6), (30, 2)):  # 10·e^(−½) = 6.07, 10·e^(−1½) = 2.23
        assert left(sized, inventory_lots=inventory) == (98, 104, lots, 10)
        assert left(sized, inventory_lots=-inventory) == (98, 104, 10, lots)
    assert left(sized, inventory_lots=60) == (None, 104, 0, 10)
    assert left(FushimiSize(Wanting(98, 104, 4, 7), eta=0.5)) == (98, 104, 4, 7)


def test_post_only_never_crosses():
    """A tick from the other side's best price, and a maker whatever the model returns; a price inside stays."""
    assert left(PostOnly(Wanting(105.5, 90)))[:2] == (102, 100)
    assert left(PostOnly(Wanting(101.5, 100.5)))[:2] == (101.5, 100.5)
    assert left(PostOnly(Wanting(None, 90)))[:2] == (None, 100)
    taking = PostOnly(Wanting(0, 105.5, bid_kind="MARKET", ask_kind="IOC")).answer(**BOOK)
    assert taking == Quotes(None, 105.5, 10, 10)


NARROW = [((100, 101), (98, 103)), ((98.5, 103), (98.25, 103.25)), ((97, 104), (97, 104)), ((104, 100), (99.5, 104.5))]


@pytest.mark.parametrize(("wanted", "apart"), NARROW)
def test_a_narrow_spread_is_moved_out_on_both_sides(wanted, apart):
    """Five ticks at least, about the same middle, even if the model's bid is above its ask."""
    assert left(LeastSpread(Wanting(*wanted), ticks=5))[:2] == apart


def test_a_spread_needs_two_prices():
    assert left(LeastSpread(Wanting(100, None), ticks=5))[:2] == (100, None)
    assert left(LeastSpread(Wanting(100, 0, ask_kind="MARKET"), ticks=5))[:2] == (100, 0)


def test_rounding_moves_outwards():
    """To multiples of five, down and up; a price on one stays, and a missing side stays missing."""
    assert left(RoundTo(Wanting(99.9, 100.1), ticks=5))[:2] == (95, 105)
    assert left(RoundTo(Wanting(95, 105), ticks=5))[:2] == (95, 105)
    assert left(RoundTo(Wanting(None, 101), ticks=5))[:2] == (None, 105)


def test_a_band_that_was_left_widens_until_the_inventory_is_well_within():
    """Out beyond 4 clips, back at 2: at 3 it depends on where we come from."""
    widened = Widen(Wanting(98, 104), extra_ticks=1.5, inventory=4.0, recover=0.5)
    course = [0, 30, 40, 41, 30, 21, 20, 30, 40, -41, -30, -20, 39]
    bids = [left(widened, inventory_lots=lots, us=us)[0] for us, lots in enumerate(course)]
    assert bids == [98, 98, 98, 96.5, 96.5, 96.5, 98, 98, 98, 96.5, 96.5, 98, 98]


def test_a_loss_widens_until_most_of_it_is_earned_back():
    """10 lots at a mid of 101 and cash of −1010 own nothing, and a tick is a tick·clip. Out below −3, back at −1."""
    widened = Widen(Wanting(98, 104), extra_ticks=2, loss=3.0, recover=1 / 3)
    course = [0, -2, -3, -4, -2, -1, -3, 4, 2, 1, 0, 2, 3]
    asks = [
        left(widened, us=us, inventory_lots=10, cash=-1010.0, bid_ticks=99 + ticks, ask_ticks=103 + ticks)[1]
        for us, ticks in enumerate(course)
    ]
    assert asks == [104, 104, 104, 106, 106, 104, 104, 104, 104, 104, 106, 106, 104]


def test_a_band_begins_anew_with_each_run():
    """A model that is played twice does not remember the first time."""
    widened = Widen(Wanting(98, 104), extra_ticks=2, inventory=4.0)
    assert [left(widened, us=us, inventory_lots=lots)[0] for us, lots in ((5, 41), (6, 30), (5, 30))] == [96, 96, 98]


# In any order

PRICE = st.one_of(st.none(), st.floats(90, 110))
LOTS = st.one_of(st.none(), st.integers(0, 30))
VIEW = st.fixed_dictionaries(
    {"inventory_lots": st.integers(-60, 60), "cash": st.floats(-5e3, 5e3), "us": st.integers(0, 9)}
)


def around(model, steps):
    return reduce(lambda inner, step: QUOTE_STEPS[step[0]](inner=inner, **step[1]), steps, model)


def no_looser(after, before):
    for sign, ours, theirs in ((1, after[0], before[0]), (-1, after[1], before[1])):
        assert ours is None or (theirs is not None and sign * ours <= sign * theirs)
    assert all(ours <= theirs for ours, theirs in zip(after[2:], before[2:], strict=True))


@given(st.tuples(PRICE, PRICE, LOTS, LOTS), st.lists(STEP, min_size=1, max_size=6), VIEW)
def test_a_step_makes_quotes_more_careful_and_never_less(wanted, steps, view):
    """No bid rises, no ask falls, no lots grow, and nothing is quoted where nothing was, however steps are stacked."""
    answers = [left(around(PostOnly(Wanting(*wanted)), steps[:count]), **view) for count in range(len(steps) + 1)]
    for before, after in pairwise(answers):
        no_looser(after, before)


@given(st.tuples(PRICE, PRICE, LOTS, LOTS), st.permutations(range(6)), VIEW)
def test_bounds_hold_in_any_order(wanted, order, view):
    """The promise of each step holds for the whole, wherever it is."""
    steps = [
        ("inventory_bound", {"q_max": 2.5}),
        ("fushimi_size", {"eta": 0.3}),
        ("post_only", {}),
        ("least_spread", {"ticks": 4.5}),
        ("round_to", {"ticks": 3}),
        ("widen", {"extra_ticks": 1.0, "inventory": 2.0}),
    ]
    bid, ask, bid_lots, ask_lots = left(around(Wanting(*wanted), [steps[i] for i in order]), **view)
    held, (most_bid, most_ask) = view["inventory_lots"], (10 if lots is None else lots for lots in wanted[2:])
    assert bid is None or (bid <= 102 and held + bid_lots <= 25)
    assert ask is None or (ask >= 100 and held - ask_lots >= -25)
    assert None in (bid, ask) or ask - bid >= 4.5 - 1e-9
    assert bid_lots <= math.exp(-0.3 * max(held, 0) / 10) * most_bid
    assert ask_lots <= math.exp(-0.3 * max(-held, 0) / 10) * most_ask


def test_a_step_of_ones_own_asks_the_model_within():
    """In Python, around any model: ``wants(view)`` is the inner model's answer for the same view."""

    class Halved:
        depth = False

        def __init__(self, inner):
            self.inner = inner

        def quote(self, view):
            wanted = self.inner.wants(view)
            return Quotes(wanted.bid_ticks, wanted.ask_ticks, wanted.bid_lots // 2, wanted.ask_lots // 2)

    inner = avellaneda_stoikov(k=0.5, sigma=1.0)
    bid, ask, *lots = left(PostOnly(Halved(inner)), inventory_lots=20)
    assert (bid, ask) == left(PostOnly(inner), inventory_lots=20)[:2]
    assert lots == [5, 5]
    with pytest.raises(ModelError, match="reads the whole book; take `depth = False` out"):
        left(PostOnly(Halved(PostOnly(Wanting(98, 104)))))


def test_what_is_asked_from_outside_has_no_book_behind_it():
    class Deep:
        def quote(self, view):
            return Quotes(view.bid_ticks if view.lots_at(1, 98) else None, None)

    with pytest.raises(ModelError, match="there is no book outside"):
        left(PostOnly(Deep()))


WRONG = [
    (InventoryBound, {"q_max": 0}, "inventory_bound: q_max is 0.0; it must be above 0"),
    (InventoryBound, {"q_max": math.nan}, "inventory_bound: q_max is nan"),
    (FushimiSize, {"eta": -1}, "fushimi_size: eta is -1.0; it must be 0 or more"),
    (LeastSpread, {"ticks": math.inf}, "least_spread: ticks is inf"),
    (RoundTo, {"ticks": 0}, "round_to: ticks is 0; it must be 1 or more"),
    (Widen, {"extra_ticks": 1}, "widen: neither inventory nor loss is given; name one band at least"),
    (Widen, {"extra_ticks": 1, "loss": -4}, "widen: loss is -4.0; it must be above 0"),
    (Widen, {"extra_ticks": 1, "loss": 4, "recover": 1.5}, "widen: recover is 1.5; it must be from 0 to 1"),
]


@pytest.mark.parametrize(("step", "params", "told"), WRONG)
def test_a_wrong_parameter_of_a_step_is_named(step, params, told):
    with pytest.raises(UsageError, match=told):
        step(Wanting(98, 104), **params)
