"""A running recording: the tasks around one `LiveSession`, from the window's opening to the sealed manifest."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from mm.base.waiting import happened
from mm.clock import US_PER_S, iso, next_day, now_us
from mm.dayfolder.ledger import IDS_AGAIN
from mm.errors import MMError, UsageError
from mm.market_data.clock_reader import ClockReader
from mm.market_data.contract_feed import ContractStreams
from mm.market_data.day_journal import DayJournal, DayReport
from mm.market_data.days import LONGEST_SLEEP_S, Days, Disk, RecordingWindow, WindowRule, is_of_disk, sleep_until
from mm.market_data.live_session import DAY_REMOVED, LiveSession, StreamListener
from mm.market_data.market_events import Subscriber
from mm.market_data.market_state import MarketState
from mm.market_data.snapshot import RestParts, RestTasks
from mm.market_data.stalls import StallDetector, TradeWatch
from mm.market_data.ws_stream import WsStream
from mm.markets.messages import BookTicker, Funding, StreamAnswer

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.dayfolder.day_writer import DayWriter

DRAIN_S = 2.0
ROLL_GRACE_US = US_PER_S
LOOK_EVERY_S = 0.25
LAG_S = 0.1
HELD_AGAIN_S = 0.05
HEAD_START_S = 0.5
CLOCK_TIMEOUT_S = 2.0


class MarketFollower(Protocol):
    def subscriber(self, journal: DayJournal) -> Subscriber:
        """It gets each event after *journal* has numbered it."""

    async def follow(self, market: MarketState, settled_us: Callable[[], int]) -> None: ...

    def paid(self, payment: Funding) -> None: ...

    def best(self, seq: int, recv_us: int, best: BookTicker) -> None:
        """Best prices of a contract, after *journal* has numbered them."""

    def moved(self, to: str | None) -> None:
        """Later events have other files; None: the day's files are gone."""

    def ended(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    days: Days
    window: WindowRule
    rest: RestParts
    stream: WsStream
    silences: list[StallDetector]
    start_jitter_s: float
    follower: MarketFollower | None = None
    contract: ContractStreams | None = None


class SymbolRefused(UsageError):
    """The exchange does not have the symbol."""


class Recording:
    """Records one symbol until its window is over, it is stopped, or there is no space.

    Attributes:
        reason: Why it ended normally: a signal, ``window_end``, …; empty before.
    """

    def __init__(self, parts: Parts, log: "Logger", clock: Callable[[], int] = now_us) -> None:
        self.reports: list[DayReport] = []
        self._parts = parts
        self._log = log
        self._clock = clock
        self._over = asyncio.Event()
        self.reason = ""
        self._open: _OpenRecording | None = None
        self._known: asyncio.Task[None] | None = None

    @property
    def session(self) -> LiveSession | None:
        return self._open.session if self._open else None

    @property
    def trouble(self) -> str:
        return self._open.listener.trouble if self._open else ""

    @property
    def unread(self) -> bool:
        return self._parts.stream.unread

    def ask_status(self) -> None:
        if self._open:
            self._open.ask_status()

    def stop(self, reason: str) -> None:
        """*reason* goes into the ledger."""
        self.reason = self.reason or reason
        self._over.set()

    async def run(self) -> None:
        try:
            window = await self._unless_over(self._opening())
            if window:
                await self._record(window)
        finally:
            if self._known:
                self._known.cancel()
            await self._parts.rest.rest.close()

    async def _unless_over(self, work: Coroutine[Any, Any, RecordingWindow]) -> RecordingWindow | None:
        task, over = asyncio.create_task(work), asyncio.create_task(self._over.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done():
            return task.result()
        task.cancel()
        self._log.info("recording_ended", reason=self.reason)
        return None

    async def _opening(self) -> RecordingWindow:
        self._known = asyncio.create_task(self._check_symbol())
        if (await asyncio.wait({self._known}, timeout=HEAD_START_S))[0]:
            self._known.result()
        window = self._parts.window.at(self._clock())
        if self._clock() < window.start_us:
            self._log.info("window_awaited", opens=iso(window.start_us), closes=iso(window.end_us))
            await sleep_until(window.start_us, self._clock)
        return window

    async def _check_symbol(self) -> None:
        symbol = self._parts.days.symbol
        refusal = await self._parts.rest.rest.refusal(symbol)
        if refusal:
            raise SymbolRefused("{symbol} {!r} is not known: {}", symbol, refusal)

    async def _unless_unknown(self) -> None:
        if self._known:
            await self._known
        await self._over.wait()

    async def _record(self, window: RecordingWindow) -> None:
        parts, at_us = self._parts, self._clock()
        session = LiveSession(
            await self._opened(window.day, at_us),
            at_us,
            parts.days.top_n,
            snapshot_limit=parts.rest.limit,
            trade_stream=parts.days.trade_stream,
            feed=parts.rest.rest.feed,
        )
        if parts.follower:
            session.follow(parts.follower.subscriber)
            await self._read_clock(session)
        self._open = _OpenRecording(parts, session, window, self._log, self._clock, self.reports)
        try:
            await self._work(self._open)
        finally:
            await asyncio.to_thread(self._open.disk.close)

    async def _read_clock(self, session: LiveSession) -> None:
        """Before the first message: a follower judges the market's age by the clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOCK_TIMEOUT_S):
                session.clock_offsets(self._clock(), await ClockReader(self._parts.rest.rest).read())

    async def _opened(self, day: str, at_us: int) -> "DayWriter":
        def opened() -> "DayWriter":
            self._parts.days.check_space()
            return self._parts.days.open(day, at_us)

        def unused(done: "asyncio.Future[DayWriter]") -> None:
            if not done.exception():
                done.result().close(flush=False)

        opening = asyncio.ensure_future(asyncio.to_thread(opened))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(unused)
            raise

    async def _work(self, opened: "_OpenRecording") -> None:
        reader = asyncio.create_task(self._read(opened))
        work = (self._unless_unknown(), self._over.wait(), self._end_of_window(opened), *opened.work())
        others = [asyncio.create_task(job) for job in work]
        await asyncio.wait({reader, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        turned = asyncio.create_task(opened.turned())
        if not reader.done():
            await self._parts.stream.stop(self.reason or "error")
            await asyncio.wait({turned})
            await asyncio.wait({reader}, timeout=0 if self._parts.stream.held.is_set() else DRAIN_S)
        reader.cancel()
        ends = await asyncio.gather(turned, reader, *others, return_exceptions=True)
        await opened.end(next((end for end in ends if isinstance(end, Exception)), None), self.reason)

    async def _read(self, opened: "_OpenRecording") -> None:
        await happened(self._over, random.uniform(0, self._parts.start_jitter_s))
        await self._parts.stream.run(opened.listener)

    async def _end_of_window(self, opened: "_OpenRecording") -> None:
        await opened.until_end()
        self.stop("window_end")


class _OpenRecording:
    def __init__(
        self,
        parts: Parts,
        session: LiveSession,
        window: RecordingWindow,
        log: "Logger",
        clock: Callable[[], int],
        reports: list[DayReport],
    ) -> None:
        self.session = session
        self.disk = Disk(parts.days, self._report_space, self._open_again)
        self._parts = parts
        self._window = window
        self._log = log
        self._clock = clock
        self._reports = reports
        self._turning: asyncio.Task[None] | None = None
        self._ids_again = asyncio.Event()
        self.disk.take(session.writer)
        self._look_s = min(parts.silences[0].limit_s / 10, 0.5)
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rest = RestTasks(session, parts.rest, parts.stream.settled, log, parts.stream.reached_us, parts.stream)
        if parts.follower:
            self._rest.paid = parts.follower.paid
        self._trades = TradeWatch(
            [StallDetector(silence.limit_s) for silence in parts.silences],
            lambda: session.market.arbiter.last_trade_id,
            self._rest.last_trade_id,
            parts.stream.settled,
        )
        self.listener = StreamListener(
            session,
            parts.silences,
            self._trades,
            self,
            log,
            parts.stream.reached_us,
        )
        self._report_day()

    def work(self) -> tuple[Coroutine[Any, Any, None], ...]:
        watches = (self._let_through(), self._watch_depth(), self._watch_trades(), self._watch_ids())
        parts = self._parts
        follower = [parts.follower.follow(self.session.market, parts.stream.settled_us)] if parts.follower else []
        disk = (work(lambda: self.session.writer) for work in (self.disk.flush, self.disk.write_wanted))
        best = parts.follower.best if parts.follower else None
        contract = parts.contract.work(lambda: self.session.writer, self._log, best) if parts.contract else []
        return self._unless_refused(), *self._rest.work(), *disk, *watches, *follower, *contract

    async def until_end(self) -> None:
        """An endless recording continues in each next day, even without messages."""
        while self._parts.window.endless:
            await self._day_over()
            await self._turn(self._roll)
        await sleep_until(self._window.end_us, self._clock)

    async def _day_over(self) -> None:
        """A message of the next day, or its start once all messages were processed."""
        stream = self._parts.stream
        while True:
            grace_us = 0 if stream.held.is_set() else ROLL_GRACE_US
            left_s = (self._window.end_us + grace_us - stream.reached_us()) / US_PER_S
            if left_s <= 0:
                return
            if stream.held.is_set():  # by a day that is being replaced, not by the next one
                await asyncio.sleep(min(left_s, HELD_AGAIN_S))
            else:
                await happened(stream.held, min(left_s, LONGEST_SLEEP_S))

    async def _turn(self, turn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await a folder that is being opened, even if this task is cancelled."""
        while self._turning and not self._turning.done():
            await asyncio.wait({self._turning})
        self._turning = asyncio.create_task(turn())
        await asyncio.shield(self._turning)

    async def turned(self) -> None:
        self.disk.end()
        if self._turning:
            await self._turning

    async def end(self, error: Exception | None, reason: str) -> None:
        session = self.session
        with suppress(OSError, MMError):  # of the disk, as below
            if error is None:
                await self._rest.note_last_funding(self._window.end_us)
        at_us = min(self._clock(), self._parts.stream.reached_us())
        with suppress(OSError, MMError):  # the flush reports disk errors
            await self.disk.look(session.writer)
        if isinstance(error, SymbolRefused) and not session.report.lines and await self.disk.withdraw(session.writer):
            self._reports.remove(session.report)
            raise error
        error, whole = await self.disk.last_flush(session.writer, error)
        reason = "disk_full" if is_of_disk(error) else type(error).__name__ if error else reason
        if whole:
            with suppress(OSError):  # sealing reports it again
                session.finish(at_us, reason, window_over=reason == "window_end")
        if self._parts.follower and error is None:
            try:
                self._parts.follower.ended()
            except MMError as raised:  # the day is sealed nevertheless
                error = raised
        self.disk.seal(session.writer, whole=whole)
        failures = await self.disk.sealed()
        self._log.info("recording_ended", reason=reason, path=session.report.path)
        for failure in (error, *failures):
            if failure:
                raise failure

    def _report_space(self, error: OSError | None) -> None:
        if error is None:
            self._log.info("disk_has_space")
            return
        self._log.warning("disk_full", errno=error.errno, reason=error.strerror)
        with suppress(OSError):
            self.session.event(self._parts.stream.reached_us(), "disk_full", {"errno": error.errno})

    def _report_day(self) -> None:
        report, closes = self.session.report, iso(self._window.end_us)
        self.listener.begin(self._window.end_us)
        if self._parts.window.endless:
            self._parts.stream.hold_from(self._window.end_us)
        self._reports.append(report)
        writer = self.session.writer
        _, replaced = writer.ledger.last.get("day_replaced", (0, None))
        if replaced:
            self._log.warning("day_replaced", **replaced)
        self._log.info("day_opened", path=report.path, run_id=writer.run_id, closes=closes)

    def shut_down(self, conn: int) -> None:
        self._parts.stream.replace("server_shutdown", conn=conn)

    def ask_status(self) -> None:
        self._rest.status_wanted.set()

    def need_snapshot(self) -> None:
        self._rest.snapshot_wanted.set()

    def answered(self, conn: int, answer: StreamAnswer) -> None:
        """A refusal is an error at the start; later it ends the connection."""
        if answer.success:
            self._parts.stream.beaten(conn)
            return
        self._log.warning("stream_refused", conn=conn, request=answer.op, name=answer.name, reason=answer.text)
        if self.session.report.book.snapshots:
            self._parts.stream.replace("refused", conn=conn)
        elif not self._refused.done():
            symbol, told = self._parts.days.symbol, f"{answer.name or answer.op}: {answer.text}"
            self._refused.set_exception(
                SymbolRefused("{symbol} {!r}: the exchange refuses to send {}; check it, and {market}", symbol, told)
            )

    async def _unless_refused(self) -> None:
        await self._refused

    async def _roll(self) -> None:
        session, at_us = self.session, self._parts.stream.reached_us()
        window = self._parts.window.at(at_us)
        writer = await self.disk.opened(partial(self._parts.days.open, window.day, at_us, session.instrument))
        session.writer.flush_before_event()  # if its rows find no space, it has not ended normally
        self.disk.seal(session.roll(writer, at_us, carry=window.day == next_day(self._window.day)))
        self._window = window
        self._report_day()
        self._rest.status_wanted.set()

    async def _open_again(self) -> None:
        await self._turn(self._replace_day)

    def begin_anew(self) -> None:
        self._parts.stream.hold_from(None)
        self._ids_again.set()

    async def _watch_ids(self) -> None:
        while True:
            await self._ids_again.wait()
            self._ids_again.clear()
            await self._turn(self._replace_day)

    async def _replace_day(self) -> None:
        session, at_us = self.session, self._parts.stream.reached_us()
        before, again = session.writer, session.market.ids_again
        if not (again or await self.disk.missing(before)):
            return
        self._parts.stream.hold_from(None)
        with suppress(OSError):
            await self.disk.write(before)
        writer = await self.disk.opened(partial(self._parts.days.open_again, before, at_us, session.instrument))
        if self._parts.follower:
            self._parts.follower.moved(writer.ledger.last["day_replaced"][1]["moved_to"])
        reason = IDS_AGAIN if again else DAY_REMOVED
        self.disk.seal(session.roll(writer, at_us, carry=not again, reason=reason), whole=False)
        self._report_day()
        self._rest.status_wanted.set()

    async def _let_through(self) -> None:
        """Pass on what waited long enough for another connection; request what the session needs.

        A late iteration goes into the ledger: the loop was busy, or the process suspended.
        """
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            lag_s = loop.time() - due_s
            if lag_s > LAG_S:
                self.session.event(self._parts.stream.reached_us(), "loop_lag", {"lag_s": round(lag_s, 3)})
                self._log.warning("loop_lagged", lag_s=round(lag_s, 3))
            if not self._waiting:  # the awaited messages may have arrived
                self.session.market.let_through(loop.time(), self._parts.stream.reached_us())
            if self._rest.needs_snapshot:
                self._rest.snapshot_wanted.set()
            if self._rest.wants_filters:
                self._rest.status_wanted.set()

    async def _watch_depth(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_s)
            if self._waiting:
                continue
            for slot, silence in enumerate(self._parts.silences):
                silent_s = silence.stalled_s(loop.time())
                if silent_s is not None:
                    self._trades.gone(slot)
                    self._stalled("depth", silent_s)
                    self._parts.stream.replace("stall", slot=slot)

    async def _watch_trades(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            if self._waiting:
                continue
            for stall in await self._trades.stalls():
                self._stalled("trade", stall.silent_s)
                self._parts.stream.replace("stall", conn=stall.conn)

    @property
    def _waiting(self) -> bool:
        return self._parts.stream.behind_s() > LAG_S

    def _stalled(self, stream: str, silent_s: float) -> None:
        """A stall also asks for the symbol's status."""
        details = {"stream": stream, "silent_s": round(silent_s, 3)}
        self.session.event(self._parts.stream.reached_us(), "stall", details)
        self._log.warning("stalled", **details)
        self._rest.status_wanted.set()
