"""Records a session with the project's recorder while injecting faults, without sockets or clock."""

import os
from collections.abc import Callable
from functools import cache, partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import scan
from mm.ids import IdSequence
from mm.instrument import Instrument, to_exchange_info
from mm.market_data.days import Days
from mm.market_data.live_session import LiveSession
from mm.markets.messages import Answer
from mm.sim.flow.recorder import TOP_N, BookReplay, DepthMessage, Ints, SessionMessages, TradeMessage
from mm.sim.flow.session import CRASH, DISCONNECT, LOST_DEPTH, LOST_TRADES, FaultRecord, RecordingFault, Session

_CONNECT_US, _REQUEST_US, _READ_US, _ANSWER_US, _AGAIN_US = 20_000, 5_000, 20_000, 40_000, US_PER_S
_FLUSH_US = 5 * US_PER_S
_KILLED = 1006  # close code of a connection without a close frame


class FaultyRecorder:
    """Record a session with *faults*, in time order; *knobs* are each run's settings, for the ledger."""

    def __init__(
        self,
        folder: DayFolder,
        session: Session,
        instrument: Instrument,
        faults: tuple[RecordingFault, ...],
        knobs: dict[str, Any],
    ) -> None:
        self.happened: list[FaultRecord] = []
        self.depth_messages = self.trades = 0
        self._folder, self._session, self._instrument, self._knobs = folder, session, instrument, knobs
        self._price, self._qty = cache(instrument.price), cache(instrument.qty)
        self._messages, self._exchange = SessionMessages(session), BookReplay()
        self._draws = session.random("crashes")
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._losing: dict[type, int] = {DepthMessage: 0, TradeMessage: 0}
        self._ids: dict[type, IdSequence] = {}
        self._connected, self._requesting, self._connections = False, False, 0
        self._no_book_us: int | None = None
        self._book_us = 0  # arrival of the last depth message or snapshot
        self._flushed: dict[Path, int] = {}
        self._start(session.open_us)
        self._at(session.open_us + _CONNECT_US, self._connect)
        self._at(session.open_us + _FLUSH_US, self._flush)
        for fault in faults:
            self._at(fault.start_us, partial(self._begin, fault))

    @property
    def writer(self) -> DayWriter:
        return self._live.writer

    def begin(self, rows: Ints) -> None:
        self._exchange.feed(rows)

    def take(self, rows: Ints) -> None:
        self._exchange.feed(rows)
        for message in self._messages.messages_of(rows):
            self._run_due(message.recv_us)
            if not self._connected:
                continue
            if self._losing[type(message)]:
                self._losing[type(message)] -= 1
                self.happened[-1].end_us = message.sent_us
            else:
                self._receive(message)

    def finish(self) -> None:
        self._run_due(self._session.close_us)
        self._live.finish(self._session.close_us, "window_end", window_over=True)
        self.writer.flush()
        self.depth_messages = scan(self._folder.diffs).lines
        self.trades = scan(self._folder.trades).lines - 1

    def truth(self) -> dict[str, Any]:
        return {"faults": [fault_record.as_json() for fault_record in self.happened]}

    # time

    def _at(self, us: int, act: Callable[[int], None]) -> None:
        heappush(self._due, (us, next(self._order), act))

    def _run_due(self, until_us: int) -> None:
        while self._due and self._due[0][0] <= until_us:
            us, _, act = heappop(self._due)
            act(us)

    # messages

    def _receive(self, message: DepthMessage | TradeMessage) -> None:
        kind, first_id = type(message), message[2]
        ids = self._ids[kind]
        if missing := ids.missing_before(first_id):
            if kind is DepthMessage:
                self.happened[-1].update_ids = missing
            else:
                self.happened[-1].trade_ids = missing
        ids.take(first_id, message.last_id if isinstance(message, DepthMessage) else first_id)
        self._live.message(message.recv_us, self._encoded(message))
        self._note_book_end(message.recv_us)
        if self._live.needs_snapshot and not self._requesting:
            self._no_book_us = self._no_book_us or self._book_us or message.recv_us
            self._requesting = True
            self._at(message.recv_us + _REQUEST_US, self._request_snapshot)
        if kind is DepthMessage:
            self._book_us = message.recv_us

    def _encoded(self, message: DepthMessage | TradeMessage) -> bytes:
        sent_ms, symbol = message.sent_us // US_PER_MS, self._session.symbol
        if isinstance(message, TradeMessage):
            event = {"e": "trade", "E": sent_ms, "s": symbol, "t": message.trade_id, "T": sent_ms}
            event |= {"p": self._price(message.ticks), "q": self._qty(message.lots), "m": message.side < 0}
            return msgspec.json.encode(event)
        bids, asks = ([level[1:] for level in message.levels if level[0] == side] for side in (1, -1))
        event = {"e": "depthUpdate", "E": sent_ms, "s": symbol, "U": message.first_id, "u": message.last_id}
        event |= {"b": self._as_text(bids), "a": self._as_text(asks)}
        return msgspec.json.encode(event)

    def _as_text(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        return [(self._price(ticks), self._qty(lots)) for ticks, lots in levels]

    # snapshots

    def _request_snapshot(self, us: int) -> None:
        if not self._connected:
            self._requesting = False
            return
        self._live.snapshot_requested(us, 1)
        self._at(us + _READ_US, self._read_book)

    def _read_book(self, us: int) -> None:
        depth = self._exchange.depth(us)
        bids, asks = self._as_text(depth[1]), self._as_text(depth[-1])
        body = msgspec.json.encode({"lastUpdateId": self._exchange.update_id, "bids": bids, "asks": asks})
        self._at(us + _ANSWER_US - _READ_US, partial(self._answer_snapshot, body))

    def _answer_snapshot(self, body: bytes, us: int) -> None:
        url = f"simulated:/api/v3/depth?symbol={self._session.symbol}&limit=5000"
        self._live.snapshot_answered(Answer(us, url, 200, body, None))
        if self._live.needs_snapshot:
            self._at(us + _AGAIN_US, self._request_snapshot)
            return
        self._requesting = False
        self._book_us = us
        self._note_book_end(us)

    def _note_book_end(self, us: int) -> None:
        """The book ends with a snapshot, or with the update that reaches a snapshot that was ahead."""
        if self._no_book_us is None or self._live.market.book.book_id is None:
            return
        if self.happened:
            self.happened[-1].no_book_us = (self._no_book_us, us)
        self._no_book_us = None

    # faults and the process

    def _begin(self, fault: RecordingFault, us: int) -> None:
        self.happened.append(FaultRecord(fault))
        if fault.kind in (LOST_DEPTH, LOST_TRADES):
            self._losing[DepthMessage if fault.kind == LOST_DEPTH else TradeMessage] = fault.messages
            return
        self._connected = False
        if fault.kind == DISCONNECT:
            self._live.disconnected(us, self._connections, _KILLED, "")
        elif fault.kind == CRASH:
            self._crash()
            self._at(us + fault.lasts_us - _CONNECT_US, self._start)
        self._at(us + fault.lasts_us, self._connect)

    def _connect(self, us: int) -> None:
        self._connected = True
        self._connections += 1
        self._live.event(us, "ws_connected", {"url": "simulated:", "conn": self._connections})
        if self.happened:
            self.happened[-1].end_us = us

    def _start(self, us: int) -> None:
        days = Days(
            data_root=self._folder.root,
            symbol=self._folder.symbol,
            run_id=run_stamp(us),
            own_id=True,
            top_n=TOP_N,
            trade_stream="trade",
            flush_interval_s=_FLUSH_US / US_PER_S,
            write_diffs=True,
            write_gaps=True,
            min_free_mb=0,
            knobs=self._knobs,
        )
        writer = days.open(self._folder.day, us, to_exchange_info(self._instrument))
        self._live = LiveSession(writer, us, TOP_N)
        earlier = writer.earlier
        self._ids = {DepthMessage: IdSequence(earlier.last_diff_id), TradeMessage: IdSequence(earlier.last_trade_id)}
        self._no_book_us = max(earlier.last_diff_us, earlier.last_trade_us) or None

    def _flush(self, us: int) -> None:
        self.writer.flush()
        self._flushed = {path: path.stat().st_size for path in self.writer.folder.streams() if path.exists()}
        self._at(us + _FLUSH_US, self._flush)

    def _crash(self) -> None:
        """Crash during a flush: one file ends within a line, and later files have no new data."""
        self.writer.close()
        grown = [path for path, size in self._flushed.items() if path.stat().st_size > size]
        if not grown:
            return
        nth = int(self._draws.integers(len(grown)))
        before, after = self._flushed[grown[nth]], grown[nth].stat().st_size
        torn = before + int(self._draws.integers(1, after - before))
        with grown[nth].open("rb") as stream:
            stream.seek(torn - 1)
            torn -= stream.read(1) == b"\n"  # end within a line
        os.truncate(grown[nth], torn)
        for path in grown[nth + 1 :]:
            os.truncate(path, self._flushed[path])
