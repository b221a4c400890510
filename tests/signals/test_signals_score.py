"""Scores of signals: definition in plain Python, a market predicted by its queues, and an unpredictable one."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine_tapes import TEST
from mm import Tape
from mm.signals.compute import compute
from mm.signals.score import blocks_of, half_life_s, interval, move_of, rank_correlation, score

SECOND = 1_000_000


def walk(predictable, seconds=1200, seed=3):
    """Return a book of one level per side with four diffs per second; if predictable, the larger queue is joined."""
    rng, bid, lots = np.random.default_rng(seed), 1000, (5, 5)
    events = [(SECOND, "snapshot", [(bid, 5)], [(bid + 1, 5)])]
    for step in range(1, 4 * seconds):
        up = lots[0] > lots[1] if predictable and rng.random() < 0.8 else rng.random() < 0.5
        old, bid = bid, bid + (1 if up else -1)
        lots = tuple(int(one) for one in rng.integers(1, 30, 2))
        bids, asks = [(old, 0), (bid, lots[0])], [(old + 1, 0), (bid + 1, lots[1])]
        events.append((SECOND + step * SECOND // 4, "depth", bids, asks))
    return Tape.of(TEST, events)


def test_predictable_market_has_stable_positive_correlation():
    found = {one.horizon_s: one for one in score(walk(True), ["imbalance_1"], horizons_s=(0.1, 0.3, 10.0))}
    assert found[0.1].rho is None  # no diff within this horizon: the move is always 0
    near = found[0.3]
    assert near.rho > 0.5
    assert near.stable
    assert near.ci95[0] < near.rho < near.ci95[1]
    assert near.ci95[0] > 0.4
    assert abs(found[10.0].rho) < 0.5 * near.rho
    assert half_life_s(found.values()) == 10.0


def test_unpredictable_market_has_no_correlation():
    for one in score(walk(False), ["imbalance_1", "weighted_mid", "spread"], horizons_s=(0.3, 1.0)):
        if one.signal == "spread":
            assert one.rho is None  # constant
        else:
            assert -0.1 < one.ci95[0] < one.ci95[1] < 0.1
            assert abs(one.rho) < 0.06


def test_window_of_day_is_scored_by_its_own_rows():
    """The tape of a window begins at the previous snapshot; rows before the window do not count."""
    day = walk(True)
    begin = 600 * SECOND
    window = day.between(begin, day.end_us + 1)
    assert window.event_us[0] < begin
    (found,) = score(window, ["imbalance_1"], horizons_s=(0.3,))
    us = np.concatenate([piece.recv_us for piece in compute(day, ["mid"])])
    assert found.rows == np.count_nonzero((us >= begin) & (us + 300_000 <= us[-1]))


def test_moves_are_undefined_across_gaps_and_end():
    us = np.array([0, 10, 20, 30, 50])
    mid = np.array([1.0, 2.0, np.nan, 4.0, 7.0])
    moves = move_of(us, mid, np.array([40]), 10)
    assert np.array_equal(moves, [1.0, np.nan, np.nan, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(move_of(us, mid, np.array([], np.int64), 15)[:2], [1.0, np.nan], equal_nan=True)
    assert np.array_equal(
        move_of(us, mid, np.array([], np.int64), 25)[[0, 1, 4]], [np.nan, 2.0, np.nan], equal_nan=True
    )


def test_rank_correlation_equals_spearman():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 9, 300).astype(float), rng.normal(size=300)
    assert rank_correlation(x, y + x) == pytest.approx(spearmanr(x, y + x).statistic)
    assert rank_correlation(x, np.ones(300)) is None
    assert rank_correlation(x[:9], y[:9]) is None
    assert interval(x, y, np.arange(7)) is None


def test_few_moves_have_no_interval():
    """Rows say no more than the moves in them: a thousand rows with 99 moves have none."""
    us, moved = np.arange(1_000) * SECOND, np.minimum(np.arange(1_000), 99)
    assert len(blocks_of(us, moved, 1.0)) == 0
    assert len(blocks_of(us, np.minimum(np.arange(1_000), 100), 0.1)) == 40
    begins = blocks_of(us, np.arange(1_000), 10.0)
    assert np.diff(begins).min() >= 60
