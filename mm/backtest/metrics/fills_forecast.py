"""Fills to expect on a day, by the ratios of earlier days of the same design to what their fit predicted.

A fit counts trades that reach a price; what part of them fills an order behind a queue, earlier days have shown. How
many trades come on a day is not known before it: the interval is that of one more day, by the variance between days.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mm.base.estimate import student_quantile
from mm.base.random_effects import Shared

if TYPE_CHECKING:
    from mm.trials.earlier_fills import EarlierFills

PRIOR = 10.0  # predicted fills
HALF = 0.5  # fills added, so that the logarithm of none is finite
HOURS = "days that differ as much as their hours"  # what the interval assumes, with too few days

Rows = Sequence[Mapping[str, Any]]


def forecast(rows: Rows, earlier: Sequence["EarlierFills"]) -> dict[str, Any] | None:
    """Return the expected fills with their 95 % predictive interval; None without a prediction.

    The logarithm of a day's ratio of fills is one more draw from those of the *earlier* runs: normal, with a variance
    between days beyond the noise of their counts. With fewer than three of them the draws are their hours: as if the
    mean of a day varied as much as an hour's does, which is the case of a noise with power at all frequencies (1/f),
    and too much where hours vary independently.

    Args:
        rows: `fills_by_distance` of the run.
    """
    told = [(one, value) for one in earlier if (value := foretold_fills(rows, one.rows)) is not None]
    if not told:
        return None
    draws = Shared.of([math.log(value + HALF) for _, value in told], [_noise(one.fills) for one, _ in told])
    if by_days := draws is not None:
        value, counted = max(math.exp(draws.mean) - HALF, 0.0), sum(one.fills for one, _ in told)
    else:
        value = foretold_fills(rows, [row for one, _ in told for row in one.rows]) or 0.0
        hours = [row for one, _ in told for row in one.hours if row.get("predicted")]
        counts = [row["fills"] for row in hours]
        ratios = [math.log((row["fills"] + HALF) / row["predicted"]) for row in hours]
        draws, counted = Shared.of(ratios, list(map(_noise, counts))), sum(counts)
    ends = (None, None) if draws is None else _ends(value, draws, counted)
    return {
        "value": value,
        "low": ends[0],
        "high": ends[1],
        "given": None if by_days or draws is None else HOURS,
        "run_ids": [one.run_id for one, _ in told],
        "days": sorted({day for one, _ in told for day in one.days}),
    }


def foretold_fills(rows: Rows, earlier: Rows) -> float | None:
    """Return the fills that *rows* predict, each times the ratio of the earlier rows of the same distance.

    With few fills a row's ratio is drawn to that of all (as by PRIOR predicted fills more), which is also the ratio
    where there was no row. None without a prediction in either.

    Args:
        rows: `fills_by_distance` of the run.
        earlier: The same of earlier runs.
    """
    known = [row for row in earlier if row.get("predicted")]
    mine = [row for row in rows if row.get("predicted") is not None]
    if not known or not mine:
        return None
    share = sum(row["fills"] for row in known) / sum(row["predicted"] for row in known)

    def ratio(delta_ticks: float) -> float:
        near = [row for row in known if row["from_ticks"] <= delta_ticks <= row["to_ticks"]]
        fills, predicted = (sum(row[name] for row in near) for name in ("fills", "predicted"))
        return float((fills + PRIOR * share) / (predicted + PRIOR))

    return float(sum(row["predicted"] * ratio((row["from_ticks"] + row["to_ticks"]) / 2) for row in mine))


def _noise(fills: float) -> float:
    """Return the deviation of the logarithm of a Poisson count, or of its mean after so many fills."""
    return 1 / math.sqrt(fills + HALF)


def _ends(value: float, draws: Shared, counted: int) -> tuple[float, float]:
    between = draws.sd * math.sqrt(1 + 1 / draws.n)
    half = student_quantile(draws.n - 1) * math.hypot(between, _noise(value), _noise(counted))
    low, high = ((value + HALF) * math.exp(off) - HALF for off in (-half, half))
    return max(low, 0.0), high
