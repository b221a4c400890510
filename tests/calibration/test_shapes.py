"""Shapes of λ(δ): slopes against finite differences, maxima against a plain search and optimality conditions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from mm.calibration.likelihood import Shape
from mm.calibration.shapes import EXPONENTIAL, FAMILIES, NEVER, Cells, climb, fitted, search, shares_loglik

PLACES = {
    "exponential": (0.2,),
    "two_exponentials": (-0.8, 0.7, -1.5),
}
FORMULAS = {
    "exponential": lambda d, A, k: A * math.exp(-k * d),
    "two_exponentials": lambda d, A_1, k_1, A_2, k_2: A_1 * math.exp(-k_1 * d) + A_2 * math.exp(-k_2 * d),
}


def curve_of(family, cells, waited, fills):
    """Return the curve of one table."""
    [found] = fitted(family, cells, waited[None], fills[None])
    return found


def half_tick_cells(rng, fills=4_000):
    """Return one-tick cells at half and whole distances, as for a mid, with counts of two exponentials."""
    delta = np.arange(0.5, 12.5, 0.5)
    width = np.where(delta < 11.5, 1.0, np.inf)
    waited = rng.uniform(50, 500, delta.size)
    rate = np.exp(-delta) + 0.05 * np.exp(-0.15 * delta)
    gain = rate - np.where(np.isinf(width), 0.0, np.exp(-delta - 1) + 0.05 * np.exp(-0.15 * (delta + 1)))
    return Cells(Shape(delta, width), 1.3), waited, rng.poisson(fills / (waited @ gain) * waited * gain).astype(float)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_slopes_equal_finite_differences(family):
    """Of ln λ and of the log gain of each row, with the most accurate step."""
    cells, x, shape = half_tick_cells(np.random.default_rng(0))[0], None, np.array(PLACES[family.name])
    x = cells.units(cells.edges)
    curve, rises = family.curve(shape, x)
    _, taken = cells.log_gain(curve)
    slopes = cells.slopes(rises, taken)
    for place in range(len(shape)):
        step = 1e-6 * (np.arange(len(shape)) == place)
        ahead, behind = (family.curve(shape + sign * step, x)[0] for sign in (1, -1))
        assert rises[:, place] == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-8)
        gains = (cells.log_gain(one)[0] for one in (ahead, behind))
        assert slopes[:, place] == pytest.approx(np.subtract(*gains) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_search_reaches_maximum_of_plain_search(family):
    """Nelder-Mead, without derivatives, on the explicit likelihood."""
    cells, waited, fills = half_tick_cells(np.random.default_rng(1))
    found = curve_of(family, cells, waited, fills)

    def fall(shape):
        curve, _ = family.curve(np.clip(shape, -20, 20), cells.units(cells.edges))
        rate = np.append(np.exp(curve), 0.0)
        begin, end = cells.spans
        mean = waited * (rate[begin] - rate[end])
        return -float(fills @ np.log(mean / mean.sum())) + float(fills @ np.log(waited))

    plain = min(
        minimize(fall, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8, "maxiter": 5_000}).fun
        for start in family.starts
    )
    assert shares_loglik(found.log_gain, waited, fills) >= -plain - 1e-5
    assert (waited * np.exp(found.log_gain)).sum() == pytest.approx(fills.sum())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_formula_with_named_parameters_equals_curve(family):
    """In ticks and 1/s, at every edge."""
    cells, waited, fills = half_tick_cells(np.random.default_rng(2))
    found = curve_of(family, cells, waited, fills)
    numbers = family.named(found.log_height, found.shape, float(cells.shape.delta[0]), cells.scale)
    rates = [FORMULAS[family.name](delta, **numbers) for delta in cells.edges.tolist()]
    assert np.exp(found.at_edges) == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_monotone_curve_satisfies_optimality_conditions(seed):
    """Karush-Kuhn-Tucker: no step can gain, and an existing one cannot lose; with the curve's own counts."""
    cells, waited, fills = half_tick_cells(np.random.default_rng(seed), fills=600)
    found = curve_of(None, cells, waited, fills)
    smooth = curve_of(FAMILIES[-1], cells, waited, fills)
    counts, seconds = fills + 0.5, waited + 0.5 / np.exp(smooth.log_gain)
    begin, end = cells.spans
    steps = -np.diff(np.append(np.exp(found.at_edges), 0.0))
    gain = [sum(steps[a:b]) for a, b in zip(begin, end, strict=True)]
    assert np.exp(found.log_gain) == pytest.approx(gain, rel=1e-6)
    scale = counts.sum() / float(seconds @ gain)  # the curve expects the observed number of fills
    slopes = [
        sum(counts[r] / gain[r] / scale - seconds[r] for r in range(len(gain)) if begin[r] <= step < end[r])
        for step in range(len(steps))
    ]
    reach = sum(seconds)
    assert max(slopes) < 0.02 * reach
    assert all(
        abs(slope) < 0.02 * reach for slope, step in zip(slopes, steps, strict=True) if step > 0.01 * steps.max()
    )
    assert (np.diff(found.at_edges) <= 1e-12).all()


