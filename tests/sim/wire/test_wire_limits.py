"""Limits of connections and of request weight."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_rig import SYMBOL, Desk, Door
from mm.sim.exchange.api_error import ApiError
from mm.sim.wire.limits import RateWindow, Weights


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 5))
def test_rate_window_admits_at_most_the_limit_per_window(steps, limit):
    """The window rolls; it is no bucket that admits a burst and its refill within one second."""
    window, now, admitted = RateWindow(limit, 10), 0, []
    for step in steps:
        now += step
        if window.admit(now):
            admitted.append(now)
    assert all(sum(now - 10 < at <= now for at in admitted) <= limit for now in admitted)


def test_free_in_s_returns_time_until_next_admission():
    """It is the value of Retry-After."""
    window = RateWindow(2, 10)
    assert window.admit(0)
    assert window.free_in_s(0) == 0
    assert window.admit(3)
    assert not window.admit(4)
    assert 0 < window.free_in_s(4) <= 10
    assert window.admit(4 + 10)


def test_empty_rate_window_can_be_dropped():
    """Addresses that came once must not be kept for ever."""
    window = RateWindow(2, 10)
    window.admit(0)
    assert not window.drop_old(9.9)
    assert window.drop_old(10)


MINUTE_US = 60_000_000
DEEP = f"depth?symbol={SYMBOL}&limit=5000"


def charge(weights: Weights, us: int, weight: int = 1, address: str = "a") -> tuple[int, int | None]:
    """Return the status of a request, and when a new attempt may be made."""
    try:
        weights.charge(address, weight, us)
    except ApiError as error:
        return error.http_status, error.retry_us
    return 200, None


def test_weight_limit_is_6000_per_minute() -> None:
    """All of it may be used; the next minute starts at zero."""
    weights = Weights(limits=True)
    assert charge(weights, 5, 6_000) == (200, None)
    assert charge(weights, 6) == (429, MINUTE_US)
    assert charge(weights, MINUTE_US, 6_000) == (200, None)
    assert weights.used("a", MINUTE_US) == 6_000
    assert weights.used("a", 2 * MINUTE_US) == 0


def test_each_address_has_its_own_weight_limit() -> None:
    """The limits are on addresses, not on keys."""
    weights = Weights(limits=True)
    charge(weights, 0, 7_000)
    assert charge(weights, 0, address="b") == (200, None)


def test_repeated_violations_are_banned_longer_each_time() -> None:
    """Ten refusals are tolerated; bans last 2, 10, 50 … minutes and three days at most, and end."""
    weights, us, lasted = Weights(limits=True), 0, []
    for _ in range(8):
        charge(weights, us, 7_000)
        assert [charge(weights, us)[0] for _ in range(9)] == [429] * 9
        status, until_us = charge(weights, us)
        assert status == 418
        assert until_us is not None
        assert charge(weights, until_us - 1) == (418, until_us)
        lasted.append((until_us - us) // MINUTE_US)
        us = until_us - until_us % MINUTE_US + 5 * MINUTE_US
        assert charge(weights, us)[0] == 200
    assert lasted == [2, 10, 50, 250, 1_250, 4_320, 4_320, 4_320]


def test_number_of_requests_is_limited_as_well() -> None:
    """300,000 in five minutes, independent of their weight."""
    weights = Weights(limits=True)
    for minute in range(5):
        for _ in range(60_000):
            weights.charge("a", 0, minute * MINUTE_US)
    assert charge(weights, 5 * MINUTE_US - 1, 0) == (429, 5 * MINUTE_US)
    assert charge(weights, 5 * MINUTE_US, 0) == (200, None)


def test_weights_are_only_counted_without_limits() -> None:
    """`--limits off`."""
    weights = Weights(limits=False)
    assert charge(weights, 0, 100_000) == (200, None)
    assert weights.used("a", 0) == 100_000


def test_rest_returns_retry_after_for_limit_and_ban() -> None:
    """Retry-After is in seconds; the message contains the limit, or the end of the ban."""
    door = Door(Desk())
    door.desk.us += 12_500_000
    for _ in range(24):
        assert door.raw("GET", DEEP).status == 200
    refused = door.raw("GET", DEEP)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "48")
    assert refused.headers["X-MBX-USED-WEIGHT-1M"] == "6250"
    assert json.loads(refused.body) == {
        "code": -1003,
        "msg": "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
    }
    for _ in range(9):
        door.raw("GET", "ping")
    banned = door.raw("GET", "ping")
    assert (banned.status, banned.headers["Retry-After"]) == (418, "120")
    until_ms = (door.desk.us + 120_000_000) // 1_000
    assert json.loads(banned.body)["msg"].startswith(f"Way too much request weight used; IP banned until {until_ms}. ")


@pytest.mark.parametrize("target", ["ping?a=1", "account", f"trades?symbol={SYMBOL}&limit=x"])
def test_rejected_requests_have_the_same_weight(target: str) -> None:
    """Errors are no way around the limits."""
    door = Door(Desk())
    assert door.raw("GET", target).headers["X-MBX-USED-WEIGHT-1M"] in ("1", "20", "25")
