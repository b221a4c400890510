"""The grid against a plain implementation; steps, mixtures and limits with several prices per side."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mm
from mm import PaperExchange, Quotes, Rules, Tape
from mm.backtest.fills.base import TradeCross
from mm.backtest.models import grid, mixed, steps
from mm.errors import ModelError, UsageError
from mm.instrument import Instrument


def plain_grid(view, delta_ticks, levels, step_ticks, skew_ticks, q_max):
    """Return bids and asks as defined in the model's docs."""
    held = view["inventory_lots"] - view["target_lots"]
    centre = (view["bid_ticks"] + view["ask_ticks"]) / 2 - skew_ticks * held / view["quote_lots"]
    bid = math.floor(min(centre - delta_ticks, view["bid_ticks"]) / step_ticks) * step_ticks
    ask = math.ceil(max(centre + delta_ticks, view["ask_ticks"]) / step_ticks) * step_ticks
    sides = []
    for first, offset, sign in ((bid, -step_ticks, 1), (ask, step_ticks, -1)):
        room = math.inf if q_max is None else int(q_max * view["quote_lots"]) - sign * held
        lots = [min(view["quote_lots"], room - i * view["quote_lots"]) for i in range(levels)]
        sides.append([(first + i * offset, size) for i, size in enumerate(lots) if size > 0])
    return sides


VIEWS = st.fixed_dictionaries(
    {
        "bid_ticks": st.integers(1_000, 1_050),
        "ask_ticks": st.integers(1_051, 1_060),
        "inventory_lots": st.integers(-40, 40),
        "target_lots": st.sampled_from([0, 0, 5]),
        "quote_lots": st.integers(1, 7),
    }
)
PARAMETERS = st.fixed_dictionaries(
    {
        "delta_ticks": st.sampled_from([0, 0.5, 2, 7.25]),
        "levels": st.integers(1, 6),
        "step_ticks": st.integers(1, 9),
        "skew_ticks": st.sampled_from([0, 0.25, 1.5]),
        "q_max": st.sampled_from([None, 1, 2.5, 20]),
    }
)


@settings(deadline=None)
@given(VIEWS, PARAMETERS)
def test_grid_equals_plain_grid(view, parameters):
    answer = grid(**parameters).answer(**view)
    assert [answer.bids, answer.asks] == plain_grid(view, **parameters)
    assert (answer.bid_ticks, answer.ask_ticks, answer.on_best) == (None, None, False)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"levels": 0}, "grid: levels is 0; it must be a whole number between 1 and 1000"),
        ({"levels": 2.5}, "grid: levels is 2.5; it must be a whole number"),
        ({"step_ticks": 0}, "grid: step_ticks is 0; it must be a whole number between 1 and"),
        ({"delta_ticks": -1}, "grid: delta_ticks is -1; it must be a number of at least 0"),
    ],
)
def test_invalid_parameters_raise_usage_error(parameters, message):
    with pytest.raises(UsageError, match=message):
        grid(**({"delta_ticks": 1, "levels": 2, "step_ticks": 1} | parameters))


# Steps around several prices


class Ladder:
    """Quote the given prices."""

    def __init__(self, **quotes):
        self.quotes = quotes

    def quote(self, _view):
        return Quotes(**self.quotes)


def prices_after(step, **quotes):
    """Return the prices after a step around a ladder, at 100 and 103 with a clip of 2 and 3 lots held."""
    answer = steps(model=Ladder(**quotes), steps=[step]).answer(
        bid_ticks=100, ask_ticks=103, inventory_lots=3, quote_lots=2
    )
    return answer.bids, answer.asks


def test_inventory_bound_keeps_the_first_prices():
    """The bound is 4 clips, 8 lots: 3 are held, so 5 may be bought and 11 sold."""
    from mm.backtest.quotes.steps import InventoryBound

    def bound(model):
        return InventoryBound(model, q_max=4)

    bids, asks = prices_after(bound, bids=[99, 98, 97, 96], asks=[(104, 10), (105, 10)])
    assert bids == [(99, 2), (98, 2), (97, 1)]
    assert asks == [(104, 10), (105, 1)]


def test_post_only_moves_each_crossing_price():
    from mm.backtest.quotes.steps import PostOnly

    bids, asks = prices_after(PostOnly, bids=[104, 102, 99], asks=[100], bid_kind="LIMIT")
    assert bids == [(102, 2), (102, 2), (99, 2)]
    assert asks == [(101, 2)]


