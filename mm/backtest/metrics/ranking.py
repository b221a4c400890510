"""Order of a sweep's points: lower bounds of the mean quoting PnL, the worst fill assumption, ties."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mm.backtest.metrics.spans import PeriodBlocks
from mm.base.arrays import Floats
from mm.base.estimate import column_ends

Row = dict[str, Any]
LONG, SHORT = 30, 5  # periods of 60 s in a block
ENOUGH = 20  # long blocks


def block_periods(periods: int) -> int:
    """Half an hour, or 5 min in a short run."""
    return LONG if periods // LONG >= ENOUGH else SHORT


def mean_ends(pnl: Floats, counts: Sequence[int], comparisons: float = 1.0) -> tuple[Floats, Floats]:
    """Each column's 95 % interval (Student's t) of the mean PnL per block; NaN below two blocks."""
    length = block_periods(len(pnl))
    blocks = PeriodBlocks.of(counts, length)
    sums, sizes = blocks.sums(pnl), blocks.sizes.astype(np.float64)
    if not len(sums):
        return np.full(pnl.shape[1], np.nan), np.full(pnl.shape[1], np.nan)
    rate, _, half = column_ends(sums, sizes, comparisons=comparisons, independent=True)
    return length * (rate - half), length * (rate + half)


def are_tied(pnl: Floats, counts: Sequence[int], first: Floats) -> list[bool]:
    """Whether 0 is in each column's 95 % interval of the mean difference per block to *first*.

    The same PnL chose *first*, so the intervals hold at once for every pair.
    """
    columns = pnl.shape[1]
    low, high = mean_ends(pnl - first[:, None], counts, columns * (columns - 1) / 2)
    return [not (a > 0 or b < 0) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def tie_of(row: Mapping[str, Any]) -> str:
    if row["rank"] == 1:
        return "first"
    return "–" if row["tied"] is None else "yes" if row["tied"] else "no"


def assumption_of(row: Mapping[str, Any], axes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(row[axis.name] for axis in axes if axis.fills)


def design_of(row: Mapping[str, Any], axes: Sequence[Any]) -> tuple[str, ...]:
    return tuple(row[axis.name] for axis in axes if not axis.fills)


def rank(rows: list[Row], axes: Sequence[Any], rank_by: str) -> None:
    """Sort by each design's least value over fill assumptions; its worst assumption comes first."""
    concludes = any(row.get("knows_next_move") is not False for row in rows if row["status"] == "ok")
    sign = -1.0 if rank_by.startswith("max_drawdown") else 1.0
    values: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        if concludes and row["status"] == "ok" and row.get("knows_next_move") is False:
            continue
        value = row[rank_by] if row["status"] == "ok" else None
        values.setdefault(design_of(row, axes), []).append(math.nan if value is None else sign * value)
    least = dict.fromkeys((design_of(row, axes) for row in rows), math.nan)
    least |= {design: math.nan if any(map(math.isnan, known)) else min(known) for design, known in values.items()}
    order = {design: place for place, design in enumerate(least)}

    def place(row: Row) -> tuple[bool, bool, float, int, float]:
        design, value = design_of(row, axes), row[rank_by]
        score = least[design]
        missing = math.isnan(score)
        own = math.inf if value is None or row.get("knows_next_move") is False else sign * value
        return row["status"] != "ok", missing, 0.0 if missing else -score, order[design], own

    rows.sort(key=place)
    ranks: dict[tuple[str, ...], int] = {}
    for row in rows:
        design = design_of(row, axes)
        ranked = row["status"] == "ok" and not math.isnan(least[design])
        row["rank"] = ranks.setdefault(design, len(ranks) + 1) if ranked else None
