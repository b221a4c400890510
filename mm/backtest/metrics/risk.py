"""Gain over risk: Sharpe, its interval and its correction, Sortino, Calmar; drawdowns, returns and inventory over time.

Instants are µs. Money comes as integers of any one unit (see ``pnl.AccountSeries``) or as floats; None is undefined.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.metrics import arithmetic
from mm.backtest.metrics._money import falls, held_sums
from mm.backtest.metrics._passes import add_spectra, draw_ratios, half_lag, lagged, on_grid
from mm.backtest.metrics.arithmetic import dot, median, quantiles
from mm.backtest.metrics.overfitting import probabilistic_sharpe
from mm.backtest.metrics.pnl import PERIOD_US, periods
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.metrics.pnl import AccountSeries

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]
    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]

PERIODS_PER_YEAR = 525_600
YEAR_US = PERIOD_US * PERIODS_PER_YEAR
DRAWS = 2_000
_LAGS = 1 << 6  # seconds of an autocorrelation at first
_AT_ONCE = 1 << 16  # values that are transformed at once, in stretches of as many as there are lags
_FEW_CHANGES = 400  # of an inventory: their products take less than a transform
_FEW = 8  # as many stretches or fewer are transformed in one
LEAST_PERIODS = 20
ROLLING = 60  # periods of a rolling ratio: an hour
GRID_US = 1_000_000
DAYS_A_YEAR = 365


def period_changes(equity: "Numbers", ends: tuple["Column", "NDArray[np.bool_]"]) -> tuple["Floats", int]:
    """Return the change of equity over each of the ``pnl.periods`` that count, and how many were left out."""
    row, used = ends
    changes = np.diff(equity[row]).astype(np.float64)
    return changes[used], int(len(used) - np.count_nonzero(used))


def sharpe(changes: "Floats") -> float | None:
    """Return mean over standard deviation (ddof 1) of 60 s changes, a year's worth (× √525600)."""
    ratio = _ratio(changes)
    return None if ratio is None else ratio * math.sqrt(PERIODS_PER_YEAR)


def rolling_sharpe(
    us: "Column", equity: "Floats", valid: "NDArray[np.bool_]", window: int = ROLLING
) -> tuple["Column", "Floats"]:
    """Return the end of each period, and the annual Sharpe ratio of the last *window* periods up to it.

    NaN where fewer than ``LEAST_PERIODS`` of them count, or those are all alike.
    """
    if len(us) == 0:
        return np.empty(0, np.int64), np.empty(0)
    row, used = periods(us, valid)
    changes = np.where(used, np.diff(np.where(valid, equity, 0.0)[row]), 0.0)
    ends = us[0] + PERIOD_US * np.arange(1, len(row))
    if len(changes) == 0:
        return ends, changes
    padded = [np.concatenate([np.zeros(window), column]) for column in (used.astype(np.float64), changes)]
    count, first = (np.lib.stride_tricks.sliding_window_view(column, window)[1:] for column in padded)
    total = count.sum(axis=1)
    mean = first.sum(axis=1) / np.maximum(total, 1.0)
    spread = (count * (first - mean[:, None]) ** 2).sum(axis=1) / np.maximum(total - 1, 1.0)
    known = (total >= LEAST_PERIODS) & (spread > 1e-24)
    ratio = np.divide(mean, np.sqrt(spread), out=np.full(len(mean), np.nan), where=known)
    return ends, ratio * math.sqrt(PERIODS_PER_YEAR)


def sharpe_autocorr(changes: "Floats") -> float | None:
    """Return the Sharpe ratio of a year when its periods are correlated: Lo, FAJ 58(4), 2002.

    √q becomes q / √(q + 2·Σ (q − j)·ρ_j), where q is the periods of a year. Autocorrelations are taken up to
    ``lags(n)`` and weighted 1 − j/(lags + 1), as Newey and West do, so that the root always exists.
    """
    ratio = _ratio(changes)
    if ratio is None:
        return None
    centred = changes - changes.mean()
    variance = dot(centred, centred)
    last = lags(len(changes))
    inflation = 1.0
    for lag in range(1, last + 1):
        rho = dot(centred[lag:], centred[:-lag]) / variance
        inflation += 2 * (1 - lag / (last + 1)) * (1 - lag / PERIODS_PER_YEAR) * rho
    return float(ratio * math.sqrt(PERIODS_PER_YEAR / inflation)) if inflation > 0 else None


