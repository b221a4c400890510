"""A recorder that is killed at any byte, and started again on the same day (row 16 of the fault table).

``KILLS=204 python -m pytest tests/recorder/test_killed.py`` kills it more often.
"""

import asyncio
import os
import random

import pytest
from recorder_process import a_box, a_recorder

from day_oracle import hold

KILLS = int(os.environ.get("KILLS", "12"))
_FILES = ("frames", "trades", "diffs")


@pytest.mark.parametrize("seed", range(max(1, KILLS // 12)))
def test_whenever_it_is_killed_the_next_run_goes_on(tmp_path, seed):
    """No half row, no number twice, no book that is not true; what was lost is a gap that the ledger tells of."""
    asyncio.run(_kill_again_and_again(tmp_path, random.Random(seed)))


async def _kill_again_and_again(root, luck):
    async with a_box(seed=luck.randrange(1000)) as box:
        kills = min(KILLS, 12)
        for _ in range(kills):
            async with a_recorder(box, root) as recorder:
                name, more = luck.choice((*_FILES, "events")), luck.randrange(1, 60_000)
                goal = recorder.bytes_of(name) + (more // 100 if name == "events" else more)
                await recorder.until(lambda: recorder.bytes_of(name) >= goal)  # noqa: B023 - awaited at once
                await recorder.kill()
            _tear(recorder.day, luck)
        async with a_recorder(box, root) as recorder:
            goal = recorder.bytes_of("frames") + 20_000
            await recorder.until(lambda: recorder.bytes_of("frames") >= goal)
            code, took_s, said = await recorder.stop()
        assert (code, took_s < 5) == (0, True), said
    day = hold(recorder.day.path, box.truth)
    assert len(day.told("crash_recovered")) == kills
    assert {gap["cause"] for gap in day.told("gap")} <= {"restart"}
    assert all(tail["bytes"] > 0 for tail in day.told("tail_recovered"))


def _tear(day, luck):
    """Leave behind what a write leaves that was cut short: a piece of the last bytes of a file, once more."""
    path = getattr(day, luck.choice(_FILES))
    end = path.read_bytes()[-luck.randrange(20, 2000) :] if path.exists() else b""
    torn = end[: luck.randrange(len(end))] if end else b""
    whole = torn.rfind(b"\n") + 1 if path.suffix == ".csv" else 0
    if path.suffix == ".gz":
        member = path.read_bytes().rfind(b"\x1f\x8b\x08\0\0\0\0\0")
        torn = path.read_bytes()[member:][: luck.randrange(1, max(2, path.stat().st_size - member - 1))]
    with path.open("ab") as stream:
        stream.write(torn[whole:])
