"""Background tasks of a recording: checks of the clock, the health file, and the metrics page."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from time import monotonic_ns

import msgspec

from mm.base.doors import Door
from mm.clock import US_PER_S, now_us
from mm.market_data.clock_reader import ClockReader
from mm.market_data.health import (
    ENDED,
    INTERVAL_S,
    TROUBLES,
    Health,
    HealthReport,
    WatchedRecording,
    trouble_inside,
    write_health,
)
from mm.market_data.message_latency import ClockWatch
from mm.market_data.metrics import MetricFamily, MetricSample, exposition, market_families, metrics_served
from mm.market_data.snapshot import RestClient

SYNCED = "synced"
STATES = ("waiting", "connecting", "syncing", SYNCED, ENDED)


def page(report: HealthReport) -> str:
    counts = {stream: health.messages for stream, health in report.streams.items()}
    shared = market_families(report.book_age_s, report.events.get("gap", 0), counts) if report.path else []
    own = [(MetricFamily(f"mm_recorder_{name}", kind, text), filled) for name, kind, text, filled in _families(report)]
    return exposition(report.symbol, [*shared, *own])


def _families(report: HealthReport) -> Iterator[tuple[str, str, str, list[MetricSample]]]:
    yield "info", "gauge", "The run; its value is 1.", [("", {"run_id": report.run_id}, 1)]
    states: list[MetricSample] = [("", {"state": state}, state == report.state) for state in STATES]
    yield "state", "gauge", "1 for the current state of the recording.", states
    yield "last_look_timestamp_seconds", "gauge", "When this was measured.", [("", {}, report.at_us / US_PER_S)]
    yield "connections", "gauge", "Open connections.", [("", {}, report.connections)]
    yield "lag_seconds", "gauge", "Time since the last message.", _maybe(report.lag_s)
    yield from _stream_families(report)
    kinds = (*TROUBLES, "backfill") if report.path else ()
    events: list[MetricSample] = [("", {"type": kind}, report.events.get(kind, 0)) for kind in kinds]
    yield "events_total", "counter", "Ledger events of the run and day, by type.", events
    anomalies: list[MetricSample] = [("", {"kind": kind}, count) for kind, count in sorted(report.anomalies.items())]
    yield "anomalies_total", "counter", "Anomalies of the day, by kind.", anomalies
    yield "quarantined_total", "counter", "Unreadable messages.", [("", {}, report.quarantined)]
    yield "unsynced_seconds", "gauge", "Time without a valid book, inside the window.", [("", {}, report.unsynced_s)]
    yield "snapshot_refusals", "gauge", "Snapshots that failed since one was loaded.", [("", {}, report.refusals)]
    lately = report.quarantined_lately
    yield "quarantined_lately", "gauge", "Unreadable messages in the last minute.", [("", {}, lately)]
    yield "clock_steps_total", "counter", "Number of times the wall clock was set.", [("", {}, report.clock_steps)]
    yield "epoch", "gauge", "The last opened epoch.", [("", {}, report.epoch_id)]
    sides: list[MetricSample] = [("", {"side": side}, n) for side, n in zip(("bid", "ask"), report.levels, strict=True)]
    yield "book_levels", "gauge", "Levels in the book.", sides
    yield "used_weight", "gauge", "Weight used of the exchange's budget per minute.", _maybe(report.used_weight)
    free_bytes = None if report.free_mb is None else report.free_mb * 1e6
    yield "disk_free_bytes", "gauge", "Free disk space.", _maybe(free_bytes)
    yield "clock_offset_seconds", "gauge", "Our clock minus the exchange's.", _maybe(_seconds(report.offset_us))


def _stream_families(report: HealthReport) -> Iterator[tuple[str, str, str, list[MetricSample]]]:
    rates: list[MetricSample] = []
    counts: list[MetricSample] = []
    latencies: list[MetricSample] = []
    for stream, health in report.streams.items():
        label = {"stream": stream}
        counts.append(("", label, health.messages))
        rates.append(("", label, health.rate_per_s))
        for share, value_us in (("0.5", health.median_us), ("0.99", health.p99_us)):
            latencies += [("", {**label, "quantile": share}, value) for _, _, value in _maybe(_seconds(value_us))]
        latencies += [("_sum", label, health.latency_sum_us / US_PER_S), ("_count", label, health.messages)]
    yield "messages_total", "counter", "Messages of this run, by stream.", counts
    yield "message_rate", "gauge", "Messages per second, by stream.", rates
    yield "latency_seconds", "summary", "Arrival minus the exchange's stamp, by stream.", latencies


def _maybe(value: float | None) -> list[MetricSample]:
    return [] if value is None else [("", {}, value)]


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / US_PER_S


TICK_S = 1.0
FIRST_OFFSET_S = 1.0
OFFSET_INTERVAL_S = 600.0
DOUBTED_INTERVAL_S = 5.0
"""Time between two measurements of a clock whose last one does not explain the messages."""


class Monitor:
    def __init__(
        self,
        health: Health,
        rest: RestClient,
        clock: Callable[[], int] = now_us,
        monotonic_us: Callable[[], int] = lambda: monotonic_ns() // 1_000,
    ) -> None:
        self._health = health
        self._reader = ClockReader(rest, monotonic_us)
        self._clock = clock
        self._monotonic_us = monotonic_us
        self._written: HealthReport | None = None
        self._writing: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def watching(
        self, recording: WatchedRecording, host: str = "", port: int = 0, door: Door | None = None
    ) -> AsyncIterator[None]:
        """Watch until the block ends, and serve page and health on *port* unless it is 0; raises UsageError or
        SafetyError.
        """

        def why() -> str:
            return self._why_not_ready(recording)

        served = metrics_served(host, port, lambda: page(self._now(recording)), why, door=door)
        async with served if port else nullcontext(0):
            tasks = [asyncio.create_task(work) for work in (self._watch(recording), self._measure(recording))]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                # A thread that writes the health goes on when its task is cancelled: the end is written after it.
                await asyncio.gather(*tasks, *filter(None, [self._writing]), return_exceptions=True)
                self._health.ended = True
                with suppress(OSError):
                    await asyncio.to_thread(self._health.write, self._now(recording))

    async def _watch(self, recording: WatchedRecording) -> None:
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

    async def _write(self, recording: WatchedRecording) -> None:
        report, before = self._now(recording), self._written
        self._written = report

        def store() -> None:
            with suppress(OSError):  # no space for it: the recording itself detects and reports that
                if before and before.path != report.path:
                    write_health(msgspec.structs.replace(before, state=ENDED))
                self._health.write(report)

        self._writing = asyncio.ensure_future(asyncio.to_thread(store))
        await asyncio.shield(self._writing)

    async def _measure(self, recording: WatchedRecording) -> None:
        """Measure soon after the start, every `OFFSET_INTERVAL_S`, and if the clock is doubted.

        The reading reaches the session in the same step, so that no message comes between.
        """
        loop = asyncio.get_running_loop()
        measured_s, every_s = loop.time(), FIRST_OFFSET_S
        while True:
            await asyncio.sleep(min(TICK_S, every_s))
            session, waited_s = recording.session, loop.time() - measured_s
            doubted = session is not None and waited_s >= DOUBTED_INTERVAL_S and session.clock_doubted
            if waited_s < every_s and not doubted:
                continue
            best = await self._reader.read()
            measured_s = loop.time()
            self._health.trip = best or self._health.trip
            session = recording.session
            if session:
                session.clock_offsets(self._clock(), best)
                every_s = OFFSET_INTERVAL_S

    def _why_not_ready(self, recording: WatchedRecording) -> str:
        report = self._now(recording)
        return trouble_inside(report) or "" if report.state == SYNCED else f"the recording is {report.state}"

    def _now(self, recording: WatchedRecording) -> HealthReport:
        return self._health.report(recording, self._clock())
