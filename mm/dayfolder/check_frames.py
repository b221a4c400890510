"""Check the frames of a day, row by row: against the rebuilt books, or on their own."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mm.clock import US_PER_S
from mm.dayfolder import layout, rows
from mm.dayfolder.coverage import ValidTime
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.rows import Arrival, DefectList, RowOrder, Stamp
from mm.errors import OffGrid

OPTIONAL_COLUMNS = 2
LOST_AT_MOST_US = 60 * US_PER_S


class Wanted(NamedTuple):
    stamp: Stamp
    run_id: str
    epoch_id: int
    cells: str

    @property
    def line(self) -> str:
        return rows.frame_row(self.stamp, self.run_id, self.epoch_id, self.cells)


class FrameSink:
    """Receives a day's expected frames; this base ignores them."""

    top_n = 1

    def expect(self, wanted: Wanted) -> None: ...

    def end_run(self, *, stopped: bool) -> None: ...

    def finish(self) -> None: ...


class _FrameRow(NamedTuple):
    row: int
    at: Arrival
    cells: list[str]


class FrameFile(FrameSink):
    def __init__(self, path: Path, findings: DefectList, order: RowOrder) -> None:
        self.path = path
        self._findings = findings
        self._order = order
        head = next(rows.CheckedLines(path, findings, 0), (0, ""))[1].split(",")
        self.top_n = max(1, layout.levels_shown(head))
        self._columns = layout.frame_columns(self.top_n)
        self.lines = rows.CheckedLines(path, findings, 0)
        self._head, self._lines = rows.under_header(self.lines, self._columns, OPTIONAL_COLUMNS, findings)
        self._line = next(self._lines, None)  # the next one that is not parsed yet
        self._parsed: _FrameRow | None = None  # the frame before it, if it was parsed and is left to compare
        self._missing: list[Wanted] = []

    def expect(self, wanted: Wanted) -> None:
        if self._line and not self._parsed and not self._missing and f"{self._line[1]}\n" == wanted.line:
            stamp = wanted.stamp
            at = Arrival(stamp.recv_seq, wanted.run_id, stamp.recv_us // 1000, stamp.recv_us)
            self._order.check_row(self._line[0], at)
            self._line = next(self._lines, None)
            return
        self._reject_before(wanted.stamp.recv_seq)
        frame = self._next()
        if frame is None or frame.at.seq != wanted.stamp.recv_seq:
            self._missing.append(wanted)
            return
        self._report_missing()
        wrong = self._difference(frame, wanted)
        if wrong:
            self._add(frame.row, "frame_differs", wrong)
        self._parsed = None

    def end_run(self, *, stopped: bool) -> None:
        """Frames of the last minute may be missing only after a crash."""
        if not stopped and self._missing:
            until_us = self._missing[-1].stamp.recv_us - LOST_AT_MOST_US
            self._missing = [wanted for wanted in self._missing if wanted.stamp.recv_us < until_us]
        self._report_missing()

    def finish(self) -> None:
        self._reject_before(None)

    def check_alone(self, grids: DayGrids, epochs: frozenset[int], coverage: ValidTime) -> None:
        """Without diffs, frames must be ordered, not crossed, and of an opened epoch."""
        epoch = 0
        while frame := self._next():
            row, at, cells = frame
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
            self._parsed = None
        coverage.stop()

    def _next(self) -> _FrameRow | None:
        while not self._parsed and self._line:
            row, line = self._line
            cells = line.split(",")
            self._line = next(self._lines, None)
            if len(cells) != len(self._head):
                self._add(row, "columns", f"{len(cells)} cells under {len(self._head)} columns")
                continue
            cells += [""] * (len(self._columns) - len(cells))
            try:
                at = rows.arrival(cells[2], cells[3], cells[1], cells[-2])
                rows.stamp_ms(cells[0], "event_time_ms")
                rows.integer(cells[4], "epoch_id")
            except ValueError as error:
                self._add(row, "type", str(error))
                continue
            self._order.check_row(row, at)
            self._parsed = _FrameRow(row, at, cells)
        return self._parsed

    def _reject_before(self, seq: int | None) -> None:
        while (frame := self._next()) and (seq is None or frame.at.seq < seq):
            what = f"no diff of recv_seq {frame.at.seq} was applied in epoch {frame.cells[4]}"
            self._add(frame.row, "frame_unexpected", what)
            self._parsed = None

    def _report_missing(self) -> None:
        frame = self._next() if self._missing else None
        row = frame.row if frame else None
        for wanted in self._missing:
            at = wanted.stamp
            message = f"the frame of recv_seq {at.recv_seq} (update id {at.last_id}) is missing before this row"
            self._add(row, "frame_missing", message)
        self._missing.clear()

    def _difference(self, frame: _FrameRow, wanted: Wanted) -> str | None:
        expected, cells = wanted.line.removesuffix("\n").split(","), frame.cells
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
