"""Random paths of a value over time."""

import numpy as np
from hypothesis import strategies as st

from mm.backtest.journal import Lives

PATH = st.lists(st.tuples(st.integers(0, 5), st.integers(-20, 20)), min_size=1, max_size=40)


def path(steps):
    """Return non-decreasing times, and values."""
    return np.cumsum([wait for wait, _ in steps]), np.array([value for _, value in steps])


def lives_of(table, *, last_us=0, first_id=1):
    """Return orders from rows: sent, active, side, ticks, lots, end (-1: open), whether rejected."""
    table = np.asarray(table, np.int64).reshape(-1, 7)
    return Lives(first_id, last_us, *table.T[:6], table[:, 6] != 0)
