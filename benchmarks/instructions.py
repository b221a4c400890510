"""Executed instructions of each row of `engine`, `models` and `pipeline`, by valgrind's callgrind.

Instructions do not depend on the load of the machine: two counts of one commit differ by some 0.1 %. They depend on
compiler, libraries and Python, so only counts of one machine are compared.

Rows of `engine` and `models` are plays in one process, ``python -m benchmarks.instructions DAY_FOLDER CACHE QTY K``:
callgrind collects inside `benchmarks._counted.counted` only, and writes one file per call. Rows of `pipeline` are whole
processes.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kept import read_run
from benchmarks.turns import PYTHON, Bench, Measured, Row, clean_environment
from mm.errors import MMError

MOST_CHANGE = 0.03
"""Relative increase of a row since the run it is compared with, above which it counts as slower."""
UNIT, WATCHED = "M", "compared with an earlier commit by --against"
COMPARABLE = ("day", "hours", "yardstick", "python", "numpy", "processor")
"""Keys that two runs must share for a comparison of their counts."""
_SYMBOL = "__pyx_pw_10benchmarks_8_counted_1counted"  # valgrind finds it twice only by its whole name
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_FOUND = (0, 3, 4)  # exit codes of a command that wrote its result: done, a day with defects, a fit that is not usable


def main(folder: str, cache: str, quote_qty: str, k: str) -> None:
    """Play each row of `engine` and `models` once inside `counted`, and print their names in order."""
    from benchmarks._counted import counted

    names = []
    for name, play in _plays(Path(folder), Path(cache), quote_qty or None, float(k)):
        play()  # what a tape derives from its columns is kept
        counted(play)
        names.append(name)
    print(json.dumps({"names": names}))


def _plays(folder: Path, cache: Path, quote_qty: str | None, k: float) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield measurement and row, separated by a colon, and the play."""
    from benchmarks.engine import ACCOUNT, DEPTH, EXECUTION, OnTrade, models, played
    from benchmarks.play_models import PLAYS, play_of
    from mm.backtest.models import queue_prob_power, trade_cross
    from mm.play.engine_rules import rules_of
    from mm.tape.load import load_day

    tape = load_day(folder, cache=cache).kept_mapped()
    rules = rules_of(tape, EXECUTION, ACCOUNT, models(quote_qty))
    yield "engine: play it again", lambda: played(tape, trade_cross(), rules, k)
    yield "engine: play its whole book", lambda: played(tape, trade_cross(), rules, k, DEPTH)
    yield "engine: queue_prob_power", lambda: played(tape, queue_prob_power(), rules, k)
    yield "engine: fill model in Python", lambda: played(tape, OnTrade(), rules, k)
    for variant in PLAYS:
        yield f"models: {variant.name}", play_of(variant, tape, rules, k)


def measure(bench: Bench, names: Sequence[str]) -> Measured:
    """Return the counts of the measurements *names*, in millions of instructions; rows are named ``engine: …``.

    Raises:
        MMError: If valgrind is missing, or a measured process fails.
    """
    if shutil.which("valgrind") is None:
        raise MMError(
            "--instructions needs valgrind on the PATH; install it (apt install valgrind, brew install valgrind)"
        )
    counts = {}
    if {"engine", "models"} & set(names):
        plays = _counts_of_plays(bench)
        counts = {row: count for row, count in plays.items() if row.partition(":")[0] in names}
    if "pipeline" in names:
        from benchmarks.pipeline import commands, remove_run

        for name, words in commands(bench).items():
            with tempfile.TemporaryDirectory() as folder:
                output = _under_callgrind(words, Path(folder), ())
                counts[f"pipeline: {name}"] = sum(_totals(Path(folder)))
            remove_run(output)
    return Measured([Row(row, UNIT, [count / 1e6], aim=WATCHED) for row, count in counts.items()])


def slower(now: Mapping[str, Any], before: Path) -> list[str]:
    """Return a sentence for each row of *now* with more than `MOST_CHANGE` more instructions than in the run *before*.

    Raises:
        MMError: If the runs were counted on different days or machines, or share no row.
    """
    past = read_run(before)
    if differing := [key for key in COMPARABLE if past.get(key) != now.get(key)]:
        values = ", ".join(f"{key} {past.get(key)} and {now.get(key)}" for key in differing)
        raise MMError(f"{before}: counted under other conditions ({values}); count both commits on one machine")
    counts, then = ({row["name"]: row["ours"] for row in _rows(run)} for run in (now, past))
    if not counts.keys() & then.keys():
        raise MMError(f"{before}: has no counts of these rows; run mm bench --instructions there with the same names")
    return [
        f"{name} takes {count:,.0f} M instructions, {count / then[name] - 1:.1%} more than {then[name]:,.0f}"
        for name, count in counts.items()
        if name in then and count > (1 + MOST_CHANGE) * then[name]
    ]


def _rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run["measured"].get("instructions", {}).get("rows", [])
    return rows


def _counts_of_plays(bench: Bench) -> dict[str, int]:
    cache = bench.out / "tapes"
    words = [
        *PYTHON,
        "benchmarks.instructions",
        str(bench.folder.path),
        str(cache),
        bench.quote_qty or "",
        str(bench.k),
    ]
    subprocess.run(words, env=clean_environment(), check=True, capture_output=True)  # fills the cache
    with tempfile.TemporaryDirectory() as folder:
        only = (f"--toggle-collect={_SYMBOL}", f"--dump-after={_SYMBOL}")
        names = _under_callgrind(words, Path(folder), only)["names"]
        counts = [count for count in _totals(Path(folder)) if count]
    if len(counts) != len(names):
        raise MMError(
            f"callgrind counted {len(counts)} of {len(names)} plays; build the kernels with their symbols (make build)"
        )
    return dict(zip(names, counts, strict=True))


def _under_callgrind(words: Sequence[str], folder: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Run a command under callgrind, whose files go to *folder*; return the JSON object in its last line."""
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}", *flags]
    environment = clean_environment() | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([*valgrind, *words], env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode not in _FOUND or not lines:
        last = (done.stderr.strip().splitlines() or ["no error output"])[-1]
        raise MMError(f"{' '.join(words)}: ended with {done.returncode} under callgrind: {last}")
    output: dict[str, Any] = json.loads(lines[-1])
    return output


def _totals(folder: Path) -> list[int]:
    """Return the instructions in each file of callgrind, in the order of their numbers."""
    paths = sorted(folder.glob("out*"), key=lambda path: int(path.suffix[1:] or 0) if path.suffix else 1 << 30)
    return [sum(map(int, _TOTAL.findall(path.read_text(encoding="utf-8"))[:1])) for path in paths]


if __name__ == "__main__":
    main(*sys.argv[1:])
