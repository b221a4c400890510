"""A recording at work: the tasks around one `LiveSession`, from the opening of the window to the sealed manifest.

Every deadline is a timer of its own, so the window ends, a stall is noticed and rows reach the disk in silence as well.
The loop writes and never waits for the disk: what is written is forced to it, and sealed, in one thread beside it.
"""

import asyncio
import errno
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mm.clock import US_PER_S, iso, next_day, now_us
from mm.dayfolder.append_file import NO_SPACE
from mm.dayfolder.day_writer import DayWriter
from mm.errors import UsageError
from mm.market_data.day_journal import DayReport
from mm.market_data.days import Days, RecordingWindow, WindowRule, sleep_until
from mm.market_data.live_session import LiveSession
from mm.market_data.messages import DepthUpdate, ServerShutdown
from mm.market_data.snapshot import RestParts, RestTasks
from mm.market_data.stalls import StallDetector, TradeWatch
from mm.market_data.supervisor import EventLog
from mm.market_data.ws_stream import WsStream

DRAIN_S = 2.0
ROLL_GRACE_US = US_PER_S
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a recording is made of; of stall detectors as many as connections are kept at a time."""

    days: Days
    window: WindowRule
    rest: RestParts
    stream: WsStream
    silences: list[StallDetector]
    start_jitter_s: float


class Recording:
    """Record one symbol until its window is over, it is stopped, or there is no space.

    Args:
        parts: What it is made of.
        log: Takes what happens.
        clock: Returns the wall clock, in µs.

    Attributes:
        reports: What came into each day, in order.
    """

    def __init__(self, parts: Parts, log: EventLog, clock: Callable[[], int] = now_us) -> None:
        self.reports: list[DayReport] = []
        self._parts = parts
        self._log = log
        self._clock = clock
        self._over = asyncio.Event()
        self._reason = ""
        self._open: _OpenRecording | None = None

    @property
    def session(self) -> LiveSession | None:
        """What is being recorded; None before the window opens."""
        return self._open.session if self._open else None

    @property
    def trouble(self) -> str:
        """Why there is no connection; empty where there is one."""
        return self._open.trouble if self._open else ""

    def stop(self, reason: str) -> None:
        """End the recording in order; *reason* goes into the ledger. May be called at any time."""
        self._reason = self._reason or reason
        self._over.set()

    async def run(self) -> None:
        """Wait for the window, record it, and seal what was recorded.

        Raises:
            UsageError: If the exchange does not have the symbol.
            TryLater: If another process writes the day.
            OSError: If there is no space.
        """
        try:
            window = await self._unless_over(self._opening())
            if window:
                await self._record(window)
        finally:
            await self._parts.rest.rest.close()

    async def _unless_over(self, work: Coroutine[Any, Any, RecordingWindow]) -> RecordingWindow | None:
        """Return what *work* returns, or None where the recording was stopped before."""
        task, over = asyncio.create_task(work), asyncio.create_task(self._over.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done():
            return task.result()
        task.cancel()
        self._log.info("recording_ended", reason=self._reason)
        return None

    async def _opening(self) -> RecordingWindow:
        """Return the window when it is open."""
        symbol = self._parts.days.symbol
        refusal = await self._parts.rest.rest.refusal(symbol)
        if refusal:
            raise UsageError(f"--symbol (SYMBOL) {symbol!r} is not known: {refusal}")
        window = self._parts.window.at(self._clock())
        if self._clock() < window.start_us:
            self._log.info("window_awaited", opens=iso(window.start_us), closes=iso(window.end_us))
            await sleep_until(window.start_us, self._clock)
        return window

    async def _record(self, window: RecordingWindow) -> None:
        parts, at_us = self._parts, self._clock()
        parts.days.check_space()
        session = LiveSession(
            parts.days.open(window.day, at_us),
            at_us,
            parts.days.top_n,
            snapshot_limit=parts.rest.snapshots.limit,
            trade_stream=parts.days.trade_stream,
            venue=parts.rest.rest.venue,
        )
        self._open = _OpenRecording(parts, session, window, self._log, self._clock, self.reports)
        try:
            await self._work(self._open)
        finally:
            self._open.disk.close()

    async def _work(self, opened: "_OpenRecording") -> None:
        """Run all tasks until the first of them ends, then end the others in order."""
        reader = asyncio.create_task(self._read(opened))
        work = (self._over.wait(), self._end_of_window(opened), *opened.work())
        others = [asyncio.create_task(one) for one in work]
        await asyncio.wait({reader, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        if not reader.done():
            await self._parts.stream.stop(self._reason or "error")
            await asyncio.wait({reader}, timeout=DRAIN_S)
        reader.cancel()
        ends = await asyncio.gather(reader, *others, return_exceptions=True)
        await opened.end(next((end for end in ends if isinstance(end, Exception)), None), self._reason)

    async def _read(self, opened: "_OpenRecording") -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), random.uniform(0, self._parts.start_jitter_s))
        await self._parts.stream.run(opened)

    async def _end_of_window(self, opened: "_OpenRecording") -> None:
        await opened.until_end()
        self.stop("window_end")


class _OpenRecording:
    """A recording whose window is open: it listens to the stream, and runs the tasks beside it.

    Args:
        parts: What it is made of.
        session: Takes what comes.
        window: What is recorded first.
        log: Takes what happens.
        clock: Returns the wall clock, in µs.
        reports: Takes the report of each day when it is opened.

    Attributes:
        session: As given.
        disk: Brings the rows to the disk.
        trouble: Why there is no connection; empty where there is one.
    """

    def __init__(
        self,
        parts: Parts,
        session: LiveSession,
        window: RecordingWindow,
        log: EventLog,
        clock: Callable[[], int],
        reports: list[DayReport],
    ) -> None:
        self.session = session
        self.trouble = ""
        self.disk = Disk(parts.days, self._report_space)
        self._parts = parts
        self._window = window
        self._log = log
        self._clock = clock
        self._reports = reports
        self._silences = parts.silences
        self._newest: dict[int, int] = {}
        self._rest = RestTasks(session, parts.rest, parts.stream.settled, log, clock)
        self._trades = TradeWatch(
            [StallDetector(silence.limit_s) for silence in parts.silences],
            lambda: session.market.arbiter.last_trade_id,
            self._rest.last_trade_id,
            parts.stream.settled,
        )
        self._report_day()

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return the tasks beside the stream, each without an end."""
        watches = (self._let_through(), self._watch_depth(), self._watch_trades())
        return *self._rest.work(), self.disk.flush(lambda: self.session.writer), *watches

    async def until_end(self) -> None:
        """Return when the window is over; where the next one follows on it, a silent midnight begins it."""
        while self._parts.window.endless:
            await sleep_until(self._window.end_us + ROLL_GRACE_US, self._clock)
            if self._clock() >= self._window.end_us + ROLL_GRACE_US:
                self._roll(self._clock())
        await sleep_until(self._window.end_us, self._clock)

    async def end(self, error: Exception | None, reason: str) -> None:
        """Write the last events, seal, and raise *error*, which ended the recording if it is not None.

        Where rows are lost because the disk took them no more, the run has crashed: it is neither ended nor sealed.
        """
        at_us, session = self._clock(), self.session
        error, whole = self.disk.last_flush(session.writer, error)
        reason = "disk_full" if is_of_disk(error) else type(error).__name__ if error else reason
        if whole:
            with suppress(OSError):  # sealing reports it again
                session.finish(at_us, reason, window_over=reason == "window_end")
        self.disk.seal(session.writer, whole=whole)
        failures = await self.disk.sealed()
        self._log.info("recording_ended", reason=reason, path=session.report.path)
        for failure in (error, *failures):
            if failure:
                raise failure

    def _report_space(self, error: OSError | None) -> None:
        """Report that there is no space, or that there is some again."""
        if error is None:
            self._log.info("disk_has_space")
            return
        self._log.warning("disk_full", errno=error.errno, reason=error.strerror)
        with suppress(OSError):
            self.session.event(self._clock(), "disk_full", {"errno": error.errno})

    def _report_day(self) -> None:
        report, closes = self.session.report, iso(self._window.end_us)
        self._reports.append(report)
        self._log.info("day_opened", path=report.path, run_id=self.session.writer.run_id, closes=closes)

    def _roll(self, at_us: int) -> None:
        """Go on in the day of *at_us*, and seal the one that is over."""
        session, window = self.session, self._parts.window.at(at_us)
        writer = self._parts.days.open(window.day, at_us, session.instrument)
        self.disk.seal(session.roll(writer, at_us, carry=window.day == next_day(self._window.day)))
        self._window = window
        self._report_day()
        self._rest.status_wanted.set()

    async def _let_through(self) -> None:
        """Let through what has waited long enough for another connection; request a deeper book where one is needed."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.session.market.let_through(loop.time())
            if self._rest.wants_snapshot:
                self._rest.snapshot_wanted.set()

    async def _watch_depth(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._silences[0].limit_s / 10, 0.5))
            for slot, silence in enumerate(self._silences):
                silent_s = silence.stalled_s(loop.time())
                if silent_s is not None:
                    self._trades.gone(slot)
                    self._stalled("depth", silent_s)
                    self._parts.stream.replace("stall", slot=slot)

    async def _watch_trades(self) -> None:
        while True:
            await asyncio.sleep(min(self._silences[0].limit_s / 10, 0.5))
            for stall in await self._trades.stalls():
                self._stalled("trade", stall.silent_s)
                self._parts.stream.replace("stall", conn=stall.conn)

    def _stalled(self, stream: str, silent_s: float) -> None:
        """Report a stall, and have the symbol's status requested."""
        details = {"stream": stream, "silent_s": round(silent_s, 3)}
        self.session.event(self._clock(), "stall", details)
        self._log.warning("stalled", **details)
        self._rest.status_wanted.set()

    # Called by the stream.

    def connected(self, url: str, conn: int, slot: int) -> None:
        """Take the opening of a connection."""
        self.trouble = ""
        self._newest[slot] = conn
        self.session.connected(self._clock(), url, conn)
        now_s = asyncio.get_running_loop().time()
        self._silences[slot].connected(now_s)
        self._trades.connected(slot, conn, now_s)
        self._log.info("ws_connected", conn=conn)

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:
        """Take a message."""
        if recv_us >= self._window.end_us:
            if not self._parts.window.endless:
                return
            self._roll(recv_us)
        session, now_s = self.session, monotonic()  # the loop's own clock
        kind, ids_missing, advanced = session.message(recv_us, raw, conn, now_s)
        if kind is DepthUpdate:
            self._silences[slot].received(now_s, ids_missing=ids_missing)
            if ids_missing:
                self._log.warning("ids_missing", epoch_id=session.epoch_id)
            if advanced and len(self._silences) > 1:
                self._silences[1 - slot].expect(now_s)
        elif kind is ServerShutdown:
            self._log.info("server_shutdown", conn=conn)
            self._parts.stream.replace("server_shutdown", conn=conn)
        elif kind:
            self._silences[slot].expect(now_s)
            self._trades.received(slot, now_s, ids_missing=ids_missing, advanced=advanced)
        if session.wants_snapshot:
            self._rest.snapshot_wanted.set()

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:
        """Take the end of a connection."""
        self.session.disconnected(self._clock(), conn, code, reason)
        for first_id, last_id in self._trades.lost(conn):
            self.session.trades_lost(self._clock(), first_id, last_id)
        if self._newest[slot] == conn:
            self._silences[slot].disconnected()
            self._trades.gone(slot)
        self._log.info("ws_disconnected", conn=conn, code=code, reason=reason)

    def joined(self, conn: int) -> bool:
        """Return True if a connection has brought what follows on the others."""
        return self.session.market.arbiter.joined(conn)

    def unreachable(self, reason: str) -> None:
        """Log that an attempt to connect failed, once for each reason."""
        if reason != self.trouble:
            self.trouble = reason
            self._log.warning("ws_unreachable", reason=reason)


