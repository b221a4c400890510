"""The marks of several days: complete for days in use, sums by block for earlier days, which bounds the memory.

A window reads the events of the day in which it ends, and possibly of the previous one. Of earlier days it needs only
the touch and the sweep depths by block, a thousandth of the number of events.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, overload

from mm.calibration.depth_counts import Cells, DepthCounts, DepthOptions, Tallies, both_sides, points_of
from mm.calibration.distance_grid import DistanceGrid
from mm.calibration.reference import PER_TICK, span_of
from mm.calibration.volatility import Moves, moves_of

if TYPE_CHECKING:
    from mm.calibration.points import Floats, Points
    from mm.calibration.tally import Tally
    from mm.tape.tape import Tape


ALONE = 3  # windows that begin with a day are counted from its events up to this number


@dataclass(frozen=True, slots=True)
class DaySums:
    """A whole day by block: the data that later windows need.

    Attributes:
        blocks: Number of blocks; the last may be incomplete.
        tallies: Tallies of each side, with equal rows merged.
        moves: Moves of the mid, for the volatility.
        spread_time: `ReferencePath.spread_time` of the day.
    """

    blocks: int
    tallies: Tallies
    moves: Moves
    spread_time: tuple[float, float]

    @classmethod
    def of(cls, marks: DepthCounts) -> Self:
        """Return the sums of the whole span of *marks*."""
        path, span = marks.path, marks.span
        return cls(marks.blocks(*span), marks.summed, moves_of(path, *span), path.spread_time(*span))


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
        self._begun = Counter[int]()  # windows that begin with a day, and end in it

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
            self._whole[number] = DepthCounts(self._tapes[number], self._options)
        self._whole.move_to_end(number)
        return self._whole[number]

    def sums(self, day: int) -> DaySums:
        """Return the sums of a whole day."""
        if day not in self._sums:
            self._sums[day] = DaySums.of(self[day])
        return self._sums[day]

    def _is_past(self, day: int, start_us: int, end_us: int) -> bool:
        """Return whether a part is a whole day of several, of which only the sums are needed."""
        return len(self._tapes) > 1 and (start_us, end_us) == self._spans[day]

    def tallies(self, day: int, start_us: int, end_us: int) -> Tallies:
        """Return `DepthCounts.tallies` of a part of a day; if many parts begin with the day, they share its sums."""
        if self._is_past(day, start_us, end_us):
            return self.sums(day).tallies
        first = start_us == self._spans[day][0]
        self._begun[day] += first
        return self[day].tallies(start_us, end_us, shared=first and self._begun[day] > ALONE)

    def depths(self, day: int, start_us: int, end_us: int) -> "list[Tally]":
        """Return the input of `reach_of` for the sweeps of a part of a day."""
        return list(self.tallies(day, start_us, end_us).values())

    def points(self, day: int, start_us: int, end_us: int, reach: float) -> "Points":
        """Return `DepthCounts.points` of a part of a day."""
        grid = DistanceGrid.of(reach, PER_TICK[self._options.reference])
        return points_of(grid, self._cells(day, start_us, end_us, grid))

    def cells(self, day: int, start_us: int, end_us: int, grid: DistanceGrid) -> "tuple[Floats, Floats]":
        """Return exposure in s and sweeps of both sides in a part of a day, by block and column of *grid*."""
        return both_sides(self._cells(day, start_us, end_us, grid))

    def _cells(self, day: int, start_us: int, end_us: int, grid: DistanceGrid) -> Cells:
        past = self._is_past(day, start_us, end_us)
        blocks = self.sums(day).blocks if past else self[day].blocks(start_us, end_us)
        return {side: grid.cells(tally, blocks) for side, tally in self.tallies(day, start_us, end_us).items()}

    def moves(self, day: int, start_us: int, end_us: int) -> Moves:
        """Return the moves of the mid in a part of a day."""
        if self._is_past(day, start_us, end_us):
            return self.sums(day).moves
        return moves_of(self[day].path, start_us, end_us)

    def spread_time(self, day: int, start_us: int, end_us: int) -> tuple[float, float]:
        """Return `ReferencePath.spread_time` of a part of a day."""
        if self._is_past(day, start_us, end_us):
            return self.sums(day).spread_time
        return self[day].path.spread_time(start_us, end_us)
