"""Modes beside the one in use are fitted from sums: no row of the past is taken twice, and A and k stay the same."""

import numpy as np
import pytest

from mm.calibration._row_sums import expected_by_block, weighed_sums
from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.mode_rates import ModeRates, bare_fit
from mm.calibration.windows import MODES, WindowFitter, WindowPlan

PLAN = WindowPlan(train_window_min=20, step_min=10, half_life_min=15)


@pytest.mark.parametrize("mode", MODES)
def test_rates_from_sums_are_those_of_all_points(days, mode):
    """The fitter that takes every row of the past finds the same A and k."""
    calibrator = Calibrator(days, CalibrationConfig(), held=1)
    plan = WindowPlan(20, 10, mode=mode, half_life_min=15)
    windows = plan.over(calibrator.days)
    rates = ModeRates(calibrator, PLAN, {mode: windows})
    plain = WindowFitter(calibrator.points, bare_fit, plan, calibrator.length_s)
    assert len(windows) > 4
    for number, window in enumerate(windows):
        slow = plain.one(window.train_start_us, window.train_end_us)
        assert rates.one(mode, number) == pytest.approx((slow.A, slow.k), rel=1e-11)


def test_a_window_is_worked_out_alike_with_any_others(days):
    """A walk-forward that continues after a kill begins with a later window."""
    calibrator = Calibrator(days, CalibrationConfig(), held=1)
    windows = {mode: WindowPlan(20, 10, mode=mode, half_life_min=15).over(calibrator.days) for mode in MODES}
    whole, count = ModeRates(calibrator, PLAN, windows), len(windows["rolling"])
    found = [whole.each(number) for number in range(count)]
    assert found == [ModeRates(calibrator, PLAN, windows).each(number) for number in range(count)]


def test_weighed_sums_are_those_of_plain_loops():
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
        sums, by_block, seen = weighed_sums(exposure, fills, weight)
        plain = np.zeros((4, columns))
        for share, spent, count in zip(weight, exposure, fills, strict=True):
            plain += [spent, count, share * spent, share * count]
        assert (sums == plain).all()
        assert (by_block == fills.sum(axis=1)).all()
        assert seen == max((at + 1 for at in range(blocks) if exposure[at].any()), default=0)


@pytest.mark.parametrize("columns", [1, 5, 8, 22, 128, 131, 700])
def test_expected_fills_are_those_of_numpy(columns):
    """To the last bit, for columns of any number; more blocks than there are are refused."""
    rng = np.random.default_rng(columns)
    exposure, gain = rng.random((30, columns)) * 300, rng.random(columns)
    for blocks in (0, 1, 29, 30):
        assert (expected_by_block(exposure, gain, blocks) == (exposure[:blocks] * gain).sum(axis=1)).all()
    for arguments in ((exposure, gain, 31), (exposure, np.ones(columns + 1), 3)):
        with pytest.raises(ValueError, match="unequal"):
            expected_by_block(*arguments)
