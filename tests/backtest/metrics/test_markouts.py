"""Markouts by hand, and those of groups of fills against sums over single fills."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t as student

from journals import BTCUSDT, START_US, Scribe, journal_of, run_terms, seeded
from mm import Result
from mm.backtest.journal import Fills, Mids
from mm.backtest.metrics.markouts import (
    BANDS_TICKS,
    GROUPS,
    BlockSums,
    Mean,
    block_length_us,
    cells_of,
    half_spreads,
    just_after,
    mid2_at,
    moves,
)
from mm.backtest.metrics.pnl import account_series, fill_marks, split

S = 1_000_000
CASH_E8 = 1_000 * 10**8
TICK = 0.01
SEEDS = range(20)


def marked_run():
    """Mid 100 → 101 after 2 s, none from 6 s to 9 s, then 97; fills at 0, 1 s, 3 s, 8.5 s; ends at 12 s."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    scribe.state()
    for side, ticks, lots, wait_us, mid2 in [
        (1, 9_990, 100, S, 0),
        (-1, 10_020, 50, S, 20_200),
        (1, 10_095, 300, 0, 0),
    ]:
        scribe.fill(scribe.place(side, ticks, lots), side, ticks, lots)
        scribe.wait(wait_us)
        scribe.move(mid2 or scribe.mid2)
    scribe.wait(4 * S)
    scribe.move(0)
    scribe.wait(3 * S)
    scribe.move(19_400)
    scribe.wait(3 * S)
    scribe.state()
    return scribe.journal()


def test_effective_half_spread_is_weighted_by_quantity():
    """100 lots at 10 ticks, 50 at 20 and 300 at 5, a tick being 0.01."""
    mean = half_spreads(marked_run(), BTCUSDT)[0]
    assert mean.value == pytest.approx((100 * 10 + 50 * 20 + 300 * 5) / 450 * 0.01)
    assert mean.left_out == 0


@pytest.mark.parametrize(
    ("horizon", "expected", "left_out"),
    [
        (1, -50 * 100 / 450 * 0.01, 0),
        # At 5 s after the first fill the mid is 101; 6 s and 7 s have no book.
        (5, 100 * 0.01, 2),
        (8, (50 * 300 + 300 * -400) / 350 * 0.01, 1),
        (11, (100 * -300 + 50 * 300) / 150 * 0.01, 1),
        (12, -300 * 0.01, 2),
        (13, None, 3),
    ],
)
def test_adverse_selection_uses_the_mid_at_the_horizon(horizon, expected, left_out):
    """A step function; without a book or data at that time the fill is left out and counted."""
    mean = half_spreads(marked_run(), BTCUSDT, (horizon,))[1][horizon].mean()
    assert mean.value == pytest.approx(expected)
    assert mean.left_out == left_out


