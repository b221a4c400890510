"""Write the messages of a session into a day folder, as a recorder beside the exchange would.

The order log becomes messages, the messages become compiled lines, and these are appended in blocks, packed by isal.
The lines are those of `DayWriter`; only the packing differs. The recording is undisturbed: it starts before the window,
its snapshot is the opening book, and the first depth message follows on it without a gap.
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
from mm.sim.flow._day_rows import Batches, Lines, log_lines
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching.order_log import COLUMNS, ROW_LEVEL

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
_EPOCH = 1
_EARLY_US = 5 * US_PER_S
_CONNECTED_US, _ASKED_US, _ANSWERED_US = 20_000, 25_000, 60_000
_FAST = 1
_KIND = COLUMNS.index("kind")
_LATENCY_US, _MEAN_JITTER_US, _MOST_JITTER_US = 2_000, 1_000, 6_000


class DepthMessage(NamedTuple):
    """A depth message: update ids *first_id* to *last_id*, and (side, ticks, lots) of each level they changed.

    Bids stand before asks, the best first.
    """

    sent_us: int
    recv_us: int
    first_id: int
    last_id: int
    levels: list[tuple[int, int, int]]


class TradeMessage(NamedTuple):
    """A trade message; *side* is the aggressor's."""

    sent_us: int
    recv_us: int
    trade_id: int
    side: int
    ticks: int
    lots: int


class Arrived(NamedTuple):
    """Messages as columns, in the order of sending, which is that of arrival.

    Attributes:
        messages: int64[n, 6] of `sent_us, first_id, last_id, side, ticks, lots`. A trade has its id twice. A depth
            message has side 0, and then the row of *levels* where its own begin, and the row after its last.
        levels: int64[m, 3] of side, ticks and lots.
        recv_us: When each message arrived.
    """

    messages: "Ints"
    levels: "Ints"
    recv_us: "Ints"


class SessionMessages:
    """Turn a session's order log, piece by piece, into the messages of one connection.

    A depth message stands before the trades of its own instant. A message arrives 2 ms and an exponential jitter after
    it was sent, never before another one.
    """

    def __init__(self, session: Session) -> None:
        self._batches = Batches(session.open_us, STEP_US)
        self._jitter = session.random("latency")
        self._last_us = 0

    def arrived(self, rows: "Ints") -> Arrived:
        """Return what is sent of *rows*, which end where a depth message does.

        Raises:
            ValueError: If time falls, or the rows before these ended within the 100 ms of a message.
        """
        messages, levels = self._batches.of(rows)
        return Arrived(messages, levels, self._received(messages[:, SENT_US]))

    def of(self, rows: "Ints") -> Iterator[DepthMessage | TradeMessage]:
        """Yield what `arrived` returns, one by one."""
        messages, levels, recv_us = self.arrived(rows)
        every_level = list(map(tuple, levels.tolist()))
        for (sent, first_id, last_id, side, ticks, lots), received in zip(
            messages.tolist(), recv_us.tolist(), strict=True
        ):
            if side:
                yield TradeMessage(sent, received, first_id, side, ticks, lots)
            else:
                yield DepthMessage(sent, received, first_id, last_id, every_level[ticks:lots])

    def _received(self, sent_us: "Ints") -> "Ints":
        jitter_us = np.minimum(self._jitter.exponential(_MEAN_JITTER_US, len(sent_us)), _MOST_JITTER_US)
        received = np.maximum.accumulate(np.append(self._last_us, sent_us + _LATENCY_US + jitter_us.astype(np.int64)))
        self._last_us = int(received[-1])
        late: Ints = received[1:]
        return late


class BookReplay:
    """The exchange's book at any instant, from its order log."""

    def __init__(self) -> None:
        self.update_id = 0
        self._levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self._changes: deque[list[int]] = deque()

    def feed(self, rows: "Ints") -> None:
        """Add the next rows."""
        self._changes.extend(rows[rows[:, _KIND] == ROW_LEVEL].tolist())

    def depth(self, us: int) -> dict[int, list[tuple[int, int]]]:
        """Return ticks and lots of each side, best first, as of *us*, which never falls."""
        while self._changes and self._changes[0][0] <= us:
            _, _, _, _, _, side, ticks, lots, _, self.update_id = self._changes.popleft()
            self._levels[side][ticks] = lots
            if not lots:
                del self._levels[side][ticks]
        return {side: sorted(levels.items(), reverse=side > 0) for side, levels in self._levels.items()}


