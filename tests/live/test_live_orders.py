"""When a missing order is proved to be none."""

from hypothesis import given
from hypothesis import strategies as st

from mm.live.live_orders import AHEAD_MS, ENDS, LiveOrder, OrderState


@given(st.integers(0, 10**6), st.integers(1, 60_000), st.integers(-5_000, 200_000), st.integers(0, 10**6))
def test_a_query_that_proves_absence_is_processed_after_the_order_can_be(
    sent_ms: int, window_ms: int, query_ms: int, exchange_ms: int
) -> None:
    """By the rule that the exchange documents for timestamps, whatever our clock or the offset between the two is."""
    order = LiveOrder(1, "c1", 1, "1", "1", "LIMIT", sent_ms, window_ms)
    takes_query = query_ms < exchange_ms + AHEAD_MS
    takes_order = exchange_ms - sent_ms <= window_ms
    if order.proves_absence(query_ms) and takes_query:
        assert not takes_order


def test_an_order_counts_as_ended_in_four_states() -> None:
    """All others are open, also the unknown one."""
    assert {state for state in OrderState if state in ENDS} == {
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
    }
    order = LiveOrder(1, "c1", 1, "1", "0.5", "LIMIT")
    assert (order.qty_e8, order.ended) == (50_000_000, False)
