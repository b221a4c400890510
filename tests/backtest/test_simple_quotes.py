"""The simple quote models: prices computed by hand, and whole runs against the same formulas in plain Python."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_quotes import best_distance, compiled, plain
from quote_draws import MODELS
from test_engine import assert_same, drawn

import engine_draws
from engine_cases import compiled_fills, read_journal
from engine_tapes import TEST, tapes
from mm import Rules, Tape, backtest
from mm.backtest.fills.intensity import Intensity
from mm.backtest.journal import ACTIONS
from mm.backtest.models import avellaneda_stoikov_bare, fixed_spread
from mm.backtest.quotes.simple import ExpectedValue
from mm.errors import UsageError

TICK_LOT = 1e-16 * TEST.tick_e8 * TEST.lot_e8


def answer(name, params, **view):
    """Return bid and ask of a model for a book of 99 and 103, 3 lots bid and 1 offered, clips of 2 lots."""
    quotes = compiled(name, params).answer(
        **({"bid_ticks": 99, "ask_ticks": 103, "bid_lots": 3, "ask_lots": 1, "quote_lots": 2} | view)
    )
    return quotes.bid_ticks, quotes.ask_ticks


# The mid is 101; the imbalance (3 − 1)/(3 + 1) = ½; the micro-price (99·1 + 103·3)/4 = 102.
BY_HAND = [
    ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0.5}, {}, (99, 103)),
    ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0.5}, {"inventory_lots": 3}, (98.25, 102.25)),
    ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0.5, "q_max": 2}, {"inventory_lots": 4}, (None, 102)),
    ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0.5, "q_max": 2}, {"inventory_lots": -4}, (100, None)),
    ("microprice", {"delta_ticks": 1.5}, {}, (100.5, 103.5)),
    ("microprice", {"delta_ticks": 1.5, "skew_ticks": 1}, {"inventory_lots": 1}, (100, 103)),
    ("imbalance", {"delta_ticks": 1.5, "shift_ticks": 3}, {}, (101, 104)),
    ("imbalance", {"delta_ticks": 1.5, "shift_ticks": 3}, {"bid_lots": 1, "ask_lots": 7}, (97.25, 100.25)),
    ("adaptive_spread", {"least_ticks": 1, "per_sigma": 2.5}, {"sigma_ticks": 0.4}, (99, 103)),
    ("adaptive_spread", {"least_ticks": 1, "per_sigma": 2.5}, {}, (None, None)),
    ("adaptive_spread", {"least_ticks": 1, "per_sigma": 2.5, "sigma": 2}, {"sigma_ticks": 9.0}, (95, 107)),
]


@pytest.mark.parametrize(("name", "params", "view", "expected"), BY_HAND)
def test_prices_equal_those_computed_by_hand(name, params, view, expected):
    assert answer(name, params, **view) == expected


def test_symmetric_has_the_spreads_of_the_paper():
    """Section 3.3: sigma 2, k 1.5, a session of 1; the constant spread is γσ²T/2 + (2/γ)·ln(1 + γ/k)."""
    for gamma, spread in ((0.1, 1.4908), (0.01, 1.3489), (1.0, 3.0217)):
        params = {"gamma": gamma, "k": 1.5, "sigma": 2.0, "horizon_s": 1.0, "mode": "session"}
        bid, ask = answer("symmetric", params, inventory_lots=40)
        assert ask - bid == pytest.approx(spread, abs=1e-4)
        assert (bid + ask) / 2 == pytest.approx(101)


@given(st.floats(0.001, 3), st.floats(0.1, 3), st.floats(0, 3), st.integers(-9, 9))
def test_symmetric_equals_avellaneda_stoikov_without_inventory(gamma, k, sigma, inventory):
    """Spread and centre are the same at every inventory."""
    params = {"gamma": gamma, "k": k, "sigma": sigma}
    reference = avellaneda_stoikov_bare(**params).answer(bid_ticks=99, ask_ticks=103)
    assert answer("symmetric", params, inventory_lots=inventory) == (reference.bid_ticks, reference.ask_ticks)


SKEWED = [
    ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0.3}),
    ("microprice", {"delta_ticks": 2, "skew_ticks": 0.3}),
    ("imbalance", {"delta_ticks": 2, "shift_ticks": 1, "skew_ticks": 0.3}),
    ("adaptive_spread", {"least_ticks": 2, "per_sigma": 1, "sigma": 1, "skew_ticks": 0.3}),
    ("expected_value", {"A": 2, "k": 0.4, "skew_ticks": 0.3}),
]


@pytest.mark.parametrize(("name", "params"), SKEWED)
def test_quotes_move_against_the_inventory(name, params):
    """Larger inventory lowers both quotes, and the sides mirror; without inventory there is no skew."""
    quotes = [answer(name, params, inventory_lots=lots, bid_lots=2, ask_lots=2) for lots in range(-8, 9)]
    for fewer, more in pairwise(quotes):
        assert more[0] < fewer[0]
        assert more[1] < fewer[1]
    for lots in range(9):
        below, above = quotes[8 - lots], quotes[8 + lots]
        assert (101 - above[0], above[1] - 101) == pytest.approx((below[1] - 101, 101 - below[0]))


@given(st.integers(90, 100), st.integers(1, 9), st.integers(1, 99), st.integers(1, 99))
def test_microprice_equals_imbalance_shifted_by_half_spread(bid, spread, bid_lots, ask_lots):
    book = {"bid_ticks": bid, "ask_ticks": bid + spread, "bid_lots": bid_lots, "ask_lots": ask_lots}
    micro = answer("microprice", {"delta_ticks": 1}, **book)
    assert micro == pytest.approx(answer("imbalance", {"delta_ticks": 1, "shift_ticks": spread / 2}, **book))
    assert bid < sum(micro) / 2 < bid + spread


# The expected value


def worth(delta, costs, A, k, horizon_s):
    return -math.expm1(-A * math.exp(-k * delta) * horizon_s) * (delta - costs)


@pytest.mark.slow
@given(
    st.floats(0.001, 500),
    st.floats(0.01, 3),
    st.floats(0.01, 600),
    st.floats(-20, 20),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_no_distance_on_a_grid_has_higher_expected_value(A, k, horizon_s, adverse, fee, skew):
    """Brute force over ten thousand distances, on both sides of an inventory of 1½ clips."""
    params = {"A": A, "k": k, "horizon_s": horizon_s, "adverse_ticks": adverse, "fee_ticks": fee, "skew_ticks": skew}
    bid, ask = answer("expected_value", params, inventory_lots=3)
    for delta, costs in ((101 - bid, adverse + fee + 1.5 * skew), (ask - 101, adverse + fee - 1.5 * skew)):
        best = worth(delta, costs, A, k, horizon_s)
        grid = [costs + (delta - costs) * step / 4000 for step in range(10_000)]
        assert best >= max(worth(other, costs, A, k, horizon_s) for other in grid) * (1 - 1e-9)
        assert delta >= costs + 1 / k - 1e-9


def test_numerical_search_finds_the_same_distance():
    """For a short horizon it is costs + 1/k; for a long one it is far out."""
    short, _ = answer("expected_value", {"A": 1e-6, "k": 0.5, "adverse_ticks": 1, "fee_ticks": 0.5})
    assert 101 - short == pytest.approx(1.5 + 2, abs=1e-5)
    for A, k, horizon_s, costs in ((2.0, 0.5, 5.0, 0.5), (40.0, 0.1, 100.0, -3.0)):
        bid, _ = answer("expected_value", {"A": A, "k": k, "horizon_s": horizon_s, "adverse_ticks": costs})
        assert 101 - bid == pytest.approx(best_distance(costs, A, k, horizon_s), abs=1e-5)


def test_schedule_gives_each_side_its_own_intensity():
    """Before the first segment, and on a side without fills, nothing is quoted."""
    model = ExpectedValue(
        intensity=Intensity([(1_000, 2_000, 1.0, 0.5, 0.0, 0.25, 0.4), (2_000, 3_000, 1, 1, 1, 1, 1)])
    )
    answers = {us: model.answer(bid_ticks=99, ask_ticks=103, us=us) for us in (999, 1_000, 2_500, 3_000)}
    assert [answers[us].bid_ticks is None for us in answers] == [True, False, False, True]
    assert [answers[us].ask_ticks is None for us in answers] == [True, True, False, True]
    assert 101 - answers[1_000].bid_ticks == pytest.approx(best_distance(0, 1.0, 0.5, 1.0), abs=1e-5)


# Whole runs


@pytest.mark.slow
@drawn(100)
@given(MODELS, st.sampled_from([1, 3, 100_000, 500_000]), st.data())
def test_run_equals_run_of_plain_python_models(model, unit, data):
    """Compiled models, mixtures and steps leave the same journal as their plain Python versions."""
    days, rules = data.draw(tapes(unit)), replace(data.draw(engine_draws.rules(unit)), target_lots=None)
    # Python sees quantities in order steps, of which a clip below one has none to bound
    rules = replace(rules, quote_lots=-(-rules.quote_lots // rules.step_lots) * rules.step_lots)
    fills = data.draw(engine_draws.trade_crosses(unit))
    compiled_journal, plain_journal = (
        read_journal(backtest(days, quotes, compiled_fills(*fills), rules).journal)
        for quotes in (compiled(*model), plain(*model, tick_lot=TICK_LOT))
    )
    assert_same(compiled_journal, plain_journal)
    assert compiled_journal.counters == plain_journal.counters


LOTS = ("imbalance", {"delta_ticks": 5, "shift_ticks": 12})
FIXED = ("fixed_spread", {"delta_ticks": 5})


@pytest.mark.parametrize(
    "model",
    [
        LOTS,
        ("mixed", {"models": [(*FIXED, 1), (*LOTS, 1)]}),
        ("steps", {"model": LOTS, "steps": [("post_only", {})]}),
        ("steps", {"model": ("mixed", {"models": [(*LOTS, 1), (*FIXED, 1)]}), "steps": [("round_to", {"ticks": 1})]}),
    ],
)
def test_changes_of_lots_alone_move_the_quotes(model):
    """Through any wrapper, while best prices and our inventory are unchanged."""
    events = [
        (1_000, "snapshot", [(90, 5)], [(110, 5)]),
        *((1_000 + 500 * i, "depth", [(90, 5 * i)], []) for i in (2, 4)),
    ]
    rules = Rules(TEST.tick_e8, TEST.lot_e8, requote_us=100, start_lots=9, order_latency_us=10)
    fills = compiled_fills("trade_cross", False, 1.0, 0)
    journal = backtest(Tape.of(TEST, events), compiled(*model), fills, rules).journal
    placed = [row[5] for row in journal.orders.tolist() if ACTIONS[row[2]] == "PLACE" and row[4] > 0]
    assert placed == sorted(set(placed))
    assert len(placed) == 3


WRONG = [
    (
        "inventory_skew",
        {"delta_ticks": -1, "skew_ticks": 0},
        "inventory_skew: delta_ticks is -1; it must be a number",
    ),
    ("inventory_skew", {"delta_ticks": 1, "skew_ticks": math.nan}, "inventory_skew: skew_ticks is nan"),
    ("microprice", {"delta_ticks": 1, "q_max": 0}, "microprice: q_max is 0; it must be a number above 0"),
    (
        "imbalance",
        {"delta_ticks": 1, "shift_ticks": -2},
        "imbalance: shift_ticks is -2; it must be a number",
    ),
    ("adaptive_spread", {"least_ticks": 1, "per_sigma": math.inf}, "adaptive_spread: per_sigma is inf"),
    ("adaptive_spread", {"least_ticks": 1, "per_sigma": 1, "sigma": -1}, "adaptive_spread: sigma is -1"),
    ("symmetric", {"k": 1, "mode": "infinite"}, "symmetric: mode is 'infinite'; it must be one of rolling, session"),
    ("expected_value", {"k": 1}, "expected_value: A is missing; give it in quote_params_json or by fill_params_file"),
    ("expected_value", {"A": 1}, "expected_value: k is missing"),
    ("expected_value", {"A": 0, "k": 1}, "expected_value: A is 0; it must be a number above 0"),
    (
        "expected_value",
        {"A": 1, "k": 1, "fee_ticks": math.nan},
        "expected_value: fee_ticks is nan; it must be a number",
    ),
    (
        "expected_value",
        {"A": 1, "k": 1, "skew_ticks": -1},
        "expected_value: skew_ticks is -1; it must be a number",
    ),
]


@pytest.mark.parametrize(("name", "params", "message"), WRONG)
def test_invalid_parameter_of_simple_model_raises_usage_error(name, params, message):
    with pytest.raises(UsageError, match=message):
        compiled(name, params)


def test_mixture_weights_prices_and_takes_the_smallest_lots():
    """Weights of 2 and 1; a side that one model leaves out is left out; equal models give the same quotes."""
    skewed = ("inventory_skew", {"delta_ticks": 2, "skew_ticks": 0, "q_max": 1})
    fixed = ("fixed_spread", {"delta_ticks": 3.5})
    small = ("steps", {"model": fixed, "steps": [("fushimi_size", {"eta": 1})]})
    assert answer("mixed", {"models": [(*skewed, 2), (*fixed, 1)]}) == pytest.approx((98.5, 103.5))
    assert answer("mixed", {"models": [(*skewed, 2), (*fixed, 1)]}, inventory_lots=2) == (None, pytest.approx(103.5))
    thirds = {"models": [("fixed_spread", {"delta_ticks": 2.1}, 1 / 3)] * 3}
    assert answer("mixed", thirds) == answer("fixed_spread", {"delta_ticks": 2.1})
    model = compiled("mixed", {"models": [(*fixed, 1), (*small, 1)]})
    quotes = model.answer(bid_ticks=99, ask_ticks=103, inventory_lots=10, quote_lots=10)
    assert (quotes.bid_lots, quotes.ask_lots) == (3, 10)


@pytest.mark.parametrize(
    ("models", "message"),
    [([], "mixed: models is empty"), ([(fixed_spread(delta_ticks=1), math.inf)], "a weight is inf")],
)
def test_invalid_mixture_raises_usage_error(models, message):
    from mm.backtest.models import mixed

    with pytest.raises(UsageError, match=message):
        mixed(models=models)
