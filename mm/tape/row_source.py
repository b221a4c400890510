"""The rows of a day as they were read, block after block, and the way from there to ticks and lots in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.tape._lines import place_rows

if TYPE_CHECKING:
    from mm.tape._lines import Block

Ints = NDArray[np.int64]
Rows = tuple[NDArray[np.int8], Ints, Ints]  # side, ticks, lots

WINDOW_ROWS = 1 << 19
"""How many rows are in order at a time: little memory, but many beside the levels of a book."""
LARGE_ROWS = 1 << 20
"""A block of so many rows is worth letting go."""


@dataclass(slots=True)
class RowSource:
    """Blocks whose rows are numbered through.

    Attributes:
        steps: Tick and lot in 1e-8 that divide every price and quantity.
        end: How many rows there are.
    """

    steps: tuple[int, int]
    end: int = 0
    _blocks: "list[Block | None]" = field(default_factory=list)
    _firsts: list[int] = field(default_factory=list)

    def add(self, block: "Block") -> int:
        """Append a block, and return the number of its first row."""
        first = self.end
        self._blocks.append(block)
        self._firsts.append(first)
        self.end += len(block[0])
        return first

    def place(self, start: Ints, size: Ints, target: Rows) -> None:
        """Write the runs that begin at *start*, none across blocks, one behind another."""
        where = bounds(size)[:-1]
        block_of = np.searchsorted(self._firsts, start, "right") - 1
        for number in np.flatnonzero(np.bincount(block_of[size > 0])).tolist():
            block = self._blocks[number]
            if block is None:
                raise ValueError(f"the rows of block {number} have been let go")
            begin = start - self._firsts[number]
            place_rows(begin, begin + size, where, block, target, self.steps)

    def placed(self, start: Ints, size: Ints) -> Rows:
        """Return the runs that begin at *start*, none across blocks, one behind another."""
        rows = int(size.sum())
        target = np.empty(rows, np.int8), np.empty(rows, np.int64), np.empty(rows, np.int64)
        self.place(start, size, target)
        return target

    def passed(self, start: Ints, size: Ints) -> Iterator[tuple[int, int]]:
        """Yield the bounds of runs, a window at a time; let go of each large block behind the last that needs it."""
        needed = self._needed(start, size)
        for begin, stop in windows(bounds(size)):
            yield begin, stop
            for number, last in needed.items():
                if last < stop:
                    self._blocks[number] = None

    def _needed(self, start: Ints, size: Ints) -> dict[int, int]:
        """Return the large blocks, and which run is the last in each; -1 is none."""
        needed = {}
        for number, (first, block) in enumerate(zip(self._firsts, self._blocks, strict=True)):
            if block is not None and len(block[0]) >= LARGE_ROWS:
                here = (start >= first) & (start < first + len(block[0])) & (size > 0)
                needed[number] = len(here) - 1 - int(np.argmax(here[::-1])) if here.any() else -1
        return needed


def bounds(size: Ints) -> Ints:
    """Return where each of some runs begins, and where the last one ends."""
    ends = np.empty(len(size) + 1, np.int64)
    ends[0] = 0
    np.cumsum(size, out=ends[1:])
    return ends


def windows(first_row: Ints) -> Iterator[tuple[int, int]]:
    """Yield the bounds of as many events at a time as have `WINDOW_ROWS` rows, at least one."""
    begin, events = 0, len(first_row) - 1
    while begin < events:
        stop = int(np.searchsorted(first_row, first_row[begin] + WINDOW_ROWS, "right")) - 1
        yield begin, (stop := max(stop, begin + 1))
        begin = stop
