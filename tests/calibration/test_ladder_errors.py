"""A ladder's errors are those of the mean of its permutations, not of one."""

import numpy as np
import pytest

from mm import CalibrationConfig, fit_poisson, load_day
from mm.calibration.calibrator import Calibrator
from simulation import simulate_day

A, K = 1.0, 0.4
SEEDS = range(560_000, 560_012)  # none of the days on which the rule was measured


@pytest.mark.slow
def test_ladder_errors_are_those_of_the_estimates(tmp_path):
    """Jointly and by side, on days of known A and k.

    The error of one ladder is twice as large, and its interval would always cover.
    """
    missed, errors, single, covered = ([] for _ in range(4))  # by day: both sides together, bid, ask
    for seed in SEEDS:
        folder = simulate_day(tmp_path / str(seed), hours=4.0, seed=seed, A_per_s=A, k_per_tick=K)
        ladder = Calibrator(load_day(folder), CalibrationConfig(reference="mid", method="ladder"))
        points = ladder.points(ladder.start_us, ladder.end_us)
        fit, one = ladder.fit_points(points), fit_poisson(points)
        assert fit.sides.bid.n_fills + fit.sides.ask.n_fills == pytest.approx(fit.n_fills)
        missed.append([[np.log(each.A / A), each.k - K] for each in estimates(fit)])
        errors.append([[each.se_logA, each.se_k] for each in estimates(fit)])
        single.append([[each.se_logA, each.se_k] for each in estimates(one)])
        covered.append([fit.ci95_A[0] <= A <= fit.ci95_A[1], fit.ci95_k[0] <= K <= fit.ci95_k[1]])
    size, error, one_error = (np.sqrt(np.mean(np.square(z), axis=0)) for z in (missed, errors, single))
    rms, naive = size / error, size / one_error
    assert (rms > 0.6).all(), rms
    assert (rms < 1.7).all(), rms
    assert (naive < 0.85).all(), naive
    assert (np.sum(covered, axis=0) >= len(SEEDS) - 2).all(), covered


def estimates(fit):
    return fit, fit.sides.bid, fit.sides.ask