def test_round_to_adjusts_prices_of_one_side_alone():
    from mm.backtest.quotes.steps import RoundTo

    def rounded(model):
        return RoundTo(model, ticks=5)

    assert prices_after(rounded, bids=[99, 94, 91], asks=[]) == ([(95, 2), (90, 2), (90, 2)], [])


def test_mixture_of_several_prices_raises_model_error():
    model = mixed(models=[(Ladder(bids=[99]), 1.0), (Ladder(bids=[98]), 1.0)])
    with pytest.raises(ModelError, match="mixed: Ladder quotes several prices per side, which cannot be averaged"):
        model.answer(bid_ticks=100, ask_ticks=101)


# In a run

INSTRUMENT = Instrument("TESTUSDT", 10**6, 10**5)
RULES = Rules(10**6, 10**5, start_cash_e8=10**13, start_lots=1_000_000, quote_lots=100, requote_us=100_000)


def rising_and_falling_tape(steps_up=40):
    """Return a tape whose best prices rise a tick every 50 ms and fall again, with a print at each."""
    events, us = [(10**9, "snapshot", [(999, 50)], [(1001, 50)])], 10**9
    path = [*range(1, steps_up), *range(steps_up, 0, -1)]
    at = 0
    for step in path:
        us += 50_000
        sides = [(999 + at, 0), (999 + step, 50)], [(1001 + at, 0), (1001 + step, 50)]
        events += [(us, "depth", *sides), (us, "trade", 1 if step > at else -1, 1000 + step, 30)]
        at = step
    return Tape.of(INSTRUMENT, events)


def orders_of(model, rules=RULES):
    exchange = PaperExchange(model, TradeCross(), rules)
    exchange.attach(rising_and_falling_tape())
    exchange.advance(rising_and_falling_tape().end_us)
    return exchange.journal().orders


def test_coarse_grid_sends_fewer_orders_than_fine_grid():
    """A grid of ten ticks keeps its prices while the mid moves within a step."""
    coarse = orders_of(grid(delta_ticks=5, levels=5, step_ticks=10))
    fine = orders_of(grid(delta_ticks=5, levels=5, step_ticks=1))
    placed = [sum(row[2] == 0 for row in rows.tolist()) for rows in (coarse, fine)]
    assert placed[0] * 3 < placed[1]


def test_on_best_requotes_at_each_change_of_best_prices():
    """Every 50 ms, while the requote interval is 100 ms."""
    rules, parameters = replace(RULES, requote_on_fill=False), {"delta_ticks": 1, "levels": 2, "step_ticks": 1}
    seldom, often = (
        {row[0] for row in orders_of(grid(**parameters, on_best=on_best), rules).tolist() if row[2] == 0}
        for on_best in (False, True)
    )
    assert {us % 100_000 for us in seldom} == {0}
    assert {us % 100_000 for us in often} == {0, 50_000}


def test_compiled_grid_sends_the_same_orders_as_python_grid():
    """One by `want_level` on best prices, one by `Quotes.grid` on the whole book, with ranges, lists and tuples."""

    class InPython:
        def __init__(self, kind):
            self.kind = kind

        def quote(self, view):
            mid = view.mid2_ticks / 2
            bid = math.floor(min(mid - 5, view.bid_ticks) / 2) * 2
            ask = math.ceil(max(mid + 5, view.ask_ticks) / 2) * 2
            answer = mm.Quotes.grid(bid, ask, levels=4, step_ticks=2)
            return mm.Quotes(bids=self.kind(answer.bids), asks=self.kind(answer.asks), on_best=True)

    compiled = orders_of(grid(delta_ticks=5, levels=4, step_ticks=2, on_best=True))
    for kind in (lambda prices: prices, list, tuple):
        assert compiled.tolist() == orders_of(InPython(kind)).tolist()


@pytest.mark.parametrize("prices", [range(-3, 9, 3), range(0), range(1 << 49, (1 << 49) + 3)])
def test_range_of_prices_equals_a_list_of_prices(prices):
    """Invalid prices give the same rows in both forms."""

    class Asks:
        def __init__(self, asks):
            self.asks = asks

        def quote(self, view):
            return mm.Quotes(asks=self.asks)

    assert orders_of(Asks(prices)).tolist() == orders_of(Asks(list(prices))).tolist()
