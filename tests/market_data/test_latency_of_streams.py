"""Latencies, the offset of the clock, and its steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.latency import ClockWatch, LatencyHistogram, RoundTrip, StreamLatencies, offset_of

SHARES = (0.5, 0.99)


def taken(values):
    latencies = LatencyHistogram()
    for value in values:
        latencies.add(value)
    return latencies


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=300))
def test_a_percentile_is_that_of_the_sorted_values_to_within_three_percent(values):
    """The histogram replaces all latencies, including the negative ones of a slow clock."""
    ordered = sorted(values)
    for share, found in zip(SHARES, taken(values).percentiles(*SHARES), strict=True):
        true = ordered[max(1, round(share * len(ordered))) - 1]
        assert abs(found - true) <= 0.032 * abs(true)


def test_memory_does_not_grow_with_what_is_counted():
    """A recorder counts millions a day."""
    assert taken((-1) ** n * 3**n % 10**9 for n in range(20_000)).buckets < 1_000
    assert taken(range(20_000)).buckets < 400


def test_no_latency_has_no_percentile():
    """Nothing is made up where nothing was measured."""
    assert LatencyHistogram().spread() is None
    with pytest.raises(ValueError, match="no latency"):
        LatencyHistogram().percentiles(0.5)


def test_what_was_told_begins_anew_and_the_totals_stay():
    """Each ledger event is of its own interval; the health page counts the whole run."""
    streams = StreamLatencies()
    for late_us in (10, 12, 14):
        streams.times("depth").extend((1_767_600_000_000_000 + late_us, 1_767_600_000_000_000))
    streams.times("trade").extend((1_767_600_000_007_000, 1_767_600_000_000))
    assert streams.take() == {"depth": (12, 14), "trade": (pytest.approx(7_000, rel=0.04),) * 2}
    assert streams.take() == {}
    streams.times("depth").extend((1_767_600_000_000_100, 1_767_600_000_000_000))
    assert streams.take()["depth"].median_us == pytest.approx(100, rel=0.04)
    assert streams.totals("depth") == (4, 136)
    assert streams.totals("none") == (0, 0)


@given(st.integers(-(10**7), 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_offset_errs_by_half_the_round_trip_at_most(ahead_us, out_us, back_us):
    """The way there and the way back are never known apart."""
    asked_us = 1_767_600_000_000_000
    trip = RoundTrip(out_us + back_us, asked_us + out_us + back_us + ahead_us, asked_us + out_us)
    assert abs(trip.offset_us - ahead_us) <= (out_us + back_us + 1) / 2


def test_the_shortest_round_trip_tells_the_offset():
    """A slow response gives little information about the clock."""
    assert offset_of([]) is None
    assert offset_of([RoundTrip(900, 5, 0), RoundTrip(80, 7, 0), RoundTrip(81, 9, 0)]) == RoundTrip(80, 7, 0)


def test_a_clock_that_is_set_is_seen_once_and_a_slewed_one_never():
    """Two seconds either way are steps; 500 ppm, the most that a kernel slews, is not."""
    wall, mono = 1_767_600_000_000_000, 5_000_000
    watch = ClockWatch(wall, mono)
    for by_us in (0, 500, -500, 2_000_000, 0, -2_000_000, 0):
        wall, mono = wall + 1_000_000 + by_us, mono + 1_000_000
        assert watch.step_us(wall, mono) == (by_us if abs(by_us) > 500 else 0)
