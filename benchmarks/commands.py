"""Complete commands in fresh processes: the cost of loading a day, starting up and simulating a day.

Each turn runs ``python -m benchmarks.commands DAY_FOLDER [CACHE]``: it loads the day, twice if a cache is given, and
prints one JSON object with the seconds.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.turns import PYTHON, Aim, Bench, Measured, ProcessResult, Row, at_least, at_most, run
from mm.dayfolder.layout import PACKED, existing

GZIP = "gzip -dc"
BARE = ("-c", "pass")
HELPS = (("--help",), ("backtest", "--help"))
# Our own packages first, then their dependencies: a package should cost little more than its dependencies.
IMPORTS = (
    "mm",
    "mm.cli.frame",
    "mm.play.play",
    "mm.backtest.replay",
    "numpy",
    "pyarrow",
    "polars",
    "mm.base.special",
)
WITHIN = "it shows what the rows of commands are made of"
HOURS = 1.0
DAY_HOURS = 14
SCENARIO = "zero_intelligence"
AIM = 1_000
SEEN = "the wall time is watched"
_DAY = "20260105"


def parse(bench: Bench) -> Measured:
    """Measure parsing, and opening a cached tape."""
    cold = [*PYTHON, "benchmarks.commands", str(bench.folder.path)]
    warm = [*cold, str(bench.out / "tapes")]
    run(warm)  # caches the tape
    packed = [path for path in map(existing, (bench.folder.diffs, bench.folder.trades)) if path and _packed(path)]
    gzip = shutil.which("gzip")
    inflate = [gzip, "-dc", *map(str, packed)] if gzip and packed else None
    inflated, parsed, kept, opened = [], [], [], []
    for _ in range(bench.turns):
        if inflate:
            inflated.append(run(inflate, capture_stdout=False))
        parsed.append(run(cold))
        with TemporaryDirectory(dir=bench.out) as empty:
            kept.append(run([*cold, empty]))
        opened.append(run(warm))
    facts = {
        "packed files, bytes": {path.name: path.stat().st_size for path in packed},
        "rows": parsed[-1].output["rows"],
    }
    notes = [] if inflate else ["gzip is left out: there is no packed file, or no gzip to unpack it"]
    rows = _rows(inflated, parsed, opened)
    kept_mb = [result.peak_mb for result in kept]
    return Measured([*rows, Row("parse and keep, peak memory", "MB", kept_mb, aim=at_most(500))], facts, notes)


def _rows(inflated: list[ProcessResult], parsed: list[ProcessResult], opened: list[ProcessResult]) -> list[Row]:
    parse_s = [result.output["first_s"] for result in parsed]
    against = [result.wall_s for result in inflated], [result.user_s for result in inflated]
    return [
        Row("open a kept tape", "s", [result.output["again_s"] for result in opened], "parse", parse_s, Aim(100)),
        Row(
            "open a kept tape, first time",
            "s",
            [result.output["first_s"] for result in opened],
            "parse",
            parse_s,
            Aim(60),
        ),
        Row("parse", "s", parse_s, GZIP, against[0], Aim(1)),
        Row(
            "parse, whole process",
            "s",
            [result.wall_s for result in parsed],
            GZIP,
            against[0],
            Aim(1),
            [result.user_s for result in parsed],
            against[1],
        ),
        Row("parse, peak memory", "MB", [result.peak_mb for result in parsed], aim=at_most(500)),
    ]


def _packed(path: Path) -> bool:
    return path.suffix == PACKED


def main(folder: str, cache: str | None = None) -> None:
    """Load the day, and print the duration of the first and the last load."""
    from mm.tape.load import load_day

    kept = Path(cache) if cache else None
    seconds = []
    for _ in range(2 if kept else 1):
        began = time.perf_counter()
        tape = load_day(Path(folder), cache=kept)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"first_s": seconds[0], "again_s": seconds[-1], "rows": len(tape.row_ticks)}))


def startup(bench: Bench) -> Measured:
    """Measure help pages and imports, each in fresh processes."""
    commands: dict[str, Sequence[str]] = {f"mm {' '.join(words)}": ("-m", "mm", *words) for words in HELPS}
    commands |= {f"import {name}": ("-c", f"import {name}") for name in IMPORTS}
    for words in commands.values():
        run([PYTHON[0], *words], capture_stdout=False)  # writes the bytecode
    bare: list[ProcessResult] = []
    results: dict[str, list[ProcessResult]] = {name: [] for name in commands}
    for _ in range(bench.turns):
        bare.append(run([PYTHON[0], *BARE], capture_stdout=False))
        for name, words in commands.items():
            results[name].append(run([PYTHON[0], *words], capture_stdout=False))
    aims = {"mm --help": at_most(0.15), "mm backtest --help": at_most(0.4)}
    walls, users = [result.wall_s for result in bare], [result.user_s for result in bare]
    return Measured(
        [
            Row(
                name,
                "s",
                [result.wall_s for result in ours],
                "python -c",
                walls,
                aims.get(name, WITHIN),
                [result.user_s for result in ours],
                users,
            )
            for name, ours in results.items()
        ]
    )


def simulated_day(turns: int) -> Measured:
    """Simulate the same session in *turns* fresh processes: command line, order flow, matching, files and hashes."""
    with tempfile.TemporaryDirectory() as root:
        flags = ["--scenario", SCENARIO, "--seed", "7", "--hours", str(HOURS), "--day", _DAY, "--data-root", root]
        results = [run([*PYTHON, "mm", "sim", "day", *flags, "--json"]) for _ in range(turns)]
        size_mb = sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file()) / 1e6
    market_s = HOURS * 3600
    rows = [
        Row("market seconds per second", "s", [market_s / result.wall_s for result in results], aim=at_least(AIM)),
        Row("the same, user time", "s", [market_s / result.user_s for result in results], aim=SEEN),
        Row(
            f"{DAY_HOURS} hours at that pace",
            "s",
            [result.wall_s * DAY_HOURS / HOURS for result in results],
            aim=at_most(60),
        ),
        Row("peak memory", "MB", [result.peak_mb for result in results], aim=at_most(500)),
    ]
    output = results[-1].output
    facts = {"depth_messages": output["depth_messages"], "trades": output["trades"], "MB on disk": round(size_mb)}
    return Measured(rows, facts, [f"{HOURS:g} h of {SCENARIO} at its default rates, the order log included"])


if __name__ == "__main__":
    main(*sys.argv[1:])
