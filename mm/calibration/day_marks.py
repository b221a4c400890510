"""The marks of several days: complete for days in use, sums by block for earlier days, which bounds the memory.

A window reads the events of the day in which it ends, and possibly of the previous one. Of earlier days it needs only
the touch and the sweep depths by block, a thousandth of the number of events.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, overload

import numpy as np

from mm.calibration._cells import Tally, block_cells
from mm.calibration.block_sums import SideCells, block_sums, both_sides, points_of, summed
from mm.calibration.depth_counts import DepthCounts, DepthOptions, DistanceGrid, Sides, depths_of
from mm.calibration.reference import block_length_us, span_of
from mm.calibration.volatility import Moves, MoveSums, moves_of
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.depth_counts import Times
    from mm.calibration.points import Points
    from mm.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class DaySums:
    """A whole day by block: the data that later windows need.

    Attributes:
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks; the last may be incomplete.
        sides: Tallies of each side, with equal rows merged.
        depths: Input of `reach_of`, with equal rows merged.
        moves: Moves of the mid, for the volatility.
        spread_time: `ReferencePath.spread_time` of the day.
    """

    per_tick: int
    blocks: int
    sides: Sides
    depths: list[Tally]
    moves: dict[int, Moves]
    spread_time: tuple[float, float]

    @classmethod
    def of(cls, marks: DepthCounts) -> Self:
        """Return the sums of the whole span of *marks*."""
        block_us, per_tick = block_length_us(marks.options.block_s), marks.path.per_tick
        begin_us, end_us = marks.span
        blocks = max(-((begin_us - end_us) // block_us), 1)
        sides: Sides = {
            side: (block_sums(marks.path, side, sweeps, marks.span, block_us).between(begin_us, blocks),)
            for side, sweeps in marks.sweeps.items()
        }
        found = [(tally.touch, tally.depth, tally.count) for tally in depths_of(sides)]
        touch, depth, count = (np.concatenate(column) for column in zip(*found, strict=True))
        (touch, depth), count = summed((touch, depth), count)
        depths = [Tally.of_sweeps(touch, depth, count)]
        moves, spread_time = moves_of(marks.path, begin_us, end_us), marks.path.spread_time(begin_us, end_us)
        return cls(per_tick, blocks, sides, depths, moves, spread_time)

    def points(self, reach: float) -> "Points":
        """Return the result of `DepthCounts.points` for the whole day."""
        grid = DistanceGrid.of(reach, self.per_tick)
        return points_of(grid, self._cells_by_side(grid))

    def cells(self, grid: "DistanceGrid") -> "tuple[Times, Times]":
        """Return the result of `DepthCounts.cells` for the whole day."""
        return both_sides(list(self._cells_by_side(grid).values()))

    def _cells_by_side(self, grid: "DistanceGrid") -> SideCells:
        return {side: block_cells(grid.lookup, parts, self.blocks) for side, parts in self.sides.items()}


class DayMarks(Sequence[DepthCounts]):
    """The marks of each day, counted when first needed.

    Args:
        tapes: The days, in chronological order.
        options: Options of the marks.
        held: Maximum number of complete days in memory (the last used ones); None for no limit.
        found: The marks of each day, if already counted.
    """

    def __init__(
        self,
        tapes: "Sequence[Tape]",
        options: DepthOptions,
        held: int | None = None,
        found: Sequence[DepthCounts] = (),
    ) -> None:
        self._tapes, self._options, self._held = tapes, options, held
        self._spans = [span_of(tape) for tape in tapes]
        self._whole: OrderedDict[int, DepthCounts] = OrderedDict(enumerate(found))
        self._sums: dict[int, DaySums] = {}
        self._moves: dict[tuple[int, int], MoveSums] = {}
        self._requested: set[tuple[int, int]] = set()

    def ending(self, tapes: "Sequence[Tape]") -> "DayMarks":
        """Return the marks of *tapes*: these days up to the last of them, which was read in another way."""
        found, last = DayMarks(tapes, self._options, self._held), len(tapes) - 1
        found._whole.update((day, marks) for day, marks in self._whole.items() if day < last)
        found._sums.update((day, sums) for day, sums in self._sums.items() if day < last)
        return found

    def __len__(self) -> int:
        return len(self._tapes)

    @overload
    def __getitem__(self, day: int) -> DepthCounts: ...

    @overload
    def __getitem__(self, day: slice) -> list[DepthCounts]: ...

    def __getitem__(self, day: int | slice) -> DepthCounts | list[DepthCounts]:
        """Return the marks of the day with this index, or of several days."""
        if isinstance(day, slice):
            return [self[number] for number in range(len(self))[day]]
        number = range(len(self))[day]
        if number not in self._whole:
            while self._held is not None and len(self._whole) >= self._held:
                earliest, _ = self._whole.popitem(last=False)
                self._tapes[earliest].release_memory()
                self._moves = {key: moves for key, moves in self._moves.items() if key[0] != earliest}
            self._whole[number] = DepthCounts(self._tapes[number], self._options)
        self._whole.move_to_end(number)
        return self._whole[number]

    def sums(self, day: int) -> DaySums:
        """Return the sums of a whole day."""
        if day not in self._sums:
            self._sums[day] = DaySums.of(self[day])
        return self._sums[day]

    def depths(self, day: int, start_us: int, end_us: int) -> list[Tally]:
        """Return `DepthCounts.depths` of a part of a day."""
        if (start_us, end_us) == self._spans[day]:
            return self.sums(day).depths
        return self[day].depths(start_us, end_us)

    def points(self, day: int, start_us: int, end_us: int, reach: float) -> "Points":
        """Return `DepthCounts.points` of a part of a day."""
        if (start_us, end_us) == self._spans[day]:
            return self.sums(day).points(reach)
        return self[day].points(start_us, end_us, reach)

    def moves(self, day: int, start_us: int, end_us: int) -> dict[int, Moves]:
        """Return the moves of the mid in a part of a day."""
        if (start_us, end_us) == self._spans[day]:
            return self.sums(day).moves
        phase, path = (start_us - self._spans[day][0]) % US_PER_S, self[day].path
        key = day, phase
        if key not in self._moves:
            if key not in self._requested:  # a single window costs less than the day
                self._requested.add(key)
                return moves_of(path, start_us, end_us)
            self._moves[key] = MoveSums(path, self._spans[day][0] + phase, self._spans[day][1])
        return self._moves[key].between(start_us, end_us)

    def spread_time(self, day: int, start_us: int, end_us: int) -> tuple[float, float]:
        """Return `ReferencePath.spread_time` of a part of a day."""
        if (start_us, end_us) == self._spans[day]:
            return self.sums(day).spread_time
        return self[day].path.spread_time(start_us, end_us)

    def cells(self, day: int, start_us: int, end_us: int, grid: "DistanceGrid") -> "tuple[Times, Times]":
        """Return `DepthCounts.cells` of a part of a day."""
        if (start_us, end_us) == self._spans[day]:
            return self.sums(day).cells(grid)
        return self[day].cells(start_us, end_us, grid)
