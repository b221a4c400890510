"""Runs the program as a user does: each command once, in its own folder, shared by all test processes."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hand
from outside import Market, json_of, read_day

from support import ROOT

Made = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str
    cwd: Path

    @property
    def last(self) -> Any:
        """Return the last line of stdout as JSON."""
        return json.loads(self.out.splitlines()[-1])


def mm(*args: str, cwd: Path, module: str = "mm", **variables: str) -> Done:
    """Run ``python -m mm *args`` in *cwd* with *variables* set and stdin closed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=cwd,
        env=environment(**variables),
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr, cwd)


def environment(**variables: str) -> dict[str, str]:
    """Return the shell's environment with the package importable, terse logs, few threads, and *variables*."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "LOG_LEVEL": "ERROR", **threads, **variables}


class Lab:
    """A folder whose named subfolders are created once, by the first test process that needs them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder *name*, which *make* fills if it does not exist."""
        folder = self.root / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{name.replace('/', '.')}.wait").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not (folder / "made").exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                (folder / "made").touch()
        return folder

    def command(self, name: str, *args: str, **variables: str) -> Done:
        """Run a command once in its own folder; return its result."""

        def make(folder: Path) -> None:
            done = mm(*args, cwd=folder, **variables)
            (folder / "done.json").write_text(json.dumps([done.code, done.out, done.err]))

        folder = self.once(name, make)
        return Done(*json.loads((folder / "done.json").read_text()), folder)

    def sim(self, name: str, *flags: str) -> Path:
        """Return the data root of a simulated day: 30 minutes of 20260105 unless *flags* override that."""
        args = ("sim", "day", "--day", "20260105", "--hours", "0.5", "--seed", "7", *flags)
        done = self.command(f"sim/{name}", *args)
        assert done.code == 0, done.err
        return done.cwd / "data"

    def imported(self, name: str, lines: list[str], *flags: str, **variables: str) -> Done:
        """Import a capture once, in its own folder."""

        def make(folder: Path) -> None:
            (folder / "capture.txt").write_text("\n".join(lines) + "\n")
            done = mm("data", "import", "capture.txt", *flags, cwd=folder, **variables)
            (folder / "done.json").write_text(json.dumps([done.code, done.out, done.err]))

        folder = self.once(f"import/{name}", make)
        return Done(*json.loads((folder / "done.json").read_text()), folder)

    def wild(self) -> Path:
        """Return the data root of the wild capture's day."""
        return self.imported_day("wild", hand.wild())

    def night(self) -> Path:
        """Return the data root of a wild capture that crosses midnight in Berlin: two days."""
        return self.imported_day("night", hand.wild(seed=6, minutes=6, start=hand.MIDNIGHT - 180_000_000))

    def imported_day(self, name: str, lines: list[str]) -> Path:
        """Return the data root of an imported wild capture."""
        grid = ("--tick-size", str(hand.TICK), "--qty-step", "0.01", "--min-notional", "1")
        done = self.imported(name, lines, "--symbol", hand.SYMBOL, *grid, RUN_ID="by-hand")
        assert done.code == 0, done.err
        return done.cwd / "data"

    def market(self, data_root: Path, symbol: str = "SIMUSDT", day: str = "20260105") -> Market:
        """Return a day as parsed by the second reader."""
        return read_day(data_root / symbol / day)

    def backtest(self, name: str, **variables: str) -> "Run":
        """Return a backtest of the simulated day."""
        variables = {"SYMBOL": "SIMUSDT", "DAY": "20260105", "DATA_ROOT": str(self.sim("plain")), **variables}
        return Run(self.command(f"backtest/{name}", "backtest", "--json", **variables))

    def calibration(self, name: str, *flags: str, **variables: str) -> "Run":
        """Return a calibration of the simulated day."""
        variables = {"SYMBOL": "SIMUSDT", "DAY": "20260105", "DATA_ROOT": str(self.sim("plain")), **variables}
        return Run(self.command(f"calibration/{name}", "calibrate", "--json", *flags, **variables))

    def over_time(self, command: str, name: str, *flags: str, **variables: str) -> "Run":
        """Return a schedule or a walk-forward of the simulated day: 10-minute windows, 2-minute steps."""
        variables = {"SYMBOL": "SIMUSDT", "DAY": "20260105", "DATA_ROOT": str(self.sim("plain")), **variables}
        windows = ("--wf-train-window-min", "10", "--wf-step-min", "2")
        return Run(self.command(f"{command}/{name}", command, "--json", *windows, *flags, **variables))


@dataclass(frozen=True)
class Run:
    """A command that created a run folder."""

    done: Done

    @property
    def artefact(self) -> Path:
        """Return the main artefact that the last line of stdout names."""
        assert self.done.code == 0, self.done.err
        return Path(self.done.last["path"])

    @property
    def folder(self) -> Path:
        """Return the run folder: the nearest one above the artefact that has a manifest."""
        return next(folder for folder in self.artefact.parents if (folder / "run_manifest.json").exists())

    @property
    def manifest(self) -> Any:
        """Return the manifest."""
        return json_of(self.folder / "run_manifest.json")

    def file(self, pattern: str) -> Path:
        """Return the only file of the run folder, at any depth, that matches *pattern*."""
        (found,) = self.folder.rglob(pattern)
        return found
