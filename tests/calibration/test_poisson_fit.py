"""The name by which the fit is called from outside."""

from mm.calibration import estimators, fit_points, fit_result, poisson_fit


def test_the_module_of_the_command_has_the_fit_too():
    """``mm.calibration.poisson_fit`` is printed in guides: the command, and what a program imports from it."""
    assert poisson_fit.fit_poisson is fit_points.fit_poisson
    assert poisson_fit.PoissonFit is fit_result.PoissonFit
    assert poisson_fit.estimate is estimators.estimate
