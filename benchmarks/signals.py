"""Signals over a recorded day: nanoseconds per event of each signal alone, compared with the book and the mid alone.

Each turn runs ``python -m benchmarks.signals FOLDER``, which prints one JSON object.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.turns import PYTHON, Bench, Measured, Row, at_most, run

AIM_NS = 1_000  # a million events per second on one core
BARE = "mid"
"""The signal that needs the best prices alone: its cost is that of the book."""


def measure(bench: Bench) -> Measured:
    """Measure every default signal on the day of *bench*, in one fresh process per turn."""
    command = [*PYTHON, "benchmarks.signals", str(bench.folder.path)]
    outputs = [run(command).output for _ in range(bench.turns)]
    book = [output["ns"][BARE] for output in outputs]
    rows = [
        Row(name, "ns", [output["ns"][name] for output in outputs], "the book", book, at_most(AIM_NS))
        for name in outputs[-1]["ns"]
    ]
    slowest = max(rows, key=lambda row: statistics.median(row.ours))
    facts = {
        "events": outputs[-1]["events"],
        "slowest": slowest.name,
        "its events a second": round(1e9 / statistics.median(slowest.ours)),
    }
    aim = f"the aim is {AIM_NS:,} ns an event, a million events a second, of each signal alone; processor time"
    return Measured(rows, facts, [aim, f"'the book' is {BARE}, which needs the best prices alone"])


def main(folder: str) -> None:
    """Compute each default signal over a day, and print the time per event."""
    from mm.dayfolder.layout import DayFolder
    from mm.signals.families import SIGNALS
    from mm.tape.load import load_day

    tape = load_day(DayFolder.at(Path(folder)))
    names = [name for name in SIGNALS.usual if name != "micro_price"]  # it needs a fit on earlier days
    print(json.dumps({"events": len(tape), "ns": {name: _ns_per_event(tape, name) for name in names}}))


def _ns_per_event(tape: Any, name: str) -> float:
    """Return the processor time per event of the tape with one signal, in ns."""
    from mm.signals.compute import compute

    began = time.process_time_ns()
    rows = sum(len(piece.recv_us) for piece in compute(tape, (name,)))
    took_ns = time.process_time_ns() - began
    assert rows, f"{name}: the day has no diff"
    return took_ns / len(tape)


if __name__ == "__main__":
    main(*sys.argv[1:])
