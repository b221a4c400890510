"""Writes the messages of one symbol, in capture order, into day folders; the report of an import."""

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from math import gcd
from typing import Any

from mm.clock import DAY_ZONE, US_PER_S, day_of, exchange_us, iso, midnight_us, next_day
from mm.dayfolder.day_writer import DayWriter
from mm.errors import BrokenFile
from mm.instrument import Instrument, e8, inferred_step, short_text
from mm.market_data.captures import Broken
from mm.market_data.contract_writer import ContractMessage, ContractWriter
from mm.market_data.day_journal import DayJournal, DayReport
from mm.market_data.grid_stretches import BookStretches
from mm.market_data.market_events import EpochOpened, MarketEvent, stream_of
from mm.market_data.market_state import MarketState
from mm.market_data.message_batch import MessageBatch
from mm.market_data.stamps import FAR_US, Moved
from mm.markets.grid import MOST_SHOWN_E8, Grid
from mm.markets.local_orderbook import LocalOrderBook
from mm.markets.messages import AggTrade, BookTicker, DepthSnapshot, DepthUpdate, TradePrint


class TickerCheck:
    """Compares each `bookTicker` with the book of the same update id, whichever of the two arrives first."""

    def __init__(self, grid: Grid) -> None:
        self.compared = 0
        self.agreed = 0
        self._grid = grid
        self._waiting: BookTicker | None = None

    def ticker(self, ticker: BookTicker, book_id: int | None, book: LocalOrderBook) -> str | None:
        """Keep *ticker* and return None unless the book is at its id."""
        self._waiting = ticker
        return self.compare_ticker(book_id, book)

    def compare_ticker(self, book_id: int | None, book: LocalOrderBook) -> str | None:
        """The waiting ticker's difference from the book at *book_id*; None if all agreed, or nothing was compared."""
        ticker = self._waiting
        if ticker is None or ticker.u != book_id:
            return None
        self._waiting = None
        self.compared += 1
        ours = tuple(side[0] if side else None for side in book.top(1))
        theirs = ((ticker.b, ticker.B), (ticker.a, ticker.A))
        if all(self._equal(our, their) for our, their in zip(ours, theirs, strict=True)):
            self.agreed += 1
            return None
        return f"book {ours}, bookTicker {theirs}"

    @property
    def waits(self) -> bool:
        return self._waiting is not None

    def _equal(self, our: tuple[str, str] | None, their: tuple[str, str]) -> bool:
        if our is None:
            return self._grid.qty(their[1]) == 0
        if our == their:
            return True
        ours, theirs = ((self._grid.price(price), self._grid.qty(qty)) for price, qty in (our, their))
        return ours == theirs


class SequencedTickerCheck:
    """Compares best prices of a matching engine's number (`seq`) with those of the book of the last number up to it.

    Which book that is shows only the next one; a ticker before the first book, or lost with it, is not compared.
    Quantities are not compared: the best ones change between two messages of the book.
    """

    def __init__(self, check: TickerCheck, grid: Grid) -> None:
        self._check, self._grid = check, grid
        self._books: deque[tuple[int, tuple[int | None, int | None]]] = deque(maxlen=_BOOKS_KEPT)
        self._waiting: deque[BookTicker] = deque(maxlen=_BOOKS_KEPT)

    def ticker(self, ticker: BookTicker) -> Iterable[str]:
        self._waiting.append(ticker)
        return self._compare()

    def changed(self, seq: int | None, valid: bool, book: LocalOrderBook) -> Iterable[str]:
        """Keep the best prices after a change or a whole book; return the differences that it decides."""
        if not valid or seq is None:
            self._books.clear()
            return ()
        self._books.append((seq, book.best()))
        return self._compare() if self._waiting else ()

    def _compare(self) -> Iterator[str]:
        while self._waiting and self._books and self._waiting[0].u < self._books[-1][0]:
            ticker = self._waiting.popleft()
            ours = next((best for seq, best in reversed(self._books) if seq <= ticker.u), None)
            if ours is None:
                continue
            self._check.compared += 1
            if ours == (self._grid.price(ticker.b), self._grid.price(ticker.a)):
                self._check.agreed += 1
            else:
                yield f"book {ours} in 1e-8, best prices ({ticker.b}, {ticker.a})"


_BOOKS_KEPT = 64
UNREAD_NAMED = 5
"""Maximum number of quarantined lines in the report."""


