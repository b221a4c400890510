"""How the PnL was spread over time: the moments of its 60 s changes, its days, and the time it was under water."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.backtest.metrics.arithmetic import quantiles
from mm.backtest.metrics.overfitting import probabilistic_sharpe
from mm.backtest.metrics.ratios import PERIOD_US
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.backtest.metrics.ledger import Ledger

    Column = NDArray[np.int64]
    Floats = NDArray[np.float64]

DAYS_A_YEAR = 365


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
            "median": quantiles(changes, [0.5])[0],
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


def daily(account: "Ledger", days: Sequence[str], starts_us: Sequence[int], fill_us: "Column") -> dict[str, Any]:
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
    told = [
        {"day": day, "pnl": part, "n_fills": count, "equity": mark}
        for day, part, count, mark in zip(names, parts, fills, marks[1:], strict=True)
    ]
    return {"daily": told, "sharpe_daily": float(pnl.mean() / pnl.std(ddof=1) * DAYS_A_YEAR**0.5) if varied else None}
