"""A recording at work: the tasks around one `LiveSession`, from the opening of the window to the sealed manifest.

Every deadline is a timer of its own, so the window ends, a stall is seen and rows reach the disk in silence as well.
The loop writes and never waits for the disk: what is written is forced to it, and sealed, in one thread beside it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mm.clock import US_PER_S, iso, next_day, now_us
from mm.errors import UsageError
from mm.market_data.backoff import Backoff
from mm.market_data.day_report import DayReport
from mm.market_data.days import Days
from mm.market_data.disk import Disk, is_of_disk
from mm.market_data.live_session import LiveSession
from mm.market_data.log import Log
from mm.market_data.messages import DepthUpdate, ServerShutdown
from mm.market_data.rest_desk import RestDesk
from mm.market_data.silence import Silence
from mm.market_data.snapshot import RestClient, Snapshots
from mm.market_data.trade_watch import TradeWatch
from mm.market_data.window import Window, WindowRule, sleep_until
from mm.market_data.ws_stream import WsStream

DRAIN_S = 2.0
ROLL_GRACE_US = US_PER_S
LOOK_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a recording is made of; of silences as many as connections are kept at a time."""

    days: Days
    window: WindowRule
    rest: RestClient
    snapshots: Snapshots
    stream: WsStream
    silences: list[Silence]
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
        self._silences = parts.silences
        self._paired = len(parts.silences) > 1
        self._newest: dict[int, int] = {}
        self._desk = RestDesk(parts.days.symbol, parts.rest, parts.snapshots, parts.info_backoff, log, clock)
        self._desk.settled = parts.stream.settled
        self._trades = TradeWatch(
            [Silence(silence.limit_s) for silence in parts.silences],
            lambda: self._session.arbiter.last_trade_id,
            self._desk.last_trade_id,
            parts.stream.settled,
        )
        self._disk = Disk(parts.days, self._tell_space)
        self._over = asyncio.Event()
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
            self._disk.close()

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
        days, limit = self._parts.days, self._parts.snapshots.limit
        writer = days.open(window.day, at_us)
        session = LiveSession(writer, at_us, days.top_n, snapshot_limit=limit, trade_stream=days.trade_stream)
        self._enter(window, session)
        reader = asyncio.create_task(self._read())
        watches = (self._look(), self._watch_depth(), self._watch_trades(), self._watch_end())
        work = (self._over.wait(), *self._desk.work(), self._disk.flush(lambda: self._session.writer), *watches)
        others = [asyncio.create_task(one) for one in work]
        await asyncio.wait({reader, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        if not reader.done():
            await self._parts.stream.stop(self._reason or "error")
            await asyncio.wait({reader}, timeout=DRAIN_S)
        reader.cancel()
        ends = await asyncio.gather(reader, *others, return_exceptions=True)
        await self._end(next((end for end in ends if isinstance(end, Exception)), None))

    async def _end(self, error: Exception | None) -> None:
        """Write the last events, seal, and raise what ended the recording, if it was a failure.

        Where rows are lost because the disk took them no more, the run has crashed: it is neither ended nor sealed.
        """
        at_us, session = self._clock(), self._session
        error, whole = self._disk.last_flush(session.writer, error)
        reason = "disk_full" if is_of_disk(error) else type(error).__name__ if error else self._reason
        if whole:
            with suppress(OSError):  # sealing says so again
                session.finish(at_us, reason, window_over=reason == "window_end")
        self._disk.seal(session.writer, whole=whole)
        failures = await self._disk.sealed()
        self._log.info("recording_ended", reason=reason, path=session.report.path)
        for failure in (error, *failures):
            if failure:
                raise failure

    def _tell_space(self, error: OSError | None) -> None:
        """Tell that there is no space, or that there is some again."""
        if error is None:
            self._log.info("disk_has_space")
            return
        self._log.warning("disk_full", errno=error.errno, reason=error.strerror)
        with suppress(OSError):
            self._session.event(self._clock(), "disk_full", {"errno": error.errno})

    def _enter(self, window: Window, session: LiveSession) -> None:
        self._window, self._session, self._desk.session = window, session, session
        self.reports.append(session.report)
        self._log.info("day_opened", path=session.report.path, run_id=session.writer.run_id, closes=iso(window.end_us))

    def _roll(self, at_us: int) -> None:
        """Go on in the day of *at_us*, and seal the one that is over."""
        session, window = self._session, self._parts.window.at(at_us)
        writer = self._parts.days.open(window.day, at_us, session.instrument)
        self._disk.seal(session.roll(writer, at_us, carry=window.day == next_day(self._window.day)))
        self._enter(window, session)
        self._desk.status_wanted.set()

    async def _read(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), random.uniform(0, self._parts.start_jitter_s))
        await self._parts.stream.run(self)

    async def _look(self) -> None:
        """Let through what has waited long enough for another connection; ask for a deeper book where one is needed."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._session.let_through(loop.time())
            if self._desk.wants_snapshot:
                self._desk.snapshot_wanted.set()

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
        """Tell of a stall, and have the symbol's status asked for."""
        details = {"stream": stream, "silent_s": round(silent_s, 3)}
        self._session.event(self._clock(), "stall", details)
        self._log.warning("stalled", **details)
        self._desk.status_wanted.set()

    async def _watch_end(self) -> None:
        """End with the window; where the next one follows on it, a silent midnight begins it."""
        while self._parts.window.endless:
            await sleep_until(self._window.end_us + ROLL_GRACE_US, self._clock)
            if self._clock() >= self._window.end_us + ROLL_GRACE_US:
                self._roll(self._clock())
        await sleep_until(self._window.end_us, self._clock)
        self.stop("window_end")

    # What the stream tells.

    def connected(self, url: str, conn: int, slot: int) -> None:
        """A connection is open."""
        self.trouble = ""
        self._newest[slot] = conn
        self._session.connected(self._clock(), url, conn)
        now_s = asyncio.get_running_loop().time()
        self._silences[slot].connected(now_s)
        self._trades.connected(slot, conn, now_s)
        self._log.info("ws_connected", conn=conn)

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:
        """A message came."""
        if recv_us >= self._window.end_us:
            if not self._parts.window.endless:
                return
            self._roll(recv_us)
        session, now_s = self._session, monotonic()  # the loop's own clock
        gaps, last_id = session.report.book.gaps, session.arbiter.last_update_id if self._paired else None
        kind = session.message(recv_us, raw, conn, now_s)
        if kind is DepthUpdate:
            missing = session.report.book.gaps > gaps
            self._silences[slot].heard(now_s, ids_missing=missing)
            if missing:
                self._log.warning("ids_missing", epoch_id=session.epoch_id)
            if self._paired and session.arbiter.last_update_id != last_id:
                self._silences[1 - slot].owed(now_s)
        elif kind is ServerShutdown:
            self._log.info("server_shutdown", conn=conn)
            self._parts.stream.replace("server_shutdown", conn=conn)
        elif kind:
            self._silences[slot].owed(now_s)
            self._trades.heard(slot, now_s, session.report.trade_gaps)
        if session.wants_snapshot:
            self._desk.snapshot_wanted.set()

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:
        """A connection has ended."""
        self._session.disconnected(self._clock(), conn, code, reason)
        for first_id, last_id in self._trades.lost(conn):
            self._session.trades_lost(self._clock(), first_id, last_id)
        if self._newest[slot] == conn:
            self._silences[slot].disconnected()
            self._trades.gone(slot)
        self._log.info("ws_disconnected", conn=conn, code=code, reason=reason)

    def joined(self, conn: int) -> bool:
        """Tell whether a connection has brought what follows on the others."""
        return self._session.arbiter.joined(conn)

    def unreachable(self, reason: str) -> None:
        """An attempt to connect failed: told once for each reason."""
        if reason != self.trouble:
            self.trouble = reason
            self._log.warning("ws_unreachable", reason=reason)
