"""Runs many random schedules of a gateway with faults (`schedule_world`); the first failure stops it, with its seed.

.venv/bin/python tests/live/fault_schedules.py --seeds 100000 [--first 0]
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

PROGRESS = 500
"""Schedules between two lines of progress."""


def main() -> int:
    """Run schedules and print their totals; the first failure ends the run, with the command that repeats it."""
    sys.path[:0] = [str(Path(__file__).parents[up]) for up in (1, 0, 2)]
    from schedule_world import run_schedule

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    totals: Counter[str] = Counter()
    began_s = time.monotonic()
    for done, seed in enumerate(range(arguments.first, arguments.first + arguments.seeds), 1):
        try:
            totals += run_schedule(seed)
        except BaseException:
            print(f"repeat: {sys.executable} {__file__} --first {seed} --seeds 1", flush=True)
            raise
        if done % PROGRESS == 0 and done < arguments.seeds:
            each_s = (time.monotonic() - began_s) / done
            left_s = each_s * (arguments.seeds - done)
            counts = f"{totals['orders']} orders, {totals['fills']} fills, {totals['killed at a row']} kills at a row"
            print(f"{done} of {arguments.seeds}: {counts}; next seed {seed + 1}; {left_s:.0f} s left", flush=True)
    print(f"{arguments.seeds} schedules in {time.monotonic() - began_s:.1f} s: {dict(sorted(totals.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
