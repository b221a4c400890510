"""Writes the messages of a session to a day folder, as a recorder close to the exchange would.

The recording has no faults: its snapshot is the opening book, which the first depth message continues.
"""

from collections import deque
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import mm
from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.rows import Stamp
from mm.instrument import Instrument
from mm.markets.local_orderbook import Level, LocalOrderBook
from mm.markets.records import Trade
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching.order_log import COLUMNS, MOST_TICKS, ROW_LEVEL, ROW_TRADE

Ints = NDArray[np.int64]
_SENT_US, LAST_ID = 0, 2
"""Columns of the messages of `Batches`."""
TOP_N = 20
_US, _KIND, _SIDE, _TICKS, _LOTS, _TRADE_ID, _UPDATE_ID = map(
    COLUMNS.index, ("us", "kind", "side", "ticks", "lots", "trade_id", "update_id")
)
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _REQUESTED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_LATENCY_US, _MEAN_JITTER_US, _MOST_JITTER_US = 2_000, 1_000, 6_000


class DepthMessage(NamedTuple):
    """Update ids *first_id* to *last_id*, and (side, ticks, lots) by changed level: bids before asks, best first."""

    sent_us: int
    recv_us: int
    first_id: int
    last_id: int
    levels: list[tuple[int, int, int]]


class TradeMessage(NamedTuple):
    """*side* is the aggressor's."""

    sent_us: int
    recv_us: int
    trade_id: int
    side: int
    ticks: int
    lots: int


