"""Rates of alternative window modes are fitted from sums and equal fits of all points."""

import pytest

from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.window_fits import ModeRates, bare_fit
from mm.calibration.windows import MODES, WindowFitter, WindowPlan

PLAN = WindowPlan(train_window_min=20, step_min=10, half_life_min=15)


@pytest.mark.parametrize("mode", MODES)
def test_rates_from_sums_equal_fit_of_all_points(days, mode):
    """A fitter that reads every past row finds the same A and k."""
    calibrator = Calibrator(days, CalibrationConfig(), held=1)
    plan = WindowPlan(20, 10, mode=mode, half_life_min=15)
    windows = plan.over(calibrator.days)
    rates = ModeRates(calibrator, PLAN, {mode: windows})
    plain = WindowFitter(calibrator.points, bare_fit, plan, calibrator.length_s)
    assert len(windows) > 4
    for number, window in enumerate(windows):
        slow = plain.one(window.train_start_us, window.train_end_us)
        assert rates.one(mode, number) == pytest.approx((slow.A, slow.k), rel=1e-11)


def test_window_result_does_not_depend_on_earlier_windows(days):
    """A walk-forward that resumes after a kill starts with a later window."""
    calibrator = Calibrator(days, CalibrationConfig(), held=1)
    windows = {mode: WindowPlan(20, 10, mode=mode, half_life_min=15).over(calibrator.days) for mode in MODES}
    whole, count = ModeRates(calibrator, PLAN, windows), len(windows["rolling"])
    in_sequence = [whole.each(number) for number in range(count)]
    assert in_sequence == [ModeRates(calibrator, PLAN, windows).each(number) for number in range(count)]
