"""A ladder's errors are those of the mean of its permutations, not of one."""

import numpy as np

from mm.backtest.io import load_day
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.fit_points import fit_poisson
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import PoissonMarket
from mm.sim.flow.session import Session

A, K, SEEDS = 1.0, 0.4, 12


def test_ladder_errors_are_those_of_the_estimates(tmp_path):
    """On days of known A and k; the error of one ladder is twice as large, and its interval would always cover."""
    missed, errors, single, covered = [], [], [], []
    for seed in range(SEEDS):
        folder = DayFolder(tmp_path / str(seed), "SIMUSDT", "20260105")
        make_day(folder, PoissonMarket(A_per_s=A, k_per_tick=K), Session("SIMUSDT", "20260105", 4.0, 1000 + seed))
        ladder = Calibrator(load_day(folder), CalibrationConfig(method="ladder"))
        points = ladder.points(ladder.start_us, ladder.end_us)
        fit, one = ladder.fit_points(points), fit_poisson(points)
        missed.append([np.log(fit.A / A), fit.k - K])
        errors.append([fit.se_logA, fit.se_k])
        single.append([one.se_logA, one.se_k])
        covered.append([fit.ci95_A[0] <= A <= fit.ci95_A[1], fit.ci95_k[0] <= K <= fit.ci95_k[1]])
    size, error, one_error = (np.sqrt(np.mean(np.square(z), axis=0)) for z in (missed, errors, single))
    rms, naive = size / error, size / one_error
    assert (rms > 0.6).all(), rms
    assert (rms < 1.7).all(), rms
    assert (naive < 0.75).all(), naive
    assert (np.sum(covered, axis=0) >= SEEDS - 2).all(), covered