def clustered_run(blocks, fills_each, length_s, alike=False):
    """Return a run with several fills in each block of *length_s*, and (block, ticks, lots) of each of them.

    Fills of a block are *alike*, or differ as much as those of others.
    """
    scribe, found = Scribe(fee_rate=0.0), []
    scribe.move(20_000)
    scribe.state()
    for block in range(blocks):
        for each in range(fills_each):
            ticks, lots = 1 + (7 * block + 3 * each * (not alike)) % 11, 50 + 40 * (block % 4) + 10 * each
            scribe.wait(START_US + (block * length_s + each) * S - scribe.us)
            scribe.fill(scribe.place(1, 10_000 - ticks, lots), 1, 10_000 - ticks, lots)
            found.append((block, ticks, lots))
            scribe.move(20_000 + 2 * ((5 * block + each) % 7))
            scribe.wait(S // 2)
            scribe.move(20_000)
    scribe.wait(START_US + blocks * length_s * S - scribe.us)
    scribe.state()
    return scribe, found


@pytest.mark.parametrize(("blocks", "length_s", "alike"), [(24, 300, True), (24, 300, False), (12, 30, False)])
def test_errors_are_of_blocks_by_student_t_and_not_below_independence(blocks, length_s, alike):
    """Block sums with the factor G/(G − 1) in two hours; in a short run the slowest cosines of blocks of 30 s.

    Where blocks by chance tell of less, the error is that of the same fills as if they were independent.
    """
    scribe, fills = clustered_run(blocks, 3, length_s, alike)
    earned = half_spreads(scribe.journal(), BTCUSDT)[0]
    mean = sum(ticks * lots for _, ticks, lots in fills) / sum(lots for *_, lots in fills)
    scores, weights = np.zeros(blocks), np.zeros(blocks)
    for block, ticks, lots in fills:
        scores[block] += lots * (ticks - mean)
        weights[block] += lots
    if length_s == 300:
        variance, degrees = blocks / (blocks - 1) * (scores**2).sum(), weights.sum() ** 2 / (weights**2).sum() - 1
    else:
        places, degrees = (np.arange(blocks) + 0.5) / blocks, 2
        waves = [(scores * np.cos(np.pi * j * places)).sum() for j in (1, 2)]
        variance = 2 / degrees * sum(wave**2 for wave in waves)
    alone = sum((lots * (ticks - mean)) ** 2 for _, ticks, lots in fills) * len(fills) / (len(fills) - 1)
    assert bool(variance > alone) is alike
    error = math.sqrt(max(variance, alone)) / weights.sum() * 0.01
    half = student.ppf(0.975, degrees) * error
    assert earned.error == pytest.approx(error)
    assert earned.ci95 == pytest.approx([earned.value - half, earned.value + half])
    row = next(row for row in Result(scribe.journal(), run_terms()).summary["markouts"] if row["fills"] == "buy")
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert (row["horizon_s"], row["n"], row["n_effective_blocks"]) == (0, 3 * blocks, pytest.approx(effective))
    assert row["adverse_selection"] == 0.0


@pytest.mark.parametrize(("blocks", "each", "known"), [(4, 10, False), (7, 2, False), (8, 3, True)])
def test_errors_need_five_blocks_and_twenty_fills(blocks, each, known):
    """Otherwise both are null, with n and the mean left."""
    scribe, _ = clustered_run(blocks, each, 30)
    for row in Result(scribe.journal(), run_terms()).summary["markouts"]:
        if row["fills"] == "buy" and row["horizon_s"] == 0:
            assert (row["se"] is not None, row["ci95"] is not None) == (known, known)
            assert row["n"] == blocks * each


def test_every_fill_is_in_one_band():
    """Also those below the mid: book fills at prices that the mid had passed."""
    scribe = seeded(600, fill_chance=0.3, breaks=0)
    for ticks in (10_020, 10_001, 10_500):
        scribe.move(20_000)
        scribe.fill(scribe.place(1, ticks, 100), 1, ticks, 100, reason=1)
    rows = Result(scribe.journal(), run_terms()).summary["markouts"]
    bands = {row["fills"]: row["n"] for row in rows if row["horizon_s"] == 0 and "ticks" in row["fills"]}
    assert sum(bands.values()) == len(scribe.fills)
    assert bands["below 0 ticks"] >= 3


def test_horizon_0_is_just_after_the_event_that_filled():
    """A book change that fills us moves the mid by 30 half ticks, and a later one at the same instant by 10 more.

    A trade at that instant does not move the book.
    """
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    scribe.state()
    scribe.wait(S)
    for reason in (0, 1):
        scribe.fill(scribe.place(1, 9_990, 100), 1, 9_990, 100, reason=reason)
    scribe.move(19_970)
    scribe.move(19_960)
    scribe.wait(S)
    assert just_after(scribe.journal()).tolist() == [20_000, 19_970]
    mean = half_spreads(scribe.journal(), BTCUSDT)[1][0].mean()
    assert (mean.value, mean.left_out) == (pytest.approx(-15 / 2 * TICK), 0)


def test_fills_without_a_mid_are_left_out_of_spreads():
    """They keep their part of the PnL, at the last valid mark."""
    journal = marked_run()
    journal.fills[1, 7] = 0
    assert half_spreads(journal, BTCUSDT)[0].left_out == 1
    account = account_series(journal.state, BTCUSDT, CASH_E8)
    assert fill_marks(journal.fills, account)[1] == 20_000
    assert split(journal.fills, account) is not None


def test_mid_before_the_first_book_is_zero():
    """Times before any row, and runs without rows."""
    journal = marked_run()
    assert mid2_at(journal.mids, np.array([START_US - 1, START_US])).tolist() == [0, 20_000]
    assert mid2_at(journal.mids[:0], np.array([START_US])).tolist() == [0]


def test_mean_without_fills_is_none():
    """Undefined, not zero."""
    journal = replace(marked_run(), fills=marked_run().fills[:0])
    assert half_spreads(journal, BTCUSDT)[1][1].mean() == Mean(None, None, None, 0)


def test_markout_groups_are_weighted_means_of_their_fills():
    """Buys, sells, fills that add and fills that unwind, and bands of distance, at every horizon."""
    scribe = seeded(900, fill_chance=0.3)
    summary = Result(scribe.journal(), run_terms()).summary
    expected = {}
    for us, _, side, ticks, lots, _, _, mid2, after in scribe.fills:
        before, ticks_off = after - side * lots, side * (mid2 - 2 * ticks) / 2
        groups = ["buy" if side > 0 else "sell", "adding" if before * side >= 0 else "unwinding"]
        bands = ((0, 1), (1, 2), (2, 3), (3, 5), (5, 8), (8, 13), (13, 21), (21, 55), (55, 144))
        groups += [f"{near} to {far} ticks" for near, far in bands if near <= ticks_off < far]
        groups += ["144 ticks and more"] if ticks_off >= 144 else []
        groups += ["below 0 ticks"] if ticks_off < 0 else []
        for horizon in (0, 1, 5, 30, 60):
            at = us + horizon * 1_000_000
            later = [mid for since, mid in scribe.mids if since <= at][-1] if horizon else mid2
            if at > scribe.us or not later or not mid2:
                continue
            for group in groups:
                sums = expected.setdefault((group, horizon), [0, 0, 0.0, 0.0])
                sums[0] += 1
                sums[1] += lots
                sums[2] += lots * side * (later - mid2) / 2 * TICK
                sums[3] += lots * side * (later - 2 * ticks) / 2 * TICK
    found = {(row["fills"], row["horizon_s"]): row for row in summary["markouts"]}
    assert set(found) == set(expected)
    for key, (count, lots, moved, left) in expected.items():
        assert found[key]["n"] == count
        assert found[key]["adverse_selection"] == pytest.approx(moved / lots, abs=1e-12)
        assert found[key]["realised"] == pytest.approx(left / lots, abs=1e-12)


def test_break_even_fee_rate_leads_to_zero_pnl():
    """Run again with the break-even rate, the same fills end at zero."""
    summary = Result(seeded(600, fill_chance=0.3).journal(), run_terms()).summary
    rate = summary["break_even_fee_rate"]["pnl"]
    again = Result(seeded(600, fill_chance=0.3, fee_rate=rate).journal(), run_terms()).summary
    assert again["pnl_total"] == pytest.approx(0.0, abs=1e-3 * abs(summary["pnl_total"]))
    assert summary["break_even_fee_rate"]["60"] == pytest.approx(
        summary["realised_half_spread"]["60"] * summary["volume"]["base"] / summary["volume"]["quote"]
    )
    contract = Result(seeded(600, fill_chance=0.3).journal(), run_terms(replace(BTCUSDT, multiplier=5))).summary
    assert contract["volume"]["quote"] == pytest.approx(5 * summary["volume"]["quote"])
    assert contract["break_even_fee_rate"] == pytest.approx(summary["break_even_fee_rate"])  # it earns as much more


@pytest.mark.parametrize(
    ("hours", "after_s", "block_s"), [(1.9, 5, 30), (1.9, 60, 60), (1.9, 600, 600), (2.0, 600, 300), (2.0, 5, 300)]
)
def test_moves_that_overlap_are_of_one_block(hours, after_s, block_s):
    """In a short run a block is as long as the horizon: later ones would share most of their moves."""
    spans = SimpleNamespace(covered_us=round(hours * 3_600 * S))
    assert block_length_us(spans, after_s * S) == block_s * S


def random_fills(random, count):
    """Return a random fills table; some fills have no mid."""
    fills = Fills.empty(count)
    fills.us = np.cumsum(random.integers(0, 5, count))
    fills.side = random.choice([-1, 1], count)
    fills.ticks = random.integers(90, 110, count)
    fills.lots = random.integers(1, 8, count)
    fills.mid2 = np.where(random.random(count) < 0.1, 0, random.integers(180, 220, count))
    return fills


@pytest.mark.parametrize("seed", SEEDS)
def test_mid2_at_returns_the_last_row_at_or_before(seed):
    """Also for falling times, and before the first row."""
    random = np.random.default_rng(seed)
    mids = np.stack((np.cumsum(random.integers(1, 4, 30)), random.integers(0, 9, 30)), axis=1)
    us = random.integers(-2, 70, 50)
    expected = [([mid2 for since, mid2 in mids.tolist() if since <= at] or [0])[-1] for at in us.tolist()]
    assert mid2_at(Mids(mids), us).tolist() == expected


def plain_moves(fills, mids, horizon_s, last_us):
    """Return the change of bid + ask after each fill, None where it is unknown."""
    found = []
    for us, _, _, _, _, _, _, mid2, _ in fills.tolist():
        [later] = [mid for since, mid in mids.tolist() if since <= us + horizon_s * S][-1:] or [0]
        known = mid2 > 0 and later > 0 and us + horizon_s * S <= last_us
        found.append(later - mid2 if known else None)
    return found


def held_before(fills):
    return fills[:, 8] - fills[:, 2] * fills[:, 4]


def random_market(random):
    """Return a run with a random path of the mid, with gaps of the book, and random fills on it."""
    mids = np.stack((S * np.cumsum(random.integers(0, 9, 40)), random.integers(180, 220, 40)), axis=1)
    mids[random.random(40) < 0.2, 1] = 0
    fills = random_fills(random, 60)
    fills[:, 0] *= S
    fills[:, 8] = np.cumsum(fills[:, 2] * fills[:, 4]) - 20
    return journal_of(fills, mids, first_us=0, last_us=110 * S)


@pytest.mark.parametrize("seed", SEEDS)
def test_moves_equal_plain_moves(seed):
    """Unknown where the book is not valid at either time, or the data ends first."""
    journal = random_market(np.random.default_rng(seed))
    for horizon_s in (0, 7, 50):
        expected = plain_moves(journal.fills, journal.mids, horizon_s, 110 * S)
        moved, known = moves(journal, horizon_s)
        assert moved.tolist() == [move or 0 for move in expected]
        assert known.tolist() == [move is not None for move in expected]


@pytest.mark.parametrize("seed", SEEDS)
def test_group_sums_equal_sums_over_single_fills(seed):
    """A fill counts in each of its groups."""
    journal, bands = random_market(np.random.default_rng(seed)), BANDS_TICKS
    fills, moves = journal.fills, plain_moves(journal.fills, journal.mids, 5, 110 * S)
    block = fills[:, 0] // (20 * S)
    groups = len(GROUPS)
    count, earned, (lots, moved, kept) = np.zeros(groups), np.zeros(groups), np.zeros((3, 9, groups))
    for (_, _, side, ticks, size, _, _, mid2, held), at, move in zip(
        fills.tolist(), block - min(block), moves, strict=True
    ):
        far = side * (mid2 - 2 * ticks)
        fill_groups = [0, 1 if side > 0 else 2, 4 if (held - 3 - side * size) * side < 0 else 3]
        fill_groups += [5 + sum(far >= 2 * edge for edge in bands)]
        for group in fill_groups if move is not None else ():
            count[group] += 1
            earned[group] += size * far
            lots[at, group] += size
            moved[at, group] += size * side * move
            kept[at, group] += size * (side * move + far)
    half_ticks = fills[:, 2] * (fills[:, 7] - 2 * fills[:, 3])
    known, unwinds = np.array([move is not None for move in moves]), (held_before(fills) - 3) * fills[:, 2] < 0
    favour = fills[:, 2] * np.array([move or 0 for move in moves])
    cells = cells_of(fills[:, 2], unwinds, half_ticks)
    sums = BlockSums.of((block - min(block), 9), cells, known, fills[:, 4], favour, half_ticks)
    for actual, reference in zip(
        (sums.count, sums.lots, sums.moved, sums.moved + sums.captured, sums.captured.sum(axis=0)),
        (count, lots, moved, kept, earned),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, reference)
