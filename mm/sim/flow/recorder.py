"""Writes the messages of a session to a day folder, as a recorder close to the exchange would.

The order log is converted to messages, a kernel formats them as lines, and these are appended in blocks, compressed by
isal. The lines equal those of `DayWriter`; only the compression differs. The recording has no faults: it starts before
the window, its snapshot is the opening book, and the first depth message continues it without a gap.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

import mm
from mm.clock import US_PER_MS, US_PER_S, run_stamp
from mm.dayfolder.buffered_writer import AppendFile
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.line_files import FLUSH_BYTES, GZIP_FORMAT
from mm.dayfolder.manifest import Contents
from mm.dayfolder.rows import Block
from mm.instrument import Instrument
from mm.sim.flow._day_rows import Lines, log_lines
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching.order_log import COLUMNS, MOST_TICKS, ROW_LEVEL, ROW_TRADE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm.sim.flow._day_rows import Ints

try:
    from isal.isal_zlib import compress
except ImportError:
    from zlib import compress

SENT_US, FIRST_ID, LAST_ID, SIDE = range(4)
"""The first columns of the messages of `Arrived`."""
TOP_N = 20
_US, _KIND, _SIDE, _TICKS, _LOTS, _TRADE_ID, _UPDATE_ID = map(
    COLUMNS.index, ("us", "kind", "side", "ticks", "lots", "trade_id", "update_id")
)
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _REQUESTED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_FAST = 1
_LATENCY_US, _MEAN_JITTER_US, _MOST_JITTER_US = 2_000, 1_000, 6_000


class DepthMessage(NamedTuple):
    """A depth message: update ids *first_id* to *last_id*, and (side, ticks, lots) of each level that they changed.

    Bids are before asks, the best first.
    """

    sent_us: int
    recv_us: int
    first_id: int
    last_id: int
    levels: list[tuple[int, int, int]]


class TradeMessage(NamedTuple):
    """A trade message; *side* is that of the aggressor."""

    sent_us: int
    recv_us: int
    trade_id: int
    side: int
    ticks: int
    lots: int


class Arrived(NamedTuple):
    """Messages as columns, in the order of sending and receipt: those of `Batches`, and receipt times *recv_us*."""

    messages: "Ints"
    levels: "Ints"
    recv_us: "Ints"


class Batches:
    """Converts an order log, chunk by chunk, into the messages that the exchange sends.

    Each step in which a level changed ends with a depth message, which has the final lots of each changed level; trades
    are sent at once. A depth message precedes trades with the same timestamp.

    Args:
        open_us: Start time of the first step, µs.
        step_us: Time between two depth messages, µs.
    """

    def __init__(self, open_us: int, step_us: int) -> None:
        self._open_us, self._step_us = open_us, step_us
        self._past_us = open_us - step_us  # latest send time of the previous chunk

    def of(self, rows: "Ints") -> tuple["Ints", "Ints"]:
        """Return the messages of *rows*, which end at a depth message, and their levels.

        Messages are int64[n, 6]: `sent_us, first_id, last_id, side, ticks, lots`; both ids of a trade are its id. In a
        depth message `side` is 0, and the last two columns are the first row of its levels and the row after its last.
        Levels are int64[n, 3]: `side, ticks, lots`, bids before asks, the best first.

        Raises:
            ValueError: If times decrease, or the previous rows ended within a step.
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
        order = np.argsort(messages[:, SENT_US], kind="stable")
        return np.ascontiguousarray(messages[order]), np.ascontiguousarray(levels)


def _depths(changes: "Ints", sent_us: "Ints") -> tuple["Ints", "Ints"]:
    """Return the depth messages of *changes* of levels, each with its *sent_us*, and the levels of all of them."""
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


def _starts(values: "Ints") -> "Ints":
    """Return the start index of each run of equal values; *values* is not empty."""
    return np.append(0, np.flatnonzero(np.diff(values)) + 1)


