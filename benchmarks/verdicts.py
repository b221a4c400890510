"""Nominal and measured values of the diagnostics, as a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.diagnostics import ROWS, Outcomes, Row
from benchmarks.figures import Figure, figure, share


@dataclass(frozen=True, slots=True)
class Checked:
    """One diagnostic and its measured values.

    Attributes:
        row: Its nominal value and its accepted range.
        measured: Share of false alarms, coverage, or mean of its value, depending on the row.
        power: Share of detected faults.
    """

    row: Row
    measured: Figure
    power: Figure

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or ``open`` if more days are needed to decide."""
        verdicts = {self.measured.verdict(self.row.low, self.row.high)}
        if math.isfinite(self.row.power):
            verdicts.add(self.power.verdict(self.row.power, 1.0))
        return next(verdict for verdict in ("MISSED", "open", "met") if verdict in verdicts)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values; a missing power is NaN."""
        return {**asdict(self), "verdict": self.verdict}


def checked(days: Sequence[Mapping[str, Outcomes]]) -> list[Checked]:
    """Return the rows that *days* have values of, in the order of `ROWS`."""
    found = []
    for name, row in ROWS.items():
        outcomes = [day[name] for day in days if name in day]
        measured, power = ([value for outcome in outcomes for value in outcome[place]] for place in range(2))
        if measured:
            found.append(Checked(row, figure(measured), figure(power)))
    return found


def lines_of(rows: Sequence[Checked]) -> list[str]:
    """Return the table: one line per diagnostic and flow."""
    head = f"{'diagnostic':<18}{'on; fault':<61}{'nominal':>20}{'measured':>17}{'power':>17}   {'wanted':<28}"
    return [head, *(_line(checked_row) for checked_row in rows)]


def _line(checked_row: Checked) -> str:
    row = checked_row.row
    power = f"; power {row.power:g}" if math.isfinite(row.power) else ""
    wanted = f"{row.low:g} to {row.high:g}{power}"
    figures = f"{share(checked_row.measured):>17}{share(checked_row.power):>17}"
    return f"{row.diagnostic:<18}{row.on:<61}{row.nominal:>20}{figures}   {wanted:<28}{checked_row.verdict}"
