"""A gamma of auto: the equation it solves, its limits, and what a run reports of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_engine import drawn

from mm.backtest.models import avellaneda_stoikov, avellaneda_stoikov_bare, glft, gueant
from mm.backtest.quotes.avellaneda_stoikov import AvellanedaStoikov
from mm.errors import UsageError

DECADES = st.floats(-8, 8).map(lambda power: 10.0**power)


@drawn(500)
@given(k=DECADES, sigma=DECADES, share=st.floats(0.01, 1.0), horizon_s=st.sampled_from([0.1, 30.0, 3600.0]))
def test_a_clip_moves_the_price_by_its_share_of_the_half_spread(k, sigma, share, horizon_s):
    """Unless the mid hardly moves: then gamma is k, and a clip moves the price by less."""
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
def test_the_general_models_solve_for_their_own_skew(build):
    """That of the closed form."""
    model = build(mode="closed_form", k=0.5, A=0.8)
    half, moved = model.distances(0, sigma=0.4)[0], model.distances(1, sigma=0.4)[0]
    assert moved - half == pytest.approx(0.1 * half, rel=1e-9)


def test_the_mode_without_a_horizon_takes_its_slope_at_no_inventory():
    """No volatility is required."""
    model = AvellanedaStoikov(k=0.5, mode="infinite", q_max=20.0)
    below, half, above = (model.distances(q)[0] for q in (-1e-4, 0, 1e-4))
    assert (above - below) / 2e-4 == pytest.approx(0.1 * half, rel=0.06)


@drawn(300)
@given(gamma=st.one_of(st.just("auto"), st.floats(-9, 3).map(lambda power: 10.0**power)), k=DECADES, sigma=DECADES)
def test_no_quote_is_a_number_that_is_not_finite(gamma, k, sigma):
    """From a gamma of 1e-9 to one of 1000, whatever the fit; and the default never crosses."""
    for build in (avellaneda_stoikov, avellaneda_stoikov_bare):
        wanted = build(gamma=gamma, k=k).answer(
            bid_ticks=99, ask_ticks=103, inventory_lots=4, quote_lots=2, sigma_ticks=sigma
        )
        for ticks in (wanted.bid_ticks, wanted.ask_ticks):
            assert ticks is None or math.isfinite(ticks)
        if build is avellaneda_stoikov:
            assert wanted.bid_ticks is None or wanted.bid_ticks <= 102
            assert wanted.ask_ticks is None or wanted.ask_ticks >= 100


def test_quotes_begin_before_the_volatility_is_known():
    """As if the mid moved by 1/k within the horizon; a gamma that is given waits for sigma."""
    seen = {"bid_ticks": 99, "ask_ticks": 103}
    begun = avellaneda_stoikov_bare(k=0.5).answer(**seen)
    assert begun == avellaneda_stoikov_bare(k=0.5).answer(**seen, sigma_ticks=1 / (0.5 * math.sqrt(30)))
    assert avellaneda_stoikov_bare(k=0.5, gamma=0.1).answer(**seen).bid_ticks is None


def test_each_gamma_is_kept_with_its_quotes():
    """In order of time."""
    model = avellaneda_stoikov_bare(k=0.5)
    for sigma in (0.4, 0.4, 3.0):
        model.answer(bid_ticks=99, ask_ticks=103, sigma_ticks=sigma)
    (first, twice), (other, once) = model.gammas().tolist()
    assert (twice, once) == (2, 1)
    assert first * 0.4**2 * 30 == pytest.approx(0.1 * model.distances(0, sigma=0.4)[0])
    assert other < first


@pytest.mark.parametrize("gamma", ["much", 0, -1.0, math.nan, True])
def test_a_gamma_that_is_neither_a_number_nor_auto_is_refused(gamma):
    """In one line."""
    with pytest.raises(UsageError, match=r"gamma is .*; it must be above 0, in 1/\(tick·clip\), or auto"):
        AvellanedaStoikov(gamma=gamma, k=1.0)
