"""A and k over the day."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mm.calibration.stability import MOST, PIECES_S, windows
from mm.clock import US_PER_S

START = 1_767_596_400 * US_PER_S  # a round hour


@given(st.integers(0, 3_600 * US_PER_S), st.integers(1, 3 * 86_400 * US_PER_S))
def test_pieces_are_disjoint_equal_and_few(late_us, long_us):
    """A stable picture needs pieces of one length; only the first and the last may be shorter, by less than half."""
    start, end = START + late_us, START + late_us + long_us
    pieces = windows(start, end)
    assert len(pieces) <= MOST + 1
    assert all(start <= a < b <= end for a, b in pieces)
    assert all(before[1] == after[0] for before, after in pairwise(pieces))
    lengths = {b - a for a, b in pieces[1:-1]}
    assert len(lengths) <= 1
    assert all(length // US_PER_S in PIECES_S for length in lengths)
    assert all(a % (300 * US_PER_S) == 0 for a, _ in pieces[1:])


def test_a_usual_day_has_half_hours():
    """Fourteen hours in 28 pieces."""
    pieces = windows(START, START + 14 * 3_600 * US_PER_S)
    assert len(pieces) == 28
    assert {b - a for a, b in pieces} == {1_800 * US_PER_S}
