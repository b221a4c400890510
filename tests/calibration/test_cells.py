"""The kernels of cells, reaches, moves and clocks against plain counts, price by price and hit by hit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration._cells import (
    CellColumns,
    add_moves,
    block_cells,
    cell_rows,
    ends_by_block,
    hit_waits,
    probe_moves,
    reach_steps,
    rows_before,
    stood_between,
)
from mm.calibration.depth_counts import CELLS, DistanceGrid, reach_of
from mm.calibration.points import group
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
    exposure, fills = block_cells(grid.lookup, [tuple(columns)], BLOCKS)
    slow_exposure, slow_fills = plain(grid, stood, swept)
    assert exposure == pytest.approx(slow_exposure, rel=1e-12, abs=1e-6)
    assert (fills == slow_fills).all()


@given(
    st.sampled_from(REACH),
    st.lists(st.tuples(distance, block, st.integers(1, 10**9)), max_size=8),
    st.lists(st.tuples(distance, distance, block, st.sampled_from((1, 3, -1))), max_size=8),
    st.integers(0, 8),
)
def test_rows_are_the_exposed_cells_in_order_and_parts_add_up(reach, stood, swept, cut):
    """By side, block and column; a window in two parts has the cells of one."""
    grid = DistanceGrid.of(reach, 2)
    stood, swept = (np.array(rows, INTS).reshape(-1, width).T for rows, width in ((stood, 3), (swept, 4)))
    parts = [
        (tuple(stood[:, part].copy()), tuple(swept[:, part].copy())) for part in (slice(None, cut), slice(cut, None))
    ]
    whole = [(tuple(stood.copy()), tuple(swept.copy()))]
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
    *found, (last, place) = cell_rows(
        grid.lookup, [(sign, *block_cells(grid.lookup, one, BLOCKS)) for sign, one in ((1, whole), (-1, parts))], 4.0
    )
    assert list(zip(*(column.tolist() for column in found), strict=True)) == rows
    first, groups = group(found[0], found[1])
    assert (first.tolist(), groups.tolist()) == (last.tolist(), place.tolist())


hits = st.lists(st.tuples(distance, distance, st.integers(1, 4)), max_size=12)


@given(hits, hits, st.sampled_from((1, 2, 8)))
def test_a_reach_is_the_quantile_of_each_sweep_written_out(one, two, per_tick):
    """As numpy has it, whether places are counted or sorted; without a hit there are five ticks."""
    swept = [tuple(np.array(rows, INTS).reshape(-1, 3).T.copy()) for rows in (one, two)]
    hit = [(touch, depth) for touch, depth, count in one + two if depth >= touch > CLOSED for _ in range(count)]
    count, deep, near = reach_steps(swept, 0.9, 0.5, 1 << 17)
    assert count == len(hit)
    deepest = max((depth for _, depth in hit), default=0)
    assert (reach_steps(swept, 0.9, 0.5, deepest - 1) is None) == (deepest > 0)
    if not hit:
        assert reach_of(swept, per_tick) == 5.0
        return
    touch, depth = np.array(hit).T
    assert deep == pytest.approx(np.quantile(depth, 0.9), rel=1e-12)
    assert near == pytest.approx(np.quantile(touch, 0.5), rel=1e-12)
    far = max(np.quantile(depth, 0.999) / per_tick, np.quantile(touch, 0.5) / per_tick + 5)
    assert reach_of(swept, per_tick) == pytest.approx(math.ceil(far - 1e-9))
    beyond = [*swept, tuple(np.array([[1 << 20]] * 2 + [[1]]))]
    depths, touches = np.append(depth, 1 << 20), np.append(touch, 1 << 20)
    far = max(np.quantile(depths, 0.999) / per_tick, np.quantile(touches, 0.5) / per_tick + 5)
    assert reach_of(beyond, per_tick) == pytest.approx(math.ceil(far - 1e-9))


@given(
    st.lists(st.tuples(st.integers(-1, 12), st.integers(0, 20), st.integers(-9, 9)), max_size=10),
    st.sampled_from((1, 2, 8)),
    st.sampled_from((1, -1)),
)
def test_moves_add_up_at_every_place_that_a_sweep_hits(rows, per_tick, sign):
    """A sweep hits from its touch on every tick up to its depth, as far as places count."""
    last, rows = 10, [(touch, touch + deep, move / 2) for touch, deep, move in rows]
    sums = np.zeros((2, last + per_tick + 1))
    columns = [np.array([row[at] for row in rows], kind) for at, kind in enumerate((INTS, INTS, float))]
    add_moves(tuple(columns), sums, last, per_tick, sign)
    for place in range(last + 1):
        found = sums[:, place % per_tick : place + 1 : per_tick].sum(axis=1)
        hit = [move for touch, depth, move in rows if 0 <= touch <= place <= depth and (place - touch) % per_tick == 0]
        assert found.tolist() == [sign * len(hit), sign * sum(hit)]


@given(
    st.sampled_from((1, 2, 8)),
    st.sets(st.integers(0, 40), min_size=1),
    st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 60), block, st.sampled_from((0.5, -1.0, 2.5, np.nan)))),
)
def test_moves_of_probes_are_those_of_a_look_at_each(per_tick, places, rows):
    """A probe whole ticks from the touch is hit by what reaches it; a move that is not known does not count."""
    places = np.array(sorted(places))
    *swept, move = (np.array([row[one] for row in rows], (INTS, INTS, INTS, float)[one]) for one in range(4))
    counts, means, off = probe_moves(tuple(swept), move, places, per_tick, BLOCKS)
    for at, place in enumerate(places.tolist()):
        hit = [
            (into, gone)
            for touch, depth, into, gone in rows
            if touch <= place <= depth and (place - touch) % per_tick == 0 and not np.isnan(gone)
        ]
        assert counts[at].tolist() == [sum(into == number for into, _ in hit) for number in range(BLOCKS)]
        if hit:
            mean = sum(gone for _, gone in hit) / len(hit)
            assert means[at] == mean
            apart = [sum(gone - mean for into, gone in hit if into == number) for number in range(BLOCKS)]
            assert off[at] == pytest.approx(apart, abs=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(-1, 8)), min_size=1, max_size=8), st.lists(st.integers(0, 99))
)
def test_a_clock_counts_the_hits_expected_until_each_one(path, came):
    """µs by µs: the rate of the current touch, none without a book or beyond the last distance."""
    A, k, last, begin, end = 0.3, 0.4, 6, 20, 90
    us = np.sort(np.array([begin - 5, *(20 + at for at, _ in path[1:])]))
    touch = np.array([where for _, where in path])
    rate = [0.0] * (end + 1)
    for now in range(begin, end):
        stands = touch[np.searchsorted(us, now, side="right") - 1]
        rate[now] = A * math.exp(-k * stands) if 0 <= stands <= last else 0.0
    came = np.array(sorted(min(max(one, begin), end - 1) for one in came), INTS)
    between, after = hit_waits((us, touch), (begin, end), (A, k), last, came)
    at, total = np.cumsum(between), between.sum() + after
    assert at == pytest.approx([sum(rate[begin:one]) for one in came.tolist()], abs=1e-12)
    assert total == pytest.approx(sum(rate[begin:end]), abs=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 8)), min_size=1, max_size=8),
    st.integers(0, 30),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_where_the_touch_stood_covers_its_window(path, length, block_us, first_block):
    """µs by µs: its position and its block; a row that ends when it begins is left out."""
    begin, end = 5, 5 + length
    us = np.sort(np.array([begin - 2, *(begin + 1 + after for after, _ in path[1:])]))
    rows = us < max(end, begin + 1)
    us, touch = us[rows], np.array([where for _, where in path])[rows]
    stood, block, lasted = stood_between(us, touch, (begin, end), block_us, first_block)
    assert (lasted > 0).all()
    now = np.arange(begin, end)
    assert np.repeat(stood, lasted).tolist() == touch[np.searchsorted(us, now, side="right") - 1].tolist()
    assert np.repeat(block, lasted).tolist() == (first_block + (now - begin) // block_us).tolist()


def test_columns_of_unequal_length_and_blocks_beyond_are_refused():
    columns, none = CellColumns(np.arange(3), 2, 4), np.zeros(0, INTS)
    one, two = np.ones(1, INTS), np.ones(2, INTS)
    with pytest.raises(ValueError, match="not a power of two"):
        CellColumns(np.arange(3), 3, 4)
    with pytest.raises(ValueError, match="of the sweeps"):
        reach_steps([(one, two, one)], 0.5, 0.5, 9)
    with pytest.raises(ValueError, match="of the moves"):
        add_moves((one, one, np.ones(1)), np.zeros((2, 6)), 4, 2, 1)
    with pytest.raises(ValueError, match="of the path"):
        hit_waits((one, two), (0, 1), (1.0, 1.0), 9, none)
    with pytest.raises(ValueError, match="of the moves"):
        probe_moves((one, one, one), np.ones(2), one, 1, 1)
    with pytest.raises(ValueError, match="where the touch stood"):
        stood_between(one, two, (0, 1), 5, 0)
    with pytest.raises(ValueError, match="of the sweeps"):
        ends_by_block((one, one, two), one, 0, 5, np.zeros((1, 2, 1)))
    with pytest.raises(ValueError, match="where the touch stood"):
        block_cells(columns, [((one, two, one), (none,) * 4)], 3)
    with pytest.raises(ValueError, match="of the sweeps"):
        block_cells(columns, [((none,) * 3, (one, one, two, one))], 3)
    for stood, swept in (((one, 3 * one, one), (none,) * 4), ((none,) * 3, (one, one, -one, one))):
        with pytest.raises(ValueError, match=r"block (3|-1) of 3"):
            block_cells(columns, [(stood, swept)], 3)


@given(st.lists(st.integers(0, 30), max_size=20), st.lists(st.integers(-2, 33), max_size=20))
def test_rows_before_events_are_those_of_a_search(begins, events):
    """Also of events that do not rise."""
    begins, events = np.array(sorted(begins), INTS), np.array(events, INTS)
    assert rows_before(begins, events).tolist() == (np.searchsorted(begins, events) - 1).tolist()
