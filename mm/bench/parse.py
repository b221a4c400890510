"""The way to a tape: parsing a day's files, against ``gzip -dc`` of them, and opening the tape that was kept.

``python -m mm.bench.parse DAY_FOLDER [CACHE]`` is what a turn runs: it loads the day, twice where a cache is given,
and prints one JSON object with the seconds.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from mm.bench.turns import PYTHON, Measured, Ran, Row, run
from mm.bench.yardstick import Bench
from mm.dayfolder.layout import PACKED, existing

GZIP = "gzip -dc"


def measure(bench: Bench) -> Measured:
    """Measure parsing, and opening what was parsed before."""
    cold = [*PYTHON, "mm.bench.parse", str(bench.folder.path)]
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
        Row("parse, whole process", "s", [ran.wall_s for ran in parsed], GZIP, against[0], "1, better 2"),
        Row("parse, whole process, user time", "s", [ran.user_s for ran in parsed], GZIP, against[1]),
        Row("parse, peak memory", "MB", [ran.peak_mb for ran in parsed], aim="under 500 MB"),
    ]


def _packed(path: Path) -> bool:
    return path.suffix == PACKED


def main(folder: str, cache: str | None = None) -> None:
    """Load the day, and print how long it took, the first time and the last."""
    from mm.backtest.io import load_day

    kept = Path(cache) if cache else None
    seconds = []
    for _ in range(2 if kept else 1):
        began = time.perf_counter()
        tape = load_day(Path(folder), cache=kept)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"first_s": seconds[0], "again_s": seconds[-1], "rows": len(tape.row_ticks)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
