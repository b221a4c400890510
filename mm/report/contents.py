"""The files of a finished run: names and JSON contents."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mm.errors import BrokenFile

SUMMARY, PAGE = "summary.json", "report.html"
FIT, POINTS = "poisson_fit.json", "calibration_points.csv"
SCHEDULE, METRICS = "poisson_schedule.json", "window_metrics.csv"
SWEEP, SERIES = "sweep.json", "pnl_60s.csv"
EVALUATION = "evaluation.json"
BACKTEST = "backtest"  # folder of the backtest of a walk-forward


def read_content(path: Path, keys: Sequence[str] = (), keys_of_rows: Sequence[str] = ()) -> dict[str, Any]:
    """Raise BrokenFile if it cannot be read, or lacks one of the names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        missing = [name for name in keys if name not in content]
        if keys_of_rows and not missing:
            missing = [name for row in content["rows"][:1] for name in keys_of_rows if name not in row]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the run again") from error
    if missing:
        raise BrokenFile(
            f"{path}: has no {', '.join(missing)}, which this version shows; make the run again with the same knobs"
        )
    return content
