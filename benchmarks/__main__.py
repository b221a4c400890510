"""``mm bench``: the project's own measurements: speed as ratios in one run, calibration against known truths."""
# ruff: noqa: RUF009 - knob() makes a dataclass field, it is no shared default

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import mm
from benchmarks.turns import NO_EVENTS, QUOTE_QTY, Bench, Measured, Yardstick, recorded
from mm.cli.config import Results
from mm.cli.console import Console
from mm.cli.frame import command
from mm.cli.knobs import PATH, knob, number, whole

# The module of each, imported when it is measured: a help needs no numpy.
MEASUREMENTS = {"engine": "engine:measure", "parse": "commands:parse", "startup": "commands:startup"}
ON_A_DAY = {"signals": "signals:measure"}
"""Further measurements on the day; they run where they are named."""
BESIDE = {"grids": "grids:measure", "fills": "grids:differences"}
"""Measurements beside hftbacktest, order by order too; they run where they are named."""
_DAYLESS = ("doors", "inference", "live", "matching", "recorder", "wire")
DAYLESS = {name: f"{name}:measure" for name in _DAYLESS} | {"day": "commands:simulated_day"}
"""Measurements that need no day; their argument is the number of turns."""
CALIBRATION = "calibration"
ANSWER = "bench.json"


@dataclass(frozen=True, kw_only=True)
class Settings(Results):
    """On which day, beside what, and how often."""

    yardstick: Path = knob(Path("../shared/bench"), PATH, "Folder of gen_day.py and bench_hftbacktest.py.")
    bench_hours: float = knob(14.0, number(0.01, 24), "Length of the yardstick day, in hours.", flag="--hours")
    bench_day: Path | None = knob(
        None, PATH, "A recorded day to measure on, instead of the yardstick's.", flag="--day-folder"
    )
    bench_peer: Path | None = knob(
        None, PATH, "Python of an environment that has hftbacktest, to measure beside it.", flag="--peer"
    )
    bench_turns: int = knob(5, whole(1, 1000), "How often each process takes its turn.", flag="--turns")

    def bench(self, console: Console) -> Bench:
        """Return what is measured on; the yardstick day and the peer's copy are made where they are missing."""
        out = self.out_root.resolve() / "bench"
        if self.bench_day is not None:
            return Bench(recorded(self.bench_day), out, self.bench_turns, no_peer=NO_EVENTS)
        yardstick = Yardstick(self.yardstick.resolve(), self.bench_hours, out)
        day = yardstick.day(console)
        if self.bench_peer is None:
            return Bench(day, out, self.bench_turns, QUOTE_QTY)
        peer = yardstick.peer(console, self.bench_peer.absolute())
        return Bench(day, out, self.bench_turns, QUOTE_QTY, peer)


@command(
    Settings,
    arguments=[
        click.Argument(
            ["names"],
            nargs=-1,
            type=click.Choice([*MEASUREMENTS, *ON_A_DAY, *BESIDE, *DAYLESS, CALIBRATION]),
            metavar="[NAME]...",
        ),
        click.Option(
            ["--full"],
            is_flag=True,
            help="Calibration: up to 4,000 days of each kind, under ten minutes of one processor.",
        ),
    ],
)
def main(console: Console, settings: Settings, names: tuple[str, ...], full: bool) -> None:
    """Measure NAME: speed (engine, parse, startup; these without one), or another.

    signals takes each signal alone over the day, grids plays two grids beside hftbacktest, fills compares their fills
    order by order. These need no day: doors (the trading interface and the dashboard), inference (predictors, an
    agent), live (a trader), matching, day, recorder, wire and calibration.

    A ratio above 1 is ours. Compare ratios of one run only: on a shared machine seconds drift, also between turns.
    Calibration holds bias, efficiency, coverage and the diagnostics of a fit against their bars; its numbers depend on
    no machine.
    """
    found: dict[str, Any] = {}
    answer: dict[str, Any] = {"turns": settings.bench_turns}
    on_a_day = MEASUREMENTS | ON_A_DAY | BESIDE
    timed = [name for name in dict.fromkeys(names or MEASUREMENTS) if name in on_a_day]
    if timed:
        bench = settings.bench(console)
        day = bench.folder
        console.say(f"{day.symbol} {day.day}, medians of {bench.turns} turns; a ratio above 1 is ours")
        answer |= {"day": f"{day.symbol}/{day.day}"}
    for name in dict.fromkeys(names or MEASUREMENTS):
        if name in timed:
            measured = _function(on_a_day[name])(bench)
        elif name in DAYLESS:
            measured = _function(DAYLESS[name])(settings.bench_turns)
        else:
            captures = settings.yardstick.resolve().parent / "data"
            measured = _function("calibration:measure")(console, full=full, captures=captures)
        for line in ["", *measured.lines(name)]:
            console.say(line)
        found[name] = measured.to_json()
    answer |= {**_machine(), "measured": found}
    path = settings.out_root.resolve() / "bench" / ANSWER
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(answer, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    console.answer({**answer, "path": str(path)})


def _function(place: str) -> Callable[..., Measured]:
    module, _, name = place.partition(":")
    found: Callable[..., Measured] = getattr(import_module(f"benchmarks.{module}"), name)
    return found


def _machine() -> dict[str, Any]:
    return {
        "version": mm.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    main()
