"""The kernel of cells against a plain count, price by price."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration._cells import CellColumns, block_cells
from mm.calibration.depth_counts import CELLS, DistanceGrid
from mm.calibration.reference import CLOSED

BLOCKS = 3
REACH = (0.0, 1.0, 6.5, float(CELLS), 400.0)  # the last two have cells that widen
INTS = np.int64


def plain(grid, stood, swept):
    """Each column price by price: µs in which its prices were exposed, over their number; sweeps that ended in it."""
    exposure, fills = np.zeros((BLOCKS, grid.columns)), np.zeros((BLOCKS, grid.columns))
    for column in range(grid.columns):
        near = int(grid.near[column])
        if near > grid.last:
            continue
        prices = (
            [near] if grid.open[column] else range(near, near + int(grid.width[column]) * grid.per_tick, grid.per_tick)
        )
        far = np.inf if grid.open[column] else prices[-1]
        for touch, block, us in stood:
            apart = [(price - touch) % grid.per_tick == 0 and price >= touch for price in prices]
            if CLOSED < touch <= grid.last:
                exposure[block, column] += us * sum(apart) / len(prices)
        for touch, depth, block, count in swept:
            same = (depth - near) % grid.per_tick == 0
            if CLOSED < touch <= grid.last and depth >= touch and same and near <= depth <= far:
                fills[block, column] += count
    return exposure, fills


distance = st.one_of(st.just(CLOSED), st.integers(0, 30), st.integers(0, 1000))
block = st.integers(0, BLOCKS - 1)


@given(
    st.sampled_from(REACH),
    st.sampled_from((1, 2, 8)),
    st.lists(st.tuples(distance, block, st.integers(1, 10**9)), max_size=8),
    st.lists(st.tuples(distance, distance, block, st.sampled_from((1, 3, -1))), max_size=8),
)
def test_cells_are_those_of_a_count_by_price(reach, per_tick, stood, swept):
    """Exposure is the mean over the prices of a cell, sweeps count where they end; open cells from where they begin."""
    grid = DistanceGrid.of(reach, per_tick)
    columns = (tuple(np.array(rows, INTS).reshape(-1, width).T.copy()) for rows, width in ((stood, 3), (swept, 4)))
    exposure, fills = block_cells(grid.lookup, *columns, BLOCKS)
    slow_exposure, slow_fills = plain(grid, stood, swept)
    assert exposure == pytest.approx(slow_exposure, rel=1e-12, abs=1e-6)
    assert (fills == slow_fills).all()


def test_columns_of_unequal_length_and_blocks_beyond_are_refused():
    columns, none = CellColumns(np.arange(3), 2, 4), np.zeros(0, INTS)
    one, two = np.ones(1, INTS), np.ones(2, INTS)
    with pytest.raises(ValueError, match="where the touch stood"):
        block_cells(columns, (one, two, one), (none,) * 4, 3)
    with pytest.raises(ValueError, match="of the sweeps"):
        block_cells(columns, (none,) * 3, (one, one, two, one), 3)
    for stood, swept in (((one, 3 * one, one), (none,) * 4), ((none,) * 3, (one, one, -one, one))):
        with pytest.raises(ValueError, match=r"block (3|-1) of 3"):
            block_cells(columns, stood, swept, 3)
