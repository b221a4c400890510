"""Grid changes that a source does not report: stretches in which all levels lie on a coarser step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import gcd
from typing import NamedTuple

from mm.market_data.message_batch import MessageBatch
from mm.markets import local_orderbook
from mm.markets.grid import MOST_SHOWN_E8
from mm.markets.local_orderbook import Level

STRETCH = 1_000
"""Levels from which on a stretch proves a grid."""
DISTINCT = 5
MOST_COARSER = 100
"""Greatest ratio of two grids: more than that is a handful of round numbers."""
BETWEEN = 2
"""Stretches from which on a finer step between two coarser ones is no single odd price."""


class ChangedStep(NamedTuple):
    """A change of a step: first seen (µs), steps before and after (1e-8), and when it was reverted (0: never)."""

    us: int
    before_e8: int
    after_e8: int
    back_us: int = 0

    @property
    def coarse_e8(self) -> int:
        return max(self.before_e8, self.after_e8)


@dataclass
class _Stretch:
    begin_us: int
    step_e8: int = 0
    reduced_us: int = 0
    count: int = 0
    distinct: set[int] = field(default_factory=set)


class GridStretches:
    def __init__(self) -> None:
        self._stretches: list[_Stretch] = []

    def add(self, us: int, values: Sequence[int]) -> None:
        if not values:
            return
        if not self._stretches or self._stretches[-1].count >= STRETCH:
            self._stretches.append(_Stretch(us))
        now = self._stretches[-1]
        step_e8 = gcd(now.step_e8, *values)
        if step_e8 != now.step_e8:
            now.step_e8, now.reduced_us = step_e8, us
        now.count += len(values)
        if len(now.distinct) < DISTINCT:
            now.distinct.update(values)

    def add_step(self, us: int, step_e8: int, count: int) -> bool:
        """Add *count* values by their greatest common divisor; False at the start of a stretch, which needs each."""
        now = self._stretches[-1] if self._stretches else None
        if now is None or now.count >= STRETCH or len(now.distinct) < DISTINCT:
            return False
        now.count += count
        if count and step_e8 % now.step_e8:
            now.step_e8, now.reduced_us = gcd(now.step_e8, step_e8), us
        return True

    def add_columns(self, batch: MessageBatch, *, prices: bool) -> None:
        columns, at, upto = batch.columns, 0, batch.columns.at
        while at < upto:
            now = self._stretches[-1] if self._stretches else None
            if now is None or now.count >= STRETCH or len(now.distinct) < DISTINCT:
                self.add(int(batch.us[at]), columns.values(prices, at))
                at += 1
                continue
            at, step_e8, reduced, count = columns.stretch(prices, at, upto, now.step_e8, STRETCH - now.count)
            now.count += count
            if reduced >= 0:
                now.step_e8, now.reduced_us = step_e8, int(batch.us[reduced])

    def change(self) -> ChangedStep | None:
        found = _leading_coarse(self._stretches)
        if found is not None:
            count, back, coarse_e8, fine_e8 = found
            back_us = self._stretches[back].begin_us if back < len(self._stretches) else 0
            return ChangedStep(self._stretches[count].reduced_us, coarse_e8, fine_e8, back_us)
        found = _leading_coarse(self._stretches[::-1])
        if found is None:
            return None
        count, _, coarse_e8, fine_e8 = found
        return ChangedStep(self._stretches[-count].begin_us, fine_e8, coarse_e8)


def _leading_coarse(stretches: Sequence[_Stretch]) -> tuple[int, int, int, int] | None:
    """How many stretches a coarser step leads, from which on it leads to the end again, and both steps (1e-8)."""
    fine_e8 = gcd(*(one.step_e8 for one in stretches))
    coarse_e8, count = 0, 0
    for one in stretches:
        if gcd(coarse_e8, one.step_e8) == fine_e8:
            break
        coarse_e8 = gcd(coarse_e8, one.step_e8)
        count += 1
    if count == len(stretches) or not _proves(stretches[:count]) or coarse_e8 > MOST_COARSER * fine_e8:
        return None
    runs = [(coarse, list(run)) for coarse, run in groupby(stretches[count:], lambda one: not one.step_e8 % coarse_e8)]
    last = len(runs[-1][1]) if runs[-1][0] and _proves(runs[-1][1]) else 0
    back = len(stretches) - last
    if any(coarse and _proves(run) for coarse, run in (runs[:-1] if last else runs)) or (
        last and back - count < BETWEEN
    ):
        return None
    return count, back, coarse_e8, fine_e8


def _proves(stretches: Sequence[_Stretch]) -> bool:
    distinct = set[int]().union(*(one.distinct for one in stretches))
    return sum(one.count for one in stretches) >= STRETCH and len(distinct) >= DISTINCT


class BookStretches:
    def __init__(self, price: Callable[[str], int], qty: Callable[[str], int]) -> None:
        self.prices, self.quantities = GridStretches(), GridStretches()
        self._price, self._qty = price, qty

    def add(self, us: int, sides: tuple[Sequence[Level], Sequence[Level]]) -> None:
        bids, asks = sides
        kernel = local_orderbook.kernel
        of_prices = of_quantities = False
        if kernel and isinstance(bids, kernel.Levels) and isinstance(asks, kernel.Levels):
            of_prices = self.prices.add_step(us, gcd(bids.step_e8, asks.step_e8), len(bids) + len(asks))
            of_quantities = self.quantities.add_step(us, gcd(bids.lot_e8, asks.lot_e8), bids.filled + asks.filled)
            if of_prices and of_quantities:
                return
        levels = [*bids, *asks]
        if not of_prices:
            self.prices.add(us, [self._price(price) for price, _ in levels])
        if not of_quantities:
            self.quantities.add(us, [qty_e8 for _, qty in levels if 0 < (qty_e8 := self._qty(qty)) < MOST_SHOWN_E8])

    def add_columns(self, batch: MessageBatch) -> None:
        self.prices.add_columns(batch, prices=True)
        self.quantities.add_columns(batch, prices=False)
