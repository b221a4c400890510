"""The passes over state rows and fills against plain loops over the same numbers; sums against numpy."""

from collections import deque
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from mm.backtest.metrics import _money
from mm.backtest.metrics._money import first_in_first_out
from mm.tape import columns

SEEDS = range(20)
LENGTHS = (1, 2, 3, 8, 9, 10, 17, 128, 129, 130, 137, 200, 1_000, 4_097, 30_001)


def random_rows(random, count, width):
    """Return random rows with rising times."""
    rows = random.integers(-(10**6), 10**6, (count, width))
    rows[:, 0] = 7 + np.cumsum(random.integers(0, 10**7, count))
    return rows


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_and_equity_equal_those_of_each_row(seed):
    """A mark is carried forward, and back to the rows before the first."""
    random = np.random.default_rng(seed)
    state = random_rows(random, 50, 6)
    state[:, 4] = np.where(random.random(50) < 0.5, 0, random.integers(1, 10**6, 50))
    us, held, marks2, valid, equity, sizes = _money.columns(state, 3, 7, 10**9)
    assert (us.tolist(), held.tolist(), valid.tolist()) == (*state[:, :2].T.tolist(), (state[:, 4] > 0).tolist())
    mark = next((mid for mid in state[:, 4].tolist() if mid), 0)
    for row, found in zip(state.tolist(), marks2.tolist(), strict=True):
        mark = row[4] or mark
        assert found == mark
    assert list(sizes) == [int(np.abs(one).max()) for one in (state[:, 2], held, marks2, state[:, 3])]
    expected = [
        3 * (2 * cash + lots * mid) + 7 * (10**9 - fees)
        for (_, lots, cash, fees, _, _), mid in zip(state.tolist(), marks2.tolist(), strict=True)
    ]
    assert equity.tolist() == expected


def test_rows_are_released_in_pieces(monkeypatch):
    """A mark is carried from one piece to the next, and back over several pieces before the first."""
    rows = 1_000_000
    state = np.zeros((rows, 6), np.int64)
    state[:, 0] = np.arange(rows)
    state[440_000, 4], state[600_000, 4] = 7, -9
    released = []
    monkeypatch.setattr(columns, "release", lambda piece: released.append(len(piece)))
    _, _, marks2, valid, _, _ = _money.columns(state, 3, 7, 0)
    assert marks2.tolist() == [7] * 600_000 + [-9] * 400_000
    assert np.flatnonzero(valid).tolist() == [440_000]
    assert sum(released) == rows
    assert max(released) < rows / 4


@pytest.mark.parametrize("length", LENGTHS)
def test_held_sums_equal_numpy_bit_for_bit(length):
    """A summary does not depend on the implementation or the machine."""
    random = np.random.default_rng(length)
    rows = random_rows(random, length, 2)
    us, held = (np.ascontiguousarray(column) for column in rows.T)
    for target in (0, 12_345):
        time, away = np.diff(us).astype(float), (held[:-1] - target).astype(float)
        *sums, least, most = _money.held_sums(us, held, target)
        assert sums == [float((time * size).sum()) for size in (away, np.abs(away), away**2)]
        assert (least, most) == (held.min() - target, held.max() - target)


@pytest.mark.parametrize("length", LENGTHS)
def test_held_sums_are_nearly_exact(length):
    """Pairwise summation loses little."""
    rows = random_rows(np.random.default_rng(length), length, 2).tolist()
    us, held = (np.array(column) for column in zip(*rows, strict=True))
    found = _money.held_sums(us, held, 5)
    spans = [(after[0] - row[0], row[1] - 5) for row, after in pairwise(rows)]
    exact = [sum(time * size for time, size in spans), sum(time * abs(size) for time, size in spans)]
    exact.append(sum(time * size**2 for time, size in spans))
    assert found[:3] == pytest.approx(exact, rel=1e-12, abs=1e-3 * length)


def random_fills(random, count):
    """Return random fills, with the inventory after each."""
    fills = random_rows(random, count, 9)
    fills[:, 2] = random.choice([-1, 1], count)
    fills[:, 3], fills[:, 4] = random.integers(90, 110, count), random.integers(1, 8, count)
    fills[:, 8] = 5 + np.cumsum(fills[:, 2] * fills[:, 4])
    return fills


