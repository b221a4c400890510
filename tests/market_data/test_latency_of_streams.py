"""Latencies, clock offset, and clock steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.message_latency import ClockWatch, LatencyHistogram, RoundTrip, StreamLatencies, offset_of

SHARES = (0.5, 0.99)


def histogram_of(values):
    latencies = LatencyHistogram()
    for value in values:
        latencies.add(value)
    return latencies


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=300))
def test_percentiles_are_exact_to_within_three_percent(values):
    """The histogram replaces all latencies, including the negative ones of a slow clock."""
    ordered = sorted(values)
    for share, found in zip(SHARES, histogram_of(values).percentiles(*SHARES), strict=True):
        true = ordered[max(1, round(share * len(ordered))) - 1]
        assert abs(found - true) <= 0.032 * abs(true)


def test_empty_histogram_has_no_percentile():
    """No value is returned without a measurement."""
    assert LatencyHistogram().spread() is None
    with pytest.raises(ValueError, match="no latency"):
        LatencyHistogram().percentiles(0.5)


def test_take_resets_the_interval_and_keeps_the_totals():
    """Ledger events cover one interval; the health page counts the whole run."""
    streams = StreamLatencies()
    for late_us in (10, 12, 14):
        streams.times("depth").extend((1_767_600_000_000_000 + late_us, 1_767_600_000_000_000))
    streams.times("trade").extend((1_767_600_000_007_000, 1_767_600_000_000))
    assert streams.drained() == {"depth": (12, 14), "trade": (pytest.approx(7_000, rel=0.04),) * 2}
    assert streams.drained() == {}
    streams.times("depth").extend((1_767_600_000_000_100, 1_767_600_000_000_000))
    assert streams.drained()["depth"].median_us == pytest.approx(100, rel=0.04)
    assert streams.totals("depth") == (4, 136)
    assert streams.totals("none") == (0, 0)


@given(st.integers(-(10**7), 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_offset_error_is_at_most_half_the_round_trip(ahead_us, out_us, back_us):
    """The times out and back cannot be separated."""
    sent_us = 1_767_600_000_000_000
    trip = RoundTrip(out_us + back_us, sent_us + out_us + back_us + ahead_us, sent_us + out_us)
    assert abs(trip.offset_us - ahead_us) <= (out_us + back_us + 1) / 2


def test_offset_is_taken_from_the_shortest_round_trip():
    """A slow response gives little information about the clock."""
    assert offset_of([]) is None
    assert offset_of([RoundTrip(900, 5, 0), RoundTrip(80, 7, 0), RoundTrip(81, 9, 0)]) == RoundTrip(80, 7, 0)


def test_clock_steps_are_reported_once_and_slewing_never():
    """Two seconds in either direction are a step; 500 ppm, the maximum slew of a kernel, is not."""
    wall, mono = 1_767_600_000_000_000, 5_000_000
    watch = ClockWatch(wall, mono)
    for by_us in (0, 500, -500, 2_000_000, 0, -2_000_000, 0):
        wall, mono = wall + 1_000_000 + by_us, mono + 1_000_000
        assert watch.step_us(wall, mono) == (by_us if abs(by_us) > 500 else 0)
