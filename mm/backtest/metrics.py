"""Numbers that judge a run: small pure functions of arrays.

Instants are µs. Money and inventory come as integers of any one unit (see ``attribution.Ledger``)
or as floats, and what returns money returns it in that unit. What is undefined is None.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Instants = NDArray[np.int64]
    Floats = NDArray[np.float64]
    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]

PERIOD_US = 60_000_000
PERIODS_PER_YEAR = 525_600
YEAR_US = PERIOD_US * PERIODS_PER_YEAR
DRAWS = 2_000
LEAST_PERIODS = 20
GRID_US = 1_000_000
ROLLING = 60  # periods of a rolling ratio: an hour


def periods(us: "Instants", valid: "NDArray[np.bool_]") -> tuple["Instants", "NDArray[np.bool_]"]:
    """Return the rows that stand at the ends of the 60 s periods from the first row on, and which periods count.

    The row at an instant is the last one at or before it. A period does not count when equity at either of its ends
    is not *valid* (no mid) or older than a period (nothing was recorded).
    """
    ends = np.arange(us[0], us[-1] + 1, PERIOD_US)
    row = np.searchsorted(us, ends, side="right") - 1
    known = valid[row] & (ends - us[row] < PERIOD_US)
    return row, known[1:] & known[:-1]


def period_changes(us: "Instants", equity: "Numbers", valid: "NDArray[np.bool_]") -> tuple["Floats", int]:
    """Return the change of equity over each of the :func:`periods` that count, and how many were left out."""
    if len(us) == 0:
        return np.empty(0), 0
    row, used = periods(us, valid)
    changes = np.diff(equity[row]).astype(np.float64)
    return changes[used], int(len(used) - np.count_nonzero(used))


def sharpe(changes: "Floats") -> float | None:
    """Return mean over standard deviation (ddof 1) of 60 s changes, a year's worth (× √525600)."""
    ratio = _ratio(changes)
    return None if ratio is None else ratio * math.sqrt(PERIODS_PER_YEAR)


def rolling_sharpe(
    us: "Instants", equity: "Floats", valid: "NDArray[np.bool_]", window: int = ROLLING
) -> tuple["Instants", "Floats"]:
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
    """Return the 2.5 % and 97.5 % points of the Sharpe ratio under a circular block bootstrap.

    2000 draws of blocks of ``block_length`` periods. None where the ratio itself is, under 20 periods, or where more
    than one draw in twenty has no variation (trades too rare to resample).
    """
    if _ratio(changes) is None or len(changes) < LEAST_PERIODS:
        return None
    scaled = (changes - changes.mean()) / changes.std()
    total, squares = _resampled_sums(scaled, np.random.default_rng(seed))
    periods = len(changes)
    variance = (squares - total**2 / periods) / (periods - 1)
    varied = variance > 1e-12
    if np.count_nonzero(varied) < 0.95 * DRAWS:
        return None
    mean = total[varied] / periods + changes.mean() / changes.std()
    return quantiles(mean / np.sqrt(variance[varied]) * math.sqrt(PERIODS_PER_YEAR), (0.025, 0.975))


