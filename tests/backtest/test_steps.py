"""Steps around a quote model: the effect of each, and that no order of them loosens another step's bound."""

import math
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quote_draws import STEP

from mm import Quotes
from mm.backtest.models import QUOTE_STEPS, avellaneda_stoikov
from mm.backtest.quotes.steps import FushimiSize, InventoryBound, LeastSpread, PostOnly, RoundTo, Widen
from mm.errors import ModelError, UsageError

BOOK = {"bid_ticks": 99, "ask_ticks": 103, "quote_lots": 10}


class FixedQuotes:
    """Quote the given quotes."""

    def __init__(self, *quotes, **more):
        self.quotes = Quotes(*quotes, **more)

    def quote(self, view):
        return self.quotes


def quotes_after(model, **view):
    """Return prices and lots of *model* for a book of 99 and 103, with clips of 10 lots."""
    quotes = model.answer(**(BOOK | view))
    return quotes.bid_ticks, quotes.ask_ticks, quotes.bid_lots, quotes.ask_lots


ROOM = [(0, 10, 10), (18, 7, 10), (24, 1, 10), (25, 0, 10), (70, 0, 10), (-18, 10, 7), (-25, 10, 0), (-70, 10, 0)]


@pytest.mark.parametrize(("inventory", "bid_lots", "ask_lots"), ROOM)
def test_inventory_bound_limits_quotes_to_the_remaining_room(inventory, bid_lots, ask_lots):
    """A bound of 2.5 clips is 25 lots; a quote is at most as large as the remaining room, and absent without room."""
    bounded = quotes_after(InventoryBound(FixedQuotes(98, 104), q_max=2.5), inventory_lots=inventory)
    assert bounded == (98 if bid_lots else None, 104 if ask_lots else None, bid_lots, ask_lots)


def test_fushimi_size_shrinks_the_side_that_adds():
    """Fushimi et al.: φ·e^(−ηq), floored, on that side and φ on the other; less than a lot is no quote."""
    sized = FushimiSize(FixedQuotes(98, 104), eta=0.5)
    for inventory, lots in ((10, 6), (30, 2)):  # 10·e^(−½) = 6.07, 10·e^(−1½) = 2.23
        assert quotes_after(sized, inventory_lots=inventory) == (98, 104, lots, 10)
        assert quotes_after(sized, inventory_lots=-inventory) == (98, 104, 10, lots)
    assert quotes_after(sized, inventory_lots=60) == (None, 104, 0, 10)
    assert quotes_after(FushimiSize(FixedQuotes(98, 104, 4, 7), eta=0.5)) == (98, 104, 4, 7)


def test_post_only_never_crosses_the_spread():
    """A tick from the opposite best price, as a maker order of any kind; a price inside the spread stays."""
    assert quotes_after(PostOnly(FixedQuotes(105.5, 90)))[:2] == (102, 100)
    assert quotes_after(PostOnly(FixedQuotes(101.5, 100.5)))[:2] == (101.5, 100.5)
    assert quotes_after(PostOnly(FixedQuotes(None, 90)))[:2] == (None, 100)
    taking = PostOnly(FixedQuotes(0, 105.5, bid_kind="MARKET", ask_kind="IOC")).answer(**BOOK)
    assert taking == Quotes(None, 105.5, 10, 10)


NARROW = [((100, 101), (98, 103)), ((98.5, 103), (98.25, 103.25)), ((97, 104), (97, 104)), ((104, 100), (99.5, 104.5))]


@pytest.mark.parametrize(("quotes", "apart"), NARROW)
def test_least_spread_widens_both_sides(quotes, apart):
    """To at least five ticks around the same centre, even if the model's bid is above its ask."""
    assert quotes_after(LeastSpread(FixedQuotes(*quotes), ticks=5))[:2] == apart


def test_least_spread_ignores_quotes_without_two_prices():
    assert quotes_after(LeastSpread(FixedQuotes(100, None), ticks=5))[:2] == (100, None)
    assert quotes_after(LeastSpread(FixedQuotes(100, 0, ask_kind="MARKET"), ticks=5))[:2] == (100, 0)


def test_round_to_moves_prices_outwards():
    """To multiples of five, down and up; a multiple stays, and a missing side stays missing."""
    assert quotes_after(RoundTo(FixedQuotes(99.9, 100.1), ticks=5))[:2] == (95, 105)
    assert quotes_after(RoundTo(FixedQuotes(95, 105), ticks=5))[:2] == (95, 105)
    assert quotes_after(RoundTo(FixedQuotes(None, 101), ticks=5))[:2] == (None, 105)


def test_widen_by_inventory_has_hysteresis():
    """It starts above 4 clips and ends at 2: at 3 it depends on the previous state."""
    widened = Widen(FixedQuotes(98, 104), extra_ticks=1.5, inventory=4.0, recover=0.5)
    course = [0, 30, 40, 41, 30, 21, 20, 30, 40, -41, -30, -20, 39]
    bids = [quotes_after(widened, inventory_lots=lots, us=us)[0] for us, lots in enumerate(course)]
    assert bids == [98, 98, 98, 96.5, 96.5, 96.5, 98, 98, 98, 96.5, 96.5, 98, 98]


def test_widen_by_loss_has_hysteresis():
    """10 lots at a mid of 101 and cash of −1010: equity 0; a tick is a tick·clip. It starts below −3, ends at −1."""
    widened = Widen(FixedQuotes(98, 104), extra_ticks=2, loss=3.0, recover=1 / 3)
    course = [0, -2, -3, -4, -2, -1, -3, 4, 2, 1, 0, 2, 3]
    asks = [
        quotes_after(widened, us=us, inventory_lots=10, cash=-1010.0, bid_ticks=99 + ticks, ask_ticks=103 + ticks)[1]
        for us, ticks in enumerate(course)
    ]
    assert asks == [104, 104, 104, 106, 106, 104, 104, 104, 104, 104, 106, 106, 104]


