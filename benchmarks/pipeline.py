"""The commands of a day in fresh processes: their seconds, and the peak memory of each."""

import shutil
from pathlib import Path
from typing import Any

from benchmarks.engine import ACCOUNT, EXECUTION, PEER, flags_of, models
from benchmarks.turns import PYTHON, Aim, Bench, Measured, ProcessResult, Row, at_most, run
from mm.errors import DataError, FitError

FEW, MANY = 2, 42  # numbers of points of two sweeps: their difference gives the cost of a point
SWEPT = ("trade_cross", "queue_prob_power")
CHECK = "data check"
# Of the time in which the peer plays the day once: our seconds depend on the machine. Those of the record of
# 26 November less a tenth of noise; a walk-forward, which measures under its fill model since, may take 4 s.
AIMS = {
    "calibrate, marks": 1.6,
    "calibrate, ladder": 0.9,
    "calibrate, fixed": 0.9,
    "schedule": 1.85,
    "walkforward": 0.33,
    CHECK: 0.06,
    "fills fit": 0.8,
}
POINT_AIM = 60
MOST_MB = 500


def where_of(bench: Bench) -> list[str]:
    """Return the command-line words for the measured day, and the folder of runs."""
    day = bench.folder
    places = {"symbol": day.symbol, "day": day.day, "data-root": day.root, "out-root": bench.out}
    return [*(word for name, value in places.items() for word in (f"--{name}", str(value))), "--json"]


def commands(bench: Bench) -> dict[str, list[str]]:
    """Return the words of each command, by row name."""
    where = where_of(bench)
    found = {
        f"calibrate, {method}": ["calibrate", *where, "--method", method] for method in ("marks", "ladder", "fixed")
    }
    found |= {name: [name, *where] for name in ("schedule", "walkforward")}
    found[CHECK] = ["data", "check", str(bench.folder.path), "--json"]
    found["fills fit"] = ["fills", "fit", *where]
    return {name: [*PYTHON, "mm", *words] for name, words in found.items()}


def sweep(bench: Bench, fills: str, points: int) -> list[str]:
    """Return the words of a sweep of *points* points, played in one process."""
    where = where_of(bench)
    axis = ",".join(f"{0.001 + number * 1e-7:.7f}" for number in range(points))
    knobs = [*flags_of(EXECUTION), *flags_of(ACCOUNT), *flags_of(models(bench.quote_qty, bench.k))]
    sweep_flags = ["--jobs", "1", "--reuse-points", "0", "--grid", f"GAMMA={axis}"]
    return [*PYTHON, "mm", "sweep", *where, *knobs, "--fill-model", fills, *sweep_flags]


def measure(bench: Bench) -> Measured:
    """Measure each command, and the cost of a point of a sweep, compared with a warm play of the peer."""
    named = commands(bench)
    results: dict[str, list[ProcessResult]] = {name: [] for name in named}
    points: dict[str, list[tuple[ProcessResult, ProcessResult]]] = {fills: [] for fills in SWEPT}
    peers = []
    for turn in range(bench.turns + 1):  # the first turn fills the caches
        for name, words in named.items():
            finding = DataError if name == CHECK else FitError  # the other generator's day has both
            result = _removed(run(words, finding_code=finding.exit_code))
            if turn:
                results[name].append(result)
        for fills, pairs in points.items():
            pair = (_removed(run(sweep(bench, fills, FEW))), _removed(run(sweep(bench, fills, MANY))))
            if turn:
                pairs.append(pair)
        if bench.peer and turn:
            peers.append(run([*bench.peer, "--repeat", "2"]))
    rows, played = [], [peer.output["runs"][-1]["run_s"] for peer in peers]
    for name, row_results in results.items():
        walls, users = [result.wall_s for result in row_results], [result.user_s for result in row_results]
        rows.append(Row(name, "s", walls, PEER, played, Aim(AIMS[name]), users))
        rows.append(Row(f"{name}, peak memory", "MB", [result.peak_mb for result in row_results], aim=at_most(MOST_MB)))
    rows += [_point_row(fills, points[fills], peers) for fills in SWEPT]
    notes = [
        f"{name} ended with {row_results[-1].code}: the day has defects, or its fit is not usable"
        for name, row_results in results.items()
        if row_results[-1].code
    ]
    return Measured(rows, {"points of a sweep": MANY - FEW}, notes if peers else [*notes, bench.no_peer])


def _point_row(fills: str, pairs: list[tuple[ProcessResult, ProcessResult]], peers: list[ProcessResult]) -> Row:
    walls, users = (
        [max(0.0, (getattr(many, key) - getattr(few, key)) / (MANY - FEW)) for few, many in pairs]
        for key in ("wall_s", "user_s")
    )
    runs = [peer.output["runs"][-1] for peer in peers]
    theirs = ([one[key] for one in runs] for key in ("run_s", "run_user_s"))
    wall, user = theirs
    return Row(f"a point of a sweep, {fills}", "s", walls, PEER, wall, Aim(POINT_AIM), users, user)


def _removed(result: ProcessResult) -> ProcessResult:
    """Return the usage of a process, and remove its run, if any."""
    remove_run(result.output)
    return result


def remove_run(output: dict[str, Any]) -> None:
    """Remove the run that a command named in the JSON object it printed, if any."""
    path: Any = output.get("path")
    if path is not None and (folder := _run_folder(Path(path))) is not None:
        shutil.rmtree(folder)


def _run_folder(path: Path) -> Path | None:
    return next((folder for folder in path.parents if (folder / "run_manifest.json").is_file()), None)
