"""Depth of each aggressive order: measures all distances at once, in one pass over the tape (``marks``).

docs/calibration.md has the rules of virtual orders (*probes*). A sweep of depth d, with the touch at distance t <= d,
hits the probes from t to d; the likelihood counts it once, in the cell of d: seconds of exposure there against sweeps
that reached the cell and not the next one (the last cell is open). A wide cell's exposure is the mean over its prices.

A window of several days reads the events of the day in which it ends, and possibly of the previous one. Earlier days
only need the touch and the sweep depths by block, a thousandth of the number of events, which bounds the memory.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self, overload

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.calibration.points import NO_BLOCK, Points, joined
from mm.calibration.reference import (
    BLOCK_S,
    CLOSED,
    PER_TICK,
    ReferencePath,
    block_length_us,
    reference_path,
    span_of,
    within,
)
from mm.calibration.sweeps import HitRule, Reached, Sweeps
from mm.calibration.tally import FARTHEST, DistanceGrid, Tally, reach_of
from mm.calibration.volatility import Moves, moves_of
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.tape.tape import Tape

SIDES = (1, -1)  # of the probes: bids, hit by sellers, and asks

Tallies = dict[int, Tally]  # of each side of a window
Cells = dict[int, "tuple[Floats, Floats]"]  # per side of a window: exposure in µs and sweeps, by block and column


@dataclass(frozen=True, slots=True)
class DepthOptions:
    reference: str = "mid"
    rule: HitRule = field(default_factory=HitRule)
    max_delta_ticks: float | None = None
    block_s: float = BLOCK_S

    def __post_init__(self) -> None:
        if self.max_delta_ticks is not None and not 0 <= self.max_delta_ticks <= FARTHEST:
            raise UsageError(
                "{max_delta_ticks} is {}; marks accept None, as far as trades reach, or a distance from 0 to {:.0e}",
                self.max_delta_ticks,
                FARTHEST,
            )


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """Sweeps of a window by outcome; all but *prints* are parts of *sweeps*.

    Attributes:
        sweeps: Aggressive orders: prints of one side and trade time.
        unreachable: Reached no exposed probe: prints inside the spread of an older book, or too small for the rule.
        unexposed: Their cell has no exposure in its block (two events at one instant).
    """

    prints: int
    sweeps: int
    counted: int
    unreachable: int
    beyond: int
    no_book: int
    unexposed: int


@dataclass(frozen=True)
class DepthPoints:
    """Exposure and hits of one window.

    Attributes:
        cells: Disjoint cells by side and block, including empty ones, for the fit.
        cumulative: By side, hits at or beyond each distance, for display; rows share sweeps, so their errors depend on
            each other.
    """

    cells: Points
    cumulative: Points
    counts: SweepCounts
    valid_s: float
    excluded_s: float


class DepthCounts:
    """The marks of one tape, for any number of windows; the cost of a window is proportional to its events."""

    def __init__(self, tape: "Tape", options: DepthOptions | None = None) -> None:
        self.options = options or DepthOptions()
        self.span = span_of(tape)
        self.block_us = block_length_us(self.options.block_s)
        self.path = reference_path(tape, self.options.reference)
        self.sweeps = {side: Sweeps(tape, self.path, side, self.options.rule) for side in SIDES}
        self._clear()

    def along(self, path: ReferencePath, reference: str) -> "DepthCounts":
        counts = copy(self)
        counts.options, counts.path = replace(self.options, reference=reference), path
        counts.sweeps = {side: sweeps.along(path) for side, sweeps in self.sweeps.items()}
        counts._clear()
        return counts

    def _clear(self) -> None:
        self._last: tuple[tuple[int, int], Tallies] | None = None
        for name in ("grid", "summed"):
            vars(self).pop(name, None)

    @cached_property
    def grid(self) -> DistanceGrid:
        return self.grid_of(self.tallies(*self.span))

    @cached_property
    def summed(self) -> Tallies:
        return {side: tally.summed() for side, tally in self._direct(*self.span).items()}

    def hits(self, side: int, start_us: int, end_us: int) -> tuple[Reached, Ints]:
        reached = self.sweeps[side].between(start_us, end_us)
        touch = self.path.touch[side][reached.row]
        hit = (touch != CLOSED) & (reached.depth >= touch)
        return Reached(reached.us[hit], reached.row[hit], reached.depth[hit]), touch[hit]

    def tallies(self, start_us: int, end_us: int, *, shared: bool = False) -> Tallies:
        """The last result is cached. A *shared* window begins with the span: its whole blocks come from `summed`."""
        window = within(self.span, start_us, end_us)
        if self._last is None or self._last[0] != window:
            self._last = window, self._from_sums(*window) if shared else self._direct(*window)
        return self._last[1]

    def _direct(self, start_us: int, end_us: int) -> Tallies:
        edges, rows, block = self.path.segments(start_us, end_us, self.block_us)
        us, tallies = np.diff(edges), {}
        for side, sweeps in self.sweeps.items():
            touch, swept = self.path.touch[side], sweeps.between(start_us, end_us)
            begun = (swept.us - start_us) // self.block_us
            tallies[side] = Tally(
                touch[rows], block, us, touch[swept.row], swept.depth, begun, np.ones(len(begun), np.int64)
            )
        return tallies

    def _from_sums(self, start_us: int, end_us: int) -> Tallies:
        cuts = [cut_us for sweeps in self.sweeps.values() if (cut_us := sweeps.cut_at(end_us)) is not None]
        whole = (min([end_us, *cuts]) - start_us) // self.block_us
        rest_us = start_us + whole * self.block_us
        tallies = {}
        for side, rest in self._direct(rest_us, end_us).items():
            begun = self.sweeps[side].begun(rest_us, end_us)
            tail = rest.count.size - (begun.stop - begun.start)  # of a sweep that is in the sums
            moved = replace(rest, stood_block=rest.stood_block + whole, block=rest.block + whole)
            tallies[side] = Tally.joined([self.summed[side].before(whole), moved.where(rest.us > 0, slice(tail, None))])
        return tallies

    def blocks(self, start_us: int, end_us: int) -> int:
        start_us, end_us = within(self.span, start_us, end_us)
        return max(-((start_us - end_us) // self.block_us), 1)

    def between(self, start_us: int, end_us: int, reach: float | None = None) -> DepthPoints:
        """Return cells and counts of the window, cut to the tape's span.

        Nothing at or after *end_us* is read, and before *start_us* only the book. A sweep cut by a border counts on
        each side with its prints there.

        Args:
            reach: Distance of the last cell, ticks; None: as in the options, or the window's own flow.
        """
        start_us, end_us = within(self.span, start_us, end_us)
        tallies = self._direct(start_us, end_us)
        grid, blocks = self.grid_of(tallies, reach), self.blocks(start_us, end_us)
        cells = {side: grid.cells(tally, blocks) for side, tally in tallies.items()}
        prints = {side: sweeps.prints(start_us, end_us) for side, sweeps in self.sweeps.items()}
        counts = [_counts(grid, tally, cells[side], prints[side]) for side, tally in tallies.items()]
        shown = [_cumulative(grid, side, tally) for side, tally in tallies.items()]
        tally = tallies[1]
        valid_us = int(tally.us[tally.stood != CLOSED].sum())
        return DepthPoints(
            cells=points_of(grid, cells),
            cumulative=joined(shown, [0] * len(shown)),
            counts=SweepCounts(*(sum(getattr(counted, name) for counted in counts) for name in SweepCounts.__slots__)),
            valid_s=valid_us / US_PER_S,
            excluded_s=(end_us - start_us - valid_us) / US_PER_S,
        )

    def points(self, start_us: int, end_us: int, reach: float | None = None) -> Points:
        tallies = self.tallies(start_us, end_us)
        return tallied_points(self.grid_of(tallies, reach), tallies, self.blocks(start_us, end_us))

    def grid_of(self, tallies: Tallies, reach: float | None = None) -> DistanceGrid:
        given, per_tick = self.options.max_delta_ticks if reach is None else reach, self.path.per_tick
        return DistanceGrid.of(reach_of(list(tallies.values()), per_tick) if given is None else given, per_tick)


def tallied_points(grid: DistanceGrid, tallies: Tallies, blocks: int) -> Points:
    return points_of(grid, {side: grid.cells(tally, blocks) for side, tally in tallies.items()})


def points_of(grid: DistanceGrid, cells: Cells) -> Points:
    tables = []
    for side, (exposure_us, fills) in cells.items():
        block, column = np.nonzero(exposure_us)
        tables.append(_table(grid, side, column, block, exposure_us[block, column], fills[block, column]))
    return joined(tables, [0] * len(tables))


def both_sides(cells: Cells) -> tuple[Floats, Floats]:
    exposures, fills = zip(*cells.values(), strict=True)
    counted = [np.where(exposure > 0, count, 0.0) for exposure, count in zip(exposures, fills, strict=True)]
    return np.sum(exposures, axis=0) / US_PER_S, np.sum(counted, axis=0)


def _counts(grid: DistanceGrid, tally: Tally, cells: tuple[Floats, Floats], prints: int) -> SweepCounts:
    (exposure_us, fills), count = cells, tally.count
    book, hits, exposed = tally.touch != CLOSED, tally.depth >= tally.touch, exposure_us > 0
    return SweepCounts(
        prints=prints,
        sweeps=int(count.sum()),
        counted=int(fills[exposed].sum()),
        unreachable=int(count[book & ~hits].sum()),
        beyond=int(count[book & hits & (tally.touch > grid.last)].sum()),
        no_book=int(count[~book].sum()),
        unexposed=int(fills[~exposed].sum()),
    )


def _cumulative(grid: DistanceGrid, side: int, tally: Tally) -> Points:
    counted = (tally.touch != CLOSED) & (tally.depth >= tally.touch) & (tally.touch <= grid.last)
    begin_us = grid.at_begin(tally.stood, tally.us)
    begun = np.flatnonzero(begin_us)
    reaching = grid.reaching(tally.touch[counted], tally.depth[counted], tally.count[counted])
    shown = _table(grid, side, begun, np.full(begun.size, NO_BLOCK), begin_us[begun], reaching[begun])
    return replace(shown, width_ticks=np.full(begun.size, np.inf))


def _table(
    grid: DistanceGrid, side: int, column: Ints, block: Ints, exposure_us: Floats, fills: Floats | Ints
) -> Points:
    return Points(
        delta_ticks=grid.near[column] / grid.per_tick,
        width_ticks=grid.width[column],
        exposure_s=exposure_us / US_PER_S,
        fills=fills.astype(np.float64),
        side=np.full(column.size, side, np.int8),
        block=block,
    )


ALONE = 3  # windows that begin with a day are counted from its events up to this number


@dataclass(frozen=True, slots=True)
class DaySums:
    blocks: int
    tallies: Tallies
    moves: Moves
    spread_time: tuple[float, float]

    @classmethod
    def of(cls, marks: DepthCounts) -> Self:
        path, span = marks.path, marks.span
        return cls(marks.blocks(*span), marks.summed, moves_of(path, *span), path.spread_time(*span))


class DayMarks(Sequence[DepthCounts]):
    """The marks of each day, counted when first needed.

    Args:
        held: Most complete days in memory (last used); None: no limit.
    """

    def __init__(
        self,
        tapes: "Sequence[Tape]",
        options: DepthOptions,
        held: int | None = None,
        first: Sequence[DepthCounts] = (),
    ) -> None:
        self._tapes, self._options, self._held = tapes, options, held
        self._spans = [span_of(tape) for tape in tapes]
        self._whole: OrderedDict[int, DepthCounts] = OrderedDict(enumerate(first))
        self._sums: dict[int, DaySums] = {}
        self._begun = Counter[int]()  # windows that begin with a day, and end in it

    def ending(self, tapes: "Sequence[Tape]") -> "DayMarks":
        ending, last = DayMarks(tapes, self._options, self._held), len(tapes) - 1
        ending._whole.update((day, marks) for day, marks in self._whole.items() if day < last)
        ending._sums.update((day, sums) for day, sums in self._sums.items() if day < last)
        return ending

    def __len__(self) -> int:
        return len(self._tapes)

    @overload
    def __getitem__(self, day: int) -> DepthCounts: ...

    @overload
    def __getitem__(self, day: slice) -> list[DepthCounts]: ...

    def __getitem__(self, day: int | slice) -> DepthCounts | list[DepthCounts]:
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
        if day not in self._sums:
            self._sums[day] = DaySums.of(self[day])
        return self._sums[day]

    def _is_past(self, day: int, start_us: int, end_us: int) -> bool:
        return len(self._tapes) > 1 and (start_us, end_us) == self._spans[day]

    def tallies(self, day: int, start_us: int, end_us: int) -> Tallies:
        if self._is_past(day, start_us, end_us):
            return self.sums(day).tallies
        first = start_us == self._spans[day][0]
        self._begun[day] += first
        return self[day].tallies(start_us, end_us, shared=first and self._begun[day] > ALONE)

    def depths(self, day: int, start_us: int, end_us: int) -> "list[Tally]":
        return list(self.tallies(day, start_us, end_us).values())

    def points(self, day: int, start_us: int, end_us: int, reach: float) -> "Points":
        grid = DistanceGrid.of(reach, PER_TICK[self._options.reference])
        return points_of(grid, self._cells(day, start_us, end_us, grid))

    def cells(self, day: int, start_us: int, end_us: int, grid: DistanceGrid) -> tuple[Floats, Floats]:
        return both_sides(self._cells(day, start_us, end_us, grid))

    def _cells(self, day: int, start_us: int, end_us: int, grid: DistanceGrid) -> Cells:
        past = self._is_past(day, start_us, end_us)
        blocks = self.sums(day).blocks if past else self[day].blocks(start_us, end_us)
        return {side: grid.cells(tally, blocks) for side, tally in self.tallies(day, start_us, end_us).items()}

    def moves(self, day: int, start_us: int, end_us: int) -> Moves:
        if self._is_past(day, start_us, end_us):
            return self.sums(day).moves
        return moves_of(self[day].path, start_us, end_us)

    def spread_time(self, day: int, start_us: int, end_us: int) -> tuple[float, float]:
        if self._is_past(day, start_us, end_us):
            return self.sums(day).spread_time
        return self[day].path.spread_time(start_us, end_us)
