"""The zooming charts of segments: their data are the numbers of window_metrics.csv."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from mm.report.figures import MAIN
from mm.report.run_columns import EquityCurve
from mm.report.segment_charts import earned, segments_figure, step_s, unquoted
from mm.walkforward.window_metrics import COLUMNS, read_segments
from pages import check_figure, named

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
            row |= {"status": "ok", "reason": "", "train_exposure_s": 900}
            if source != "none":
                row |= {"A": 0.5 + i, "k": 1.5, "A_low": 0.3, "A_high": 0.9 + 100 * (i == 3), "k_low": 1, "k_high": 2}
            writer.writerow(row)
    return read_segments(path)


def points_of(figure, name):
    """Return the points of a name in each panel, from top to bottom."""
    return [trace for trace in figure["data"] if trace["name"] == name and trace["mode"] == "markers"]


def test_points_are_the_segments_and_only_fitted_ones_have_bars(rows):
    """At the middle of each, with its tip; the interval of a carried fit belongs to another window."""
    figure = segments_figure(rows, None, "USDT")
    check_figure(figure)
    fitted, carried = points_of(figure, "fitted")[1], points_of(figure, "carried or default")[1]
    assert [(trace["x"] * 1e3).tolist() for trace in (fitted, carried)] == [
        [1.5 * MINUTE, 3.5 * MINUTE],
        [2.5 * MINUTE],
    ]
    assert (fitted["y"].tolist(), carried["y"].tolist()) == ([1.5, 3.5], [2.5])
    assert not carried["error_y"]["array"].any()
    assert (fitted["y"] - fitted["error_y"]["arrayminus"]).tolist() == pytest.approx([0.3, 0.3])
    assert (fitted["y"] + fitted["error_y"]["array"]).max() < 100.9  # to the edge of the scale; the tip has the number
    assert [tip.partition(": ")[2] for tip in fitted["text"]] == [
        "A = 1.5, 95 % 0.3 to 0.9, fitted",
        "A = 3.5, 95 % 0.3 to 100.9, fitted",
    ]


def test_lines_are_continuous_from_segment_to_segment(rows):
    """No hole between adjacent segments, and one where there are no parameters; the last value lasts to its end."""
    line = named(segments_figure(rows, None, "USDT"), "A")
    known = ~np.isnan(line["y"])
    assert (line["x"][known] * 1e3).tolist() == [MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    assert line["y"][known].tolist() == [1.5, 2.5, 3.5, 3.5]
    assert np.flatnonzero(~known).tolist() == [0, len(known) - 1]


def test_bars_are_the_pnl_of_each_segment(rows):
    """Each over most of its segment, in one colour: a segment has no interval."""
    us = np.array([0, 1.5, 2.5, 3.5, 4]) * MINUTE
    run = EquityCurve(
        us.astype(np.int64), np.zeros(5), np.array([0.0, 2.0, -1.0, -1.0, -1.5]), np.zeros(5), np.zeros(5)
    )
    figure = segments_figure(rows, run, "USDT")
    assert named(figure, "equity")["y"].tolist() == run.equity.tolist()
    bars = named(figure, "PnL")
    assert bars["y"].tolist() == [0.0, 2.0, -3.0, -0.5]
    assert (bars["x"] * 1e3).tolist() == [(i + 0.5) * MINUTE for i in range(4)]
    assert bars["marker"]["color"] == MAIN
    assert bars["y"].sum() == earned(run, rows).sum()


def test_segment_through_a_night_is_drawn_over_its_time_with_a_market(rows):
    """Of the second minute the market is open for the first ten seconds, and for one at the end."""
    second = MINUTE // 60
    with_night = replace(rows, spans=[(0, MINUTE + 10 * second), (2 * MINUTE - second, 4 * MINUTE)])
    us = np.array([0, MINUTE, 2 * MINUTE, 4 * MINUTE])
    run = EquityCurve(us, np.zeros(4), np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4), np.zeros(4))
    bars = named(segments_figure(with_night, run, "USDT"), "PnL")
    assert (bars["x"] * 1e3).tolist() == [0.5 * MINUTE, MINUTE + 5 * second, 2.5 * MINUTE, 3.5 * MINUTE]
    assert (bars["width"] * 1e3).tolist() == pytest.approx([0.9 * MINUTE, 9 * second, 0.9 * MINUTE, 0.9 * MINUTE])
    assert bars["y"].tolist() == [1.0, 1.0, 0.0, 1.0]


def test_shading_marks_unquoted_time_and_buttons_show_few_segments(rows):
    """Segments without parameters, and the time before the first."""
    assert unquoted(rows).tolist() == [[0, MINUTE]]
    assert named(segments_figure(rows, None, ""), "none")["x"].tolist()[:4] == [0, 0, 60_000, 60_000]
    assert step_s(rows) == 5 * 60
