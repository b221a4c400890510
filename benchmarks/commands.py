"""Complete commands in fresh processes: the cost of loading a day, starting up and simulating a day.

``python -m benchmarks.commands DAY_FOLDER [CACHE]`` is what a turn runs: it loads the day, twice where a cache is
given, and prints one JSON object with the seconds.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.turns import PYTHON, Bench, Measured, Ran, Row, run
from mm.dayfolder.layout import PACKED, existing

GZIP = "gzip -dc"
BARE = ("-c", "pass")
HELPS = (("--help",), ("backtest", "--help"))
# Our own rooms first, then their dependencies: a room should cost little more than its packages.
IMPORTS = (
    "mm",
    "mm.cli.frame",
    "mm.commands.assemble",
    "mm.backtest.replay",
    "numpy",
    "pyarrow",
    "polars",
    "scipy.special",
)
HOURS = 1.0
DAY_HOURS = 14
SCENARIO = "zero_intelligence"
AIM = 1_000
_DAY = "20260105"


def parse(bench: Bench) -> Measured:
    """Measure parsing, and opening a kept tape."""
    cold = [*PYTHON, "benchmarks.commands", str(bench.folder.path)]
    warm = [*cold, str(bench.out / "tapes")]
    run(warm)  # keeps the tape
    packed = [path for path in map(existing, (bench.folder.diffs, bench.folder.trades)) if path and _packed(path)]
    gzip = shutil.which("gzip")
    inflate = [gzip, "-dc", *map(str, packed)] if gzip and packed else None
    inflated, parsed, kept, opened = [], [], [], []
    for _ in range(bench.turns):
        if inflate:
            inflated.append(run(inflate, listen=False))
        parsed.append(run(cold))
        with TemporaryDirectory(dir=bench.out) as empty:
            kept.append(run([*cold, empty]))
        opened.append(run(warm))
    facts = {
        "packed files, bytes": {path.name: path.stat().st_size for path in packed},
        "rows": parsed[-1].said["rows"],
    }
    notes = [] if inflate else ["gzip is left out: there is no packed file, or no gzip to unpack it"]
    rows = _rows(inflated, parsed, opened)
    kept_mb = [ran.peak_mb for ran in kept]
    return Measured([*rows, Row("parse and keep, peak memory", "MB", kept_mb, aim="under 500 MB")], facts, notes)


def _rows(inflated: list[Ran], parsed: list[Ran], opened: list[Ran]) -> list[Row]:
    parse_s = [ran.said["first_s"] for ran in parsed]
    against = [ran.wall_s for ran in inflated], [ran.user_s for ran in inflated]
    return [
        Row("open a kept tape", "s", [ran.said["again_s"] for ran in opened], "parse", parse_s, "100"),
        Row("open a kept tape, first time", "s", [ran.said["first_s"] for ran in opened], "parse", parse_s),
        Row("parse", "s", parse_s, GZIP, against[0], "1, better 2"),
        Row(
            "parse, whole process",
            "s",
            [ran.wall_s for ran in parsed],
            GZIP,
            against[0],
            "1, better 2",
            [ran.user_s for ran in parsed],
            against[1],
        ),
        Row("parse, peak memory", "MB", [ran.peak_mb for ran in parsed], aim="under 500 MB"),
    ]


def _packed(path: Path) -> bool:
    return path.suffix == PACKED


def main(folder: str, cache: str | None = None) -> None:
    """Load the day, and print the duration of the first and the last load."""
    from mm.backtest.io import load_day

    kept = Path(cache) if cache else None
    seconds = []
    for _ in range(2 if kept else 1):
        began = time.perf_counter()
        tape = load_day(Path(folder), cache=kept)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"first_s": seconds[0], "again_s": seconds[-1], "rows": len(tape.row_ticks)}))


def startup(bench: Bench) -> Measured:
    """Measure helps and imports, each in fresh processes."""
    commands: dict[str, Sequence[str]] = {f"mm {' '.join(words)}": ("-m", "mm", *words) for words in HELPS}
    commands |= {f"import {name}": ("-c", f"import {name}") for name in IMPORTS}
    for words in commands.values():
        run([PYTHON[0], *words], listen=False)  # makes the bytecode
    bare: list[Ran] = []
    taken: dict[str, list[Ran]] = {name: [] for name in commands}
    for _ in range(bench.turns):
        bare.append(run([PYTHON[0], *BARE], listen=False))
        for name, words in commands.items():
            taken[name].append(run([PYTHON[0], *words], listen=False))
    aims = {"mm --help": "under 0.15 s"}
    walls, users = [ran.wall_s for ran in bare], [ran.user_s for ran in bare]
    return Measured(
        [
            Row(
                name,
                "s",
                [ran.wall_s for ran in ours],
                "python -c",
                walls,
                aims.get(name, ""),
                [ran.user_s for ran in ours],
                users,
            )
            for name, ours in taken.items()
        ]
    )


def simulated_day(turns: int) -> Measured:
    """Make the same session in *turns* fresh processes: command line, order flow, matching, files and hashes."""
    with tempfile.TemporaryDirectory() as root:
        flags = ["--scenario", SCENARIO, "--seed", "7", "--hours", str(HOURS), "--day", _DAY, "--data-root", root]
        ran = [run([*PYTHON, "mm", "sim", "day", *flags, "--json"]) for _ in range(turns)]
        size_mb = sum(path.stat().st_size for path in Path(root).rglob("*") if path.is_file()) / 1e6
    market_s = HOURS * 3600
    rows = [
        Row("seconds of market a second", "s", [market_s / one.wall_s for one in ran], aim=f"{AIM:,}"),
        Row("the same, user time", "s", [market_s / one.user_s for one in ran]),
        Row(f"{DAY_HOURS} hours at that pace", "s", [one.wall_s * DAY_HOURS / HOURS for one in ran], aim="under 60 s"),
        Row("peak memory", "MB", [one.peak_mb for one in ran]),
    ]
    said = ran[-1].said
    facts = {"depth_messages": said["depth_messages"], "trades": said["trades"], "MB on disk": round(size_mb)}
    return Measured(rows, facts, [f"{HOURS:g} h of {SCENARIO} at its default rates, the order log included"])


if __name__ == "__main__":
    main(*sys.argv[1:])