@pytest.mark.parametrize("seed", SEEDS)
def test_split_sums_equal_those_of_each_fill(seed):
    """Edges against the marks, moves of the mark times inventory, and fees."""
    random = np.random.default_rng(seed)
    fills, marks2 = random_fills(random, 40), random.integers(180, 220, 40)
    held, path = [5, *fills[:, 8].tolist()], [201, *marks2.tolist(), 195]
    spread = sum(
        side * lots * (mark - 2 * ticks)
        for (_, _, side, ticks, lots, *_), mark in zip(fills.tolist(), marks2.tolist(), strict=True)
    )
    moved = sum(lots * (after - before) for lots, (before, after) in zip(held, pairwise(path), strict=True))
    sums, sizes = _money.split_sums(fills, marks2, (201, 5), 195)
    assert sums == (spread, moved, int(fills[:, 5].sum()))
    columns = (np.array(path), fills[:, 3], np.array(held), fills[:, 4], fills[:, 5])
    assert list(sizes) == [int(np.abs(one).max()) for one in columns]


@pytest.mark.parametrize("seed", SEEDS)
def test_matched_sums_equal_the_moves_between_fills(seed):
    """Together with the sizes that decide whether 64 bits are enough."""
    fills = random_fills(np.random.default_rng(seed), 60)
    buy, sell, lots = first_in_first_out(fills)
    moves = fills[sell, 3] - fills[buy, 3]
    expected = (int((moves * lots).sum()), int(np.abs(moves).max()), int(lots.max()))
    assert _money.matched_sums(fills, buy, sell, lots) == expected
    assert _money.matched_sums(fills, *np.empty((3, 0), np.int64)) == (0, 0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_round_trips_equal_those_of_pairs_in_fractions(seed):
    """Pair by pair, for each closing fill."""
    fills = random_fills(np.random.default_rng(seed), 60)
    buy, sell, lots = first_in_first_out(fills)
    rows, trips = fills.tolist(), {}
    for bought, sold, size in zip(buy.tolist(), sell.tolist(), lots.tolist(), strict=True):
        fee = sum(Fraction(rows[one][5], 10**8 * rows[one][4]) for one in (bought, sold))
        gain = size * (Fraction(rows[sold][3] - rows[bought][3], 8) - fee)
        opened = size * rows[min(bought, sold)][0]
        before = trips.get(max(bought, sold), (0, 0, 0))
        trips[max(bought, sold)] = tuple(a + b for a, b in zip(before, (gain, opened, size), strict=True))
    gains, times = _money.round_trips(fills, buy, sell, lots, 0.125, 10**8)
    assert gains.tolist() == pytest.approx([float(gain) for gain, _, _ in trips.values()], rel=1e-9, abs=1e-12)
    ends = [rows[end][0] - Fraction(opened, size) for end, (_, opened, size) in trips.items()]
    assert times.tolist() == pytest.approx([float(held) for held in ends], rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_every_returns_the_last_row_at_or_before_each_step(seed):
    """Equal to bisection, with many rows in one step and steps without rows."""
    random = np.random.default_rng(seed)
    us = 7 + np.cumsum(random.integers(0, 40, 400) * random.choice([0, 1, 1, 1, 30], 400))
    for step in (1, 25, 1_000, 10**9):
        expected = np.searchsorted(us, np.arange(us[0], us[-1] + 1, step), side="right") - 1
        assert _money.rows_every(us, step).tolist() == expected.tolist()
        column = np.stack([us, us], axis=1)[:, 0]  # a strided column of a table, as in a page
        assert _money.rows_every(column, step).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_lots_are_matched_first_in_first_out(seed):
    """Two queues, whose heads are matched while both have lots."""
    fills = random_fills(np.random.default_rng(seed), 40)
    queues, pairs = (deque(), deque()), []
    for row, (side, lots) in enumerate(fills[:, [2, 4]].tolist()):
        queues[side < 0].extend([row] * lots)
    while all(queues):
        pair = (queues[0].popleft(), queues[1].popleft())
        if pairs and pairs[-1][:2] == pair:
            pairs[-1] = (*pair, pairs[-1][2] + 1)
        else:
            pairs.append((*pair, 1))
    assert list(zip(*first_in_first_out(fills).tolist(), strict=True)) == pairs
