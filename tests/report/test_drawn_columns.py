"""Columns of charts: packed and unpacked, in whole units, and thinned with peaks kept."""

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
def test_unpacking_a_packed_column_returns_its_numbers(numbers):
    """For steps of any size."""
    column = packed(numbers)
    assert unpacked(json.loads(column.text())).tolist() == numbers.tolist()
    assert len(column.text()) == column.size


@pytest.mark.parametrize(("step", "width"), [(100, 1), (127, 1), (128, 2), (32_767, 2), (32_768, 4)])
def test_steps_use_the_narrowest_width(step, width):
    """A day of prices takes one or two bytes per row."""
    numbers = np.arange(1_000, dtype=np.int64) * step
    assert packed(numbers).width == width


def test_rare_leap_does_not_widen_all_steps():
    """A hole in the data costs twelve bytes, not a wider column."""
    numbers = np.arange(1_000, dtype=np.int64)
    numbers[500:] += 10**12
    assert packed(numbers).width == 1
    assert unpacked(json.loads(packed(numbers).text())).tolist() == numbers.tolist()


@given(
    arrays(np.float64, st.integers(0, 30), elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6))),
    st.sampled_from([0.01, 0.5, 1.0]),
)
def test_whole_units_decode_to_values_and_holes(values, unit):
    """0 is a hole; other values are counted from the lowest value, which is 1."""
    numbers, low = whole(values, unit)
    decoded = np.where(numbers == 0, np.nan, low + (numbers - 1) * unit)
    assert np.allclose(decoded, values, atol=unit / 2 * 1.000001, equal_nan=True)


@given(st.floats(1e-9, 1e9), st.floats(-1e3, 1e3))
def test_unit_resolves_six_digits_of_the_range(reach, low):
    """Between a millionth and a ten-millionth of the range."""
    unit = unit_of(np.array([low, np.nan, low + reach]))
    exact = (low + reach) - low
    assert exact == 0 or 1e-7 < unit / exact <= 1.0000001e-6
    assert unit_of(np.full(3, np.nan)) == unit_of(np.empty(0)) == 1.0


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 3)))
def test_changes_omit_repeated_values(values):
    """A step function is the same without the rows that change nothing."""
    at = changes(values)
    restored = values[at][np.searchsorted(at, np.arange(len(values)), side="right") - 1]
    assert restored.tolist() == values.tolist()
    assert (np.diff(values[at]) != 0).all()


@given(
    arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 2**45)),
    st.integers(4, 100),
)
def test_thinning_keeps_peaks_and_ends(values, limit):
    """The least and the greatest of all rows are kept, and the number of kept rows is limited."""
    kept = extremes(values, np.zeros(len(values), np.uint8), 0, limit)
    assert len(kept) <= max(4, limit)
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
def test_drawn_rows_are_limited_and_in_order(us, near, limit):
    """For any rows and any instants near them."""
    rows = drawn_rows(np.sort(us), limit, Near(np.unique(near)), module.evenly)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= max(limit, 1) + 1
    assert len(us) > limit or rows.tolist() == list(range(len(us)))


@given(
    st.lists(st.integers(0, 200_000_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 200_000_000), max_size=4),
    st.integers(0, 30),
)
def test_rows_near_fills_match_a_plain_count(us, near, limit):
    """Within the longest span that takes half of the limit at most, and the last row before each."""
    us = sorted(us)
    expected = []
    for span_s in reversed(module.CLOSE_S):
        close = {at for at, when in enumerate(us) if any(abs(when - other) <= span_s * 1_000_000 for other in near)}
        close |= {at - 1 for at in close if at}
        if 2 * len(close) <= limit:
            expected = sorted(close)
            break
    rows = drawn_rows(
        np.array(us), limit, Near(np.unique(np.array(near, np.int64))), lambda _ranks, _rank, _few: np.arange(0)
    )
    assert rows.tolist() == (list(range(len(us))) if len(us) <= limit else expected)
