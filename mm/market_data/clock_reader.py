"""Measures the exchange's clock by requests for its time."""

from collections.abc import Callable
from time import monotonic_ns

from mm.market_data.message_latency import RoundTrip, offset_of
from mm.market_data.snapshot import RestClient

ROUND_TRIPS = 3


class ClockReader:
    """Asks an exchange for its time; *monotonic_us* is a monotonic clock, in µs."""

    def __init__(self, rest: RestClient, monotonic_us: Callable[[], int] = lambda: monotonic_ns() // 1_000) -> None:
        self._rest = rest
        self._monotonic_us = monotonic_us

    async def read(self) -> RoundTrip | None:
        trips = [await self._round_trip() for _ in range(ROUND_TRIPS)]
        return offset_of(trip for trip in trips if trip)

    async def _round_trip(self) -> RoundTrip | None:
        start_us = self._monotonic_us()
        answer = await self._rest.time()
        took_us = self._monotonic_us() - start_us
        server_us = None if answer.cause else self._rest.feed.server_time_us(answer.body)
        return None if server_us is None else RoundTrip(took_us, answer.recv_us, server_us)
