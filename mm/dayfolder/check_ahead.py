"""Fast path of the checks: a kernel reads runs of correct rows.

The checks in Python read row by row and report defects. After each row that they read, the kernel takes the following
rows up to the first irregular one, where the checks continue. Their reports are the same with and without it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mm.clock import FIRST_US, LAST_US, US_PER_MS
from mm.dayfolder import rows
from mm.dayfolder.check_frames import FrameFile
from mm.dayfolder.coverage import ValidTime
from mm.dayfolder.day_grids import DayGrids
from mm.dayfolder.rows import CLOCK_SLACK_US, FileRows

_LAST = 2**63 - 1


def _bounds(source: FileRows) -> tuple[int, int, int]:
    """Return start and end of the range of arrival times, and their maximum backward step, in µs."""
    return source.order.from_us, source.order.to_us, CLOCK_SLACK_US


def _limits(grids: DayGrids, seq: int, before_seq: int) -> Any:
    """Return the kernel's limits for rows from the number *seq* to before *before_seq*."""
    found = rows.kernel.RowLimits(FIRST_US // US_PER_MS, LAST_US // US_PER_MS)
    found.tick_e8, found.lot_e8, until_seq = grids.steps_at(seq)
    found.until_seq = min(until_seq, before_seq)
    return found


class BookPlace(NamedTuple):
    """A valid book, and the limits of the rows that may change it.

    Attributes:
        sides: Bids and asks, as objects of a kernel.
        horizons: Sides (+1 bid, -1 ask) with the price, in 1e-8, up to which their levels are known.
        epoch: The epoch of its frames.
        until_id: The first update id that the checks in Python must read.
        before_seq: The first row number after the next event.
    """

    sides: tuple[Any, Any]
    horizons: Sequence[tuple[int, int]]
    epoch: int
    until_id: int
    before_seq: int


class BookAhead:
    """Takes depth messages that continue a book, with their frames.

    Args:
        source: The rows of the diffs file.
        grids: The steps of the day.
        frames: The frames of the day; None without any.
    """

    def __init__(self, source: FileRows, grids: DayGrids, frames: FrameFile | None) -> None:
        self.source = source
        self._grids = grids
        self._frames = frames
        self._clean: Any = rows.kernel and rows.kernel.CleanDiffs(*_bounds(source))
        self._clean_frames: Any = None
        if rows.kernel and frames:
            self._clean_frames = rows.kernel.CleanFrames(*_bounds(frames.source), frames.top_n)

    def take(
        self, book: BookPlace, last_id: int, coverage: ValidTime, prices_e8: tuple[int, int] | None
    ) -> tuple[int, tuple[int, int] | None]:
        """Take the rows that follow the update *last_id* in the *book*, and mark them in the *coverage*.

        Return the id of the last one, and the range of best prices, extended from *prices_e8*.
        """
        source, clean = self.source, self._clean
        while clean is not None and coverage.place and source.begin(clean) and self._frames_begin(book.epoch):
            clean.last_id, clean.until_id = last_id, book.until_id
            clean.low_e8, clean.high_e8 = prices_e8 or (_LAST, -1)
            clean.total_us, clean.last_us, clean.seen_us, clean.jump_from_us, clean.jump_to_us = coverage.place
            edges = dict(book.horizons)
            clean.reach(edges.get(1), edges.get(-1), self._frames.top_n if self._frames else 1)
            allowed = _limits(self._grids, source.order.seqs[-1] + 1, book.before_seq)
            at = clean.take(source.lines.block, source.lines.at, allowed, *book.sides, self._clean_frames)
            if clean.high_e8 >= 0:
                prices_e8 = int(clean.low_e8), int(clean.high_e8)
            if not clean.count and not source.refilled(at):
                break
            last_id = int(clean.last_id)
            coverage.place = clean.total_us, clean.last_us, clean.seen_us, clean.jump_from_us, clean.jump_to_us
            source.advance(clean, at)
            if self._frames and clean.count:
                self._frames.source.advance(self._clean_frames, self._clean_frames.at)
                self._frames.advance()
        return last_id, prices_e8

    def _frames_begin(self, epoch: int) -> bool:
        """Return True if there are no frames, or the next one is loaded and can be compared."""
        frames = self._frames
        if frames is None:
            return True
        line = frames.line_at_hand()
        if line is None or frames.source.order.run != self.source.order.run:
            return False
        lines = frames.source.lines
        if not frames.source.begin(self._clean_frames):
            return False
        self._clean_frames.open(lines.block, lines.at, line, epoch)
        return True
