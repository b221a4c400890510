"""A recording at work: the tasks around one `LiveSession`, from the opening of the window to the sealed manifest.

Every deadline is a timer of its own, so the window ends, a stall is seen and rows reach the disk in silence as well.
The loop writes and never waits for the disk: what is written is forced to it, and sealed, in one thread beside it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mm.clock import US_PER_S, iso, next_day, now_us
from mm.errors import UsageError
from mm.market_data.backoff import Backoff
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter
from mm.market_data.days import NO_SPACE, Days
from mm.market_data.live_session import LiveSession
from mm.market_data.messages import DepthUpdate
from mm.market_data.silence import DepthSilence
from mm.market_data.snapshot import Answer, RestClient, Snapshots
from mm.market_data.window import Window, WindowRule, sleep_until
from mm.market_data.ws_stream import WsStream

DRAIN_S = 2.0
ROLL_GRACE_US = US_PER_S


class Log(Protocol):
    """What is told of a recording as it goes on."""

    def info(self, event: str, **numbers: Any) -> Any:
        """Tell what happened."""

    def warning(self, event: str, **numbers: Any) -> Any:
        """Tell what somebody should look at."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a recording is made of."""

    days: Days
    window: WindowRule
    rest: RestClient
    snapshots: Snapshots
    stream: WsStream
    silence: DepthSilence
    info_backoff: Backoff
    start_jitter_s: float


