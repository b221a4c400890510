import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.rate_budget import EARLY_MOST_S, SHORT_BAN_S, Backoff, retry_after_s


def delays(backoff, count, now_s=0.0, work_s=0.0):
    """Return the delays of attempts that each fail after *work_s*."""
    values = []
    for _ in range(count):
        values.append(backoff.delay(now_s))
        now_s += values[-1] + work_s
    return values


def test_delays_double_to_eight_seconds_and_after_a_minute_to_the_maximum():
    """The first attempt is made at once: most failures are short."""
    values = delays(Backoff(0.25, 30.0, draw=lambda: 0.0), 16)
    assert values[:8] == [0, 0.25, 0.5, 1, 2, 4, 8, 8]
    assert max(values[:12]) == EARLY_MOST_S
    assert values[-1] == 30


def test_backoff_resets_after_a_healthy_minute():
    """A connection that lived for a minute counts as a success."""
    backoff = Backoff(0.25, 30.0, draw=lambda: 0.0)
    delays(backoff, 8)
    last_s = 40.0
    assert backoff.delay(last_s) > 0
    assert delays(backoff, 3, now_s=last_s + 70) == [0, 0.25, 0.5]


def test_backoff_resets_after_a_success():
    """Regardless of the time since the last attempt."""
    backoff = Backoff(0.25, 30.0, draw=lambda: 0.0)
    delays(backoff, 8)
    backoff.succeeded()
    assert delays(backoff, 3, now_s=12.0) == [0, 0.25, 0.5]


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.01, 60), st.floats(0, 70))
def test_delay_never_exceeds_the_maximum(draws, most_s, work_s):
    """Jitter shortens, by up to a half; nothing makes a delay longer."""
    backoff, now_s = Backoff(0.25, most_s, draw=iter([*draws, *[0.5] * 50]).__next__), 0.0
    for _ in draws:
        delay_s = backoff.delay(now_s)
        assert 0 <= delay_s <= most_s
        now_s += delay_s + work_s


def test_backoff_stays_below_300_attempts_in_five_minutes():
    """The exchange bans addresses that try more often; here every attempt fails at once."""
    assert sum(delays(Backoff(0.25, 30.0, draw=lambda: 1.0), 60)) > 300


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (None, 0.0), ("", 0.0), ("Wed, 21 Oct 2026", 0.0), ("-1", 0.0), ("259200", 259_200.0)],
)
def test_retry_after_header_is_read_in_seconds(header, seconds):
    """A header in another form is left to the backoff."""
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize("header", ["259201", "9" * 18, "9" * 400])
def test_implausible_retry_after_becomes_a_short_pause(header):
    """A mistake must not silence a recorder for years."""
    assert retry_after_s(header) == SHORT_BAN_S
