"""gamma="auto": the equation it solves, its limits, and what a run reports about it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import drawn

from mm.backtest.models import avellaneda_stoikov, avellaneda_stoikov_bare, glft, gueant
from mm.backtest.quotes.distances import AvellanedaStoikov
from mm.errors import UsageError

DECADES = st.floats(-8, 8).map(lambda power: 10.0**power)


@drawn(500)
@given(k=DECADES, sigma=DECADES, share=st.floats(0.01, 1.0), horizon_s=st.sampled_from([0.1, 30.0, 3600.0]))
def test_one_clip_moves_price_by_skew_share_of_half_spread(k, sigma, share, horizon_s):
    """Unless the mid hardly moves: then gamma is k, and one clip moves the price by less."""
    model = AvellanedaStoikov(k=k, skew_share=share, horizon_s=horizon_s)
    half, other = model.distances(0, sigma=sigma)
    moved = model.distances(1, sigma=sigma)[0] - half
    at_most_k = AvellanedaStoikov(gamma=k, k=k, horizon_s=horizon_s).distances(0, sigma=sigma)[0]
    assert half == other
    assert math.isfinite(half)
    if half == pytest.approx(at_most_k, rel=1e-9):
        assert moved <= share * half * (1 + 1e-6)
    else:
        assert moved == pytest.approx(share * half, rel=1e-6)


@pytest.mark.parametrize("build", [glft, gueant])
def test_glft_and_gueant_solve_gamma_for_their_own_skew(build):
    """The skew of the closed form."""
    model = build(mode="closed_form", k=0.5, A=0.8)
    half, moved = model.distances(0, sigma=0.4)[0], model.distances(1, sigma=0.4)[0]
    assert moved - half == pytest.approx(0.1 * half, rel=1e-9)


def test_infinite_mode_uses_slope_at_zero_inventory():
    """No volatility is required."""
    model = AvellanedaStoikov(k=0.5, mode="infinite", q_max=20.0)
    below, half, above = (model.distances(q)[0] for q in (-1e-4, 0, 1e-4))
    assert (above - below) / 2e-4 == pytest.approx(0.1 * half, rel=0.06)


@drawn(300)
@given(gamma=st.one_of(st.just("auto"), st.floats(-9, 3).map(lambda power: 10.0**power)), k=DECADES, sigma=DECADES)
def test_quotes_are_finite_for_any_gamma(gamma, k, sigma):
    """For gammas from 1e-9 to 1000 and any fit; and the default model never crosses the spread."""
    for build in (avellaneda_stoikov, avellaneda_stoikov_bare):
        answer = build(gamma=gamma, k=k).answer(
            bid_ticks=99, ask_ticks=103, inventory_lots=4, quote_lots=2, sigma_ticks=sigma
        )
        for ticks in (answer.bid_ticks, answer.ask_ticks):
            assert ticks is None or math.isfinite(ticks)
        if build is avellaneda_stoikov:
            assert answer.bid_ticks is None or answer.bid_ticks <= 102
            assert answer.ask_ticks is None or answer.ask_ticks >= 100


def test_auto_gamma_quotes_before_volatility_is_known():
    """As if the mid moved by 1/k within the horizon; an explicit gamma waits for sigma."""
    best = {"bid_ticks": 99, "ask_ticks": 103}
    first = avellaneda_stoikov_bare(k=0.5).answer(**best)
    assert first == avellaneda_stoikov_bare(k=0.5).answer(**best, sigma_ticks=1 / (0.5 * math.sqrt(30)))
    assert avellaneda_stoikov_bare(k=0.5, gamma=0.1).answer(**best).bid_ticks is None


def test_gammas_returns_each_gamma_with_its_number_of_quotes():
    """In order of time."""
    model = avellaneda_stoikov_bare(k=0.5)
    for sigma in (0.4, 0.4, 3.0):
        model.answer(bid_ticks=99, ask_ticks=103, sigma_ticks=sigma)
    (first, twice), (other, once) = model.gammas().tolist()
    assert (twice, once) == (2, 1)
    assert first * 0.4**2 * 30 == pytest.approx(0.1 * model.distances(0, sigma=0.4)[0])
    assert other < first


@pytest.mark.parametrize("gamma", ["much", 0, -1.0, math.nan, True])
def test_invalid_gamma_raises_usage_error(gamma):
    """Neither a positive number nor auto."""
    with pytest.raises(UsageError, match=r"gamma is .*; it must be a number above 0 or auto, in 1/\(tick·clip\)"):
        AvellanedaStoikov(gamma=gamma, k=1.0)
