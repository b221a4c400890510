"""The zooming charts of segments: their data are the numbers of window_metrics.csv."""

import csv

import numpy as np
import pytest

from mm.report.run_columns import EquityCurve
from mm.report.segment_charts import axis, earned, panels, unquoted
from mm.walkforward.out_of_sample import COLUMNS, read_segments

MINUTE = 60_000_000
SOURCES = ("none", "fitted", "carried", "fitted")


@pytest.fixture
def rows(tmp_path):
    """Four segments of a minute, the first without parameters; the last has an interval far beyond the others."""
    path = tmp_path / "window_metrics.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for i, source in enumerate(SOURCES):
            row = {"start_us": i * MINUTE, "end_us": (i + 1) * MINUTE, "source": source, "n_fills": 40 + i, "age_s": 0}
            row |= {"status": "ok", "reason": "", "train_exposure_s": 900, "test_exposure_s": 60, "test_fills": 5 + i}
            if source != "none":
                row |= {"A": 0.5 + i, "k": 1.5, "A_low": 0.3, "A_high": 0.9 + 100 * (i == 3), "k_low": 1, "k_high": 2}
                row |= {
                    "test_expected": 4.0,
                    "test_ratio": (5 + i) / 4,
                    "test_ratio_low": 0.4 * i,
                    "test_ratio_high": 9,
                }
            writer.writerow(row)
    return read_segments(path)


def test_points_are_the_segments_and_only_fitted_ones_have_bars(rows):
    """At the middle of each, with its tip; the interval of a carried fit belongs to another window."""
    k, A, ratio, rate = panels(rows, None, "USDT")
    fitted, carried = A.marks
    assert [marks.us.tolist() for marks in (fitted, carried)] == [[1.5 * MINUTE, 3.5 * MINUTE], [2.5 * MINUTE]]
    assert (fitted.values.tolist(), carried.values.tolist()) == ([1.5, 3.5], [2.5])
    assert [end.tolist() for end in carried.ends] == [[2.5], [2.5]]
    tip = {label: values.tolist() for label, values, _ in fitted.tip}
    assert tip == {"A": [1.5, 3.5], "95 % from": [0.3, 0.3], "to": [0.9, 100.9], "trades in training": [41, 43]}
    assert fitted.ends[1].max() < 100.9  # drawn to the edge of the scale; the tip has the number
    inside, outside = ratio.marks
    assert (inside.values.tolist(), outside.values.tolist()) == ([1.5, 1.75], [2.0])
    assert [marks.tip[0][1].tolist() for marks in ratio.marks] == [[6, 7], [8]]
    np.testing.assert_array_equal(k.lines[0].values, [np.nan, 1.5, 1.5, 1.5, np.nan])
    observed, expected = (line.values.tolist()[:4] for line in rate.lines)
    assert observed == [300, 360, 420, 480]  # fills per order-hour
    assert np.isnan(expected[0])
    assert expected[1:] == [240, 240, 240]  # over the exposure of the segment, not over that of the training window


def test_lines_are_continuous_from_segment_to_segment(rows):
    """No hole between adjacent segments, and one where there are no parameters."""
    line = panels(rows, None, "USDT")[1].lines[0]
    assert line.us.tolist() == [0, MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert np.isnan(line.values).tolist() == [True, False, False, False, True]


def test_bars_are_the_pnl_of_each_segment(rows):
    """Gains and losses, each from the begin to the end of its segment."""
    us = np.array([0, 1.5, 2.5, 3.5, 4]) * MINUTE
    run = EquityCurve(
        us.astype(np.int64), np.zeros(5), np.array([0.0, 2.0, -1.0, -1.0, -1.5]), np.zeros(5), np.zeros(5)
    )
    equity, pnl, *_ = panels(rows, run, "USDT")
    assert equity.lines[0].values.tolist() == run.equity.tolist()
    gain, loss = pnl.spans
    assert (gain.us.tolist(), gain.values.tolist()) == ([MINUTE], [2.0])
    assert (loss.us.tolist(), loss.values.tolist()) == ([2 * MINUTE, 3 * MINUTE], [-3.0, -0.5])
    assert sum(gain.values) + sum(loss.values) == earned(run, rows).sum()


def test_shading_marks_unquoted_time_and_buttons_show_few_segments(rows):
    """Segments without parameters, and the time before the first."""
    assert unquoted(rows).tolist() == [[0, MINUTE]]
    assert (axis(rows).stop, axis(rows).close_ms) == ("segment", 5 * 60_000)
