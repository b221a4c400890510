"""When a missing order is proved to be absent."""

from hypothesis import given
from hypothesis import strategies as st

from mm.live.venues.live_orders import AHEAD_MS, LiveOrder


@given(st.integers(0, 10**6), st.integers(1, 60_000), st.integers(-5_000, 200_000), st.integers(0, 10**6))
def test_query_that_proves_absence_excludes_later_arrival(
    sent_ms: int, window_ms: int, query_ms: int, exchange_ms: int
) -> None:
    """By the exchange's documented rule for timestamps, for any clock and any offset."""
    order = LiveOrder(1, "c1", 1, "1", "1", "LIMIT", sent_ms, window_ms)
    takes_query = query_ms < exchange_ms + AHEAD_MS
    takes_order = exchange_ms - sent_ms <= window_ms
    if order.proves_absence(query_ms) and takes_query:
        assert not takes_order
