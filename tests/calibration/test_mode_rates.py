"""Rates of alternative window modes are fitted from sums and equal fits of all points."""

import numpy as np
import pytest

from mm.calibration._row_sums import expected_by_block, weighted_sums
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.mode_rates import ModeRates, bare_fit
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


def test_weighed_sums_equal_plain_loops():
    """By column over blocks, by block over columns, and up to the last block with exposure."""
    rng = np.random.default_rng(5)
    for blocks, columns in ((1, 1), (3, 2), (40, 13)):
        exposure, fills, weight = (
            rng.random((blocks, columns)),
            rng.poisson(2.0, (blocks, columns)) * 1.0,
            rng.random(blocks),
        )
        exposure[rng.random(exposure.shape) < 0.4] = 0.0
        exposure[blocks - 1 :] = 0.0
        sums, by_block, used_blocks = weighted_sums(exposure, fills, weight)
        plain = np.zeros((4, columns))
        for share, seconds, count in zip(weight, exposure, fills, strict=True):
            plain += [seconds, count, share * seconds, share * count]
        assert (sums == plain).all()
        assert (by_block == fills.sum(axis=1)).all()
        assert used_blocks == max((at + 1 for at in range(blocks) if exposure[at].any()), default=0)


@pytest.mark.parametrize("columns", [1, 5, 8, 22, 128, 131, 700])
def test_expected_fills_equal_numpy(columns):
    """To the last bit, for any number of columns; too many blocks are rejected."""
    rng = np.random.default_rng(columns)
    exposure, gain = rng.random((30, columns)) * 300, rng.random(columns)
    for blocks in (0, 1, 29, 30):
        assert (expected_by_block(exposure, gain, blocks) == (exposure[:blocks] * gain).sum(axis=1)).all()
    for arguments in ((exposure, gain, 31), (exposure, np.ones(columns + 1), 3)):
        with pytest.raises(ValueError, match="unequal"):
            expected_by_block(*arguments)
