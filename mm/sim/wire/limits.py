"""Limits of connections, of event rates, and of request weights."""

from collections import deque
from dataclasses import dataclass

from mm.clock import US_PER_MS
from mm.sim.exchange.accounts import DAY_US, MINUTE_US, RateLimit
from mm.sim.exchange.api_error import TEAPOT, TOO_MANY, ApiError

WEIGHT_LIMIT = RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 6_000)
RAW_LIMIT = RateLimit("RAW_REQUESTS", "MINUTE", 5, 300_000)
_REFUSALS_BEFORE_BAN = 10
"""Number of refusals within one minute after which an address is banned."""
_FIRST_BAN_US, _LONGEST_BAN_US, _BAN_FACTOR = 2 * MINUTE_US, 3 * DAY_US, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """Limits of connections; durations are seconds of wall time, independent of the exchange's clock.

    Attributes:
        slow_bytes: Unsent bytes above which a connection is slow: its depth messages are conflated.
        lost_bytes: Unsent bytes above which a connection is closed.
    """

    messages: int = 5
    messages_s: float = 1.0
    streams: int = 1024
    attempts: int | None = 300
    attempts_s: float = 300.0
    ping_s: float = 20.0
    pong_s: float = 60.0
    age_s: float = 24 * 3600.0
    idle_s: float = 60.0
    close_s: float = 0.5
    message_bytes: int = 1 << 16
    header_bytes: int = 1 << 16
    body_bytes: int = 1 << 18
    slow_bytes: int = 1 << 18
    lost_bytes: int = 1 << 23


class RateWindow:
    """Events of the last *seconds*: a sliding window, not a token bucket."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: deque[float] = deque()

    def admit(self, now_s: float) -> bool:
        self.drop_old(now_s)
        self._times.append(now_s)
        if len(self._times) > self._most:
            self._times.popleft()
            return False
        return True

    def drop_old(self, now_s: float) -> bool:
        times = self._times
        while times and times[0] <= now_s - self._seconds:
            times.popleft()
        return not times

    def free_in_s(self, now_s: float) -> float:
        if len(self._times) < self._most:
            return 0.0
        return max(0.0, self._times[0] + self._seconds - now_s)


@dataclass(slots=True)
class _Usage:
    minute_ends_us: int = 0
    weight: int = 0
    refusals: int = 0
    window_ends_us: int = 0
    requests: int = 0
    banned_until_us: int = 0
    bans: int = 0

    def roll(self, us: int, weight: RateLimit) -> None:
        if us >= self.minute_ends_us:
            self.minute_ends_us, self.weight, self.refusals = weight.end_us(us), 0, 0
        if us >= self.window_ends_us:
            self.window_ends_us, self.requests = RAW_LIMIT.end_us(us), 0


class Weights:
    """Request weight of each address in the current minute of the exchange's time."""

    def __init__(self, limits: bool, weight: RateLimit = WEIGHT_LIMIT) -> None:
        self.limit = weight
        self._limits = limits
        self._addresses: dict[str, _Usage] = {}

    def used(self, address: str, us: int) -> int:
        return self._usage(address, us).weight

    def charge(self, address: str, weight: int, us: int) -> None:
        """Raise ApiError, status 429, beyond the limit, and 418 while the address is banned."""
        usage = self._usage(address, us)
        usage.weight += weight
        usage.requests += 1
        if not self._limits:
            return
        if us >= usage.banned_until_us:
            if usage.weight <= self.limit.limit and usage.requests <= RAW_LIMIT.limit:
                return
            usage.refusals += 1
            if usage.refusals <= _REFUSALS_BEFORE_BAN:
                raise _too_many(usage, self.limit)
            usage.banned_until_us = us + min(_FIRST_BAN_US * _BAN_FACTOR**usage.bans, _LONGEST_BAN_US)
            usage.bans += 1
        raise ApiError(
            -1003,
            f"Way too much request weight used; IP banned until {usage.banned_until_us // US_PER_MS}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            TEAPOT,
            retry_us=usage.banned_until_us,
        )

    def _usage(self, address: str, us: int) -> _Usage:
        usage = self._addresses.setdefault(address, _Usage())
        usage.roll(us, self.limit)
        return usage


def _too_many(usage: _Usage, weight: RateLimit) -> ApiError:
    limit, what, ends_us = weight, "request weight", usage.minute_ends_us
    if usage.weight <= weight.limit:
        limit, what, ends_us = RAW_LIMIT, "requests", usage.window_ends_us
    many = f"Too many {what}" if limit is RAW_LIMIT else f"Too much {what} used"
    return ApiError(
        -1003,
        f"{many}; current limit is {limit.limit} {what} per {limit.number} MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
        TOO_MANY,
        retry_us=ends_us,
    )
