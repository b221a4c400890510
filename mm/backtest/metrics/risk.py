"""Risk figures: Sharpe, its interval and correction, Sortino, Calmar; drawdowns, returns and inventory over time.

Instants are µs; money is integers of any unit (``pnl.AccountSeries``) or floats; undefined is None.
"""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.backtest.metrics.spans import PERIOD_US, Spans
from mm.base import arithmetic
from mm.base.arithmetic import dot, median, quantiles
from mm.base.arrays import Floats, Ints, Numbers
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.backtest.metrics.pnl import AccountSeries
    from mm.backtest.run_terms import RunTerms


DRAWS = 2_000
_AT_ONCE = 1 << 18  # blocks of draws per chunk
LEAST_PERIODS = 20
DRIFTS = 12  # half-lives, and shares of the variance, that are tried
SHORTEST_DRIFT, LEAST_DRIFT = 0.5, 0.02  # half-life in periods, and share
DRIFT_GAIN = 3.0  # nats
GRID_US = 1_000_000


def periods_per_year(spans: Spans, days: int, days_a_year: int) -> float:
    """60 s periods with a market in a mean day, times its days a year."""
    return spans.covered_us / PERIOD_US / max(days, 1) * days_a_year


def sharpe(changes: Floats, per_year: float) -> float | None:
    """Annualised: mean over standard deviation (ddof 1) of 60 s changes × √periods per year."""
    ratio = _ratio(changes)
    return None if ratio is None else ratio * math.sqrt(per_year)


def sharpe_autocorr(changes: Floats, per_year: float) -> float | None:
    """Annualised, corrected for autocorrelation: Lo, FAJ 58(4), 2002."""
    ratio = _ratio(changes)
    if ratio is None:
        return None
    factor = inflation(changes)
    return float(ratio * math.sqrt(per_year / factor)) if factor > 0 else None


def inflation(changes: Floats) -> float:
    """The long-run variance of the mean over its variance for independent changes.

    Autocorrelations up to ``lags(n)`` are weighted 1 − j/(lags + 1): Newey and West.
    """
    centred = changes - changes.mean()
    variance = dot(centred, centred)
    last = lags(len(changes))
    factor = 1.0
    for lag in range(1, last + 1):
        rho = dot(centred[lag:], centred[:-lag]) / variance
        factor += 2 * (1 - lag / (last + 1)) * rho
    return float(factor)


def lags(periods: int) -> int:
    """⌊4·(n/100)^(2/9)⌋, less than n."""
    return min(periods - 1, int(4 * (periods / 100) ** (2 / 9)))


def block_length(periods: int) -> int:
    """⌈n^(1/3)⌉, but longer than ``lags``, at most n."""
    return min(periods, max(lags(periods) + 1, math.ceil(math.cbrt(periods))))


