"""Time with a market: valid book, quoting allowed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from mm.base.arrays import Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.backtest.journal import Stretches


PERIOD_US = 60_000_000


def block_sizes(size: int, length: int) -> Iterator[int]:
    """A rest of at least half a block is kept; a shorter one joins the previous block, or is dropped if there is
    none.
    """
    whole, rest = divmod(size, length)
    if 2 * rest >= length:
        yield from (length,) * whole + (rest,)
    elif whole:
        yield from (length,) * (whole - 1) + (length + rest,)


@dataclass(frozen=True)
class Blocks:
    """Blocks of time, each within one span."""

    begin_us: Ints
    end_us: Ints

    def index_of(self, us: Ints) -> Ints:
        """-1 in no block."""
        at: Ints = np.searchsorted(self.begin_us, us, side="right") - 1
        return at


@dataclass(frozen=True)
class Spans:
    """Disjoint stretches of time, ascending."""

    begin_us: Ints
    end_us: Ints

    @classmethod
    def of(cls, table: "Stretches") -> Self:
        return cls(np.ascontiguousarray(table.begin_us), np.ascontiguousarray(table.end_us))

    @classmethod
    def union(cls, each: "Sequence[Spans]") -> Self:
        begin_us, end_us = (np.concatenate([getattr(one, name) for one in each]) for name in ("begin_us", "end_us"))
        order = np.argsort(begin_us, kind="stable")
        begin_us, reached_us = begin_us[order], np.maximum.accumulate(end_us[order])
        first = np.append(True, begin_us[1:] > reached_us[:-1])[: len(begin_us)]
        last = np.append(first[1:], True)[: len(begin_us)]
        return cls(begin_us[first], reached_us[last])

    def within(self, other: "Spans") -> "Spans":
        edges = np.unique(np.concatenate((self.begin_us, self.end_us, other.begin_us, other.end_us)))
        inside = (np.diff(self.clock(edges)) > 0) & (np.diff(other.clock(edges)) > 0)
        before, after = np.append(False, inside)[:-1], np.append(inside, False)[1:]
        return Spans(edges[:-1][inside & ~before], edges[1:][inside & ~after])

    @cached_property
    def covered_us(self) -> int:
        return int((self.end_us - self.begin_us).sum())

    @cached_property
    def _upto_us(self) -> Ints:
        return np.concatenate(([0], np.cumsum(self.end_us - self.begin_us)))

    def clock(self, us: Ints) -> Ints:
        if not len(self.begin_us):
            return np.zeros(len(us), np.int64)
        at = np.searchsorted(self.begin_us, us, side="right") - 1
        inside = np.clip(us - self.begin_us[at], 0, self.end_us[at] - self.begin_us[at])
        return np.where(at >= 0, self._upto_us[at] + inside, 0)

    @cached_property
    def period_counts(self) -> Ints:
        counts: Ints = (self.end_us - self.begin_us) // PERIOD_US
        return counts

    @cached_property
    def periods(self) -> Ints:
        counts = self.period_counts
        first = np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(self.begin_us, counts) + PERIOD_US * (np.arange(len(first)) - first)

    def blocks(self, length_us: int) -> Blocks:
        """Divide by `block_sizes`; a span too short for a block becomes one."""
        begins, ends = list[int](), list[int]()
        for begin, end in zip(self.begin_us.tolist(), self.end_us.tolist(), strict=True):
            at = begin
            for size in list(block_sizes(end - begin, length_us)) or [end - begin]:
                begins.append(at)
                at += size
                ends.append(at)
        return Blocks(np.array(begins, np.int64), np.array(ends, np.int64))


NO_SPANS = Spans(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True)
class PeriodBlocks:
    """Blocks of periods, each within one span.

    Attributes:
        number: The block of each period; -1 in none.
    """

    number: Ints
    sizes: Ints
    left_out: int

    @classmethod
    def of(cls, counts: "Sequence[int]", length: int) -> Self:
        numbers, sizes, left_out = list[Ints](), list[int](), 0
        for count in counts:
            own = list(block_sizes(count, length))
            numbers.append(np.repeat(np.arange(len(sizes), len(sizes) + len(own)), own) if own else np.full(count, -1))
            sizes += own
            left_out += count > 0 and not own
        number = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
        return cls(number.astype(np.int64), np.array(sizes, np.int64), left_out)

    def sums(self, values: Floats) -> Floats:
        used = self.number >= 0
        starts = np.cumsum(self.sizes) - self.sizes
        if not len(starts):
            return np.zeros((0, *values.shape[1:]))
        sums: Floats = np.add.reduceat(values[used], starts, axis=0)
        return sums
