"""A finished run beside later trials: a verdict on the only trial becomes one on one of many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mm.backtest.metrics.verdict import Sample, positions_of, verdicts
from mm.trials.ledger import Ledger
from mm.trials.on_record import on_days


def home_of(folder: Path, named: str | None) -> Path:
    """The OUT_ROOT above a run's *folder* that has a ledger, else the one that is *named*, from the current folder."""
    above = (path for path in folder.resolve().parents if Ledger(path).folder.is_dir())
    return next(above, Path(named or "out"))


def as_of_now(summary: Mapping[str, Any], out_root: Path) -> dict[str, Any]:
    """Judge a run again beside what is on record now; as it was if less is, which is told."""
    then, alone = summary.get("trials"), summary.get("verdict_alone")
    if not isinstance(then, Mapping) or alone is None:
        return dict(summary)
    record = on_days(out_root, summary["symbol"], summary["days"])
    if record.on_these_days < then["on_these_days"]:
        told = {"forgotten": record.forgotten, "off_record": record.off_record} if record.known else {}
        return {**summary, "trials": {**then, **told}}
    judged = verdicts(Sample.of_summary(summary), record, positions_of(summary))
    now = {name: value for name, value in judged.items() if not name.endswith("_alone")}
    return {**summary, "trials": {**record.to_json(), "this_is_new": then["this_is_new"]}, **now}