def sharpe_ci95(changes: Floats, per_year: float, seed: int) -> list[float] | None:
    """A studentised circular block bootstrap (Götze and Künsch 1996).

    2000 draws of blocks of ``block_length``. Each ratio is studentised by its own standard error, so that draws without
    the few large gains do not make the interval too short. It is widened to the draws' plain quantiles if these are
    outside.
    """
    if _ratio(changes) is None or len(changes) < LEAST_PERIODS:
        return None
    centre, periods = float(changes.mean() / changes.std()), len(changes)
    scaled = (changes - changes.mean()) / changes.std()
    block = block_length(periods)
    first = np.random.default_rng(seed).integers(0, periods, size=(DRAWS, -(-periods // block)))
    last_block = periods - (first.shape[1] - 1) * block
    sums, last_sums = (_block_sums(scaled, length) for length in (block, last_block))
    lengths = np.append(np.full(first.shape[1] - 1, block), last_block)
    drawn = (
        np.concatenate((sums[blocks[:, :-1]], last_sums[blocks[:, -1:]]), axis=1)
        for blocks in np.array_split(first, -(-first.size // _AT_ONCE))
    )
    ratio, error = np.concatenate([_draw_ratios(each, lengths, centre) for each in drawn], axis=1)
    varied = error > 0
    if np.count_nonzero(varied) < 0.95 * DRAWS:
        return None
    far, near = quantiles((ratio[varied] - centre) / error[varied], (0.975, 0.025))
    influence = sums[:, 0] - centre / 2 * (sums[:, 1] - block)  # of all blocks, overlapping
    own = math.sqrt(float((influence**2).mean()) / block / periods)
    low, high = quantiles(ratio[varied], (0.025, 0.975))
    scale = math.sqrt((periods - 1) / periods * per_year)  # of a deviation with ddof 1
    return [min(low, centre - far * own) * scale, max(high, centre - near * own) * scale]


def _block_sums(scaled: Floats, length: int) -> Floats:
    rows = np.column_stack((scaled, scaled**2))
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(np.concatenate([rows, rows[:length]]), axis=0)])
    return np.ascontiguousarray(sums[length : length + len(scaled)] - sums[: len(scaled)])


def _draw_ratios(drawn: Floats, lengths: Ints, centre: float) -> Floats:
    periods = lengths.sum()
    values, squares = drawn[:, :, 0], drawn[:, :, 1]
    mean = values.sum(axis=1, keepdims=True) / periods
    variance = squares.sum(axis=1, keepdims=True) / periods - mean * mean
    varied = variance > 1e-12
    variance[~varied] = 1.0
    ratio = (centre + mean) / np.sqrt(variance)
    scaled = (squares - 2 * mean * values + lengths * mean**2) / variance - lengths
    influence = (values - lengths * mean) / np.sqrt(variance) - ratio / 2 * scaled
    error = np.sqrt((influence**2).sum(axis=1, keepdims=True)) / periods
    return np.stack((ratio, np.where(varied & (error > 1e-12), error, 0.0)))[:, :, 0]


def sortino(changes: Floats, per_year: float) -> float | None:
    """Annualised mean over downside deviation, √mean(min(change, 0)²) over all periods."""
    if len(changes) < 2:
        return None
    downside = math.sqrt(np.mean(np.minimum(changes, 0.0) ** 2))
    return float(changes.mean() / downside * math.sqrt(per_year)) if downside > 0 else None


def _ratio(changes: Floats) -> float | None:
    if len(changes) < 2 or changes.min() == changes.max():
        return None
    return float(changes.mean() / changes.std(ddof=1))


def calmar(gain: float, drawdown: float, years: float) -> float | None:
    return gain / years / drawdown if drawdown > 0 and years > 0 else None


class Drawdowns(NamedTuple):
    deepest: Any = None
    longest_us: int | None = None
    below_us: int | None = None
    span_us: int = 0
    unrecovered: bool | None = None

    def under_water(self) -> dict[str, Any]:
        """Seconds below the peak, as a share of the span, and whether it lasts."""
        seconds = None if self.below_us is None else self.below_us / US_PER_S
        share = self.below_us / self.span_us if self.below_us is not None and self.span_us else None
        return {"s": seconds, "share": share, "unrecovered": self.unrecovered}


def drawdowns_of(us: Ints, equity: Numbers) -> Drawdowns:
    if len(us) == 0:
        return Drawdowns()
    highest = np.maximum.accumulate(equity)
    below = equity < highest
    peaks = np.flatnonzero(~below)
    falling = np.flatnonzero(np.diff(peaks) > 1)
    recovered_us = int((us[peaks[falling + 1]] - us[peaks[falling]]).max(initial=0))
    return Drawdowns(
        deepest=(highest - equity).max(),
        longest_us=max(recovered_us, int(us[-1] - us[peaks[-1]])),
        below_us=int(np.diff(us)[below[:-1]].sum()),
        span_us=int(us[-1] - us[0]),
        unrecovered=bool(below[-1]),
    )


def inventory_moments(us: Ints, inventory: Ints, target: int = 0) -> dict[str, float | None]:
    if len(us) == 0:
        return {"mean": None, "abs_mean": None, "max": None, "rms": None}
    away, time, total = inventory - target, np.diff(us).astype(np.float64), float(us[-1] - us[0])
    furthest, held = float(arithmetic.greatest(away)), away[:-1].astype(np.float64)
    if total == 0:
        return {"mean": None, "abs_mean": None, "max": furthest, "rms": None}
    mean, size, square = (dot(time, each) / total for each in (held, np.abs(held), held**2))
    return {"mean": mean, "abs_mean": size, "max": furthest, "rms": math.sqrt(square)}


def share_beyond(us: Ints, inventory: Ints, bound: float, target: int = 0) -> float | None:
    at = arithmetic.changes(inventory)  # much fewer than rows
    held = np.diff(us[at], append=us[-1:])
    total = int(held.sum())
    return int(held[np.abs(inventory[at] - target) >= bound].sum()) / total if total else None


def half_life_s(us: Ints, inventory: Ints) -> float | None:
    """The first lag (s) at which *inventory*'s autocorrelation (per second) is below ½."""
    if len(us) == 0:
        return None
    row = np.searchsorted(us, np.arange(us[0], us[-1] + 1, GRID_US), side="right") - 1
    held = inventory[row].astype(np.float64)
    if held.min() == held.max():
        return None
    held -= held.mean()
    spectrum = np.fft.rfft(held, 2 * len(held))
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * len(held))[: len(held)]
    return float(np.flatnonzero(covariance < dot(held, held) / 2)[0])


def moments(changes: Floats, per_year: float) -> dict[str, Any]:
    names = ("mean", "std", "median", "worst", "best", "gained", "lost")
    terms = {"periods": len(changes), "period_s": PERIOD_US // US_PER_S, "periods_per_year": per_year}
    figures: dict[str, Any] = {**terms, **dict.fromkeys(names)}
    if len(changes):
        figures |= {
            "mean": float(changes.mean()),
            "median": median(changes),
            "worst": float(changes.min()),
            "best": float(changes.max()),
            "gained": float(np.count_nonzero(changes > 0) / len(changes)),
            "lost": float(np.count_nonzero(changes < 0) / len(changes)),
        }
    if len(changes) > 1:
        figures["std"] = float(changes.std(ddof=1))
    return figures | _shape(changes)


def _shape(changes: Floats) -> dict[str, float | None]:
    if len(changes) < 2 or changes.min() == changes.max():
        return dict.fromkeys(("skew", "kurtosis", "sharpe_per_period", "autocorr_inflation"))
    centred = (changes - changes.mean()) / changes.std()
    return {
        "skew": float((centred**3).mean()),
        "kurtosis": float((centred**4).mean()),
        "sharpe_per_period": float(changes.mean() / changes.std(ddof=1)),
        "autocorr_inflation": inflation(changes),
    }


def drift_half_life_s(changes: Floats) -> float | None:
    """Half-life of a slow drift of the mean; 0 without one, None in too few periods.

    By Whittle's likelihood: a constant spectrum against one with an autoregression, which must gain ``DRIFT_GAIN``.
    """
    if len(changes) < LEAST_PERIODS or changes.min() == changes.max():
        return None
    size = len(changes)
    waves = np.abs(np.fft.rfft(changes - changes.mean())[1 : (size + 1) // 2]) ** 2
    cosine = np.cos(2 * np.pi / size * np.arange(1, len(waves) + 1))
    halves = np.geomspace(SHORTEST_DRIFT, size, DRIFTS)
    keeps = np.exp2(-1 / halves)[:, None, None]
    shares = np.geomspace(LEAST_DRIFT, 1.0, DRIFTS)[None, :, None]
    shape = 1 - shares + shares * (1 - keeps**2) / (1 - 2 * keeps * cosine + keeps**2)
    fits = -len(waves) * np.log((waves / shape).mean(axis=2)) - np.log(shape).sum(axis=2)
    best = int(fits.argmax())
    if fits.flat[best] + len(waves) * math.log(waves.mean()) < DRIFT_GAIN:
        return 0.0
    return float(halves[best // DRIFTS]) * PERIOD_US / US_PER_S


def daily(account: "AccountSeries", terms: "RunTerms", fill_us: Ints) -> dict[str, Any]:
    """PnL and fills of each day, and their annualised Sharpe ratio: mean over deviation (ddof 1) × √days a year.

    A day runs from its ``starts_us`` to the next; the first begins with the run. PnL is the quoting's between the last
    rows by both instants, so days add up; ``equity`` is at the end.
    """
    if not account.valid.any():
        return {"daily": [], "sharpe_daily": None}
    days, starts_us = terms.days, terms.starts_us
    names, starts_us = (days, starts_us) if len(days) == len(starts_us) else ((" ".join(days),), ())
    edges = np.array([account.us[0], *starts_us[1:], account.us[-1]])
    rows = np.maximum(np.searchsorted(account.us, edges, side="right") - 1, 0)
    marks = [account.quote(account.equity[row]) for row in rows]
    parts = [account.quote(account.quoting[b] - account.quoting[a]) for a, b in pairwise(rows)]
    fills = np.diff(np.searchsorted(fill_us, edges[1:-1]), prepend=0, append=len(fill_us)).tolist()
    rows_by_day = [
        {"day": day, "pnl": part, "n_fills": count, "equity": mark}
        for day, part, count, mark in zip(names, parts, fills, marks[1:], strict=True)
    ]
    return {
        "daily": rows_by_day,
        "sharpe_daily": sharpe_of_days(np.array(parts), terms.days_a_year),
    }


def sharpe_of_days(pnl: Floats, days_a_year: float) -> float | None:
    ratio = _ratio(pnl)
    return None if ratio is None else ratio * days_a_year**0.5
