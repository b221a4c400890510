"""Runs of capture lines that only add rows, processed by a kernel.

The import reads line by line. After each line that it reads, a kernel processes the following lines as long as each
only continues the previous state, and the import continues after them: the days are the same with and without it.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any

from mm.clock import FIRST_US, LAST_US, MS_BELOW
from mm.dayfolder.layout import USDM
from mm.dayfolder.rows import SENT_LATE_MS, RowRun, Stamp
from mm.market_data.captures import EARLIEST_US, Capture, CaptureLike
from mm.market_data.grid import Grid
from mm.market_data.import_session import ImportSession, OpenDay
from mm.market_data.venue import BookTicker

kernel: Any = None
"""The compiled lines, `_captured_lines`; None if there was no compiler at installation.

Both implementations write the same bytes; set it to None before an import begins to use plain Python.
"""
with suppress(ImportError):
    kernel = import_module("mm.market_data._captured_lines")

_KINDS = ("depth", "trade", "aggTrade", "bookTicker")
_FEW, _PAUSE = 4, 16
"""After a run of fewer than `_FEW` lines, the next run starts only after `_PAUSE` lines."""


class PricesNotCounted(Exception):
    """Prices are off the given tick, and the number of prices on it is unknown: a kernel may have read them."""


def read_ahead(capture: CaptureLike, symbol: str, session: ImportSession, grid: Grid) -> None:
    """Process runs of lines of *capture* with the kernel, if there is one and it supports the capture."""
    if kernel and isinstance(capture, Capture) and capture.stamped:
        capture.lines.ahead = LinesAhead(capture, symbol, session, grid).take


class LinesAhead:
    """Processes lines of one capture that continue the market of a session.

    Args:
        capture: The capture.
        symbol: The symbol, in upper case.
        session: Processes all other messages.
        grid: Converts the symbol's decimals.
    """

    def __init__(self, capture: Capture, symbol: str, session: ImportSession, grid: Grid) -> None:
        self._symbol = symbol
        self._session = session
        self._grid = grid
        self._messages = capture.messages
        units = (MS_BELOW, FIRST_US, LAST_US, EARLIEST_US, LAST_US, SENT_LATE_MS)
        self._lines: Any = kernel.CapturedLines(symbol, capture.market == USDM, units)
        self._registered = 0
        self._ticker: BookTicker | None = None
        self._pause = 0

    def take(self, block: bytes, at: int) -> tuple[int, int]:
        """Process the simple lines of *block* from *at* on; return their number, and their end."""
        if self._pause:
            self._pause -= 1
            return 0, at
        found = self._session.today
        if found is None or not self._begin(*found):
            return 0, at
        today, lines = found[0], self._lines
        sides = today.market.book.book.compiled or (None, None)
        end = lines.take(block, at, *sides, self._session.trade_stream or "")
        if lines.lines:
            self._go_on(today)
        self._pause = 0 if lines.lines >= _FEW else _PAUSE
        return lines.lines, end

    def _begin(self, today: OpenDay, last_us: int) -> bool:
        """Start the kernel at the session's state; return False if that is impossible."""
        lines, writer, market, grid = self._lines, today.journal.writer, today.market, self._grid
        rooms = writer.rooms
        if grid.off or market.book.carries or market.arbiter.open or market.arbiter.doubts or today.journal.then:
            return False
        if rooms is None or not writer.run_id.isascii() or "\\" in writer.run_id:
            return False
        streams = self._messages.own_streams
        for name, kind in streams[self._registered :]:
            if kind in _KINDS:
                lines.learn(name, kind)
        self._registered = len(streams)
        lines.begin(writer.run_id, today.journal.source, writer.top_n, rooms)
        lines.last_us, lines.to_us, lines.seq, lines.epoch = (
            last_us,
            today.to_us,
            writer.last_seq,
            today.journal.epoch_id,
        )
        ids = market.book.book_id if market.book.plain else None, market.trades.last_id
        lines.book_id, lines.trade_id = (-1 if last_id is None else last_id for last_id in ids)
        lines.tick_e8, lines.lot_e8 = grid.tick_e8, grid.lot_e8
        lines.seen_tick_e8, lines.seen_lot_e8 = grid.seen_tick_e8, grid.seen_step_e8
        ticker = self._session.ticker_check.waiting
        if ticker is not self._ticker:
            self._ticker = ticker
            lines.wait_for(*((ticker.u, ticker.b, ticker.B, ticker.a, ticker.A) if ticker else (-1,)))
        return True

    def _go_on(self, today: OpenDay) -> None:
        """Update the session to the kernel's state."""
        lines, market = self._lines, today.market
        self._messages.symbols[self._symbol] += lines.lines
        self._grid.passed(lines.seen_tick_e8, lines.seen_lot_e8)
        self._session.advance(lines.last_us, lines.lines)
        today.report.tickers += lines.tickers
        last = None
        if lines.updates:
            number = market.book.advance(lines.update_us, lines.updates, lines.first_id, lines.book_id)
            last = number, Stamp(lines.update_us, lines.update_seq, lines.exchange, lines.book_id)
            today.offsets_us.frombytes(lines.late_us())
        if lines.trades:
            market.trades.advance(lines.trade_us, lines.trade_id)
        market.arrived(lines.last_us)
        market.arbiter.advance(lines.book_id if lines.updates else None, lines.trade_id if lines.trades else None)
        if lines.tickers or lines.compared:
            waits = lines.waits()
            self._ticker = BookTicker(waits[0], self._symbol, *waits[1:]) if waits else None
            self._session.ticker_check.advance(self._ticker, lines.compared)
        diffs, frames, trades = lines.rows()
        counts, units = (lines.updates, lines.trades), lines.units_seen
        last_diff = lines.last_diff_row() if lines.updates else b""
        today.journal.extend(RowRun(diffs, frames, trades, counts, last_diff, bool(units & 1), bool(units & 2)), last)
