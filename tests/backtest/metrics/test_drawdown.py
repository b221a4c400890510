"""Falls of equity, against every pair of rows, and at the edges where there is none."""

import numpy as np
from hypothesis import given
from paths import PATH, path

from mm.backtest.metrics import drawdown


@given(PATH)
def test_drawdown_is_the_deepest_fall_from_any_earlier_row(steps):
    """Depth and duration as a double loop finds them."""
    us, equity = path(steps)
    rows = range(len(us))
    assert drawdown.max_drawdown(equity) == max(equity[i] - equity[j] for j in rows for i in rows if i <= j)
    longest = 0
    for i in rows:
        if i + 1 == len(us) or equity[i + 1] >= equity[i] or equity[i] < max(equity[: i + 1]):
            continue
        back = next((j for j in range(i + 1, len(us)) if equity[j] >= equity[i]), len(us) - 1)
        longest = max(longest, us[back] - us[i])
    assert drawdown.drawdown_duration_us(us, equity) == longest


def test_level_equity_is_not_a_drawdown():
    """Waiting at the peak is not under water."""
    us, equity = np.array([0, 10, 20, 30]), np.array([3, 3, 3, 4])
    assert drawdown.max_drawdown(equity) == 0
    assert drawdown.drawdown_duration_us(us, equity) == 0


def test_no_equity_has_no_drawdown():
    """Undefined, not zero."""
    assert drawdown.max_drawdown(np.empty(0)) is None
    assert drawdown.drawdown_duration_us(np.empty(0, np.int64), np.empty(0)) is None


def test_time_under_water_counts_every_fall_until_its_recovery():
    """Down for 2 s, at the peak for 1 s, down for the last 3 s: 5 of 7 s, and not recovered."""
    us = np.array([0, 1, 3, 4, 7]) * 1_000_000
    found = drawdown.under_water(us, np.array([5, 3, 5, 4, 2]))
    assert found == {"s": 5.0, "share": 5 / 7, "unrecovered": True}
    assert drawdown.under_water(us, np.array([1, 2, 2, 3, 3])) == {"s": 0.0, "share": 0.0, "unrecovered": False}
