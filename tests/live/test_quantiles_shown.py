"""Quantiles that a page and a measurement show: at the edges of buckets, and never below nothing."""

import pytest

from mm.live.pages.trading_metrics import BucketCounts
from mm.live.venues.measured_latency import VenueLatency
from mm.market_data.message_latency import RoundTrip


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.5), (0.5, 1.0), (0.75, 9.0), (1.0, 10.0)])
def test_quantile_at_the_edge_of_a_bucket_is_that_edge(share, seconds):
    """Buckets without an observation lie in between: nothing was as slow as they are."""
    counts = BucketCounts((1.0, 2.0, 5.0, 8.0, 10.0))
    for observed in (0.5, 9.0):
        counts.observe(observed)
    assert counts.quantile(share) == pytest.approx(seconds)


def test_quantile_beyond_the_last_bucket_is_its_bound():
    counts = BucketCounts((1.0, 2.0))
    assert counts.quantile(0.5) is None
    counts.observe(100.0)
    assert counts.quantile(0.5) == 2.0


@pytest.mark.parametrize(("delays", "feed_us"), [([], None), ([3_000, 5_000, 9_000], 5_000), ([-900, -500, -100], 0)])
def test_delay_of_a_feed_is_never_negative(delays, feed_us):
    """An offset that is off by less than it is uncertain would show messages that come before they were sent."""
    found = VenueLatency(trips=[RoundTrip(took_us=600, answered_us=1_000_300, server_us=1_000_000)])
    found.delays["depth"] += delays
    assert found.feed_us() == feed_us
    assert found.one_way_us() == 300
