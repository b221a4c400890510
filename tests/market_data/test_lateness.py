"""How late a market is, message by message."""

from mm.market_data.lateness import UNKNOWN_US, Lateness

MS = 1_000


def lateness(offset_ms=0, within_ms=0):
    found = Lateness()
    found.measured((offset_ms - within_ms) * MS)
    return found


def test_a_message_is_as_late_as_it_arrives_after_its_stamp_by_our_clock():
    """Our clock is 1,300 ms behind the exchange's."""
    late = lateness(offset_ms=-1_300)
    assert late.depth(10_000 * MS, 11_300 * MS) == 0
    assert late.depth(16_000 * MS, 11_300 * MS) == 6_000 * MS


def test_an_offset_that_is_not_known_exactly_counts_at_its_worst():
    """The exchange may have read its clock when the request was sent, or when its answer came."""
    assert lateness(within_ms=400).depth(10_000 * MS, 10_000 * MS) == 400 * MS


def test_a_trade_can_only_raise_it_and_the_next_book_decides():
    """A late book is not made young by its trades."""
    late = lateness()
    assert late.depth(10_000 * MS, 5_000 * MS) == 5_000 * MS
    assert late.trade(10_100 * MS, 10_100 * MS) == 5_000 * MS
    assert late.trade(10_200 * MS, 4_200 * MS) == 6_000 * MS
    assert late.depth(10_300 * MS, 10_290 * MS) == 10 * MS


def test_messages_without_a_stamp_or_from_the_future_do_not_make_it_younger_than_their_arrival():
    """A clock of the exchange that was set forward is no news from tomorrow."""
    late = lateness()
    late.depth(10_000 * MS, 8_000 * MS)
    assert late.depth(10_100 * MS, 0) == late.trade(10_100 * MS, 0) == 2_000 * MS
    assert late.depth(10_200 * MS, 90_000 * MS) == 0


def test_a_clock_that_was_never_measured_is_late_where_that_must_be_known():
    """Once it was, the market is in time until a message says otherwise."""
    late, strict = Lateness(), Lateness(strict=True)
    assert (late.depth(10_000 * MS, 1_000 * MS), strict.depth(10_000 * MS, 1_000 * MS)) == (0, UNKNOWN_US)
    strict.measured(0)
    assert strict.late_us == 0
