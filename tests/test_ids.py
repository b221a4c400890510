"""The sequence rule of update ids, and ranges of ids compared with plain sets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.ids import (
    RESET_IDS,
    ConsecutiveIds,
    Follow,
    IdRange,
    IdRanges,
    IdSequence,
    MissingIds,
    follow,
    missing_trades,
    went_back,
)

one_range = st.tuples(st.integers(0, 40), st.integers(0, 6)).map(lambda one: (one[0], one[0] + one[1]))
ranges = st.lists(one_range, max_size=8)


def ids(found):
    """Return the ids of ranges as a plain set."""
    return {number for first, last in found for number in range(first, last + 1)}


@pytest.mark.parametrize(
    ("last_id", "first", "last", "found"),
    [
        (None, 7, 9, Follow.CONTINUES),
        (10, 11, 11, Follow.CONTINUES),
        (10, 11, 15, Follow.CONTINUES),
        (10, 10, 11, Follow.OVERLAPS),
        (10, 3, 12, Follow.OVERLAPS),
        (10, 12, 12, Follow.GAP),
        (10, 10, 10, Follow.STALE),
        (10, 2, 9, Follow.STALE),
        (10 * RESET_IDS, 1, 2, Follow.RESET),
        (0, 1, 1, Follow.CONTINUES),
    ],
)
def test_follow_classifies_update_ids(last_id, first, last, found):
    """Each case of the Binance Spot rule, at its bounds."""
    assert follow(last_id, first, last) is found
    assert IdSequence(last_id).follow(first, last) is found


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), max_size=30))
def test_sequence_reports_each_missing_id_once(updates):
    """Ids skipped by an update are reported as missing once, when the update arrives."""
    sequence, received, reported = IdSequence(), set(), []
    for first, more in updates:
        last, before = first + more, sequence.last_id
        hole = sequence.missing_before(first)
        found = sequence.take(first, last)
        assert (hole is not None and last > before) == (found is Follow.GAP)
        if found is Follow.GAP:
            reported.append(hole)
            assert not received & ids([hole])
        received |= set(range(first, last + 1))
        assert sequence.last_id == max(received)
    assert all(low.last < high.first for low, high in pairwise(reported))


@given(ranges, ranges)
def test_id_ranges_behave_like_sets(left, right):
    """Union, difference, intersection, size, order and membership equal those of plain sets of ids."""
    one_set, other_set = IdRanges(left), IdRanges(right)
    a, b = ids(left), ids(right)
    for found, expected in (
        (one_set, a),
        (one_set | other_set, a | b),
        (one_set - other_set, a - b),
        (one_set & other_set, a & b),
    ):
        found.check()
        assert ids(found) == expected
        assert (found.size, bool(found)) == (len(expected), bool(expected))
        assert found == IdRanges((number, number) for number in expected)
        assert sorted(expected) == [number for one in found for number in range(one.first, one.last + 1)]
        assert {number for number in range(-1, 50) if number in found} == expected


@given(ranges, st.integers(0, 45), st.integers(0, 10))
def test_covers_is_true_when_all_ids_are_contained(left, first, more):
    """Adjacent ranges count as one."""
    assert IdRanges(left).covers(first, first + more) == (set(range(first, first + more + 1)) <= ids(left))


def test_went_back_distinguishes_stale_ids_from_reset():
    """A step back of a million ids is a reset, and so is one of a thousand that is half of all ids."""
    assert went_back(50_000_000, 49_000_000)
    assert not went_back(50_000_000, 49_000_001)
    assert went_back(2_000, 1_000)
    assert not went_back(2_100, 1_100)
    assert not went_back(1_500, 600)


def test_missing_ids_without_received_ranges_keep_their_times():
    """Received ids are removed; the times of the hole stay."""
    missing = MissingIds(10, 20, 5, 9)
    assert missing.subtract(IdRanges([(12, 13), (20, 30)])) == [MissingIds(10, 11, 5, 9), MissingIds(14, 19, 5, 9)]
    assert missing.subtract(IdRanges([(1, 99)])) == []
    assert missing.details("restart") == {"from_id": 10, "to_id": 20, "from_us": 5, "to_us": 9, "cause": "restart"}
    assert missing.ids.size == 11
    assert IdRange(10, 12).is_within(missing.ids)
    assert not IdRange(9, 12).is_within(missing.ids)


def test_check_rejects_adjacent_ranges():
    """`add` never leaves adjacent ranges."""
    broken = IdRanges([(1, 2), (9, 9)])
    broken.check()
    broken._lasts[0] = 8
    with pytest.raises(ValueError, match="touch"):
        broken.check()


@given(st.lists(st.integers(1, 30), max_size=30, unique=True), st.lists(st.integers(1, 30), max_size=10))
def test_missing_trades_are_neither_received_nor_declared(ids, declared):
    """Compared with sets: ids between the first and the highest that were neither received nor declared."""
    runs = [ConsecutiveIds(one, one, 10 * place, 10 * place) for place, one in enumerate(ids)]
    found = missing_trades(runs, IdRanges((one, one) for one in declared))
    inside = range(ids[0], max(ids)) if ids else ()
    assert {one for hole in found for one in range(hole.first_id, hole.last_id + 1)} == {*inside} - {*ids} - {*declared}
    arrived = {one: 10 * place for place, one in enumerate(ids)}
    for hole in found:
        live = [one for place, one in enumerate(ids) if one == max(ids[: place + 1])]
        assert hole.from_us == arrived[max(one for one in live if one < hole.first_id)]
        assert hole.to_us == arrived[min(one for one in live if one > hole.last_id)]


def test_backfilled_trades_are_not_taken_for_id_reset():
    """Backfilled ids lie more than half of all ids back, mixed with trades of the stream."""
    received = [(1, 8_035), (27_851, 27_884), (8_036, 10_035), (27_885, 27_889), (10_036, 27_850), (27_890, 27_900)]
    runs = [ConsecutiveIds(*ids, place, place) for place, ids in enumerate(received)]
    assert missing_trades(runs, IdRanges([(8_036, 27_850)])) == []
    lost = [runs[0], runs[1], runs[2], ConsecutiveIds(27_887, 27_900, 3, 3)]
    assert missing_trades(lost, IdRanges([(8_036, 27_850)])) == [MissingIds(27_885, 27_886, 1, 3)]


def test_id_ranges_handle_huge_gaps():
    """An id of 19 digits from the exchange leaves a gap of that many ids."""
    huge = IdRanges([(1, 10**18), (3 * 10**18, 2**63)])
    assert (huge | huge) - IdRanges([(5, 10**18)]) == IdRanges([(1, 4), (3 * 10**18, 2**63)])
    assert list(huge & IdRanges([(7, 7)])) == [(7, 7)]
    assert huge.size == 10**18 + 2**63 - 3 * 10**18 + 1
