"""The kernel of a falling curve's steps against one turn written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.calibration._curve_steps import climb

SIZE = 5
rows = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE), st.floats(0.5, 50), st.floats(0.1, 100)),
    min_size=1,
    max_size=7,
)


@given(rows, st.lists(st.floats(0.001, 10), min_size=SIZE, max_size=SIZE), st.integers(0, 3))
def test_a_turn_is_expectation_then_maximisation(rows, steps, turns):
    """Each step times the sum, over the rows that hold it, of count over expected rate, by their seconds together."""
    rows = [(min(one, two), max(one, two, 1), count, waited) for one, two, count, waited in rows]
    rows = [(min(one, two - 1), two, count, waited) for one, two, count, waited in rows]
    begin, end = (np.array([row[at] for row in rows], np.int64) for at in (0, 1))
    counts, waited = (np.array([row[at] for row in rows]) for at in (2, 3))
    holding = [[row for row in range(len(rows)) if begin[row] <= at < end[row]] for at in range(SIZE)]
    seconds = np.array([sum(waited[row] for row in held) for held in holding])
    fast, slow = np.array(steps), list(steps)
    climb((begin, end), counts, seconds, fast, turns)
    for _ in range(turns):
        rate = [sum(slow[begin[row] : end[row]]) for row in range(len(rows))]
        slow = [
            slow[at] * sum(counts[row] / rate[row] for row in held) / seconds[at] if held else slow[at]
            for at, held in enumerate(holding)
        ]
    assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9)


def test_spans_that_do_not_fit_are_refused():
    one, two = np.ones(1), np.array([2], np.int64)
    with pytest.raises(ValueError, match="unequal length"):
        climb((two, two), np.ones(2), one, one, 1)
    with pytest.raises(ValueError, match="from 2 to 2, of 1"):
        climb((two, two), one, one, one, 1)
