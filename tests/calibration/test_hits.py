"""Kernels of moves after sweeps and of clocks, compared with plain counts per hit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration._hits import SettledRows, TouchRows, expected_between_hits, mean_moves, probe_moves

BLOCKS = 3
INTS = np.int64
block = st.integers(0, BLOCKS - 1)


@given(
    st.lists(st.tuples(st.integers(-1, 12), st.integers(0, 20), st.integers(-9, 9)), max_size=10),
    st.sampled_from((1, 2, 8)),
    st.sampled_from((1, -1)),
)
def test_moves_are_summed_at_every_distance_hit(rows, per_tick, sign):
    """A sweep hits every tick from its touch to its depth, up to the last distance."""
    last, rows = 10, [(touch, touch + deep, move / 2) for touch, deep, move in rows]
    sums = np.zeros((2, last + per_tick + 1))
    columns = [np.array([row[at] for row in rows], kind) for at, kind in enumerate((INTS, INTS, float))]
    SettledRows(np.arange(len(rows)), *columns, per_tick).each(sums, last, sign)
    for place in range(last + 1):
        found = sums[:, place % per_tick : place + 1 : per_tick].sum(axis=1)
        hit = [move for touch, depth, move in rows if 0 <= touch <= place <= depth and (place - touch) % per_tick == 0]
        assert found.tolist() == [sign * len(hit), sign * sum(hit)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(0, 20), st.integers(-9, 9)), max_size=30),
    st.sampled_from((1, 2)),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from((7, 10))), min_size=1, max_size=6),
)
def test_means_of_part_use_only_its_sweeps(rows, per_tick, parts):
    """In any order of parts and distances, though sums are updated incrementally."""
    rows = [(us, touch, touch + deep, move / 2) for us, touch, deep, move in sorted(rows)]
    columns = [np.array([row[at] for row in rows], kind) for at, kind in enumerate((INTS, INTS, INTS, float))]
    settled = SettledRows(*columns, per_tick)
    for begin, end, last in parts:
        sums = np.zeros((2, last + per_tick + 1))
        settled.part(sums, begin, end, last)
        expected = []
        for place in range(last + 1):
            hit = [
                move
                for us, touch, depth, move in rows
                if begin <= us < end and touch <= place <= depth and (place - touch) % per_tick == 0
            ]
            if len(hit) >= 2:
                expected.append((place / per_tick, sum(hit) / len(hit)))
        assert mean_moves(sums, np.arange(last + 5), last, per_tick, 2) == tuple(expected)


@given(
    st.sampled_from((1, 2, 8)),
    st.sets(st.integers(0, 40), min_size=1),
    st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 60), block, st.sampled_from((0.5, -1.0, 2.5, np.nan)))),
)
def test_probe_moves_equal_evaluation_of_each_probe(per_tick, places, rows):
    """A probe whole ticks from the touch is hit by deeper sweeps; unknown moves do not count."""
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
def test_hit_waits_equal_integrated_rate(path, arrivals):
    """µs by µs: the rate of the current touch, zero without a book or beyond the last distance."""
    A, k, last, begin, end = 0.3, 0.4, 6, 20, 90
    us = np.sort(np.array([begin - 5, *(20 + at for at, _ in path[1:])]))
    touch = np.array([where for _, where in path])
    rate = [0.0] * (end + 1)
    for now in range(begin, end):
        current = touch[np.searchsorted(us, now, side="right") - 1]
        rate[now] = A * math.exp(-k * current) if 0 <= current <= last else 0.0
    arrivals = np.array(sorted(min(max(one, begin), end - 1) for one in arrivals), INTS)
    between, after = expected_between_hits((us, touch), (begin, end), (A, k), last, arrivals)
    at, total = np.cumsum(between), between.sum() + after
    assert at == pytest.approx([sum(rate[begin:one]) for one in arrivals.tolist()], abs=1e-12)
    assert total == pytest.approx(sum(rate[begin:end]), abs=1e-12)


def test_columns_of_unequal_length_are_rejected():
    one, two, empty = np.ones(1, INTS), np.ones(2, INTS), np.zeros(0, INTS)
    with pytest.raises(ValueError, match="move columns"):
        SettledRows(one, one, two, np.ones(1), 2)
    with pytest.raises(ValueError, match="too few distances"):
        SettledRows(one, one, one, np.ones(1), 2).each(np.zeros((2, 6)), 4, 1)
    with pytest.raises(ValueError, match="path columns"):
        expected_between_hits((one, two), (0, 1), (1.0, 1.0), 9, empty)
    with pytest.raises(ValueError, match="move columns"):
        probe_moves((one, one, one), np.ones(2), one, 1, 1)
    with pytest.raises(ValueError, match="day columns"):
        TouchRows(one, two, empty, empty, (empty, empty, empty))
