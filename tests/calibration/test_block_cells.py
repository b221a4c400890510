"""Cells cached by block equal the cells of a full recount of each window."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_block_sums import HOUR, RULES, S, busy_hour, prepared

from mm.calibration.depth_counts import DepthCounts, DepthOptions, DistanceGrid
from small_tapes import tape

BLOCK_US = 300 * S
WINDOWS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, HOUR), st.sampled_from((6, 9, 40))), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.sampled_from(RULES), st.sampled_from((0, 77 * S, 5)), WINDOWS)
def test_cached_cells_equal_full_recount(seed, rule, shift_us, windows):
    """Bit for bit, in any order of windows and grids, also where a border cuts a sweep of an earlier block."""
    cached, recounted = prepared(seed, DepthOptions(rule=rule))
    for block, length_us, reach in windows:
        grid, start_us = DistanceGrid.of(reach, cached.path.per_tick), shift_us + block * BLOCK_US
        found, expected = (counts.cells(start_us, start_us + length_us, grid) for counts in (cached, recounted))
        for first, second in zip(found, expected, strict=True):
            assert np.array_equal(first, second)


def test_widened_cells_equal_full_recount(monkeypatch):
    """Where a cell is a mean over its prices, the rows of a block are added in the same order."""
    monkeypatch.setattr("mm.calibration.depth_counts.CELLS", 4)
    cached, recounted = prepared(1, DepthOptions())
    grid = DistanceGrid.of(30, cached.path.per_tick)
    for minutes in (17, 44, 60):
        found, expected = (counts.cells(0, minutes * 60 * S, grid) for counts in (cached, recounted))
        assert all(np.array_equal(first, second) for first, second in zip(found, expected, strict=True))


@pytest.mark.parametrize("minutes", [(60, 33, 57), (42, 60, 33, 48)])
def test_shorter_window_does_not_change_longer_one(minutes):
    """The incomplete last block of the short window is not used as the whole block of the longer window."""
    cached, recounted = prepared(2, DepthOptions())
    grid = DistanceGrid.of(9, cached.path.per_tick)
    for length in minutes:
        found, expected = (counts.cells(0, length * 60 * S, grid) for counts in (cached, recounted))
        assert all(np.array_equal(first, second) for first, second in zip(found, expected, strict=True))


@pytest.mark.parametrize("windows", [6, 12])
def test_each_block_is_counted_once(windows):
    """Growing windows count only new blocks; measured in counted rows, not in time."""
    marks = DepthCounts(tape(busy_hour(2), 0, HOUR), DepthOptions())
    for _ in range(3):
        marks.points(0, HOUR)
    marks._cells.clear()
    grid = DistanceGrid.of(9, marks.path.per_tick)
    for number in range(1, windows + 1):
        marks.cells(0, number * HOUR // windows, grid)
    rows = sum(len(marks._by_block[side, 0].between(0, 12).us) for side in (1, -1))
    assert 0 < rows <= sum(block.counted for block in marks._cells.values()) <= rows + 2 * windows
