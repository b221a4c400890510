"""How deep each aggressive order reached: every distance at once, from one pass over the tape.

A probe is an order that could have rested at a price of the grid. It is exposed while the book is
valid and it is not nearer than its own side's best price; it is hit by a sweep that reaches it. So a
sweep of depth d, met by a touch at distance t <= d, hits the probes from t to d, and the likelihood
counts it once, in the cell that begins at d: seconds in which a probe at d was exposed against sweeps
that reached d and not d + 1 tick (the last cell is open: d and beyond).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.calibration.points import NO_BLOCK, Points
from mm.calibration.reference import BLOCK_S, CLOSED, ReferencePath, block_length_us, reference_path, span_of, within
from mm.clock import US_PER_S
from mm.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.tape import Tape

    Ints = NDArray[np.int64]

HITS = ("touch", "strict")


@dataclass(frozen=True, slots=True)
class MarkOptions:
    """What counts as a hit, and in what cells it is counted.

    Attributes:
        reference: ``mid``, ``micro`` or ``best``: what distances are measured from.
        hit: ``touch`` (a print at the probe's price or beyond) or ``strict`` (a print beyond it).
        max_delta_ticks: Distance of the last, open cell.
        block_s: Length of the blocks, counted from the start of the window.
        sides: Sides of the probes: +1 bids (hit by sellers), -1 asks.
    """

    reference: str = "mid"
    hit: str = "touch"
    max_delta_ticks: float = 50
    block_s: float = BLOCK_S
    sides: tuple[int, ...] = (1, -1)

    def __post_init__(self) -> None:
        if self.hit not in HITS:
            raise UsageError(f"CALIB_HIT (--calib-hit) is {self.hit!r}; choose one of {', '.join(HITS)}")
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
            is older than they are, and with ``strict`` those that only touched.
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
class _Prints:
    """The prints that hit the probes of one side, with what stood before each."""

    us: "Ints"
    signed_ticks: "Ints"  # price times the probes' side: the deepest print has the least
    opens: "Ints"  # positions at which a sweep begins
    signed_reference: "Ints"
    touch: "Ints"

    def sweeps(self, start_us: int, end_us: int, per_tick: int) -> "tuple[Ints, Ints, Ints]":
        """Return ``(us, depth, touch)`` of the sweeps in a window, each cut to its prints in the window."""
        first, last = np.searchsorted(self.us, (start_us, end_us))
        if first == last:
            return self.us[:0], self.us[:0], self.us[:0]
        begin, end = np.searchsorted(self.opens, (first + 1, last))
        opens = np.concatenate(([first], self.opens[begin:end]))
        deepest = np.minimum.reduceat(self.signed_ticks[first:last], opens - first)
        return self.us[opens], self.signed_reference[opens] - per_tick * deepest, self.touch[opens]


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
    """

    def __init__(self, tape: "Tape", options: MarkOptions | None = None) -> None:
        """Prepare the prints and the reference path of *tape*; the options default to ``MarkOptions()``."""
        self.options = options or MarkOptions()
        self.span = span_of(tape)
        self._block_us = block_length_us(self.options.block_s)
        self._path = reference_path(tape, self.options.reference)
        self._prints = {side: _prints(tape, self._path, side) for side in self.options.sides}
        self._last = int(self.options.max_delta_ticks * self._path.per_tick)

    def between(self, start_us: int, end_us: int) -> MarkPoints:
        """Return cells and counts of ``[start_us, end_us)``, cut to the span of the tape.

        Nothing at or after *end_us* is read, and of what is before *start_us* only the book. A sweep
        that a border cuts counts on each side with the prints it has there.
        """
        start_us, end_us = within(self.span, start_us, end_us)
        edges, rows, blocks = self._path.segments(start_us, end_us, self._block_us)
        spent = np.diff(edges)
        sides = {}
        for side in self.options.sides:
            exposure_us = self._exposure(self._path.touch[side][rows], blocks, spent)
            sides[side] = self._cells(side, start_us, end_us, exposure_us)
        valid_us = int(spent[self._path.touch[1][rows] != CLOSED].sum())
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

    def _exposure(self, touch: "Ints", blocks: "Ints", spent: "Ints") -> "NDArray[np.float64]":
        """Return µs by block and distance: of all touches as near or nearer, whole ticks apart."""
        per_tick, width = self._path.per_tick, self._width()
        near = (touch != CLOSED) & (touch <= self._last)
        shape = (int(blocks[-1]) + 1, width)
        by_touch = np.bincount(blocks[near] * width + touch[near], spent[near], shape[0] * width)
        return by_touch.reshape(shape[0], -1, per_tick).cumsum(axis=1).reshape(shape)[:, : self._last + 1]

    def _cells(self, side: int, start_us: int, end_us: int, exposure_us: "NDArray[np.float64]") -> _Cells:
        """Sort the sweeps of a window into the cells of one side."""
        us, depth, touch = self._prints[side].sweeps(start_us, end_us, self._path.per_tick)
        reach = depth - self._path.per_tick if self.options.hit == "strict" else depth
        book, hits = touch != CLOSED, reach >= touch
        counted = book & hits & (touch <= self._last)
        cell = self._cell(reach[counted])
        width = exposure_us.shape[1]
        flat = (us[counted] - start_us) // self._block_us * width + cell
        fills = np.bincount(flat, minlength=exposure_us.size).reshape(exposure_us.shape)
        exposed = exposure_us > 0
        counts = MarkCounts(
            prints=int(np.diff(np.searchsorted(self._prints[side].us, (start_us, end_us)))[0]),
            sweeps=us.size,
            counted=int(fills[exposed].sum()),
            unreachable=int((book & ~hits).sum()),
            beyond=int((book & hits & (touch > self._last)).sum()),
            no_book=int((~book).sum()),
            unexposed=int(fills[~exposed].sum()),
        )
        return _Cells(exposure_us, fills, self._reaching(touch[counted], cell), counts)

    def _cell(self, reach: "Ints") -> "Ints":
        """Return the cell of each distance: itself, or the open cell a whole number of ticks nearer."""
        past = self._last - reach
        return np.where(past < 0, self._last - past % self._path.per_tick, reach)

    def _reaching(self, touch: "Ints", cell: "Ints") -> "Ints":
        """Return by distance how many sweeps hit it: those it was exposed to less those that ended nearer."""
        per_tick, width = self._path.per_tick, self._width()
        begun = np.bincount(touch, minlength=width).reshape(-1, per_tick).cumsum(axis=0).ravel()
        ended = np.bincount(cell, minlength=width).reshape(-1, per_tick).cumsum(axis=0).ravel()
        nearer = np.concatenate((np.zeros(per_tick, np.int64), ended))
        reaching: Ints = begun[: self._last + 1] - nearer[: self._last + 1]
        return reaching

    def _width(self) -> int:
        return (self._last // self._path.per_tick + 1) * self._path.per_tick

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
        closed_cell = disjoint & (distance <= self._last - self._path.per_tick)
        return Points(
            delta_ticks=distance / self._path.per_tick,
            width_ticks=np.where(closed_cell, 1.0, np.inf),
            exposure_s=exposure_us / US_PER_S,
            fills=fills.astype(np.float64),
            side=side.astype(np.int8),
            block=block,
        )


def _prints(tape: "Tape", path: ReferencePath, side: int) -> _Prints:
    """Return the prints whose aggressor hits the probes of *side*, in the order of the tape."""
    mine = tape.row_side[tape.trade_rows] == -side
    events, rows = tape.trades[mine], tape.trade_rows[mine]
    before = path.row_before_event(events)
    trade_us = tape.event_exch_us[events]
    alone = trade_us == 0  # the exchange's time is not known: each print stands for itself
    new = np.concatenate(([True], trade_us[1:] != trade_us[:-1]))[: events.size]
    return _Prints(
        us=tape.event_us[events],
        signed_ticks=side * tape.row_ticks[rows],
        opens=np.flatnonzero(new | alone),
        signed_reference=side * path.reference[side][before],
        touch=path.touch[side][before],
    )


def _summed(parts: list[MarkCounts]) -> MarkCounts:
    return MarkCounts(*(sum(getattr(part, name) for part in parts) for name in MarkCounts.__slots__))
