"""Columns of charts: packed and read back, in whole units, and thinned so that what matters stays."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from timelines import unpacked

from mm.backtest.metrics.arithmetic import changes
from mm.report import drawn_columns as module
from mm.report.drawn_columns import Near, drawn_rows, extremes, packed, unit_of, whole

COLUMNS = arrays(np.int64, st.integers(0, 60), elements=st.integers(-(2**50), 2**50))


@given(COLUMNS)
def test_a_packed_column_is_read_back_as_it_was(numbers):
    """Whatever the size of its steps."""
    column = packed(numbers)
    assert unpacked(json.loads(column.text())).tolist() == numbers.tolist()
    assert len(column.text()) == column.size


@pytest.mark.parametrize(("step", "width"), [(100, 1), (127, 1), (128, 2), (32_767, 2), (32_768, 4)])
def test_steps_take_as_few_bytes_as_they_fit_in(step, width):
    """A day of prices is a byte or two a row."""
    numbers = np.arange(1_000, dtype=np.int64) * step
    assert packed(numbers).width == width


def test_a_rare_leap_does_not_widen_all_steps():
    """A hole in the data costs twelve bytes, not a wider column."""
    numbers = np.arange(1_000, dtype=np.int64)
    numbers[500:] += 10**12
    assert packed(numbers).width == 1
    assert unpacked(json.loads(packed(numbers).text())).tolist() == numbers.tolist()


@given(
    arrays(np.float64, st.integers(0, 30), elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_values_come_back_to_the_unit_and_holes_as_holes(values, unit):
    """0 is a hole; all else is counted from the least value, which is 1."""
    numbers, low = whole(values, unit)
    back = np.where(numbers == 0, np.nan, low + (numbers - 1) * unit)
    assert np.allclose(back, values, atol=unit / 2 * 1.000001, equal_nan=True)


@given(st.floats(1e-9, 1e9), st.floats(-1e3, 1e3))
def test_a_unit_tells_six_digits_of_the_range(reach, low):
    """Between a millionth and a ten-millionth of it."""
    unit = unit_of(np.array([low, np.nan, low + reach]))
    exact = (low + reach) - low
    assert exact == 0 or 1e-7 < unit / exact <= 1.0000001e-6
    assert unit_of(np.full(3, np.nan)) == unit_of(np.empty(0)) == 1.0


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 3)))
def test_what_repeats_is_left_out(values):
    """A step function is the same without the rows that change nothing."""
    at = changes(values)
    again = values[at][np.searchsorted(at, np.arange(len(values)), side="right") - 1]
    assert again.tolist() == values.tolist()
    assert (np.diff(values[at]) != 0).all()


@given(
    arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 2**45)),
    st.integers(4, 100),
)
def test_thinning_keeps_the_peaks_and_the_ends(values, most):
    """The least and the greatest of all rows are among the kept, which are not too many."""
    kept = extremes(values, np.zeros(len(values), np.uint8), 0, most)
    assert len(kept) <= max(4, most)
    assert (np.diff(kept) > 0).all()
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    near = 2 ** ((2**45).bit_length() - 38)  # peaks that differ by less count as one
    assert values.min() <= values[kept].min() <= values.min() + near
    assert values.max() - near <= values[kept].max() <= values.max()


@given(
    arrays(np.int64, st.integers(0, 200), elements=st.integers(0, 10**9)),
    arrays(np.int64, st.integers(0, 5), elements=st.integers(0, 10**9)),
    st.integers(1, 100),
)
def test_rows_that_stay_are_few_and_in_order(us, near, most):
    """Whatever is near what."""
    rows = drawn_rows(np.sort(us), most, Near(np.unique(near)), module.evenly)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= max(most, 1) + 1
    assert len(us) > most or rows.tolist() == list(range(len(us)))


@given(
    st.lists(st.integers(0, 200_000_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 200_000_000), max_size=4),
    st.integers(0, 30),
)
def test_rows_near_a_fill_are_those_that_a_plain_count_finds(us, near, most):
    """Within the longest stretch that takes half at most, and the last row before each."""
    us = sorted(us)
    found = []
    for one in reversed(module.CLOSE_S):
        close = {at for at, when in enumerate(us) if any(abs(when - other) <= one * 1_000_000 for other in near)}
        close |= {at - 1 for at in close if at}
        if 2 * len(close) <= most:
            found = sorted(close)
            break
    rows = drawn_rows(
        np.array(us), most, Near(np.unique(np.array(near, np.int64))), lambda _ranks, _rank, _few: np.arange(0)
    )
    assert rows.tolist() == (list(range(len(us))) if len(us) <= most else found)
