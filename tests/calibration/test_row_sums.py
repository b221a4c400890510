"""Sums over rows against numpy, to the last bit."""

import numpy as np
import pytest

from mm.calibration._row_sums import scaled_rows, total_of


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 130, 900])
def test_scaled_rows_and_totals_are_those_of_numpy(count):
    """To the last bit: exposed rows, their units, and sums in the order of numpy."""
    rng = np.random.default_rng(count)
    delta, width = np.sort(rng.random(count)) * 9, np.where(rng.random(count) < 0.9, rng.random(count), np.inf)
    exposure, fills = np.where(rng.random(count) < 0.7, rng.random(count) * 1e5, 0.0), rng.poisson(3.0, count) * 1.7
    near, span, *columns, total, cells = scaled_rows(delta, width, exposure, fills)
    seen = exposure > 0
    first, last = (delta[seen][0], delta[seen][-1]) if seen.any() else (0.0, 0.0)
    unit = (last - first) or 1.0
    plain = (delta[seen] - first) / unit, width[seen] / unit, exposure[seen], fills[seen]
    assert (near, span) == (first, last - first)
    assert all((one == other).all() for one, other in zip(columns, plain, strict=True))
    assert (total, cells) == (fills[seen].sum(), bool(np.isfinite(plain[1]).any()))
    row = rng.integers(0, max(count, 1), count)
    assert total_of(row, exposure, fills) == (exposure * fills[row]).sum()


def test_rows_that_are_not_there_are_refused():
    one, two = np.ones(1), np.ones(2)
    with pytest.raises(ValueError, match="unequal length"):
        scaled_rows(one, one, two, one)
    with pytest.raises(ValueError, match="unequal length"):
        total_of(np.zeros(1, np.int64), two, one)
    with pytest.raises(ValueError, match="row 3 of 2"):
        total_of(np.array([3]), one, two)