@dataclass
class CaptureReport:
    """Lines of one capture, of any symbol, and what was lost.

    Attributes:
        cut_lines: Fragments at the end or next to a damaged part; like unread ones they are in the quarantine.
    """

    name: str
    lines: int = 0
    cut_lines: int = 0
    lost_bytes: int = 0
    ends_early: bool = False
    unread_lines: int = 0
    unread: list[str] = field(default_factory=list)

    def quarantine(self, reason: str, *, cut: bool) -> None:
        self.unread_lines += 1
        self.cut_lines += cut
        if len(self.unread) < UNREAD_NAMED:
            self.unread.append(reason)

    @property
    def whole(self) -> bool:
        return not (self.cut_lines or self.lost_bytes or self.ends_early)


@dataclass
class ImportReport:
    symbol: str
    run_id: str
    captures: list[CaptureReport] = field(default_factory=list)
    days: list[DayReport] = field(default_factory=list)
    compared: int = 0
    agreed: int = 0
    instrument: Instrument | None = None
    inferred: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read_as: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        record = asdict(self) | {"days": [day.to_json() for day in self.days]}
        if self.instrument:
            instrument = self.instrument
            record["instrument"] = {
                "tick_size": short_text(instrument.tick_e8),
                "qty_step": short_text(instrument.lot_e8),
                "min_notional": short_text(instrument.min_notional_e8),
            }
        return {**record, "path": self.days[-1].path if self.days else None}

    def lines(self) -> list[str]:
        return [
            *self.read_as,
            *(day.line() for day in self.days),
            *self._ticker_line(),
            *_clock_line(self.days),
            *_grid_line(self.instrument, self.inferred),
            *self.losses,
            *(f"warning: {warning}" for warning in self.warnings),
            *(day.path if day.synced else f"{day.path}: never synced, so it cannot be replayed" for day in self.days),
        ]

    @property
    def losses(self) -> list[str]:
        return [
            *(_loss_line(capture) for capture in self.captures if not capture.whole),
            *(_unread_line(capture) for capture in self.captures if capture.unread),
        ]

    def _ticker_line(self) -> list[str]:
        seen = self.compared or any(day.tickers for day in self.days)
        return [f"bookTicker check: {self.compared:,} compared, {self.agreed:,} agreed"] if seen else []


