"""The ledger of trials: what a thousand designs of 14 hours on record cost the next backtest of their day.

Each turn runs ``python -m benchmarks.trials``: it puts TRIALS designs on record, then one more as a
backtest does, and reads what is on record.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.turns import PYTHON, Measured, Row, at_most, run
from mm.trials.ledger import Trial, TrialLine
from mm.trials.on_record import Recording

TRIALS, MINUTES = 1_000, 840
REPEATS = 5
DAY = "20260105"


def measure(turns: int) -> Measured:
    """Measure it in *turns* fresh processes."""
    outputs = [run([*PYTHON, "benchmarks.trials"]).output for _ in range(turns)]
    rows = [
        Row("put on record and read, wall", "ms", [output["wall_ms"] for output in outputs], aim=at_most(20)),
        Row("the same, processor time", "ms", [output["cpu_ms"] for output in outputs], aim=at_most(20)),
    ]
    facts = {"trials": TRIALS, "minutes": MINUTES, "bytes": outputs[-1]["bytes"]}
    return Measured(rows, facts)


def trial(number: int) -> Trial:
    """Return a design of the day."""
    line = TrialLine(
        at_us=number,
        design=f"{number:024x}",
        assumption="0" * 24,
        market="0" * 24,
        quotes="glft",
        fills="queue_prob_power",
        days=(DAY,),
        made_by="sweep",
        spans=((1_767_571_200_000_000, MINUTES),),
        begin=0,
    )
    return Trial("BTCUSDT", DAY, line, np.random.default_rng(number).normal(size=MINUTES))


def main() -> None:
    """Print the milliseconds of one more trial as JSON."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        before = Recording(root, "sweep")
        before.add(trial(number) for number in range(TRIALS))
        wall, cpu = [], []
        for number in range(REPEATS):
            own = trial(TRIALS + number)
            wall.append(-time.perf_counter())
            cpu.append(-time.process_time())
            recording = Recording(root, "backtest")
            recording.add([own])
            seen = recording.on_record()
            if seen.independent < TRIALS / 2:
                sys.exit("the designs are not independent")
            wall[-1] += time.perf_counter()
            cpu[-1] += time.process_time()
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(json.dumps({"wall_ms": 1e3 * min(wall), "cpu_ms": 1e3 * statistics.median(cpu), "bytes": size}))


if __name__ == "__main__":
    main()
