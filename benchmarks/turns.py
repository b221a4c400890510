"""Fresh processes that take turns, the rows that their medians make, and the days that they measure on."""

import json
import os
import shutil
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
from mm.cli.config import GROUPS
from mm.cli.console import Console
from mm.cli.knobs import knobs
from mm.dayfolder.layout import DayFolder, day_folder
from mm.errors import DataError, MMError

PYTHON = (sys.executable, "-m")
_PER_MB = 1024 if sys.platform != "darwin" else 1024 * 1024  # ru_maxrss is KiB, on macOS bytes
GENERATOR, PEER_SCRIPT, PEER_EVENTS = "gen_day.py", "bench_hftbacktest.py", "events.npy"
QUOTE_QTY = "0.001"  # the peer's, on the yardstick day
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
    """

    folder: DayFolder
    out: Path
    turns: int
    quote_qty: str | None = None
    peer: tuple[str, ...] | None = None
    no_peer: str = NO_PEER


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The two scripts, and the day that one of them makes.

    Attributes:
        scripts: Their folder.
        hours: Length of the day.
        out: The day is kept under this folder.
    """

    scripts: Path
    hours: float
    out: Path

    @property
    def root(self) -> Path:
        """What the day and the peer's copy of it lie in."""
        return self.out / f"yardstick_{self.hours:g}h"

    def day(self, console: Console) -> DayFolder:
        """Return the day; it is made where it is not there yet, whole or not at all.

        Raises:
            DataError: If the generator is not there, or leaves no day.
        """
        data = self.root / "data"
        if not data.exists():
            self._make(console, f"the yardstick day of {self.hours:g} hours", [], "data")
        found = sorted(data.glob("*/*/"))
        if len(found) != 1:
            raise DataError(f"{data}: {len(found)} days where one was made; remove {self.root} and run again")
        return DayFolder.at(found[0])

    def events(self, console: Console) -> Path:
        """Return the day as hftbacktest reads it; it is made where it is not there yet."""
        path = self.root / PEER_EVENTS
        if not path.exists():
            self._make(console, "hftbacktest's copy of it", ["--no-day", "--events-npz"], PEER_EVENTS)
        return path

    def peer(self, console: Console, python: Path) -> tuple[str, ...]:
        """Return the command that loads and plays the day once with hftbacktest."""
        script = self._script(PEER_SCRIPT)
        return (str(python), str(script), str(self.events(console)), "--repeat", "1")

    def _make(self, console: Console, what: str, flags: list[str], name: str) -> None:
        """Let the generator write into a folder aside, and take *name* out of it."""
        script = self._script(GENERATOR)
        aside = self.root.with_name(f"{self.root.name}.partial")
        console.say(f"making {what}, once, in {self.root} (minutes, 3 GB of memory for 14 hours)")
        shutil.rmtree(aside, ignore_errors=True)
        run([PYTHON[0], str(script), "--out", str(aside), "--hours", f"{self.hours:g}", *flags], listen=False)
        if not (aside / name).exists():
            raise DataError(f"{script}: left no {name} in {aside}; see its --help")
        self.root.mkdir(parents=True, exist_ok=True)
        (aside / name).rename(self.root / name)
        shutil.rmtree(aside)

    def _script(self, name: str) -> Path:
        path = self.scripts / name
        if not path.is_file():
            raise DataError(
                f"{path}: there is no such script; give --yardstick (YARDSTICK) the folder of {GENERATOR} and "
                f"{PEER_SCRIPT}, or --day-folder (BENCH_DAY) a recorded day to measure on"
            )
        return path


def recorded(path: Path) -> DayFolder:
    """Return the day folder *path*.

    Raises:
        MissingDay: If it is not there.
    """
    day = DayFolder.at(path)
    return day_folder(day.root, day.symbol, day.day)
