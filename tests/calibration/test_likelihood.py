"""Profile likelihood and its slopes, compared with explicit formulas."""

import numpy as np
import pytest
from fit_tables import Raw, random_raw
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.calibration._row_sums import dispersed, distinct_numbers, sums_by_row
from mm.calibration._rows import Rows

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
        ("penalised_bend", "penalised_score"),
        ("prior_bend", "prior_slope"),
    ):
        difference = getattr(after, function) - getattr(before, function)
        assert getattr(at, slope) == pytest.approx(difference / (2 * step), rel=1e-5, abs=1e-5), slope


@settings(deadline=None)
@given(st.floats(1e-8, 1e5), st.floats(0.1, 10))
def test_depth_within_cell_is_truncated_exponential(k, width):
    """Series and closed form agree without loss of digits. A single row has all the shares."""
    at = Rows(np.array([0.0]), np.array([width]), np.array([0.0]), np.array([1.0])).at(k)
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
    beyond = Rows(np.array([0.0, width]), np.array([width, np.inf]), np.array([-1e300, 0.0]), np.array([0.0, 1.0])).at(
        k
    )
    assert (beyond.mean, beyond.inner) == pytest.approx((width + 1 / k, 1 / k**2))


def test_columns_of_unequal_length_are_rejected():
    """The passes read all columns by the number of distances."""
    with pytest.raises(ValueError, match="unequal length"):
        Rows(np.zeros(2), np.zeros(2), np.zeros(1), np.zeros(2))


def test_table_sums_equal_distances_and_drops_unexposed_rows():
    """Exposure of both sides is added; an empty row has no effect."""
    raw = Raw.of([3, 1, 3, 7, 1], [10, 5, 20, 0, 15], [1, 2, 3, 0, 4])
    table = raw.table
    assert (table.near, table.far, table.total) == (1, 3, 10)
    assert table.exposure_s.tolist() == [20, 30]
    assert table.fills.tolist() == [6, 4]


points_of_rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from((1, -1, 0)), st.floats(0, 1e6), st.integers(0, 9)),
    max_size=20,
)


@given(points_of_rows)
def test_row_sums_equal_numpy(rows):
    """To the last bit; invalid row and block numbers are rejected."""
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.zeros(0)] * 5
    row, block, side, exposure, fills = (
        one.astype(kind) for one, kind in zip(columns, (np.int64, np.int64, np.int8, float, float), strict=True)
    )
    rate = np.array([0.1, 2.0, 3e-7, 0.0, 1.0])
    for found, values in zip(sums_by_row(row, exposure, fills, 5), (exposure, fills), strict=True):
        assert found.tolist() == np.bincount(row, values, 5).tolist()
    assert dispersed((block, side, row), exposure, fills, rate, 4) == plain_dispersed(
        (block, side, row), exposure, fills, rate, 4
    )
    if rows:
        with pytest.raises(ValueError, match="row"):
            sums_by_row(row, exposure, fills, int(row.max()))
        with pytest.raises(ValueError, match="no block"):
            dispersed((block, side, row), exposure, fills, rate, int(block.max()))


def plain_dispersed(place, exposure, fills, rate, blocks):
    """Return the squares and their Poisson sum by numpy, per side."""
    block, side, row = place
    squares = poisson = 0.0
    for sign in (1, -1, 0):
        on_side = side == sign
        means, counts = (
            np.bincount(block[on_side], values[on_side], blocks).astype(float)
            for values in (exposure * rate[row], fills)
        )
        expected, total = means.sum(), counts.sum()
        if expected > 0 and total > 0:
            share = means / expected
            squares += float(((counts - total * share) ** 2).sum())
            poisson += float(total * (share * (1 - share)).sum())
    return squares, poisson


@pytest.mark.parametrize("blocks", [2, 7, 8, 24, 100, 128, 129, 500, 3001])
def test_dispersion_of_many_blocks_equals_numpy(blocks):
    """To the last bit, for columns of different lengths."""
    rng = np.random.default_rng(blocks)
    place = (
        rng.integers(0, blocks, 6 * blocks),
        rng.choice(np.array([1, -1, 0], np.int8), 6 * blocks),
        rng.integers(0, 5, 6 * blocks),
    )
    columns = rng.random(6 * blocks) * 300, rng.random(6 * blocks) * 9, rng.random(5)
    assert dispersed(place, *columns, blocks) == plain_dispersed(place, *columns, blocks)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_distinct_numbers_equal_numpy_unique(keys):
    values, places = distinct_numbers(np.array(keys), max(keys))
    plain = np.unique(keys, return_inverse=True)
    assert (values.tolist(), places.tolist()) == tuple(one.tolist() for one in plain)
    if max(keys):
        with pytest.raises(ValueError, match="beyond"):
            distinct_numbers(np.array(keys), max(keys) - 1)
