"""The studies of the diagnostics: their flow has its parameters, every row is measured, a bad row is MISSED."""

import json
import math

import numpy as np
import pytest

from benchmarks.diagnostics import DRAWN, ROWS, hawkes, rolling
from benchmarks.figures import Figure, figure
from benchmarks.verdicts import Checked, checked, lines_of

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_each_row_is_drawn_by_exactly_one_study():
    """Except the row that needs a capture; rows with a fault have a power."""
    days = [study.one(3) for study in DRAWN.values()]
    names = [name for day in days for name in day]
    assert sorted(names) == sorted(set(ROWS) - {"next nexo"})
    for day in days:
        for name, (_, power) in day.items():
            assert len(power) == math.isfinite(ROWS[name].power), name


@pytest.mark.parametrize("branching", [0.0, 0.7])
def test_hawkes_flow_has_its_rates_and_branching(branching):
    """Mean rates of .05 and .10 /s; hourly counts have 1 / (1 - branching)² times the variance of Poisson counts."""
    rng = np.random.default_rng(1)
    days = [hawkes(rng, 24, branching, (0.05, 0.1)) for _ in range(12)]
    counts = np.array([[(day.side == side).sum() for side in (0, 1)] for day in days])
    assert counts.mean(axis=0) / 86_400 == pytest.approx([0.05, 0.1], rel=0.04)
    hours = np.concatenate([np.bincount((day.second // 3600).astype(int), minlength=24) for day in days])
    assert hours.var() / hours.mean() == pytest.approx(1 / (1 - branching) ** 2, rel=0.25)
    assert all(day.second.min() >= 0 and day.second.max() < 86_400 for day in days)


def test_diagnostic_with_wrong_size_or_power_is_missed():
    """A size of a tenth or a power of a half is MISSED; both as required are met."""
    rows = {"orders": ([0.0] * 990 + [1.0] * 10, [1.0] * 900 + [0.0] * 100)}
    (good,) = checked([rows])
    assert good.verdict == "met"
    (large,) = checked([{"orders": ([0.0] * 900 + [1.0] * 100, rows["orders"][1])}])
    (weak,) = checked([{"orders": (rows["orders"][0], [1.0, 0.0] * 500)}])
    assert (large.verdict, weak.verdict) == ("MISSED", "MISSED")


def test_table_has_one_line_per_row():
    """Each line has the Monte-Carlo error of its figure; a row without a fault has no power."""
    rows = [Checked(row, Figure(0.95, 0.01), Figure(math.nan, math.nan)) for row in ROWS.values()]
    lines = lines_of(rows)
    assert len(lines) == len(ROWS) + 1
    assert all("0.9500 ± 0.0100" in line for line in lines[1:])
    assert json.loads(json.dumps(rows[0].to_json()))["row"]["nominal"] == "1 %"


def test_figure_has_standard_error_of_its_mean():
    """The error of a share of 0 is that of a single exception."""
    assert figure([1.0, 3.0]) == Figure(2.0, 1.0)
    zero_share = figure([0.0] * 100)
    assert (zero_share.value, round(zero_share.se, 4)) == (0.0, 0.0099)


def test_rolling_returns_nothing_without_capture(tmp_path):
    """The table then has no such row."""
    assert rolling(tmp_path) == {}
