"""Windows that begin with a day share its sums by block: equal to their own events, wherever they end."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from mm.calibration.depth_counts import DepthCounts, DepthOptions
from small_tapes import book, events, tape, trade

BLOCK_US = 5
SWEEP = [book(0, 98, 100), trade(3, -1, 98, 3), trade(6, -1, 97, 3), trade(7, -1, 96, 3), book(8, 95, 97)]


@given(events(), st.integers(1, 150))
@example(SWEEP, 7)  # it begins in the block before, and goes on after the end
def test_sums_of_a_window_are_those_of_its_events(drawn, end_us):
    """A sweep that the end cuts counts with its prints before it, also in a block that the end does not cut."""
    marks = DepthCounts(tape(drawn, 0, 200), DepthOptions(block_s=BLOCK_US / 1e6))
    own = DepthCounts(tape(drawn, 0, 200), DepthOptions(block_s=BLOCK_US / 1e6)).tallies(0, end_us)
    shared = marks.tallies(0, end_us, shared=True)
    for side in (1, -1):
        grid = marks.grid_of(own)
        for of_own, of_shared in zip(grid.cells(own[side], 30), grid.cells(shared[side], 30), strict=True):
            assert np.array_equal(of_own, of_shared)
