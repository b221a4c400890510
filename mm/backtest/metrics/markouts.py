"""What fills were worth later: half-spreads earned, and how far the mid went against them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._passes import block_sums, mid2_at
from mm.clock import US_PER_S
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal, Table
    from mm.instrument import Instrument

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Moved = tuple[Column, NDArray[np.bool_]]  # of each fill: how far bid + ask went after it, and whether that is known

HORIZONS_S = (1, 5, 30, 60)
BLOCK_US = 300 * US_PER_S
BANDS_TICKS = (0, 1, 2, 3, 5, 8, 13, 21, 55, 144)
SIDE_NAMES, CHANGE_NAMES = ("buy", "sell"), ("adding", "unwinding")
BAND_NAMES = (*(f"{near} to {far} ticks" for near, far in pairwise(BANDS_TICKS)), f"{BANDS_TICKS[-1]} ticks and more")
GROUPS = ("all", *SIDE_NAMES, *CHANGE_NAMES, *BAND_NAMES)


@dataclass(frozen=True)
class Mean:
    """A quantity-weighted mean over fills, in quote asset per unit of the base asset.

    Attributes:
        value: The mean; None without a fill to take.
        error: Its standard error, fills of the same five minutes counting as one draw; None under two such blocks.
        left_out: How many fills could not be taken.
    """

    value: float | None
    error: float | None
    left_out: int


@dataclass(frozen=True)
class GroupMeans:
    """Quantity-weighted means over groups of fills, in quote asset per unit of the base asset.

    Attributes:
        fills: How many fills there are, taken or not.
        count: How many of each group were taken.
        value: The mean of each group; NaN without a fill.
        error: Its standard error; NaN under two blocks.
        left: The mean of what was measured and what the fill had earned against the mid.
    """

    fills: int
    count: "Column"
    value: "Floats"
    error: "Floats"
    left: "Floats"

    def mean(self) -> Mean:
        """Return the mean of all fills, which are the first group."""
        value, error = (None if np.isnan(one[0]) else float(one[0]) for one in (self.value, self.error))
        return Mean(value, error, self.fills - int(self.count[0]))


def effective_half_spread(fills: "Table", instrument: "Instrument") -> Mean:
    """Return the mean of s·(m − p): what a fill earned against the mid of its instant."""
    return _means(fills, (fills[:, 7] - 2 * fills[:, 3], fills[:, 7] > 0), _places(fills)[:, :2], instrument).mean()


def adverse_selection(
    journal: "Journal", instrument: "Instrument", horizons_s: Sequence[int] = HORIZONS_S
) -> dict[int, GroupMeans]:
    """Return the means of s·(m_h − m) at each horizon: how far the mid went our way that long after a fill.

    Negative is adverse. A fill is left out when the data end first, or the book is not valid at either instant. The
    groups are all fills, buys, sells, fills that add to the inventory (or begin one), fills that unwind it, and the
    distances of ``BANDS_TICKS`` from the mid, the far end not included.
    """
    fills = journal.fills
    places = np.column_stack((_places(fills), *_kinds(fills)))
    return {h: _means(fills, moves(journal, h), places, instrument) for h in horizons_s}


def moves(journal: "Journal", horizon_s: float) -> "Moved":
    """Return how far bid + ask went after each fill, and of which fills that is known."""
    fills = journal.fills
    later_us = fills[:, 0] + round(horizon_s * US_PER_S)
    later2 = mid2_at(journal.mids, later_us)
    return later2 - fills[:, 7], (fills[:, 7] > 0) & (later2 > 0) & (later_us <= journal.counters["last_us"])


def markouts(after: Mapping[int, GroupMeans]) -> list[dict[str, Any]]:
    """Return a row for each group and horizon of :func:`adverse_selection`, all fills aside.

    Each row is over the fills known at its horizon, weighted by quantity; errors take the fills of five minutes for one
    draw; ``realised`` is what is left of the effective half-spread. A group without such a fill has no row.
    """
    return [
        {
            "fills": name,
            "horizon_s": horizon_s,
            "n": count,
            "adverse_selection": value,
            "se": None if np.isnan(error) else error,
            "realised": left,
        }
        for horizon_s, means in after.items()
        for name, count, value, error, left in zip(
            GROUPS, *(one.tolist() for one in (means.count, means.value, means.error, means.left)), strict=True
        )
        if count and name != GROUPS[0]
    ]


def _places(fills: "Table") -> "Column":
    """Return the block of each fill, from 0 on, and the group of all fills: int64[fills, 2]."""
    block = fills[:, 0] // BLOCK_US
    return np.column_stack((block - block.min(initial=np.iinfo(np.int64).max), np.zeros(len(block), np.int64)))


def _kinds(fills: "Table") -> "tuple[Column, Column, Column]":
    """Return of each fill its group of sides, of changes and of distances, as a place in ``GROUPS``; -1 for none."""
    side = fills[:, 2]
    unwinds = (fills[:, 8] - side * fills[:, 4]) * side < 0
    band = np.searchsorted(2 * np.array(BANDS_TICKS), side * (fills[:, 7] - 2 * fills[:, 3]), side="right") - 1
    bands = 1 + len(SIDE_NAMES) + len(CHANGE_NAMES)
    return np.where(side > 0, 1, 2), np.where(unwinds, 4, 3), np.where(band < 0, -1, bands + band)


def _means(fills: "Table", measured: "Moved", places: "Column", instrument: "Instrument") -> GroupMeans:
    """Return the means of side·half ticks over the known fills of each group of *places*, weighted by their lots."""
    blocks = int(places[:, 0].max(initial=-1)) + 1
    half_ticks, known = measured
    groups = len(GROUPS) if places.shape[1] > 2 else 1
    count, lots, moved, earned = block_sums(fills, half_ticks, known.view(np.uint8), places, blocks, groups)
    total, half_tick = lots.sum(axis=0), instrument.tick_e8 / (2 * E8)
    used = np.count_nonzero(lots, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, left = moved.sum(axis=0) / total, (moved.sum(axis=0) + earned) / total
        error = np.sqrt(((moved - mean * lots) ** 2).sum(axis=0) * used / (used - 1)) / total
    error[used < 2] = np.nan
    return GroupMeans(len(fills), count, mean * half_tick, error * half_tick, left * half_tick)
