"""Sums per block: a window has the same points whether summed from blocks or counted alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm.calibration.block_sums import STOOD, SWEPT, summed
from mm.calibration.depth_counts import DepthCounts, DepthOptions
from mm.calibration.reference import ReferencePath
from mm.calibration.sweeps import HitRule, Sweeps
from small_tapes import book, tape, trade

S = 1_000_000
HOUR = 3600 * S
RULES = (HitRule(), HitRule("strict"), HitRule(order_e8=200_000, queue_ahead=0.5), HitRule(grouped=False))


def busy_hour(seed):
    """Return an hour of books and sweeps; the prints of a sweep are up to a minute apart, so windows cut them."""
    rng = np.random.default_rng(seed)
    events, now, best, number = [book(0, 1000, 1002)], 0, 1000, 0
    while now < HOUR:
        now += int(rng.integers(1, 20 * S))
        number += 1
        if rng.random() < 0.5:
            best += int(rng.integers(-3, 4))
            events.append(
                book(now, best, best + int(rng.integers(1, 6)), *(int(lots) for lots in rng.integers(1, 9, 2)))
            )
            continue
        side, depth = (-1) ** number, 0
        for _ in range(int(rng.integers(1, 4))):
            events.append(trade(now, side, best + side * depth, number, int(rng.integers(1, 5))))
            depth, now = depth + int(rng.integers(0, 9)), now + int(rng.integers(0, 30 * S))
    return [event for event in events if event[1] < HOUR]


def prepared(seed, options):
    """Return counts whose blocks are summed, and counts that recount each window."""
    day = tape(busy_hour(seed), 0, HOUR)
    summed_counts, plain = DepthCounts(day, options), DepthCounts(day, options)
    for begin in (0, 77 * S):
        for _ in range(3):
            summed_counts.points(begin, HOUR)
    plain._sums = lambda *_: None
    return summed_counts, plain


def assert_same(left, right):
    for table in ("cells", "cumulative"):
        for first, second in zip(getattr(left, table).columns, getattr(right, table).columns, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-12, atol=0)
    assert left.counts == right.counts
    assert (left.valid_s, left.excluded_s) == (right.valid_s, right.excluded_s)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from(RULES),
    st.sampled_from(("mid", "best", "micro")),
    st.sampled_from((0, 77 * S, 5)),
    st.integers(0, 8),
    st.integers(0, HOUR),
)
def test_block_sums_equal_separate_count_of_window(seed, rule, reference, shift_us, block, length_us):
    """The window may cut blocks, sweeps and the end of the day, and may be out of step with all sums."""
    kept, plain = prepared(seed, DepthOptions(reference, rule))
    start_us = shift_us + block * 300 * S
    assert_same(kept.between(start_us, start_us + length_us), plain.between(start_us, start_us + length_us))


def test_widened_cells_equal_up_to_rounding(monkeypatch):
    """Where cells widen, their exposure is a mean: equal up to rounding."""
    monkeypatch.setattr("mm.calibration.depth_counts.CELLS", 4)
    kept, plain = prepared(1, DepthOptions())
    assert_same(kept.between(0, 2000 * S), plain.between(0, 2000 * S))


def test_windows_in_step_share_block_sums(monkeypatch):
    """Further windows only read the sweeps that they cut; measured in counted rows, not in time."""
    day = tape(busy_hour(2), 0, HOUR)
    rows_read = []
    for kind, original in ((Sweeps, Sweeps.beside), (ReferencePath, ReferencePath.segments)):

        def counted(self, *window, original=original):
            found = original(self, *window)
            rows_read.append(len(found[1]))
            return found

        monkeypatch.setattr(kind, original.__name__, counted)
    rows = {}
    for count in (10, 40):
        marks = DepthCounts(day, DepthOptions())
        rows_read.clear()
        for number in range(count):
            start_us = number % 6 * 300 * S
            marks.points(start_us, start_us + 1800 * S)
        rows[count] = sum(rows_read)
    assert rows[40] - rows[10] <= 30 * 6  # cut at borders: three pieces per side


@pytest.mark.parametrize("keys", [((2, 1, 2), (5, 5, 5)), ((0, 0, 0), (3, 1, 3))])
def test_rows_with_equal_keys_are_summed(keys):
    (first, second), total = summed(tuple(np.array(key) for key in keys), np.array([1, 10, 100]))
    sums = dict(zip(zip(first.tolist(), second.tolist(), strict=True), total.tolist(), strict=True))
    expected = {}
    for one, other, value in zip(*keys, (1, 10, 100), strict=True):
        expected[one, other] = expected.get((one, other), 0) + value
    assert sums == expected
    assert list(sums) == sorted(sums)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5), st.sampled_from((1, -1)), st.integers(0, HOUR), st.integers(0, HOUR), st.integers(0, 4))
def test_beside_returns_rows_outside_whole_blocks(seed, side, one_us, other_us, blocks):
    """Equal to the segments of the path and the sweeps; None where a border cuts a sweep."""
    marks, block_us = DepthCounts(tape(busy_hour(seed), 0, HOUR)), 300 * S
    start_us, end_us = sorted((one_us, other_us))
    rest_us = min(start_us + blocks * block_us, start_us + (end_us - start_us) // block_us * block_us)
    beside = marks.rows(side).beside(start_us, rest_us, end_us, block_us)
    edges, rows, block = marks.path.segments(rest_us, end_us, block_us)
    plain = marks.path.touch[side][rows], block + (rest_us - start_us) // block_us, np.diff(edges)
    lasting = plain[2] > 0
    kept = beside or marks.rows(side).with_sweeps(start_us, rest_us, end_us, block_us, (np.zeros(0, np.int64),) * 4)
    assert [getattr(kept, name).tolist() for name in STOOD] == [one[lasting].tolist() for one in plain]
    first, last = (int(np.searchsorted(marks.sweeps[side]._us, us)) for us in (start_us, end_us))
    opens = {*marks.sweeps[side]._opens.tolist(), len(marks.sweeps[side]._us)}
    assert marks.rows(side).cut(start_us, end_us) == (first < last and not {first, last} <= opens)
    assert (beside is None) == marks.rows(side).cut(start_us, end_us)
    if beside is not None:
        found, count = marks.sweeps[side].beside(start_us, rest_us, end_us)
        met = marks.path.touch[side][found.row]
        plain = met, found.depth, (found.us - start_us) // block_us, count
        assert [getattr(beside, name).tolist() for name in SWEPT] == [one.tolist() for one in plain]
