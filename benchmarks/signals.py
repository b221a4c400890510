"""Signals over a recorded day: nanoseconds per event, each signal alone, beside the book without any but the mid.

``python -m benchmarks.signals FOLDER`` is what a turn runs: it prints one JSON object.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.turns import PYTHON, Bench, Measured, Row, run

AIM_NS = 1_000  # a million events a second on one core
BARE = "mid"
"""The signal that needs the best prices alone: what it costs is the book."""


def measure(bench: Bench) -> Measured:
    """Measure every usual signal on the day of *bench*, one fresh process per turn."""
    command = [*PYTHON, "benchmarks.signals", str(bench.folder.path)]
    said = [run(command).said for _ in range(bench.turns)]
    book = [one["ns"][BARE] for one in said]
    rows = [Row(name, "ns", [one["ns"][name] for one in said], "the book", book) for name in said[-1]["ns"]]
    slowest = max(rows, key=lambda row: statistics.median(row.ours))
    facts = {
        "events": said[-1]["events"],
        "slowest": slowest.name,
        "its events a second": round(1e9 / statistics.median(slowest.ours)),
    }
    aim = f"the aim is {AIM_NS:,} ns an event, a million events a second, of each signal alone; processor time"
    return Measured(rows, facts, [aim, f"'the book' is {BARE}, which needs the best prices alone"])


def main(folder: str) -> None:
    """Compute each usual signal over a day, and print what an event took."""
    from mm.dayfolder.layout import DayFolder
    from mm.signals.families import SIGNALS
    from mm.tape.load import load_day

    tape = load_day(DayFolder.at(Path(folder)))
    names = [name for name in SIGNALS.usual if name != "micro_price"]  # it is fitted on days before
    print(json.dumps({"events": len(tape), "ns": {name: _paced(tape, name) for name in names}}))


def _paced(tape: Any, name: str) -> float:
    """Return the ns of processor time that an event of the tape takes with one signal."""
    from mm.signals.compute import compute

    began = time.process_time_ns()
    rows = sum(len(piece.recv_us) for piece in compute(tape, (name,)))
    took_ns = time.process_time_ns() - began
    assert rows, f"{name}: the day has no diff"
    return took_ns / len(tape)


if __name__ == "__main__":
    main(*sys.argv[1:])
