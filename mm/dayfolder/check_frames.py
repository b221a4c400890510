"""Check the frames of a day, row by row: against the rebuilt books, or on their own."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mm.clock import US_PER_S
from mm.dayfolder import layout, rows
from mm.dayfolder.coverage import ValidTime
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.rows import Arrival, DefectList, RowOrder, Stamp
from mm.errors import OffGrid
from mm.market_data.local_orderbook import Level

OPTIONAL_COLUMNS = 2
LOST_AT_MOST_US = 60 * US_PER_S


class Wanted(NamedTuple):
    """The frame expected after an applied diff."""

    stamp: Stamp
    run_id: str
    epoch_id: int
    bids: list[Level]
    asks: list[Level]

    def line(self, top_n: int) -> str:
        """Return the line of the frame."""
        return rows.frame_row(self.stamp, self.run_id, self.epoch_id, rows.level_cells(self.bids, self.asks, top_n))


class FrameSink:
    """Receives the expected frames of a day; this base class ignores them.

    Attributes:
        top_n: Levels per side.
    """

    top_n = 1

    def expect(self, wanted: Wanted) -> None:
        """Take the next frame."""

    def end_run(self, *, stopped: bool) -> None:
        """End a run; *stopped*: whether it ended normally."""

    def finish(self) -> None:
        """End the day."""


class _FrameRow(NamedTuple):
    row: int
    at: Arrival
    cells: list[str]


class FrameFile(FrameSink):
    """The frames of a file, in order.

    Args:
        path: The file.
        findings: Receives the defects.
        order: Checks numbers and arrival times.

    Attributes:
        top_n: Levels per side, from the header.
        source: The rows of the file.
    """

    def __init__(self, path: Path, findings: DefectList, order: RowOrder) -> None:
        self.path = path
        self._findings = findings
        self.source = rows.FileRows(rows.CheckedLines(path, findings, 0), order)
        head = next(rows.CheckedLines(path, findings, 0), (0, ""))[1].split(",")
        self.top_n = max(1, layout.levels_shown(head))
        self._columns = layout.frame_columns(self.top_n)
        self._frames = self._read()
        self._next = next(self._frames, None)
        self._missing: list[Wanted] = []

    def expect(self, wanted: Wanted) -> None:
        """Compare the next frame with the expected one; frames before it are defects."""
        self._reject_before(wanted.stamp.recv_seq)
        frame = self._next
        if frame is None or frame.at.seq != wanted.stamp.recv_seq:
            self._missing.append(wanted)
            return
        self._report_missing()
        wrong = self._difference(frame, wanted)
        if wrong:
            self._add(frame.row, "frame_differs", wrong)
        self._next = next(self._frames, None)

    def line_at_hand(self) -> bytes | None:
        """Return the line of the next frame; None if there is none, or if expected frames before it are missing."""
        ready = self._next and self.source.lines.width == len(self._columns) and not self._missing
        return f"{','.join(self._next.cells)}\n".encode() if self._next and ready else None

    def advance(self) -> None:
        """Read the next frame after those that were compared elsewhere."""
        self._next = next(self._frames, None)

    def end_run(self, *, stopped: bool) -> None:
        """End a run: only if it crashed, frames of at most a minute may be missing at its end."""
        if not stopped and self._missing:
            until_us = self._missing[-1].stamp.recv_us - LOST_AT_MOST_US
            self._missing = [wanted for wanted in self._missing if wanted.stamp.recv_us < until_us]
        self._report_missing()

    def finish(self) -> None:
        """End the day: remaining frames are defects."""
        self._reject_before(None)

    def check_alone(self, grids: DayGrids, epochs: frozenset[int], coverage: ValidTime) -> None:
        """Check frames without diffs: they must be ordered, not crossed, and belong to an opened epoch."""
        epoch = 0
        while self._next:
            row, at, cells = self._next
            try:
                self._check_levels(cells, at.seq, grids)
            except (ValueError, OffGrid) as error:
                self._add(row, "levels", str(error))
            if int(cells[4]) not in epochs:
                self._add(row, "epoch", f"epoch {cells[4]} was not opened by a snapshot_loaded")
            if int(cells[4]) != epoch:
                coverage.stop()
            epoch = int(cells[4])
            coverage.mark(at.recv_us)
            self._next = next(self._frames, None)
        coverage.stop()

    def _read(self) -> Iterator[_FrameRow]:
        for row, cells in rows.table(self.source.lines, self._columns, OPTIONAL_COLUMNS, self._findings):
            try:
                at = rows.arrival(cells[2], cells[3], cells[1], cells[-2])
                rows.stamp_ms(cells[0], "event_time_ms")
                rows.integer(cells[4], "epoch_id")
            except ValueError as error:
                self._add(row, "type", str(error))
                continue
            self.source.order.check_row(row, at)
            yield _FrameRow(row, at, cells)

    def _reject_before(self, seq: int | None) -> None:
        while self._next and (seq is None or self._next.at.seq < seq):
            at, epoch = self._next.at, self._next.cells[4]
            self._add(self._next.row, "frame_unexpected", f"no diff of recv_seq {at.seq} was applied in epoch {epoch}")
            self._next = next(self._frames, None)

    def _report_missing(self) -> None:
        row = self._next.row if self._next else None
        for wanted in self._missing:
            at = wanted.stamp
            message = f"the frame of recv_seq {at.recv_seq} (update id {at.last_id}) is missing before this row"
            self._add(row, "frame_missing", message)
        self._missing.clear()

    def _difference(self, frame: _FrameRow, wanted: Wanted) -> str | None:
        """Return the first cell that differs from the rebuilt book, or None."""
        expected, cells = wanted.line(self.top_n).removesuffix("\n").split(","), frame.cells
        if cells == expected:
            return None
        columns = zip(self._columns, cells, expected, strict=True)
        # The trailing columns of older days are empty.
        wrong = (
            (name, cell, rebuilt)
            for n, (name, cell, rebuilt) in enumerate(columns)
            if cell != rebuilt and (cell or n < len(cells) - 2)
        )
        name, cell, rebuilt = next(wrong, ("", "", ""))
        return f"{name} is {cell!r}, the rebuilt book has {rebuilt!r}" if name else None

    def _check_levels(self, cells: list[str], seq: int, grids: DayGrids) -> None:
        sides = []
        for first, sign in ((layout.FRAME_FIRST_LEVEL, -1), (layout.FRAME_FIRST_LEVEL + 2, 1)):
            prices, quantities = cells[first:-2:4], cells[first + 1 : -2 : 4]
            depth = next((n for n, price in enumerate(prices) if not price), len(prices))
            if any(prices[depth:]) or any(quantities[depth:]):
                raise ValueError(f"level {depth + 1} is missing, but a deeper one is not")
            for qty in quantities[:depth]:
                rows.decimal(qty, "qty")
            keys = [sign * grids.price(price) for price in prices[:depth]]
            if any(better >= worse for better, worse in pairwise(keys)):
                raise ValueError(f"{'bid' if sign < 0 else 'ask'} prices are not in order from the best price outwards")
            off = grids.off_tick(prices[:depth], seq)
            if off:
                raise ValueError(f"price {off} is off the tick")
            sides.append(keys)
        if all(sides) and -sides[0][0] >= sides[1][0]:
            bid, _, ask = cells[layout.FRAME_FIRST_LEVEL :][:3]
            raise ValueError(f"the frame is crossed: bid {bid}, ask {ask}")

    def _add(self, row: int | None, kind: str, message: str) -> None:
        self._findings.add(self.path, row, kind, message)
