"""The messages of one symbol, in the order of their capture, into day folders."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mm.clock import US_PER_S, day_of, exchange_us, midnight_us, next_day
from mm.errors import BrokenFile
from mm.market_data.book_keeper import BookKeeper
from mm.market_data.captures import Broken
from mm.market_data.day_report import DayReport
from mm.market_data.day_writer import DayWriter
from mm.market_data.grid import Grid
from mm.market_data.import_report import percentiles
from mm.market_data.messages import AggTrade, BookTicker, DepthUpdate, Snapshot, TradePrint
from mm.market_data.ticker_check import TickerCheck
from mm.market_data.trade_keeper import TradeKeeper

LONGEST_STEP_BACK_US = 3_600 * US_PER_S
MarketMessage = DepthUpdate | BookTicker | TradePrint | AggTrade | Snapshot


@dataclass
class _Today:
    """The day that is being written: its bounds, its files, and what came into it."""

    from_us: int
    to_us: int
    writer: DayWriter
    keeper: BookKeeper
    report: DayReport
    offsets_us: "array[int]" = field(default_factory=lambda: array("q"))


class ImportSession:
    """Take one message after the other and write the days they belong to.

    A message belongs to the day of its receive time, in Berlin. The day never goes back: behind a clock that was set
    back, rows stay in the day that has begun and keep their stamp, and the ledger has a `clock_step`.

    Args:
        open_day: Makes the folder of a day (``YYYYMMDD``).
        grid: Knows the symbol's decimals.
        run_start: What the ledger says of the run, first thing in every day.
        top_n: Levels a side in the frames.

    Attributes:
        days: What came into each day, in order.
        ticker_check: The exchange's best prices against the book.
        trade_stream: The stream whose trades are stored, ``trade`` or ``aggTrade``. The first one met, for the other
            tells the same trades again; None before it.
        left_out: Trades of the other stream.
    """

    def __init__(
        self, open_day: Callable[[str], DayWriter], grid: Grid, run_start: Mapping[str, Any], top_n: int
    ) -> None:
        self.days: list[DayReport] = []
        self.ticker_check = TickerCheck(grid)
        self.trade_stream: str | None = None
        self.left_out = 0
        self._open_day = open_day
        self._grid = grid
        self._run_start = run_start
        self._top_n = top_n
        self._today: _Today | None = None
        self._trades = TradeKeeper(grid, "import")
        self._last_us = 0
        self._notes: list[tuple[int, str, Mapping[str, Any]]] = []
        self._broken: list[tuple[int, Broken]] = []

    def note(self, recv_us: int | None, kind: str, details: Mapping[str, Any]) -> None:
        """Write an event before the next message, in whose day it then stands; None is the time of the last one."""
        self._notes.append((recv_us or 0, kind, details))

    def quarantine(self, recv_us: int | None, broken: Broken) -> None:
        """Keep a line that could not be read; one that does not say when it came has the time of the last message."""
        today = self._today
        if today is None:
            self._broken.append((recv_us or 0, broken))
            return
        inside = recv_us is not None and today.from_us <= recv_us < today.to_us
        today.writer.quarantine(recv_us if recv_us and inside else self._last_us, "capture", broken.reason, broken.raw)
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
        keeper = today.keeper
        if isinstance(message, Snapshot):
            keeper.snapshot(recv_us, message)
            return
        keeper.settle(recv_us)
        if isinstance(message, DepthUpdate):
            today.offsets_us.append(recv_us - exchange_us(message.E))
            keeper.depth(recv_us, message)
            differs = self.ticker_check.meet(keeper.book_id, keeper.book)
        else:
            today.report.tickers += 1
            differs = self.ticker_check.ticker(message, keeper.book_id, keeper.book)
        if differs:
            keeper.anomaly(recv_us, "ticker_differs", book_id=keeper.book_id, difference=differs)

    def finish(self) -> None:
        """Close the last day."""
        if self._today:
            self._write_notes(self._today)
            self._today.keeper.finish(self._last_us)
            self._close(self._today, "end_of_captures")

    def _trade(self, recv_us: int, message: TradePrint | AggTrade) -> None:
        stream = "trade" if isinstance(message, TradePrint) else "aggTrade"
        self.trade_stream = self.trade_stream or stream
        if stream != self.trade_stream:
            self.left_out += 1
            return
        today = self._enter(recv_us)
        today.keeper.settle(recv_us)
        self._trades.take(recv_us, message, today)

    def _enter(self, recv_us: int) -> _Today:
        """Return the day that a message of *recv_us* belongs to, begun if need be, and count the message."""
        today = self._today
        if today is None or recv_us >= today.to_us:
            today = self._begin_day(recv_us)
        elif recv_us < today.from_us - LONGEST_STEP_BACK_US:
            raise BrokenFile(
                f"a message was received on {day_of(recv_us)}, when {today.report.day} had begun; "
                f"give the captures in the order in which they were recorded"
            )
        if self._notes:
            self._write_notes(today)
        if recv_us < self._last_us:
            today.writer.event(recv_us, "clock_step", today.keeper.epoch_id, {"by_us": recv_us - self._last_us})
            today.report.clock_steps += 1
        self._last_us = today.report.last_us = recv_us
        today.report.lines += 1
        return today

    def _begin_day(self, recv_us: int) -> _Today:
        before, day = self._today, day_of(recv_us)
        if before:
            self._close(before, "day_over")
        writer = self._open_day(day)
        writer.event(recv_us, "run_start", 0, self._run_start)
        writer.event(recv_us, "window_start", 0, {})
        if before:
            keeper = before.keeper
            keeper.roll(writer, recv_us, carry=day == next_day(before.report.day))
        else:
            keeper = BookKeeper(writer, self._grid, self._top_n)
        report = DayReport(day, recv_us, recv_us, book=keeper.counts)
        self.days.append(report)
        self._today = _Today(midnight_us(day), midnight_us(next_day(day)), writer, keeper, report)
        self._last_us = max(self._last_us, recv_us)
        for at_us, broken in self._broken:
            self.quarantine(at_us, broken)
        self._broken.clear()
        return self._today

    def _write_notes(self, today: _Today) -> None:
        for at_us, kind, details in self._notes:
            today.writer.event(max(at_us or self._last_us, today.report.first_us), kind, today.keeper.epoch_id, details)
        self._notes.clear()

    def _close(self, today: _Today, reason: str) -> None:
        median, p99 = percentiles(today.offsets_us)
        epoch_id, writer, at_us = today.keeper.epoch_id, today.writer, self._last_us
        if median is not None:
            today.report.clock_offset_us, today.report.clock_offset_p99_us = median, p99
            writer.event(at_us, "clock_offset", epoch_id, {"median_us": median, "p99_us": p99, "stream": "depth"})
        writer.event(at_us, "window_end", epoch_id, {})
        writer.event(at_us, "run_stop", epoch_id, {"reason": reason})
        writer.seal()
        writer.close()
