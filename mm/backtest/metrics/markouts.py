"""Markouts of fills: captured half-spreads, and adverse selection by horizon and group."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import student_quantile
from mm.backtest.metrics.long_run import BLOCK_US
from mm.backtest.metrics.spans import Spans
from mm.base.arrays import Floats, Ints, Mask, Numbers
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.journal import Journal, Table
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
    """A quantity-weighted mean over fills, in quote asset per unit of the base asset.

    Attributes:
        value: The mean; None without a usable fill.
        error: Its standard error, with fills of the same block as one draw; None with too few blocks or fills.
        left_out: Number of fills left out.
    """

    value: float | None
    error: float | None
    left_out: int


@dataclass(frozen=True)
class GroupMeans:
    """Quantity-weighted means over groups of fills, in quote asset per unit of the base asset.

    Attributes:
        fills: Number of all fills, used or not.
        count: Number of fills used, by group.
        value: Mean by group; NaN without a fill.
        error: Its standard error; NaN below ``LEAST_BLOCKS`` effective blocks, or ``LEAST_FILLS`` fills.
        blocks: Effective number of blocks, (Σw)²/Σw² of their lots w.
        left: Mean of the measured move plus the half-spread captured relative to the mid at the fill.
        left_error: Its standard error, which is not that of the move: what was captured varies as well.
    """

    fills: int
    count: Ints
    value: Floats
    error: Floats
    blocks: Floats
    left: Floats
    left_error: Floats

    def mean(self) -> Mean:
        """Return the mean over all fills, the first group."""
        value, error = (None if np.isnan(numbers[0]) else float(numbers[0]) for numbers in (self.value, self.error))
        return Mean(value, error, self.fills - int(self.count[0]))

    def realised(self) -> Mean:
        """Return the realised half-spread over all fills."""
        value, error = (None if np.isnan(numbers[0]) else float(numbers[0]) for numbers in (self.left, self.left_error))
        return Mean(value, error, self.fills - int(self.count[0]))


def half_spreads(
    journal: "Journal", instrument: "Instrument", horizons_s: Sequence[int] = AFTER_S, target_lots: int = 0
) -> tuple[Mean, dict[int, GroupMeans]]:
    """Return the effective half-spread, and the adverse selection of groups of fills at each horizon.

    The effective half-spread is the mean of s·(m − p): half-spread captured relative to the mid at the fill. Adverse
    selection is the mean of s·(m_h − m): the move of the mid in our favour over the horizon; negative is adverse. A
    fill is left out if the data end first, or the book is not valid at either instant. The groups are all fills,
    buys, sells, fills that add to the inventory beyond the target (or open one), fills that unwind it, and the
    distances of ``BANDS_TICKS`` from the mid, excluding the far end.
    """
    valid, spans = journal.fills[:, 7] > 0, Spans.of(journal.spans)
    us, _, side, ticks, lots, _, _, mid2, after_lots = np.ascontiguousarray(journal.fills[valid].T)
    earned, unwinds = side * (mid2 - 2 * ticks), (after_lots - target_lots - side * lots) * side < 0
    cells, half_tick = cells_of(side, unwinds, earned), instrument.tick_e8 / (2 * E8)

    def means(moved: Ints, known: Mask, after_us: int) -> GroupMeans:
        block = spans.blocks(block_length_us(spans, after_us)).of(us)
        count, sums = group_sums(block, cells, known, lots, side * moved, earned)
        return GroupMeans(len(valid), count, *_means(count, sums, half_tick))

    effective = means(mid2 - 2 * ticks, np.ones(len(us), np.bool_), 0).mean()
    mids, after = np.asfortranarray(journal.mids), {}
    for horizon_s in horizons_s:
        later_us = us + horizon_s * US_PER_S
        later = mid2_at(mids, later_us) if horizon_s else just_after(journal)[valid]
        known = (later > 0) & (later_us <= journal.counters["last_us"])
        after[horizon_s] = means(np.where(known, later - mid2, 0), known, horizon_s * US_PER_S)
    return effective, after


def block_length_us(spans: Spans, after_us: int) -> int:
    """Return the length of a block: five minutes, in runs under two hours the horizon, at least 30 s."""
    return BLOCK_US if spans.covered_us >= SHORT_RUN_US else max(after_us, SHORT_BLOCK_US)


def just_after(journal: "Journal") -> Ints:
    """Return bid + ask just after the event of each fill, 0 without a valid book.

    Only a change of the book moves it: the first change at that instant that begins at the mid before the fill.
    """
    mid2 = journal.fills[:, 7].copy()
    by_book = [code for code, reason in enumerate(journal.fill_reasons) if reason.endswith(":book")]
    us, path = np.append(journal.mids[:, 0], np.iinfo(np.int64).max), journal.mids[:, 1]
    last = np.maximum.accumulate(np.where(path > 0, np.arange(len(path)), -1))
    before = np.append(0, np.where(last >= 0, path[last], 0))  # the last valid one before each change
    row = np.flatnonzero(np.isin(journal.fills[:, 6], by_book))
    change = np.searchsorted(us, journal.fills[row, 0])
    while len(row):
        at_once = us[change] == journal.fills[row, 0]
        row, change = row[at_once], change[at_once]
        matches = before[change] == mid2[row]
        mid2[row[matches]] = path[change[matches]]
        row, change = row[~matches], change[~matches] + 1
    return mid2


def moves(journal: "Journal", horizon_s: float) -> "Moved":
    """Return the change of bid + ask over the horizon after each fill, 0 if unknown, and whether it is known.

    It is unknown if the data end first, or the book is not valid at either instant.
    """
    later_us, mid2 = journal.fills[:, 0] + round(horizon_s * US_PER_S), journal.fills[:, 7]
    later = mid2_at(journal.mids, later_us)
    known = (mid2 > 0) & (later > 0) & (later_us <= journal.counters["last_us"])
    return np.where(known, later - mid2, 0), known


def mid2_at(mids: "Table", us: Ints) -> Ints:
    """Return bid + ask of *mids* (a row for each change) in force at each instant; 0 before the first row."""
    if not len(mids):
        return np.zeros(len(us), np.int64)
    row = np.searchsorted(mids[:, 0], us, side="right") - 1
    mid2: Ints = np.where(row >= 0, mids[row, 1], 0)
    return mid2


def markouts(after: Mapping[int, GroupMeans]) -> list[dict[str, Any]]:
    """Return a row per group and horizon of the adverse selection of :func:`half_spreads`, except the group of all.

    Each row covers the fills known at its horizon, weighted by quantity; errors treat the fills of a block as one draw,
    and ``ci95`` is by Student's t with one degree of freedom fewer than effective blocks; ``realised`` is the realised
    half-spread. A group without such a fill has no row.
    """
    return [
        {
            "fills": name,
            "horizon_s": horizon_s,
            "n": count,
            "adverse_selection": value,
            "se": None if np.isnan(error) else error,
            "ci95": None if np.isnan(error) else _interval(value, error, blocks - 1),
            "n_effective_blocks": blocks,
            "realised": left,
            "realised_se": None if np.isnan(left_error) else left_error,
            "realised_ci95": None if np.isnan(left_error) else _interval(left, left_error, blocks - 1),
        }
        for horizon_s, means in after.items()
        for name, count, value, error, blocks, left, left_error in zip(
            GROUPS,
            *(
                numbers.tolist()
                for numbers in (means.count, means.value, means.error, means.blocks, means.left, means.left_error)
            ),
            strict=True,
        )
        if count and name != GROUPS[0]
    ]


def _interval(value: float, error: float, degrees: float) -> list[float]:
    """Return the 95 % interval by Student's t; between whole degrees the quantile is linear in their inverse."""
    low, high = math.floor(degrees), math.ceil(degrees)
    near, far = student_quantile(low), student_quantile(high)
    share = (1 / low - 1 / degrees) / (1 / low - 1 / high) if low < high else 0.0
    half = (near + share * (far - near)) * error
    return [value - half, value + half]


