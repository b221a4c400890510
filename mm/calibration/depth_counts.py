"""Depth of each aggressive order: measures all distances at once, in one pass over the tape (``marks``).

A probe is a virtual order at a price of the grid. It is exposed while the book is valid and it is not nearer than its
own side's best price (the touch); it is hit by a sweep that reaches it. So a sweep of depth d, with the touch at
distance t <= d, hits the probes from t to d, and the likelihood counts it once, in the cell of d: seconds in which a
probe there was exposed against sweeps that reached the cell and not the next one (the last cell is open). Cells are a
tick wide if the flow reaches up to `CELLS` ticks; beyond, they widen by a constant ratio, and the exposure of a cell is
the mean over its prices.
"""

from collections import Counter
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration._cells import (
    AddedCells,
    BlockCells,
    BlockSums,
    CellColumns,
    Tally,
    block_cells,
)
from mm.calibration._hits import TouchRows
from mm.calibration.block_sums import (
    FARTHEST,
    SideCells,
    SpreadTally,
    block_sums,
    both_sides,
    joined_tallies,
    points_of,
    reach_of,
)
from mm.calibration.points import NO_BLOCK, Points, joined
from mm.calibration.reference import BLOCK_S, CLOSED, ReferencePath, block_length_us, reference_path, span_of, within
from mm.calibration.sweeps import HitRule, Reached, Sweeps
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]
    Times = NDArray[np.float64]


CELLS = 100  # per fraction of a tick; beyond, cells widen
SHARED_BLOCKS = 6  # minimum number of blocks of a window that uses cached cells
KEPT_CELLS = 16  # cached cells, one per side and grid: the reach of windows varies by a few ticks
KEPT_GRIDS = 256  # cached grids, one per reach
Sides = dict[int, tuple[Tally, ...]]  # tallies of each side of a window, whose rows add up


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """Definition of hits and of the cells.

    Attributes:
        reference: Reference price of distances: ``mid``, ``micro``, ``best`` or ``sweep``.
        rule: Condition for a sweep to hit a probe.
        max_delta_ticks: Distance of the last, open cell; None for the reach of the flow of a window
            (`DepthCounts.reach`).
        block_s: Length of the blocks, counted from the start of the window.
        sides: Sides of the probes: +1 bids (hit by sellers), -1 asks.
    """

    reference: str = "mid"
    rule: HitRule = field(default_factory=HitRule)
    max_delta_ticks: float | None = None
    block_s: float = BLOCK_S
    sides: tuple[int, ...] = (1, -1)

    def __post_init__(self) -> None:
        if self.max_delta_ticks is not None and not 0 <= self.max_delta_ticks <= FARTHEST:
            raise UsageError(
                f"max_delta_ticks is {self.max_delta_ticks}; marks accept None, as far as trades reach, or a distance "
                f"from 0 to {FARTHEST:.0e}"
            )
        if self.sides not in ((1,), (-1,), (1, -1)):
            raise UsageError(f"sides {self.sides} cannot be used; give (1, -1), or one of them alone")


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """Counts of the sweeps of a window by outcome; all but *prints* and *sweeps* are parts of *sweeps*.

    Attributes:
        prints: Trade prints.
        sweeps: Aggressive orders: prints of one side and trade time.
        counted: Those counted in a cell.
        unreachable: Those that reached no exposed probe: prints inside the spread of an older book, and those too
            small for the rule.
        beyond: Those at a touch beyond the largest distance.
        no_book: Those without a valid book.
        unexposed: Those whose cell has no exposure in its block (two events at one instant).
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
        cumulative: By side, hits at or beyond each distance, for display; its rows share sweeps, so their errors are
            not independent.
        counts: Number of sweeps by outcome.
        valid_s: Seconds with a valid book.
        excluded_s: Seconds without one.
    """

    cells: Points
    cumulative: Points
    counts: SweepCounts
    valid_s: float
    excluded_s: float


