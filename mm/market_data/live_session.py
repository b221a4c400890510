"""One symbol's messages, as they come from the exchange, into its day folders.

No socket, no timer, no clock: messages, answers and instants come in, rows go out. What a book is and what a gap is,
`BookKeeper` and `TradeKeeper` decide, as they do for an import.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from mm.errors import BrokenFile, OffGrid
from mm.instrument import from_exchange_info
from mm.market_data.arbiter import Arbiter, Sequenced
from mm.market_data.book_keeper import BookKeeper
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter
from mm.market_data.grid import Grid, known_tick_e8
from mm.market_data.latency import OFFSET_STREAM, RoundTrip, StreamLatencies
from mm.market_data.messages import (
    AggTrade,
    DepthUpdate,
    ExchangeInfo,
    Futures,
    Message,
    Messages,
    ServerShutdown,
    Snapshot,
    TradePrint,
)
from mm.market_data.reach import EmptySides
from mm.market_data.snapshot import Answer
from mm.market_data.today import Today
from mm.market_data.trade_fill import TradeFill
from mm.market_data.trade_ids import TradeVerdict
from mm.market_data.trade_keeper import STREAM, TradeKeeper
from mm.whole_file import write_whole

REST = "rest"
_SEQUENCED = (TradePrint, DepthUpdate, AggTrade)
_BROKEN = (ValueError, RecursionError, Futures, OffGrid, msgspec.MsgspecError)


class LiveSession:
    """Take what comes, one thing after the other, and write it.

    Args:
        writer: The first day, its opening events written.
        at_us: When it was opened.
        top_n: Levels a side in the frames.
        snapshot_limit: Levels a side that snapshots are asked for with.
        trade_stream: ``trade`` or ``aggTrade``.

    Attributes:
        arbiter: Makes one feed of those of several connections.
        fill: Knows which trades are missing, and what to ask of REST for them.
        wants_snapshot: Whether updates wait for a book.
        instrument: The exchange's entry of the symbol, JSON text; None while it is not known.
        latencies: Arrival less the exchange's stamp, by stream.
    """

    def __init__(
        self, writer: DayWriter, at_us: int, top_n: int, *, snapshot_limit: int = 5000, trade_stream: str = "trade"
    ) -> None:
        self.arbiter = Arbiter()
        self.wants_snapshot = False
        self.instrument: str | None = None
        self.latencies = StreamLatencies()
        self._stepped_back = False
        self._grid = Grid(known_tick_e8(writer.folder.instrument), learns_steps=False)
        self._messages = Messages(writer.folder.symbol, self._grid, packs=True)
        self._trades = TradeKeeper(self._grid, STREAM)
        keeper, earlier = BookKeeper(writer, self._grid, top_n), writer.earlier
        holes = earlier.trade_holes
        self._trades.resume(earlier.last_trade_id, earlier.last_trade_us, holes)
        self.fill = TradeFill(self._trades, self._grid, aggregates=trade_stream == "aggTrade")
        self.fill.resume(holes)
        self._top_n, self._snapshot_limit, self._sides = top_n, snapshot_limit, EmptySides()
        self._today = Today.begun(writer, keeper, at_us)
        keeper.gap_cause = self._trades.gap_cause = "restart"
        self._attempt: int | None = None
        self._last_us = at_us

    @property
    def writer(self) -> DayWriter:
        """The files of the day that is being written."""
        return self._today.writer

    @property
    def report(self) -> DayReport:
        """What came into that day."""
        return self._today.report

    @property
    def keeper(self) -> BookKeeper:
        """The book, and what was counted of it."""
        return self._today.keeper

    @property
    def epoch_id(self) -> int:
        """The last epoch that was opened in it; 0 before the first."""
        return self._today.keeper.epoch_id

    def event(self, at_us: int, kind: str, details: Mapping[str, Any]) -> None:
        """Write something that happened to the recording."""
        self._today.event(at_us, kind, details)

    def connected(self, at_us: int, url: str, conn: int) -> None:
        """Write that connection number *conn* is open."""
        self.event(at_us, "ws_connected", {"url": url, "conn": conn})
        self.arbiter.opened(conn)

    def disconnected(self, at_us: int, conn: int, code: int | None, reason: str) -> None:
        """Write that it has ended; if it was the last one, what is missing when the next one goes on was lost since."""
        self._store_all(self.arbiter.closed(conn))
        self.event(at_us, "ws_disconnected", {"conn": conn, "code": code, "reason": reason})
        if not self.arbiter.open:
            self._today.keeper.gap_cause = self._trades.gap_cause = "disconnected"
            self.wants_snapshot = False

    def clock_read(self, at_us: int, step_us: int) -> None:
        """Write that the wall clock was set by *step_us*, if it was; what arrivals have shown is not told again."""
        told, self._stepped_back = self._stepped_back, False
        if step_us and not (told and step_us < 0):
            self.event(at_us, "clock_step", {"by_us": step_us})
            self.report.clock_steps += 1

    def clock_offsets(self, at_us: int, trip: RoundTrip | None = None) -> None:
        """Write the latencies of each stream since the last time, and the clock's own offset where it was measured."""
        for stream, spread in self.latencies.take().items():
            self.event(at_us, "clock_offset", {**spread._asdict(), "stream": stream})
        if trip:
            most_us = trip.offset_us + trip.took_us // 2
            measured = {"median_us": trip.offset_us, "p99_us": most_us, "stream": OFFSET_STREAM}
            self.event(at_us, "clock_offset", measured)

    def message(self, recv_us: int, raw: bytes, conn: int | None = None, now_s: float = 0.0) -> type[Message] | None:
        """Take a message of the stream and return what it was; None where it could not be used.

        Args:
            recv_us: Its arrival, in µs.
            raw: As it came.
            conn: Over which connection; None where there never was but one.
            now_s: The instant, in s of a monotonic clock.
        """
        today = self._today
        if recv_us < self._last_us:
            self.event(recv_us, "clock_step", {"by_us": recv_us - self._last_us})
            today.report.clock_steps += 1
            self._stepped_back = True
        self._last_us = today.report.last_us = recv_us
        today.report.lines += 1
        today.keeper.settle(recv_us)
        try:
            message = self._messages.received(raw)
        except _BROKEN as error:
            self._today.quarantine(recv_us, STREAM, str(error), raw)
            return None
        if not isinstance(message, _SEQUENCED):
            if isinstance(message, ServerShutdown):
                return ServerShutdown
            self._today.quarantine(recv_us, STREAM, "neither a depth update nor a trade of the symbol", raw)
            return None
        self.latencies.arrived("depth" if isinstance(message, DepthUpdate) else "trade", recv_us, message.E)
        if self.arbiter.passes(conn, message):
            if self._store(recv_us, message, one_of_many=False) is TradeVerdict.LATE:
                self._today.quarantine(recv_us, STREAM, "a trade behind a later one", raw)
        elif conn is not None:
            self._store_all(self.arbiter.take(recv_us, conn, message, now_s))
        return type(message)

    def let_through(self, now_s: float) -> None:
        """Let messages through that have waited long enough for ids before them."""
        self._store_all(self.arbiter.overdue(now_s))

    def _store_all(self, messages: Sequence[tuple[int, Sequenced]]) -> None:
        """Store what the arbiter lets through; what had to wait arrives when it need not wait any more."""
        for recv_us, message in messages:
            self._store(max(recv_us, self._last_us), message, one_of_many=True)

    def _store(self, recv_us: int, message: Sequenced, *, one_of_many: bool) -> TradeVerdict | None:
        """Write a message, and return what the id of a trade said."""
        today = self._today
        if isinstance(message, DepthUpdate):
            today.keeper.depth(recv_us, message, one_of_many=one_of_many)
            today.keeper.gap_cause = "ids_missing"
            self.wants_snapshot = today.keeper.book_id is None
            return None
        verdict = self._trades.take(recv_us, message, today)
        if verdict is TradeVerdict.GAP:
            self.fill.notice()
        return verdict

    def snapshot_requested(self, at_us: int, attempt: int) -> None:
        """Write that a snapshot was asked for."""
        self._attempt = attempt
        self.event(at_us, "snapshot_request", {"attempt": attempt})

    def snapshot_answered(self, answer: Answer) -> None:
        """Make the answer the book, where it bridges; the ledger says why it does not."""
        self._attempt = None
        answer = self._in_order(answer)
        if answer.cause:
            self._snapshot_failed(answer.recv_us, answer.cause, answer.status)
            return
        try:
            message = self._messages.answer(answer.url, answer.body)
        except _BROKEN as error:
            self._today.quarantine(answer.recv_us, REST, str(error), answer.body)
            self._snapshot_failed(answer.recv_us, "unreadable", answer.status)
            return
        if isinstance(message, Snapshot) and self._sides.doubted(message.bids, message.asks):
            self._snapshot_failed(answer.recv_us, "empty_side", answer.status)
        elif isinstance(message, Snapshot):
            self._today.keeper.snapshot(answer.recv_us, message)
            self.wants_snapshot = self.wants_snapshot and self._today.keeper.book_id is None
        else:
            self._snapshot_failed(answer.recv_us, "no_snapshot", answer.status)

    @property
    def wants_refresh(self) -> bool:
        """Whether the book may soon reach beyond what its snapshot showed, so that another one is needed."""
        keeper = self._today.keeper
        if keeper.book_id is None or keeper.awaits:
            return False
        return keeper.reach.running_out(keeper.book, self._snapshot_limit, self._top_n)

    def trades_answered(self, answer: Answer) -> int:
        """Write the missing trades that REST has told, and return how many they are."""
        answer = self._in_order(answer)
        try:
            self._today.keeper.settle(answer.recv_us)
            return self.fill.answered(answer, self._today)
        except BrokenFile as error:
            self._today.quarantine(answer.recv_us, REST, str(error), answer.body)
            return 0

    def trades_lost(self, at_us: int, first_id: int, last_id: int) -> None:
        """Write that what did not come of these trades never will; it is fetched by REST."""
        self.fill.lost(max(at_us, self._last_us), first_id, last_id, self._today)

    def learn(self, answer: Answer) -> str | None:
        """Take the symbol's filters over from exchangeInfo and return its status; None where there are none in it."""
        if answer.cause:
            return None
        try:
            message = self._messages.answer(answer.url, answer.body)
            if not isinstance(message, ExchangeInfo):
                return None
            entry = msgspec.json.decode(message.text, type=dict[str, Any])
            self._grid.tick_e8 = from_exchange_info(entry, answer.url).tick_e8
        except (*_BROKEN, BrokenFile) as error:
            self._today.quarantine(answer.recv_us, REST, str(error), answer.body)
            return None
        self.instrument = msgspec.json.format(message.text, indent=1) + "\n"
        write_whole(self.writer.folder.instrument, self.instrument.encode(), durable=True)
        status = str(entry.get("status"))
        self.event(answer.recv_us, "exchange_info", {"status": status})
        return status

    def roll(self, writer: DayWriter, at_us: int, *, carry: bool) -> DayWriter:
        """Go on in another day and return the files of the one that is over, which is not sealed yet.

        Args:
            writer: The new day, its opening events written.
            at_us: When it begins.
            carry: Whether it follows on the old one, so that the book may be taken over.
        """
        attempt, before = self._attempt, self._today
        self.finish(at_us, "day_over", window_over=True)
        before.keeper.roll(writer, at_us, carry=carry)
        self.fill.roll()
        self._today = Today.begun(writer, before.keeper, at_us)
        if attempt is not None:
            self.snapshot_requested(at_us, attempt)
        return before.writer

    def finish(self, at_us: int, reason: str, *, window_over: bool) -> None:
        """Write the last events of the day."""
        self.clock_offsets(at_us)
        if reason != "day_over":
            self._store_all(self.arbiter.rest())
        if self._attempt is not None:
            self._attempt = None
            self._snapshot_failed(at_us, reason, None)
        self._today.keeper.finish(at_us)
        if window_over:
            self.event(at_us, "window_end", {})
        self.event(at_us, "run_stop", {"reason": reason})

    def _in_order(self, answer: Answer) -> Answer:
        """Return *answer* as of no earlier than the last message: their rows stand in one file."""
        return replace(answer, recv_us=max(answer.recv_us, self._last_us))

    def _snapshot_failed(self, at_us: int, cause: str, status: int | None) -> None:
        self._today.keeper.counts.snapshots_refused += 1
        self.event(at_us, "snapshot_failed", {"cause": cause, "http_status": status})
