"""Fresh processes that take turns, the rows that their medians make, and the days that they measure on."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mm
from mm.cli.knobs import knobs
from mm.cli.task_knobs import GROUPS
from mm.dataclass import dataclass, field
from mm.dayfolder.layout import DayFolder, day_folder
from mm.errors import MMError

PYTHON = (sys.executable, "-m")
LAUNCHED = Path(__file__).with_name("launched.py")
_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is KiB, on macOS bytes
QUOTE_QTY = "0.001"  # the peer's, on the yardstick day
GAMMA, FAR_K, NEAR_K = 0.001, 0.015, 0.1533
"""Of Avellaneda and Stoikov's quotes, in 1/(tick·clip) and 1/tick: 65 and 6.5 ticks from the mid."""
NO_PEER = (
    "rows beside hftbacktest are left out; give it an environment of its own, "
    "python -m venv yard && yard/bin/pip install numpy hftbacktest, and run again with --peer yard/bin/python"
)
NO_EVENTS = "rows beside hftbacktest are left out; it plays the yardstick day alone, and --day-folder names another"


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
        unit: ``s``, ``µs`` or ``MB``.
        ours: One number a turn.
        against: What the others are.
        theirs: One number a turn, or none.
        aim: What the ratio is meant to reach.
        user, their_user: Seconds of user time beside those by the clock, once a turn, or none.
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    theirs: Sequence[float] = ()
    aim: str = ""
    user: Sequence[float] = ()
    their_user: Sequence[float] = ()

    @property
    def ratio(self) -> float | None:
        """How many times ours the others took, by medians; None without others, or where ours is too short to see."""
        return _ratio(self.ours, self.theirs)

    @property
    def user_ratio(self) -> float | None:
        """The same of user time."""
        return _ratio(self.user, self.their_user)

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
            "user": statistics.median(self.user) if self.user else None,
            "their_user": statistics.median(self.their_user) if self.their_user else None,
            "user_ratio": self.user_ratio,
        }

    def line(self, change: str = "") -> str:
        """Return the row as a line of text; *change* is what became of it since an earlier run."""
        own = f"  {self.name:<36}{_median(self.ours, self.unit):>11}{_median(self.user, self.unit):>11}"
        if self.ratio is None:
            return f"{own}{'':>63}{change:<8}{self.aim}".rstrip()
        turns = self.of_turns()
        spread = f"({turns[0]:.3g} to {turns[-1]:.3g})"
        by_user = "" if self.user_ratio is None else f"{self.user_ratio:.3g}"
        others = f"{_median(self.theirs, self.unit):>11}{_median(self.their_user, self.unit):>10}"
        ratios = f"{self.ratio:>7.3g}  {spread:<15}{by_user:>6}  "
        return f"{own}{others}  {self.against:<11}{ratios}{change:<8}{self.aim}".rstrip()


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        rows: Its rows.
        facts: What shows that the work was done: counts, and where the time went.
        notes: What a reader must know, a sentence each.
        changes: What became of each row since an earlier run, by name.
    """

    rows: list[Row]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    changes: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {"rows": [row.to_json() for row in self.rows], "facts": self.facts, "notes": self.notes}

    def lines(self, name: str) -> list[str]:
        """Return all of it as text, under a heading."""
        seconds = f"{'mm':>11}{'user':>11}{'against':>11}{'user':>10}"
        change = "change" if self.changes else ""
        head = f"{name:<38}{seconds}{'':13}{'ratio':>7}  {'of turns':<15}{'user':>6}  {change:<8}aim"
        rows = [row.line(self.changes.get(row.name, "")) for row in self.rows]
        facts = [f"  {key}: {counted(value)}" for key, value in self.facts.items()]
        return [head.rstrip(), *rows, *facts, *(f"  {note}" for note in self.notes)]


def run(command: Sequence[str], *, listen: bool = True, defects: int = 0) -> Ran:
    """Run *command* to its end.

    No knob of the shell that started us reaches it, nor a ban on keeping bytecode, which no user has.

    Args:
        command: Its words; no shell.
        listen: False throws its stdout away, unread.
        defects: A further code of success, where the command has printed its JSON object: a check that found some.

    Raises:
        MMError: If it ends with another code than these.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as report:
        subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHED), str(report.fileno()), *command],
            stdin=subprocess.DEVNULL,
            stdout=said if listen else subprocess.DEVNULL,
            stderr=errors,
            env=clean(),
            pass_fds=(report.fileno(),),
            check=False,
        )
        taken, answer = _json(_last_line(report)), _json(_last_line(said))
        if taken.get("code") not in ((0, defects) if answer else (0,)):
            code, last = taken.get("code", "no exit code"), _last_line(errors)
            raise MMError(f"{' '.join(command)}: ended with {code}: {last or 'it said nothing'}")
        return Ran(taken["wall_s"], taken["user_s"], taken["peak"] / _PER_MB, answer)


def clean() -> dict[str, str]:
    """Return the environment of a process that is measured: this package, and no knob of the shell that started us."""
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


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    own = statistics.median(ours) if ours else 0.0
    return statistics.median(theirs) / own if theirs and own else None


def _median(values: Sequence[float], unit: str) -> str:
    return amount(statistics.median(values), unit) if values else ""


def amount(value: float, unit: str) -> str:
    """Return a number with its unit, three digits of it."""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def counted(value: Any) -> str:
    """Return a count, a text, or several of them by name."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {counted(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements have in common.

    Attributes:
        folder: The recorded day.
        out: Where caches and runs of the measurements go.
        turns: How often each process runs.
        quote_qty: Of a quote, in the base asset; None for the least that the day's grid allows.
        peer: The command that plays the same day with hftbacktest; None without it.
        no_peer: Why there is none.
        k: Of the quotes, 1/tick: their distance from the mid.
        peer_plays: The command of our own script, which plays other queue models and quotes, too; None likewise.
    """

    folder: DayFolder
    out: Path
    turns: int
    quote_qty: str | None = None
    peer: tuple[str, ...] | None = None
    no_peer: str = NO_PEER
    k: float = FAR_K
    peer_plays: tuple[str, ...] | None = None


def recorded(path: Path) -> DayFolder:
    """Return the day folder *path*.

    Raises:
        MissingDay: If it is not there.
    """
    day = DayFolder.at(path)
    return day_folder(day.root, day.symbol, day.day)
