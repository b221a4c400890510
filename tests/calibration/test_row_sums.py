"""Sums over rows, compared with numpy to the last bit."""

import numpy as np
import pytest

from mm.calibration._row_sums import scaled_rows, total_of


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 130, 900])
def test_scaled_rows_and_totals_equal_numpy(count):
    """Exposed rows, their units, and sums in numpy's order."""
    rng = np.random.default_rng(count)
    delta, width = np.sort(rng.random(count)) * 9, np.where(rng.random(count) < 0.9, rng.random(count), np.inf)
    exposure, fills = np.where(rng.random(count) < 0.7, rng.random(count) * 1e5, 0.0), rng.poisson(3.0, count) * 1.7
    near, span, *columns, total, cells = scaled_rows(delta, width, exposure, fills)
    exposed = exposure > 0
    first, last = (delta[exposed][0], delta[exposed][-1]) if exposed.any() else (0.0, 0.0)
    unit = (last - first) or 1.0
    plain = (delta[exposed] - first) / unit, width[exposed] / unit, exposure[exposed], fills[exposed]
    assert (near, span) == (first, last - first)
    assert all((one == other).all() for one, other in zip(columns, plain, strict=True))
    assert (total, cells) == (fills[exposed].sum(), bool(np.isfinite(plain[1]).any()))
    row = rng.integers(0, max(count, 1), count)
    assert total_of(row, exposure, fills) == (exposure * fills[row]).sum()


def test_invalid_rows_are_rejected():
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="unequal length"):
        scaled_rows(one, one, two, one)
    with pytest.raises(ValueError, match="unequal length"):
        total_of(np.zeros(1, np.int64), two, one)
    with pytest.raises(ValueError, match="row 3 of 2"):
        total_of(np.array([3]), one, two)