def lags(periods: int) -> int:
    """Return how many autocorrelations to heed among so many periods: ⌊4·(n/100)^(2/9)⌋, less than n."""
    return min(periods - 1, int(4 * (periods / 100) ** (2 / 9)))


def block_length(periods: int) -> int:
    """Return the bootstrap's block, in periods: ⌈n^(1/3)⌉, longer than the correlation ``lags`` heeds."""
    return min(periods, max(lags(periods) + 1, math.ceil(math.cbrt(periods))))


def sharpe_ci95(changes: "Floats", seed: int) -> list[float] | None:
    """Return a 95 % interval of the Sharpe ratio by a studentised circular block bootstrap (Götze and Künsch 1996).

    2000 draws of blocks of ``block_length`` periods; each draw's ratio is taken in units of its own standard error, so
    that draws that miss the few large gains, and look safe for it, do not make the interval short. It is widened to
    the plain quantiles of the draws where these lie outside. None where the ratio itself is, under 20 periods, or where
    more than one draw in twenty has no variation (trades too rare to resample).
    """
    if _ratio(changes) is None or len(changes) < LEAST_PERIODS:
        return None
    centre, periods = float(changes.mean() / changes.std()), len(changes)
    scaled = (changes - changes.mean()) / changes.std()
    first = _drawn_blocks(periods, seed)
    block = block_length(periods)
    last_block = periods - (first.shape[1] - 1) * block
    sums, last_sums = (_block_sums(scaled, length) for length in (block, last_block))
    ratio, error = draw_ratios(first, sums, last_sums, block, last_block, centre)
    varied = error > 0
    if np.count_nonzero(varied) < 0.95 * DRAWS:
        return None
    far, near = quantiles((ratio[varied] - centre) / error[varied], (0.975, 0.025))
    own = _own_error(centre, sums, block)
    low, high = quantiles(ratio[varied], (0.025, 0.975))
    scale = math.sqrt((periods - 1) / periods * PERIODS_PER_YEAR)  # of a deviation with ddof 1
    return [min(low, centre - far * own) * scale, max(high, centre - near * own) * scale]


@lru_cache(maxsize=2)  # the points of a sweep have the same periods
def _drawn_blocks(periods: int, seed: int) -> "NDArray[np.int32]":
    """Return the first period of each block of each draw, int32[draws, blocks]."""
    blocks = -(-periods // block_length(periods))
    return np.random.default_rng(seed).integers(0, periods, size=(DRAWS, blocks)).astype(np.int32)


def _block_sums(scaled: "Floats", length: int) -> "Floats":
    """Return the sum and the sum of squares of the block from each period on, read off running sums: [periods, 2]."""
    rows = np.column_stack((scaled, scaled**2))
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(np.concatenate([rows, rows[:length]]), axis=0)])
    return np.ascontiguousarray(sums[length : length + len(scaled)] - sums[: len(scaled)])


def _own_error(centre: float, sums: "Floats", block: int) -> float:
    """Return the standard error of the ratio from the influence of all blocks of one length, overlapping."""
    influence = sums[:, 0] - centre / 2 * (sums[:, 1] - block)
    return math.sqrt(float((influence**2).mean()) / block / len(sums))


def sortino(changes: "Floats") -> float | None:
    """Return mean over downside deviation, √mean(min(change, 0)²) over all periods, a year's worth."""
    if len(changes) < 2:
        return None
    downside = math.sqrt(np.mean(np.minimum(changes, 0.0) ** 2))
    return float(changes.mean() / downside * math.sqrt(PERIODS_PER_YEAR)) if downside > 0 else None


def _ratio(changes: "Floats") -> float | None:
    if len(changes) < 2 or changes.min() == changes.max():
        return None
    return float(changes.mean() / changes.std(ddof=1))


def calmar(gain: float, drawdown: float, span_us: int) -> float | None:
    """Return *gain*, made in *span_us*, as that of a year, over the *drawdown*; None where either has no size."""
    return gain / span_us * YEAR_US / drawdown if drawdown > 0 and span_us > 0 else None


