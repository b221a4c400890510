"""A finished run beside later trials: a verdict on the only trial becomes one on one of many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.ranking import SHORT, worst_on_record
from mm.backtest.metrics.risk import best_of, verdict_among
from mm.backtest.metrics.risk import verdict as verdict_of
from mm.base.arrays import Floats
from mm.base.numbers import ABOVE
from mm.trials.on_record import OnRecord, on_days


def as_of_now(summary: Mapping[str, Any], out_root: Path) -> dict[str, Any]:
    then, alone = summary.get("trials"), summary.get("verdict_alone")
    if not isinstance(then, Mapping) or alone is None:
        return dict(summary)
    record = on_days(out_root, summary["symbol"], summary["days"])
    if record.on_these_days <= then["on_these_days"]:
        return dict(summary)
    tried = record.independent
    days, own = len(summary["days"]), _own_minutes(summary, record)
    tail = worst_on_record(record)
    found = None if own is None else verdict_of(own, days, tried, None if tail is None else (tail, SHORT))
    verdict = found or verdict_among(alone, summary["returns"]["periods"], days, tried)
    return {
        **summary,
        "trials": {**record.to_json(), "this_is_new": then["this_is_new"]},
        "verdict": verdict,
        "undone_by": summary.get("undone_by_alone") if verdict["text"] == ABOVE else None,
        "psr": best_of(summary.get("psr_alone"), tried),
    }


def _own_minutes(summary: Mapping[str, Any], record: OnRecord) -> Floats | None:
    returns = summary["returns"]
    if returns["periods"] != len(record.pnl) or returns["std"] is None:
        return None
    for pnl in record.pnl.T.astype(np.float64):
        if np.allclose((pnl.mean(), pnl.std(ddof=1)), (returns["mean"], returns["std"]), rtol=1e-5, atol=0):
            return np.asarray(pnl)
    return None
