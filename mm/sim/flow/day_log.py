"""The fast way from an order log to a day folder: compiled lines, appended in blocks, packed by isal.

What is written is, line for line, what `DayWriter` would write; only the packing differs.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mm.clock import US_PER_MS
from mm.instrument import Instrument
from mm.market_data.append_file import AppendFile
from mm.market_data.buffered_writer import FLUSH_BYTES
from mm.market_data.day_writer import Block, DayWriter
from mm.market_data.manifest import Contents
from mm.market_data.tail import GZIP_FORMAT
from mm.sim.flow._day_rows import Lines, log_lines
from mm.sim.flow.messages import FIRST_ID, LAST_ID, SENT_US, SIDE, Messages
from mm.sim.flow.session import Session
from mm.sim.matching.order_log import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mm.sim.flow._day_rows import Ints

try:
    from isal.isal_zlib import compress
except ImportError:
    from zlib import compress

_FAST = 1


class DayLog:
    """Record what is sent of a session's order log into a day folder that holds no messages yet.

    Args:
        writer: The files of the day, open; nobody else writes messages to them.
        session: The session.
        instrument: Its grid.
        top_n: Levels a side in the frames: those of the writer.
    """

    def __init__(self, writer: DayWriter, session: Session, instrument: Instrument, top_n: int) -> None:
        self._writer = writer
        self._messages = Messages(session)
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
        first_seq = self._writer.skip(len(messages)) - len(messages) + 1
        for held, lines in zip(self._held, self._lines.of(messages, levels, recv_us, first_seq), strict=True):
            held.extend(lines)
        self._exch_time = int(messages[-1, SENT_US]) // US_PER_MS
        self._count(messages)
        if max(map(len, self._held)) >= FLUSH_BYTES:
            self._flush()

    def finish(self) -> None:
        """Bring everything to the files, and spare the writer's `seal` to count it."""
        self._flush()
        folder, depths = self._writer.folder, self._depths
        self._writer.know(folder.diffs, depths)
        self._writer.know(folder.frames, depths._replace(first_id=self._first_frame_id))
        self._writer.know(folder.trades, self._prints)

    def _count(self, messages: "Ints") -> None:
        is_depth = messages[:, SIDE] == 0
        depths, prints = messages[is_depth], messages[~is_depth]
        if self._first_frame_id is None and len(depths):
            self._first_frame_id = int(depths[0, LAST_ID])
        self._depths, self._prints = _longer(self._depths, depths), _longer(self._prints, prints)

    def _flush(self) -> None:
        if any(self._held):
            diffs, frames, trades = map(bytes, self._held)
            self._writer.append(Block(_packed(diffs), frames, trades, self._exch_time))
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
    """Return *contents* with the rows of *messages* behind them."""
    if not len(messages):
        return contents
    first_id = int(messages[0, FIRST_ID]) if contents.first_id is None else contents.first_id
    return Contents(contents.rows + len(messages), first_id, int(messages[-1, LAST_ID]))


def _packed(lines: bytes) -> bytes:
    """Return *lines* as one gzip member without time or name; nothing remains nothing."""
    return bytes(compress(lines, _FAST, GZIP_FORMAT)) if lines else b""
