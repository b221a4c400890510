"""States of the spread: share of time and rate of each."""

import numpy as np
import pytest

from mm import CalibrationConfig
from mm.calibration.calibrate import by_spread, large_tick, measure, spread_states
from mm.calibration.calibrator import Calibrator
from small_tapes import book, gap, tape, trade

S = 1_000_000


def states_of(calibrator):
    return by_spread(calibrator, spread_states(calibrator))


def market(seed=3, hours=4):
    """Return a day alternating every second: spread 1 with A = 0.2, or spread 4 with A = 0.8; k = 0.6."""
    rng = np.random.default_rng(seed)
    events, trade_us = [], 0
    for n in range(hours * 3600):
        spread, A = ((1, 0.2), (4, 0.8))[n % 2]
        events.append(book(n * S, 1000, 1000 + spread))
        for side, touch in ((1, 1000 + spread), (-1, 1000)):
            for at_us in sorted(rng.integers(1, S, rng.poisson(A * np.exp(-0.6 * spread / 2))).tolist()):
                trade_us += 1
                depth = int(rng.geometric(1 - np.exp(-0.6))) - 1
                events.append(trade(n * S + at_us, side, touch + side * depth, trade_us))
    return tape(sorted(events, key=lambda event: event[1]), 0, hours * 3600 * S)


def test_each_spread_state_recovers_its_rate():
    """One curve for both would be bent; each state recovers its own parameters."""
    narrow, wide = states_of(Calibrator(market(), CalibrationConfig(reference="mid", max_delta_ticks=15)))
    assert (narrow["from_ticks"], narrow["to_ticks"], narrow["share"]) == (1, 1, 0.5)
    assert (wide["from_ticks"], wide["to_ticks"], wide["share"]) == (3, 4, 0.5)
    for state, A in ((narrow, 0.2), (wide, 0.8)):
        assert abs(np.log(state["A"] / A)) < 4 * state["se_logA"]
        assert abs(state["k"] - 0.6) < 4 * state["se_k"]


def test_states_partition_seconds_and_sweeps():
    """Sums over the states equal the totals without states."""
    calibrator = Calibrator(market(hours=1), CalibrationConfig(reference="mid", max_delta_ticks=15))
    whole = calibrator.between(calibrator.start_us, calibrator.end_us).fitted
    states = states_of(calibrator)
    assert sum(state["n_fills"] for state in states) == whole.fills.sum()
    assert abs(sum(state["exposure_s"] for state in states) - whole.exposure_s.sum()) < 1e-6


@pytest.mark.parametrize("method", ["ladder", "fixed"])
def test_states_come_from_marks_for_every_method(method):
    """A ladder is played eight times, but its marks are counted once."""
    day = market(hours=1)
    by_marks, other = (
        Calibrator(day, CalibrationConfig(reference="mid", method=name, max_delta_ticks=15))
        for name in ("marks", method)
    )
    assert states_of(other) == states_of(by_marks)
    assert other.ladders == (8 if method == "ladder" else 1)


def test_state_shares_are_of_time_with_book():
    events = [book(0, 100, 101), gap(6 * S), book(8 * S, 100, 109)]
    states = states_of(Calibrator(tape(events, 0, 10 * S), CalibrationConfig(reference="mid")))
    assert [(one["from_ticks"], one["to_ticks"], one["share"], one["status"]) for one in states] == [
        (1, 1, 0.75, "no_fills"),
        (9, 16, 0.25, "no_fills"),
    ]


def test_fit_warns_about_large_tick():
    """Spread of one tick for three quarters of the time."""
    events = [book(0, 100, 101), book(6 * S, 100, 103)]
    (line,) = large_tick(spread_states(Calibrator(tape(events, 0, 8 * S), CalibrationConfig(reference="mid"))), "best")
    assert "one tick in 75 % of the time" in line
    assert "CALIB_HIT=strict and CALIB_QUEUE_AHEAD=1 at CALIB_REFERENCE=best," in line  # auto could choose another one
    assert line in measure(tape(events, 0, 8 * S), CalibrationConfig(reference="best")).fit.warnings
    assert (
        large_tick(spread_states(Calibrator(tape(events, 0, 30 * S), CalibrationConfig(reference="mid"))), "mid") == ()
    )


def test_tape_without_book_has_no_states():
    calibrator = Calibrator(tape([], 0, 10 * S), CalibrationConfig(reference="mid"))
    assert (states_of(calibrator), large_tick(spread_states(calibrator), "mid")) == ([], ())
