"""The day that is measured on: the yardstick's, made once, or one that was named; and the peer beside it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from mm.bench.turns import PYTHON, run
from mm.console import Console
from mm.dayfolder.layout import DayFolder, day_folder
from mm.errors import DataError

GENERATOR, PEER_SCRIPT, PEER_EVENTS = "gen_day.py", "bench_hftbacktest.py", "events.npy"
QUOTE_QTY = "0.001"  # the peer's, on the yardstick day
NO_PEER = (
    "rows beside hftbacktest are left out; give it an environment of its own, "
    "python -m venv yard && yard/bin/pip install numpy hftbacktest, and run again with --peer yard/bin/python"
)
NO_EVENTS = "rows beside hftbacktest are left out; it plays the yardstick day alone, and --day-folder names another"


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
