"""A recorder that runs for long amid faults: memory and open files stay what they were, and nothing is lost.

``SOAK_S=50400 SOAK_SPEED=50 python -m pytest -s tests/recorder/test_soak.py`` is fourteen hours of the exchange's time
in seventeen minutes, and tells the memory on the way.
"""

import asyncio
import os

from recorder_process import a_box, a_recorder

from day_oracle import hold
from mm.dayfolder.check import check_day
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
"""Of the exchange's time: further back, its truth is forgotten, and only the check of the day holds it."""
_MOST_MB, _MOST_GROWTH_MB = 150.0, 40.0


def script(lasts_s, every_s):
    """Return a fault every so many seconds of the exchange's time, each kind in its turn."""
    times = range(20, 20 + int(lasts_s), every_s)
    return [f"at time {second} do {_FAULTS[number % len(_FAULTS)]}" for number, second in enumerate(times)]


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_mb(pid):
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _live(recorder, box):
    """Let the exchange's time pass; return the memory at ten instants of it, in MB."""
    begun_us, seen = box.scheduler.done_us, []
    for step in range(1, 11):
        due_us = begun_us + round(SOAK_S * 1e5 * step)
        await recorder.until(lambda: box.scheduler.done_us >= due_us, SOAK_S + 60)  # noqa: B023 - awaited at once
        seen.append(round(memory_mb(recorder.process.pid), 1))
    return seen


def test_nothing_grows_and_nothing_is_lost_while_faults_come_and_go(tmp_path):
    """Each connection gives its file back, what was recorded is not held, and the day is true."""
    faults = script(SOAK_S, max(12, int(SOAK_S / 280)))

    async def run():
        async with (
            a_box(speed=SPEED, faults=faults, scenario="large_tick") as box,
            a_recorder(box, tmp_path) as recorder,
        ):
            await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
            files = open_files(recorder.process.pid)
            seen = await _live(recorder, box)
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size + 5_000)
            print(f"memory {seen} MB, {len(faults)} faults, open files {files} and {open_files(recorder.process.pid)}")
            assert abs(open_files(recorder.process.pid) - files) <= 4
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), said
            assert max(seen) < _MOST_MB
            assert max(seen) - seen[0] < _MOST_GROWTH_MB
            found = check_day(recorder.day)
            assert not found.defects
            print(f"{found.covered_s:.1f} s covered, {found.gaps} gaps, {took_s:.1f} s to end")
            if SOAK_S <= _REMEMBERED_S:
                hold(recorder.day.path, box.truth)

    asyncio.run(run())
