"""The measurement of the Hawkes fit."""

import numpy as np

from benchmarks.clustering import LAWS, families, held, lines
from mm.calibration.hawkes import ArrivalFlow, fit_hawkes


def test_families_have_the_rate_of_their_law():
    """The mean rates are (1 - n)⁻¹ μ."""
    law = LAWS["1 kernel, .6"]
    seen = np.array([[len(one) for one in families(seed, law, 20_000.0)] for seed in range(6)]) / 20_000.0
    wanted = np.linalg.solve(np.eye(2) - law.matrix, law.mu)
    assert np.abs(seen.mean(axis=0) / wanted - 1).max() < 0.06


def test_a_day_counts_the_parameters_that_its_intervals_hold():
    """All seven of a fit with one kernel, none where a kernel is missing."""
    law = LAWS["1 kernel, .6"]
    flow = ArrivalFlow.of(families(1, law, 20_000.0), np.array([[0.0, 20_000.0]]))
    assert len(held(fit_hawkes(flow, 1), law)) == 7
    assert held(fit_hawkes(flow, 0), law) == []


def test_the_table_has_a_line_for_each_flow(monkeypatch):
    """Short days."""
    monkeypatch.setattr("benchmarks.clustering.HOURS", 3)
    assert [line.split("  ")[0] for line in lines(2)] == ["flow", *LAWS]
