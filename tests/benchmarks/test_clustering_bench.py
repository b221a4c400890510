"""The measurement of the Hawkes fit."""

import numpy as np
import pytest

from benchmarks.clustering import LAWS, coverage, families, lines
from mm.calibration.hawkes import ArrivalFlow, fit_hawkes

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_families_have_mean_rates_of_their_law():
    """The mean rates are (1 - n)⁻¹ μ."""
    law = LAWS["1 kernel, .6"]
    observed = np.array([[len(times) for times in families(seed, law, 20_000.0)] for seed in range(6)]) / 20_000.0
    expected = np.linalg.solve(np.eye(2) - law.matrix, law.mu)
    assert np.abs(observed.mean(axis=0) / expected - 1).max() < 0.06


def test_coverage_has_one_value_per_parameter_of_matching_fit():
    """All seven parameters of a fit with one kernel; none if a kernel is missing."""
    law = LAWS["1 kernel, .6"]
    flow = ArrivalFlow.of(families(1, law, 20_000.0), np.array([[0.0, 20_000.0]]))
    assert len(coverage(fit_hawkes(flow, 1), law)) == 7
    assert coverage(fit_hawkes(flow, 0), law) == []


def test_table_has_one_line_per_flow(monkeypatch):
    """On short days."""
    monkeypatch.setattr("benchmarks.clustering.HOURS", 3)
    assert [line.split("  ")[0] for line in lines(2)] == ["flow", *LAWS]
