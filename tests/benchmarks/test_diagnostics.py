"""The studies of the diagnostics: their flow is what they say, every row is measured, and a bad row is MISSED."""

import json
import math

import numpy as np
import pytest

from benchmarks.diagnostics import DRAWN, ROWS, hawkes, rolling
from benchmarks.figures import Figure, figure
from benchmarks.verdicts import Checked, checked, lines_of


def test_every_row_is_drawn_by_one_study():
    """But the one that needs a capture; each measured value is a share or a positive number."""
    days = [study.one(3) for study in DRAWN.values()]
    names = [name for day in days for name in day]
    assert sorted(names) == sorted(set(ROWS) - {"next nexo"})
    for day in days:
        for name, (_, power) in day.items():
            assert len(power) == math.isfinite(ROWS[name].power), name


@pytest.mark.parametrize("branching", [0.0, 0.7])
def test_the_flow_has_its_rate_and_its_branching(branching):
    """Mean .05 /s a side; blocks of an hour vary as 1 / (1 - branching)² of a Poisson count."""
    rng = np.random.default_rng(1)
    days = [hawkes(rng, 24, branching, (0.05, 0.1)) for _ in range(12)]
    counts = np.array([[(day.side == side).sum() for side in (0, 1)] for day in days])
    assert counts.mean(axis=0) / 86_400 == pytest.approx([0.05, 0.1], rel=0.04)
    hours = np.concatenate([np.bincount((day.second // 3600).astype(int), minlength=24) for day in days])
    assert hours.var() / hours.mean() == pytest.approx(1 / (1 - branching) ** 2, rel=0.25)
    assert all(day.second.min() >= 0 and day.second.max() < 86_400 for day in days)


def test_a_diagnostic_that_is_wrong_is_missed():
    """A size of a tenth, a power of a half; and met if both are as required."""
    rows = {"orders": ([0.0] * 990 + [1.0] * 10, [1.0] * 900 + [0.0] * 100)}
    (good,) = checked([rows])
    assert good.verdict == "met"
    (large,) = checked([{"orders": ([0.0] * 900 + [1.0] * 100, rows["orders"][1])}])
    (weak,) = checked([{"orders": (rows["orders"][0], [1.0, 0.0] * 500)}])
    assert (large.verdict, weak.verdict) == ("MISSED", "MISSED")


def test_the_table_has_a_line_for_each_row():
    """With the Monte-Carlo error of both figures; a row without a fault has no power."""
    rows = [Checked(row, Figure(0.95, 0.01), Figure(math.nan, math.nan)) for row in ROWS.values()]
    lines = lines_of(rows)
    assert len(lines) == len(ROWS) + 1
    assert all("0.9500 ± 0.0100" in line for line in lines[1:])
    assert json.loads(json.dumps(rows[0].to_json()))["row"]["nominal"] == "1 %"


def test_a_figure_has_the_error_of_its_mean():
    """That of a share that was never met is the error of one exception."""
    assert figure([1.0, 3.0]) == Figure(2.0, 1.0)
    never = figure([0.0] * 100)
    assert (never.value, round(never.se, 4)) == (0.0, 0.0099)


def test_without_the_capture_nothing_is_measured_on_it(tmp_path):
    """The table then lacks the row."""
    assert rolling(tmp_path) == {}
