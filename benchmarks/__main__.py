"""``mm bench``: the project's own measurements: speed as ratios within one run, calibration against known truths."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from benchmarks.kept import changes, circumstances, earlier, keep, load, stamp
from benchmarks.turns import FINISHED, NO_EVENTS, QUOTE_QTY, Bench, Measured, recorded
from mm.base.knobs import PATH, integer, knob, number
from mm.cli.frame import command
from mm.errors import MMError, UsageError
from mm.play.knobs import Results
from mm.terminal.console import Console

# Modules and functions by name; they are imported when they are measured, so that --help needs no numpy.
MEASUREMENTS = {"engine": "engine:measure", "parse": "commands:parse", "startup": "commands:startup"}
ON_A_DAY = {"models": "play_models:measure", "pipeline": "pipeline:measure", "signals": "signals:measure"}
"""Further measurements on the day; they run only if named."""
COMPARISONS = {"grids": "grids:measure", "fills": "grids:differences"}
"""Comparisons with hftbacktest, including order by order; they run only if named."""
LIVE = "live"
_DAYLESS = ("doors", "inference", LIVE, "matching", "trials", "wire")
DAYLESS = {name: f"{name}:measure" for name in _DAYLESS} | {
    "day": "commands:simulated_day",
    "truth": "published:measure",
}
"""Measurements without a day; their argument is the number of turns."""
IMPORT, RECORDER = "import", "recorder"
CALIBRATION = "calibration"
INSTRUCTIONS, COUNTED = "instructions", ("engine", "models", "pipeline")
"""The measurement of instructions, and those whose rows it counts."""
SHARED = Path("../shared/bench")
"""The captures on which the calibration is tested are next to it."""


@dataclass(frozen=True, kw_only=True)
class Settings(Results):
    """The measured day, the peer, and the number of turns."""

    yardstick: Path | None = knob(
        None, PATH, "Folder of another gen_day.py and bench_hftbacktest.py, instead of our own day and script."
    )
    bench_hours: float = knob(14.0, number(0.01, 24), "Length of the yardstick day, in hours.", flag="--hours")
    bench_day: Path | None = knob(
        None, PATH, "A recorded day to measure on, instead of the yardstick's.", flag="--day-folder"
    )
    bench_peer: Path | None = knob(
        None, PATH, "Python of an environment that has hftbacktest, for comparison.", flag="--peer"
    )
    bench_against: Path | None = knob(
        None, PATH, "With --instructions: a stored run; a row with 3 % more instructions is slower.", flag="--against"
    )
    bench_turns: int | None = knob(
        None, integer(1, 1000), "Number of turns of each process; default: 5, and 3 of the recorder.", flag="--turns"
    )

    bench_symbols: int = knob(
        4, integer(1, 50), "With live: number of symbols of the trader under the load of the goal.", flag="--symbols"
    )
    bench_assets: int = knob(
        700, integer(2, 10_000), "With live: number of assets that its account holds.", flag="--assets"
    )
    bench_rate: int = knob(
        2_000, integer(1, 100_000), "With live: depth messages per second that it gets, of all symbols.", flag="--rate"
    )

    @property
    def turns(self) -> int:
        """The number of turns of most measurements."""
        return self.bench_turns or 5

    def bench(self, console: Console) -> Bench:
        """Return the settings of a measurement; the yardstick day and the peer's copy are created if missing."""
        from benchmarks.yardstick import Yardstick

        out = self.out_root.resolve() / "bench"
        if self.bench_day is not None:
            of_peer = None if self.bench_peer is None else str(self.bench_peer.absolute())
            return Bench(recorded(self.bench_day), out, self.turns, no_peer=NO_EVENTS, peer_python=of_peer)
        yardstick = Yardstick(self.yardstick and self.yardstick.resolve(), self.bench_hours, out)
        bench = Bench(yardstick.day(console), out, self.turns, QUOTE_QTY, k=yardstick.k)
        if self.bench_peer is None:
            return bench
        python = self.bench_peer.absolute()
        return replace(bench, peer=yardstick.peer(console, python), peer_plays=yardstick.plays(console, python))


