"""Sending stays below the exchange's limits, and status 429 or 418 stops it."""

from pathlib import Path

import pytest

from mm.live.venues.binance import ApiLimit
from mm.live.venues.binance_spot import CANCEL, MY_TRADES, PLACE
from mm.live.venues.request_limits import CountWindow, OrderLimits
from mm.live.venues.requests import ApiAnswer, Outcome
from mm.market_data.rate_budget import RateBudget

ORDERS = ApiLimit("ORDERS", "SECOND", 10, 3)
WEIGHT = ApiLimit("REQUEST_WEIGHT", "MINUTE", 1, 100)


class Clock:
    def __init__(self) -> None:
        self.s = 1_000.0

    def __call__(self) -> float:
        return self.s


def limits() -> tuple[OrderLimits, Clock]:
    clock = Clock()
    found = OrderLimits(None, clock)
    found.known([ORDERS, WEIGHT])
    return found, clock


def refused(status: int, retry_s: float = 0.0, code: int = -1003) -> ApiAnswer:
    return ApiAnswer(Outcome.REFUSED, 0, code=code, status=status, retry_after_s=retry_s)


def test_sent_orders_are_counted_between_answers() -> None:
    """Three per ten seconds; cancels do not count."""
    found, clock = limits()
    for _ in range(3):
        assert found.refusal() is None
        found.sent(PLACE)
        found.sent(CANCEL)
    refusal = found.refusal()
    assert refusal
    assert refusal[0] == -1015
    clock.s += 10
    assert found.refusal() is None


def test_exchange_count_overrides_own_count() -> None:
    """The exchange returns filled orders to the limit."""
    found, _ = limits()
    for _ in range(3):
        found.sent(PLACE)
    found.counted([ApiLimit("ORDERS", "SECOND", 10, 3, 1)])
    assert found.refusal() is None
    found.headers({"X-MBX-ORDER-COUNT-10S": "3", "X-MBX-USED-WEIGHT-1M": "4"})
    assert (found.refusal() or (0, ""))[0] == -1015


def test_request_weight_is_counted() -> None:
    """Queries weigh more than orders."""
    found, _ = limits()
    for _ in range(5):
        found.sent(MY_TRADES)
    assert (found.refusal() or (0, ""))[0] == -1003


@pytest.mark.parametrize(("status", "first_s"), [(429, 1.0), (418, 120.0)])
def test_silence_without_retry_after_doubles(status: int, first_s: float) -> None:
    """Retry-After takes precedence where it is given."""
    found, clock = limits()
    found.answered(refused(status))
    assert found.silence_s == first_s
    clock.s += first_s
    found.answered(refused(status))
    assert found.silence_s == 2 * first_s
    found.answered(refused(status, 500.0))
    assert found.silence_s == 500
    clock.s += 500
    assert found.silence_s == 0
    found.answered(ApiAnswer(Outcome.DONE, 0, status=200))
    found.answered(refused(status))
    assert found.silence_s == first_s


def test_too_many_orders_error_causes_no_silence() -> None:
    """-1015 comes with status 429, but cancels continue."""
    found, _ = limits()
    found.answered(refused(429, code=-1015))
    assert found.silence_s == 0


def test_silence_is_shared_between_processes(tmp_path: Path) -> None:
    """It takes effect in the other process with its next count."""
    path = tmp_path / "weight.json"
    ours, theirs = OrderLimits(RateBudget(6_000, 60, path)), OrderLimits(RateBudget(6_000, 60, path))
    ours.answered(refused(429, 30.0))
    theirs.counted([ApiLimit("REQUEST_WEIGHT", "MINUTE", 1, 6_000, 5)])
    assert 29 < theirs.silence_s <= 30
    assert RateBudget(6_000, 60, path).spend(1.0) > 29


def test_count_window_drops_old_counts() -> None:
    """Both the exchange's count and requests sent since then."""
    window = CountWindow(10, 5)
    window.count(4, 100)
    window.add(1, 105)
    assert [window.used(s) for s in (105, 109.9, 110, 114.9, 115)] == [5, 5, 1, 1, 0]
