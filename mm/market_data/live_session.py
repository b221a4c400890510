"""Writes one symbol's live messages from the venue into its day folders."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import gcd
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace as replace_struct

from mm.clock import US_PER_MS
from mm.dayfolder.day_grids import GridChange, read_grids, with_history
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.ledger import IDS_AGAIN, RESTART
from mm.errors import BrokenFile, Mismatch, OffGrid
from mm.instrument import Instrument, from_exchange_info, short_text
from mm.market_data.contract_writer import ContractWriter
from mm.market_data.day_journal import DayJournal, DayReport
from mm.market_data.market_events import ClockRead, Subscriber
from mm.market_data.market_state import MarketState, PreviousRun
from mm.market_data.message_latency import RoundTrip, StreamLatencies
from mm.market_data.stalls import StallDetector, TradeWatch
from mm.market_data.trade_state import TradeBackfill
from mm.markets.feed import Feed, feed_of
from mm.markets.grid import Grid
from mm.markets.local_orderbook import SnapshotSanity
from mm.markets.messages import (
    AggTrade,
    Answer,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    ExchangeInfo,
    Futures,
    MarkPrice,
    Message,
    Other,
    ServerShutdown,
    Several,
    StreamAnswer,
    TradePrint,
)
from mm.markets.records import REST, STREAM

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

PRINTS_MISSING = "prints_missing"
"""The kind of anomaly of an interruption that recent prints do not reach back over."""
DAY_OVER, DAY_REMOVED = "day_over", "day_removed"
CONTINUING_REASONS = (DAY_OVER, DAY_REMOVED, IDS_AGAIN)
"""Reasons for the end of a day that do not end the recording."""
DOUBTED_WITHIN_US, DOUBTED_LATE_US, DOUBTED_EARLY_US = 250 * US_PER_MS, 500 * US_PER_MS, 100 * US_PER_MS
_SEQUENCED = (TradePrint, DepthUpdate, AggTrade)
_BROKEN = (ValueError, RecursionError, Futures, OffGrid, msgspec.MsgspecError)


class PrintsHole(NamedTuple):
    """An interruption after the print *last_number* of the day, from *from_us* on."""

    last_number: int
    from_us: int


class Received(NamedTuple):
    """What a message was, and did; of several in one frame, those that were depth or trades."""

    kind: type[Message] | None
    ids_missing: bool = False
    advanced: bool = False
    answer: StreamAnswer | None = None


class LiveSession:
    def __init__(
        self,
        writer: DayWriter,
        at_us: int,
        top_n: int,
        *,
        snapshot_limit: int = 5000,
        trade_stream: str = "trade",
        feed: Feed | None = None,
    ) -> None:
        self.instrument: str | None = None
        self.clock: ClockRead | None = None
        self._written: str | None = None
        self.latencies = StreamLatencies()
        self._depth_times, self._trade_times = (self.latencies.times(stream) for stream in ("depth", "trade"))
        self._stepped_back = False
        self._ended = False  # then nothing more is written, even by a pending measurement
        self._grids: tuple[GridChange, ...] = ()
        with suppress(BrokenFile, Mismatch):  # the exchange's response replaces it
            self._grids = read_grids(writer.folder)
        self._grid = Grid(derives_steps=False)
        for grid in self._grids:
            self._grid.use(grid.tick_e8, grid.lot_e8)
        feed = self._feed = feed or feed_of(writer.market)
        self._in_stream = feed.market.rule.in_stream
        self._contract = (
            ContractWriter(writer.folder.symbol, lambda: self.writer)
            if self._in_stream and feed.market.contract
            else None
        )
        self._decoder = feed.decoder(writer.folder.symbol, self._grid, packs=True)
        self._journal = DayJournal(writer, at_us, STREAM)
        earlier, aggregates = writer.earlier, trade_stream == "aggTrade"
        self.backfill = TradeBackfill(self._grid, feed, aggregates=aggregates, missing=earlier.trade_holes)
        before = PreviousRun(
            update_id=earlier.last_diff_id,
            update_us=earlier.last_diff_us,
            update_sent=earlier.last_diff_sent,
            trade_id=earlier.last_trade_id,
            trade_us=earlier.last_trade_us,
            trade_sent=earlier.last_trade_sent,
            missing_trades=earlier.trade_holes,
            known_prints=earlier.known_prints,
            cause=RESTART,
        )
        self.market = MarketState(
            self._grid,
            (self._journal,),
            trade_subscribers=(self.backfill,),
            top_n=top_n,
            before=before,
            rule=feed.market.rule,
            trade_numbers=feed.market.trade_numbers,
        )
        self.market.book.limit = snapshot_limit
        self.prints_hole: PrintsHole | None = None
        if self.market.prints and earlier.known_prints:
            self.prints_hole = PrintsHole(earlier.last_trade_id or 0, earlier.last_trade_us)
        self._sanity = SnapshotSanity()
        self._attempt: int | None = None
        self._last_us = at_us

    @property
    def writer(self) -> DayWriter:
        return self._journal.writer

    def follow(self, take: Callable[[DayJournal], Subscriber]) -> None:
        """*take* gets the journal and returns a subscriber of all events after their numbering."""
        self._journal.then = take(self._journal)

    @property
    def report(self) -> DayReport:
        return self._journal.report

    @property
    def epoch_id(self) -> int:
        return self._journal.epoch_id

    @property
    def needs_snapshot(self) -> bool:
        return self.market.needs_snapshot

    @property
    def wants_refresh(self) -> bool:
        return self.market.book.running_out

    @property
    def off_grid(self) -> bool:
        grids, grid = self._grids, self._grid
        named = gcd(*(change.tick_e8 for change in grids)), gcd(*(change.lot_e8 for change in grids))
        return bool(grids) and named != (grid.tick_e8, grid.lot_e8)

    @property
    def grid(self) -> dict[str, str]:
        return {
            name: short_text(step_e8)
            for grid in self._grids[-1:]
            for name, step_e8 in (("tick_size", grid.tick_e8), ("step_size", grid.lot_e8))
        }

    def event(self, at_us: int, kind: str, details: Mapping[str, Any]) -> None:
        self._journal.event(at_us, kind, details)

    def connected(self, at_us: int, url: str, conn: int) -> None:
        self.event(at_us, "ws_connected", {"url": url, "conn": conn})
        self.market.opened(conn)

    def disconnected(self, at_us: int, conn: int, code: int | None, reason: str) -> None:
        self.market.closed(conn, at_us)
        self.event(at_us, "ws_disconnected", {"conn": conn, "code": code, "reason": reason})
        if not self.market.arbiter.open:
            self.market.all_closed()
            prints = self.market.prints
            if prints and prints.last_number:
                # another object: an answer that was asked for before this interruption does not end it
                self.prints_hole = PrintsHole(*(self.prints_hole or (prints.last_number, at_us)))

    def clock_read(self, at_us: int, step_us: int) -> None:
        """The wall clock was set by *step_us*, unless 0 or arrivals already showed it."""
        if self._ended:
            return
        shown, self._stepped_back = self._stepped_back, False
        if step_us and not (shown and step_us < 0):
            self.event(at_us, "clock_step", {"by_us": step_us})
            self.report.clock_steps += 1

    def clock_offsets(self, at_us: int, trip: RoundTrip | None = None) -> None:
        if self._ended:
            return
        for stream, spread in self.latencies.drained().items():
            self.event(at_us, "clock_offset", {**spread._asdict(), "stream": stream})
        if trip:
            self.clock = ClockRead(at_us, trip.offset_us, trip.took_us // 2)
            self._journal(self.clock)

    @property
    def late_us(self) -> int | None:
        """Greatest lateness of the last depth message by the exchange's clock."""
        last_us = self.latencies.last_us("depth")
        return None if self.clock is None or last_us is None else last_us - self.clock.least_us

    @property
    def clock_doubted(self) -> bool:
        """Whether the clock needs measuring: it was not, or not well, or messages come late or before they are sent."""
        if self.clock is None or self.clock.within_us > DOUBTED_WITHIN_US:
            return True
        late_us = self.late_us
        return late_us is not None and not -DOUBTED_EARLY_US <= late_us <= DOUBTED_LATE_US

    def message(self, recv_us: int, raw: bytes, conn: int | None = None, now_s: float = 0.0) -> Received:
        """*conn* is None if there is a single source."""
        report = self._journal.report
        if recv_us < self._last_us:
            self.event(recv_us, "clock_step", {"by_us": recv_us - self._last_us})
            report.clock_steps += 1
            self._stepped_back = True
        self._last_us = report.last_us = recv_us
        report.lines += 1
        if self.market.book.carries:
            self.market.arrived(recv_us)
        try:
            message = self._decoder.received(raw)
        except _BROKEN as error:
            return self._unusable(recv_us, str(error), raw)
        parts = message.messages if isinstance(message, Several) else (message,)
        received = [self._take(recv_us, part, conn, now_s, raw) for part in parts]
        if len(received) == 1:
            return received[0]
        sequenced = [one for one in received if one.kind] or received[:1]
        missing, advanced = (any(one[at] for one in sequenced) for at in (1, 2))
        return sequenced[0]._replace(ids_missing=missing, advanced=advanced)

    def _take(self, recv_us: int, message: Message, conn: int | None, now_s: float, raw: bytes) -> Received:
        if isinstance(message, DepthSnapshot) and self._in_stream:
            self.writer.book_depth = message.window
            if message.E is not None:
                self._depth_times.extend((recv_us, message.E))
            taken = self.market.stream_snapshot(recv_us, message, conn, now_s)
            return Received(DepthUpdate, taken.ids_missing, taken.advanced)
        if not isinstance(message, _SEQUENCED):
            return self._aside(recv_us, message, raw)
        (self._depth_times if type(message) is DepthUpdate else self._trade_times).extend((recv_us, message.E))
        taken = self.market.take(recv_us, message, conn, now_s, raw)
        if taken.late:
            self._journal.quarantine(recv_us, STREAM, "a trade with an id out of order", raw)
        return Received(type(message), taken.ids_missing, taken.advanced)

    def _aside(self, recv_us: int, message: Message, raw: bytes) -> Received:
        """Take what is neither of the book nor a trade."""
        self.market.arrived(recv_us)
        if isinstance(message, ServerShutdown):
            return Received(ServerShutdown)
        if isinstance(message, StreamAnswer):
            self._journal.report.lines -= 1  # it says nothing of the market
            return Received(None, answer=message)
        if isinstance(message, (MarkPrice, BookTicker)) and self._contract:
            if isinstance(message, MarkPrice) or self.writer.market.best_prices:
                self._contract.take(recv_us, message)
            return Received(None)
        if isinstance(message, (Other, BookTicker)) and self._in_stream:
            return Received(None)
        return self._unusable(recv_us, "neither a depth update nor a trade of the symbol", raw)

    def prints_answered(self, answer: Answer, hole: PrintsHole) -> bool:
        """Take recent prints that an interruption may have lost; return whether they reach back to known ones."""
        answer = self._in_order(answer)
        self.market.book.carry_over(answer.recv_us)
        try:
            prints = self._feed.prints(answer.body)
            self._grid.check([(trade.price, trade.qty) for trade in prints])
        except (*_BROKEN, BrokenFile) as error:
            self._journal.quarantine(answer.recv_us, REST, str(error), answer.body)
            return False
        self.market.report_grid(answer.recv_us)
        assert self.market.prints
        return self.market.prints.fetched(answer.recv_us, prints, hole.last_number)

    def prints_lost(self, at_us: int, hole: PrintsHole) -> None:
        """Note that prints may be missing since *hole*: nothing says how many."""
        details = {"kind": PRINTS_MISSING, "from_us": hole.from_us, "to_us": at_us}
        self.event(max(at_us, self._last_us), "anomaly", details)
        self.end_prints_hole(hole)

    def end_prints_hole(self, hole: PrintsHole) -> None:
        """Ask no more for the prints of *hole*, unless the connection was lost again meanwhile."""
        if self.prints_hole is hole:
            self.prints_hole = None

    def _unusable(self, recv_us: int, reason: str, raw: bytes) -> Received:
        self.market.arrived(recv_us)
        self._journal.quarantine(recv_us, STREAM, reason, raw)
        return Received(None)

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        self._attempt = attempt
        self.market.book.expect_snapshot()
        self.event(at_us, "snapshot_request", {"attempt": attempt})

    def snapshot_answered(self, answer: Answer) -> bool:
        taken = self._take_snapshot(self._in_order(answer))
        self._attempt = None
        return taken

    def _take_snapshot(self, answer: Answer) -> bool:
        if answer.cause:
            return self._snapshot_failed(answer, answer.cause)
        try:
            message = self._decoder.answer(answer.url, answer.body)
        except _BROKEN as error:
            self._journal.quarantine(answer.recv_us, REST, str(error), answer.body)
            return self._snapshot_failed(answer, "unreadable")
        if not isinstance(message, DepthSnapshot):
            return self._snapshot_failed(answer, "no_snapshot")
        if self._sanity.needs_another(message.bids, message.asks):
            return self._snapshot_failed(answer, "empty_side")
        return self.market.snapshot(answer.recv_us, message)

    def failed(self, at_us: int, reason: str) -> None:
        at_us = max(at_us, self._last_us)
        self._journal.event(at_us, "anomaly", {"kind": "internal", "reason": reason})
        if self._attempt is not None:
            self._attempt = None
            self._journal.snapshot_failed(at_us, "internal", None)
        self.market.book.drop_book(at_us, "internal")
        self.market.needs_snapshot = self.market.book_id is None

    def trades_answered(self, answer: Answer) -> int:
        answer = self._in_order(answer)
        self.market.book.carry_over(answer.recv_us)
        try:
            trades = self.backfill.answered(answer)
        except BrokenFile as error:
            self._journal.quarantine(answer.recv_us, REST, str(error), answer.body)
            return 0
        self.market.report_grid(answer.recv_us)
        return self.market.trades.fetched(answer.recv_us, trades)

    def trades_lost(self, at_us: int, first_id: int, last_id: int) -> None:
        self.market.trades_lost(max(at_us, self._last_us), first_id, last_id)

    def learn(self, answer: Answer) -> str | None:
        """Use the filters of exchangeInfo; return the symbol's status.

        A new grid applies from the first row off the earlier ones if it explains all such rows, else from now.
        """
        if answer.cause:
            return None
        answer = self._in_order(answer)
        try:
            message = self._decoder.answer(answer.url, answer.body)
            if not isinstance(message, ExchangeInfo):
                return None
            entry = msgspec.json.decode(message.text, type=dict[str, Any])
            named = from_exchange_info(entry, answer.url)
        except (*_BROKEN, BrokenFile) as error:
            self._journal.quarantine(answer.recv_us, REST, str(error), answer.body)
            return None
        self._take_grid(answer.recv_us, named)
        written, self.instrument = self._written, msgspec.json.format(message.text, indent=1) + "\n"
        self._written = msgspec.json.format(with_history(self.instrument, self._grids), indent=1) + "\n"
        if self._written != written:
            self.writer.instrument(self._written)
        status = str(entry.get("status"))
        self.market.status(answer.recv_us, status)
        return status

    def _take_grid(self, at_us: int, named: Instrument) -> None:
        steps, before = (named.tick_e8, named.lot_e8), self._grids
        self._grid.use(*steps)
        if not before:
            self._grids = (GridChange(0, 0, *steps),)
            self.market.report_grid(at_us, from_seq=0)
        elif steps != (before[-1].tick_e8, before[-1].lot_e8):
            now = at_us, self.writer.last_seq + 1
            self._grids = (*before, GridChange(*now, *steps))
            if not self.off_grid:  # it explains the rows off the grid
                self._grids = (*before, GridChange(*(self._journal.off_since or now), *steps))
        if not self.off_grid:
            self._journal.off_since = None

    def roll(self, writer: DayWriter, at_us: int, *, carry: bool, reason: str = DAY_OVER) -> DayWriter:
        """Continue in another day; return the finished one, not sealed yet.

        Args:
            carry: Whether it directly follows the old day, so that the book carries over.
            reason: After `IDS_AGAIN` the ids begin anew.
        """
        attempt, before = self._attempt, self._journal.writer
        interrupted = self.prints_hole is not None
        self.finish(at_us, reason, window_over=reason == DAY_OVER)
        self._journal.next_day(writer, at_us)
        self._ended = False
        self._last_us = max(self._last_us, at_us)
        if self.clock is not None:  # each day has the offset that its first messages are judged by
            self.clock = replace_struct(self.clock, recv_us=at_us)
            self._journal(self.clock)
        self._grids = tuple(replace(grid, from_us=0, from_seq=0) for grid in self._grids[-1:])
        self._grid.next_day()
        self._written = self.instrument
        self.market.book.next_day(at_us, carry=carry, cause=IDS_AGAIN if reason == IDS_AGAIN else "days_missing")
        if reason == IDS_AGAIN:
            self.market.forget_ids()
        self.market.next_day_of_trades(writer.earlier.last_trade_id)
        if interrupted and self.market.prints:
            self.prints_hole = PrintsHole(self.market.prints.last_number, at_us)
        self.backfill.plan.clear()
        self.market.status_again(at_us)
        self.market.report_grid(at_us)
        if attempt is not None:
            self.snapshot_requested(at_us, attempt)
        return before

    def finish(self, at_us: int, reason: str, *, window_over: bool) -> None:
        self.clock_offsets(at_us)
        if reason not in CONTINUING_REASONS:
            self.market.flush(at_us)
        if self._attempt is not None:
            self._attempt = None
            self._journal.snapshot_failed(at_us, reason, None)
        self.market.book.finish(at_us)
        if self.prints_hole is not None:
            self.prints_lost(at_us, self.prints_hole)
        if window_over:
            self.event(at_us, "window_end", {})
        self.event(at_us, "run_stop", {"reason": reason})
        self._ended = True

    def _in_order(self, answer: Answer) -> Answer:
        return replace(answer, recv_us=max(answer.recv_us, self._last_us))

    def _snapshot_failed(self, answer: Answer, cause: str) -> bool:
        self._journal.snapshot_failed(answer.recv_us, cause, answer.status)
        return False


