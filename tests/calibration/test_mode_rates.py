"""Modes beside the one in use are fitted from sums: no row of the past is taken twice, and A and k stay the same."""

import pytest

from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.mode_rates import ModeRates, bare_fit
from mm.calibration.windows import MODES, WindowFitter, WindowPlan

PLAN = WindowPlan(train_window_min=20, step_min=10, half_life_min=15)


@pytest.mark.parametrize("mode", MODES)
def test_rates_from_sums_are_those_of_all_points(days, mode):
    """The fitter that takes every row of the past finds the same A and k."""
    calibrator = Calibrator(days, CalibrationConfig(), held=1)
    plan = WindowPlan(20, 10, mode=mode, half_life_min=15)
    rates, plain = ModeRates(calibrator, PLAN), WindowFitter(calibrator.points, bare_fit, plan, calibrator.length_s)
    windows = plan.over(calibrator.days)
    assert len(windows) > 4
    for window in windows:
        slow = plain.one(window.train_start_us, window.train_end_us)
        assert rates.one(mode, window) == pytest.approx((slow.A, slow.k), rel=1e-11)
