"""Quotes from a fit whose distances count from the own best price or from the micro-price."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mm.backtest.fills.intensity import FOREVER, Intensity, IntensityPiece
from mm.backtest.models import cartea_jaimungal, expected_value, glft, gueant, optimal_curve
from mm.errors import Mismatch

A, K = 0.7, 0.3
CURVE = tuple((0.5 * i, 0.6 * math.exp(-1.2 * 0.5 * i) + 0.1 * math.exp(-0.15 * 0.5 * i)) for i in range(80))
MARKET = {"sigma": 0.8, "gamma": 0.05}
PENALTIES = {"phi": 0.01, "alpha": 0.1}


def intensity(reference, *, half_spread=None, curve=(), adverse=None):
    rates = {"A_bid": A, "k_bid": K, "A_ask": A, "k_ask": K, "k": K, "curve": curve, "adverse_ticks": adverse}
    return Intensity([IntensityPiece(0, FOREVER, **rates, half_spread_ticks=half_spread)], reference)


def quoted_distances(model, spread, q=0, lots=(5, 5)):
    """Return the distances of the quotes from the mid."""
    bid, ask = 1_000, 1_000 + spread
    answer = model.answer(bid_ticks=bid, ask_ticks=ask, bid_lots=lots[0], ask_lots=lots[1], inventory_lots=q, us=1)
    mid = (bid + ask) / 2
    return mid - answer.bid_ticks, answer.ask_ticks - mid


@pytest.mark.parametrize("build", [gueant, glft, cartea_jaimungal])
@pytest.mark.parametrize("half_spread", [0.5, 1.5, 20.0])
def test_closed_form_converts_A_by_the_mean_half_spread(build, half_spread):
    """A·exp(-k·(δ - s)) is A·exp(k·s) from the mid, at most a factor e for wide spreads."""
    shared = {"q_max": 10, **(MARKET if build is not cartea_jaimungal else PENALTIES)}
    from_fit = build(intensity=intensity("best", half_spread=half_spread), **shared)
    explicit = build(k=K, A=A * math.exp(min(K * half_spread, 1.0)), **shared)
    for q in (-7, 0, 3):
        for spread in (1, 4):
            assert quoted_distances(from_fit, spread, q) == quoted_distances(explicit, spread, q)


@pytest.mark.parametrize("build", [gueant, optimal_curve])
def test_fit_from_micro_price_is_used_like_one_from_mid(build):
    from_fit = build(intensity=intensity("micro"), **MARKET, q_max=10)
    assert quoted_distances(from_fit, 3, 2, lots=(1, 9)) == quoted_distances(build(k=K, A=A, **MARKET, q_max=10), 3, 2)


@pytest.mark.parametrize("build", [gueant, glft, cartea_jaimungal, optimal_curve])
def test_fit_without_mean_half_spread_raises_mismatch(build):
    """Unless A is given or not needed."""
    params = {"q_max": 5, **(PENALTIES if build is cartea_jaimungal else {})}
    with pytest.raises(Mismatch, match=r"measured from 'best'.*no half_spread_ticks.*calibrate again, or give A"):
        build(intensity=intensity("best"), **params)
    build(intensity=intensity("best"), A=1.0, **params)
    expected_value(intensity=intensity("best"))


@pytest.mark.parametrize("q", [-4, 0, 1])
@pytest.mark.parametrize("gamma", [0.05, "auto"])
def test_curve_from_best_price_equals_shifted_curve_from_mid(q, gamma):
    """At the mean spread: equal to the curve whose points lie half a spread farther from the mid."""
    shared = {"sigma": 0.8, "gamma": gamma, "q_max": 6, "fee_ticks": 0.4}
    from_fit = optimal_curve(intensity=intensity("best", half_spread=1.5, curve=CURVE, adverse=0.3), **shared)
    shifted = [[delta + 1.5, rate] for delta, rate in CURVE]
    explicit = optimal_curve(curve=shifted, adverse_ticks=0.3, **shared)
    assert quoted_distances(from_fit, 3, q) == pytest.approx(quoted_distances(explicit, 3, q), rel=1e-9)


def rate(delta):
    deltas, logs = np.array(CURVE)[:, 0], np.log(np.array(CURVE)[:, 1])
    beyond = logs[-1] + (logs[-1] - logs[-2]) / (deltas[-1] - deltas[-2]) * (delta - deltas[-1])
    return math.exp(beyond if delta > deltas[-1] else np.interp(delta, deltas, logs))


def best_of(offset, price):
    """Return the distance from the mid where λ(δ - offset)·(δ - price) is largest, by a search."""
    grid = np.linspace(offset, offset + 40, 4_001)
    near = max(grid, key=lambda delta: rate(delta - offset) * (delta - price))
    found = minimize_scalar(
        lambda delta: -rate(delta - offset) * (delta - price), bounds=(near - 0.02, near + 0.02), method="bounded"
    )
    return max((found.x, near), key=lambda delta: rate(delta - offset) * (delta - price))


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1, 2, 6, 30])
@pytest.mark.parametrize("q", [-3, 0, 4])
def test_quotes_use_current_spread_and_values_of_mean_spread(spread, q):
    """The value of inventory is that at the mean spread; the best distance is that at the current spread."""
    costs, mean = 0.3, 1.5
    shared = {**MARKET, "q_max": 6}
    from_fit = optimal_curve(intensity=intensity("best", half_spread=mean, curve=CURVE, adverse=costs), **shared)
    bid, ask = quoted_distances(from_fit, spread, q)
    assert bid == pytest.approx(best_of(spread / 2, costs - step_of(shared, costs, mean, q)), abs=1e-4)
    assert ask == pytest.approx(best_of(spread / 2, costs + step_of(shared, costs, mean, q - 1)), abs=1e-4)


def step_of(shared, costs, mean, level):
    """Return the change of value from *level* to the next, at the mean spread, by value iteration over both sides."""
    bound, risk = shared["q_max"], shared["gamma"] * shared["sigma"] ** 2
    deltas = np.linspace(mean, mean + 40, 8_001)
    rates = np.array([rate(delta - mean) for delta in deltas])
    values, levels = np.zeros(2 * bound + 1), np.arange(-bound, bound + 1)
    step_s = 0.5 / rates[0]
    for _ in range(20_000):
        gain = -0.5 * risk * levels.astype(float) ** 2
        rise = np.diff(values)
        gain[:-1] += [(rates * (deltas - costs + step)).max() for step in rise]
        gain[1:] += [(rates * (deltas - costs - step)).max() for step in rise]
        change = step_s * gain
        values = values + change - change[bound]
        if np.ptp(change) < 1e-12:
            break
    return float(np.diff(values)[level + bound])


@pytest.mark.slow
@pytest.mark.parametrize("lots", [(5, 5), (9, 1), (1, 9)])
def test_curve_from_micro_price_moves_with_the_imbalance(lots):
    """The micro-price lies above the mid when more lots rest on the bids: bids fill more rarely then."""
    shared = {**MARKET, "q_max": 6}
    from_fit = optimal_curve(intensity=intensity("micro", half_spread=1.5, curve=CURVE, adverse=0.3), **shared)
    above = 3 * lots[0] / sum(lots) - 1.5
    bid, ask = quoted_distances(from_fit, 3, lots=lots)
    assert bid == pytest.approx(best_of(-above, 0.3 - step_of(shared, 0.3, 0.0, 0)), abs=1e-4)
    assert ask == pytest.approx(best_of(above, 0.3 + step_of(shared, 0.3, 0.0, -1)), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["best", "micro"])
@pytest.mark.parametrize("spread", [1, 2, 5, 40])
def test_expected_value_uses_intensity_at_its_reference_price(reference, spread):
    """P = 1 - exp(-λ·h) with λ at the distance from the reference price, found by a search over distances."""
    model = expected_value(intensity=intensity(reference), horizon_s=5.0, adverse_ticks=0.5)
    distances = quoted_distances(model, spread, lots=(2, 6))
    above = spread / 2 if reference == "best" else spread / 2 - spread * 2 / 8  # of the mid over the micro-price
    for side, distance in zip((1, -1), distances, strict=True):
        offset = above if reference == "best" else side * above

        def worth(delta, offset=offset):
            lam = A * math.exp(-K * max(delta - offset, 0.0))
            return -math.expm1(-lam * 5.0) * (delta - 0.5)

        grid = np.linspace(-40, 80, 240_001)
        expected = float(grid[np.argmax([worth(delta) for delta in grid])])
        assert distance == pytest.approx(expected, abs=1e-3)
