"""Days before the window are kept as sums, with limited memory and identical results."""

import numpy as np

from mm import CalibrationConfig
from mm.calibration.calibrator import Calibrator


def test_sums_give_same_results_as_events(days):
    """Cells, reach and volatility are equal to the bit."""
    whole, summed = (Calibrator(days, CalibrationConfig(reference="mid"), held=held) for held in (None, 1))
    for tape in days:
        marks = whole.marks[days.index(tape)]
        reach = whole.reach(*marks.span)
        assert summed.reach(*marks.span) == reach
        for left, right in zip(
            marks.points(*marks.span, reach).columns, summed.points(*marks.span).columns, strict=True
        ):
            assert np.array_equal(left, right)
    span = days[0].start_us, days[-1].end_us
    assert summed.sigma_ticks(*span) == whole.sigma_ticks(*span)


def test_released_day_is_rebuilt_on_access(days):
    """At most *held* days stay in memory."""
    marks = Calibrator(days, CalibrationConfig(reference="mid"), held=1).marks
    first = marks[0]
    assert marks[0] is first
    assert len(marks) == len(days) == len(marks[:])
    again = marks[0]
    assert again is not first
    assert again.span == first.span
    assert "trades" not in vars(days[1]), "its prints were dropped"
