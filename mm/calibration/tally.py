"""Tallies of one side of a window: time at each touch, sweeps by touch and depth; and the cells that count them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np

from mm.base.arrays import Floats, Ints, Mask
from mm.calibration.points import TABLE_PER_ROW, group, sum_by
from mm.calibration.reference import CLOSED

REACHED = 0.999  # quantile of the depths of sweeps at which the last cell begins
LEAST_TICKS = 5  # minimum reach beyond the median distance of the best price
FARTHEST = 1e9
HALF = 0.5  # below this weight a quantile is computed from its lower neighbour, else from the upper one


@dataclass(frozen=True, slots=True)
class Tally:
    """Time at each touch, and sweeps; rows with equal keys add up."""

    stood: Ints
    stood_block: Ints
    us: Ints
    touch: Ints
    depth: Ints
    block: Ints
    count: Ints

    @classmethod
    def joined(cls, parts: "Sequence[Tally]") -> Self:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))

    @property
    def hit(self) -> Ints:
        return np.flatnonzero((self.touch != CLOSED) & (self.depth >= self.touch))

    def summed(self) -> Self:
        stood, into = group(self.stood_block, self.stood)
        us = np.bincount(into, self.us, len(stood)).astype(np.int64)
        touch, depth, block, count = (getattr(self, name)[self.hit] for name in _NAMES[3:])
        met, met_into = group(block, touch, depth)
        counts = np.bincount(met_into, count, len(met)).astype(np.int64)
        return type(self)(self.stood[stood], self.stood_block[stood], us, touch[met], depth[met], block[met], counts)

    def before(self, block: int) -> Self:
        stood, swept = np.searchsorted(self.stood_block, block), np.searchsorted(self.block, block)
        return self.where(slice(stood), slice(swept))

    def where(self, stood: Any, swept: Any) -> Self:
        columns = [getattr(self, name) for name in _NAMES]
        return type(self)(*(column[stood] for column in columns[:3]), *(column[swept] for column in columns[3:]))


_NAMES = tuple(field.name for field in fields(Tally))


def reach_of(tallies: "Sequence[Tally]", per_tick: int) -> float:
    """Whole ticks: the `REACHED` quantile of sweep depths."""
    hits = [tally.hit for tally in tallies]
    touch, depth, count = (
        np.concatenate([getattr(tally, name)[hit] for tally, hit in zip(tallies, hits, strict=True)])
        for name in ("touch", "depth", "count")
    )
    if not count.size:
        return float(LEAST_TICKS)
    deep, near = quantile(depth, count, REACHED), quantile(touch, count, 0.5)
    return min(float(np.ceil(max(deep / per_tick, near / per_tick + LEAST_TICKS))), FARTHEST)


def quantile(values: Ints, count: Ints, share: float) -> float:
    first = int(values.min())
    if int(values.max()) - first <= TABLE_PER_ROW * len(values):
        counts = np.bincount(values - first, count)
        distinct = np.flatnonzero(counts)
        until = counts[distinct].astype(np.int64).cumsum()
        distinct += first
    else:
        distinct, into = np.unique(values, return_inverse=True)
        until = np.bincount(into, count).astype(np.int64).cumsum()
    place = (int(until[-1]) - 1) * share
    at = np.searchsorted(until, (int(place), int(np.ceil(place))), side="right")
    below, above = distinct[at].tolist()
    part = place - int(place)
    value: float = below + (above - below) * part if part < HALF else above - (above - below) * (1 - part)
    return value


MOST_TICKS = 100_000  # up to here the cell of a tick is looked up
CELLS = 100  # per fraction of a tick; beyond, cells widen


@dataclass(frozen=True)
class DistanceGrid:
    """The cells of a window, equal for each fraction of a tick.

    Attributes:
        per_tick: Steps of distance in one tick, a power of two.
        begin: Starts of the cells, in whole ticks; the last one is open.
    """

    per_tick: int
    last: int
    begin: Ints

    @staticmethod
    def of(max_delta_ticks: float, per_tick: int) -> "DistanceGrid":
        last = int(max_delta_ticks * per_tick)
        ticks = last // per_tick
        if ticks < CELLS:
            return DistanceGrid(per_tick, last, np.arange(ticks + 1))
        begin = np.unique(np.rint(np.geomspace(1, ticks, CELLS)).astype(np.int64))
        return DistanceGrid(per_tick, (ticks + 1) * per_tick - 1, np.concatenate(([0], begin)))

    @property
    def columns(self) -> int:
        return len(self.begin) * self.per_tick

    @cached_property
    def near(self) -> Ints:
        near: Ints = (self.begin[:, None] * self.per_tick + np.arange(self.per_tick)).ravel()
        return near

    @cached_property
    def open(self) -> Mask:
        after = np.append(self.near[self.per_tick :], np.full(self.per_tick, self.last + 1))
        last_open: Mask = (self.near <= self.last) & (after > self.last)
        return last_open

    @cached_property
    def width(self) -> Floats:
        ticks = np.repeat(np.append(np.diff(self.begin), 1), self.per_tick).astype(np.float64)
        return np.where(self.open, np.inf, ticks)

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        near = self.near / self.per_tick
        return near, near + self.width

    @cached_property
    def _cell(self) -> Ints | None:
        last = int(self.begin[-1])
        if last > MOST_TICKS:
            return None
        cell: Ints = np.searchsorted(self.begin, np.arange(-1, last + 1), side="right") - 1
        return cell

    def column(self, steps: Ints) -> Ints:
        ticks = steps >> (self.per_tick.bit_length() - 1)
        if self._cell is None:
            cell = np.searchsorted(self.begin, ticks, side="right") - 1
        else:
            cell = self._cell[np.clip(ticks, -1, len(self._cell) - 2) + 1]
        column = cell * self.per_tick + (steps & (self.per_tick - 1))
        inside: Ints = column - self.per_tick * (self.near[column] > self.last)
        return inside

    def cells(self, tally: "Tally", blocks: int) -> tuple[Floats, Floats]:
        """Exposure (µs) and sweeps, float64[blocks, columns] each.

        A column's exposure is the mean over its prices of the time at touches as near or nearer; an open column's is
        the exposure at its start.
        """
        shape, per_tick = (blocks, self.columns), self.per_tick
        close = (tally.stood != CLOSED) & (tally.stood <= self.last)
        touch, us = tally.stood[close], tally.us[close]
        column = self.column(touch)
        place = tally.stood_block[close] * shape[1] + column
        exposed = sum_by(place, us, shape[0] * shape[1])
        exposed = exposed.reshape(blocks, -1, per_tick).cumsum(axis=1).reshape(shape)
        beyond = (touch - self.near[column]) / per_tick  # the prices of its column that are nearer are not exposed
        share = np.where(self.open[column], beyond > 0, beyond / self.width[column])
        exposed -= sum_by(place, us * share, shape[0] * shape[1]).reshape(shape)
        exposed[:, self.near > self.last] = 0.0
        counted = (tally.touch != CLOSED) & (tally.depth >= tally.touch) & (tally.touch <= self.last)
        column = self.column(tally.depth[counted])
        place = tally.block[counted] * shape[1] + column
        inside = column >= 0
        fills = sum_by(place[inside], tally.count[counted][inside], shape[0] * shape[1]).reshape(shape)
        return exposed, fills

    def reaching(self, touch: Ints, depth: Ints, count: Ints) -> Ints:
        met, ended = self.column(touch), self.column(depth)
        met = met + self.per_tick * (touch > self.near[met])  # the start of its column is nearer than the touch
        size = self.columns + self.per_tick
        change = np.bincount(met, count, size) - np.bincount(ended + self.per_tick, count, size)
        reaching: Ints = change.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return reaching

    def at_begin(self, touch: Ints, spent: Ints) -> Floats:
        close = (touch != CLOSED) & (touch <= self.last)
        column = self.column(touch[close])
        column = column + self.per_tick * (touch[close] > self.near[column])
        time = np.bincount(column, spent[close], self.columns + self.per_tick)
        summed = time.reshape(-1, self.per_tick).cumsum(axis=0).ravel()[: self.columns]
        return np.where(self.near <= self.last, summed, 0.0)
