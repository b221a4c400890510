"""Windows whose curves a page shows: spread over the schedule, with data of their training only."""

import json

import numpy as np
import pytest

from calibrators import calibrator_of
from mm import Points, WindowPlan
from mm.errors import BrokenFile
from mm.walkforward import window_shapes as file
from mm.walkforward.walkforward import study
from mm.walkforward.window_shapes import WindowShape, summed, window_shapes


@pytest.fixture(scope="module")
def studied(days):
    calibrator = calibrator_of(days)
    return calibrator, study(calibrator, WindowPlan(train_window_min=20, step_min=20))


def test_window_shape_has_points_of_its_training_window(studied):
    """Equal to a calibration of the window alone, with blocks summed; the fit is that of the window."""
    calibrator, found = studied
    assert found.shapes
    by_start = {one.start_us: (one, fit) for one, fit in zip(found.schedule.segments, found.fits, strict=True)}
    for shape in found.shapes:
        segment, own = by_start[shape.span_us[0]]
        assert shape.span_us == (segment.start_us, segment.end_us, segment.train_start_us, segment.train_end_us)
        assert shape.fit == own.fit
        plain = calibrator.between(segment.train_start_us, segment.train_end_us).shown
        for side in (1, -1):
            for delta in np.unique(plain.delta_ticks).tolist():
                rows, one = ((each.side == side) & (each.delta_ticks == delta) for each in (plain, shape.points))
                assert shape.points.fills[one].sum() == plain.fills[rows].sum()
                assert shape.points.exposure_s[one].sum() == pytest.approx(plain.exposure_s[rows].sum())
                assert one.sum() <= 1


@pytest.mark.slow
def test_window_shapes_are_limited_and_have_intervals(days, monkeypatch):
    """Windows that kept an earlier shape have none; the others are spread over the schedule."""
    monkeypatch.setattr(file, "MOST", 3)
    monkeypatch.setattr("mm.calibration.window_fits.SHAPE_MIN", 1.0)  # every window is compared
    found = study(calibrator_of(days), WindowPlan(train_window_min=20, step_min=4))
    assert len(found.schedule.segments) > 9
    assert 1 < len(found.shapes) <= 3
    assert all(any(one.ci95 for one in shape.fit.lambda_curve) for shape in found.shapes)
    starts = [shape.span_us[0] for shape in found.shapes]
    assert starts == sorted(starts)


def test_window_shapes_round_trip_through_json(studied, tmp_path):
    _, found = studied
    content = json.loads(json.dumps(window_shapes(found.shapes)))
    for one, kept in zip(found.shapes, content["windows"], strict=True):
        again = WindowShape.from_json(kept, "file")
        assert (again.span_us, again.fit) == (one.span_us, one.fit)
        assert all((a == b).all() for a, b in zip(again.points.columns, one.points.columns, strict=True))


def test_invalid_window_shapes_file_is_rejected(studied):
    _, found = studied
    whole = window_shapes(found.shapes)["windows"][0]
    for broken in ({**whole, "points": [[1, 2]]}, {**whole, "start_us": "soon"}, {"fit": whole["fit"]}):
        with pytest.raises(BrokenFile, match=r"window_shapes\.json: not the windows of a schedule"):
            WindowShape.from_json(broken, "window_shapes.json")


def test_summed_adds_rows_of_blocks():
    found = summed(Points.of([1, 0, 1, 1], [2, 3, 4, 5], [1, 0, 2, 7], [1, 1, 1, -1], [0, 0, 1, 1]))
    rows = zip(found.delta_ticks, found.side, found.exposure_s, found.fills, strict=True)
    assert [tuple(map(float, row)) for row in rows] == [(0, 1, 3, 0), (1, 1, 6, 3), (1, -1, 5, 7)]
