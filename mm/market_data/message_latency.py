"""Statistics of message latencies, and the error of the clock."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from mm.clock import exchange_us

BITS = 5
LEAST_STEP_US = 50_000
OFFSET_STREAM = "rest"
"""The ledger's name for the offset measured over REST, in addition to the streams' offsets."""


class Spread(NamedTuple):
    median_us: int
    p99_us: int


class LatencyHistogram:
    """Counts latencies in buckets whose width grows with the value: each is accurate to 3 %, and memory is bounded."""

    __slots__ = ("_buckets", "count", "last_us", "sum_us")

    def __init__(self) -> None:
        self.count = 0
        self.sum_us = 0
        self.last_us = 0
        self._buckets: dict[int, int] = {}

    def add(self, latency_us: int) -> None:
        size = -latency_us if latency_us < 0 else latency_us
        shift = size.bit_length() - BITS
        lowest = (size >> shift) << shift if shift > 0 else size
        bucket = -lowest if latency_us < 0 else lowest
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.sum_us += latency_us
        self.last_us = latency_us

    def percentiles(self, *shares: float) -> list[int]:
        """The latency (µs) that each share (0 to 1) does not exceed; raises ValueError without latencies."""
        if not self.count:
            raise ValueError("no latency was added, so there are no percentiles")
        percentiles = []
        for share in shares:
            left = max(1, round(share * self.count))
            for bucket in sorted(self._buckets):
                left -= self._buckets[bucket]
                if left <= 0:
                    percentiles.append(_middle(bucket))
                    break
        return percentiles

    def merge(self, later: "LatencyHistogram") -> None:
        for bucket, count in later._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.count += later.count
        self.sum_us += later.sum_us
        self.last_us = later.last_us

    def spread(self) -> Spread | None:
        return Spread(*self.percentiles(0.5, 0.99)) if self.count else None


class StreamLatencies:
    def __init__(self) -> None:
        self.before: dict[str, LatencyHistogram] = {}
        self.arrived: dict[str, int] = {}
        self._recent: dict[str, LatencyHistogram] = {}
        self._times: dict[str, array[int]] = {}

    def times(self, stream: str) -> "array[int]":
        """Alternating arrivals (µs) and exchange stamps (ms or µs), evaluated when latencies are read."""
        return self._times.setdefault(stream, array("q"))

    @property
    def recent(self) -> dict[str, LatencyHistogram]:
        for stream, times in self._times.items():
            if times:
                self.arrived[stream] = times[-2]
                recent = self._recent.setdefault(stream, LatencyHistogram())
                for recv_us, stamp in zip(times[::2], times[1::2], strict=True):
                    recent.add(recv_us - exchange_us(stamp))
                del times[:]
        return self._recent

    def drained(self) -> dict[str, Spread]:
        recent, self._recent = self.recent, {}
        for stream, histogram in recent.items():
            self.before.setdefault(stream, LatencyHistogram()).merge(histogram)
        return {stream: spread for stream, histogram in recent.items() if (spread := histogram.spread())}

    def last_us(self, stream: str) -> int | None:
        histogram = self.recent.get(stream) or self.before.get(stream)
        return histogram.last_us if histogram else None

    def totals(self, stream: str) -> tuple[int, int]:
        parts = [histogram for histogram in (self.before.get(stream), self.recent.get(stream)) if histogram]
        return sum(part.count for part in parts), sum(part.sum_us for part in parts)


@dataclass(frozen=True, slots=True)
class RoundTrip:
    took_us: int
    answered_us: int
    server_us: int

    @property
    def offset_us(self) -> int:
        """Our clock minus the exchange's for equal delays both ways; the error is at most half the trip."""
        return self.answered_us - self.took_us // 2 - self.server_us


def offset_of(trips: Iterable[RoundTrip]) -> RoundTrip | None:
    """The shortest trip's offset is the most accurate."""
    return min(trips, key=lambda trip: trip.took_us, default=None)


class ClockWatch:
    """Detects that a wall clock was set, by a monotonic clock.

    Slewing by some µs per second is no step; `LEAST_STEP_US` separates the two.
    """

    def __init__(self, wall_us: int, monotonic_us: int) -> None:
        self._ahead_us = wall_us - monotonic_us

    def step_us(self, wall_us: int, monotonic_us: int) -> int:
        ahead_us = wall_us - monotonic_us
        by_us = ahead_us - self._ahead_us
        self._ahead_us = ahead_us
        return by_us if abs(by_us) >= LEAST_STEP_US else 0


def _middle(bucket: int) -> int:
    size = abs(bucket)
    shift = size.bit_length() - BITS
    middle = size + (1 << shift >> 1) if shift > 0 else size
    return -middle if bucket < 0 else middle
