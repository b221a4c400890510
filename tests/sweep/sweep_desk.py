"""A small day, and sweeps of it as processes: shared by the tests of ``mm sweep``."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from mm.commands.sweep import sweep as main
from mm.trials.own_content import own_content
from simulation import simulate_day
from support import run_python

KNOBS = {"SYMBOL": "SIMUSDT", "DAY": "20260105", "MAKER_FEE_RATE": "0", "LOG_LEVEL": "ERROR"}
GRID = "GAMMA=0.01,0.1,1;FILL_MODEL=trade_cross,price_cross"
FILES = ("sweep.json", "sweep.csv", "points.ndjson", "pnl_60s.csv")

# A model that ends its own process, always or the first time only, or raises; chosen by its parameter.
MODEL = """
import os, signal, sys
from pathlib import Path
from mm import Quotes
from my_helper import LOTS

class Own:
    def __init__(self, delta: float = 1.0, ill: str = "") -> None:
        self.delta, self.ill, self.n_calls = delta, ill, 0

    def quote(self, view):
        self.n_calls += 1
        if self.n_calls == 20 and self.ill:
            if self.ill == "raises":
                raise RuntimeError("no idea")
            if self.ill == "exits":
                raise SystemExit("no more")
            if self.ill == "leaves":
                print("no disk", file=sys.stderr, flush=True)
                os._exit(7)
            if self.ill == "dies" or not Path(self.ill).exists():
                Path(self.ill).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        mid = view.mid2_ticks / 2
        return Quotes(mid - self.delta, mid + self.delta, LOTS, LOTS)
"""


def small_day(root: Path, day: str = "20260105", hours: float = 0.5) -> None:
    """Write a synthetic day into *root*."""
    simulate_day(root, hours=hours, seed=1, day=day, A_per_s=1.0, k_per_tick=0.4)


def run_sweep(cwd: Path, data: Path, **knobs: str) -> Any:
    """Run ``mm sweep`` in *cwd*; a knob that is given empty counts as not set."""
    return run_python("-m", "mm", "sweep", cwd=cwd, DATA_ROOT=str(data), **{**KNOBS, "GRID": GRID, **knobs})


def invoke(data: Path, program: click.Command = main, words: Sequence[str] = (), **knobs: str) -> Any:
    """Run ``mm sweep``, or another *program*, within this process and the current folder."""
    defaults = {"GRID": GRID} if program is main else {}
    return CliRunner().invoke(program, list(words), env={"DATA_ROOT": str(data), **KNOBS, **defaults, **knobs})


def folder_of(done: Any, cwd: Path) -> Path:
    """Return the run folder that a sweep names in its last line."""
    return cwd / Path(done.stdout.splitlines()[-1]).parent


def sweep_json(done: Any, cwd: Path) -> dict[str, Any]:
    """Return ``sweep.json`` of a finished sweep."""
    content: dict[str, Any] = json.loads((folder_of(done, cwd) / "sweep.json").read_text())
    return content


def manifest(folder: Path) -> dict:
    return json.loads((folder / "run_manifest.json").read_text())


def own_of(path: Path) -> Any:
    """Return what a file of a sweep has without what allows for the trials on record."""
    text = path.read_text()
    if path.suffix == ".json":
        return own_content(json.loads(text))
    return own_content([*csv.DictReader(text.splitlines())]) if path.name == "sweep.csv" else text


def assert_same(one: Path, other: Path) -> None:
    """Assert that two sweeps wrote the same, whatever was on record, and have the same digest."""
    for name in FILES:
        assert own_of(one / name) == own_of(other / name), name
    assert manifest(one)["digest"] == manifest(other)["digest"]


def write_own_model(folder: Path) -> None:
    (folder / "my_own.py").write_text(MODEL)
    (folder / "my_helper.py").write_text("LOTS = 60\n")