class DayLog:
    """Record what is sent of a session's order log into a day folder that holds no messages yet.

    Args:
        writer: The files of the day, open; nobody else writes messages to them.
        session: The session.
        instrument: Its grid.
        top_n: Levels of a side in the frames: those of the writer.

    Attributes:
        writer: As given.
    """

    def __init__(self, writer: DayWriter, session: Session, instrument: Instrument, top_n: int) -> None:
        self.writer = writer
        self._messages = SessionMessages(session)
        self._lines = Lines(writer.run_id, top_n, instrument.tick_e8, instrument.lot_e8)
        self._held = bytearray(), bytearray(), bytearray()
        self._exch_time = 0
        self._depths = self._prints = Contents(0)
        self._first_frame_id: int | None = None

    @property
    def depth_messages(self) -> int:
        """How many depth messages were recorded, each with its frame."""
        return self._depths.rows

    @property
    def trades(self) -> int:
        """How many trade messages were recorded."""
        return self._prints.rows

    def load(self, epoch_id: int, bids: "Iterable[tuple[int, int]]", asks: "Iterable[tuple[int, int]]") -> None:
        """Begin an epoch with the book of a snapshot: ticks and lots of each of its levels."""
        self._lines.load(epoch_id, bids, asks)

    def take(self, rows: "Ints") -> None:
        """Record every message that is sent of *rows* of the order log, which end where a depth message does."""
        messages, levels, recv_us = self._messages.arrived(rows)
        if not len(messages):
            return
        first_seq = self.writer.skip(len(messages)) - len(messages) + 1
        for held, lines in zip(self._held, self._lines.of(messages, levels, recv_us, first_seq), strict=True):
            held.extend(lines)
        self._exch_time = int(messages[-1, SENT_US]) // US_PER_MS
        self._count(messages)
        if max(map(len, self._held)) >= FLUSH_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write everything to the files, and give the writer the counts for its `seal`."""
        self._flush()
        folder, depths = self.writer.folder, self._depths
        self.writer.declare(folder.diffs, depths)
        self.writer.declare(folder.frames, depths._replace(first_id=self._first_frame_id))
        self.writer.declare(folder.trades, self._prints)

    def _count(self, messages: "Ints") -> None:
        is_depth = messages[:, SIDE] == 0
        depths, prints = messages[is_depth], messages[~is_depth]
        if self._first_frame_id is None and len(depths):
            self._first_frame_id = int(depths[0, LAST_ID])
        self._depths, self._prints = _longer(self._depths, depths), _longer(self._prints, prints)

    def _flush(self) -> None:
        if any(self._held):
            diffs, frames, trades = map(bytes, self._held)
            self.writer.append(Block(_packed(diffs), frames, trades, self._exch_time))
            for held in self._held:
                held.clear()


class LogFile:
    """The file of an order log, written piece by piece; close it.

    Args:
        path: The file, which must not be there; a ``.csv.gz``.

    Attributes:
        contents: What it holds.
    """

    def __init__(self, path: Path) -> None:
        self.contents = Contents(0)
        self._held = bytearray(",".join(COLUMNS).encode() + b"\n")
        self._files = ExitStack()
        self._file = AppendFile(path, self._files)

    def add(self, rows: "Ints") -> None:
        """Write *rows*."""
        self._held += log_lines(rows)
        self.contents = Contents(self.contents.rows + len(rows))
        if len(self._held) >= FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._file.append(_packed(bytes(self._held)))
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            self._flush()
            self._file.sync()


def _longer(contents: Contents, messages: "Ints") -> Contents:
    """Return *contents* with the rows of *messages* added."""
    if not len(messages):
        return contents
    first_id = int(messages[0, FIRST_ID]) if contents.first_id is None else contents.first_id
    return Contents(contents.rows + len(messages), first_id, int(messages[-1, LAST_ID]))


def _packed(lines: bytes) -> bytes:
    """Return *lines* as one gzip member without time or name; nothing remains nothing."""
    return bytes(compress(lines, _FAST, GZIP_FORMAT)) if lines else b""


class PlainRecorder(DayLog):
    """Record a session undisturbed: the messages, and the ledger and the snapshot around them.

    Args:
        folder: The day folder.
        session: The session.
        instrument: Its grid.
        knobs: Of the run, for the ledger.
    """

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
        writer.event(open_us + _ASKED_US, "snapshot_request", 0, {"attempt": 1})
        exchange = BookReplay()
        exchange.feed(rows)
        depth = exchange.depth(open_us)
        self.load(_EPOCH, depth[1], depth[-1])
        last_id = exchange.update_id or self._session.first_id
        bids, asks = (self._as_text(depth[side]) for side in (1, -1))
        writer.snapshot(open_us + _ANSWERED_US, "initial", last_id, bids, asks, _EPOCH)
        writer.event(open_us + _ANSWERED_US, "resync_done", _EPOCH, {"last_update_id": last_id})

    def finish(self) -> None:
        """Write everything to the files, and the end of the ledger."""
        super().finish()
        close_us = self._session.close_us
        self.writer.event(close_us, "window_end", _EPOCH, {})
        self.writer.event(close_us, "run_stop", _EPOCH, {"reason": "window_end"})

    def truth(self) -> dict[str, Any]:
        """Return nothing: the recording had no faults."""
        return {}

    def _as_text(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        return [(self._instrument.price(ticks), self._instrument.qty(lots)) for ticks, lots in levels]
