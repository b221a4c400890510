"""The rule of update ids, and sets of missing ids against plain sets."""

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
def test_the_rule_of_update_ids(last_id, first, last, found):
    """Each case of Binance Spot's rule, at its bounds."""
    assert follow(last_id, first, last) is found
    assert IdSequence(last_id).follow(first, last) is found


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 4)), max_size=30))
def test_a_sequence_reports_each_missing_id(updates):
    """What no update brought before a later one is reported as missing, once, where it is noticed."""
    sequence, seen, reported = IdSequence(), set(), []
    for first, more in updates:
        last, before = first + more, sequence.last_id
        hole = sequence.missing_before(first)
        found = sequence.take(first, last)
        assert (hole is not None and last > before) == (found is Follow.GAP)
        if found is Follow.GAP:
            reported.append(hole)
            assert not seen & ids([hole])
        seen |= set(range(first, last + 1))
        assert sequence.last_id == max(seen)
    assert all(low.last < high.first for low, high in pairwise(reported))


@given(ranges, ranges)
def test_ranges_are_sets(left, right):
    """Union, difference, intersection, length, order and membership are those of plain sets of ids."""
    ours, theirs = IdRanges(left), IdRanges(right)
    a, b = ids(left), ids(right)
    for found, wanted in ((ours, a), (ours | theirs, a | b), (ours - theirs, a - b), (ours & theirs, a & b)):
        found.check()
        assert ids(found) == wanted
        assert (found.size, bool(found)) == (len(wanted), bool(wanted))
        assert found == IdRanges((number, number) for number in wanted)
        assert sorted(wanted) == [number for one in found for number in range(one.first, one.last + 1)]
        assert {number for number in range(-1, 50) if number in found} == wanted


@given(ranges, st.integers(0, 45), st.integers(0, 10))
def test_a_range_is_covered_where_all_its_ids_are(left, first, more):
    """Also over ranges that touch, which are one."""
    assert IdRanges(left).covers(first, first + more) == (set(range(first, first + more + 1)) <= ids(left))


def test_ids_before_the_last_are_stale_or_a_reset():
    """A million ids back is a reset; so are a thousand that are half of all ids."""
    assert went_back(50_000_000, 49_000_000)
    assert not went_back(50_000_000, 49_000_001)
    assert went_back(2_000, 1_000)
    assert not went_back(2_100, 1_100)
    assert not went_back(1_500, 600)


def test_what_is_left_of_missing_ids():
    """The instants around them stay; what came is gone."""
    missing = MissingIds(10, 20, 5, 9)
    assert missing.without(IdRanges([(12, 13), (20, 30)])) == [MissingIds(10, 11, 5, 9), MissingIds(14, 19, 5, 9)]
    assert missing.without(IdRanges([(1, 99)])) == []
    assert missing.details("restart") == {"from_id": 10, "to_id": 20, "from_us": 5, "to_us": 9, "cause": "restart"}
    assert missing.ids.size == 11
    assert IdRange(10, 12).within(missing.ids)
    assert not IdRange(9, 12).within(missing.ids)


def test_broken_ranges_are_refused():
    """`check` finds ranges that touch, which `add` never leaves."""
    broken = IdRanges([(1, 2), (9, 9)])
    broken.check()
    broken._lasts[0] = 8
    with pytest.raises(ValueError, match="touch"):
        broken.check()


@given(st.lists(st.integers(1, 30), max_size=30, unique=True), st.lists(st.integers(1, 30), max_size=10))
def test_missing_trades_are_those_that_no_arrival_and_no_row_of_the_ledger_names(ids, declared):
    """Held against sets: below the highest id and above the first, what neither came nor was declared."""
    runs = [ConsecutiveIds(one, one, 10 * place, 10 * place) for place, one in enumerate(ids)]
    found = missing_trades(runs, IdRanges((one, one) for one in declared))
    inside = range(ids[0], max(ids)) if ids else ()
    assert {one for hole in found for one in range(hole.first_id, hole.last_id + 1)} == {*inside} - {*ids} - {*declared}
    arrived = {one: 10 * place for place, one in enumerate(ids)}
    for hole in found:
        live = [one for place, one in enumerate(ids) if one == max(ids[: place + 1])]
        assert hole.from_us == arrived[max(one for one in live if one < hole.first_id)]
        assert hole.to_us == arrived[min(one for one in live if one > hole.last_id)]


def test_trades_that_a_recorder_fetches_are_no_reset_of_a_young_exchange():
    """They lie more than half of all ids back, in parts, with trades of the stream between them."""
    came = [(1, 8_035), (27_851, 27_884), (8_036, 10_035), (27_885, 27_889), (10_036, 27_850), (27_890, 27_900)]
    runs = [ConsecutiveIds(*ids, place, place) for place, ids in enumerate(came)]
    assert missing_trades(runs, IdRanges([(8_036, 27_850)])) == []
    lost = [runs[0], runs[1], runs[2], ConsecutiveIds(27_887, 27_900, 3, 3)]
    assert missing_trades(lost, IdRanges([(8_036, 27_850)])) == [MissingIds(27_885, 27_886, 1, 3)]


def test_ranges_of_any_size_take_no_memory():
    """An exchange that names an id of 19 digits leaves a hole of as many ids."""
    huge = IdRanges([(1, 10**18), (3 * 10**18, 2**63)])
    assert (huge | huge) - IdRanges([(5, 10**18)]) == IdRanges([(1, 4), (3 * 10**18, 2**63)])
    assert list(huge & IdRanges([(7, 7)])) == [(7, 7)]
    assert huge.size == 10**18 + 2**63 - 3 * 10**18 + 1
