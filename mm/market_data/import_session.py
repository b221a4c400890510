"""The messages of one symbol, in the order of their capture, into day folders."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mm.clock import US_PER_S, day_of, exchange_us, midnight_us, next_day
from mm.errors import BrokenFile
from mm.market_data.captures import Broken
from mm.market_data.day_journal import DayJournal
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter
from mm.market_data.grid import Grid
from mm.market_data.import_report import percentiles
from mm.market_data.market import Market
from mm.market_data.market_events import stream_of
from mm.market_data.messages import AggTrade, BookTicker, DepthUpdate, Snapshot, TradePrint
from mm.market_data.ticker_check import TickerCheck

LONGEST_STEP_BACK_US = 3_600 * US_PER_S
MarketMessage = DepthUpdate | BookTicker | TradePrint | AggTrade | Snapshot


@dataclass
class _Open:
    """The day that is being written: its bounds, its journal, the market that it is of, and the latencies in it."""

    from_us: int
    to_us: int
    journal: DayJournal
    market: Market
    offsets_us: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def report(self) -> DayReport:
        """What came into it."""
        return self.journal.report


class ImportSession:
    """Take one message after the other and write the days they belong to.

    A message belongs to the day of its receive time, in Berlin. The day never goes back: behind a clock that was set
    back, rows stay in the day that has begun and keep their stamp, and the ledger has a `clock_step`.

    Args:
        open_day: Makes the folder of a day (``YYYYMMDD``).
        grid: Knows the symbol's decimals.
        run_start: What the ledger says of the run, first thing in every day.
        top_n: Levels per side in the frames.
        trade_stream: The stream whose trades are stored; None takes the first one met.

    Attributes:
        days: What came into each day, in order.
        ticker_check: The exchange's best prices against the book.
        trade_stream: The stream whose trades are stored, ``trade`` or ``aggTrade``: where it is not given, the first
            one met, because the other has the same trades again.
        left_out: Trades of the other stream.
    """

    def __init__(
        self,
        open_day: Callable[[str], DayWriter],
        grid: Grid,
        run_start: Mapping[str, Any],
        top_n: int,
        trade_stream: str | None = None,
    ) -> None:
        self.days: list[DayReport] = []
        self.ticker_check = TickerCheck(grid)
        self.trade_stream = trade_stream
        self.left_out = 0
        self._open_day = open_day
        self._grid = grid
        self._run_start = run_start
        self._top_n = top_n
        self._open: _Open | None = None
        self._last_us = 0
        self._notes: list[tuple[int, str, Mapping[str, Any]]] = []
        self._broken: list[tuple[int, Broken]] = []

    def note(self, recv_us: int | None, kind: str, details: Mapping[str, Any]) -> None:
        """Write an event before the next message, in whose day it then stands; None is the time of the last one."""
        self._notes.append((recv_us or 0, kind, details))

    def quarantine(self, recv_us: int | None, broken: Broken) -> None:
        """Keep a line that could not be read; one that does not say when it came has the time of the last message."""
        today = self._open
        if today is None:
            self._broken.append((recv_us or 0, broken))
            return
        inside = recv_us is not None and today.from_us <= recv_us < today.to_us
        at_us = recv_us if recv_us and inside else self._last_us
        today.journal.writer.quarantine(at_us, "capture", broken.reason, broken.raw)
        today.report.quarantined += 1

    def take(self, recv_us: int, message: MarketMessage) -> None:
        """Take one message, received at *recv_us*.

        Raises:
            BrokenFile: If that lies more than an hour before the day that has begun.
        """
        if isinstance(message, TradePrint | AggTrade):
            self._trade(recv_us, message)
            return
        today = self._enter(recv_us)
        market = today.market
        if isinstance(message, Snapshot):
            market.snapshot(recv_us, message)
            return
        market.arrived(recv_us)
        if isinstance(message, DepthUpdate):
            today.offsets_us.append(recv_us - exchange_us(message.E))
            market.take(recv_us, message)
            differs = self.ticker_check.meet(market.book_id, market.book.book)
        else:
            today.report.tickers += 1
            differs = self.ticker_check.ticker(message, market.book_id, market.book.book)
        if differs:
            market.anomaly(recv_us, "ticker_differs", book_id=market.book_id, difference=differs)

    def finish(self) -> None:
        """Close the last day."""
        if self._open:
            self._write_notes(self._open)
            self._open.market.book.finish(self._last_us)
            self._close(self._open, "end_of_captures")

    def _trade(self, recv_us: int, message: TradePrint | AggTrade) -> None:
        stream = stream_of(message)
        self.trade_stream = self.trade_stream or stream
        if stream != self.trade_stream:
            self.left_out += 1
            return
        market = self._enter(recv_us).market
        market.arrived(recv_us)
        market.take(recv_us, message)

    def _enter(self, recv_us: int) -> _Open:
        """Return the day that a message of *recv_us* belongs to, opened if need be, and count the message."""
        today = self._open
        if today is None or recv_us >= today.to_us:
            today = self._open = self._next_day(recv_us)
            for at_us, broken in self._broken:
                self.quarantine(at_us, broken)
            self._broken.clear()
        elif recv_us < today.from_us - LONGEST_STEP_BACK_US:
            raise BrokenFile(
                f"a message was received on {day_of(recv_us)}, when {today.report.day} had begun; "
                f"give the captures in the order in which they were recorded"
            )
        if self._notes:
            self._write_notes(today)
        if recv_us < self._last_us:
            today.journal.event(recv_us, "clock_step", {"by_us": recv_us - self._last_us})
            today.report.clock_steps += 1
        self._last_us = today.report.last_us = recv_us
        today.report.lines += 1
        return today

    def _next_day(self, recv_us: int) -> _Open:
        before, day = self._open, day_of(recv_us)
        if before:
            self._close(before, "day_over")
        writer = self._open_day(day)
        writer.event(recv_us, "run_start", 0, self._run_start)
        writer.event(recv_us, "window_start", 0, {})
        if before:
            journal, market, carry = before.journal, before.market, day == next_day(before.report.day)
            journal.next_day(writer, recv_us)
            market.book.next_day(recv_us, carry=carry)
        else:
            journal = DayJournal(writer, recv_us, "import")
            market = Market(self._grid, (journal,), top_n=self._top_n, keeps_late=True)
        self.days.append(journal.report)
        self._last_us = max(self._last_us, recv_us)
        return _Open(midnight_us(day), midnight_us(next_day(day)), journal, market)

    def _write_notes(self, today: _Open) -> None:
        for at_us, kind, details in self._notes:
            today.journal.event(max(at_us or self._last_us, today.report.first_us), kind, details)
        self._notes.clear()

    def _close(self, today: _Open, reason: str) -> None:
        median, p99 = percentiles(today.offsets_us)
        journal, at_us = today.journal, self._last_us
        if median is not None:
            today.report.clock_offset_us, today.report.clock_offset_p99_us = median, p99
            journal.event(at_us, "clock_offset", {"median_us": median, "p99_us": p99, "stream": "depth"})
        journal.event(at_us, "window_end", {})
        journal.event(at_us, "run_stop", {"reason": reason})
        journal.writer.seal()
        journal.writer.close()
