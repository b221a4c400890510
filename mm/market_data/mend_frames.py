"""Write the frames of a day again, as the recorder would have: from its snapshots and depth messages alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from mm.market_data.check_books import Replay, read_diffs
from mm.market_data.check_frames import Wanted
from mm.market_data.check_ledger import LedgerView
from mm.market_data.check_rows import Findings, RowOrder
from mm.market_data.grid import Grid
from mm.market_data.layout import DayFolder, existing, frame_columns
from mm.market_data.repair_files import Dropped, LineWriter, lines_of_file, seq_of, top_n_of


@dataclass(frozen=True, slots=True)
class FramesMade:
    """What became of the frames.

    Attributes:
        words: What changed; empty where nothing did.
        undeclared: Update ids missing in silence: first, last, and the arrivals (µs) around them.
        last_id: The last update id that diffs and snapshots reach; None without any.
    """

    words: str
    undeclared: list[tuple[int, int, int, int]]
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
    old = lines_of_file(folder.frames)
    sink = _Frames(folder, top_n_of(folder), old, dropped)
    findings = Findings(folder)
    replay = Replay(folder, view, sink, grid, findings)
    diffs = existing(folder.diffs) or folder.diffs
    replay.play(read_diffs(diffs, findings, order), diffs)
    return FramesMade(sink.settle(), replay.undeclared, replay.seen_id)


class _Frames:
    """Write the frames that must be there, beside those that are."""

    def __init__(self, folder: DayFolder, top_n: int, old: Iterator[bytes], dropped: Dropped) -> None:
        self.top_n = top_n
        self._folder = folder
        self._old = old
        self._dropped = dropped
        self._fresh = folder.frames.with_name("frames.csv")
        self._writer = LineWriter(self._fresh)
        head = ",".join(frame_columns(top_n)).encode()
        self._writer.add(head)
        self._same_head = next(old, head) == head
        self._next = next(old, None)
        self._made = self._left_out = 0

    def expect(self, wanted: Wanted) -> None:
        """Write a frame."""
        seq, line = wanted.at.seq, ",".join(wanted.row(self.top_n)).encode()
        while self._next is not None and seq_of(self._next, packed=False) < seq:
            self._leave_out()
        self._made += self._next != line
        if self._next is not None and seq_of(self._next, packed=False) == seq:
            self._next = next(self._old, None)
        self._writer.add(line)

    def end_run(self, *, stopped: bool) -> None:
        """A run is over; nothing of it waits to be written."""

    def finish(self) -> None:
        """The day is over."""
        while self._next is not None:
            self._leave_out()

    def settle(self) -> str:
        """Put the new file in the place of the old one, where it is another; say what changed."""
        self._writer.close()
        there = existing(self._folder.frames)
        if there and self._same_head and not self._made and not self._left_out:
            self._fresh.unlink()
            return ""
        if there:
            there.unlink()
        self._fresh.replace(self._folder.frames)
        return f"frames: {self._made:,} written again, {self._left_out:,} without a depth message are in quarantine"

    def _leave_out(self) -> None:
        if self._next is not None:
            self._dropped.add("a frame that no depth message explains", self._next)
            self._left_out += 1
            self._next = next(self._old, None)
