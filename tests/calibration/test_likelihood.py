"""The profile likelihood and its slopes, against the formulas written out."""

import numpy as np
import pytest
from fit_tables import Raw, random_raw
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.calibration.likelihood import Shape

CELLS = Raw.of([0, 1, 2, 3, 6], [90, 100, 110, 120, 50], [30, 21, 12, 9, 8], [1, 1, 1, 3, np.inf])


def simple_raws():
    rng = np.random.default_rng(3)
    return [
        CELLS,
        Raw.of([0.5, 1, 1.5, 2], [60, 40, 60, 40], [9, 5, 4, 1], [1, 1, 1, 1]),
        random_raw(rng),
        random_raw(rng),
    ]


@pytest.mark.parametrize("raw", simple_raws())
@pytest.mark.parametrize("k", [0.05, 0.3, 2.0])
def test_the_profile_is_the_full_likelihood_at_the_best_a(raw, k):
    """Profiling A out changes no difference between two k."""
    table = raw.table

    def best(at):
        return raw.loglik(np.log(raw.fills.sum() / (raw.exposure @ raw.gain(at))), at)

    ours = table.log_likelihood(k * table.span) - table.log_likelihood(0.1 * table.span)
    assert float(ours) == pytest.approx(best(k) - best(0.1), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("raw", simple_raws())
@pytest.mark.parametrize("k", [0.02, 0.7, 4.0, 30.0])
def test_slopes_are_those_of_their_functions(raw, k):
    """A root of a wrong slope is no maximum; with cells the prior's slope has a term of its own."""
    table, step = raw.table, 1e-5 * k
    for slope, function in (
        (table.score, table.log_likelihood),
        (table.penalised_score, table.penalised_log_likelihood),
    ):
        rise = float(function(k + step)) - float(function(k - step))
        assert float(slope(k)) == pytest.approx(rise / (2 * step), rel=1e-5, abs=1e-6)


def test_many_k_at_once_are_the_single_ones():
    """The scan over a grid and the root behind it are of one function."""
    grid = np.geomspace(0.01, 50, 7)
    for raw in simple_raws():
        table = raw.table
        for function in (table.score, table.penalised_score, table.log_likelihood, table.penalised_log_likelihood):
            assert function(grid[:, None]) == pytest.approx([float(function(k)) for k in grid], rel=1e-9)


@settings(deadline=None)
@given(st.floats(1e-8, 1e5), st.floats(0.1, 10))
def test_depth_within_a_cell_is_that_of_a_truncated_exponential(k, width):
    """Series and closed form meet; deep inside either, no digit is lost."""
    shape = Shape(np.array([0.0, width]), np.array([width, np.inf]))
    z = k * width
    mean, variance = shape.depth(k)[0] / width, shape.spread(k)[0] / width**2
    if z < 1e-3:
        assert (mean, variance) == pytest.approx((0.5 - z / 12, 1 / 12 - z * z / 240), rel=1e-10)
    elif z > 50:
        assert (mean, variance) == pytest.approx((1 / z, 1 / z**2), rel=1e-10)
    else:
        x = (np.arange(2_000) + 0.5) / 2_000
        p = np.exp(-z * x) / np.exp(-z * x).sum()
        assert (mean, variance) == pytest.approx((p @ x, p @ x**2 - (p @ x) ** 2), rel=1e-3)
    assert shape.depth(k)[1] == pytest.approx(width + 1 / k)


def test_rows_of_one_distance_are_summed_and_unexposed_ones_left_out():
    """Both sides' exposure adds; an empty row says nothing."""
    raw = Raw.of([3, 1, 3, 7, 1], [10, 5, 20, 0, 15], [1, 2, 3, 0, 4])
    table = raw.table
    assert (table.near, table.far, table.total) == (1, 3, 10)
    assert table.exposure_s.tolist() == [20, 30]
    assert table.fills.tolist() == [6, 4]
