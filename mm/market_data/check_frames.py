"""Check the frames of a day, beside the book that was rebuilt or, where no diffs were kept, by themselves."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

from mm.clock import US_PER_S
from mm.errors import OffGrid
from mm.market_data.check_rows import Arrival, Findings, RowOrder, arrival, decimal, lines_of, stamp_ms, table, whole
from mm.market_data.grid import Grid
from mm.market_data.layout import FRAME_FIRST_LEVEL, frame_columns

OPTIONAL_COLUMNS = 2
LOST_AT_MOST_US = 60 * US_PER_S


class Coverage:
    """Add up the time in which the book is valid."""

    def __init__(self) -> None:
        self.total_us = 0
        self._from_us: int | None = None
        self._to_us = 0

    def mark(self, us: int) -> None:
        """The book is valid at *us*, and was since the last mark if there was one since `stop`."""
        if self._from_us is None:
            self._from_us = self._to_us = us
        self._to_us = max(self._to_us, us)

    def stop(self) -> None:
        """The book is valid no longer."""
        if self._from_us is not None:
            self.total_us += self._to_us - self._from_us
            self._from_us = None


class Wanted(NamedTuple):
    """The frame that an applied diff must have left."""

    at: Arrival
    event_ms: int
    epoch_id: int
    last_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]

    def row(self, top_n: int) -> list[str]:
        """Return the cells of the frame; a missing level is empty."""
        at, pad = self.at, [("", "")] * top_n
        pairs = zip((self.bids + pad)[:top_n], (self.asks + pad)[:top_n], strict=True)
        levels = [cell for bid, ask in pairs for cell in (*bid, *ask)]
        head = [str(self.event_ms), str(at.recv_ms), str(at.seq), at.run_id, str(self.epoch_id)]
        return [*head, *levels, str(at.recv_us), str(self.last_id)]


class FrameSink(Protocol):
    """What takes the frames that the books of a day must have left."""

    @property
    def top_n(self) -> int:
        """Levels a side."""

    def expect(self, wanted: Wanted) -> None:
        """Take the next frame."""

    def end_run(self, *, stopped: bool) -> None:
        """A run is over; *stopped* in order, or not."""

    def finish(self) -> None:
        """The day is over."""


class _Frame(NamedTuple):
    row: int
    at: Arrival
    cells: list[str]


class FrameFile:
    """The frames in their order.

    Args:
        path: The file.
        findings: Takes what is wrong.
        order: Checks arrival.

    Attributes:
        top_n: Levels a side, as the header has them.
    """

    def __init__(self, path: Path, findings: Findings, order: RowOrder) -> None:
        self.path = path
        self._findings = findings
        self._order = order
        head = next(lines_of(path, findings, first_row=0), (0, ""))[1].split(",")
        self.top_n = max(1, sum(name.startswith("bid") and name.endswith("_price") for name in head))
        self._columns = frame_columns(self.top_n)
        self._frames = self._read()
        self._next = next(self._frames, None)
        self._missing: list[Wanted] = []

    def expect(self, wanted: Wanted) -> None:
        """Compare the next frame with the one that must be there; those before it should not be there."""
        self._refuse_before(wanted.at.seq)
        frame = self._next
        if frame is None or frame.at.seq != wanted.at.seq:
            self._missing.append(wanted)
            return
        self._report_missing()
        wrong = self._difference(frame, wanted)
        if wrong:
            self._add(frame.row, "frame_differs", wrong)
        self._next = next(self._frames, None)

    def end_run(self, *, stopped: bool) -> None:
        """A run is over: only where it crashed, frames at its end may be missing, a minute of them at most."""
        if not stopped and self._missing:
            until_us = self._missing[-1].at.recv_us - LOST_AT_MOST_US
            self._missing = [wanted for wanted in self._missing if wanted.at.recv_us < until_us]
        self._report_missing()

    def finish(self) -> None:
        """The day is over: no frame may be left."""
        self._refuse_before(None)

    def check_alone(self, grid: Grid, epochs: frozenset[int], coverage: Coverage) -> None:
        """Check what frames tell without diffs: they are ordered, never crossed, and of an epoch that was opened."""
        epoch = 0
        while self._next:
            row, at, cells = self._next
            try:
                self._check_levels(cells, grid)
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

    def _read(self) -> Iterator[_Frame]:
        for row, cells in table(self.path, self._columns, OPTIONAL_COLUMNS, self._findings):
            try:
                at = arrival(cells[2], cells[3], cells[1], cells[-2])
                stamp_ms(cells[0], "event_time_ms")
                whole(cells[4], "epoch_id")
            except ValueError as error:
                self._add(row, "type", str(error))
                continue
            self._order.see(row, at)
            yield _Frame(row, at, cells)

    def _refuse_before(self, seq: int | None) -> None:
        while self._next and (seq is None or self._next.at.seq < seq):
            at, epoch = self._next.at, self._next.cells[4]
            self._add(self._next.row, "frame_unexpected", f"no diff of recv_seq {at.seq} was applied in epoch {epoch}")
            self._next = next(self._frames, None)

    def _report_missing(self) -> None:
        row = self._next.row if self._next else None
        for wanted in self._missing:
            message = f"the frame of recv_seq {wanted.at.seq} (update id {wanted.last_id}) should stand before this row"
            self._add(row, "frame_missing", message)
        self._missing.clear()

    def _difference(self, frame: _Frame, wanted: Wanted) -> str | None:
        """Return the first cell that is not what the rebuilt book has, or None."""
        cells = wanted.row(self.top_n)
        found = frame.cells
        if found == cells:
            return None
        every = zip(self._columns, found, cells, strict=True)
        # The trailing columns are empty where an older day has none of them.
        wrong = (
            (name, has, must)
            for n, (name, has, must) in enumerate(every)
            if has != must and (has or n < len(found) - 2)
        )
        name, has, must = next(wrong, ("", "", ""))
        return f"{name} is {has!r}, the rebuilt book has {must!r}" if name else None

    def _check_levels(self, cells: list[str], grid: Grid) -> None:
        sides = []
        for first, sign in ((FRAME_FIRST_LEVEL, -1), (FRAME_FIRST_LEVEL + 2, 1)):
            prices, quantities = cells[first:-2:4], cells[first + 1 : -2 : 4]
            depth = next((n for n, price in enumerate(prices) if not price), len(prices))
            if any(prices[depth:]) or any(quantities[depth:]):
                raise ValueError(f"level {depth + 1} is missing, and one behind it is not")
            for qty in quantities[:depth]:
                decimal(qty, "qty")
            keys = [sign * grid.price(price) for price in prices[:depth]]
            if any(better >= worse for better, worse in pairwise(keys)):
                raise ValueError(f"{'bid' if sign < 0 else 'ask'} prices do not run away from the best")
            off = grid.off_tick(prices[:depth])
            if off:
                raise ValueError(f"price {off} is off the tick")
            sides.append(keys)
        if all(sides) and -sides[0][0] >= sides[1][0]:
            raise ValueError(
                f"the frame is crossed: bid {cells[FRAME_FIRST_LEVEL]}, ask {cells[FRAME_FIRST_LEVEL + 2]}"
            )

    def _add(self, row: int | None, kind: str, message: str) -> None:
        self._findings.add(self.path, row, kind, message)
