"""What the diagnostics claim beside what was measured, as a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.diagnostics import ROWS, Row, Said
from benchmarks.figures import Figure, figure, share
from mm.dataclass import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Checked:
    """One diagnostic with what was measured of it.

    Attributes:
        row: What it claims, and what is accepted.
        measured: Share of false alarms, coverage, or the mean of its value, as the row has it.
        power: Share of faults found.
    """

    row: Row
    measured: Figure
    power: Figure

    @property
    def verdict(self) -> str:
        """``met``, ``MISSED``, or ``open`` where more days would have to decide."""
        found = {self.measured.verdict(self.row.low, self.row.high)}
        if math.isfinite(self.row.power):
            found.add(self.power.verdict(self.row.power, 1.0))
        return next(one for one in ("MISSED", "open", "met") if one in found)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values; a power that does not exist is NaN."""
        return {**asdict(self), "verdict": self.verdict}


def checked(days: Sequence[Mapping[str, Said]]) -> list[Checked]:
    """Return the rows that *days* say something of, in the order of `ROWS`."""
    found = []
    for name, row in ROWS.items():
        mine = [day[name] for day in days if name in day]
        measured, power = ([value for said in mine for value in said[at]] for at in range(2))
        if measured:
            found.append(Checked(row, figure(measured), figure(power)))
    return found


def lines_of(rows: Sequence[Checked]) -> list[str]:
    """Return the table: a line a diagnostic and flow."""
    head = f"{'diagnostic':<18}{'on; fault':<61}{'nominal':>20}{'measured':>17}{'power':>17}   {'wanted':<28}"
    return [head, *(_line(one) for one in rows)]


def _line(one: Checked) -> str:
    row = one.row
    power = f"; power {row.power:g}" if math.isfinite(row.power) else ""
    wanted = f"{row.low:g} to {row.high:g}{power}"
    figures = f"{share(one.measured):>17}{share(one.power):>17}"
    return f"{row.diagnostic:<18}{row.on:<61}{row.nominal:>20}{figures}   {wanted:<28}{one.verdict}"
