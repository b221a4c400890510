"""The PnL's band: the same backtest with other parameters that the data would have allowed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mm.backtest.metrics.arithmetic import quantiles
from mm.backtest.result import Result


def with_band(result: Result, others: Sequence[Result]) -> Result:
    """Return *result* with the spread of the PnL of *others* in its summary, under ``pnl_band``.

    The luck is the same in all of them (draws are keyed), so what differs is the parameters' doing.
    """
    pnl = np.array([other.summary["pnl_total"] for other in others if other.summary["pnl_total"] is not None])
    if len(pnl) == 0:
        return result
    low, high = quantiles(pnl, [0.025, 0.975])
    spread = float(pnl.std(ddof=1)) if len(pnl) > 1 else 0.0
    band = {"draws": len(pnl), "mean": float(pnl.mean()), "sd": spread, "low": float(low), "high": float(high)}
    return replace(result, books=replace(result.books, pnl_band=band))