class DepthCounts:
    """The marks of one tape, for any number of windows; the cost of a window is proportional to its events.

    Attributes:
        options: Definition of hits and cells.
        span: The instants ``[start, end)`` that the tape covers.
        path: The reference and the own best prices.
        sweeps: By side of the probes, the aggressive orders that may hit them.
    """

    def __init__(self, tape: "Tape", options: DepthOptions | None = None) -> None:
        """Prepare the prints and the reference path of *tape*; the options default to ``DepthOptions()``."""
        self.options = options or DepthOptions()
        self.span = span_of(tape)
        self._block_us = block_length_us(self.options.block_s)
        self.path = reference_path(tape, self.options.reference)
        self.sweeps = {side: Sweeps(tape, self.path, side, self.options.rule) for side in self.options.sides}
        self._clear()

    def along(self, path: ReferencePath, reference: str) -> "DepthCounts":
        """Return the same marks from another *reference*, whose *path* is that of the same tape."""
        found = copy(self)
        found.options, found.path = replace(self.options, reference=reference), path
        found.sweeps = {side: sweeps.along(path) for side, sweeps in self.sweeps.items()}
        found._clear()
        return found

    def _clear(self) -> None:
        """Reset the caches of windows."""
        self._by_block: dict[tuple[int, int], BlockSums] = {}
        self._requested_us: Counter[tuple[int, int]] = Counter()
        self._last: dict[int, tuple[tuple[int, int], tuple[Tally, ...]]] = {}
        self._cells: dict[tuple[int, int, int], BlockCells] = {}
        self._added = lru_cache(maxsize=KEPT_CELLS // 2)(lambda *sides: AddedCells(sides, float(US_PER_S)))
        self._hits: dict[int, tuple[tuple[int, int], tuple[Reached, Ints]]] = {}
        self._rows: dict[int, TouchRows] = {}
        vars(self).pop("grid", None)

    @cached_property
    def grid(self) -> "DistanceGrid":
        """The cells of the whole span."""
        return DistanceGrid.of(self._limit(*self.span, None), self.path.per_tick)

    def hits(self, side: int, start_us: int, end_us: int) -> "tuple[Reached, Ints]":
        """Return the sweeps of ``[start_us, end_us)`` that hit a probe, and their touch in steps; the last is kept."""
        kept = self._hits.get(side)
        if kept and kept[0] == (start_us, end_us):
            return kept[1]
        reached = self.sweeps[side].between(start_us, end_us)
        touch = self.path.touch[side][reached.row]
        hit = (touch != CLOSED) & (reached.depth >= touch)
        found = Reached(reached.us[hit], reached.row[hit], reached.depth[hit]), touch[hit]
        self._hits[side] = (start_us, end_us), found
        return found

    def drop_hits(self) -> None:
        """Drop the cached result of `hits`: of a busy day 30 MB."""
        self._hits.clear()

    def rows(self, side: int) -> TouchRows:
        """Return the touch and the sweeps of a side, of which windows use ranges."""
        if side not in self._rows:
            self._rows[side] = self.sweeps[side].rows(self.path)
        return self._rows[side]

    def depths(self, start_us: int, end_us: int) -> list[Tally]:
        """Return the input of `reach_of` for the sweeps of ``[start_us, end_us)``."""
        return depths_of(self._sides(*within(self.span, start_us, end_us)))

    def between(self, start_us: int, end_us: int, reach: float | None = None) -> DepthPoints:
        """Return cells and counts of ``[start_us, end_us)``, cut to the span of the tape.

        Nothing at or after *end_us* is read, and only the book before *start_us*. A sweep cut by a border counts on
        each side with its prints there.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            reach: Distance of the last cell, in ticks; None for that of the options, or of the window's own flow.
        """
        start_us, end_us = within(self.span, start_us, end_us)
        grid = DistanceGrid.of(self._limit(start_us, end_us, reach), self.path.per_tick)
        blocks = self._blocks(start_us, end_us)
        parts = self._sides(start_us, end_us)
        tallies = {side: reduce(joined_tallies, found) for side, found in parts.items()}
        found = [
            _one_side(grid, side, tally, (blocks, self.sweeps[side].prints(start_us, end_us)))
            for side, tally in tallies.items()
        ]
        shown = [_cumulative(grid, side, tally) for side, tally in tallies.items()]
        tally = tallies[self.options.sides[0]]
        valid_us = int(tally.us[tally.stood != CLOSED].sum())
        counts = [counted for _, counted in found]
        return DepthPoints(
            cells=joined([cells for cells, _ in found], [0] * len(found)),
            cumulative=joined(shown, [0] * len(shown)),
            counts=SweepCounts(*(sum(getattr(counted, name) for counted in counts) for name in SweepCounts.__slots__)),
            valid_s=valid_us / US_PER_S,
            excluded_s=(end_us - start_us - valid_us) / US_PER_S,
        )

    def points(self, start_us: int, end_us: int, reach: float | None = None) -> Points:
        """Return the cells of ``[start_us, end_us)``, as in `between`, for the fit."""
        start_us, end_us = within(self.span, start_us, end_us)
        grid = DistanceGrid.of(self._limit(start_us, end_us, reach), self.path.per_tick)
        return points_of(grid, self._cells_by_side(start_us, end_us, grid))

    def cells(self, start_us: int, end_us: int, grid: "DistanceGrid") -> "tuple[Times, Times]":
        """Return exposure in s and sweeps of both sides in ``[start_us, end_us)``, by block and column of *grid*.

        The arrays are valid until the next call.
        """
        start_us, end_us = within(self.span, start_us, end_us)
        sides = self._sides(start_us, end_us)
        kept = [cells for side in sides if (cells := self._kept(side, start_us, end_us, grid)) is not None]
        if len(kept) < len(sides):
            return both_sides(list(self._cells_by_side(start_us, end_us, grid).values()))
        own = [parts[1:] for parts in sides.values()]
        return self._added(*kept).window(start_us, self._whole(start_us, end_us), own, self._blocks(start_us, end_us))

    def _cells_by_side(self, start_us: int, end_us: int, grid: "DistanceGrid") -> SideCells:
        """Return exposure in µs and sweeps of each side of a window, by block and column of *grid*."""
        blocks, whole, found = self._blocks(start_us, end_us), self._whole(start_us, end_us), {}
        for side, parts in self._sides(start_us, end_us).items():
            kept = self._kept(side, start_us, end_us, grid)
            if kept is None:
                found[side] = block_cells(grid.lookup, parts, blocks)
            else:
                found[side] = kept.window(start_us, whole, parts[1:], blocks)  # the first part is from the sums
        return found

    def _kept(self, side: int, start_us: int, end_us: int, grid: "DistanceGrid") -> BlockCells | None:
        """Return the cells of the blocks that a window shares with earlier ones; None if the window has few blocks."""
        step = (start_us - self.span[0]) % self._block_us
        sums = self._by_block.get((side, step))
        if sums is None or self._whole(start_us, end_us) < SHARED_BLOCKS:
            return None
        key = side, step, grid.last
        kept = self._cells.pop(key, None)
        if kept is None or not kept.fits(sums, grid.lookup):
            kept = BlockCells(sums, grid.lookup)
        self._cells[key] = kept  # moved to the end: last used
        if len(self._cells) > KEPT_CELLS:
            del self._cells[next(iter(self._cells))]
        return kept

    def by_spread(self, start_us: int, end_us: int) -> dict[int, SpreadTally]:
        """Return the tallies of each side in ``[start_us, end_us)``, by spread."""
        window, block_us = within(self.span, start_us, end_us), self._block_us
        return {side: SpreadTally.of(self.path, side, sweeps, window, block_us) for side, sweeps in self.sweeps.items()}

    def state_points(self, states: Iterable[dict[int, Tally]], start_us: int, end_us: int) -> list[Points]:
        """Return the cells of each state of ``[start_us, end_us)``, from its tallies by side, up to its reach."""
        start_us, end_us = within(self.span, start_us, end_us)
        grid = DistanceGrid.of(self._limit(start_us, end_us, None), self.path.per_tick)
        blocks = self._blocks(start_us, end_us)
        return [
            points_of(grid, {side: block_cells(grid.lookup, (tally,), blocks) for side, tally in state.items()})
            for state in states
        ]

    def _sides(self, start_us: int, end_us: int) -> Sides:
        """Return the tallies of each side of a window; the last result is cached, as the reach is computed first."""
        key, kept = (start_us, end_us), {side: self._last.get(side) for side in self.options.sides}
        for side, last in kept.items():
            if last is None or last[0] != key:
                kept[side] = self._last[side] = key, self._tallied(side, start_us, end_us)
        return {side: last[1] for side, last in kept.items() if last}

    def _blocks(self, start_us: int, end_us: int) -> int:
        """Return the number of blocks of a window; the last may be incomplete."""
        return max(-((start_us - end_us) // self._block_us), 1)

    def _whole(self, start_us: int, end_us: int) -> int:
        """Return the number of complete blocks of a window."""
        return (end_us - start_us) // self._block_us

    def _limit(self, start_us: int, end_us: int, reach: float | None) -> float:
        if reach is not None:
            return reach
        given = self.options.max_delta_ticks
        return reach_of(self.depths(start_us, end_us), self.path.per_tick) if given is None else given

    def _tallied(self, side: int, start_us: int, end_us: int) -> tuple[Tally, ...]:
        """Return the tallies of a side of a window: whole blocks from the day's sums, if any, the rest from its events.

        Nothing of the sums at or after the end is used: a sweep cut by a border is subtracted.
        """
        block_us, sums = self._block_us, self._sums(side, start_us, end_us)
        blocks = (end_us - start_us) // block_us if sums else 0
        rest_us = start_us + blocks * block_us
        whole = (sums.between(start_us, blocks),) if sums else ()
        own = self.rows(side).beside(start_us, rest_us, end_us, block_us)
        if own is None:
            found, count = self.sweeps[side].beside(start_us, rest_us, end_us)
            swept = self.path.touch[side][found.row], found.depth, (found.us - start_us) // block_us, count
            own = self.rows(side).with_sweeps(start_us, rest_us, end_us, block_us, swept)
        return (*whole, own) if own or not whole else whole

    def _sums(self, side: int, start_us: int, end_us: int) -> BlockSums | None:
        """Return the sums of the day's blocks aligned with *start_us*; None while few such windows are requested.

        They are computed once the requested aligned windows are together longer than the day.
        """
        step = (start_us - self.span[0]) % self._block_us
        key = side, step
        if key not in self._by_block and end_us - start_us >= self._block_us:
            self._requested_us[key] += end_us - start_us
            if self._requested_us[key] > self.span[1] - self.span[0]:
                span = self.span[0] + step, self.span[1]
                self._by_block[key] = block_sums(self.path, side, self.sweeps[side], span, self._block_us)
        return self._by_block.get(key)


def depths_of(sides: Sides) -> list[Tally]:
    """Return the tallies of both sides, for the touch, depth and number of their sweeps."""
    return [tally for parts in sides.values() for tally in parts]


@dataclass(frozen=True)
class DistanceGrid:
    """The cells of one window, equal for each fraction of a tick at which distances can be.

    A distance in steps is whole ticks plus a fraction of a tick; a column is one cell of one fraction.

    Attributes:
        per_tick: Steps of distance in one tick.
        last: Largest distance at which a cell may begin, in steps.
        begin: Starts of the cells, in whole ticks; the last one is open.
    """

    per_tick: int
    last: int
    begin: "Ints"

    @staticmethod
    def of(max_delta_ticks: float, per_tick: int) -> "DistanceGrid":
        """Return the grid up to a distance: cells of a tick, or widening ones if there were more than `CELLS`."""
        return _grid(max_delta_ticks, per_tick, CELLS)

    @property
    def columns(self) -> int:
        """Number of columns: cells over all fractions of a tick."""
        return len(self.begin) * self.per_tick

    @cached_property
    def near(self) -> "Ints":
        """Start of each column, in steps."""
        near: Ints = (self.begin[:, None] * self.per_tick + np.arange(self.per_tick)).ravel()
        return near

    @cached_property
    def open(self) -> "NDArray[np.bool_]":
        """The open columns: for each fraction, the last one that begins within the limit."""
        after = np.append(self.near[self.per_tick :], np.full(self.per_tick, self.last + 1))
        found: NDArray[np.bool_] = (self.near <= self.last) & (after > self.last)
        return found

    @cached_property
    def width(self) -> "Times":
        """Width of each column in ticks; inf of an open one."""
        ticks = np.repeat(np.append(np.diff(self.begin), 1), self.per_tick).astype(np.float64)
        return np.where(self.open, np.inf, ticks)

    @cached_property
    def ends(self) -> "tuple[Times, Times]":
        """Start and end of each column, in ticks; inf for the end of an open one."""
        near = self.near / self.per_tick
        return near, near + self.width

    def column(self, steps: "Ints") -> "Ints":
        """Return the column of each distance; beyond the limit, the open one of its fraction of a tick."""
        ticks, part = np.divmod(steps, self.per_tick)
        cell = np.searchsorted(self.begin, ticks, side="right") - 1
        column = cell * self.per_tick + part
        found: Ints = np.where(self.near[column] > self.last, column - self.per_tick, column)
        return found

    @cached_property
    def lookup(self) -> CellColumns:
        """The mapping of distances to columns, for `block_cells`."""
        return CellColumns(self.begin, self.per_tick, self.last)

    def reaching(self, touch: "Ints", depth: "Ints", count: "Ints") -> "Ints":
        """Return by column the number of sweeps that hit a probe at its start: touch no farther, depth no nearer."""
        met, ended = self.column(touch), self.column(depth)
        met = met + self.per_tick * (touch > self.near[met])  # the start of its column is nearer than the touch
        size = self.columns + self.per_tick
        change = np.bincount(met, count, size) - np.bincount(ended + self.per_tick, count, size)
        found: Ints = change.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return found

    def at_begin(self, touch: "Ints", spent: "Ints") -> "Times":
        """Return the exposure in µs of a probe at the start of each column."""
        close = (touch != CLOSED) & (touch <= self.last)
        column = self.column(touch[close])
        column = column + self.per_tick * (touch[close] > self.near[column])
        time = np.bincount(column, spent[close], self.columns + self.per_tick)
        summed = time.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return np.where(self.near <= self.last, summed, 0.0)


@lru_cache(maxsize=KEPT_GRIDS)
def _grid(max_delta_ticks: float, per_tick: int, cells: int) -> DistanceGrid:
    """Return the result of `DistanceGrid.of`; the last grids are cached, as consecutive windows share them."""
    last = int(max_delta_ticks * per_tick)
    ticks = last // per_tick
    if ticks < cells:
        return DistanceGrid(per_tick, last, np.arange(ticks + 1))
    begin = np.unique(np.rint(np.geomspace(1, ticks, cells)).astype(np.int64))
    return DistanceGrid(per_tick, (ticks + 1) * per_tick - 1, np.concatenate(([0], begin)))


def _one_side(grid: DistanceGrid, side: int, tally: Tally, window: tuple[int, int]) -> tuple[Points, SweepCounts]:
    """Return the cells of one side of a window, and its counts of sweeps by outcome.

    Args:
        grid: Grid of the window.
        side: Side of the probes.
        tally: Its tally. Times and counts of cells of a tick are integers below 2**53, so sums are exact in any
            order.
        window: Its numbers of blocks and of prints.
    """
    blocks, prints = window
    touch, depth, count = tally.touch, tally.depth, tally.count
    exposure_us, fills = block_cells(grid.lookup, (tally,), blocks)
    book, hits = touch != CLOSED, depth >= touch
    exposed = exposure_us > 0
    counts = SweepCounts(
        prints=prints,
        sweeps=int(count.sum()),
        counted=int(fills[exposed].sum()),
        unreachable=int(count[book & ~hits].sum()),
        beyond=int(count[book & hits & (touch > grid.last)].sum()),
        no_book=int(count[~book].sum()),
        unexposed=int(fills[~exposed].sum()),
    )
    used = np.nonzero(exposure_us)
    sides = np.full(used[0].size, side)
    return _table(grid, sides, used[1], used[0], exposure_us[used], fills[used]), counts


def _cumulative(grid: DistanceGrid, side: int, tally: Tally) -> Points:
    """Return the exposure of a probe at the start of each column, and the sweeps that hit it."""
    counted = (tally.touch != CLOSED) & (tally.depth >= tally.touch) & (tally.touch <= grid.last)
    begin_us = grid.at_begin(tally.stood, tally.us)
    begun = np.flatnonzero(begin_us)
    reaching = grid.reaching(tally.touch[counted], tally.depth[counted], tally.count[counted])
    sides, blocks = np.full(begun.size, side), np.full(begun.size, NO_BLOCK)
    shown = _table(grid, sides, begun, blocks, begin_us[begun], reaching[begun])
    return replace(shown, width_ticks=np.full(begun.size, np.inf))


def _table(
    grid: DistanceGrid, side: "Ints", column: "Ints", block: "Ints", exposure_us: "Times", fills: "Times | Ints"
) -> Points:
    """Return points of grid columns."""
    return Points(
        delta_ticks=grid.near[column] / grid.per_tick,
        width_ticks=grid.width[column],
        exposure_s=exposure_us / US_PER_S,
        fills=fills.astype(np.float64),
        side=side.astype(np.int8),
        block=block,
    )
