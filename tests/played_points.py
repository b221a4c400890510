"""Points of a sweep with made-up results, for tests of the findings and the page of a sweep."""

from typing import Any

import numpy as np

from mm.sweep.findings import PlayedPoint
from mm.sweep.grid import Axis

GAMMA = Axis("GAMMA", "quote", "gamma", (1, 2), ("1", "2"))
FILLS = Axis("FILL_MODEL", "knob", "fill_model", ("a", "b"), ("a", "b"))


def outcome(pnl: list[float], **numbers: Any) -> dict[str, Any]:
    """Return the outcome of a point with the given PnL per minute."""
    known = np.array(pnl)
    varied = len(known) > 1 and known.min() < known.max()
    sharpe = float(known.mean() / known.std(ddof=1)) if varied else None
    names = ("pnl_spread_capture", "pnl_inventory", "fees", "sharpe_autocorr", "psr", "sortino", "calmar", "n_orders")
    summary = {
        "symbol": "SIMUSDT",
        "days": ["20260105"],
        **dict.fromkeys((*names, "fill_ratio", "two_sided_uptime")),
        "pnl_total": float(known.sum()) + 5.0,
        "pnl_quoting": float(known.sum()),
        "pnl_hold": 5.0,
        "max_drawdown": 1.0,
        "n_fills": len(known),
        "inventory": {"abs_mean": 0.0},
        "sharpe": None if sharpe is None else sharpe * 525600**0.5,
        "returns": {
            "periods": len(known),
            "periods_per_year": 525600.0,
            "skew": 0.0,
            "kurtosis": 3.0,
            "sharpe_per_period": sharpe,
            "autocorr_inflation": 1.0,
        },
        **numbers,
    }
    return {"summary": summary, "series": {"spans": [[0, len(pnl)]], "period_s": 60, "pnl": pnl}}


def played(number: int, pnl: list[float], key: str | None = None, **texts: str) -> PlayedPoint:
    return PlayedPoint(number, texts or {"GAMMA": str(number)}, key or f"key{number}", "mm backtest", outcome(pnl))


def noise(seed: int, minutes: int = 240, mean: float = 0.0) -> list[float]:
    found: list[float] = (np.random.default_rng(seed).normal(mean, 1.0, minutes)).tolist()
    return found
