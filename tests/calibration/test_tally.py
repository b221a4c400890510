"""Tallies of windows and their cells, compared with plain counts per price; shared sums with events alone."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm.calibration.depth_counts import DepthCounts, DepthOptions, both_sides, points_of
from mm.calibration.reference import CLOSED
from mm.calibration.sweeps import HitRule
from mm.calibration.tally import CELLS, DistanceGrid, Tally, reach_of
from small_tapes import book, tape, trade

S = 1_000_000
HOUR = 3600 * S
RULES = (HitRule(), HitRule("strict"), HitRule(order_e8=200_000, queue_ahead=0.5), HitRule(grouped=False))
BLOCKS = 3
REACH = (0.0, 1.0, 6.5, float(CELLS), 400.0)  # the last two have widened cells
NONE = np.zeros(0, np.int64)


def tally_of(stood=(), swept=()):
    """Return a tally of rows (touch, block, µs) and (touch, depth, block, count)."""
    columns = (np.array(rows, np.int64).reshape(-1, width).T for rows, width in ((stood, 3), (swept, 4)))
    return Tally(*(column for table in columns for column in table))


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
times = st.lists(st.tuples(distance, block, st.integers(1, 10**9)), max_size=8)
depths = st.lists(st.tuples(distance, distance, block, st.sampled_from((1, 3))), max_size=8)


@example(0.0, 2, [], [(0, 1, 0, 1)])  # no cell begins at the fractional tick where the sweep ends
@given(st.sampled_from(REACH), st.sampled_from((1, 2, 8)), times, depths)
def test_cells_equal_plain_count_per_price(reach, per_tick, stood, swept):
    """Exposure is the mean over the prices of a cell, sweeps count where they end; open cells from their start."""
    grid, tally = DistanceGrid.of(reach, per_tick), tally_of(stood, swept)
    slow_exposure, slow_fills = plain(grid, stood, swept)
    for one in (tally, tally.summed(), Tally.joined([tally_of(stood), tally_of((), swept)])):
        exposure, fills = grid.cells(one, BLOCKS)
        assert exposure == pytest.approx(slow_exposure, rel=1e-12, abs=1e-6)
        assert (fills == slow_fills).all()


@given(st.sampled_from(REACH), times, depths)
def test_points_are_the_exposed_cells_in_order(reach, stood, swept):
    """By side, block and column; both sides together have no sweeps where a side has no time."""
    grid = DistanceGrid.of(reach, 2)
    cells = {1: grid.cells(tally_of(stood, swept), BLOCKS), -1: grid.cells(tally_of(swept=swept), BLOCKS)}
    exposure, fills = cells[1]
    rows = [
        (grid.near[column] / 2, grid.width[column], exposure[at, column] / S, fills[at, column], 1, at)
        for at in range(BLOCKS)
        for column in range(grid.columns)
        if exposure[at, column]
    ]
    assert list(zip(*(column.tolist() for column in points_of(grid, cells).columns), strict=True)) == rows
    together = both_sides(cells)
    assert together[0].tolist() == (exposure / S).tolist()
    assert together[1].tolist() == np.where(exposure > 0, fills, 0).tolist()


def test_rows_of_equal_keys_are_summed_in_the_order_of_blocks():
    """Sweeps that hit nothing are dropped; the rows before a block are those of earlier ones."""
    summed = tally_of(
        [(4, 1, 5), (2, 0, 1), (4, 1, 7)], [(4, 3, 0, 1), (2, 9, 1, 1), (2, 9, 1, 2), (1, 8, 0, 1)]
    ).summed()
    assert (summed.stood.tolist(), summed.us.tolist()) == ([2, 4], [1, 12])
    assert (summed.touch.tolist(), summed.depth.tolist(), summed.count.tolist()) == ([1, 2], [8, 9], [1, 3])
    assert (summed.before(1).us.tolist(), summed.before(1).depth.tolist()) == ([1], [8])


@given(depths, depths, st.sampled_from((1, 2, 8)), st.booleans())
def test_reach_equals_numpy_quantile(one, two, per_tick, far):
    """Equal to numpy for counted and for sorted distances; five ticks without a hit."""
    two = [*two, (1 << 20, 1 << 20, 0, 1)] if far else two
    expanded = [(touch, depth) for touch, depth, _, count in one + two if depth >= touch > CLOSED for _ in range(count)]
    reach = reach_of([tally_of(swept=one), tally_of(swept=two)], per_tick)
    if not expanded:
        assert reach == 5.0
        return
    touch, depth = np.array(expanded).T
    expected = max(np.quantile(depth, 0.999) / per_tick, np.quantile(touch, 0.5) / per_tick + 5)
    assert reach == pytest.approx(math.ceil(expected - 1e-9))


def busy_hour(seed):
    """Return an hour of books and sweeps; the prints of a sweep are up to a minute apart, so windows cut them."""
    rng = np.random.default_rng(seed)
    events, now, best, number = [book(0, 1000, 1002)], 0, 1000, 0
    while now < HOUR:
        now += int(rng.integers(1, 20 * S))
        number += 1
        if rng.random() < 0.5:
            best += int(rng.integers(-3, 4))
            events.append(
                book(now, best, best + int(rng.integers(1, 6)), *(int(lots) for lots in rng.integers(1, 9, 2)))
            )
            continue
        side, depth = (-1) ** number, 0
        for _ in range(int(rng.integers(1, 4))):
            events.append(trade(now, side, best + side * depth, number, int(rng.integers(1, 5))))
            depth, now = depth + int(rng.integers(0, 9)), now + int(rng.integers(0, 30 * S))
    return [event for event in events if event[1] < HOUR]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from(RULES),
    st.sampled_from(("mid", "best", "micro")),
    st.integers(-1, HOUR),
    st.data(),
)
def test_shared_sums_equal_events_of_window(seed, rule, reference, end_us, data):
    """The end may cut blocks and sweeps, and lie on the border of a block; nothing after it is used."""
    marks = DepthCounts(tape(busy_hour(seed), 0, HOUR), DepthOptions(reference, rule))
    end_us = data.draw(st.sampled_from((end_us, end_us // (300 * S) * 300 * S)))
    shared, plain = marks.tallies(0, end_us, shared=True), marks._direct(0, max(end_us, 0))
    grid, blocks = DistanceGrid.of(9, marks.path.per_tick), marks.blocks(0, end_us)
    for side, tally in plain.items():
        for one, other in zip(grid.cells(shared[side], blocks), grid.cells(tally, blocks), strict=True):
            assert np.array_equal(one, other)
    assert reach_of(list(shared.values()), 2) == reach_of(list(plain.values()), 2)
