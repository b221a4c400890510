"""Kelly's rule as steps: the closed forms, their duality, and quotes without wealth or volatility."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mm
from engine_tapes import BEGIN_US, TEST
from mm import Tape
from mm.backtest.models import fixed_spread
from mm.backtest.quotes.steps import KellySize, KellySkew
from mm.errors import UsageError

BOOK = {"bid_ticks": 990, "ask_ticks": 1010, "quote_lots": 1_000_000, "tick_lot": 0.01}
MID = 1000.0
held = st.integers(-500, 500)
wealth = st.floats(1e3, 1e7)
variances = st.tuples(st.floats(0.1, 20.0), st.floats(1.0, 600.0), st.floats(0.05, 1.0))


def cash_of(stake, lots):
    """Return the cash with which the wealth is *stake* tick·lots."""
    return (stake - lots * MID) * BOOK["tick_lot"]


def growth(position, bought, delta, stake, variance):
    """Return the expected growth of log wealth to second order, as in the module's docstring, without a drift."""
    return bought * delta / stake - (position + bought) ** 2 * variance / (2 * stake**2)


@given(held, wealth, variances)
def test_kelly_skew_equals_reservation_price_with_gamma_one_over_wealth(lots, stake, drawn):
    """Avellaneda and Stoikov: r - s = -q·γ·σ²·τ with γ = 1/(f·W)."""
    sigma, horizon_s, fraction = drawn
    model = KellySkew(fixed_spread(delta_ticks=5), horizon_s=horizon_s, fraction=fraction)
    answer = model.answer(**BOOK, inventory_lots=lots, cash=cash_of(stake, lots), sigma_ticks=sigma)
    gamma = 1.0 / (fraction * stake)
    reservation = MID - lots * gamma * sigma**2 * horizon_s
    assert (answer.bid_ticks + answer.ask_ticks) / 2 == pytest.approx(reservation, rel=1e-6, abs=1e-6)
    assert answer.ask_ticks - answer.bid_ticks == pytest.approx(10.0, abs=1e-5)


@given(held, wealth, variances, st.floats(0.5, 30.0))
def test_kelly_size_maximizes_growth_of_log_wealth(lots, stake, drawn, delta):
    """One lot more or less grows slower for a full Kelly; a fraction is equivalent to less wealth."""
    sigma, horizon_s, fraction = drawn
    model = KellySize(fixed_spread(delta_ticks=delta), horizon_s=horizon_s, fraction=fraction)
    answer = model.answer(**BOOK, inventory_lots=lots, cash=cash_of(stake, lots), sigma_ticks=sigma)
    variance, staked = sigma**2 * horizon_s, fraction * stake
    for side, quoted, price in ((1, answer.bid_lots, answer.bid_ticks), (-1, answer.ask_lots, answer.ask_ticks)):
        best = staked * delta / variance - side * lots
        if price is None:
            assert best < 1 + 1e-6
            continue
        assert quoted == min(math.floor(best), BOOK["quote_lots"]) or best == pytest.approx(round(best), abs=1e-4)
        if quoted < BOOK["quote_lots"]:
            at = [growth(side * lots, quoted + more, delta, staked, variance) for more in (-1, 0, 1, 2)]
            assert max(at[1:3]) >= max(at) - 1e-9 * np.abs(at).max()


@given(held, wealth, variances)
def test_skewed_quotes_have_equal_sizes(lots, stake, drawn):
    """The skew compensates the inventory: the size is then f·W·δ/v on both sides, whatever is held."""
    sigma, horizon_s, fraction = drawn
    shared = {"horizon_s": horizon_s, "fraction": fraction}
    model = KellySize(KellySkew(fixed_spread(delta_ticks=5), **shared), **shared)
    answer = model.answer(**BOOK, inventory_lots=lots, cash=cash_of(stake, lots), sigma_ticks=sigma)
    size = fraction * stake * 5.0 / (sigma**2 * horizon_s)
    for price, quoted in ((answer.bid_ticks, answer.bid_lots), (answer.ask_ticks, answer.ask_lots)):
        assert (0 if price is None else quoted) == pytest.approx(min(math.floor(size), 1_000_000), abs=1)


def test_kelly_size_subtracts_fees_and_applies_the_cap():
    """(5 - 1)·1000/100 = 40 lots at most; the cap is twice the size of the inner model."""
    cash = 1000 * BOOK["tick_lot"]
    model = KellySize(fixed_spread(delta_ticks=5), horizon_s=1.0, fraction=1.0, fee_ticks=1.0, most=2.0)
    answer = model.answer(**BOOK, cash=cash, sigma_ticks=10.0)
    assert (answer.bid_lots, answer.ask_lots) == (40, 40)
    small = model.answer(**{**BOOK, "quote_lots": 3}, cash=cash, sigma_ticks=10.0)
    assert (small.bid_lots, small.ask_lots) == (6, 6)
    assert model.answer(**BOOK, cash=cash, sigma_ticks=0.0).bid_lots == 2_000_000


@pytest.mark.parametrize(("lots", "sides"), [(7, (False, True)), (-7, (True, False)), (0, (False, False))])
def test_only_reducing_side_is_quoted_without_wealth(lots, sides):
    model = KellySkew(fixed_spread(delta_ticks=5))
    answer = model.answer(**BOOK, inventory_lots=lots, cash=cash_of(-10.0, lots), sigma_ticks=1.0)
    assert (answer.bid_ticks is not None, answer.ask_ticks is not None) == sides


@pytest.mark.parametrize("step", [KellySkew, KellySize])
def test_nothing_is_quoted_until_volatility_is_known(step):
    answer = step(fixed_spread(delta_ticks=5)).answer(**BOOK, cash=100.0)
    assert (answer.bid_ticks, answer.ask_ticks) == (None, None)
    assert step(fixed_spread(delta_ticks=5), sigma=0.01).answer(**BOOK, cash=100.0).bid_ticks is not None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fraction": 0.0}, "fraction is 0.0; it must be a number above 0 and at most 1"),
        ({"fraction": 1.5}, "fraction is 1.5; it must be a number above 0 and at most 1"),
        ({"horizon_s": 0.0}, "horizon_s is 0.0; it must be a number between 1e-06 and 1000000000"),
        ({"by": math.inf}, "by is inf; it must be a number"),
    ],
)
def test_invalid_kelly_parameters_raise_usage_error(params, message):
    with pytest.raises(UsageError, match=f"^kelly_skew: {message}$"):
        KellySkew(fixed_spread(delta_ticks=5), **params)


def test_kelly_skew_with_signal_shifts_quotes():
    """In a run: the imbalance of (3 - 1)/4 times 2 ticks moves both prices by one."""
    us = BEGIN_US
    rows = [(us, "snapshot", [(99, 1)], [(103, 1)]), (us + 1_000_000, "depth", [(99, 3)], [])]
    tape = Tape.of(TEST, [*rows, (us + 5_000_000, "depth", [], [(104, 1)])])
    signal = {"signal": "imbalance_1", "by": 2.0, "sigma": 1e-6}
    params = {"model": ["fixed_spread", {"delta_ticks": 2}], "steps": [["kelly_skew", signal]]}
    result = mm.backtest(tape, "steps", "trade_cross", quote_params_json=params, initial_inventory=1, sensitivity=False)
    bids = [row[5] for row in result.journal.orders.tolist() if row[4] == 1]
    assert {99, 100} <= set(bids)