class Recording:
    """Record one symbol until its window is over, it is stopped, or there is no space.

    Args:
        parts: What it is made of.
        log: Is told what happens.
        clock: Returns the wall clock, in µs.

    Attributes:
        reports: What came into each day, in order.
        trouble: Why there is no connection; empty where there is one.
    """

    def __init__(self, parts: Parts, log: Log, clock: Callable[[], int] = now_us) -> None:
        self.reports: list[DayReport] = []
        self._parts = parts
        self._log = log
        self._clock = clock
        self._silence = parts.silence
        self._disk = ThreadPoolExecutor(1, "disk")
        self._sealing: list[asyncio.Future[None]] = []
        self._over, self._snapshot_wanted, self._status_wanted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._reason, self.trouble = "", ""
        self._window: Window
        self._session: LiveSession

    @property
    def session(self) -> LiveSession | None:
        """What is being recorded; None before the window opens."""
        return self._session if self.reports else None

    def stop(self, reason: str) -> None:
        """End the recording in order; *reason* goes into the ledger. May be called at any time."""
        self._reason = self._reason or reason
        self._over.set()

    async def run(self) -> None:
        """Wait for the window, record it, and seal what was recorded.

        Raises:
            UsageError: If the exchange does not know the symbol.
            TryLater: If another process writes the day.
            OSError: If there is no space.
        """
        try:
            window = await self._unless_over(self._opening())
            if window:
                await self._record(window)
        finally:
            await self._parts.rest.close()
            self._disk.shutdown()

    async def _unless_over(self, work: Coroutine[Any, Any, Window]) -> Window | None:
        """Return what *work* returns, or None where the recording was stopped before."""
        task, over = asyncio.create_task(work), asyncio.create_task(self._over.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done():
            return task.result()
        task.cancel()
        self._log.info("recording_ended", reason=self._reason)
        return None

    async def _opening(self) -> Window:
        """Return the window when it is open."""
        symbol = self._parts.days.symbol
        refusal = await self._parts.rest.refusal(symbol)
        if refusal:
            raise UsageError(f"--symbol (SYMBOL) {symbol!r} is not known: {refusal}")
        window = self._parts.window.at(self._clock())
        if self._clock() < window.start_us:
            self._log.info("window_awaited", opens=iso(window.start_us), closes=iso(window.end_us))
            await sleep_until(window.start_us, self._clock)
        return window

    async def _record(self, window: Window) -> None:
        self._parts.days.check_space()
        at_us = self._clock()
        writer = self._parts.days.open(window.day, at_us)
        self._enter(window, LiveSession(writer, at_us, self._parts.days.top_n))
        reader = asyncio.create_task(self._read())
        work = (self._over.wait(), self._fetch(), self._learn(), self._flush(), self._watch_depth(), self._watch_end())
        others = [asyncio.create_task(one) for one in work]
        await asyncio.wait({reader, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        if self._parts.stream.connected:
            await self._parts.stream.stop(self._reason or "error")
            await asyncio.wait({reader}, timeout=DRAIN_S)
        reader.cancel()
        ends = await asyncio.gather(reader, *others, return_exceptions=True)
        await self._end(next((end for end in ends if isinstance(end, Exception)), None))

    async def _end(self, error: Exception | None) -> None:
        """Write the last events, seal, and raise what ended the recording, if it was a failure."""
        at_us, session = self._clock(), self._session
        reason = type(error).__name__ if error else self._reason
        with suppress(OSError):  # the disk that is full may take no more; sealing says so again
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                session.event(at_us, "disk_full", {"errno": error.errno})
                reason = "disk_full"
            session.finish(at_us, reason, window_over=reason == "window_end")
        self._seal(session.writer)
        sealed = await asyncio.gather(*self._sealing, return_exceptions=True)
        self._log.info("recording_ended", reason=reason, path=session.report.path)
        for failure in (error, *sealed):
            if failure:
                raise failure

    def _enter(self, window: Window, session: LiveSession) -> None:
        self._window, self._session = window, session
        self.reports.append(session.report)
        self._log.info("day_opened", path=session.report.path, run_id=session.writer.run_id, closes=iso(window.end_us))

    def _roll(self, at_us: int) -> None:
        """Go on in the day of *at_us*, and seal the one that is over."""
        session, window = self._session, self._parts.window.at(at_us)
        writer = self._parts.days.open(window.day, at_us, session.instrument)
        self._seal(session.roll(writer, at_us, carry=window.day == next_day(self._window.day)))
        self._enter(window, session)
        self._status_wanted.set()

    def _seal(self, writer: DayWriter) -> None:
        self._sealing.append(asyncio.get_running_loop().run_in_executor(self._disk, _seal, writer))

    async def _read(self) -> None:
        await asyncio.sleep(random.uniform(0, self._parts.start_jitter_s))
        async with aclosing(self._parts.stream.messages(self)) as messages:
            async for recv_us, raw in messages:
                self._take(recv_us, raw)

    def _take(self, recv_us: int, raw: bytes) -> None:
        if recv_us >= self._window.end_us:
            if not self._parts.window.endless:
                return
            self._roll(recv_us)
        session, now_s = self._session, asyncio.get_running_loop().time()
        gaps = session.report.book.gaps
        kind = session.message(recv_us, raw)
        if kind is DepthUpdate:
            missing = session.report.book.gaps > gaps
            self._silence.depth(now_s, ids_missing=missing)
            if missing:
                self._log.warning("ids_missing", epoch_id=session.epoch_id)
        elif kind:
            self._silence.trade(now_s)
        if session.wants_snapshot:
            self._snapshot_wanted.set()

    async def _fetch(self) -> None:
        while True:
            await self._snapshot_wanted.wait()
            await self._parts.snapshots.load(self)
            self._snapshot_wanted.clear()

    async def _learn(self) -> None:
        """Fetch the symbol's filters and status: at the start, in a new day, and when a stall wants explaining."""
        loop, rest, symbol = asyncio.get_running_loop(), self._parts.rest, self._parts.days.symbol
        while True:
            self._status_wanted.clear()
            await asyncio.sleep(self._parts.info_backoff.delay(loop.time()))
            status = self._session.learn(await rest.exchange_info(symbol))
            if status:
                self._log.info("exchange_info", status=status)
                await self._status_wanted.wait()
            else:
                self._log.warning("exchange_info_failed")

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._parts.days.flush_interval_s)
            self._parts.days.check_space()
            writer = self._session.writer
            writer.flush()
            await loop.run_in_executor(self._disk, writer.sync)

    async def _watch_depth(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._silence.limit_s / 10, 0.5))
            silent_s = self._silence.stalled_s(loop.time())
            if silent_s is not None:
                details = {"stream": "depth", "silent_s": round(silent_s, 3)}
                self._session.event(self._clock(), "stall", details)
                self._log.warning("stalled", **details)
                self._parts.stream.drop("stall")
                self._status_wanted.set()

    async def _watch_end(self) -> None:
        """End with the window; where the next one follows on it, a silent midnight begins it."""
        while self._parts.window.endless:
            await sleep_until(self._window.end_us + ROLL_GRACE_US, self._clock)
            if self._clock() >= self._window.end_us + ROLL_GRACE_US:
                self._roll(self._clock())
        await sleep_until(self._window.end_us, self._clock)
        self.stop("window_end")

    # What the stream tells.

    def connected(self, url: str, conn: int) -> None:
        """A connection is open."""
        self.trouble = ""
        self._session.connected(self._clock(), url, conn)
        self._silence.connected(asyncio.get_running_loop().time())
        self._log.info("ws_connected", conn=conn)

    def disconnected(self, conn: int, code: int | None, reason: str) -> None:
        """A connection has ended."""
        self._session.disconnected(self._clock(), conn, code, reason)
        self._silence.disconnected()
        self._log.info("ws_disconnected", conn=conn, code=code, reason=reason)

    def unreachable(self, reason: str) -> None:
        """An attempt to connect failed: told once for each reason."""
        if reason != self.trouble:
            self.trouble = reason
            self._log.warning("ws_unreachable", reason=reason)

    # What the snapshots ask and tell.

    @property
    def wants_snapshot(self) -> bool:
        """Whether updates wait for a book."""
        return self._session.wants_snapshot

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """A snapshot is asked for."""
        self._session.snapshot_requested(at_us, attempt)

    def snapshot_answered(self, answer: Answer) -> None:
        """It came, or it did not."""
        before = self._session.epoch_id
        self._session.snapshot_answered(answer)
        if self._session.epoch_id > before:
            self._log.info("snapshot_loaded", epoch_id=self._session.epoch_id)
        else:
            self._log.warning("snapshot_failed", cause=answer.cause or "does not bridge", status=answer.status)


def _seal(writer: DayWriter) -> None:
    try:
        writer.seal()
    finally:
        writer.close()