def _resampled_sums(values: "Floats", random: np.random.Generator) -> tuple["Floats", "Floats"]:
    """Return the sum, and the sum of squares, of each draw; blocks are read off running sums, not copied."""
    periods = len(values)
    block = block_length(periods)
    circle = np.concatenate([values, values[:block]])
    sums = np.concatenate([[0.0], np.cumsum(circle)])
    squares = np.concatenate([[0.0], np.cumsum(circle**2)])
    blocks = -(-periods // block)
    first = random.integers(0, periods, size=(DRAWS, blocks))
    last = first + block
    last[:, -1] = first[:, -1] + periods - (blocks - 1) * block
    return (sums[last] - sums[first]).sum(axis=1), (squares[last] - squares[first]).sum(axis=1)


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


def max_drawdown(equity: "Numbers") -> Any:
    """Return the deepest fall of equity below its highest point so far, 0 or more; None without a row."""
    if len(equity) == 0:
        return None
    return np.max(np.maximum.accumulate(equity) - equity)


def drawdown_duration_us(us: "Instants", equity: "Numbers") -> int | None:
    """Return the longest time from a peak to the first row at least as high, or to the end of the data.

    The peak is the last row before equity falls; level stretches are not drawdowns.
    """
    if len(equity) == 0:
        return None
    peak = np.flatnonzero(equity >= np.maximum.accumulate(equity))
    fell = np.diff(peak) > 1
    times = (us[peak[1:]] - us[peak[:-1]])[fell]
    unrecovered = int(us[-1] - us[peak[-1]])
    return max(unrecovered, int(times.max(initial=0)))


def calmar(gain: float, drawdown: float, span_us: int) -> float | None:
    """Return *gain*, made in *span_us*, as that of a year, over the *drawdown*; None where either has no size."""
    return gain / span_us * YEAR_US / drawdown if drawdown > 0 and span_us > 0 else None


def inventory_moments(us: "Instants", inventory: "Instants") -> dict[str, float | None]:
    """Return mean, abs_mean, rms (weighted by the time held) and max (of the size) of *inventory*.

    Without any time between first and last row, the weighted ones are None.
    """
    held = np.diff(us).astype(np.float64)
    size = inventory[:-1].astype(np.float64)
    total = float(held.sum())
    most = float(np.abs(inventory.astype(np.float64)).max()) if len(inventory) else None
    if total == 0:
        return {"mean": None, "abs_mean": None, "max": most, "rms": None}
    return {
        "mean": dot(held, size) / total,
        "abs_mean": dot(held, np.abs(size)) / total,
        "max": most,
        "rms": math.sqrt(dot(held, size**2) / total),
    }


def share_beyond(us: "Instants", inventory: "Instants", bound: float) -> float | None:
    """Return the share of the time in which the size of *inventory* is *bound* or more; None where no time passed."""
    held = np.diff(us)
    total = int(held.sum())
    return int(held[np.abs(inventory[:-1]) >= bound].sum()) / total if total else None


def half_life_s(us: "Instants", inventory: "Instants") -> float | None:
    """Return the first lag, in s, at which the autocorrelation of *inventory* (read every second) is below ½.

    None where inventory never changes on that grid.
    """
    if len(us) == 0:
        return None
    grid = np.arange(us[0], us[-1] + 1, GRID_US)
    held = inventory[np.searchsorted(us, grid, side="right") - 1].astype(np.float64)
    if held.min() == held.max():
        return None
    below = np.flatnonzero(autocovariance(held) < 0.5 * held.var() * len(held))
    return float(below[0])


def autocovariance(values: "Floats") -> "Floats":
    """Return Σ of the products of *values* (less their mean) with themselves so many steps later, for every lag."""
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(values - values.mean(), size)
    return np.fft.irfft(spectrum * spectrum.conj(), size)[: len(values)]


def partial_orders(order_ids: "Instants", filled: "Instants", placed_ids: "Instants", placed: "Instants") -> int:
    """Return how many orders have a fill smaller than themselves; *placed_ids* rise."""
    size = placed[np.searchsorted(placed_ids, order_ids)]
    return len(set(order_ids[filled < size].tolist()))


def quantiles(values: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the values below which these *shares* lie, between two neighbours on their line, as np.quantile does.

    That one imports numpy.ma, for longer than all charts of a page take; so does np.median.
    """
    return quantiles_of_sorted(np.sort(values), shares)


def quantiles_of_sorted(inside: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the same of values that rise."""
    last, found = len(inside) - 1, []
    for share in shares:
        low = int(share * last)
        near, far = float(inside[low]), float(inside[min(low + 1, last)])
        found.append(near + (far - near) * (share * last - low))
    return found


def dot(first: "Numbers", second: "Numbers") -> float:
    """Return the sum of the products.

    Not ``first @ second``: BLAS sums in an order that depends on the machine and its cores, so that the same run would
    have other last digits elsewhere, and its idle threads spin for longer than all of a summary takes.
    """
    return float((first * second).sum())


def exact_sum(values: "Instants") -> int:
    """Return the sum of whole numbers, also where 64 bits do not hold it."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def quotient(over: float, under: float) -> float | None:
    """Return over/under, or None where there is nothing to divide by."""
    return over / under if under else None
