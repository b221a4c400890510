"""Kernels of cells and reach, compared with plain counts per price and per hit."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm.calibration._cells import (
    BlockSums,
    CellColumns,
    Tally,
    add_seconds,
    block_cells,
    cell_rows,
    ends_by_block,
    reach_steps,
    rows_before,
    touch_times,
)
from mm.calibration.block_sums import reach_of
from mm.calibration.depth_counts import CELLS, DistanceGrid
from mm.calibration.points import group
from mm.calibration.reference import CLOSED

BLOCKS = 3
REACH = (0.0, 1.0, 6.5, float(CELLS), 400.0)  # the last two have widened cells
INTS = np.int64


def plain(grid, stood, swept):
    """Count per price: mean exposed µs over the prices of each column, and sweeps that ended in it."""
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


@example(0.0, 2, [], [(0, 1, 0, 1)])  # no cell begins at the fractional tick where the sweep ends
@given(
    st.sampled_from(REACH),
    st.sampled_from((1, 2, 8)),
    st.lists(st.tuples(distance, block, st.integers(1, 10**9)), max_size=8),
    st.lists(st.tuples(distance, distance, block, st.sampled_from((1, 3, -1))), max_size=8),
)
def test_block_cells_equal_plain_count_per_price(reach, per_tick, stood, swept):
    """Exposure is the mean over the prices of a cell, sweeps count where they end; open cells from their start."""
    grid = DistanceGrid.of(reach, per_tick)
    columns = (tuple(np.array(rows, INTS).reshape(-1, width).T.copy()) for rows, width in ((stood, 3), (swept, 4)))
    exposure, fills = block_cells(grid.lookup, [Tally(*columns)], BLOCKS)
    slow_exposure, slow_fills = plain(grid, stood, swept)
    assert exposure == pytest.approx(slow_exposure, rel=1e-12, abs=1e-6)
    assert (fills == slow_fills).all()


@given(
    st.sampled_from(REACH),
    st.lists(st.tuples(distance, block, st.integers(1, 10**9)), max_size=8),
    st.lists(st.tuples(distance, distance, block, st.sampled_from((1, 3))), max_size=8),
    st.integers(0, 8),
)
def test_rows_are_the_exposed_cells_in_order_and_parts_add_up(reach, stood, swept, cut):
    """By side, block and column; a window in two parts has the cells of one."""
    grid = DistanceGrid.of(reach, 2)
    stood, swept = (np.array(rows, INTS).reshape(-1, width).T for rows, width in ((stood, 3), (swept, 4)))
    parts = [
        Tally(tuple(stood[:, part].copy()), tuple(swept[:, part].copy()))
        for part in (slice(None, cut), slice(cut, None))
    ]
    whole = [Tally(tuple(stood.copy()), tuple(swept.copy()))]
    exposure, fills = block_cells(grid.lookup, whole, BLOCKS)
    assert all(
        (one == two).all() for one, two in zip((exposure, fills), block_cells(grid.lookup, parts, BLOCKS), strict=True)
    )
    rows = [
        (grid.near[column] / 2, grid.width[column], exposure[at, column] / 4, fills[at, column], side, at)
        for side in (1, -1)
        for at in range(BLOCKS)
        for column in range(grid.columns)
        if exposure[at, column]
    ]
    *found, (last, place), (held, into) = cell_rows(
        grid.lookup, [(sign, *block_cells(grid.lookup, one, BLOCKS)) for sign, one in ((1, whole), (-1, parts))], 4.0
    )
    assert list(zip(*(column.tolist() for column in found), strict=True)) == rows
    first, groups = group(found[0], found[1])
    assert (first.tolist(), groups.tolist()) == (last.tolist(), place.tolist())
    assert (held[into] == found[5]).all()
    assert held.tolist() == np.unique(found[5]).tolist()


hits = st.lists(st.tuples(distance, distance, st.integers(1, 4)), max_size=12)


@given(hits, hits, st.sampled_from((1, 2, 8)))
def test_reach_equals_numpy_quantile(one, two, per_tick):
    """Equal to numpy for counted and for sorted distances; five ticks without a hit."""
    swept = [Tally.of_sweeps(*np.array(rows, INTS).reshape(-1, 3).T.copy()) for rows in (one, two)]
    expanded = [(touch, depth) for touch, depth, count in one + two if depth >= touch > CLOSED for _ in range(count)]
    count, deep, near = reach_steps(swept, 0.9, 0.5, 1 << 17)
    assert count == len(expanded)
    deepest = max((depth for _, depth in expanded), default=0)
    assert (reach_steps(swept, 0.9, 0.5, deepest - 1) is None) == (deepest > 0)
    if not expanded:
        assert reach_of(swept, per_tick) == 5.0
        return
    touch, depth = np.array(expanded).T
    assert deep == pytest.approx(np.quantile(depth, 0.9), rel=1e-12)
    assert near == pytest.approx(np.quantile(touch, 0.5), rel=1e-12)
    expected = max(np.quantile(depth, 0.999) / per_tick, np.quantile(touch, 0.5) / per_tick + 5)
    assert reach_of(swept, per_tick) == pytest.approx(math.ceil(expected - 1e-9))
    beyond = [*swept, Tally.of_sweeps(*np.array([[1 << 20]] * 2 + [[1]]))]
    depths, touches = np.append(depth, 1 << 20), np.append(touch, 1 << 20)
    expected = max(np.quantile(depths, 0.999) / per_tick, np.quantile(touches, 0.5) / per_tick + 5)
    assert reach_of(beyond, per_tick) == pytest.approx(math.ceil(expected - 1e-9))


@given(
    st.integers(0, 9),
    st.sampled_from((60, 9_000)),
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 20)), min_size=1, max_size=8),
)
def test_incremental_reach_equals_separate_count(seed, deepest, windows):
    """The history of windows does not matter: added and removed hits equal the sweeps of the window."""
    rng = np.random.default_rng(seed)
    block, empty = np.sort(rng.integers(0, 20, 3000)), np.zeros(0, INTS)
    touch, depth = rng.integers(-1, 30, 3000), rng.integers(0, deepest, 3000)
    count = rng.integers(1, 4, 3000)
    sums = BlockSums(Tally((empty,) * 3, (touch, depth, block, count)), 0, 5, 20)
    for first, length in windows:
        blocks = min(length, 20 - first)
        selected = (first <= block) & (block < first + blocks)
        window_sweeps = Tally.of_sweeps(touch[selected], depth[selected], count[selected])
        rest = Tally.of_sweeps(*np.array([[3], [4], [1]]))
        for limit in (1 << 17, 50):
            found, plain = (
                reach_steps([one, rest], 0.999, 0.5, limit) for one in (sums.between(5 * first, blocks), window_sweeps)
            )
            assert found == plain


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 8)), min_size=1, max_size=8),
    st.integers(0, 30),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_stood_between_covers_whole_window(path, length, block_us, first_block):
    """Position and block per µs; an empty row is left out."""
    begin, end = 5, 5 + length
    us = np.sort(np.array([begin - 2, *(begin + 1 + after for after, _ in path[1:])]))
    rows = us < max(end, begin + 1)
    us, touch = us[rows], np.array([where for _, where in path])[rows]
    stood, block, lasted = touch_times(us, touch, (begin, end), block_us, first_block)
    assert (lasted > 0).all()
    now = np.arange(begin, end)
    assert np.repeat(stood, lasted).tolist() == touch[np.searchsorted(us, now, side="right") - 1].tolist()
    assert np.repeat(block, lasted).tolist() == (first_block + (now - begin) // block_us).tolist()


def test_seconds_by_block_and_state_are_sums_of_durations():
    """Rows without a state are left out; sums begin with what is there."""
    state, block, us = (
        np.array(column, INTS) for column in ((0, 1, -1, 1, 0), (0, 0, 0, 1, 1), (1, 2, 4, 8_000_000, 16))
    )
    seconds = np.full((2, 2), 0.5)
    add_seconds((state, block, us), seconds)
    assert seconds.tolist() == [[0.5 + 1e-6, 0.5 + 2e-6], [0.5 + 16e-6, 8.5]]


def test_unequal_columns_and_invalid_blocks_are_rejected():
    columns, empty = CellColumns(np.arange(3), 2, 4), np.zeros(0, INTS)
    one, two = np.ones(1, INTS), np.ones(2, INTS)
    with pytest.raises(ValueError, match="not a power of two"):
        CellColumns(np.arange(3), 3, 4)
    with pytest.raises(ValueError, match="sweep columns"):
        Tally.of_sweeps(one, two, one)
    with pytest.raises(ValueError, match="touch columns"):
        touch_times(one, two, (0, 1), 5, 0)
    with pytest.raises(ValueError, match="sweep columns"):
        ends_by_block((one, one, two), one, 0, 5, np.zeros((1, 2, 1)))
    with pytest.raises(ValueError, match="touch columns"):
        Tally((one, two, one), (empty,) * 4)
    with pytest.raises(ValueError, match="sweep columns"):
        Tally((empty,) * 3, (one, one, two, one))
    for stood, swept in (((one, 3 * one, one), (empty,) * 4), ((empty,) * 3, (one, one, -one, one))):
        with pytest.raises(ValueError, match=r"block (3|-1) of 3"):
            block_cells(columns, [Tally(stood, swept)], 3)
    with pytest.raises(ValueError, match="2 blocks from 2 of 3"):
        BlockSums(Tally((empty,) * 3, (empty,) * 4), 0, 5, 3).between(10, 2)


@given(st.lists(st.integers(0, 30), max_size=20), st.lists(st.integers(-2, 33), max_size=20))
def test_rows_before_equals_searchsorted(begins, events):
    """Also for events that are not sorted."""
    begins, events = np.array(sorted(begins), INTS), np.array(events, INTS)
    assert rows_before(begins, events).tolist() == (np.searchsorted(begins, events) - 1).tolist()
