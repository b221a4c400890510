"""Markouts of fills: captured half-spreads, and adverse selection by horizon and group."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.journal import Mids
from mm.backtest.metrics.long_run import BLOCK_US
from mm.backtest.metrics.spans import Spans
from mm.base.arrays import Floats, Ints, Mask, Numbers
from mm.base.estimate import Estimate, estimated
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.journal import Journal
    from mm.instrument import Instrument

    Moved = tuple[Ints, Mask]  # by fill: change of bid + ask after it, and whether that is known

HORIZONS_S = (1, 5, 30, 60)
AFTER_S = (0, *HORIZONS_S)  # 0: just after the event that filled
SHORT_RUN_US = 7_200 * US_PER_S  # below it blocks are shorter
SHORT_BLOCK_US = 30 * US_PER_S
LEAST_BLOCKS, LEAST_FILLS = 5, 20  # for an error
BANDS_TICKS = (0, 1, 2, 3, 5, 8, 13, 21, 55, 144)
SIDE_NAMES, CHANGE_NAMES = ("buy", "sell"), ("adding", "unwinding")
BAND_NAMES = (
    "below 0 ticks",
    *(f"{near} to {far} ticks" for near, far in pairwise(BANDS_TICKS)),
    f"{BANDS_TICKS[-1]} ticks and more",
)
GROUPS = ("all", *SIDE_NAMES, *CHANGE_NAMES, *BAND_NAMES)
CELLS = 4 * len(BAND_NAMES)


@dataclass(frozen=True)
class Mean:
    """A quantity-weighted mean over fills, in quote asset per unit of the base asset; no interval with too few blocks
    or fills.
    """

    value: float | None
    error: float | None
    ci95: list[float] | None
    left_out: int


@dataclass(frozen=True)
class GroupMeans:
    """Quantity-weighted means over groups of fills, in quote asset per unit of the base asset.

    Attributes:
        moved: Without an interval below ``LEAST_BLOCKS`` effective blocks or ``LEAST_FILLS`` fills.
        blocks: Effective number, (Σw)²/Σw² of their lots w.
        left: Move plus half-spread captured at the fill; its error differs from the move's, since the capture varies
            too.
    """

    fills: int
    count: Ints
    moved: list[Estimate]
    blocks: Floats
    left: list[Estimate]

    def mean(self) -> Mean:
        return self._of_all(self.moved[0])

    def realised(self) -> Mean:
        return self._of_all(self.left[0])

    def _of_all(self, mean: Estimate) -> Mean:
        return Mean(mean.value, mean.error, mean.ends, self.fills - int(self.count[0]))


def half_spreads(
    journal: "Journal", instrument: "Instrument", horizons_s: Sequence[int] = AFTER_S, target_lots: int = 0
) -> tuple[Mean, dict[int, GroupMeans]]:
    """The effective half-spread, and adverse selection by group and horizon.

    The effective half-spread is the mean of s·(m − p), relative to the mid at the fill; adverse selection is the mean
    of s·(m_h − m), negative if adverse. A fill is left out if the data end before its horizon, or the book is invalid
    at either instant. Groups: all fills, buys, sells, fills that add to the inventory beyond the target, fills that
    unwind it, and ``BANDS_TICKS`` from the mid, far end excluded.
    """
    valid, spans = journal.fills.mid2 > 0, Spans.of(journal.spans)
    fills = journal.fills[valid]
    columns = (fills.us, fills.side, fills.ticks, fills.lots, fills.mid2, fills.inventory_lots)
    us, side, ticks, lots, mid2, after_lots = map(np.ascontiguousarray, columns)
    earned, unwinds = side * (mid2 - 2 * ticks), (after_lots - target_lots - side * lots) * side < 0
    cells, half_tick = cells_of(side, unwinds, earned), instrument.tick_e8 / (2 * E8)

    def means(moved: Ints, known: Mask, after_us: int) -> GroupMeans:
        blocks = spans.blocks(block_length_us(spans, after_us))
        sums = BlockSums.of((blocks.index_of(us), len(blocks.begin_us)), cells, known, lots, side * moved, earned)
        return sums.means(len(valid), half_tick, independent=spans.covered_us >= SHORT_RUN_US)

    effective = means(mid2 - 2 * ticks, np.ones(len(us), np.bool_), 0).mean()
    mids, after = Mids(np.asfortranarray(journal.mids)), {}
    for horizon_s in horizons_s:
        later_us = us + horizon_s * US_PER_S
        later = mid2_at(mids, later_us) if horizon_s else just_after(journal)[valid]
        known = (later > 0) & (later_us <= journal.counters["last_us"])
        after[horizon_s] = means(np.where(known, later - mid2, 0), known, horizon_s * US_PER_S)
    return effective, after


def block_length_us(spans: Spans, after_us: int) -> int:
    """Five minutes; under two hours the horizon, at least 30 s."""
    return BLOCK_US if spans.covered_us >= SHORT_RUN_US else max(after_us, SHORT_BLOCK_US)


def just_after(journal: "Journal") -> Ints:
    """Bid + ask just after each fill's event, 0 without a valid book.

    Only a book change at that instant that begins at the mid before the fill moves it.
    """
    mid2 = journal.fills.mid2.copy()
    by_book = [code for code, reason in enumerate(journal.fill_reasons) if reason.endswith(":book")]
    us, path = np.append(journal.mids.us, np.iinfo(np.int64).max), journal.mids.mid2
    last = np.maximum.accumulate(np.where(path > 0, np.arange(len(path)), -1))
    before = np.append(0, np.where(last >= 0, path[last], 0))  # the last valid one before each change
    row = np.flatnonzero(np.isin(journal.fills.reason, by_book))
    change = np.searchsorted(us, journal.fills.us[row])
    while len(row):
        at_once = us[change] == journal.fills.us[row]
        row, change = row[at_once], change[at_once]
        matches = before[change] == mid2[row]
        mid2[row[matches]] = path[change[matches]]
        row, change = row[~matches], change[~matches] + 1
    return mid2


def moves(journal: "Journal", horizon_s: float) -> "Moved":
    """The change of bid + ask over the horizon, 0 if unknown, and whether it is known."""
    later_us, mid2 = journal.fills.us + round(horizon_s * US_PER_S), journal.fills.mid2
    later = mid2_at(journal.mids, later_us)
    known = (mid2 > 0) & (later > 0) & (later_us <= journal.counters["last_us"])
    return np.where(known, later - mid2, 0), known


def mid2_at(mids: Mids, us: Ints) -> Ints:
    if not len(mids):
        return np.zeros(len(us), np.int64)
    row = np.searchsorted(mids.us, us, side="right") - 1
    mid2: Ints = np.where(row >= 0, mids.mid2[row], 0)
    return mid2


def markouts(after: Mapping[int, GroupMeans]) -> list[dict[str, Any]]:
    return [
        {
            "fills": name,
            "horizon_s": horizon_s,
            "n": count,
            "adverse_selection": moved.value,
            "se": moved.error,
            "ci95": moved.ends,
            "n_effective_blocks": blocks,
            "realised": left.value,
            "realised_se": left.error,
            "realised_ci95": left.ends,
        }
        for horizon_s, means in after.items()
        for name, count, moved, blocks, left in zip(
            GROUPS, means.count.tolist(), means.moved, means.blocks.tolist(), means.left, strict=True
        )
        if count and name != GROUPS[0]
    ]


def cells_of(side: Ints, unwinds: Mask, earned: Ints) -> Ints:
    band = np.searchsorted(2 * np.array(BANDS_TICKS), earned, side="right")
    return (2 * band + unwinds) * 2 + (side < 0)


@dataclass(frozen=True)
class BlockSums:
    """Sums over fills with a known move, blocks by groups; whole sums are exact below 2^53.

    Attributes:
        moved: Lots times half ticks in our favour.
        captured: Lots times half ticks captured at the fill.
        alone: Of the fills, not of blocks: their squared lots, times the move (also squared), and times move plus
            capture (also squared).
    """

    count: Ints
    lots: Floats
    moved: Floats
    captured: Floats
    alone: Floats

    @classmethod
    def of(
        cls, blocks: tuple[Ints, int], cells: Ints, known: Mask, lots: Ints, favour: Ints, earned: Ints
    ) -> "BlockSums":
        """*cells* are from `cells_of`; *favour* and *earned* are half ticks in our favour, and captured."""
        block, number = blocks
        place, size = np.maximum(block, 0) * CELLS + cells, max(number, 1) * CELLS
        weight = lots * known.astype(np.float64)
        [count] = _by_group(np.bincount(cells, known, CELLS)).astype(np.int64)
        lots_of, moved, captured = (
            _by_group(np.bincount(place, each, size)) for each in (weight, weight * favour, weight * earned)
        )
        kept, squares = favour + earned, weight * weight
        each_fill = (squares, squares * favour, squares * favour**2, squares * kept, squares * kept**2)
        alone = np.concatenate([_by_group(np.bincount(cells, each, CELLS)) for each in each_fill])
        return cls(count, lots_of, moved, captured, alone)

    def means(self, fills: int, half_tick: float, *, independent: bool) -> GroupMeans:
        kept = self.moved + self.captured

        def of(sums: Floats, group: int, alone: Floats) -> Estimate:
            count, lots = self.count[group], self.lots[:, group]
            if count < LEAST_FILLS:
                return estimated(sums[:, group], lots, least=np.inf).times(half_tick)
            mean = float(sums[:, group].sum() / lots.sum())
            squares, once, twice = alone[:, group].tolist()
            error = math.sqrt(max(twice - 2 * mean * once + mean**2 * squares, 0.0) * count / (count - 1)) / lots.sum()
            found = estimated(sums[:, group], lots, independent=independent, least=LEAST_BLOCKS, least_error=error)
            return found.times(half_tick)

        squares = (self.lots**2).sum(axis=0)
        blocks = np.divide(self.lots.sum(axis=0) ** 2, squares, out=np.zeros(len(GROUPS)), where=squares > 0)
        moved, left = (
            [of(sums, group, self.alone[rows]) for group in range(len(GROUPS))]
            for sums, rows in ((self.moved, [0, 1, 2]), (kept, [0, 3, 4]))
        )
        return GroupMeans(fills, self.count, moved, blocks, left)


def _by_group(sums: Numbers) -> Floats:
    cells = sums.reshape(-1, len(BAND_NAMES), 2, 2).astype(np.float64)
    bands = cells.sum(axis=(2, 3))
    return np.column_stack((bands.sum(axis=1), cells.sum(axis=(1, 2)), cells.sum(axis=(1, 3)), bands))
