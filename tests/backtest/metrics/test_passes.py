"""The passes of a summary against plain loops over the same numbers."""

import math
from collections import deque

import numpy as np
import pytest

from mm.backtest.metrics import _passes

SEEDS = range(20)


def random_fills(random, count):
    """Return the fills table of a run of chance; those without a mid among them."""
    fills = np.zeros((count, 9), np.int64)
    fills[:, 0] = np.cumsum(random.integers(0, 5, count))
    fills[:, 2] = random.choice([-1, 1], count)
    fills[:, 3] = random.integers(90, 110, count)
    fills[:, 4] = random.integers(1, 8, count)
    fills[:, 7] = np.where(random.random(count) < 0.1, 0, random.integers(180, 220, count))
    return fills


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mid_is_that_of_the_last_row_at_or_before(seed):
    """Also where instants fall back, and before the first row."""
    random = np.random.default_rng(seed)
    mids = np.stack((np.cumsum(random.integers(1, 4, 30)), random.integers(0, 9, 30)), axis=1)
    us = random.integers(-2, 70, 50)
    wanted = [([mid2 for since, mid2 in mids.tolist() if since <= at] or [0])[-1] for at in us.tolist()]
    assert _passes.mid2_at(mids, us).tolist() == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_sums_of_blocks_and_groups_are_those_of_their_fills(seed):
    """A fill counts in each of its groups; one that is not known in none."""
    random = np.random.default_rng(seed)
    fills = random_fills(random, 60)
    moved, known = random.integers(-9, 9, 60), random.random(60) < 0.8
    places = np.stack((fills[:, 0] // 20, np.zeros(60, np.int64), random.integers(-1, 4, 60)), axis=1)
    blocks = int(places[:, 0].max()) + 1
    count, lots, ours, earned = np.zeros(4), np.zeros((blocks, 4)), np.zeros((blocks, 4)), np.zeros(4)
    for fill, far, place in zip(fills[known], moved[known], places[known], strict=True):
        for group in place[1:][place[1:] >= 0]:
            count[group] += 1
            lots[place[0], group] += fill[4]
            ours[place[0], group] += fill[4] * fill[2] * far
            earned[group] += fill[4] * fill[2] * (fill[7] - 2 * fill[3])
    found = _passes.block_sums(fills, moved, known.view(np.uint8), places, blocks, 4)
    for one, wanted in zip(found, (count, lots, ours, earned), strict=True):
        np.testing.assert_array_equal(one, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_lots_are_matched_in_the_order_in_which_they_came(seed):
    """Two queues, whose heads meet while both have lots."""
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
    assert list(zip(*_passes.first_in_first_out(fills).tolist(), strict=True)) == pairs


@pytest.mark.parametrize("seed", SEEDS)
def test_a_grid_reads_the_last_row_at_or_before_each_of_its_instants(seed):
    """From the first row's instant on, as long as there are rows."""
    random = np.random.default_rng(seed)
    us, values = 7 + np.cumsum(random.integers(0, 30, 40)), random.integers(-9, 9, 40)
    ends = range(int(us[0]), int(us[-1]) + 1, 10)
    wanted = [[value for at, value in zip(us, values, strict=True) if at <= end][-1] for end in ends]
    assert _passes.on_grid(us, values, 10).tolist() == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_edges_count_what_is_at_most_them(seed):
    """An edge belongs to what is below it; the last count is of what is above all."""
    random = np.random.default_rng(seed)
    values, edges = random.integers(0, 40, 100), np.array([0, 3, 10, 11, 30])
    below = [sum(value <= edge for value in values) for edge in edges]
    wanted = np.diff([0, *below, len(values)]).tolist()
    assert _passes.edge_counts(values, edges).tolist() == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_ratios_of_draws_are_those_of_copied_blocks(seed):
    """Mean over deviation of each draw, and its error from the influence of its blocks; 0 without variation."""
    random = np.random.default_rng(seed)
    values, block, last_block = random.normal(size=30), 4, 2
    values[:8] = values[0]
    first = random.integers(0, 30, (50, 8)).astype(np.int32)
    first[0] = 0
    wrapped, centre, periods = np.tile(values, 2), 0.3, 30

    def sums(length):
        blocks = np.array([wrapped[at : at + length] for at in range(30)])
        return np.stack((blocks.sum(axis=1), (blocks**2).sum(axis=1)), axis=1)

    ratios, errors = _passes.draw_ratios(first, sums(block), sums(last_block), block, last_block, centre)
    for starts, ratio, error in zip(first, ratios, errors, strict=True):
        parts = [wrapped[at : at + block] for at in starts[:-1]] + [wrapped[starts[-1] : starts[-1] + last_block]]
        drawn = np.concatenate(parts)
        if drawn.std() < 1e-6:
            assert error == 0
            continue
        scaled = (drawn - drawn.mean()) / drawn.std()
        wanted = (centre + drawn.mean()) / drawn.std()
        influence = scaled - wanted / 2 * (scaled**2 - 1)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        spread = sum(part.sum() ** 2 for part in np.split(influence, ends))
        assert ratio == pytest.approx(wanted, rel=1e-9)
        assert error == pytest.approx(math.sqrt(spread) / periods, rel=1e-9)
