"""Markouts by hand, and those of groups of fills against sums over single fills."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from journals import BTCUSDT, START_US, Scribe, run_terms, seeded
from mm.backtest.metrics._passes import mid2_at
from mm.backtest.metrics.markouts import Mean, half_spreads
from mm.backtest.metrics.pnl import fill_marks, ledger, split
from mm.backtest.metrics.summary import summarise

S = 1_000_000
CASH_E8 = 1_000 * 10**8
TICK = 0.01


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


def test_standard_error_clusters_fills_of_five_minutes():
    """Cluster sums of the weighted scores, with the factor G/(G − 1)."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    earned = [(0, 10, 100), (S, 14, 200), (400 * S, 2, 100), (900 * S, 6, 50), (910 * S, 4, 70)]
    for at_us, ticks, lots in earned:
        scribe.wait(START_US + at_us - scribe.us)
        scribe.fill(scribe.place(1, 10_000 - ticks, lots), 1, 10_000 - ticks, lots)
    weights = [lots for _, _, lots in earned]
    mean = sum(ticks * lots for _, ticks, lots in earned) / sum(weights)
    scores = {}
    for at_us, ticks, lots in earned:
        block = (START_US + at_us) // (300 * S)
        scores[block] = scores.get(block, 0) + lots * (ticks - mean)
    factor = len(scores) / (len(scores) - 1)
    error = math.sqrt(factor * sum(score**2 for score in scores.values())) / sum(weights) * 0.01
    assert half_spreads(scribe.journal(), BTCUSDT)[0].error == pytest.approx(error)


def test_standard_error_is_the_ordinary_one_for_single_fill_blocks():
    """Equal weights, one fill per block: the textbook's s/√n."""
    scribe = Scribe(fee_rate=0.0)
    scribe.move(20_000)
    earned = [3, 8, 1, 9, 4]
    for ticks in earned:
        scribe.fill(scribe.place(1, 10_000 - ticks, 100), 1, 10_000 - ticks, 100)
        scribe.wait(300 * S)
    expected = statistics.stdev(earned) / math.sqrt(len(earned)) * 0.01
    assert half_spreads(scribe.journal(), BTCUSDT)[0].error == pytest.approx(expected)


def test_fills_without_a_mid_are_left_out_of_spreads():
    """They keep their part of the PnL, at the last valid mark."""
    journal = marked_run()
    journal.fills[1, 7] = 0
    assert half_spreads(journal, BTCUSDT)[0].left_out == 1
    account = ledger(journal.state, BTCUSDT, CASH_E8)
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
    assert half_spreads(journal, BTCUSDT)[1][1].mean() == Mean(None, None, 0)


def test_markout_groups_are_weighted_means_of_their_fills():
    """Buys, sells, fills that add and fills that unwind, and bands of distance, at every horizon."""
    scribe = seeded(900, fill_chance=0.3)
    summary = summarise(scribe.journal(), run_terms())
    expected = {}
    for us, _, side, ticks, lots, _, _, mid2, after in scribe.fills:
        before, ticks_off = after - side * lots, side * (mid2 - 2 * ticks) / 2
        groups = ["buy" if side > 0 else "sell", "adding" if before * side >= 0 else "unwinding"]
        bands = ((0, 1), (1, 2), (2, 3), (3, 5), (5, 8), (8, 13), (13, 21), (21, 55), (55, 144))
        groups += [f"{near} to {far} ticks" for near, far in bands if near <= ticks_off < far]
        groups += ["144 ticks and more"] if ticks_off >= 144 else []
        for horizon in (1, 5, 30, 60):
            at = us + horizon * 1_000_000
            later = [mid for since, mid in scribe.mids if since <= at][-1]
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
    summary = summarise(seeded(600, fill_chance=0.3).journal(), run_terms())
    rate = summary["break_even_fee_rate"]["pnl"]
    again = summarise(seeded(600, fill_chance=0.3, fee_rate=rate).journal(), run_terms())
    assert again["pnl_total"] == pytest.approx(0.0, abs=1e-3 * abs(summary["pnl_total"]))
    assert summary["break_even_fee_rate"]["60"] == pytest.approx(
        summary["realised_half_spread"]["60"] * summary["volume"]["base"] / summary["volume"]["quote"]
    )