class SessionMessages:
    """Converts a session's order log, piece by piece, into the messages of one connection.

    A message arrives 2 ms plus an exponential jitter after it was sent, and never before an earlier message.
    """

    def __init__(self, session: Session) -> None:
        self._batches = Batches(session.open_us, STEP_US)
        self._jitter = session.random("latency")
        self._last_us = 0

    def arrived(self, rows: "Ints") -> Arrived:
        """Return the messages of *rows*, which end at a depth message; raises what `Batches.of` raises."""
        messages, levels = self._batches.of(rows)
        jitter_us = np.minimum(self._jitter.exponential(_MEAN_JITTER_US, len(messages)), _MOST_JITTER_US)
        recv_us = messages[:, SENT_US] + _LATENCY_US + jitter_us.astype(np.int64)
        recv_us = np.maximum.accumulate(np.append(self._last_us, recv_us))
        self._last_us = int(recv_us[-1])
        return Arrived(messages, levels, recv_us[1:])

    def of(self, rows: "Ints") -> Iterator[DepthMessage | TradeMessage]:
        """Yield the messages of `arrived` one by one."""
        messages, levels, recv_us = self.arrived(rows)
        every_level = list(map(tuple, levels.tolist()))
        for (sent, first_id, last_id, side, ticks, lots), received in zip(
            messages.tolist(), recv_us.tolist(), strict=True
        ):
            if side:
                yield TradeMessage(sent, received, first_id, side, ticks, lots)
            else:
                yield DepthMessage(sent, received, first_id, last_id, every_level[ticks:lots])


class BookReplay:
    """The exchange's book at any time, rebuilt from its order log."""

    def __init__(self) -> None:
        self.update_id = 0
        self._levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self._changes: deque[list[int]] = deque()

    def feed(self, rows: "Ints") -> None:
        """Add the next rows."""
        self._changes.extend(rows[rows[:, _KIND] == ROW_LEVEL].tolist())

    def depth(self, us: int) -> dict[int, list[tuple[int, int]]]:
        """Return ticks and lots of each side, best first, at time *us*, which must not decrease between calls."""
        while self._changes and self._changes[0][0] <= us:
            _, _, _, _, _, side, ticks, lots, _, self.update_id = self._changes.popleft()
            self._levels[side][ticks] = lots
            if not lots:
                del self._levels[side][ticks]
        return {side: sorted(levels.items(), reverse=side > 0) for side, levels in self._levels.items()}


