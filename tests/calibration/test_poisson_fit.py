"""Public module name of the fit."""

from mm.calibration import estimators, fit_points, fit_result, poisson_fit


def test_poisson_fit_module_exports_fit():
    """Guides print ``mm.calibration.poisson_fit`` as the command and as the import."""
    assert poisson_fit.fit_poisson is fit_points.fit_poisson
    assert poisson_fit.PoissonFit is fit_result.PoissonFit
    assert poisson_fit.estimate is estimators.estimate