class Falls(NamedTuple):
    """How equity fell below its highest value so far.

    Attributes:
        deepest: The deepest fall, in the unit of equity; None without a row.
        longest_us: The longest time from a peak to the first row at least as high, or to the end of the data. The peak
            is the last row before equity falls; level stretches are none.
        below_us: For how long equity was below its highest value, each row until the next.
        span_us: From the first row to the last.
        unrecovered: Whether it still is.
    """

    deepest: Any = None
    longest_us: int | None = None
    below_us: int | None = None
    span_us: int = 0
    unrecovered: bool | None = None

    def under_water(self) -> dict[str, Any]:
        """Return the time below in s, its share of all time, and whether it lasts; None where no time passed."""
        seconds = None if self.below_us is None else self.below_us / US_PER_S
        share = self.below_us / self.span_us if self.below_us is not None and self.span_us else None
        return {"s": seconds, "share": share, "unrecovered": self.unrecovered}


def falls_of(us: "Column", equity: "Numbers") -> Falls:
    """Return how *equity* fell in the rows of a run, whose instants are *us*."""
    if len(us) == 0:
        return Falls()
    deepest, longest_us, below_us, unrecovered = falls(us, equity)
    return Falls(deepest, longest_us, below_us, int(us[-1] - us[0]), unrecovered)


def inventory_moments(us: "Column", inventory: "Column", target: int = 0) -> dict[str, float | None]:
    """Return mean, abs_mean, rms (weighted by the time held) and max (of the size) of *inventory* less its *target*.

    Without any time between first and last row, the weighted ones are None.
    """
    if len(us) == 0:
        return {"mean": None, "abs_mean": None, "max": None, "rms": None}
    held, size, square, least, most = held_sums(us, inventory, target)
    total, furthest = float(us[-1] - us[0]), float(max(-least, most))
    if total == 0:
        return {"mean": None, "abs_mean": None, "max": furthest, "rms": None}
    return {"mean": held / total, "abs_mean": size / total, "max": furthest, "rms": math.sqrt(square / total)}


def share_beyond(us: "Column", inventory: "Column", bound: float, target: int = 0) -> float | None:
    """Return the share of time in which *inventory* is *bound* or more from *target*; None if no time passed."""
    at = arithmetic.changes(inventory)  # few of a row a second
    held = np.diff(us[at], append=us[-1:])
    total = int(held.sum())
    return int(held[np.abs(inventory[at] - target) >= bound].sum()) / total if total else None


def half_life_s(us: "Column", inventory: "Column") -> float | None:
    """Return the first lag, in s, at which the autocorrelation of *inventory* (read every second) is below ½.

    None where inventory never changes on that grid.
    """
    if len(us) == 0:
        return None
    lag = half_lag(us, inventory, GRID_US, _FEW_CHANGES)
    if lag >= 0:
        return float(lag) if lag else None
    held = on_grid(us, inventory, GRID_US)
    held -= held.mean()
    half = 0.5 * lagged(held, 0)
    lags = _LAGS
    while lags < len(held) and lagged(held, lags - 1) >= half:
        lags *= 2  # one sum of products says whether it is worth the transform of so many
    while not len(below := np.flatnonzero(autocovariance(held, lags) < half)):
        lags *= 4
    return float(below[0])


