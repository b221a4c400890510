"""Alternating fresh processes, rows of the medians of their results, and the settings of a measurement."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mm
from mm.base.knobs import knobs
from mm.cli.task_knobs import GROUPS
from mm.dayfolder.layout import DayFolder, day_folder
from mm.errors import MMError

PYTHON = (sys.executable, "-m")
LAUNCHER = Path(__file__).with_name("launched.py")
_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is KiB, on macOS bytes
QUOTE_QTY = "0.001"  # the peer's quote quantity on the yardstick day
GAMMA, FAR_K, NEAR_K = 0.001, 0.015, 0.1533
"""Parameters of Avellaneda and Stoikov's quotes, in 1/(tick·clip) and 1/tick: 65 and 6.5 ticks from the mid."""
NO_PEER = (
    "rows compared with hftbacktest are left out; install it in a separate environment, "
    "python -m venv yard && yard/bin/pip install numpy hftbacktest, and run again with --peer yard/bin/python"
)
FINISHED: list[str] = []
"""What processes of the current measurement have printed: it is all that is known of one that fails later."""
NO_EVENTS = "rows compared with hftbacktest are left out: it plays --day-folder for fills alone, with --peer"


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """Resources that a process used, and its output.

    Attributes:
        wall_s: Wall time from start to end.
        user_s: User time of all threads.
        peak_mb: Peak memory.
        output: JSON object in the last line of its stdout; empty if there is none.
        code: Exit code.
    """

    wall_s: float
    user_s: float
    peak_mb: float
    output: dict[str, Any]
    code: int = 0


@dataclass(frozen=True, slots=True)
class Aim:
    """What a row must reach, by its medians: a ratio, which holds on any machine, or else a value.

    Attributes:
        bound: The bound, itself allowed.
        of: ``ratio``, ``at least`` or ``at most``: the least ratio, the least or the greatest value in the row's unit.
    """

    bound: float
    of: str = "ratio"

    def missed(self, row: "Row") -> bool:
        """Return whether *row* misses the aim; False for a ratio without a reference, as without the peer."""
        if self.of == "ratio":
            return row.ratio is not None and row.ratio < self.bound
        value = statistics.median(row.ours)
        return value > self.bound if self.of == "at most" else value < self.bound

    def text(self, unit: str) -> str:
        """Return the aim of a row in *unit* as text."""
        if self.of == "ratio":
            return f"≥ {self.bound:,g} ×"
        return f"{'≤' if self.of == 'at most' else '≥'} {self.bound:,g} {unit}".rstrip()


def at_most(value: float) -> Aim:
    """Return the aim of a row whose value must not be above *value*."""
    return Aim(value, "at most")


def at_least(value: float) -> Aim:
    """Return the aim of a row whose value must not be below *value*."""
    return Aim(value, "at least")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured quantity: our values and those of the reference, one per turn.

    Attributes:
        name: Name of the quantity.
        unit: Unit, such as ``s``, ``µs`` or ``MB``.
        ours: Our values, one per turn.
        against: Name of the reference.
        theirs: Values of the reference, one per turn; empty without a reference.
        aim: What it must reach; else why nobody watches it.
        user, their_user: User time of both, in addition to wall time, one per turn; empty if not measured.
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    theirs: Sequence[float] = ()
    aim: Aim | str = ""
    user: Sequence[float] = ()
    their_user: Sequence[float] = ()

    @property
    def ratio(self) -> float | None:
        """Median of the reference divided by ours; None without a reference, or if our time is too short to measure."""
        return _ratio(self.ours, self.theirs)

    @property
    def user_ratio(self) -> float | None:
        """The same ratio for user time."""
        return _ratio(self.user, self.their_user)

    def turn_ratios(self) -> list[float]:
        """Return the ratio of each turn, in ascending order."""
        return sorted(reference / own for own, reference in zip(self.ours, self.theirs, strict=False) if own)

    @property
    def watched(self) -> str:
        """The aim as text; empty without one."""
        return "" if isinstance(self.aim, str) else self.aim.text(self.unit)

    @property
    def miss(self) -> str:
        """What the row has and its aim, if it misses it; empty otherwise."""
        if isinstance(self.aim, str) or not self.aim.missed(self):
            return ""
        found = statistics.median(self.ours)
        has = f"{self.ratio:.3g} × {self.against}" if self.aim.of == "ratio" else amount(found, self.unit)
        return f"{self.name} is {has}, its aim {self.watched}"

    def to_json(self) -> dict[str, Any]:
        """Return the row with its medians; ``least`` and ``greatest`` are ratios of single turns."""
        turns = self.turn_ratios()
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": statistics.median(self.ours),
            "against": self.against or None,
            "theirs": statistics.median(self.theirs) if self.theirs else None,
            "ratio": self.ratio,
            "least": turns[0] if turns else None,
            "greatest": turns[-1] if turns else None,
            "aim": self.watched or None,
            "missed": bool(self.miss),
            "why_no_aim": self.aim if isinstance(self.aim, str) else None,
            "user": statistics.median(self.user) if self.user else None,
            "their_user": statistics.median(self.their_user) if self.their_user else None,
            "user_ratio": self.user_ratio,
        }

    def line(self, change: str = "") -> str:
        """Return the row as a line of text; *change* is its change since an earlier run."""
        own = f"  {self.name:<36}{_median_text(self.ours, self.unit):>11}{_median_text(self.user, self.unit):>11}"
        aim = f"{self.watched}{', MISSED' if self.miss else ''}"
        if self.ratio is None:
            return f"{own}{'':>63}{change:<8}{aim}".rstrip()
        turns = self.turn_ratios()
        spread = f"({turns[0]:.3g} to {turns[-1]:.3g})"
        by_user = "" if self.user_ratio is None else f"{self.user_ratio:.3g}"
        others = f"{_median_text(self.theirs, self.unit):>11}{_median_text(self.their_user, self.unit):>10}"
        ratios = f"{self.ratio:>7.3g}  {spread:<15}{by_user:>6}  "
        return f"{own}{others}  {self.against:<11}{ratios}{change:<8}{aim}".rstrip()


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of a measurement.

    Attributes:
        rows: Its rows.
        facts: Evidence of the work done: counts, and shares of the time.
        notes: Remarks for the reader, one sentence each.
        changes: Change of each row since an earlier run, by row name.
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


