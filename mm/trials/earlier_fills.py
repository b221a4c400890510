"""How many of the predicted fills earlier days of the same design had, from their runs below OUT_ROOT."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.trials.ledger import Ledger, TrialLine

MOST_DAYS = 30  # the newest


@dataclass(frozen=True)
class EarlierFills:
    """What a finished backtest says of its fills.

    Attributes:
        days: YYYYMMDD, before those of the run that it is to predict.
        rows: Its `fills_by_distance`.
        hours: Its `fills_by_hour`.
    """

    run_id: str
    days: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    hours: Sequence[Mapping[str, Any]] = ()

    @property
    def fills(self) -> int:
        return sum(row["fills"] for row in self.rows if row.get("predicted"))


def earlier_fills(ledger: Ledger, symbol: str, first_day: str, design: tuple[str, str]) -> tuple[EarlierFills, ...]:
    """Return those of days before *first_day* on which *design* was played, of each its newest run that is left.

    Args:
        design: Digests of the quoting, its fit among it, and of the fill assumption, as in `TrialLine`.
    """
    found: list[EarlierFills] = []
    days = sorted((day for name, day in ledger.days() if name == symbol and day < first_day), reverse=True)
    for day in days[:MOST_DAYS]:
        if all(day not in one.days for one in found):
            lines = (line for line in reversed(ledger.read(symbol, day).trials) if _same(line, first_day, design))
            newest = (fills for line in lines for fills in _fills(ledger.out_root / "backtest" / symbol, line))
            found += [fills for fills in [next(newest, None)] if fills is not None]
    return tuple(reversed(found))


def _same(line: TrialLine, first_day: str, design: tuple[str, str]) -> bool:
    played = bool(line.run) and line.made_by == "backtest"
    return played and (line.design, line.assumption) == design and max(line.days) < first_day


def _fills(folder: Path, line: TrialLine) -> Iterator[EarlierFills]:
    for path in folder.glob(f"*{line.run}/summary.json"):
        try:
            summary = json.loads(path.read_bytes())
        except (OSError, ValueError):  # a removed or damaged run predicts nothing
            continue
        if summary.get("fills_by_distance"):
            hours = summary.get("fills_by_hour") or ()
            yield EarlierFills(line.run, line.days, summary["fills_by_distance"], hours)