class RecordingControl(Protocol):
    """A recording as its listener sees it."""

    def shut_down(self, conn: int) -> None: ...

    def need_snapshot(self) -> None: ...

    def begin_anew(self) -> None: ...

    def answered(self, conn: int, answer: StreamAnswer) -> None: ...


class StreamListener:
    """Passes stream messages to a session and measures each connection's silence.

    Args:
        clock: Time for written events (µs): no later than undelivered messages.
    """

    def __init__(
        self,
        session: LiveSession,
        silences: Sequence[StallDetector],
        trades: TradeWatch,
        recording: RecordingControl,
        log: "Logger",
        clock: Callable[[], int],
    ) -> None:
        self.trouble = ""
        self._session = session
        self._silences = silences
        self._trades = trades
        self._recording = recording
        self._ends_us = 0
        self._log = log
        self._clock = clock
        self._newest: dict[int, int] = {}

    def begin(self, ends_us: int) -> None:
        self._ends_us = ends_us

    def connected(self, url: str, conn: int, slot: int) -> None:
        self.trouble = ""
        self._newest[slot] = conn
        self._session.connected(self._clock(), url, conn)
        now_s = monotonic()  # the clock of the event loop
        self._silences[slot].connected(now_s)
        self._trades.connected(slot, conn, now_s)
        self._log.info("ws_connected", conn=conn)

    def message(self, recv_us: int, conn: int, slot: int, raw: bytes) -> None:
        session, now_s = self._session, monotonic()
        if recv_us >= self._ends_us:
            return
        kind, ids_missing, advanced, answer = session.message(recv_us, raw, conn, now_s)
        if answer is not None:
            self._recording.answered(conn, answer)
        elif kind is DepthUpdate:
            if ids_missing:
                self._silences[slot].received(now_s, ids_missing=True)
                self._log.warning("ids_missing", epoch_id=session.epoch_id)
            else:
                self._silences[slot].arrivals_s.append(now_s)
            if advanced and len(self._silences) > 1:
                self._silences[1 - slot].expect(now_s)
        elif kind is ServerShutdown:
            self._log.info("server_shutdown", conn=conn)
            self._recording.shut_down(conn)
        elif kind:
            self._silences[slot].expect(now_s)
            self._trades.received(slot, now_s, ids_missing=ids_missing, advanced=advanced)
        if session.market.ids_again:
            self._recording.begin_anew()
        elif session.market.needs_snapshot:
            self._recording.need_snapshot()

    def disconnected(self, conn: int, slot: int, code: int | None, reason: str) -> None:
        self._session.disconnected(self._clock(), conn, code, reason)
        for first_id, last_id in self._trades.lost(conn):
            self._session.trades_lost(self._clock(), first_id, last_id)
        if self._newest[slot] == conn:
            self._silences[slot].disconnected()
            self._trades.gone(slot)
        self._log.info("ws_disconnected", conn=conn, code=code, reason=reason)

    def joined(self, conn: int) -> bool:
        return self._session.market.arbiter.joined(conn)

    def unreachable(self, reason: str) -> None:
        if reason != self.trouble:
            self.trouble = reason
            self._log.warning("ws_unreachable", reason=reason)
