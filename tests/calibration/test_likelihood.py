"""Profile likelihood and its slopes, compared with explicit formulas."""

import numpy as np
import pytest
from fit_tables import Raw, random_raw
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.calibration.likelihood import Shape, Table

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
def test_profile_equals_full_likelihood_at_best_a(raw, k):
    """Profiling A out does not change differences between two k."""
    table = raw.table

    def best(at):
        return raw.loglik(np.log(raw.fills.sum() / (raw.exposure @ raw.gain(at))), at)

    profile_gain = table.at(k * table.span).log_likelihood - table.at(0.1 * table.span).log_likelihood
    assert profile_gain == pytest.approx(best(k) - best(0.1), rel=1e-9, abs=1e-9)


def test_several_k_give_the_moments_of_each():
    """One call for an array of k, as in a scan."""
    ks = np.array([0.3, 2.0, 40.0])
    together, names = CELLS.table.at(ks), ("log_likelihood", "score", "bend", "penalised_score")
    for name in names:
        assert getattr(together, name) == pytest.approx([getattr(CELLS.table.at(k), name) for k in ks], rel=1e-12)


@pytest.mark.parametrize("raw", simple_raws())
@pytest.mark.parametrize("k", [0.02, 0.7, 4.0, 30.0])
def test_slopes_equal_finite_differences(raw, k):
    """With cells the slope of the prior has its own term."""
    table, step = raw.table, 1e-5 * k
    at, before, after = (table.at(place) for place in (k, k - step, k + step))
    for slope, function in (
        ("score", "log_likelihood"),
        ("bend", "score"),
        ("penalised_score", "penalised_log_likelihood"),
    ):
        difference = getattr(after, function) - getattr(before, function)
        assert getattr(at, slope) == pytest.approx(difference / (2 * step), rel=1e-5, abs=1e-5), slope


def scaled(delta, width, exposure_s, fills):
    """Return a table of rows that are in units of their span already."""
    columns = (np.array(column) for column in (exposure_s, fills))
    return Table(0.0, 1.0, Shape(np.array(delta), np.array(width)), *columns, sum(fills), cells=True)


@settings(deadline=None)
@given(st.floats(1e-8, 1e5), st.floats(0.1, 10))
def test_depth_within_cell_is_truncated_exponential(k, width):
    """Series and closed form agree without loss of digits. A single row has all the shares."""
    at = scaled([0.0], [width], [1.0], [1.0]).at(k)
    z, mean, variance = k * width, at.mean / width, at.inner / width**2
    if z < 1e-3:
        assert (mean, variance) == pytest.approx((0.5 - z / 12, 1 / 12 - z * z / 240), rel=1e-10)
    elif z > 50:
        assert (mean, variance) == pytest.approx((1 / z, 1 / z**2), rel=1e-10)
    else:
        x = (np.arange(2_000) + 0.5) / 2_000
        p = np.exp(-z * x) / np.exp(-z * x).sum()
        assert (mean, variance) == pytest.approx((p @ x, p @ x**2 - (p @ x) ** 2), rel=1e-3)
    assert at.log_mass == pytest.approx(np.log(-np.expm1(-z)), rel=1e-9, abs=1e-300)
    beyond = scaled([0.0, width], [width, np.inf], [1e-300, 1.0], [0.0, 1.0]).at(k) if z < 600 else None
    if beyond is not None:
        assert (beyond.mean, beyond.inner) == pytest.approx((width + 1 / k, 1 / k**2))


def test_table_sums_equal_distances_and_drops_unexposed_rows():
    """Exposure of both sides is added; an empty row has no effect."""
    raw = Raw.of([3, 1, 3, 7, 1], [10, 5, 20, 0, 15], [1, 2, 3, 0, 4])
    table = raw.table
    assert (table.near, table.far, table.total) == (1, 3, 10)
    assert table.exposure_s.tolist() == [20, 30]
    assert table.fills.tolist() == [6, 4]
