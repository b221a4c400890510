"""Subscribes to a market, writes its events into day folders, and counts them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from msgspec import structs

from mm.base.numbers import noun
from mm.clock import exchange_ms
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.ledger import DUPLICATE, GRID
from mm.dayfolder.rows import Stamp
from mm.ids import MissingIds
from mm.market_data import market_events as events
from mm.market_data.message_batch import MessageBatch
from mm.market_data.message_latency import OFFSET_STREAM
from mm.markets.local_orderbook import LocalOrderBook
from mm.markets.messages import DepthUpdate, TradePrint
from mm.markets.records import STREAM, Trade
from mm.markets.sequence import BUFFERED_DIFFS, Verdict
from mm.markets.trade_ids import TradeVerdict


@dataclass
class BookCounts:
    diffs: int = 0
    frames: int = 0
    snapshots: int = 0
    snapshots_refused: int = 0
    gaps: int = 0
    epochs: int = 0
    anomalies: Counter[str] = field(default_factory=Counter)


@dataclass
class DayReport:
    """The report of one day folder that an import or a recorder wrote.

    Attributes:
        has_frames: Whether the books of valid messages, which `book` counts as frames, are written.
        clock_offset_us: Median of receive time minus the exchange's stamp; None if not measured.
    """

    day: str
    first_us: int
    last_us: int
    path: str = ""
    lines: int = 0
    trades: int = 0
    duplicate_trades: int = 0
    trade_gaps: int = 0
    tickers: int = 0
    clock_steps: int = 0
    quarantined: int = 0
    book: BookCounts = field(default_factory=BookCounts)
    clock_offset_us: int | None = None
    clock_offset_p99_us: int | None = None
    has_frames: bool = True

    @property
    def synced(self) -> bool:
        return self.book.epochs > 0

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        book = record.pop("book")
        return {**record, **book, "anomalies": dict(self.book.anomalies), "synced": self.synced}

    def line(self) -> str:
        book = self.book
        counts = {"diff": book.diffs, "trade": self.trades, "frame": book.frames, "snapshot": book.snapshots}
        if not self.has_frames:
            del counts["frame"]
        counts |= {"epoch": book.epochs, "gap": book.gaps}
        rare = {"trade gap": self.trade_gaps, "duplicate trade": self.duplicate_trades, "clock step": self.clock_steps}
        counts |= {name: count for name, count in rare.items() if count}
        ends = {"duplicate trade": " left out"}
        counted = [f"{count:,} {noun(count, name)}{ends.get(name, '')}" for name, count in counts.items()]
        counted += [
            *([f"{self.quarantined:,} in quarantine"] if self.quarantined else []),
            *([_anomalies(book.anomalies)] if book.anomalies else []),
            *([] if self.synced else ["never synced, so no frames"]),
        ]
        return f"{self.day}  {', '.join(counted)}"


def _anomalies(counts: Counter[str]) -> str:
    return "anomalies: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))


_Numbered = tuple[Stamp, DepthUpdate | None, LocalOrderBook | None]
"""Rows that have their number and are not written yet: a depth message, and the frame of the book after it."""


class DayJournal:
    def __init__(self, writer: DayWriter, at_us: int, source: str) -> None:
        self.writer = writer
        self.report = _report_of(writer, at_us)
        self.epoch_id = writer.earlier.epoch_id
        self.off_since: tuple[int, int] | None = None
        self.then: events.Subscriber | None = None
        self.source = source
        self._last = (0, Stamp(0, 0, 0, 0))
        self._waiting: dict[int, Stamp] = {}
        self._handlers: dict[type[Any], Callable[[Any], _Numbered | None]] = {
            events.DepthArrived: self._depth_arrived,
            events.BookChanged: self._book_changed,
            events.EpochOpened: self._epoch_opened,
            events.BookResynced: self._book_resynced,
            events.BookLost: self._book_lost,
            events.StatusReported: self._status_reported,
            events.SnapshotRefused: self._snapshot_refused,
            events.DepthMissing: self._depth_missing,
            events.TradesMissing: self._trades_missing,
            events.TradeArrived: self._trade_arrived,
            events.TradesFetched: self._trades_fetched,
            events.TradeRepeated: self._trade_repeated,
            events.MessageRefused: self._message_refused,
            events.ClockRead: self._clock_read,
            events.Anomaly: self._anomaly,
        }

    def __call__(self, event: events.MarketEvent) -> None:
        """The follower comes first, so that its orders do not wait for formatting and writing."""
        numbered = self._handlers[type(event)](event)
        try:
            if self.then:
                self.then(event)
        finally:
            if numbered:
                self._write(*numbered)

    @property
    def last_seq(self) -> int:
        return self.writer.last_seq

    def depth_seq(self, number: int) -> int:
        last, stamp = self._last
        return (stamp if number == last else self._waiting[number]).recv_seq

    def next_day(self, writer: DayWriter, at_us: int) -> None:
        self.writer = writer
        self.report = _report_of(writer, at_us)
        self.epoch_id = writer.earlier.epoch_id
        self.off_since = None
        self._waiting.clear()

    def columns(self, batch: MessageBatch, upto: int, book: LocalOrderBook) -> None:
        """Write the messages of *batch* before *upto*, up to the first that crosses the *book*, and apply them."""
        columns, sides = batch.columns, book.compiled
        assert sides is not None
        frames = self.writer.columns(columns, sides, upto, self.epoch_id, self.source)
        self._waiting.clear()
        self.report.book.diffs += columns.diffs
        self.report.book.frames += frames
        self.report.trades += columns.trades

    def event(self, at_us: int, kind: str, details: Mapping[str, Any]) -> None:
        self.writer.event(at_us, kind, self.epoch_id, details)

    def quarantine(self, at_us: int, stream: str, reason: str, raw: bytes, arrived_us: int | None = None) -> None:
        self.writer.quarantine(at_us if arrived_us is None else arrived_us, stream, reason, raw)
        self.report.quarantined += 1
        self._anomaly(events.Anomaly(at_us, "quarantined", {"stream": stream, "reason": reason}))

    def snapshot_failed(self, at_us: int, cause: str, http_status: int | None) -> None:
        self.report.book.snapshots_refused += 1
        self.event(at_us, "snapshot_failed", {"cause": cause, "http_status": http_status})

    def _depth_arrived(self, event: events.DepthArrived) -> _Numbered:
        update = event.update
        stamp = Stamp(event.recv_us, self.writer.skip(), update.E, update.u)
        self._last = event.number, stamp
        if event.verdict is Verdict.APPLY:
            self._waiting.clear()
            return stamp, update, event.book
        if event.verdict is not Verdict.STALE:
            if event.verdict is not Verdict.BUFFER:  # the buffer begins again with this message
                self._waiting.clear()
            self._waiting[event.number] = stamp
            if len(self._waiting) > BUFFERED_DIFFS:
                del self._waiting[next(iter(self._waiting))]
        return stamp, update, None

    def _book_changed(self, event: events.BookChanged) -> _Numbered:
        number, stamp = self._last
        return (stamp if event.number == number else self._waiting[event.number]), None, event.book

    def _write(self, stamp: Stamp, update: DepthUpdate | None, book: LocalOrderBook | None) -> None:
        if update is not None:
            self.writer.diff_of(stamp, update.U, update.b, update.a, matched=update.T, number=update.seq)
            self.report.book.diffs += 1
        if book is not None:
            if self.writer.top_n:
                self.writer.frame_of(stamp, self.epoch_id, book.cells(self.writer.top_n))
            self.report.book.frames += 1

    def _epoch_opened(self, event: events.EpochOpened) -> None:
        self.writer.snapshot(event.recv_us, event.tag, event.last_update_id, event.bids, event.asks, self.epoch_id + 1)
        self.epoch_id += 1
        self.report.book.epochs += 1
        self.report.book.snapshots += 1

    def _book_resynced(self, event: events.BookResynced) -> None:
        self.event(event.recv_us, "resync_done", {"last_update_id": event.last_update_id})

    def _book_lost(self, event: events.BookLost) -> None:
        self.writer.gap(event.recv_us, "resync_start", self.epoch_id, {"cause": event.cause})

    def _snapshot_refused(self, event: events.SnapshotRefused) -> None:
        self.snapshot_failed(event.recv_us, event.cause, None)

    def _depth_missing(self, event: events.DepthMissing) -> None:
        self.report.book.gaps += 1
        self._gap(event.recv_us, "gap", event.missing, event.cause)

    def _trades_missing(self, event: events.TradesMissing) -> None:
        self._gap(event.recv_us, "trade_gap", event.missing, event.cause)
        self.report.trade_gaps += 1

    def _gap(self, recv_us: int, kind: str, missing: MissingIds, cause: str) -> None:
        self.writer.gap(recv_us, kind, self.epoch_id, missing.details(cause))

    def _trade_arrived(self, event: events.TradeArrived) -> None:
        trade = event.trade
        if event.verdict is TradeVerdict.LATE:
            self._backfill(event.recv_us, events.trade_id_of(trade), events.trade_id_of(trade), 1)
        ids = (trade.t, trade.t, trade.t) if isinstance(trade, TradePrint) else (trade.a, trade.f, trade.l)
        row = Trade(trade.E, ids[0], trade.T, trade.p, trade.q, trade.m, ids[1], ids[2], self.source)
        if isinstance(trade, TradePrint) and trade.name is not None:
            row = structs.replace(row, name=trade.name, seq=trade.seq, rpi=trade.rpi, block=trade.block)
        self.writer.trade(event.recv_us, row)
        self.report.trades += 1

    def _trades_fetched(self, event: events.TradesFetched) -> None:
        for trade in event.trades:
            self.writer.trade(event.recv_us, trade)
        self.report.trades += len(event.trades)
        self.writer.flush_before_event()
        self._backfill(event.recv_us, event.ids.first, event.ids.last, len(event.trades))

    def _backfill(self, recv_us: int, from_id: int, to_id: int, rows: int) -> None:
        self.event(recv_us, "backfill", {"from_id": from_id, "to_id": to_id, "rows": rows})

    def _trade_repeated(self, event: events.TradeRepeated) -> None:
        self.report.duplicate_trades += 1
        trade = event.trade
        details = {"stream": events.stream_of(trade), "trade_id": events.trade_id_of(trade)}
        content = {"trade_time_ms": exchange_ms(trade.T), "price": trade.p, "qty": trade.q, "is_buyer_maker": trade.m}
        self._anomaly(events.Anomaly(event.recv_us, DUPLICATE, details | content))

    def _message_refused(self, event: events.MessageRefused) -> None:
        message = event.message
        if isinstance(message, DepthUpdate):
            ids = {"stream": "depth", "first_id": message.U, "last_id": message.u}
        else:
            ids = {"stream": events.stream_of(message), "trade_id": events.trade_id_of(message)}
        self._anomaly(events.Anomaly(event.recv_us, "far_ids", ids))
        self.quarantine(event.recv_us, STREAM, "its ids do not follow those before it", event.raw, event.arrived_us)

    def _clock_read(self, event: events.ClockRead) -> None:
        most_us = event.offset_us + event.within_us
        self.event(
            event.recv_us, "clock_offset", {"median_us": event.offset_us, "p99_us": most_us, "stream": OFFSET_STREAM}
        )

    def _status_reported(self, event: events.StatusReported) -> None:
        self.event(event.recv_us, "exchange_info", {"status": event.status})

    def _anomaly(self, event: events.Anomaly) -> None:
        self.report.book.anomalies[event.kind] += 1
        self.event(event.recv_us, "anomaly", {"kind": event.kind, **event.details})
        if event.kind == GRID and self.off_since is None:
            self.off_since = event.recv_us, self.last_seq


def _report_of(writer: DayWriter, at_us: int) -> DayReport:
    return DayReport(writer.folder.day, at_us, at_us, str(writer.folder.path), has_frames=writer.top_n > 0)