def _main(console: Console, settings: Settings, names: tuple[str, ...], full: bool, instructions: bool) -> None:
    """Measure NAME: engine, parse and startup by default.

    models plays each fill model, latency and view of the market; pipeline runs the other commands of a day and
    measures their memory; signals computes each signal alone over the day; grids plays two grids with mm and
    hftbacktest; fills compares their fills order by order, on a recorded day as well. These need no day: doors (the
    trading interface and the dashboard), inference (predictors, an agent), live (a trader, also under the load
    of --symbols, --assets and --rate), matching, day, recorder, wire, import (a capture, compared with hftbacktest's
    converter) and calibration.

    Each run is stored as OUT_ROOT/bench/<UTC>.json and shows the change since the last run of the same rows.

    It exits with 1 and names the rows that miss their aim. Ratios to the peer are judged only with --peer.

    With --instructions the executed instructions of engine, models and pipeline are counted by valgrind, which takes
    minutes; unlike times they do not depend on the load of the machine. With --against, a stored run of another commit
    on the same machine, rows with 3 % more are named, and it exits with 1.

    A ratio above 1 is in favour of mm. Compare ratios within one run only: on a shared machine, times drift between
    runs and turns. Calibration compares bias, efficiency, coverage and the diagnostics of a fit with their bars; its
    results do not depend on the machine.
    """
    measured_names = [INSTRUCTIONS] if instructions else list(dict.fromkeys(names or MEASUREMENTS))
    counted = list(dict.fromkeys(names or COUNTED))
    if instructions and (others := [name for name in counted if name not in COUNTED]):
        raise UsageError(f"--instructions counts {', '.join(COUNTED)}, not {', '.join(others)}")
    if settings.bench_against is not None and not instructions:
        raise UsageError("--against compares instructions; give --instructions too")
    on_a_day = {INSTRUCTIONS, *MEASUREMENTS, *ON_A_DAY, *COMPARISONS}
    answer: dict[str, Any] = {"stamp": stamp(datetime.now(UTC)), **circumstances(), "turns": settings.turns}
    bench = None
    if any(name in on_a_day for name in measured_names):
        bench = settings.bench(console)
        day = bench.folder
        console.print(f"{day.symbol} {day.day}, medians of {bench.turns} turns; a ratio above 1 favours mm")
        answer |= {"day": f"{day.symbol}/{day.day}", "hours": None if settings.bench_day else settings.bench_hours}
        answer |= {"yardstick": settings.yardstick and str(settings.yardstick), "peer": bench.peer is not None}
    folder = settings.out_root.resolve() / "bench"
    answer["measured"], missed, failed = {}, list[str](), list[MMError]()
    for name in measured_names:
        FINISHED.clear()
        try:
            if instructions:
                measured = _function("instructions:measure")(bench, counted)
            else:
                measured = _measure(name, bench, settings, console, full=full)
        except MMError as error:
            failed.append(error)
            lines = [f"{name} failed; measured before:", *(f"  {one}" for one in FINISHED or ["nothing"])]
        else:
            found = answer["measured"][name] = measured.to_json()
            missed += [f"{name}: {row.miss}" for row in getattr(measured, "rows", []) if row.miss]
            lines = _lines(name, measured, found, earlier(folder, answer, name))
        for line in ["", *lines]:
            console.print(line)
    if settings.bench_against is not None:
        missed += _function("instructions:slower")(answer, settings.bench_against)
    answer |= {"load_at_end": load(), "missed": missed, "failed": [str(error) for error in failed]}
    console.set_json({**answer, "path": str(keep(folder, answer))})
    if failed:
        raise failed[0]
    if missed:
        what = "rows are slower" if instructions else "aims missed"
        again = "" if instructions else "measure again on an idle machine, then "
        raise MMError(f"{len(missed)} {what}: {'; '.join(missed)}; {again}find the change")


main = command(
    Settings,
    arguments=[
        click.Argument(
            ["names"],
            nargs=-1,
            type=click.Choice([*MEASUREMENTS, *ON_A_DAY, *COMPARISONS, *DAYLESS, RECORDER, IMPORT, CALIBRATION]),
            metavar="[NAME]...",
        ),
        click.Option(
            ["--full"],
            is_flag=True,
            help="Calibration: up to 4,000 days of each kind, under ten minutes of one processor.",
        ),
        click.Option(["--instructions"], is_flag=True, help="Count instructions instead of times; needs valgrind."),
    ],
)(_main)


def _lines(name: str, measured: Any, found: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    if before is None:
        return list(measured.lines(name))
    if isinstance(measured, Measured):
        measured = replace(measured, changes=changes(found, before["measured"][name]))
    since = f"  change: since {before['stamp']}, commit {(before['commit'] or 'unknown')[:12]}"
    return [*measured.lines(name), since]


def _measure(name: str, bench: Bench | None, settings: Settings, console: Console, *, full: bool) -> Any:
    """Return the result of *name*: a `Measured`, or the bars of the calibration."""
    if bench is not None and name in (on_a_day := MEASUREMENTS | ON_A_DAY | COMPARISONS):
        return _function(on_a_day[name])(bench)
    if name == IMPORT:
        return _function("imports:measure")(settings.turns, settings.bench_peer)
    if name == RECORDER:
        return _function("recorder:measure")(settings.bench_turns or 3, console.log)
    if name == LIVE:
        load = _function("live_venue:Load")
        goal = load(symbols=settings.bench_symbols, assets=settings.bench_assets, rate=settings.bench_rate)
        return _function("live:measure")(settings.turns, goal)
    if name in DAYLESS:
        return _function(DAYLESS[name])(settings.turns)
    captures = (settings.yardstick or SHARED).resolve().parent / "data"
    return _function("calibration:measure")(console, full=full, captures=captures)


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"benchmarks.{module}"), name)
    return found


if __name__ == "__main__":
    main()
