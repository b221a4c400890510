"""Other A and k that a fit allows."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mm.calibration.fit_result import PoissonFit
from mm.calibration.uncertainty import draws
from mm.errors import FitError

FIT = PoissonFit(
    fit_method="poisson_mle",
    A=0.8,
    k=0.35,
    logA=math.log(0.8),
    se_logA=0.05,
    se_k=0.01,
    cov_logA_k=0.0003,
    n_fills=1000,
    exposure_s=1e5,
    usable=True,
    status="ok",
    reason="",
)


def drawn(fit, count=4_000, seed=0):
    """Return ln A and k of the draws, as columns."""
    return np.array([(fit.logA, fit.k) for fit in draws(fit, count, seed)])


def test_draws_have_the_fits_mean_and_covariance():
    """Within four standard errors of each moment."""
    found = drawn(FIT)
    assert found.mean(axis=0) == pytest.approx([math.log(0.8), 0.35], abs=4 * 0.05 / math.sqrt(4_000))
    covariance = np.cov(found.T)
    assert covariance == pytest.approx(np.array([[0.0025, 0.0003], [0.0003, 0.0001]]), rel=0.1)
    assert all(pytest.approx(math.exp(fit.logA)) == fit.A for fit in draws(FIT, 5, 1))


def test_errors_by_blocks_count_where_they_are_larger():
    """Flow that comes in bursts knows A less well than its number of fills says."""
    wide = replace(FIT, ci95_A_block=(0.8 * math.exp(-0.392), 0.8 * math.exp(0.392)), ci95_k_block=(0.349, 0.351))
    deviation = drawn(wide).std(axis=0, ddof=1)
    assert deviation == pytest.approx([0.2, 0.01], rel=0.05)


def test_k_stays_positive():
    """A decay that is hardly known is drawn again, not made up."""
    loose = replace(FIT, se_k=0.35, cov_logA_k=0.0)
    found = drawn(loose, 500)
    assert (found[:, 1] > 0).all()
    assert len(found) == 500


def test_equal_seeds_give_equal_draws():
    """A band can be had again."""
    assert (drawn(FIT, 20, 3) == drawn(FIT, 20, 3)).all()
    assert (drawn(FIT, 20, 3) != drawn(FIT, 20, 4)).any()


@pytest.mark.parametrize(
    ("change", "told"),
    [({"usable": False, "A": None, "k": None, "status": "few_fills"}, "not usable"), ({"se_k": None}, "no standard")],
)
def test_what_cannot_be_drawn_from_is_refused(change, told):
    """A fit without A and k, or without errors."""
    with pytest.raises(FitError, match=told):
        next(draws(replace(FIT, **change), 1, 0))
