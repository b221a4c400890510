"""What runs beside a recording and only looks: the clock against a monotonic one and the exchange's, and the health."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from time import monotonic_ns

import msgspec

from mm.clock import now_us
from mm.market_data.health import ENDED, INTERVAL_S, Health, HealthReport, Recording, write_health
from mm.market_data.latency import ClockWatch, RoundTrip, offset_of
from mm.market_data.metrics import metrics_served, page
from mm.market_data.snapshot import RestClient

TICK_S = 1.0
FIRST_OFFSET_S = 1.0
OFFSET_INTERVAL_S = 600.0
ROUND_TRIPS = 3


class Monitor:
    """Look at one recording.

    Args:
        health: Takes the clock's offset, and tells the rest.
        rest: Who knows the exchange's time.
        clock: Returns the wall clock, in µs.
        monotonic_us: Returns a clock that nobody sets, in µs.
    """

    def __init__(
        self,
        health: Health,
        rest: RestClient,
        clock: Callable[[], int] = now_us,
        monotonic_us: Callable[[], int] = lambda: monotonic_ns() // 1_000,
    ) -> None:
        self._health = health
        self._rest = rest
        self._clock = clock
        self._monotonic_us = monotonic_us
        self._written: HealthReport | None = None

    @asynccontextmanager
    async def beside(self, recording: Recording, host: str = "", port: int = 0) -> AsyncIterator[None]:
        """Look at *recording* until the block ends, and serve its page on *port*, if that is not 0.

        Raises:
            UsageError: If there is no listening on *host* and *port*.
        """
        served = metrics_served(host, port, lambda: page(self._look(recording))) if port else nullcontext(0)
        async with served:
            tasks = [asyncio.create_task(work) for work in (self._watch(recording), self._measure(recording))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._health.ended = True
                with suppress(OSError):
                    write_health(self._look(recording))

    async def round_trip(self) -> RoundTrip | None:
        """Ask for the exchange's time once; None where it does not tell it."""
        asked_us = self._monotonic_us()
        answer = await self._rest.time()
        took_us = self._monotonic_us() - asked_us
        server_us = None if answer.cause else self._rest.venue.server_time_us(answer.body)
        return None if server_us is None else RoundTrip(took_us, answer.recv_us, server_us)

    async def _watch(self, recording: Recording) -> None:
        """See steps of the clock, and write the health every `INTERVAL_S`."""
        watch, due_us = ClockWatch(self._clock(), self._monotonic_us()), 0
        while True:
            at_us, now_us = self._clock(), self._monotonic_us()
            step_us, session = watch.step_us(at_us, now_us), recording.session
            if session:
                session.clock_read(at_us, step_us)
            if now_us >= due_us:
                due_us = now_us + round(INTERVAL_S * 1e6)
                await self._write(recording)
            await asyncio.sleep(TICK_S)

    async def _write(self, recording: Recording) -> None:
        told, before = self._look(recording), self._written
        self._written = told
        try:
            if before and before.path != told.path:
                await asyncio.to_thread(write_health, msgspec.structs.replace(before, state=ENDED))
            await asyncio.to_thread(write_health, told)
        except OSError:
            pass  # no space for it: the recording itself meets that and says so

    async def _measure(self, recording: Recording) -> None:
        """Write latencies and offset into the ledger: soon after the start, and every `OFFSET_INTERVAL_S`."""
        wait_s = FIRST_OFFSET_S
        while True:
            await asyncio.sleep(wait_s)
            trips = [await self.round_trip() for _ in range(ROUND_TRIPS)]
            best = offset_of(trip for trip in trips if trip)
            self._health.trip = best or self._health.trip
            session = recording.session
            if session:
                session.clock_offsets(self._clock(), best)
                wait_s = OFFSET_INTERVAL_S

    def _look(self, recording: Recording) -> HealthReport:
        return self._health.report(recording, self._clock())
