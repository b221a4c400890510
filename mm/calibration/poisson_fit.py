"""``python -m mm.calibration.poisson_fit POINTS.csv`` is ``mm fit``; also exports the fit."""

from mm.calibration.estimators import estimate
from mm.calibration.fit_points import fit_poisson
from mm.calibration.fit_result import PoissonFit

__all__ = ["PoissonFit", "estimate", "fit_poisson"]

if __name__ == "__main__":
    from mm.commands.fit import fit

    fit()
