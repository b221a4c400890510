"""A long run of a recorder with faults: memory and open files do not grow, and no data is lost.

``SOAK_S=50400 SOAK_SPEED=50 python -m pytest -s tests/recorder/test_soak.py`` plays fourteen hours of exchange time
in seventeen minutes, and prints the memory.
"""

import asyncio
import os

import pytest
from recorder_process import exchange_box, running_recorder

from day_files import check
from day_oracle import hold
from support import in_time

SOAK_S = float(os.environ.get("SOAK_S", "120"))
SPEED = float(os.environ.get("SOAK_SPEED", "20"))
_FAULTS = (
    "close code=1001",
    "drop n=2",
    "duplicate n=3",
    "shutdown lead_s=30",
    "bad_json",
    "drop n=3 of=trade",
    "reset",
    "swap",
    "stall of=trade for_s=400",
    "unknown_event",
)
_REMEMBERED_S = 1_200
"""Exchange time for which the truth is kept; longer days are only checked by `check_day`."""
_MOST_MB, _MOST_GROWTH_MB = 150.0, 40.0


def script(lasts_s, every_s):
    """Return a script with a fault every *every_s* of exchange time, cycling through all kinds."""
    times = range(20, 20 + int(lasts_s), every_s)
    return [f"at time {second} do {_FAULTS[number % len(_FAULTS)]}" for number, second in enumerate(times)]


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_mb(pid):
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _live(recorder, box):
    """Let exchange time pass; return the memory at ten times, in MB."""
    begun_us, memory = box.scheduler.done_us, []
    for step in range(1, 11):
        due_us = begun_us + round(SOAK_S * 1e5 * step)
        await recorder.until(lambda: box.scheduler.done_us >= due_us, SOAK_S + 60)  # noqa: B023 - awaited at once
        memory.append(round(memory_mb(recorder.process.pid), 1))
    return memory


@pytest.mark.slow
def test_long_run_with_faults_neither_grows_nor_loses_data(tmp_path):
    """Closed connections leave no open files, recorded data is not kept in memory, and the day is true."""
    faults = script(SOAK_S, max(12, int(SOAK_S / 280)))

    async def run():
        async with (
            exchange_box(speed=SPEED, faults=faults, scenario="large_tick") as box,
            running_recorder(box, tmp_path) as recorder,
        ):
            await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
            files = open_files(recorder.process.pid)
            memory = await _live(recorder, box)
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size + 5_000)
            print(
                f"memory {memory} MB, {len(faults)} faults, open files {files} and {open_files(recorder.process.pid)}"
            )
            assert abs(open_files(recorder.process.pid) - files) <= 4
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), output
            assert max(memory) < _MOST_MB
            assert max(memory) - memory[0] < _MOST_GROWTH_MB
            found = check(recorder.day)
            assert not found.defects
            print(f"{found.covered_s:.1f} s covered, {found.gaps} gaps, {took_s:.1f} s to end")
            if SOAK_S <= _REMEMBERED_S:
                hold(recorder.day.path, box.truth)

    asyncio.run(run())
