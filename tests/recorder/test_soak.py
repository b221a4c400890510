"""A recorder that runs for long: memory and open files stay what they were.

``SOAK_S=3600 python -m pytest tests/recorder/test_soak.py`` records for that many seconds of wall time.
"""

import asyncio
import os

from day_oracle import hold
from recorder_process import PATIENCE_S, a_box, a_recorder

SOAK_S = float(os.environ.get("SOAK_S", "6"))
SPEED = 20.0
_CUTS_S = range(20, 20 + int(SOAK_S * SPEED), 15)
_MOST_GROWTH_MB = 40.0


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_mb(pid):
    with open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_nothing_grows_while_connections_come_and_go(tmp_path):
    """Each cut connection gives its file back, and what was recorded is not held."""
    faults = [f"at time {second} do close code=1001" for second in _CUTS_S]

    async def run():
        async with a_box(speed=SPEED, faults=faults) as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
            pid = recorder.process.pid
            files, memory = open_files(pid), memory_mb(pid)
            await recorder.until(
                lambda: recorder.day.events.read_text().count("ws_disconnected") >= len(_CUTS_S) - 2,
                PATIENCE_S + 3 * SOAK_S,
            )
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size + 5_000)
            grown = memory_mb(pid) - memory
            assert abs(open_files(pid) - files) <= 2
            assert grown < _MOST_GROWTH_MB
            code, _, said = await recorder.stop()
            assert code == 0, said
            hold(recorder.day.path, box.truth)

    asyncio.run(run())
