"""Roots and peaks against a search that looks everywhere, and the proof that there is no second peak."""

import math

import numpy as np
import pytest
from fit_tables import Raw, random_raw

from mm.calibration import peaks
from mm.calibration.estimators import Absent, likelihood_peak
from mm.calibration.peaks import falls_at, penalised_peak, score_peak

SHORT = np.geomspace(1e-6, 3e3, 400)


def odd_cells(rng):
    """Return cells of odd widths and exposures, open and closed, where the likelihood may have several peaks."""
    size = int(rng.integers(2, 12))
    delta = np.sort(rng.choice(np.arange(0, 40, 0.5), size, replace=False))
    width = np.where(rng.random(size) < 0.8, rng.choice([0.5, 1.0, 2.0], size), np.inf)
    exposure = np.exp(rng.uniform(0, 9, size))
    k = rng.uniform(0.02, 1.0)
    fills = rng.poisson(np.minimum(exposure * np.exp(rng.uniform(-7, 0) - k * delta), 1e5)).astype(float)
    return Raw(delta, exposure, fills, width)


@pytest.mark.parametrize("make", [random_raw, odd_cells], ids=["orders", "cells"])
def test_no_place_is_higher_than_the_peak(make):
    """Of the likelihood, and of the likelihood times prior; looked at over nine decades of k."""
    rng = np.random.default_rng(17)
    compared = 0
    while compared < 60:
        table = make(rng).table
        if table.total == 0:
            continue
        highest = likelihood_peak(table)
        found = None if isinstance(highest, Absent) else highest
        places = SHORT if table.cells else np.concatenate((-SHORT[::-1], [0.0], SHORT))
        seen = [table.at(k) for k in places]
        for peak, name in ((found, "log_likelihood"), (penalised_peak(table, found), "penalised_log_likelihood")):
            heights = [getattr(at, name) for at in seen]
            runs_to_zero = table.cells and heights[0] == max(heights)
            if peak is not None and not runs_to_zero:
                assert getattr(table.at(peak), name) >= max(heights) - 1e-7 * abs(max(heights)), name
                compared += 1


def test_one_peak_is_proven_where_there_is_one(monkeypatch):
    """The scan, which costs as much as all the rest, is for tables of which it cannot be proven."""
    scans = []
    scan = peaks._highest
    monkeypatch.setattr(peaks, "_highest", lambda *given: scans.append(1) or scan(*given))
    rng = np.random.default_rng(2)
    for _ in range(30):
        depth = rng.exponential(1 / rng.uniform(0.05, 1.5), 300)
        counts = np.bincount(np.floor(depth).clip(max=50).astype(int), minlength=51)
        score_peak(Raw.of(np.arange(51), rng.uniform(1e3, 2e3, 51), counts, [1.0] * 50 + [np.inf]).table)
    assert not scans
    two = Raw.of([0, 1, 3, 100], [1e3, 1e-9, 4e5, 1e14], [0, 50, 0, 0], [0.01, 8, 0.01, 0.01])
    score_peak(two.table)
    assert scans


def test_a_slope_that_only_falls_ends_at_the_least_k():
    """Cells whose fills lie deeper than uniform: there is no root above 0."""
    table = Raw.of([0, 1, 2], [10, 10, 10], [1, 2, 3], [1, 1, 1]).table
    assert falls_at(table, lambda at: (at.score, at.bend), 5.0) == table.least_k
    assert score_peak(table) is None


def test_far_starts_and_flat_slopes_reach_the_same_root():
    """A Newton step that leaves the known ends is not taken."""
    table = Raw.of([1, 2, 3, 5, 8], [1000] * 5, [62, 45, 38, 22, 9]).table
    roots = [falls_at(table, lambda at: (at.score, at.bend), start) for start in (-1e3, -5.0, 0.0, 40.0, 1e6)]
    blind = falls_at(table, lambda at: (at.score, 0.0), 3.0)
    assert roots == pytest.approx([score_peak(table)] * 5, rel=1e-12)
    assert blind == pytest.approx(roots[0], rel=1e-12)
    assert math.isfinite(blind)
