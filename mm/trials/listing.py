"""``mm.trials``: what is on record below a folder of results, by days and fill model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mm.base.arrays import Floats
from mm.clock import iso
from mm.trials.ledger import Ledger, TrialLine
from mm.trials.on_record import independent_trials, minutes

Family = tuple[str, tuple[str, ...], str]  # symbol, days and fill model


def trials(out_root: Path | str = "out", symbol: str | None = None, day: str | None = None) -> list[dict[str, Any]]:
    """Return the trials on record below *out_root*, as ``mm runs trials`` lists them.

    Args:
        out_root: Folder of the results.
        symbol: Only trials of this symbol, in any case.
        day: Only trials whose days include this one, YYYYMMDD.

    Returns:
        A row for each symbol, days and fill model: ``symbol``, ``days``, ``fill_model``, ``n_trials`` (different
        designs), ``n_independent`` (what they are worth), ``best`` (the highest PnL of quoting, quote asset),
        ``best_design``, ``quotes`` (its quote model), ``first`` and ``last`` (times, UTC), ``held_out_openings``.
    """
    ledger, families, openings = Ledger(Path(out_root)), dict[Family, _Family](), dict[tuple[str, str], int]()
    for own, name in ledger.days():
        if symbol is not None and own != symbol.upper():
            continue
        read = ledger.read(own, name)
        openings[own, name] = read.openings
        for trial in read.trials:
            if day is None or day in trial.days:
                family = families.setdefault((own, trial.days, trial.fills), _Family())
                family.add(name, trial, read.pnl(trial))
    return [
        {
            "symbol": own,
            "days": list(days),
            "fill_model": fills,
            **family.row(),
            "held_out_openings": max((openings.get((own, name), 0) for name in days), default=0),
        }
        for (own, days, fills), family in sorted(families.items())
    ]


def forgotten(out_root: Path | str, symbol: str | None = None, day: str | None = None) -> Iterator[dict[str, Any]]:
    ledger = Ledger(Path(out_root))
    for own, name in ledger.days():
        if symbol in (None, own) and day in (None, name):
            for told in ledger.read(own, name).forgettings:
                yield {"symbol": own, "day": name, "trials": told.trials, "why": told.why, "at": iso(told.at_us)}


def problems(out_root: Path | str) -> list[str]:
    ledger = Ledger(Path(out_root))
    return [problem for place in ledger.days() for problem in ledger.read(*place).problems]


@dataclass
class _Family:
    designs: dict[str, list[tuple[str, TrialLine, Floats | None]]] = field(default_factory=dict)

    def add(self, day: str, trial: TrialLine, pnl: Floats | None) -> None:
        parts = self.designs.setdefault(trial.design, [])
        if all(known != day for known, *_ in parts):  # else under other terms of the account
            parts.append((day, trial, pnl))

    def row(self) -> dict[str, Any]:
        lines = [trial for parts in self.designs.values() for _, trial, _ in parts]
        totals = {
            key: float(sum(pnl.sum(dtype=np.float64) for _, _, pnl in parts if pnl is not None))
            for key, parts in self.designs.items()
        }
        best = max(totals, key=lambda key: totals[key])
        return {
            "n_trials": len(self.designs),
            "n_independent": independent_trials(_panel(list(self.designs.values()))),
            "best": totals[best],
            "best_design": best,
            "quotes": self.designs[best][0][1].quotes,
            "first": iso(min(trial.at_us for trial in lines)),
            "last": iso(max(trial.at_us for trial in lines)),
        }


def _panel(designs: Sequence[Sequence[tuple[str, TrialLine, Floats | None]]]) -> Floats:
    grid = np.unique(np.concatenate([minutes(trial.spans) for parts in designs for _, trial, _ in parts]))
    pnl = np.full((len(designs), len(grid)), np.nan)
    for row, parts in zip(pnl, designs, strict=True):
        for _, trial, values in parts:
            if values is not None:
                row[np.searchsorted(grid, minutes(trial.spans))] = values
    return pnl.T
