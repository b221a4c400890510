"""A fit of three fills says nothing of k, and is not usable; from ten on it is, with its interval."""

import numpy as np
import pytest

from mm import fit_poisson
from mm.calibration import fit_points
from mm.calibration.fit_points import LEAST_FILLS

DELTAS = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])
DRAWS = 300


def fit_of(fills):
    return fit_poisson({"delta_ticks": DELTAS, "exposure_s": np.full(len(DELTAS), 100.0), "fills": fills})


def test_below_ten_fills_no_fit_is_usable():
    few, enough = fit_of([2.0, 1.0, 0, 0, 0, 0]), fit_of([5.0, 3.0, 2.0, 0, 0, 0])
    assert (few.usable, few.status, few.A, few.k) == (False, "few_fills", None, None)
    assert str(LEAST_FILLS) in few.reason
    assert (enough.usable, enough.status) == (True, "few_fills")


@pytest.mark.slow
@pytest.mark.parametrize(("fills", "least", "most"), [(3, 0.45, 0.85), (20, 0.0, 0.1)])
def test_how_often_the_interval_of_k_reaches_zero(fills, least, most, monkeypatch):
    """Of true exponentials with k from .3 to .6 (docs/evidence/measured.md)."""
    monkeypatch.setattr(fit_points, "LEAST_FILLS", 1)
    rng = np.random.default_rng(3)
    for k in (0.3, 0.6):
        expected = np.exp(-k * DELTAS)
        found = [fit_of(rng.poisson(expected * fills / expected.sum()).astype(float)) for _ in range(DRAWS)]
        ends = np.array([fit.ci95_k for fit in found if fit.usable])
        assert least <= np.mean(ends[:, 0] <= 0) <= most
        assert np.mean((ends[:, 0] <= k) & (k <= ends[:, 1])) >= 0.92
