"""Markouts of fills: captured half-spreads, and adverse selection by horizon and group."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics._markouts import EARNED, group_sums, moves_after
from mm.backtest.metrics.long_run import BLOCK_US
from mm.clock import US_PER_S
from mm.dataclass import dataclass
from mm.instrument import E8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.journal import Journal
    from mm.instrument import Instrument

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Moved = tuple[Column, NDArray[np.bool_]]  # by fill: change of bid + ask after it, and whether that is known

HORIZONS_S = (1, 5, 30, 60)
BANDS_TICKS = (0, 1, 2, 3, 5, 8, 13, 21, 55, 144)
SIDE_NAMES, CHANGE_NAMES = ("buy", "sell"), ("adding", "unwinding")
BAND_NAMES = (*(f"{near} to {far} ticks" for near, far in pairwise(BANDS_TICKS)), f"{BANDS_TICKS[-1]} ticks and more")
GROUPS = ("all", *SIDE_NAMES, *CHANGE_NAMES, *BAND_NAMES)


@dataclass(frozen=True)
class Mean:
    """A quantity-weighted mean over fills, in quote asset per unit of the base asset.

    Attributes:
        value: The mean; None without a usable fill.
        error: Its standard error, with fills of the same five minutes as one draw; None with fewer than two blocks.
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
        error: Its standard error; NaN with fewer than two blocks.
        left: Mean of the measured move plus the half-spread captured relative to the mid at the fill.
    """

    fills: int
    count: "Column"
    value: "Floats"
    error: "Floats"
    left: "Floats"

    def mean(self) -> Mean:
        """Return the mean over all fills, the first group."""
        value, error = (None if np.isnan(one[0]) else float(one[0]) for one in (self.value, self.error))
        return Mean(value, error, self.fills - int(self.count[0]))


def half_spreads(
    journal: "Journal", instrument: "Instrument", horizons_s: Sequence[int] = HORIZONS_S
) -> tuple[Mean, dict[int, GroupMeans]]:
    """Return the effective half-spread, and the adverse selection of groups of fills at each horizon.

    The effective half-spread is the mean of s·(m − p): half-spread captured relative to the mid at the fill. Adverse
    selection is the mean of s·(m_h − m): the move of the mid in our favour over the horizon; negative is adverse. A
    fill is left out if the data end first, or the book is not valid at either instant. The groups are all fills,
    buys, sells, fills that add to the inventory (or open one), fills that unwind it, and the distances of
    ``BANDS_TICKS`` from the mid, excluding the far end.
    """
    after_us = [EARNED, *(h * US_PER_S for h in horizons_s)]
    earned, *after = _means(journal, after_us, instrument)
    return earned.mean(), dict(zip(horizons_s, after, strict=True))


def moves(journal: "Journal", horizon_s: float) -> "Moved":
    """Return the change of bid + ask over the horizon after each fill, 0 if unknown, and whether it is known."""
    moved: Moved = moves_after(journal.fills, journal.mids, round(horizon_s * US_PER_S), journal.counters["last_us"])
    return moved


def markouts(after: Mapping[int, GroupMeans]) -> list[dict[str, Any]]:
    """Return a row per group and horizon of the adverse selection of :func:`half_spreads`, except the group of all.

    Each row covers the fills known at its horizon, weighted by quantity; errors treat the fills of five minutes as one
    draw; ``realised`` is the realised half-spread. A group without such a fill has no row.
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


def _means(journal: "Journal", after_us: Sequence[int], instrument: "Instrument") -> list[GroupMeans]:
    """Return the means of side·half ticks over each horizon after fills, by group, weighted by lots."""
    fills, half_ticks, last_us = journal.fills, 2 * np.array(BANDS_TICKS, np.int64), journal.counters["last_us"]
    count, sums = group_sums(fills, journal.mids, np.array(after_us, np.int64), half_ticks, BLOCK_US, last_us)
    lots, moved, earned, used, squares = sums
    half_tick = instrument.tick_e8 / (2 * E8)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, left = moved / lots, (moved + earned) / lots
        error = np.sqrt(squares * used / (used - 1)) / lots
    error[used < 2] = np.nan
    means = (count, mean * half_tick, error * half_tick, left * half_tick)
    return [GroupMeans(len(fills), *(one[place] for one in means)) for place in range(len(after_us))]
