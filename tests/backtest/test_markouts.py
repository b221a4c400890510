"""Markouts of groups of fills, against sums over the fills one by one."""

import pytest
from journals import books, seeded

from mm.backtest.summary import summarise

TICK = 0.01


def test_groups_are_weighted_means_of_their_own_fills():
    """Buys, sells, fills that add and fills that unwind, and bands of distance, at every horizon."""
    scribe = seeded(900, fill_chance=0.3)
    summary = summarise(scribe.journal(), books())
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


def test_the_fee_that_eats_the_gain_does_eat_it():
    """Played again with the break-even rate, the same fills end at nothing."""
    summary = summarise(seeded(600, fill_chance=0.3).journal(), books())
    rate = summary["break_even_fee_rate"]["pnl"]
    again = summarise(seeded(600, fill_chance=0.3, fee_rate=rate).journal(), books())
    assert again["pnl_total"] == pytest.approx(0.0, abs=1e-3 * abs(summary["pnl_total"]))
    assert summary["break_even_fee_rate"]["60"] == pytest.approx(
        summary["realised_half_spread"]["60"] * summary["volume"]["base"] / summary["volume"]["quote"]
    )