MOST_FAILURES = 12
NOTE_EVERY_S = 300.0
"""How often the manifest notes what was written, so that the start after a crash need not read all of the day."""
_DISK_ERRORS = (*NO_SPACE, errno.EIO, errno.EROFS)


class Disk:
    """Bring the rows of a recording to the disk, every flush interval and at the end.

    Where there is no space the rows wait in memory, and each interval they are tried again, `MOST_FAILURES` times. Any
    other failure ends the recording.

    Args:
        days: How often, and how much space must be left to others.
        report: Takes the error, once, when there is no space, and None when there is some again.
    """

    def __init__(self, days: Days, report: Callable[[OSError | None], None]) -> None:
        self._days = days
        self._report_space = report
        self._thread = ThreadPoolExecutor(1, "disk")
        self._sealing: list[asyncio.Future[None]] = []
        self._failures = 0
        self._noted_s = 0.0

    async def flush(self, writer: Callable[[], DayWriter]) -> None:
        """Flush what *writer* returns, for ever; raises OSError where that is in vain."""
        while True:
            await asyncio.sleep(self._days.flush_interval_s)
            self._days.check_space()
            now = writer()
            try:
                now.flush()
                await asyncio.get_running_loop().run_in_executor(self._thread, self._forced(now))
            except OSError as error:
                self._failures += 1
                if error.errno not in NO_SPACE or self._failures > MOST_FAILURES:
                    raise
                if self._failures == 1:
                    self._report_space(error)
            else:
                if self._failures:
                    self._report_space(None)
                self._failures = 0

    def _forced(self, writer: DayWriter) -> Callable[[], None]:
        """Return what forces the rows of *writer* to the disk, and now and then notes how far they have come."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._noted_s < NOTE_EVERY_S:
            return writer.sync
        self._noted_s = now_s
        return writer.noting()

    def last_flush(self, writer: DayWriter, error: Exception | None) -> tuple[Exception | None, bool]:
        """Flush for the last time, after *error*, if one ended the recording.

        Returns:
            What is to be reported: *error*, else that of the flush; and whether the rows came to the disk.
        """
        try:
            writer.flush()
        except OSError as failure:
            self._report(error if is_of_disk(error) else failure)
            return error or failure, False
        self._report(error)
        return error, True

    def seal(self, writer: DayWriter, *, whole: bool = True) -> None:
        """Seal and close *writer*, in the thread; one that is not *whole* is only closed, and what waits is dropped."""
        loop = asyncio.get_running_loop()
        self._sealing.append(loop.run_in_executor(self._thread, _seal, writer, whole))

    async def sealed(self) -> list[BaseException]:
        """Wait until all is sealed, and return what has failed."""
        done = await asyncio.gather(*self._sealing, return_exceptions=True)
        return [failure for failure in done if failure]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _report(self, error: Exception | None) -> None:
        if isinstance(error, OSError) and is_of_disk(error) and not self._failures:
            self._report_space(error)


def is_of_disk(error: Exception | None) -> bool:
    """Return True if *error* says that the disk cannot be written."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def _seal(writer: DayWriter, whole: bool) -> None:
    try:
        if whole:
            writer.seal()
    finally:
        writer.close(flush=whole)
