"""Alternatives to the exponential curve: the comparison selects the family that generated the data."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from mm import Points, fit_poisson
from mm.calibration.alternatives import compare

TRUTHS = {
    "exponential": lambda delta: np.exp(-0.3 * delta),
    "two_exponentials": lambda delta: np.exp(-delta) + 0.08 * np.exp(-0.1 * delta),
    "monotone": lambda delta: np.select([delta < 4.5, delta < 9.5, delta < 20.5], [1.0, 0.35, 0.03], 0.003),
}
FAR = 200.0  # ticks; the rate beyond is taken as zero


def table(rate, seed, *, cells, fills=20_000, blocks=24, bursts=0.0):
    """Return points drawn from a rate over distance; its level is gamma distributed over blocks."""
    rng = np.random.default_rng(seed)
    delta = np.arange(1, 41.0) if cells else np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28.0])
    width = np.where(delta < 40, 1.0, np.inf) if cells else np.full(delta.size, np.inf)
    gain = rate(delta) - (rate(np.minimum(delta + width, FAR)) if cells else 0)
    exposure = fills / gain.sum() / blocks
    level = rng.gamma(1 / bursts**2, bursts**2, blocks) if bursts else np.ones(blocks)
    counts = rng.poisson(exposure * gain * level[:, None])
    return Points.of(
        np.tile(delta, blocks),
        np.full(counts.size, exposure),
        counts.ravel(),
        block=np.repeat(np.arange(blocks), delta.size),
        width_ticks=np.tile(width, blocks),
    )


@pytest.mark.parametrize("cells", [False, True], ids=["orders", "cells"])
@pytest.mark.parametrize("family", TRUTHS)
def test_compare_selects_generating_family(family, cells):
    """The sentence also states whether the exponential fits."""
    points = table(TRUTHS[family], 3, cells=cells)
    comparison = compare(points)
    assert comparison.best == family
    assert comparison.sentence.startswith(
        "one exponential" if family == "exponential" else "the exponential does not fit"
    )
    best = next(curve for curve in comparison.curves if curve.name == family)
    delta, width = comparison.sample.shape.delta, comparison.sample.shape.width
    truth = TRUTHS[family](delta) - (TRUTHS[family](np.minimum(delta + width, FAR)) if cells else 0)
    scale = points.fills.sum() / (24 * points.exposure_s[0]) / truth.sum()
    many = points.exposure_s[0] * 24 * scale * truth > 100
    assert best.rates[many] == pytest.approx(scale * truth[many], rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_varying_level_does_not_reject_exponential(seed):
    """A level that varies between blocks has no information about the shape, but breaks a chi-square test."""
    points = table(TRUTHS["exponential"], seed, cells=True, fills=3_000, bursts=0.7)
    assert compare(points).best == "exponential"


def test_exponential_curve_equals_poisson_fit():
    """Same rates, same likelihood up to the factorials, same number of parameters."""
    points = table(TRUTHS["exponential"], 1, cells=True, fills=2_000)
    curve, fit = compare(points).curves[0], fit_poisson(points)
    cells = -np.expm1(-fit.k * np.minimum(1.0, np.where(np.arange(40) < 39, 1.0, np.inf)))
    assert curve.rates[:39] == pytest.approx((fit.A * np.exp(-fit.k * np.arange(1, 41)) * cells)[:39], rel=1e-4)
    assert (curve.parameters, curve.unseen) == (2, 0.0)
    others = compare(points).curves[1:2]
    assert all(other.loglik >= curve.loglik - 1e-4 for other in others), "they contain it, at their limits"


def test_monotone_curve_equals_weighted_isotonic_regression():
    """The Poisson likelihood of decreasing rates is highest at the exposure-weighted regression."""
    rng = np.random.default_rng(5)
    delta, exposure = np.arange(1, 15.0), rng.uniform(50, 500, 14)
    fills = rng.poisson(exposure * 0.4 * np.exp(-0.15 * delta)) + 1
    points = Points.of(delta, exposure, fills)
    rates = compare(points).curves[-1].rates
    expected = isotonic_regression(fills / exposure, weights=exposure, increasing=False).x
    assert rates == pytest.approx(expected, rel=0.1)  # half a fill is added to each level
    assert (np.diff(rates) <= 0).all()


def test_without_blocks_criterion_alone_selects_curve():
    """No held-out data exists; a clear case is still reported."""
    points = table(TRUTHS["monotone"], 2, cells=False)
    comparison = compare(Points.of(points.delta_ticks, points.exposure_s, points.fills))
    assert comparison.best == "monotone"
    assert [curve.unseen for curve in comparison.curves] == [None] * 3
    assert "has not seen" not in comparison.sentence


@pytest.mark.parametrize("fills", [[0, 0, 0], [5, 0, 0], [1, 2, 9]])
def test_compare_returns_none_when_exponential_cannot_be_fitted(fills):
    """The status of the fit contains the reason."""
    assert compare(Points.of([1, 2, 3], [10, 10, 10], fills)) is None


def test_sentence_does_not_claim_fit_when_no_curve_fits():
    """Fills alternate between distances: no decreasing curve fits, and the sentence does not claim one."""
    counts = np.tile([200, 20, 110, 12, 60, 6], (8, 1))
    points = Points.of(np.tile(np.arange(6.0), 8), np.full(48, 300.0), counts.ravel(), block=np.repeat(np.arange(8), 6))
    assert not compare(points).sentence.startswith("one exponential describes")


def test_sentence_reports_too_few_fills():
    """Three fills at two distances neither contradict nor support an exponential."""
    points = Points.of(
        np.tile(np.arange(3.0), 4),
        np.full(12, 30.0),
        [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0],
        block=np.repeat(np.arange(4), 3),
    )
    assert compare(points).sentence.startswith("the fills are too few to show whether one exponential describes them")
