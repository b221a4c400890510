"""Fills and PnL by hour of day, compared with loops over the fills and the state rows."""

from datetime import datetime, timezone
from math import sqrt
from statistics import mean

import numpy as np
import pytest

from drawn_runs import full_day, page_of, result_of
from journals import seeded
from mm.backtest.metrics.numbers import Summary
from mm.report.hours import HORIZON_S, HOURS, LEAST_BLOCKS, LEAST_FILLS, HoursOfDay, fills_means, hours_card
from mm.report.run_columns import equity_curve

SUMMARY = Summary.read({"symbol": "BTCUSDT", "quote_asset": "USDT", "base_asset": "BTC"})


def hour_of(us):
    return datetime.fromtimestamp(us / 1e6, timezone.utc).hour


def test_each_hour_matches_its_fills_and_rows():
    """Counts, PnL and markout of each hour, by a loop; the hourly PnL adds up to that of the run."""
    run = full_day(seconds=20_000, n_fills=500)
    hours = HoursOfDay.of(run)
    fills = run.fills
    sides, markouts = [(hour_of(us), side) for us, side in zip(fills["recv_us"], fills["side"], strict=True)], {}
    for us, side, price in zip(fills["recv_us"], fills["side"], fills["price"], strict=True):
        later = run.later(np.array([us + HORIZON_S * 1_000_000]))[0]
        if not np.isnan(later):
            favour = (later - price) * (1 if side == "BUY" else -1)
            markouts.setdefault(hour_of(us), []).append((us // 300_000_000, favour))
    for hour in range(HOURS):
        assert (hours.buys[hour], hours.sells[hour]) == (sides.count((hour, "BUY")), sides.count((hour, "SELL")))
        values = [value for _, value in markouts.get(hour, [])]
        if values:
            assert hours.later[hour].value == pytest.approx(mean(values))
        sums = {}
        for block, value in markouts.get(hour, []):
            sums[block] = sums.get(block, 0.0) + value - mean(values)
        if len(values) >= LEAST_FILLS and len(sums) >= LEAST_BLOCKS:
            squares = sum(value**2 for value in sums.values()) * len(sums) / (len(sums) - 1)
            assert hours.later[hour].error == pytest.approx(sqrt(squares) / len(values))
        else:
            assert hours.later[hour].ends is None
    equity = equity_curve(run).equity
    equity = equity[~np.isnan(equity)]
    assert hours.pnl.sum() == pytest.approx(equity[-1] - equity[0])


@pytest.mark.parametrize(
    ("fills", "blocks", "shown"), [(LEAST_FILLS, LEAST_BLOCKS, True), (LEAST_FILLS - 1, LEAST_BLOCKS, False)]
)
def test_few_fills_or_blocks_have_no_error(fills, blocks, shown):
    """An error of a handful of fills is an accident."""
    block = np.arange(fills) % blocks
    values = np.random.default_rng(1).normal(size=fills)
    for of_block, known in ((block, shown), (block % (blocks - 1), False)):
        found = fills_means(np.zeros(fills, np.int64), values, of_block)[0]
        assert found.value == pytest.approx(values.mean())
        assert (found.ends is not None) == known


def test_change_counts_in_the_hour_of_its_row():
    """The row at 08:00 ends the change since 07:59:59 and counts for the new hour."""
    run = full_day(seconds=3_700, n_fills=20)
    state = run.state
    hour = [hour_of(us) for us in state["recv_us"]]
    first = hour.index(hour[-1])  # of the second hour
    assert first
    state["equity"][:] = np.where(np.arange(3_700) >= first, 5.0, 1.0)
    run.excluded.resize((0, 2), refcheck=False)
    pnl = HoursOfDay.of(run).pnl
    assert pnl[hour[first]] == pytest.approx(4.0)
    assert np.count_nonzero(pnl) == 1


def test_hours_card_lists_the_observed_hours():
    """One row for each; a run within one hour has no such card, nor has a run without fills."""
    run = full_day(seconds=20_000, n_fills=500)
    html = hours_card(run, SUMMARY)
    observed = sorted({hour_of(us) for us in run.state["recv_us"]})
    assert [f"<th>{hour:02d}:00</th>" in html for hour in range(HOURS)] == [hour in observed for hour in range(HOURS)]
    assert f"markout after {HORIZON_S} s" in html
    assert "USDT per unit" in html
    assert "Fills and PnL by hour of day" not in page_of(result_of(seeded(600)))
    assert hours_card(full_day(seconds=20_000, n_fills=0), SUMMARY) == ""
