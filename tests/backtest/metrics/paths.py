"""Random paths of a value over time."""

import numpy as np
from hypothesis import strategies as st

PATH = st.lists(st.tuples(st.integers(0, 5), st.integers(-20, 20)), min_size=1, max_size=40)


def path(steps):
    """Return non-decreasing times, and values."""
    return np.cumsum([wait for wait, _ in steps]), np.array([value for _, value in steps])
