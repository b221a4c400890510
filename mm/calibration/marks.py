"""How deep each aggressive order reached: every distance at once, from one pass over the tape.

A probe is an order that could have rested at a price of the grid. It is exposed while the book is
valid and it is not nearer than its own side's best price; it is hit by a sweep that reaches it. So a
sweep of depth d, met by a touch at distance t <= d, hits the probes from t to d, and the likelihood
counts it once, in the cell that begins at d: seconds in which a probe at d was exposed against sweeps
that reached d and not d + 1 tick (the last cell is open: d and beyond).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.calibration.points import NO_BLOCK, Points
from mm.calibration.reference import BLOCK_S, CLOSED, block_length_us, reference_path, span_of, within
from mm.calibration.sweeps import HitRule, Reached, Sweeps
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Tape

    Ints = NDArray[np.int64]

ANY_SPREAD = (0, 1 << 40)


@dataclass(frozen=True, slots=True)
class MarkOptions:
    """What counts as a hit, and in what cells it is counted.

    Attributes:
        reference: ``mid``, ``micro`` or ``best``: what distances are measured from.
        rule: What a sweep must bring to a probe.
        max_delta_ticks: Distance of the last, open cell.
        block_s: Length of the blocks, counted from the start of the window.
        sides: Sides of the probes: +1 bids (hit by sellers), -1 asks.
    """

    reference: str = "mid"
    rule: HitRule = field(default_factory=HitRule)
    max_delta_ticks: float = 50
    block_s: float = BLOCK_S
    sides: tuple[int, ...] = (1, -1)

    def __post_init__(self) -> None:
        if not 0 <= self.max_delta_ticks <= 10_000:
            raise UsageError(
                f"MAX_DELTA_TICKS (--max-delta-ticks) is {self.max_delta_ticks}; marks take a distance from 0 to 10000"
            )
        if self.sides not in ((1,), (-1,), (1, -1)):
            raise UsageError(f"sides {self.sides} cannot be used; give (1, -1), or one of them alone")


@dataclass(frozen=True, slots=True)
class MarkCounts:
    """Where the sweeps of a window went; all but *prints* and *sweeps* are parts of *sweeps*.

    Attributes:
        prints: Trade prints.
        sweeps: Aggressive orders: prints of one side and trade time.
        counted: Those that stand in a cell.
        unreachable: Those that reached no exposed probe: prints inside the spread of a book that
            is older than they are, and those that brought too little for the rule.
        beyond: Those that met a touch farther than the largest distance.
        no_book: Those in seconds without a valid book.
        unexposed: Those whose cell had no time at all in its block (two events of one instant).
    """

    prints: int
    sweeps: int
    counted: int
    unreachable: int
    beyond: int
    no_book: int
    unexposed: int


@dataclass(frozen=True)
class MarkPoints:
    """Exposure and hits of one window.

    Attributes:
        cells: Disjoint cells by side and block, empty ones included: what is fitted.
        cumulative: By side, hits at or beyond each distance: what is shown; its rows share sweeps,
            so their errors are not independent.
        counts: Where the sweeps went.
        valid_s: Seconds with a valid book.
        excluded_s: The window's other seconds.
    """

    cells: Points
    cumulative: Points
    counts: MarkCounts
    valid_s: float
    excluded_s: float


@dataclass(frozen=True)
class _Cells:
    """One side of a window: time and hits by block and distance, and where the sweeps went.

    Only the places with time are of use; the others keep the hits that are counted as unexposed.
    """

    exposure_us: "NDArray[np.float64]"  # whole numbers below 2**53: exact in any order of summing
    fills: "Ints"
    reaching: "Ints"  # by distance, hits at or beyond it
    counts: MarkCounts


class Marks:
    """The marks of one tape, ready for any number of windows; a window costs what lies in it.

    Attributes:
        options: What counts as a hit, and in what cells.
        span: The instants ``[start, end)`` that the tape speaks for.
        path: The reference and the own best prices.
        sweeps: By side of the probes, the aggressive orders that may hit them.
        last: Distance of the open cell, in steps of the path.
    """

    def __init__(self, tape: "Tape", options: MarkOptions | None = None) -> None:
        """Prepare the prints and the reference path of *tape*; the options default to ``MarkOptions()``."""
        self.options = options or MarkOptions()
        self.span = span_of(tape)
        self._block_us = block_length_us(self.options.block_s)
        self.path = reference_path(tape, self.options.reference)
        self.sweeps = {side: Sweeps(tape, self.path, side, self.options.rule) for side in self.options.sides}
        self.last = int(self.options.max_delta_ticks * self.path.per_tick)

    def between(self, start_us: int, end_us: int, spread: tuple[int, int] = ANY_SPREAD) -> MarkPoints:
        """Return cells and counts of ``[start_us, end_us)``, cut to the span of the tape.

        Nothing at or after *end_us* is read, and of what is before *start_us* only the book. A sweep
        that a border cuts counts on each side with the prints it has there. Seconds in which the
        spread is not from the first to the second of *spread*, in ticks, count as without a book.
        """
        start_us, end_us = within(self.span, start_us, end_us)
        edges, rows, blocks = self.path.segments(start_us, end_us, self._block_us)
        spent = np.diff(edges)
        sides = {}
        for side in self.options.sides:
            exposure_us = self._exposure(self._touch(side, rows, spread), blocks, spent)
            reached = self.sweeps[side].between(start_us, end_us)
            prints = self.sweeps[side].prints(start_us, end_us)
            touch = self._touch(side, reached.row, spread)
            sides[side] = self._cells(reached, touch, (reached.us - start_us) // self._block_us, exposure_us, prints)
        valid_us = int(spent[self._touch(1, rows, spread) != CLOSED].sum())
        return MarkPoints(
            cells=self._points(sides),
            cumulative=self._cumulative(sides),
            counts=_summed([cells.counts for cells in sides.values()]),
            valid_s=valid_us / US_PER_S,
            excluded_s=(end_us - start_us - valid_us) / US_PER_S,
        )

    def points(self, start_us: int, end_us: int) -> Points:
        """Return the cells of ``[start_us, end_us)``: what is fitted."""
        return self.between(start_us, end_us).cells

    def _touch(self, side: int, rows: "Ints", spread: tuple[int, int]) -> "Ints":
        """Return the distance of the own best price in each of *rows*; ``CLOSED`` where it does not count."""
        touch = self.path.touch[side][rows]
        if spread is ANY_SPREAD:
            return touch
        wide = self.path.spread[rows]
        return np.where((wide >= spread[0]) & (wide <= spread[1]), touch, CLOSED)

    def _exposure(self, touch: "Ints", blocks: "Ints", spent: "Ints") -> "NDArray[np.float64]":
        """Return µs by block and distance: of all touches as near or nearer, whole ticks apart."""
        per_tick, width = self.path.per_tick, self._width()
        near = (touch != CLOSED) & (touch <= self.last)
        shape = (int(blocks[-1]) + 1, width)
        by_touch = np.bincount(blocks[near] * width + touch[near], spent[near], shape[0] * width)
        return by_touch.reshape(shape[0], -1, per_tick).cumsum(axis=1).reshape(shape)[:, : self.last + 1]

    def _cells(
        self, reached: Reached, touch: "Ints", block: "Ints", exposure_us: "NDArray[np.float64]", prints: int
    ) -> _Cells:
        """Sort the sweeps of a window into the cells of one side."""
        book, hits = touch != CLOSED, reached.depth >= touch
        counted = book & hits & (touch <= self.last)
        cell = self._cell(reached.depth[counted])
        flat = block[counted] * exposure_us.shape[1] + cell
        fills = np.bincount(flat, minlength=exposure_us.size).reshape(exposure_us.shape)
        exposed = exposure_us > 0
        counts = MarkCounts(
            prints=prints,
            sweeps=reached.us.size,
            counted=int(fills[exposed].sum()),
            unreachable=int((book & ~hits).sum()),
            beyond=int((book & hits & (touch > self.last)).sum()),
            no_book=int((~book).sum()),
            unexposed=int(fills[~exposed].sum()),
        )
        return _Cells(exposure_us, fills, self._reaching(touch[counted], cell), counts)

    def _cell(self, reach: "Ints") -> "Ints":
        """Return the cell of each distance: itself, or the open cell a whole number of ticks nearer."""
        past = self.last - reach
        return np.where(past < 0, self.last - past % self.path.per_tick, reach)

    def _reaching(self, touch: "Ints", cell: "Ints") -> "Ints":
        """Return by distance how many sweeps hit it: those it was exposed to less those that ended nearer."""
        per_tick, width = self.path.per_tick, self._width()
        begun = np.bincount(touch, minlength=width).reshape(-1, per_tick).cumsum(axis=0).ravel()
        ended = np.bincount(cell, minlength=width).reshape(-1, per_tick).cumsum(axis=0).ravel()
        nearer = np.concatenate((np.zeros(per_tick, np.int64), ended))
        reaching: Ints = begun[: self.last + 1] - nearer[: self.last + 1]
        return reaching

    def _width(self) -> int:
        return (self.last // self.path.per_tick + 1) * self.path.per_tick

    def _points(self, sides: dict[int, _Cells]) -> Points:
        parts = []
        for side, cells in sides.items():
            block, distance = np.nonzero(cells.exposure_us)
            at = block, distance
            parts.append((distance, cells.exposure_us[at], cells.fills[at], np.full(block.size, side), block))
        return self._table(parts, disjoint=True)

    def _cumulative(self, sides: dict[int, _Cells]) -> Points:
        parts = []
        for side, cells in sides.items():
            exposure_us = cells.exposure_us.sum(axis=0)
            distance = np.flatnonzero(exposure_us)
            side_column, block = np.full(distance.size, side), np.full(distance.size, NO_BLOCK)
            parts.append((distance, exposure_us[distance], cells.reaching[distance], side_column, block))
        return self._table(parts, disjoint=False)

    def _table(self, parts: "Sequence[tuple[NDArray[Any], ...]]", *, disjoint: bool) -> Points:
        """Return columns (distance in steps, µs, hits, side, block) of several sides as points."""
        distance, exposure_us, fills, side, block = (np.concatenate(column) for column in zip(*parts, strict=True))
        closed_cell = disjoint & (distance <= self.last - self.path.per_tick)
        return Points(
            delta_ticks=distance / self.path.per_tick,
            width_ticks=np.where(closed_cell, 1.0, np.inf),
            exposure_s=exposure_us / US_PER_S,
            fills=fills.astype(np.float64),
            side=side.astype(np.int8),
            block=block,
        )


def _summed(parts: list[MarkCounts]) -> MarkCounts:
    return MarkCounts(*(sum(getattr(part, name) for part in parts) for name in MarkCounts.__slots__))
