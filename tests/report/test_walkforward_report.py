"""The page of segments: reading them, drawing fitted, carried and missing ones, and the PnL of each."""

import csv
import json

import numpy as np
import pytest

from legible import illegible
from mm.errors import BrokenFile
from mm.report.frame import About, card, chart, document
from mm.report.run_columns import EquityCurve
from mm.report.segment_charts import earned, parameters_figure, segments_figure
from mm.report.walkforward import page
from mm.walkforward.window_metrics import COLUMNS, SegmentRows, read_segments
from pages import read

MINUTE = 60_000_000
SOURCES = ("fitted", "carried", "none", "fitted")


def rows_of(sources=SOURCES, reason="few <b>fills</b>"):
    """Segments of a minute, as in the CSV: those without parameters have empty cells."""
    rows = []
    for i, source in enumerate(sources):
        has_parameters = source != "none"
        row = dict.fromkeys(COLUMNS, "")
        row |= {"start_us": i * MINUTE, "end_us": (i + 1) * MINUTE, "source": source, "n_fills": 40, "age_s": 60 * i}
        row |= {"status": "ok" if source == "fitted" else "few_fills", "usable": "true", "train_exposure_s": 900}
        row |= {"reason": "" if source == "fitted" else reason}
        if has_parameters:
            row |= {"A": 0.5 + i, "k": 1.5, "A_low": 0.3, "A_high": 0.9 + i, "k_low": 1.0, "k_high": 2.0}
        rows.append(row)
    return rows


@pytest.fixture
def folder(tmp_path):
    """A schedule of four segments."""
    write(tmp_path, rows_of())
    schedule = {"symbol": "SIMUSDT", "day": "20260105", "train_window_min": 20, "step_min": 1.0}
    (tmp_path / "poisson_schedule.json").write_text(json.dumps(schedule | {"fallback_policy": "carry_forward"}))
    return tmp_path


def write(folder, rows):
    with (folder / "window_metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def segments(folder, **changes):
    write(folder, rows_of(**changes))
    return read_segments(folder / "window_metrics.csv")


def test_segments_are_read_back_as_written(tmp_path):
    """Numbers as numbers, an empty cell as NaN, words as words."""
    rows = segments(tmp_path)
    assert rows.words["source"] == list(SOURCES)
    assert rows.numbers["A"][[0, 1, 3]].tolist() == [0.5, 1.5, 3.5]
    assert np.isnan(rows.numbers["A"][2])
    assert rows.x == (0.0, 4.0 * MINUTE)


def test_page_lists_the_sources_of_its_parameters(folder):
    """A carried segment and one without parameters are distinguishable, and a reason cannot break out of its cell."""
    html = page(folder, About(["mm", "schedule"]))
    words = " ".join(read(html).words)
    assert "2 of 4" in words
    assert "1 carried, 1 none" in words
    assert "few_fills: few <b>fills</b>" in words
    assert "mm schedule" in words


def test_schedule_without_parameters_or_segments_has_a_page(folder):
    """The page states what is missing and why nothing is traded."""
    write(folder, rows_of(sources=("none", "none"), reason="too few"))
    assert "no segment has parameters" in page(folder)
    assert parameters_figure(segments(folder, sources=("none",))) is None
    write(folder, [])
    assert "No segment: the day is not longer" in page(folder)


def test_pnl_of_segments_adds_up_to_the_change_of_equity(tmp_path):
    """From begin to end of each, marked at the last row before; holes in equity are skipped."""
    rows = segments(tmp_path)
    us = np.array([0, 30, 61, 90, 150, 200, 240], dtype=np.int64) * 1_000_000
    equity = np.array([0.0, 2.0, 1.0, np.nan, 4.0, 3.0, 7.0])
    zeros = np.zeros(7)
    run = EquityCurve(us, zeros, equity, zeros, zeros)
    assert earned(run, rows).tolist() == [2.0, -1.0, 3.0, 3.0]
    assert earned(EquityCurve(us, zeros, equity * np.nan, zeros, zeros), rows).tolist() == [0.0] * 4


@pytest.mark.parametrize("text", ["", "start_us\n1\n", ",".join(COLUMNS) + "\n" + ",".join("x" * len(COLUMNS))])
def test_malformed_table_raises_broken_file(tmp_path, text):
    """The message names the file."""
    path = tmp_path / "window_metrics.csv"
    path.write_text(text)
    with pytest.raises(BrokenFile, match=r"window_metrics.csv: (no column|cannot be read)"):
        read_segments(path)


def test_segment_rows_have_a_length_and_an_extent():
    """Also if they were not read from a file."""
    rows = SegmentRows({"start_us": np.array([3.0]), "end_us": np.array([9.0])}, {"source": ["none"]})
    assert (len(rows), rows.x) == (1, (3.0, 9.0))


def test_every_label_is_legible(folder, chrome):
    """For any segments of a schedule: fitted, carried, few or many, of any size of A."""
    path = folder / "report.html"
    for rows in (
        rows_of(),
        rows_of(SOURCES * 24),
        [{**row, "A": 1e-6, "A_high": 3e-6} for row in rows_of(SOURCES * 2)],
    ):
        write(folder, rows)
        path.write_text(page(folder), encoding="utf-8")
        assert illegible(chrome, path) == []


@pytest.mark.parametrize("size", [2e-7, 1.0, 2e7])
def test_equity_labels_are_legible_for_any_magnitude(folder, chrome, size):
    """A gain of a millionth and one of millions, on a wide screen and on a phone."""
    rows = segments(folder)
    us = np.arange(0, 240, dtype=np.int64) * 1_000_000
    equity, zeros = size * np.sin(us / 2e7), np.zeros(len(us))
    figure = segments_figure(rows, EquityCurve(us, zeros, equity, zeros, zeros), "USDT")
    path = folder / "report.html"
    path.write_text(document("equity", [card("Equity", "", chart(figure))]), encoding="utf-8")
    assert illegible(chrome, path) == []