def test_widen_resets_in_a_new_run():
    """A reused model keeps no state of the first run."""
    widened = Widen(FixedQuotes(98, 104), extra_ticks=2, inventory=4.0)
    assert [quotes_after(widened, us=us, inventory_lots=lots)[0] for us, lots in ((5, 41), (6, 30), (5, 30))] == [
        96,
        96,
        98,
    ]


# In any order

PRICE = st.one_of(st.none(), st.floats(90, 110))
LOTS = st.one_of(st.none(), st.integers(0, 30))
VIEW = st.fixed_dictionaries(
    {"inventory_lots": st.integers(-60, 60), "cash": st.floats(-5e3, 5e3), "us": st.integers(0, 9)}
)


def around(model, steps):
    return reduce(lambda inner, step: QUOTE_STEPS[step[0]](inner=inner, **step[1]), steps, model)


def assert_no_looser(after, before):
    for sign, price, previous in ((1, after[0], before[0]), (-1, after[1], before[1])):
        assert price is None or (previous is not None and sign * price <= sign * previous)
    assert all(price <= previous for price, previous in zip(after[2:], before[2:], strict=True))


@given(st.tuples(PRICE, PRICE, LOTS, LOTS), st.lists(STEP, min_size=1, max_size=6), VIEW)
def test_steps_never_loosen_quotes(quotes, steps, view):
    """No bid rises, no ask falls, no lots grow, and no quote appears, however steps are stacked."""
    answers = [
        quotes_after(around(PostOnly(FixedQuotes(*quotes)), steps[:count]), **view) for count in range(len(steps) + 1)
    ]
    for before, after in pairwise(answers):
        assert_no_looser(after, before)


@given(st.tuples(PRICE, PRICE, LOTS, LOTS), st.permutations(range(6)), VIEW)
def test_bounds_of_steps_hold_in_any_order(quotes, order, view):
    """The bound of each step holds for the whole stack."""
    steps = [
        ("inventory_bound", {"q_max": 2.5}),
        ("fushimi_size", {"eta": 0.3}),
        ("post_only", {}),
        ("least_spread", {"ticks": 4.5}),
        ("round_to", {"ticks": 3}),
        ("widen", {"extra_ticks": 1.0, "inventory": 2.0}),
    ]
    bid, ask, bid_lots, ask_lots = quotes_after(around(FixedQuotes(*quotes), [steps[i] for i in order]), **view)
    held, (most_bid, most_ask) = view["inventory_lots"], (10 if lots is None else lots for lots in quotes[2:])
    assert bid is None or (bid <= 102 and held + bid_lots <= 25)
    assert ask is None or (ask >= 100 and held - ask_lots >= -25)
    assert None in (bid, ask) or ask - bid >= 4.5 - 1e-9
    assert bid_lots <= math.exp(-0.3 * max(held, 0) / 10) * most_bid
    assert ask_lots <= math.exp(-0.3 * max(-held, 0) / 10) * most_ask


def test_users_step_reads_quotes_of_the_inner_model():
    """In Python, around any model: ``wants(view)`` is the inner model's answer for the same view."""

    class Halved:
        depth = False

        def __init__(self, inner):
            self.inner = inner

        def quote(self, view):
            quotes = self.inner.wants(view)
            return Quotes(quotes.bid_ticks, quotes.ask_ticks, quotes.bid_lots // 2, quotes.ask_lots // 2)

    inner = avellaneda_stoikov(k=0.5, sigma=1.0)
    bid, ask, *lots = quotes_after(PostOnly(Halved(inner)), inventory_lots=20)
    assert (bid, ask) == quotes_after(PostOnly(inner), inventory_lots=20)[:2]
    assert lots == [5, 5]
    with pytest.raises(ModelError, match="reads the whole book; remove `depth = False` from"):
        quotes_after(PostOnly(Halved(PostOnly(FixedQuotes(98, 104)))))


def test_lots_at_raises_model_error_outside_a_run():
    class Deep:
        def quote(self, view):
            return Quotes(view.bid_ticks if view.lots_at(1, 98) else None, None)

    with pytest.raises(ModelError, match="there is no book outside"):
        quotes_after(PostOnly(Deep()))


WRONG = [
    (InventoryBound, {"q_max": 0}, "inventory_bound: q_max is 0; it must be a number above 0"),
    (InventoryBound, {"q_max": math.nan}, "inventory_bound: q_max is nan"),
    (FushimiSize, {"eta": -1}, "fushimi_size: eta is -1; it must be a number of at least"),
    (LeastSpread, {"ticks": math.inf}, "least_spread: ticks is inf"),
    (RoundTo, {"ticks": 0}, "round_to: ticks is 0; it must be a whole number between 1 and"),
    (Widen, {"extra_ticks": 1}, "widen: neither inventory nor loss is given; give at least one band"),
    (Widen, {"extra_ticks": 1, "loss": -4}, "widen: loss is -4; it must be a number above 0"),
    (Widen, {"extra_ticks": 1, "loss": 4, "recover": 1.5}, "widen: recover is 1.5; it must be a number between 0 and"),
]


@pytest.mark.parametrize(("step", "params", "message"), WRONG)
def test_invalid_parameter_of_step_raises_usage_error(step, params, message):
    with pytest.raises(UsageError, match=message):
        step(FixedQuotes(98, 104), **params)
