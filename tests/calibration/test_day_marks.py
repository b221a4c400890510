"""Days behind a window are kept as sums: memory does not grow with their events, and nothing else changes."""

import numpy as np

from mm.calibration.calibrator import CalibrationConfig, Calibrator


def test_sums_measure_a_day_as_its_events_do(days):
    """Cells, reach, volatility: from sums as from events, to the bit."""
    whole, summed = (Calibrator(days, CalibrationConfig(), held=held) for held in (None, 1))
    for tape in days:
        marks = whole.marks[days.index(tape)]
        reach = whole.reach(*marks.span)
        assert summed.reach(*marks.span) == reach
        for one, other in zip(
            marks.points(*marks.span, reach).columns, summed.points(*marks.span).columns, strict=True
        ):
            assert np.array_equal(one, other)
    span = days[0].start_us, days[-1].end_us
    assert summed.sigma_ticks(*span) == whole.sigma_ticks(*span)


def test_no_more_days_are_held_than_asked_for(days):
    """The marks of a released day are made again when needed."""
    marks = Calibrator(days, CalibrationConfig(), held=1).marks
    first = marks[0]
    assert marks[0] is first
    assert len(marks) == len(days) == len(marks[:])
    again = marks[0]
    assert again is not first
    assert again.span == first.span
    assert "trades" not in vars(days[1]), "its prints were dropped"
