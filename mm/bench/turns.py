"""Fresh processes that take turns, and the rows that their medians make."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mm
from mm.config import GROUPS
from mm.errors import MMError
from mm.knobs import knobs

PYTHON = (sys.executable, "-m")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process took.

    Attributes:
        wall_s: From its start to its end.
        user_s: Seconds of processors outside the kernel, all threads together.
        peak_mb: The most memory it held.
        said: The JSON object on the last line of its stdout; empty where there is none.
    """

    wall_s: float
    user_s: float
    peak_mb: float
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured: ours, and what it is held against, once a turn.

    Attributes:
        name: What was measured.
        unit: ``s`` or ``MB``.
        ours: One number a turn.
        against: What the others are.
        theirs: One number a turn, or none.
        aim: What the ratio is meant to reach.
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    theirs: Sequence[float] = ()
    aim: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times ours the others took, by medians; None without others, or where ours is too short to see."""
        own = statistics.median(self.ours)
        return statistics.median(self.theirs) / own if self.theirs and own else None

    def of_turns(self) -> list[float]:
        """Return the ratio of each turn, least first."""
        return sorted(other / own for own, other in zip(self.ours, self.theirs, strict=False) if own)

    def to_json(self) -> dict[str, Any]:
        """Return the row with its medians; ``least`` and ``greatest`` are ratios of single turns."""
        turns = self.of_turns()
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": statistics.median(self.ours),
            "against": self.against or None,
            "theirs": statistics.median(self.theirs) if self.theirs else None,
            "ratio": self.ratio,
            "least": turns[0] if turns else None,
            "greatest": turns[-1] if turns else None,
            "aim": self.aim or None,
        }

    def line(self) -> str:
        """Return the row as a line of text."""
        own = f"  {self.name:<36}{_amount(statistics.median(self.ours), self.unit):>11}"
        if self.ratio is None:
            return f"{own}{'':>54}{self.aim}".rstrip()
        turns = self.of_turns()
        spread = f"({turns[0]:.3g} to {turns[-1]:.3g})"
        other = _amount(statistics.median(self.theirs), self.unit)
        return f"{own}{other:>11}  {self.against:<12}{self.ratio:>7.3g}  {spread:<20}{self.aim}".rstrip()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        rows: Its rows.
        facts: What shows that the work was done: counts, and where the time went.
        notes: What a reader must know, a sentence each.
    """

    rows: list[Row]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {"rows": [row.to_json() for row in self.rows], "facts": self.facts, "notes": self.notes}

    def lines(self, name: str) -> list[str]:
        """Return all of it as text, under a heading."""
        head = f"{name:<38}{'mm':>11}{'against':>11}{'ratio':>21}  {'of single turns':<20}aim"
        facts = [f"  {key}: {_told(value)}" for key, value in self.facts.items()]
        return [head, *(row.line() for row in self.rows), *facts, *(f"  {note}" for note in self.notes)]


def run(command: Sequence[str], *, listen: bool = True) -> Ran:
    """Run *command* to its end.

    No knob of the shell that started us reaches it, nor a ban on keeping bytecode, which no user has.

    Args:
        command: Its words; no shell.
        listen: False throws its stdout away, unread.

    Raises:
        MMError: If it ends with another code than 0.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said if listen else subprocess.DEVNULL, stderr=told, env=_clean()
        )
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            last = _last_line(told)
            raise MMError(f"{' '.join(command)}: ended with {child.returncode}: {last or 'it said nothing'}")
        return Ran(wall_s, used.ru_utime, used.ru_maxrss / _PER_MB, _json(_last_line(said)))


_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is KiB, on macOS bytes


def _clean() -> dict[str, str]:
    own = {one.variable for group in GROUPS for one in knobs(group)} | {"PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    package = str(Path(mm.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "LOG_LEVEL": "ERROR"}


def _last_line(stream: Any) -> str:
    stream.seek(0)
    lines = stream.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
