"""Simulated orders of a day: time at rest and fills of all runs by block, from which any window is cut."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from mm.base.arrays import Floats, Ints, Mask, Rows
from mm.calibration._exposure import places_of
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_US, SETTLED_S, later
from mm.clock import US_PER_S
from mm.tape.columns import trim_heap

if TYPE_CHECKING:
    from mm.calibration.exposure import RestingOrders, RestingTime
    from mm.calibration.reference import ReferencePath

ALONE = 1 / 3  # windows of one phase are counted from the orders up to this share of the day, together
MOST_TABLES = 24  # in memory; the least recently used is dropped


class OrderRows(NamedTuple):
    """Time at rest and fills, in the order of days, runs, sides, blocks and distances."""

    run: Ints
    side: Ints
    block: Ints
    distance: Ints
    us: Ints
    fills: Ints

    @classmethod
    def of(cls, runs: "Sequence[RestingTime]") -> Self:
        keys = np.concatenate([run.keys for run in runs])
        side, block, distance = places_of(keys)
        number = np.repeat(np.arange(len(runs)), [len(run.keys) for run in runs])
        return cls(
            number,
            side,
            block,
            distance,
            *(np.concatenate([getattr(run, name) for run in runs]) for name in ("us", "fills")),
        )

    @classmethod
    def joined(cls, parts: "Sequence[OrderRows]", first_blocks: Sequence[int]) -> "OrderRows":
        moved = [part._replace(block=part.block + first) for part, first in zip(parts, first_blocks, strict=True)]
        return moved[0] if len(moved) == 1 else cls(*map(np.concatenate, zip(*moved, strict=True)))

    def where(self, rows: "Mask | Rows") -> "OrderRows":
        return OrderRows(*(column[rows] for column in self))

    def points(self, per_tick: int) -> Points:
        rows = len(self.run)
        return Points(
            delta_ticks=self.distance / per_tick,
            width_ticks=np.full(rows, np.inf),
            exposure_s=self.us / US_PER_S,
            fills=self.fills.astype(np.float64),
            side=self.side.astype(np.int8),
            block=self.block.copy(),
        )


class _BlockTable(NamedTuple):
    """A day's rows by block, from the start of a block on.

    Attributes:
        last_us: Instants at the ends of blocks at which an order was filled, ascending.
    """

    origin_us: int
    rows: OrderRows
    first: Rows
    blocks: int
    last_us: Ints
    last_row: Rows

    @classmethod
    def of(cls, runs: "Sequence[RestingTime]", origin_us: int, blocks: int) -> Self:
        rows = OrderRows.of(runs)
        place = (2 * rows.run + (rows.side > 0)) * blocks + rows.block
        first = np.searchsorted(place, np.arange(2 * len(runs) * blocks + 1))
        begun = np.cumsum([0, *(len(run.keys) for run in runs)])
        us = np.concatenate([run.fill_us for run in runs])
        row = np.concatenate([run.fill_row + at for run, at in zip(runs, begun.tolist(), strict=False)])
        ends = (us - origin_us) % BLOCK_US == 0
        order = np.argsort(us[ends], kind="stable")
        return cls(origin_us, rows, first, blocks, us[ends][order], row[ends][order])

    def cut(self, start_us: int, end_us: int, blocks: int) -> OrderRows:
        at = (start_us - self.origin_us) // BLOCK_US
        sides = np.arange(0, len(self.first) - 1, self.blocks)
        begin, end = self.first[sides + at], self.first[sides + at + blocks]
        count = end - begin
        taken = np.arange(count.sum()) + np.repeat(begin - np.cumsum(count) + count, count)
        rows = self.rows.where(taken)
        at_end = slice(*np.searchsorted(self.last_us, (end_us, end_us + 1)))
        for row in self.last_row[at_end].tolist():
            rows.fills[taken == row] -= 1
        return rows._replace(block=rows.block - at)


class DayOrders:
    def __init__(self, runs: "Sequence[RestingOrders]", path: "ReferencePath", span: tuple[int, int]) -> None:
        self._runs, self._path, self._span = runs, path, span
        self._asked = Counter[int]()
        self._tables = OrderedDict[int, _BlockTable]()

    def fills_between(self, start_us: int, end_us: int) -> tuple[Ints, Floats]:
        us, distance, move = self._moves
        known = slice(*np.searchsorted(us, (start_us, end_us - SETTLED_S * US_PER_S + 1)))
        return distance[known], move[known]

    @cached_property
    def _moves(self) -> tuple[Ints, Ints, Floats]:
        path, parts = self._path, [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for orders in self._runs:
            order, us, mid2 = np.empty((3, 0), np.int64) if orders.fills is None else orders.fills
            own = (us >= self._span[0]) & (us < self._span[1])
            order, us, mid2 = order[own], us[own], mid2[own]
            row = path.row_at(us, mid2)
            order, us, row = order[row >= 0], us[row >= 0], row[row >= 0]
            then, valid = later(path, us, row)
            side = orders.side[order]
            reference = np.where(side == 1, path.reference[1][row], path.reference[-1][row])
            distance = side * (reference - path.per_tick * orders.ticks[order])
            move = side * (path.mid2[row] - path.mid2[then]) / 2
            parts.append((us[valid], distance[valid], move[valid]))
        us, distance, move = map(np.concatenate, zip(*parts, strict=True))
        del parts  # of all fills of a day, a copy less
        order = np.argsort(us, kind="stable")
        us, distance, move = us[order], distance[order], move[order]
        trim_heap()
        return us, distance, move

    def between(self, start_us: int, end_us: int) -> OrderRows:
        whole = (end_us - start_us) // BLOCK_US
        table = self._table(start_us % BLOCK_US, end_us - start_us) if whole else None
        if table is None:
            return self._counted(start_us, end_us)
        rows, rest_us = table.cut(start_us, end_us, whole), start_us + whole * BLOCK_US
        if rest_us == end_us:
            return rows
        last = self._counted(rest_us, end_us)
        joined = OrderRows.joined([rows, last], [0, whole])
        return joined.where(np.lexsort((joined.block, joined.side > 0, joined.run)))

    def _counted(self, start_us: int, end_us: int) -> OrderRows:
        return OrderRows.of([run.between(self._path, start_us, end_us, BLOCK_US) for run in self._runs])

    def _table(self, phase_us: int, length_us: int) -> _BlockTable | None:
        self._asked[phase_us] += length_us
        if self._asked[phase_us] <= ALONE * (self._span[1] - self._span[0]):
            return None
        if phase_us not in self._tables:
            start_us, end_us = self._span
            origin_us = start_us - (start_us - phase_us) % BLOCK_US
            blocks = -((origin_us - end_us) // BLOCK_US)
            if len(self._tables) >= MOST_TABLES:
                self._tables.popitem(last=False)
            times = [run.between(self._path, origin_us, end_us, BLOCK_US) for run in self._runs]
            self._tables[phase_us] = _BlockTable.of(times, origin_us, blocks)
        self._tables.move_to_end(phase_us)
        return self._tables[phase_us]