def run(command: Sequence[str], *, capture_stdout: bool = True, finding_code: int = 0) -> ProcessResult:
    """Run *command* to its end.

    Its environment has no knobs of the calling shell and no PYTHONDONTWRITEBYTECODE, which users do not set.

    Args:
        command: Its words; no shell.
        capture_stdout: False discards its stdout.
        finding_code: A second exit code, accepted if the command printed its JSON object: a check that found defects,
            or a fit that is not usable.

    Raises:
        MMError: If it ends with another code.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr, tempfile.TemporaryFile() as report:
        subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(report.fileno()), *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout if capture_stdout else subprocess.DEVNULL,
            stderr=stderr,
            env=clean_environment(),
            pass_fds=(report.fileno(),),
            check=False,
        )
        usage, output = _json(_last_line(report)), _json(_last_line(stdout))
        if usage.get("code") not in ((0, finding_code) if output else (0,)):
            code, last_error = usage.get("code", "no exit code"), _last_line(stderr)
            raise MMError(f"{' '.join(command)}: ended with {code}: {last_error or 'no error output'}")
        found = ProcessResult(usage["wall_s"], usage["user_s"], usage["peak"] / _PER_MB, output, usage["code"])
    FINISHED.append(f"{' '.join(command[1:])}: {found.wall_s:.3g} s, {found.peak_mb:.0f} MB {json.dumps(output)}")
    return found


def clean_environment() -> dict[str, str]:
    """Return the environment of a measured process: this package on the path, and no knobs of the calling shell."""
    excluded = {knob.variable for group in GROUPS for knob in knobs(group)} | {"PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in os.environ.items() if name not in excluded}
    package = str(Path(mm.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "LOG_LEVEL": "ERROR"}


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


def _median_text(values: Sequence[float], unit: str) -> str:
    return amount(statistics.median(values), unit) if values else ""


def amount(value: float, unit: str) -> str:
    """Return a number with its unit, with at least three digits."""
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def counted(value: Any) -> str:
    """Return the text of a count, of a text, or of several of them by name."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {counted(part)}" for key, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True, slots=True)
class Bench:
    """Settings that all measurements share.

    Attributes:
        folder: The recorded day.
        out: Folder for caches and runs of the measurements.
        turns: Number of turns of each process.
        quote_qty: Quantity of a quote, in the base asset; None for the minimum of the day's grid.
        peer: Command that plays the same day with hftbacktest; None without hftbacktest.
        no_peer: Note that explains why there is no peer.
        k: Parameter of the quotes, 1/tick; it sets their distance from the mid.
        peer_plays: Command of our own script for hftbacktest, which also plays other queue models and quotes; None
            without hftbacktest.
        peer_python: Python of hftbacktest's environment, if the day is another than the yardstick's.
    """

    folder: DayFolder
    out: Path
    turns: int
    quote_qty: str | None = None
    peer: tuple[str, ...] | None = None
    no_peer: str = NO_PEER
    k: float = FAR_K
    peer_plays: tuple[str, ...] | None = None
    peer_python: str | None = None


def recorded(path: Path) -> DayFolder:
    """Return the day folder *path*.

    Raises:
        MissingDay: If it does not exist.
    """
    day = DayFolder.at(path)
    return day_folder(day.root, day.symbol, day.day)
