"""Other curves than the exponential: each is found where it made the data, and nowhere else."""

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from mm.calibration.alternatives import compare
from mm.calibration.fit_points import fit_poisson
from mm.calibration.points import Points

TRUTHS = {
    "exponential": lambda delta: np.exp(-0.3 * delta),
    "power_law": lambda delta: (delta + 2.0) ** -2.0,
    "logistic": lambda delta: 1 / (1 + np.exp(0.5 * delta - 3)),
    "two_exponentials": lambda delta: np.exp(-delta) + 0.08 * np.exp(-0.1 * delta),
    "monotone": lambda delta: np.select([delta < 4.5, delta < 9.5, delta < 20.5], [1.0, 0.35, 0.03], 0.003),
}
FAR = 200.0  # ticks; where the rest of an open cell is taken to be nothing


def table(rate, seed, *, cells, fills=20_000, blocks=24, bursts=0.0):
    """Return points drawn from a rate over distance, its level gamma distributed over blocks."""
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
def test_the_family_that_made_the_fills_is_found(family, cells):
    """And in words: the exponential fits, or it does not."""
    points = table(TRUTHS[family], 3, cells=cells)
    found = compare(points)
    assert found.best == family
    assert found.sentence.startswith("one exponential" if family == "exponential" else "the exponential does not fit")
    best = next(curve for curve in found.curves if curve.name == family)
    delta, width = found.sample.shape.delta, found.sample.shape.width
    truth = TRUTHS[family](delta) - (TRUTHS[family](np.minimum(delta + width, FAR)) if cells else 0)
    scale = points.fills.sum() / (24 * points.exposure_s[0]) / truth.sum()
    many = points.exposure_s[0] * 24 * scale * truth > 100
    assert best.rates[many] == pytest.approx(scale * truth[many], rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_bursts_alone_do_not_refute_the_exponential(seed):
    """A level that moves from block to block gives no information about the shape, but breaks a test of counts."""
    points = table(TRUTHS["exponential"], seed, cells=True, fills=3_000, bursts=0.7)
    assert compare(points).best == "exponential"


def test_the_exponential_is_that_of_the_fit():
    """Same rates, same likelihood up to the factorials, same number of parameters."""
    points = table(TRUTHS["exponential"], 1, cells=True, fills=2_000)
    curve, fit = compare(points).curves[0], fit_poisson(points)
    cells = -np.expm1(-fit.k * np.minimum(1.0, np.where(np.arange(40) < 39, 1.0, np.inf)))
    assert curve.rates[:39] == pytest.approx((fit.A * np.exp(-fit.k * np.arange(1, 41)) * cells)[:39], rel=1e-4)
    assert (curve.parameters, curve.unseen) == (2, 0.0)
    others = compare(points).curves[1:4]
    assert all(other.loglik >= curve.loglik - 1e-4 for other in others), "they contain it, at their limits"


def test_the_isotonic_curve_is_the_weighted_regression_that_falls():
    """The Poisson likelihood of falling rates is highest at the regression weighted by exposure."""
    rng = np.random.default_rng(5)
    delta, exposure = np.arange(1, 15.0), rng.uniform(50, 500, 14)
    fills = rng.poisson(exposure * 0.4 * np.exp(-0.15 * delta)) + 1
    points = Points.of(delta, exposure, fills)
    rates = compare(points).curves[-1].rates
    expected = isotonic_regression(fills / exposure, weights=exposure, increasing=False).x
    assert rates == pytest.approx(expected, rel=0.1)  # each level is given half a fill
    assert (np.diff(rates) <= 0).all()


def test_without_blocks_the_criterion_decides_alone():
    """There is nothing held out; a clear case is still reported."""
    points = table(TRUTHS["monotone"], 2, cells=False)
    found = compare(Points.of(points.delta_ticks, points.exposure_s, points.fills))
    assert found.best == "monotone"
    assert [curve.unseen for curve in found.curves] == [None] * 5
    assert "has not seen" not in found.sentence


@pytest.mark.parametrize("fills", [[0, 0, 0], [5, 0, 0], [1, 2, 9]])
def test_where_no_exponential_can_be_fitted_nothing_is_compared(fills):
    """The status of the fit has the reason."""
    assert compare(Points.of([1, 2, 3], [10, 10, 10], fills)) is None


def test_a_poor_fit_is_never_said_to_describe_the_fills():
    """Fills that alternate from distance to distance: no falling curve fits, and no sentence claims that one does."""
    counts = np.tile([200, 20, 110, 12, 60, 6], (8, 1))
    points = Points.of(np.tile(np.arange(6.0), 8), np.full(48, 300.0), counts.ravel(), block=np.repeat(np.arange(8), 6))
    assert not compare(points).sentence.startswith("one exponential describes")


def test_a_handful_of_fills_is_not_said_to_fit():
    """Three fills at two distances contradict nothing, and support nothing."""
    points = Points.of(
        np.tile(np.arange(3.0), 4),
        np.full(12, 30.0),
        [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0],
        block=np.repeat(np.arange(4), 3),
    )
    assert compare(points).sentence.startswith("the fills are too few to show whether one exponential describes them")