def percentiles(counts: "Counter[int]") -> tuple[int | None, int | None]:
    """Median and 99th percentile (the lower of two candidates) of values that occur *counts* times."""
    if not counts:
        return None, None
    values = sorted(counts)
    upto = list(accumulate(counts[value] for value in values))
    last = upto[-1] - 1
    return values[bisect_right(upto, last // 2)], values[bisect_right(upto, last * 99 // 100)]


def _clock_line(days: list[DayReport]) -> list[str]:
    medians = [f"{day.clock_offset_us / 1000:+.1f} ms" for day in days if day.clock_offset_us is not None]
    return [f"receive clock minus exchange stamp, median per day: {', '.join(medians)}"] if medians else []


def _grid_line(instrument: Instrument | None, inferred: list[str]) -> list[str]:
    if instrument is None:
        return []
    source = f" (inferred from the capture: {', '.join(inferred)})" if inferred else ""
    return [f"tick size {short_text(instrument.tick_e8)}, quantity step {short_text(instrument.lot_e8)}{source}"]


def _unread_line(capture: CaptureReport) -> str:
    more = capture.unread_lines - len(capture.unread)
    return f"in quarantine: {'; '.join(capture.unread)}{f'; and {more:,} more of {capture.name}' if more else ''}"


def _loss_line(capture: CaptureReport) -> str:
    lost = [
        *(["the gzip stream ends early"] if capture.ends_early else []),
        *([f"{capture.lost_bytes:,} bytes could not be decompressed"] if capture.lost_bytes else []),
        *([f"{capture.cut_lines:,} truncated line(s) in quarantine"] if capture.cut_lines else []),
    ]
    return f"lost: {capture.name}: {', '.join(lost)}; all {capture.lines - capture.cut_lines:,} complete lines used"


def _valid(market: MarketState) -> bool:
    return market.book_id is not None


TRADE_STREAM = "trade"
LONGEST_STEP_BACK_US = 3_600 * US_PER_S
MarketMessage = DepthUpdate | BookTicker | TradePrint | AggTrade | DepthSnapshot
MARKET_MESSAGES = (DepthUpdate, BookTicker, TradePrint, AggTrade, DepthSnapshot)


@dataclass
class OpenDay:
    from_us: int
    to_us: int
    journal: DayJournal
    market: MarketState
    offsets_us: Counter[int] = field(default_factory=Counter)  # a day of single orders has millions, of few values

    @property
    def report(self) -> DayReport:
        return self.journal.report


class ImportSession:
    def __init__(  # noqa: PLR0913 - most have a default
        self,
        open_day: Callable[[str], DayWriter],
        grid: Grid,
        run_start: Mapping[str, Any],
        top_n: int,
        trade_stream: str | None = None,
        *,
        zone: str = DAY_ZONE,
        ids_skip: bool = False,
    ) -> None:
        self.days: list[DayReport] = []
        self.ticker_check = TickerCheck(grid)
        self._sequenced = SequencedTickerCheck(self.ticker_check, grid)
        self.trade_stream = trade_stream
        self.left_out = 0
        self.book_step_e8 = self.book_levels = 0
        self.stretches = BookStretches(grid.price, grid.qty)
        self._open_day = open_day
        self._grid = grid
        self._run_start = run_start
        self._top_n = top_n
        self._zone, self._ids_skip = zone, ids_skip
        self._open: OpenDay | None = None
        self._last_us = self._latest_us = 0
        self._back = Moved()
        self._notes: list[tuple[int, str, Mapping[str, Any]]] = []
        self._broken: list[tuple[int, Broken]] = []
        self._contract: ContractWriter | None = None

    def contract(self, recv_us: int, message: ContractMessage) -> None:
        today = self._open
        if today is None or not today.from_us <= recv_us < today.to_us:
            return
        if self._contract is None:
            self._contract = ContractWriter(today.journal.writer.folder.symbol, lambda: self._writer)
        self._contract.take(recv_us, message)

    @property
    def _writer(self) -> DayWriter:
        assert self._open
        return self._open.journal.writer

    def note(self, recv_us: int | None, kind: str, details: Mapping[str, Any]) -> None:
        """An event without a time gets the last message's."""
        self._notes.append((recv_us or 0, kind, details))

    def quarantine(self, recv_us: int | None, broken: Broken) -> None:
        today = self._open
        if today is None:
            self._broken.append((recv_us or 0, broken))
            return
        inside = recv_us is not None and today.from_us <= recv_us < today.to_us
        at_us = recv_us if recv_us and inside else self._last_us
        today.journal.writer.quarantine(at_us, "capture", broken.reason, broken.raw)
        today.report.quarantined += 1

    def take(self, recv_us: int, message: MarketMessage) -> None:
        """Raises BrokenFile if the message is more than an hour before the open day."""
        if isinstance(message, (TradePrint, AggTrade)):
            self._trade(recv_us, message)
            return
        today = self._enter(recv_us)
        market = today.market
        if isinstance(message, DepthSnapshot):
            self.stretches.add(recv_us, (message.bids, message.asks))
            if message.window is not None:
                today.journal.writer.book_depth = message.window
            market.snapshot(recv_us, message)
            self._compare(recv_us, market, self._sequenced.changed(message.seq, _valid(market), market.book.book))
            return
        market.arrived(recv_us)
        if isinstance(message, DepthUpdate):
            if message.T is None or recv_us != exchange_us(message.T):  # else there is no time of receipt
                today.offsets_us[recv_us - exchange_us(message.E)] += 1
            self.stretches.add(recv_us, (message.b, message.a))
            market.take(recv_us, message)
            if message.seq is not None:
                self._compare(recv_us, market, self._sequenced.changed(message.seq, _valid(market), market.book.book))
                return
            differs = self.ticker_check.compare_ticker(market.book_id, market.book.book)
        else:
            today.report.tickers += 1
            if message.E is not None and today.journal.writer.market.best_prices:
                self.contract(recv_us, message)
            if today.journal.writer.market.sequenced:
                self._compare(recv_us, market, self._sequenced.ticker(message))
                return
            differs = self.ticker_check.ticker(message, market.book_id, market.book.book)
        if differs:
            market.book.anomaly(recv_us, "ticker_differs", book_id=market.book_id, difference=differs)

    @staticmethod
    def _compare(recv_us: int, market: MarketState, differences: Iterable[str]) -> None:
        for difference in differences:
            market.book.anomaly(recv_us, "ticker_differs", book_id=market.book_id, difference=difference)

    def take_columns(self, batch: MessageBatch) -> None:
        """Process *batch* up to a message that needs more than rows and a changed book; pass the rest to `take`."""
        today = self._open
        waits = self._notes or self._broken or self.ticker_check.waits
        first_us = int(batch.us[0])
        if today is None or waits or not self._latest_us <= first_us < today.to_us or self._last_us > first_us:
            return
        if not today.journal.writer.takes_columns or self.trade_stream not in (None, TRADE_STREAM):
            return
        market, columns = today.market, batch.columns
        today.journal.columns(
            batch, min(market.columns_until(batch), bisect_left(batch.us, today.to_us)), market.book.book
        )
        if not columns.at:
            return
        market.took_columns(batch)
        self.stretches.add_columns(batch)
        today.offsets_us.update(memoryview(columns.offsets_us()).cast("q"))
        if columns.trades:
            self.trade_stream = TRADE_STREAM
        self._latest_us = self._last_us = today.report.last_us = int(batch.us[columns.at - 1])
        today.report.lines += columns.at

    def lose(self, recv_us: int, cause: str, *, unseen: bool = False) -> None:
        """Drop the book, which the source calls invalid; *unseen*: it was so before this message."""
        market = self._enter(recv_us).market
        market.arrived(recv_us)
        if unseen:
            market.book.miss(recv_us, cause)
        else:
            market.book.drop_book(recv_us, cause)

    @property
    def last_us(self) -> int:
        return self._last_us

    @property
    def ends_us(self) -> int | None:
        return self._open.to_us if self._open else None

    def write_notes(self) -> None:
        if self._open:
            self._write_notes(self._open)

    def back_warnings(self) -> list[str]:
        return self._back.raised()

    def finish(self) -> None:
        if self._open:
            self._last_us = max([self._last_us, *(at_us for at_us, _, _ in self._notes)])
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

    def _enter(self, recv_us: int) -> OpenDay:
        today = self._open
        if today is None or recv_us >= today.to_us:
            today = self._open = self._next_day(recv_us)
            for at_us, broken in self._broken:
                self.quarantine(at_us, broken)
            self._broken.clear()
        elif recv_us < today.from_us - LONGEST_STEP_BACK_US:
            raise BrokenFile(
                f"a message was received on {day_of(recv_us, self._zone)}, when {today.report.day} was open; "
                f"give the captures in the order in which they were recorded"
            )
        if self._notes:
            self._write_notes(today)
        if recv_us < self._last_us:
            today.journal.event(recv_us, "clock_step", {"by_us": recv_us - self._last_us})
            today.report.clock_steps += 1
        if recv_us < self._latest_us - FAR_US:
            self._back.note(f"a message after {iso(self._latest_us)}", recv_us, self._latest_us)
        self._latest_us = max(self._latest_us, recv_us)
        self._last_us = today.report.last_us = recv_us
        today.report.lines += 1
        if self._grid.off:
            today.market.report_grid(recv_us, from_seq=0)
        return today

    def _next_day(self, recv_us: int) -> OpenDay:
        before, day = self._open, day_of(recv_us, self._zone)
        if before:
            self._close(before, "day_over")
        writer = self._open_day(day)
        writer.event(recv_us, "run_start", 0, self._run_start)
        writer.event(recv_us, "window_start", 0, {})
        if before:
            journal, market, carry = before.journal, before.market, day == next_day(before.report.day)
            writer.book_depth = journal.writer.book_depth
            journal.next_day(writer, recv_us)
            self._grid.next_day()
            market.book.next_day(recv_us, carry=carry)
            market.next_day_of_trades(None)
        else:
            journal = DayJournal(writer, recv_us, "import")
            market = MarketState(
                self._grid,
                (self._note_book, journal),
                top_n=self._top_n,
                keeps_late=True,
                ids_skip=self._ids_skip,
                rule=writer.market.rule,
                trade_numbers=writer.market.trade_numbers,
            )
        self.days.append(journal.report)
        self._last_us = max(self._last_us, recv_us)
        return OpenDay(midnight_us(day, self._zone), midnight_us(next_day(day), self._zone), journal, market)

    def _note_book(self, event: MarketEvent) -> None:
        if not self.book_step_e8 and isinstance(event, EpochOpened):
            quantities = [e8(qty) for side in (event.bids, event.asks) for _, qty in side]
            self.book_levels = len(quantities)
            divisor_e8 = gcd(*(qty_e8 for qty_e8 in quantities if qty_e8 != MOST_SHOWN_E8))
            self.book_step_e8 = inferred_step(divisor_e8, self.book_levels)

    def _write_notes(self, today: OpenDay) -> None:
        for at_us, kind, details in self._notes:
            today.journal.event(max(at_us or self._last_us, today.report.first_us), kind, details)
        self._notes.clear()

    def _close(self, today: OpenDay, reason: str) -> None:
        median, p99 = percentiles(today.offsets_us)
        journal, at_us = today.journal, self._last_us
        if median is not None:
            today.report.clock_offset_us, today.report.clock_offset_p99_us = median, p99
            journal.event(at_us, "clock_offset", {"median_us": median, "p99_us": p99, "stream": "depth"})
        journal.event(at_us, "window_end", {})
        journal.event(at_us, "run_stop", {"reason": reason})
        journal.writer.seal()
        journal.writer.close()
