"""What fills were worth later: half-spreads earned, and how far the mid went against them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import dot
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


def effective_half_spread(fills: "Table", instrument: "Instrument") -> Mean:
    """Return the mean of s·(m − p): what a fill earned against the mid of its instant."""
    return _mean(fills, fills[:, 7] - 2 * fills[:, 3], fills[:, 7] > 0, instrument)


def adverse_selection(
    journal: "Journal", instrument: "Instrument", horizon_s: int, moved: "Moved | None" = None
) -> Mean:
    """Return the mean of s·(m_h − m): how far the mid went our way within *horizon_s* after a fill.

    Negative is adverse. A fill is left out when the data end first, or the book is not valid at either instant.
    *moved* is what ``moves`` returns, where it is known.
    """
    return _mean(journal.fills, *(moved or moves(journal, horizon_s)), instrument)


def moves(journal: "Journal", horizon_s: float) -> "Moved":
    """Return how far bid + ask went after each fill, and of which fills that is known."""
    fills = journal.fills
    later_us = fills[:, 0] + round(horizon_s * US_PER_S)
    later2 = mid2_at(journal.mids, later_us)
    return later2 - fills[:, 7], (fills[:, 7] > 0) & (later2 > 0) & (later_us <= journal.counters["last_us"])


def markouts(
    journal: "Journal", instrument: "Instrument", moved: "Mapping[float, Moved] | None" = None
) -> list[dict[str, Any]]:
    """Return effective half-spread, adverse selection and what is left of both, by groups of fills and horizon.

    Groups are buys, sells, fills that add to the inventory (or begin one) and fills that unwind it, and the
    distances of ``BANDS_TICKS`` from the mid, the far end not included. Each row is over the fills known at its
    horizon, weighted by quantity; errors take the fills of five minutes for one draw. A group without such a fill has
    no row. *moved* is what ``moves`` returns for each horizon, where it is known.
    """
    fills, half_tick = journal.fills, instrument.tick_e8 / (2 * E8)
    side, lots = fills[:, 2], fills[:, 4].astype(np.float64)
    earned2 = side * (fills[:, 7] - 2 * fills[:, 3])
    unwinds = (fills[:, 8] - side * fills[:, 4]) * side < 0
    band = np.searchsorted(2 * np.array(BANDS_TICKS), earned2, side="right") - 1
    groups = ((SIDE_NAMES, np.where(side > 0, 0, 1)), (CHANGE_NAMES, unwinds.astype(np.int64)), (BAND_NAMES, band))
    rows = []
    for horizon_s in HORIZONS_S:
        moved2, known = moved[horizon_s] if moved else moves(journal, horizon_s)
        for names, group in groups:
            met = known & (group >= 0)
            found = _Groups(group[met], fills[met, 0], lots[met])
            after, left = found.mean((side * moved2)[met]), found.mean((side * moved2 + earned2)[met])
            error = found.error((side * moved2)[met], after)
            rows += [
                {
                    "fills": names[place],
                    "horizon_s": horizon_s,
                    "n": int(found.count[place]),
                    "adverse_selection": float(after[place]) * half_tick,
                    "se": None if np.isnan(error[place]) else float(error[place]) * half_tick,
                    "realised": float(left[place]) * half_tick,
                }
                for place in np.flatnonzero(found.count).tolist()
            ]
    return rows


class _Groups:
    """Weighted means of groups of fills, all at once; NaN where there are none."""

    def __init__(self, group: "Column", us: "Column", weight: "Floats") -> None:
        self.group, self.weight = group, weight
        self.count = np.bincount(group)
        self.total = np.bincount(group, weight)
        block = us // BLOCK_US
        self.block = block - block.min(initial=np.iinfo(np.int64).max)

    def mean(self, value: "Column") -> "Floats":
        """Return the mean of *value* of each group."""
        with np.errstate(invalid="ignore"):
            mean: Floats = np.bincount(self.group, self.weight * value) / self.total
        return mean

    def error(self, value: "Column", mean: "Floats") -> "Floats":
        """Return the standard error of each *mean*, as ``_mean`` has it; NaN under two blocks."""
        shape = (len(self.count), int(self.block.max(initial=0)) + 1)
        cell = self.group * shape[1] + self.block
        scores = np.bincount(cell, self.weight * (value - mean[self.group]), shape[0] * shape[1]).reshape(shape)
        blocks = np.count_nonzero(np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            error: Floats = np.sqrt((scores**2).sum(axis=1) * blocks / (blocks - 1)) / self.total
        return np.where(blocks > 1, error, np.nan)


def mid2_at(mids: "Table", us: "Column") -> "Column":
    """Return the ``mid2_ticks`` in force at each instant; 0 where there was none."""
    if len(mids) == 0:
        return np.zeros(len(us), np.int64)
    row = np.searchsorted(mids[:, 0], us, side="right") - 1
    return np.where(row >= 0, mids[np.maximum(row, 0), 1], 0)


def _mean(fills: "Table", half_ticks: "Column", known: "NDArray[np.bool_]", instrument: "Instrument") -> Mean:
    """Return the mean of side·*half_ticks* over the *known* fills, weighted by their lots."""
    weight = fills[known, 4].astype(np.float64)
    value = (fills[:, 2] * half_ticks)[known].astype(np.float64)
    left_out = len(fills) - len(value)
    if len(value) == 0:
        return Mean(None, None, left_out)
    half_tick = instrument.tick_e8 / (2 * E8)
    total = float(weight.sum())
    mean = dot(weight, value) / total
    block = fills[known, 0] // BLOCK_US
    block -= block.min()
    scores = np.bincount(block, weights=weight * (value - mean))
    blocks = np.count_nonzero(np.bincount(block))
    if blocks < 2:
        return Mean(mean * half_tick, None, left_out)
    error = math.sqrt(dot(scores, scores) * blocks / (blocks - 1)) / total
    return Mean(mean * half_tick, error * half_tick, left_out)
