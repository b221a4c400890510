"""Sums by block: any window of a day has the same points as if it were counted by itself."""

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
    """An hour of books and sweeps whose prints are up to a minute apart, so that windows cut them."""
    rng = np.random.default_rng(seed)
    told, now, best, number = [book(0, 1000, 1002)], 0, 1000, 0
    while now < HOUR:
        now += int(rng.integers(1, 20 * S))
        number += 1
        if rng.random() < 0.5:
            best += int(rng.integers(-3, 4))
            told.append(book(now, best, best + int(rng.integers(1, 6)), *(int(one) for one in rng.integers(1, 9, 2))))
            continue
        side, depth = (-1) ** number, 0
        for _ in range(int(rng.integers(1, 4))):
            told.append(trade(now, side, best + side * depth, number, int(rng.integers(1, 5))))
            depth, now = depth + int(rng.integers(0, 9)), now + int(rng.integers(0, 30 * S))
    return [one for one in told if one[1] < HOUR]


def prepared(seed, options):
    """Return marks whose blocks are summed, and marks that count each window by itself."""
    day = tape(busy_hour(seed), 0, HOUR)
    kept, plain = DepthCounts(day, options), DepthCounts(day, options)
    for begin in (0, 77 * S):
        for _ in range(3):
            kept.points(begin, HOUR)
    plain._sums = lambda *_: None
    return kept, plain


def same(one, other):
    for table in ("cells", "cumulative"):
        for first, second in zip(getattr(one, table).columns, getattr(other, table).columns, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-12, atol=0)
    assert one.counts == other.counts
    assert (one.valid_s, one.excluded_s) == (other.valid_s, other.excluded_s)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from(RULES),
    st.sampled_from(("mid", "best", "micro")),
    st.sampled_from((0, 77 * S, 5)),
    st.integers(0, 8),
    st.integers(0, HOUR),
)
def test_a_window_is_the_same_from_the_sums_of_its_blocks(seed, rule, reference, shift_us, block, length_us):
    """Whatever it cuts: blocks, sweeps, the end of the day; also where its blocks are in step with no sum."""
    kept, plain = prepared(seed, DepthOptions(reference, rule))
    start_us = shift_us + block * 300 * S
    same(kept.between(start_us, start_us + length_us), plain.between(start_us, start_us + length_us))


def test_far_cells_are_the_same(monkeypatch):
    """Where cells widen, their exposure is a mean: equal but for the last digits."""
    monkeypatch.setattr("mm.calibration.depth_counts.CELLS", 4)
    kept, plain = prepared(1, DepthOptions())
    same(kept.between(0, 2000 * S), plain.between(0, 2000 * S))


def test_blocks_are_summed_once_for_all_windows_in_step(monkeypatch):
    """Further windows look at the pieces of sweeps that they cut, and no more: counted operations, no clock."""
    day = tape(busy_hour(2), 0, HOUR)
    looked = []
    for kind, original in ((Sweeps, Sweeps.beside), (ReferencePath, ReferencePath.segments)):

        def counted(self, *window, original=original):
            found = original(self, *window)
            looked.append(len(found[1]))
            return found

        monkeypatch.setattr(kind, original.__name__, counted)
    rows = {}
    for count in (10, 40):
        marks = DepthCounts(day, DepthOptions())
        looked.clear()
        for number in range(count):
            start_us = number % 6 * 300 * S
            marks.points(start_us, start_us + 1800 * S)
        rows[count] = sum(looked)
    assert rows[40] - rows[10] <= 30 * 6  # what borders cut: three pieces a side


@pytest.mark.parametrize("keys", [((2, 1, 2), (5, 5, 5)), ((0, 0, 0), (3, 1, 3))])
def test_rows_of_one_key_are_summed(keys):
    (first, second), total = summed(tuple(np.array(key) for key in keys), np.array([1, 10, 100]))
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), total.tolist(), strict=True))
    expected = {}
    for one, other, value in zip(*keys, (1, 10, 100), strict=True):
        expected[one, other] = expected.get((one, other), 0) + value
    assert found == expected
    assert list(found) == sorted(found)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5), st.sampled_from((1, -1)), st.integers(0, HOUR), st.integers(0, HOUR), st.integers(0, 4))
def test_what_stands_beside_whole_blocks_is_found_in_one_call(seed, side, one_us, other_us, blocks):
    """As the path cut into segments and the sweeps themselves have it; where a border cuts a sweep, they tell."""
    marks, block_us = DepthCounts(tape(busy_hour(seed), 0, HOUR)), 300 * S
    start_us, end_us = sorted((one_us, other_us))
    rest_us = min(start_us + blocks * block_us, start_us + (end_us - start_us) // block_us * block_us)
    beside = marks.rows(side).beside(start_us, rest_us, end_us, block_us)
    edges, rows, block = marks.path.segments(rest_us, end_us, block_us)
    plain = marks.path.touch[side][rows], block + (rest_us - start_us) // block_us, np.diff(edges)
    spent = plain[2] > 0
    kept = beside or marks.rows(side).with_sweeps(start_us, rest_us, end_us, block_us, (np.zeros(0, np.int64),) * 4)
    assert [getattr(kept, name).tolist() for name in STOOD] == [one[spent].tolist() for one in plain]
    first, last = (int(np.searchsorted(marks.sweeps[side]._us, us)) for us in (start_us, end_us))
    opens = {*marks.sweeps[side]._opens.tolist(), len(marks.sweeps[side]._us)}
    assert marks.rows(side).cut(start_us, end_us) == (first < last and not {first, last} <= opens)
    assert (beside is None) == marks.rows(side).cut(start_us, end_us)
    if beside is not None:
        found, count = marks.sweeps[side].beside(start_us, rest_us, end_us)
        met = marks.path.touch[side][found.row]
        plain = met, found.depth, (found.us - start_us) // block_us, count
        assert [getattr(beside, name).tolist() for name in SWEPT] == [one.tolist() for one in plain]
