"""Consecutive window fits: equal to separate fits, with curves only from the past."""

import math

import numpy as np
import pytest

from mm import CalibrationConfig, WindowPlan, build_schedule, fit_poisson
from mm.calibration import window_fits
from mm.calibration.alternatives import compare, rates_on
from mm.calibration.calibrator import Calibrator
from mm.calibration.intensities import intensity_of
from mm.calibration.intervals import predictive_ci95
from mm.calibration.window_fits import WindowFits, reached, with_curve
from mm.calibration.windows import MODES, WindowFitter
from small_tapes import book, poisson_day, tape, trade

S = 1_000_000
SECONDS = 5400
DAY = poisson_day(11, SECONDS, 2.0, 1.5, (0.05, 0.15))
PLAN = {"train_window_min": 40, "step_min": 10, "half_life_min": 15}


def calibrator(events=DAY):
    return Calibrator(tape(events, 0, SECONDS * S), CalibrationConfig(reference="mid"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_schedule_equals_separate_window_fits(mode):
    """All numbers within 1e-9 of a plain recomputation of the window from separate marks."""
    plan = WindowPlan(**PLAN, mode=mode)
    shared = calibrator()
    for segment in build_schedule(shared, plan).segments:
        span = segment.train_start_us, segment.train_end_us
        separate = calibrator()
        points = separate.points(*span)
        fit = WindowFitter(lambda *_, points=points: points, separate.fit_points, plan, separate.length_s).one(*span)
        predicted = predictive_ci95(points, 600.0)
        actual = [getattr(segment, name) for name in ("A", "k", "se_k", "se_logA", "n_fills", "sigma_ticks")]
        plain = [fit.A, fit.k, fit.se_k, fit.se_logA, fit.fit.n_fills, separate.sigma_ticks(*span)]
        assert actual == pytest.approx(plain, rel=1e-9, abs=0)
        assert (segment.predictive_low, segment.predictive_high) == pytest.approx(predicted, rel=1e-9, abs=0)


def test_first_window_of_hour_has_compared_shape():
    """The truth is two exponentials: the curve of the comparison, at observed distances."""
    shared = calibrator()
    plan = WindowPlan(**PLAN)
    windows = plan.over(shared.days)
    first, *_ = WindowFits(shared, plan).each(windows)
    points = shared.points(windows[0].train_start_us, windows[0].train_end_us)
    assert first.fit.shape.chosen == compare(points).best != "exponential"
    near, far = rates_on(first.line, np.array([1.0, 12.0]))
    assert first.predicted == predictive_ci95(points, 60.0 * plan.step_min)
    assert near == pytest.approx(2.0 * math.exp(-1.5) + 0.05 * math.exp(-0.15), rel=0.1)
    assert far == pytest.approx(0.05 * math.exp(-1.8), rel=0.3)


def test_later_windows_keep_shape_scaled_to_their_fills():
    """Within the hour the scaled curve expects the observed number of fills."""
    shared = calibrator()
    plan = WindowPlan(**{**PLAN, "step_min": 15})
    windows = plan.over(shared.days)
    fits = list(WindowFits(shared, plan).each(windows))
    for window, one in zip(windows[1:], fits[1:], strict=True):
        points = shared.points(window.train_start_us, window.train_end_us)
        ratio = [rate / first for (_, rate), (_, first) in zip(one.line, fits[0].line, strict=True)]
        assert ratio == pytest.approx([ratio[0]] * len(ratio))
        assert (points.exposure_s * reached(points, one.line)).sum() == pytest.approx(points.fills.sum())
        assert one.shape == fits[0].fit.shape.chosen


@pytest.mark.slow
def test_shapes_are_compared_once_per_hour(monkeypatch):
    """For any step; if the comparison of a window gives nothing, the next window is compared."""
    compared = []
    monkeypatch.setattr(window_fits, "compare", compared.append)
    for step_min, most in ((2, 25), (25, 2)):
        compared.clear()
        plan = WindowPlan(**{**PLAN, "step_min": step_min})
        list(WindowFits(calibrator(), plan).each(plan.over([(0, SECONDS * S)])))
        assert len(compared) == most  # no shape is found, so each window compares again
    monkeypatch.undo()
    monkeypatch.setattr(window_fits, "compare", lambda points: compared.append(points) or compare(points))
    for step_min, most in ((2, 1), (25, 1), (60, 1)):
        compared.clear()
        plan = WindowPlan(**{**PLAN, "step_min": step_min})
        list(WindowFits(calibrator(), plan).each(plan.over([(0, SECONDS * S)])))
        assert len(compared) == most


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_later_events_do_not_change_curve(mode):
    """Bit for bit, for any market after the training end of the segment."""
    plan = WindowPlan(**PLAN, mode=mode, latency_us=50_000)
    original = build_schedule(calibrator(), plan)
    number = 2
    cut_us = original.segments[number].train_end_us
    past = [event for event in DAY if event[1] < cut_us]
    wild = [book(cut_us, 9_000, 9_001), *(trade(cut_us + 997 * n, -1, 8_990 - n % 40, n + 1) for n in range(4000))]
    for rest in (wild, []):
        changed = build_schedule(calibrator(past + rest), plan)
        for segment, changed_segment in zip(original.segments[: number + 1], changed.segments, strict=False):
            assert segment == changed_segment
            assert segment.lambda_curve
            rates = [
                intensity_of(each).at(segment.start_us, 1, delta)
                for each in (original, changed)
                for delta in (0.5, 9.0)
            ]
            assert rates[:2] == rates[2:]
            # numpy and the engine may round an exponential differently, by processor
            assert rates[:2] == pytest.approx(rates_on(segment.lambda_curve, np.array([0.5, 9.0])).tolist(), rel=1e-13)


def test_unusable_fit_has_no_curve():
    points = calibrator().points(0, SECONDS * S)
    empty = fit_poisson(points.where(points.fills == 0))
    assert with_curve(empty, points) is empty


def test_rates_on_line_equal_engine_intensity():
    """Between points, nearer than the first and beyond the last."""
    from mm.backtest.fills.intensity import Intensity, IntensityPiece

    line = ((0.5, 2.0), (1.5, 0.5), (4.0, 0.5), (6.0, 0.01))
    engine = Intensity([IntensityPiece(0, 10, 1.0, 1.0, 1.0, 1.0, 1.0, curve=line)])
    places = np.array([-1.0, 0.5, 1.0, 2.0, 4.0, 5.0, 9.0])
    assert rates_on(line, places) == pytest.approx([engine.at(0, 1, one) for one in places.tolist()], rel=1e-12)
    assert rates_on(line, np.array([np.inf])).tolist() == [0.0]


def test_windows_with_same_training_data_share_fit():
    """All windows of a static schedule train on the first period, which is fitted once."""
    shared, fitted = calibrator(), []

    def fit(points):
        fitted.append(points)
        return shared.fit_window(points)

    plan = WindowPlan(**PLAN, mode="static")
    windows = plan.over(shared.days)
    fits = list(WindowFits(shared, plan, fit=fit).each(windows))
    assert len(fitted) == 1
    assert len(fits) == len(windows) > 3
    assert all(one is fits[0] for one in fits)
