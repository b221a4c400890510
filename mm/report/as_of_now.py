"""A finished run beside what was tried since: a verdict that was of the only trial is of one of many later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mm.backtest.metrics.risk import best_of, verdict_among
from mm.base.numbers import ABOVE
from mm.trials.on_record import on_days


def as_of_now(summary: Mapping[str, Any], out_root: Path) -> dict[str, Any]:
    """Return the *summary* of a backtest as it would be today: allowing for the trials now on record of its days."""
    then, alone = summary.get("trials"), summary.get("verdict_alone")
    if not isinstance(then, Mapping) or alone is None:
        return dict(summary)
    record = on_days(out_root, summary["symbol"], summary["days"])
    if record.on_these_days <= then["on_these_days"]:
        return dict(summary)
    tried = record.independent
    verdict = verdict_among(alone, summary["returns"]["periods"], len(summary["days"]), tried)
    return {
        **summary,
        "trials": {**record.to_json(), "this_is_new": then["this_is_new"]},
        "verdict": verdict,
        "undone_by": summary.get("undone_by_alone") if verdict["text"] == ABOVE else None,
        "psr": best_of(summary.get("psr_alone"), tried),
    }
