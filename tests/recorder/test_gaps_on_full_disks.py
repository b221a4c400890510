"""A real recorder with gaps, backfilled trades, stalls and a cut connection while its disk is full."""

import asyncio
import errno

import pytest
from recorder_process import exchange_box, running_recorder
from test_full_disks import fill, small_disk

from day_files import defects_of
from day_oracle import hold
from mm.sim.wire.faults.script import as_rules

__all__ = ["small_disk"]

FAULTS = {
    "lost messages": (("drop n=3", "drop n=3 of=trade", "bad_json"), ("gap", "trade_gap", "quarantined")),
    "a stall": (("stall of=depth for_s=400",), ("stall",)),
    "a cut connection": (("close code=1006",), ("ws_disconnected",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_faults_on_a_full_disk_are_reported_once_there_is_space(small_disk, name):
    """Every loss has a ledger row, the recorder continues, and the day is sound and sealed."""
    faults, kinds = FAULTS[name]

    async def run():
        async with (
            exchange_box() as box,
            running_recorder(box, small_disk, FLUSH_INTERVAL_S="4", DEPTH_SILENCE_S="0.5") as recorder,
        ):
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            fill(small_disk)
            events = recorder.day.events
            await recorder.until(lambda: "disk_full" in events.read_text())
            for fault in faults:
                box.inject(as_rules([f"at time 0 do {fault}"]))
                sent_us = box.scheduler.done_us
                await recorder.until(lambda: box.scheduler.done_us > sent_us + 10_000_000)  # noqa: B023
            (small_disk / "filler").unlink()
            await recorder.until(lambda: all(kind in events.read_text() for kind in kinds))
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size + 10_000)
            if "trade_gap" in kinds:
                await recorder.until(lambda: "backfill" in events.read_text())
            code, _, output = await recorder.stop()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            assert day.logged("disk_full") == [{"errno": errno.ENOSPC}]
            if "trade_gap" in kinds:
                assert day.missing_trades == set()
                assert day.quarantined
            assert defects_of(recorder.day) == []

    asyncio.run(run())