class Batches:
    """Converts an order log, chunk by chunk, into the messages that the exchange sends.

    Each step in which a level changed ends with a depth message, which has the final lots of each changed level; trades
    are sent at once. A depth message precedes trades with the same timestamp.
    """

    def __init__(self, open_us: int, step_us: int) -> None:
        self._open_us, self._step_us = open_us, step_us
        self._past_us = open_us - step_us  # latest send time of the previous chunk

    def messages_of(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return the messages of *rows*, which end at a depth message, and their levels.

        Messages are int64[n, 6]: `sent_us, first_id, last_id, side, ticks, lots`; both ids of a trade are its id. In a
        depth message `side` is 0, and the last two columns are the first row of its levels and the row after its last.
        Levels are int64[n, 3]: `side, ticks, lots`, bids before asks, the best first.
        """
        sent = rows[(rows[:, _KIND] == ROW_LEVEL) | (rows[:, _KIND] == ROW_TRADE)]
        step_end_us = sent[:, _US] + (self._open_us - sent[:, _US]) % self._step_us
        late = np.diff(step_end_us, prepend=self._past_us + 1) < 0
        if late.any():
            us = int(sent[late.argmax(), _US])
            raise ValueError(f"the order log has a row of {us} after the depth message of that instant")
        if len(sent):
            self._past_us = int(step_end_us[-1])
        is_level = sent[:, _KIND] == ROW_LEVEL
        depths, levels = _depths(sent[is_level], step_end_us[is_level])
        prints = sent[~is_level]
        trades = prints[:, (_US, _TRADE_ID, _TRADE_ID, _SIDE, _TICKS, _LOTS)]
        messages = np.concatenate((depths, trades))
        # At equal times the depth message is first; trades keep the order of the log, since the sort is stable.
        order = np.argsort(messages[:, _SENT_US], kind="stable")
        return np.ascontiguousarray(messages[order]), np.ascontiguousarray(levels)


def _depths(changes: Ints, sent_us: Ints) -> tuple[Ints, Ints]:
    if not len(changes):
        return np.empty((0, 6), np.int64), np.empty((0, 3), np.int64)
    # Bids before asks, the best first: the negated price of a bid is below 0 and rises as bids worsen. Prices have at
    # most 40 bits, so the index of a step and the price fit into one key: one sort instead of two.
    price_key = -changes[:, _SIDE] * changes[:, _TICKS]
    keys = np.cumsum(np.diff(sent_us, prepend=sent_us[0]) > 0) * (4 * (MOST_TICKS + 1)) + price_key
    order = np.argsort(keys)
    kept = np.maximum.reduceat(order, _starts(keys[order]))  # the last change of each level
    first_level, first_change = _starts(sent_us[kept]), _starts(sent_us)
    columns = (
        sent_us[first_change],
        changes[first_change, _UPDATE_ID],
        changes[np.append(first_change[1:], len(changes)) - 1, _UPDATE_ID],
        np.zeros_like(first_change),
        first_level,
        np.append(first_level[1:], len(kept)),
    )
    return np.column_stack(columns), changes[kept][:, (_SIDE, _TICKS, _LOTS)]


def _starts(values: Ints) -> Ints:
    return np.append(0, np.flatnonzero(np.diff(values)) + 1)


class SessionMessages:
    """Converts a session's order log, piece by piece, into the messages of one connection.

    A message arrives 2 ms plus an exponential jitter after it was sent, and never before an earlier one.
    """

    def __init__(self, session: Session) -> None:
        self._batches = Batches(session.open_us, STEP_US)
        self._jitter = session.random("latency")
        self._last_us = 0

    def messages_of(self, rows: Ints) -> list[DepthMessage | TradeMessage]:
        messages, levels = self._batches.messages_of(rows)
        jitter_us = np.minimum(self._jitter.exponential(_MEAN_JITTER_US, len(messages)), _MOST_JITTER_US)
        recv_us = messages[:, _SENT_US] + _LATENCY_US + jitter_us.astype(np.int64)
        recv_us = np.maximum.accumulate(np.append(self._last_us, recv_us))
        self._last_us = int(recv_us[-1])
        every_level = list(map(tuple, levels.tolist()))
        return [
            TradeMessage(sent, received, first_id, side, ticks, lots)
            if side
            else DepthMessage(sent, received, first_id, last_id, every_level[ticks:lots])
            for (sent, first_id, last_id, side, ticks, lots), received in zip(
                messages.tolist(), recv_us[1:].tolist(), strict=True
            )
        ]


class BookReplay:
    def __init__(self) -> None:
        self.update_id = 0
        self._levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self._changes: deque[list[int]] = deque()

    def feed(self, rows: Ints) -> None:
        self._changes.extend(rows[rows[:, _KIND] == ROW_LEVEL].tolist())

    def depth(self, us: int) -> dict[int, list[tuple[int, int]]]:
        """Best first; *us* must not decrease between calls."""
        while self._changes and self._changes[0][0] <= us:
            _, _, _, _, _, side, ticks, lots, _, self.update_id = self._changes.popleft()
            self._levels[side][ticks] = lots
            if not lots:
                del self._levels[side][ticks]
        return {side: sorted(levels.items(), reverse=side > 0) for side, levels in self._levels.items()}


class PlainRecorder:
    def __init__(self, folder: DayFolder, session: Session, instrument: Instrument, knobs: dict[str, Any]) -> None:
        self.writer = DayWriter(folder, run_stamp(session.open_us - _EARLY_US), top_n=TOP_N, instrument=instrument)
        self.depth_messages = self.trades = 0
        self._session, self._knobs = session, knobs
        self._messages = SessionMessages(session)
        self._price, self._qty = cache(instrument.price), cache(instrument.qty)
        self._book = LocalOrderBook(in_e8=True)

    def begin(self, rows: Ints) -> None:
        writer, open_us = self.writer, self._session.open_us
        writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": self._knobs})
        writer.event(open_us, "window_start", 0, {})
        writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
        writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
        writer.event(open_us + _REQUESTED_US, "snapshot_request", 0, {"attempt": 1})
        exchange = BookReplay()
        exchange.feed(rows)
        depth = exchange.depth(open_us)
        last_id = exchange.update_id or self._session.first_id
        bids, asks = self._as_text(depth[1]), self._as_text(depth[-1])
        self._book.change(bids, asks)
        writer.snapshot(open_us + _ANSWERED_US, "initial", last_id, bids, asks, _EPOCH)
        writer.event(open_us + _ANSWERED_US, "resync_done", _EPOCH, {"last_update_id": last_id})

    def take(self, rows: Ints) -> None:
        for message in self._messages.messages_of(rows):
            if isinstance(message, TradeMessage):
                self._trade(message)
            else:
                self._depth(message)

    def _depth(self, message: DepthMessage) -> None:
        writer = self.writer
        bids, asks = (self._as_text(level[1:] for level in message.levels if level[0] == side) for side in (1, -1))
        stamp = Stamp(message.recv_us, writer.skip(), message.sent_us // US_PER_MS, message.last_id)
        writer.diff_of(stamp, message.first_id, bids, asks)
        self._book.change(bids, asks)
        writer.frame_of(stamp, _EPOCH, self._book.cells(TOP_N))
        self.depth_messages += 1

    def _trade(self, message: TradeMessage) -> None:
        sent_ms, number = message.sent_us // US_PER_MS, message.trade_id
        price, qty = self._price(message.ticks), self._qty(message.lots)
        trade = Trade(sent_ms, number, sent_ms, price, qty, message.side < 0, number, number)
        self.writer.trade(message.recv_us, trade)
        self.trades += 1

    def finish(self) -> None:
        close_us = self._session.close_us
        self.writer.event(close_us, "window_end", _EPOCH, {})
        self.writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})

    def truth(self) -> dict[str, Any]:
        return {}

    def _as_text(self, levels: Iterable[tuple[int, int]]) -> list[Level]:
        return [(self._price(ticks), self._qty(lots)) for ticks, lots in levels]
