"""Write the frames of a day again, as the recorder would have: from its snapshots and depth messages alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mm.ids import MissingIds
from mm.market_data.check_books import Replay, read_diffs
from mm.market_data.check_frames import Wanted
from mm.market_data.check_ledger import LedgerView
from mm.market_data.check_rows import Findings, RowOrder
from mm.market_data.grid import Grid
from mm.market_data.layout import DayFolder, existing, frame_columns
from mm.market_data.repair_files import Dropped, LineWriter, line_writer, lines_of_file, seq_of, top_n_of


@dataclass(frozen=True, slots=True)
class FramesMade:
    """What became of the frames.

    Attributes:
        words: What changed; empty where nothing did.
        undeclared: Update ids that are missing and that the ledger does not declare.
        last_id: The last update id that diffs and snapshots reach; None without any.
    """

    words: str
    undeclared: list[MissingIds]
    last_id: int | None


def write_frames(folder: DayFolder, view: LedgerView, grid: Grid, order: RowOrder, dropped: Dropped) -> FramesMade:
    """Write the frames file of *folder* anew, where it is not what books and depth messages make of it.

    Args:
        folder: The day; it has diffs.
        view: Its ledger.
        grid: Reads prices.
        order: Of the diffs.
        dropped: Takes the frames that nothing explains.
    """
    fresh, findings = folder.frames.with_name("frames.csv"), Findings(folder)
    with line_writer(fresh) as writer:
        sink = _Frames(writer, top_n_of(folder), lines_of_file(folder.frames), dropped)
        replay = Replay(folder, view, sink, grid, findings)
        diffs = existing(folder.diffs) or folder.diffs
        replay.play(read_diffs(diffs, findings, order), diffs)
    return FramesMade(_replaced(folder, fresh, sink), replay.undeclared, replay.seen.last_id)


def _replaced(folder: DayFolder, fresh: Path, sink: "_Frames") -> str:
    """Move the *fresh* file to the place of the old one, where they differ; return what changed."""
    there = existing(folder.frames)
    if there and sink.same:
        fresh.unlink()
        return ""
    if there:
        there.unlink()
    fresh.replace(folder.frames)
    return f"frames: {sink.made:,} written again, {sink.left_out:,} without a depth message are in quarantine"


class _Frames:
    """Write the frames that must be there, beside those that are."""

    def __init__(self, writer: LineWriter, top_n: int, old: Iterator[bytes], dropped: Dropped) -> None:
        self.top_n = top_n
        self.made = self.left_out = 0
        self._writer = writer
        self._old = old
        self._dropped = dropped
        head = ",".join(frame_columns(top_n)).encode()
        self._writer.add(head)
        self._same_head = next(old, head) == head
        self._next = next(old, None)

    @property
    def same(self) -> bool:
        """Whether the frames that must be there are those that are."""
        return self._same_head and not self.made and not self.left_out

    def expect(self, wanted: Wanted) -> None:
        """Write a frame."""
        seq, line = wanted.at.seq, ",".join(wanted.row(self.top_n)).encode()
        while self._next is not None and seq_of(self._next, packed=False) < seq:
            self._leave_out()
        self.made += self._next != line
        if self._next is not None and seq_of(self._next, packed=False) == seq:
            self._next = next(self._old, None)
        self._writer.add(line)

    def end_run(self, *, stopped: bool) -> None:
        """A run is over; nothing of it waits to be written."""

    def finish(self) -> None:
        """The day is over."""
        while self._next is not None:
            self._leave_out()

    def _leave_out(self) -> None:
        if self._next is not None:
            self._dropped.add("a frame that no depth message explains", self._next)
            self.left_out += 1
            self._next = next(self._old, None)
