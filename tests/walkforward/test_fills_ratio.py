"""The ratio of fills of a schedule: its interval holds 1 where nothing but chance and drift differs."""

from dataclasses import replace

import numpy as np
import pytest

from engine_tapes import BEGIN_US, TEST
from mm import CalibrationConfig, Rules, Tape, WindowPlan, build_schedule
from mm.backtest.fills.intensity import Poisson
from mm.backtest.metrics.order_lives import for_another_day
from mm.backtest.quotes.simple import FixedSpread
from mm.backtest.replay import backtest
from mm.calibration.intensities import intensity_of
from mm.calibration.schedule import calibrator_of
from mm.calibration.schedule_draws import schedule_log_rate_half
from small_tapes import poisson_day

PLAN = WindowPlan(train_window_min=20, step_min=10, latency_us=50_000)
STRETCH_US, K = 600_000_000, 0.6


def market(seed: int, levels: list[float]) -> Tape:
    """Return a day whose sweeps come as often as one of *levels* says, for ten minutes each."""
    told, shown = [], []
    for number, level in enumerate(levels):
        first_us = BEGIN_US + number * STRETCH_US
        for kind, us, *rest in poisson_day(seed * 100 + number, STRETCH_US // 1_000_000, level, K):
            if kind == "trade":
                told.append((first_us + us, "trade", *rest[:2], 1))
                continue
            gone = [[(ticks, 0)] if ticks != now else [] for ticks, now in zip(shown, rest[:2], strict=False)] or [
                [],
                [],
            ]
            rows = [[*old, (ticks, 10)] for old, ticks in zip(gone, rest[:2], strict=True)]
            told.append((first_us + us, "depth" if shown else "snapshot", *rows))
            shown = rest[:2]
    return Tape.of(TEST, told)


def ratio(seed: int, apart: float, truth: float = 1.0, mode: str = "rolling") -> tuple[dict, dict]:
    """Return the ratio of a day's fills, given the fit and predictive; levels differ by *apart* between stretches.

    Fills come *truth* times as often as sweeps.
    """
    levels = (0.5 * np.exp(apart * np.random.default_rng(seed).standard_normal(12))).tolist()
    tape = market(seed, levels)
    plan = replace(PLAN, mode=mode)
    calibrator, _ = calibrator_of([tape], plan, CalibrationConfig(reference="mid"))
    schedule = build_schedule(calibrator, plan)
    true = [
        replace(
            each,
            A=truth * levels[(each.start_us + each.end_us - 2 * BEGIN_US) // (2 * STRETCH_US)],
            k=K,
            lambda_curve=(),
        )
        for each in schedule.segments
    ]
    rules = Rules(tick_e8=TEST.tick_e8, lot_e8=TEST.lot_e8, quote_lots=1, enforce_balances=False)
    fills = Poisson(intensity_of(replace(schedule, segments=tuple(true))), seed=seed)
    played = backtest(tape, FixedSpread(delta_ticks=2), fills, rules, intensity=intensity_of(schedule))
    given = played.summary["fills_ratio"]
    return given, for_another_day(given, schedule_log_rate_half(schedule))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rolling", "static"])
@pytest.mark.parametrize("apart", [0.0, 0.3])
def test_its_interval_holds_the_truth(mode, apart):
    """Of 40 days of two hours, whether or not stretches of ten minutes differ by 30 %; given the fit, too narrow."""
    both = [ratio(seed, apart, mode=mode) for seed in range(40)]
    given, predictive = ([one[at]["low"] <= 1 <= one[at]["high"] for one in both] for at in (0, 1))
    assert np.mean(predictive) >= 0.875
    assert mode == "rolling" or np.mean(given) < np.mean(predictive)


@pytest.mark.slow
def test_a_wrong_level_is_found():
    """Half as many fills again as the schedule says."""
    assert np.mean([ratio(seed, 0.1, 1.5)[1]["low"] > 1 for seed in range(20)]) >= 0.9