def autocovariance(centred: "Floats", lags: int) -> "Floats":
    """Return Σ of the products of values, less their mean, with themselves so many steps later, for the first *lags*.

    Where all lags need not be held at once, it is a sum over stretches of the values.
    """
    lags = min(lags, len(centred))
    if _FEW * lags >= len(centred):
        size = _size(len(centred) + lags - 1)
        spectrum = np.fft.rfft(centred, size)
        return np.fft.irfft(spectrum * spectrum.conj(), size)[:lags]
    spectrum = np.zeros(lags + 1, np.complex128)
    many = max(_AT_ONCE // lags, 1)
    for begin in range(0, len(centred), many * lags):
        some = centred[begin : begin + (many + 1) * lags]
        whole = len(some) // lags
        rows = np.zeros((whole + 2, 2 * lags))  # as they are transformed: half of each is 0
        rows[:whole, :lags] = some[: whole * lags].reshape(whole, lags)
        rows[whole, : len(some) - whole * lags] = some[whole * lags :]
        each = np.fft.rfft(rows)[: many + 1]
        add_spectra(*(one.view(np.float64).reshape(*one.shape, 2) for one in (each, spectrum)))
    return np.fft.irfft(spectrum, 2 * lags)[:lags]


def _size(least: int) -> int:
    """Return the length of a fast transform of at least so many values: 8, 9, 10, 12 or 15 times a power of two."""
    power = max((least - 1).bit_length() - 4, 0)
    return next(size for size in (factor << power for factor in (8, 9, 10, 12, 15, 16)) if size >= least)


def moments(changes: "Floats") -> dict[str, Any]:
    """Return how the *changes* of 60 s periods are spread, in their own unit.

    ``std`` has ddof 1; ``skew`` and ``kurtosis`` are m₃/m₂^1.5 and m₄/m₂² (3 for a normal distribution);
    ``sharpe_per_period`` is mean over std. What needs a change is None without one, what needs variation without it.
    """
    names = ("mean", "std", "median", "worst", "best", "gained", "lost")
    found: dict[str, Any] = {"periods": len(changes), "period_s": PERIOD_US // US_PER_S, **dict.fromkeys(names)}
    if len(changes):
        found |= {
            "mean": float(changes.mean()),
            "median": median(changes),
            "worst": float(changes.min()),
            "best": float(changes.max()),
            "gained": float(np.count_nonzero(changes > 0) / len(changes)),
            "lost": float(np.count_nonzero(changes < 0) / len(changes)),
        }
    if len(changes) > 1:
        found["std"] = float(changes.std(ddof=1))
    return found | _shape(changes)


def _shape(changes: "Floats") -> dict[str, float | None]:
    if len(changes) < 2 or changes.min() == changes.max():
        return dict.fromkeys(("skew", "kurtosis", "sharpe_per_period"))
    centred = (changes - changes.mean()) / changes.std()
    return {
        "skew": float((centred**3).mean()),
        "kurtosis": float((centred**4).mean()),
        "sharpe_per_period": float(changes.mean() / changes.std(ddof=1)),
    }


def psr(found: dict[str, Any]) -> float | None:
    """Return the probability that the true Sharpe ratio behind these ``moments`` is above 0."""
    if found["sharpe_per_period"] is None:
        return None
    shape = {"skew": found["skew"], "kurtosis": found["kurtosis"]}
    return probabilistic_sharpe(found["sharpe_per_period"], periods=found["periods"], **shape)


def daily(account: "AccountSeries", days: Sequence[str], starts_us: Sequence[int], fill_us: "Column") -> dict[str, Any]:
    """Return PnL and fills of each day, and their annual Sharpe ratio: mean over deviation (ddof 1) × √365.

    A day begins at its instant of *starts_us* and ends where the next begins; the first one begins with the run. Its
    PnL is between the marks of the last rows at or before both, so that the days add up to the total. Days without
    as many starts are one.
    ``sharpe_daily`` is None under two days, or where they are all alike.
    """
    if not account.valid.any():
        return {"daily": [], "sharpe_daily": None}
    names, starts_us = (days, starts_us) if len(days) == len(starts_us) else ([" ".join(days)], ())
    edges = np.array([account.us[0], *starts_us[1:], account.us[-1]])
    rows = np.maximum(np.searchsorted(account.us, edges, side="right") - 1, 0)
    marks = [account.quote(account.equity[row]) for row in rows]
    parts = [account.quote(account.equity[b] - account.equity[a]) for a, b in pairwise(rows)]
    fills = np.diff(np.searchsorted(fill_us, edges[1:-1]), prepend=0, append=len(fill_us)).tolist()
    pnl = np.array(parts)
    varied = len(parts) > 1 and pnl.min() < pnl.max()
    rows_by_day = [
        {"day": day, "pnl": part, "n_fills": count, "equity": mark}
        for day, part, count, mark in zip(names, parts, fills, marks[1:], strict=True)
    ]
    return {
        "daily": rows_by_day,
        "sharpe_daily": float(pnl.mean() / pnl.std(ddof=1) * DAYS_A_YEAR**0.5) if varied else None,
    }