def test_steep_curve_is_finite_at_far_distances():
    """All fills are in the two nearest of two hundred cells; far rates underflow in a plain sum."""
    delta = np.arange(1.5, 99.5, 0.5)
    cells = Cells(Shape(delta, np.where(delta < 98, 1.0, np.inf)), 0.435)
    waited, fills = np.where(np.arange(196) % 2, 9000.0, 3000.0), np.zeros(196)
    fills[:2] = 98, 78
    assert curve_of(FAMILIES[-1], cells, waited, fills).log_gain.min() < -100
    found = curve_of(None, cells, waited, fills)
    assert all(np.isfinite(one).all() for one in (found.log_gain, found.at_edges, found.gain_slopes, found.edge_slopes))
    assert (np.diff(found.at_edges) <= 1e-12).all()
    expected = waited * np.exp(found.log_gain)
    assert expected[:2] == pytest.approx([98, 78], rel=0.02)
    assert expected[20:].sum() < 1e-5


def test_monotone_curve_of_one_parity_has_closed_form():
    """Steps equal the rates of the cells: (fills + ½) over the seconds including the prior."""
    rng = np.random.default_rng(3)
    delta, waited = np.arange(1, 9.0), rng.uniform(100, 900, 8)
    cells = Cells(Shape(delta, np.where(delta < 8, 1.0, np.inf)), 2.0)
    fills = rng.poisson(waited * 0.3 * np.exp(-0.5 * delta)) + 1.0
    smooth = curve_of(FAMILIES[-1], cells, waited, fills)
    rates = (fills + 0.5) / (waited + 0.5 / np.exp(smooth.log_gain))
    rates *= fills.sum() / (waited @ rates)
    found = curve_of(None, cells, waited, fills)
    assert np.exp(found.at_edges) == pytest.approx(np.cumsum(rates[::-1])[::-1], rel=1e-3)


def test_search_converges_from_different_starts():
    """One exponential has a single peak."""
    cells, waited, fills = half_tick_cells(np.random.default_rng(4))
    families = [replace(EXPONENTIAL, starts=((start,),)) for start in (-2.0, 0.0, 2.0)]
    places = [curve_of(family, cells, waited, fills).shape[0] for family in families]
    assert places == pytest.approx([places[0]] * 3, abs=1e-6)


@pytest.mark.parametrize("family", [*FAMILIES, None], ids=lambda one: one.name if one else "monotone")
def test_tables_fitted_together_have_their_own_curves(family):
    """All blocks and their two halves are fitted in one call."""
    cells, waited, fills = half_tick_cells(np.random.default_rng(5))
    tables = np.stack((waited, waited[::-1])), np.stack((fills, np.maximum(fills[::-1], 1.0)))
    for together, *columns in zip(fitted(family, cells, *tables), *tables, strict=True):
        assert together.log_gain == pytest.approx(curve_of(family, cells, *columns).log_gain, abs=2e-3)


def test_unreachable_row_has_finite_log_gain():
    """The log gain has a lower bound, so the likelihood stays finite."""
    cells = Cells(Shape(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, np.inf])), 1e-4)
    [found] = search(EXPONENTIAL, cells, np.ones((1, 3)), np.array([[9.0, 0.0, 1.0]]))
    assert np.isfinite(found.log_height)
    assert cells.log_gain(EXPONENTIAL.curve(np.zeros(1), cells.units(cells.edges))[0])[0].min() == NEVER


def test_updates_of_steps_equal_plain_em():
    """Each step is multiplied by the mean ratio of counts to expectations of the rows with it; others are unchanged."""
    rng = np.random.default_rng(6)
    begin, end = np.array([0, 1, 1]), np.array([2, 3, 4])
    counts, waited, steps = rng.uniform(1, 9, (2, 3)), rng.uniform(1, 9, (2, 3)), rng.uniform(0.1, 1, (2, 6))
    expected = steps.copy()
    for _ in range(400):
        for table in range(2):
            total = np.append(0.0, expected[table].cumsum())
            ratio = counts[table] / np.maximum(total[end] - total[begin], 1e-300)
            for step in range(6):
                inside = (begin <= step) & (step < end)
                if inside.any():
                    expected[table, step] *= ratio[inside].sum() / waited[table][inside].sum()
    found = climb((begin, end), counts, waited, steps)
    heights = [
        [
            float(counts[table, row] * np.log(one[table, begin[row] : end[row]].sum()))
            - waited[table, row] * one[table, begin[row] : end[row]].sum()
            for row in range(3)
        ]
        for one in (found, expected)
        for table in range(2)
    ]
    assert sum(heights[0]) == pytest.approx(sum(heights[2]), abs=1e-3)
    assert sum(heights[1]) == pytest.approx(sum(heights[3]), abs=1e-3)
    assert (found[:, 4:] == steps[:, 4:]).all()
