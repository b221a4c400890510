"""The PnL of all trials on one grid of time, and what picking one of them by its past has come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.ratios import PERIODS_PER_YEAR
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Instants = NDArray[np.int64]

LEAST_BLOCKS = 4
_NOTHING = 1e-9  # what rounding leaves of gains and losses that cancel
BLOCKS_S = (3600, 900, 300)  # the first of which there are enough is taken
SERIES_DIFFER = "the runs' 60 s periods do not stand on one grid of time"


@dataclass(frozen=True)
class Panel:
    """PnL by period (rows) and trial (columns), of the periods that count in all of them.

    Attributes:
        start_us: Begin of each period.
        pnl: What each trial gained in it, in the quote asset.
    """

    start_us: "Instants"
    pnl: "Floats"

    @classmethod
    def of(cls, series: Sequence[Mapping[str, Any]]) -> "Panel | None":
        """Return the panel of trials' ``series``; None where they do not stand on one grid, or there are none."""
        grids = {(one["start_us"], one["period_s"], len(one["pnl"])) for one in series}
        if len(grids) != 1:
            return None
        start_us, period_s, length = grids.pop()
        pnl = np.array([one["pnl"] for one in series], dtype=np.float64).reshape(len(series), length).T
        known = ~np.isnan(pnl)
        if length == 0 or (known.any(axis=1) != known.all(axis=1)).any():
            return None
        counts = np.flatnonzero(known.all(axis=1))
        return cls(start_us + counts * period_s * US_PER_S, pnl[counts])

    def blocks(self, days_us: Sequence[int]) -> tuple[list[slice], str]:
        """Return the stretches in which a choice is made anew, and what each of them is.

        Days, where there are enough of them; else hours of what counts, or as much less as gives enough.

        Args:
            days_us: The first instant of each day.
        """
        if len(days_us) >= LEAST_BLOCKS:
            edges = [0, *np.searchsorted(self.start_us, np.asarray(days_us[1:])).tolist(), len(self.pnl)]
            return [slice(*pair) for pair in pairwise(edges) if pair[0] < pair[1]], "a day"
        lengths = [seconds // 60 for seconds in BLOCKS_S]
        length = next((one for one in lengths if len(self.pnl) // one >= LEAST_BLOCKS), lengths[-1])
        edges = list(range(0, len(self.pnl) - length + 1, length))
        cuts = [slice(at, at + length) for at in edges]
        if cuts:
            cuts[-1] = slice(cuts[-1].start, len(self.pnl))
        return cuts, "an hour" if length == lengths[0] else f"{length} minutes"


def sharpes(pnl: "Floats") -> "Floats":
    """Return the Sharpe ratio of a year of each column; NaN where it has no variation."""
    if len(pnl) < 2:
        return np.full(pnl.shape[1], np.nan)
    spread = pnl.std(axis=0, ddof=1)
    varied = pnl.min(axis=0) < pnl.max(axis=0)
    found = np.full(pnl.shape[1], np.nan)
    np.divide(pnl.mean(axis=0), spread, out=found, where=varied)
    found *= PERIODS_PER_YEAR**0.5
    found[np.abs(found) < _NOTHING] = 0.0
    return found


def scores(pnl: "Floats", rank_by: str) -> "Floats":
    """Return how good each column is by *rank_by*, more being better: -inf where that is not defined.

    ``pnl_total`` is their sum, ``max_drawdown`` the depth of their fall, ``calmar`` one over the other and ``sortino``
    has its own deviation; whatever else is asked for is the Sharpe ratio.
    """
    gain = pnl.sum(axis=0)
    if rank_by == "pnl_total":
        found = gain
    elif rank_by in ("max_drawdown", "calmar"):
        level = np.cumsum(np.vstack([np.zeros(pnl.shape[1]), pnl]), axis=0)
        fall = (np.maximum.accumulate(level, axis=0) - level).max(axis=0)
        found = -fall if rank_by == "max_drawdown" else _ratio(gain, fall)
    elif rank_by == "sortino":
        found = _ratio(pnl.mean(axis=0), np.sqrt((np.minimum(pnl, 0.0) ** 2).mean(axis=0)))
    else:
        found = sharpes(pnl)
    return np.where(np.isnan(found), -np.inf, found)


def _ratio(over: "Floats", under: "Floats") -> "Floats":
    found = np.full(over.shape, np.nan)
    np.divide(over, under, out=found, where=under > 0)
    return found


@dataclass(frozen=True)
class Forward:
    """What came of taking, block after block, the trial that was best in all blocks before.

    Attributes:
        block: What a block is, in words.
        picked: The column taken in each block from the second on.
        cuts: First and last period (not taken) of each of those blocks.
        start_us: Begin of each period of those blocks.
        pnl: What the taken trials gained in it.
        hindsight: The column that is best over everything.
        others: What every trial gained in those blocks.
    """

    block: str
    picked: list[int]
    cuts: list[tuple[int, int]]
    start_us: "Instants"
    pnl: "Floats"
    hindsight: int
    others: "Floats"


def forward(panel: Panel, days_us: Sequence[int], rank_by: str) -> Forward | None:
    """Return the walk-forward of the choice itself; None under two trials, or without enough blocks."""
    cuts, block = panel.blocks(days_us)
    if len(cuts) < LEAST_BLOCKS or panel.pnl.shape[1] < 2:
        return None
    picked = [int(scores(panel.pnl[: cut.start], rank_by).argmax()) for cut in cuts[1:]]
    gained = [panel.pnl[cut, column] for cut, column in zip(cuts[1:], picked, strict=True)]
    first = cuts[1].start
    return Forward(
        block,
        picked,
        [(cut.start, cut.stop) for cut in cuts[1:]],
        panel.start_us[first:],
        np.concatenate(gained),
        int(scores(panel.pnl, rank_by).argmax()),
        panel.pnl[first:].sum(axis=0),
    )


def halves(panel: Panel) -> tuple["Floats", "Floats"]:
    """Return the Sharpe ratio of a year of each trial in the first and the second half of the periods."""
    middle = len(panel.pnl) // 2
    return sharpes(panel.pnl[:middle]), sharpes(panel.pnl[middle:])


def rank_correlation(first: "Floats", second: "Floats") -> float | None:
    """Return Spearman's correlation of two scores of the same trials; None under three of them, or without ranks."""
    both = ~(np.isnan(first) | np.isnan(second))
    if np.count_nonzero(both) < 3:
        return None
    one, other = _ranks(first[both]), _ranks(second[both])
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / spread if spread > 0 else None


def _ranks(values: "Floats") -> "Floats":
    """Return the rank of each value; equal ones share theirs."""
    order = np.sort(values)
    return (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") + 1) / 2