def cells_of(side: Ints, unwinds: Mask, earned: Ints) -> Ints:
    """Return a number of each fill for its band, its change of the inventory and its side, below `CELLS`.

    *earned* are the half ticks captured relative to the mid.
    """
    band = np.searchsorted(2 * np.array(BANDS_TICKS), earned, side="right")
    return (2 * band + unwinds) * 2 + (side < 0)


def group_sums(block: Ints, cells: Ints, known: Mask, lots: Ints, favour: Ints, earned: Ints) -> tuple[Ints, Floats]:
    """Return sums over the fills with a *known* move by group: their number, and float64[7, groups].

    The latter: lots; lots times half ticks in our favour; lots times the half ticks captured relative to the mid;
    blocks with a fill; the sum over blocks of the squared deviation of lots times half ticks from lots times the mean;
    that of their squared lots; and that of the squared deviation of lots times half ticks in our favour and captured.
    Whole sums are exact below 2^53.

    Args:
        block: The block of each fill.
        cells: Its number, from `cells_of`.
        known: Whether its move is known.
        lots: Its lots.
        favour: Half ticks in our favour, 0 if unknown.
        earned: Half ticks captured relative to the mid.
    """
    place = (block - block.min(initial=0)) * CELLS + cells
    size, weight = int(place.max(initial=0)) // CELLS * CELLS + CELLS, lots * known.astype(np.float64)
    held, gained = (_by_group(np.bincount(place, values, size)) for values in (weight, weight * favour))
    [count] = _by_group(np.bincount(cells, known, CELLS)).astype(np.int64)
    kept = _by_group(np.bincount(place, weight * earned, size))
    captured = kept.sum(axis=0)
    total, gain = held.sum(axis=0), gained.sum(axis=0)
    away, apart = (
        values - np.divide(values.sum(axis=0), total, out=np.zeros(len(GROUPS)), where=total > 0) * held
        for values in (gained, gained + kept)
    )
    squares = ((values**2).sum(axis=0) for values in (away, held, apart))
    sums = (total, gain, captured, (held != 0).sum(axis=0), *squares)
    return count, np.array(sums)


def _by_group(sums: Numbers) -> Floats:
    """Return the sums of ``GROUPS`` from those of cells, by block: all, sides, changes of the inventory, bands."""
    cells = sums.reshape(-1, len(BAND_NAMES), 2, 2).astype(np.float64)
    bands = cells.sum(axis=(2, 3))
    return np.column_stack((bands.sum(axis=1), cells.sum(axis=(1, 2)), cells.sum(axis=(1, 3)), bands))


def _means(count: Ints, sums: Floats, half_tick: float) -> tuple[Floats, ...]:
    """Return mean, standard error, effective blocks, realised half-spread and its error by group, from its sums."""
    lots, moved, earned, used, squares, weights, apart = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, left, blocks = moved / lots, (moved + earned) / lots, lots * lots / weights
        error, left_error = (np.sqrt(each * used / (used - 1)) / lots for each in (squares, apart))
    few = ~(blocks >= LEAST_BLOCKS) | (count < LEAST_FILLS)
    error[few] = left_error[few] = np.nan
    return mean * half_tick, error * half_tick, blocks, left * half_tick, left_error * half_tick
