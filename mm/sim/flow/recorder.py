"""The recorder beside the exchange that nothing happens to.

It starts before the window and connects at its opening. Its snapshot is the opening book; the first depth message
follows on it without a hole.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import mm
from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.instrument import Instrument
from mm.market_data.day_writer import DayWriter, Stamp, Trade
from mm.market_data.layout import DayFolder
from mm.market_data.local_orderbook import LocalOrderBook
from mm.sim.flow.messages import Depth, Messages, Print
from mm.sim.flow.session import Session
from mm.sim.matching.order_log import COLUMNS, ROW_LEVEL

if TYPE_CHECKING:
    from mm.sim.flow.messages import Ints

TOP_N = 20
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _ASKED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_KIND, _SIDE, _UPDATE_ID = COLUMNS.index("kind"), COLUMNS.index("side"), COLUMNS.index("update_id")


class Recorder(Protocol):
    """Who writes a session into its day folder.

    Attributes:
        depth_messages: How many it received.
        trades: How many trade messages it received.
    """

    depth_messages: int
    trades: int

    @property
    def writer(self) -> DayWriter:
        """The files of the day, open."""

    def begin(self, rows: "Ints") -> None:
        """Take the opening of the order log: the book that the recording finds."""

    def take(self, rows: "Ints") -> None:
        """Record what is sent of *rows* of the order log, which end where a depth message does."""

    def finish(self) -> None:
        """End the recording with its window."""

    def truth(self) -> dict[str, Any]:
        """Return what happened to the recording."""


class PlainRecorder:
    """Record a session undisturbed.

    Args:
        folder: The day folder.
        session: The session.
        instrument: Its grid.
        knobs: What the ledger says of the run.
    """

    def __init__(self, folder: DayFolder, session: Session, instrument: Instrument, knobs: dict[str, Any]) -> None:
        self.depth_messages = self.trades = 0
        self.writer = DayWriter(folder, run_stamp(session.open_us - _EARLY_US), top_n=TOP_N, instrument=instrument)
        self._session, self._knobs = session, knobs
        self._price, self._qty = cache(instrument.price), cache(instrument.qty)
        self._book = LocalOrderBook(cache(instrument.ticks))
        self._messages = Messages(session)

    def begin(self, rows: "Ints") -> None:
        """Write the ledger's opening, and the opening book as the snapshot."""
        writer, open_us = self.writer, self._session.open_us
        writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": self._knobs})
        writer.event(open_us, "window_start", 0, {})
        writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
        writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
        writer.event(open_us + _ASKED_US, "snapshot_request", 0, {"attempt": 1})
        changes = rows[rows[:, _KIND] == ROW_LEVEL]
        self._change_book(changes[:, _SIDE : _SIDE + 3].tolist())
        last_id = int(changes[-1, _UPDATE_ID]) if len(changes) else self._session.first_id
        writer.snapshot(open_us + _ANSWERED_US, "initial", last_id, *self._book.levels(), _EPOCH)
        writer.event(open_us + _ANSWERED_US, "resync_done", _EPOCH, {"last_update_id": last_id})

    def take(self, rows: "Ints") -> None:
        """Write every message as it arrives, and the frame that it makes."""
        for message in self._messages.of(rows):
            if isinstance(message, Print):
                self._print(message)
            else:
                self._depth(message)

    def finish(self) -> None:
        """Write the ledger's end."""
        close_us = self._session.close_us
        self.writer.event(close_us, "window_end", _EPOCH, {})
        self.writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})

    def truth(self) -> dict[str, Any]:
        """Return nothing, for nothing happened."""
        return {}

    def _print(self, message: Print) -> None:
        sent_ms, number = message.sent_us // US_PER_MS, message.trade_id
        price, qty, by_seller = self._price(message.ticks), self._qty(message.lots), message.side < 0
        self.writer.trade(message.recv_us, Trade(sent_ms, number, sent_ms, price, qty, by_seller, number, number))
        self.trades += 1

    def _depth(self, message: Depth) -> None:
        recv_us, sent_ms = message.recv_us, message.sent_us // US_PER_MS
        bids, asks = (
            [(self._price(ticks), self._qty(lots)) for at, ticks, lots in message.levels if at == side]
            for side in (1, -1)
        )
        seq = self.writer.diff(recv_us, sent_ms, message.first_id, message.last_id, bids, asks)
        self._change_book(message.levels)
        self.writer.frame(Stamp(recv_us, seq, sent_ms, message.last_id), _EPOCH, *self._book.top(TOP_N))
        self.depth_messages += 1

    def _change_book(self, levels: Iterable[Iterable[int]]) -> None:
        for side, ticks, lots in levels:
            self._book.apply(side, self._price(ticks), self._qty(lots))