class DayLog:
    """Records the messages of a session's order log into a day folder that has no messages yet.

    Args:
        writer: The open files of the day; nothing else writes messages to them.
        session: The times of the session.
        instrument: Its grid.
        top_n: Levels per side in the frames, equal to those of the writer.
    """

    def __init__(self, writer: DayWriter, session: Session, instrument: Instrument, top_n: int) -> None:
        self.writer = writer
        self._messages = SessionMessages(session)
        self._lines = Lines(writer.run_id, top_n, instrument.tick_e8, instrument.lot_e8)
        self._pending = bytearray(), bytearray(), bytearray()
        self._exch_time = 0
        self._depths = self._prints = Contents(0)
        self._first_frame_id: int | None = None

    @property
    def depth_messages(self) -> int:
        """Number of recorded depth messages, each with its frame."""
        return self._depths.rows

    @property
    def trades(self) -> int:
        """Number of recorded trade messages."""
        return self._prints.rows

    def load(self, epoch_id: int, bids: "Iterable[tuple[int, int]]", asks: "Iterable[tuple[int, int]]") -> None:
        """Begin an epoch with the book of a snapshot: ticks and lots of each of its levels."""
        self._lines.load(epoch_id, bids, asks)

    def take(self, rows: "Ints") -> None:
        """Record all messages of *rows* of the order log, which end at a depth message."""
        messages, levels, recv_us = self._messages.arrived(rows)
        if not len(messages):
            return
        first_seq = self.writer.skip(len(messages)) - len(messages) + 1
        for pending, lines in zip(self._pending, self._lines.of(messages, levels, recv_us, first_seq), strict=True):
            pending.extend(lines)
        self._exch_time = int(messages[-1, SENT_US]) // US_PER_MS
        is_depth = messages[:, SIDE] == 0
        depths = messages[is_depth]
        if self._first_frame_id is None and len(depths):
            self._first_frame_id = int(depths[0, LAST_ID])
        self._depths = _extended(self._depths, depths)
        self._prints = _extended(self._prints, messages[~is_depth])
        if max(map(len, self._pending)) >= FLUSH_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write all pending lines to the files, and pass the counts to the writer for its `seal`."""
        self._flush()
        folder, depths = self.writer.folder, self._depths
        self.writer.declare(folder.diffs, depths)
        self.writer.declare(folder.frames, depths._replace(first_id=self._first_frame_id))
        self.writer.declare(folder.trades, self._prints)

    def _flush(self) -> None:
        if any(self._pending):
            diffs, frames, trades = map(bytes, self._pending)
            self.writer.append(Block(_compressed(diffs), frames, trades, self._exch_time))
            for pending in self._pending:
                pending.clear()


class LogFile:
    """The file of an order log, written piece by piece; the caller closes it.

    Args:
        path: The file, which must not exist; a ``.csv.gz``.

    Attributes:
        contents: Row count of the file so far.
    """

    def __init__(self, path: Path) -> None:
        self.contents = Contents(0)
        self._pending = bytearray(",".join(COLUMNS).encode() + b"\n")
        self._files = ExitStack()
        self._file = AppendFile(path, self._files)

    def add(self, rows: "Ints") -> None:
        """Write *rows*."""
        self._pending += log_lines(rows)
        self.contents = Contents(self.contents.rows + len(rows))
        if len(self._pending) >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.append(_compressed(bytes(self._pending)))
        self._pending.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            self._flush()
            self._file.sync()


def _extended(contents: Contents, messages: "Ints") -> Contents:
    """Return *contents* with the rows of *messages* added."""
    if not len(messages):
        return contents
    first_id = int(messages[0, FIRST_ID]) if contents.first_id is None else contents.first_id
    return Contents(contents.rows + len(messages), first_id, int(messages[-1, LAST_ID]))


def _compressed(lines: bytes) -> bytes:
    """Return *lines* as one gzip member without time or name; empty bytes stay empty."""
    return bytes(compress(lines, _FAST, GZIP_FORMAT)) if lines else b""


class PlainRecorder(DayLog):
    """Records a session without faults: the messages, the ledger and the snapshot."""

    def __init__(self, folder: DayFolder, session: Session, instrument: Instrument, knobs: dict[str, Any]) -> None:
        run_id = run_stamp(session.open_us - _EARLY_US)
        super().__init__(DayWriter(folder, run_id, top_n=TOP_N, instrument=instrument), session, instrument, TOP_N)
        self._session, self._instrument, self._knobs = session, instrument, knobs

    def begin(self, rows: "Ints") -> None:
        """Write the ledger's opening, and the opening book as the snapshot."""
        writer, open_us = self.writer, self._session.open_us
        writer.event(open_us - _EARLY_US, "run_start", 0, {"version": mm.__version__, "knobs": self._knobs})
        writer.event(open_us, "window_start", 0, {})
        writer.event(open_us + _CONNECTED_US, "ws_connected", 0, {"url": "simulated", "conn": 1})
        writer.event(open_us + _CONNECTED_US, "resync_start", 0, {"cause": "start"})
        writer.event(open_us + _REQUESTED_US, "snapshot_request", 0, {"attempt": 1})
        exchange = BookReplay()
        exchange.feed(rows)
        depth = exchange.depth(open_us)
        self.load(_EPOCH, depth[1], depth[-1])
        last_id = exchange.update_id or self._session.first_id
        bids, asks = (self._as_text(depth[side]) for side in (1, -1))
        writer.snapshot(open_us + _ANSWERED_US, "initial", last_id, bids, asks, _EPOCH)
        writer.event(open_us + _ANSWERED_US, "resync_done", _EPOCH, {"last_update_id": last_id})

    def finish(self) -> None:
        """Write all pending lines to the files, and end the ledger."""
        super().finish()
        close_us = self._session.close_us
        self.writer.event(close_us, "window_end", _EPOCH, {})
        self.writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})

    def truth(self) -> dict[str, Any]:
        """Return an empty dict: the recording has no faults."""
        return {}

    def _as_text(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        return [(self._instrument.price(ticks), self._instrument.qty(lots)) for ticks, lots in levels]
