"""Disks, quotas and limits that are used up, below a real recorder (row 17 of the fault table)."""

import asyncio
import errno
import subprocess

import pytest
from recorder_process import a_box, a_recorder

from day_oracle import hold
from support import in_time

TMPFS_BYTES = 4 << 20
FILE_BYTES = 400_000
"""More than a flush brings, also one that the machine has held up for seconds: one that does not fit is cut whole."""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def take(stream, data):
    while True:
        stream.write(data)


def fill(path):
    """Take all the space that is left on a disk."""
    with (path / "filler").open("wb", buffering=0) as stream:
        for size in (4096, 1):
            with pytest.raises(OSError, match="No space left"):
                take(stream, b"x" * size)


def test_a_file_that_may_not_grow_ends_with_75_and_the_next_run_goes_on(tmp_path):
    """A write truncated by the limit is cut back to the last complete row, and the ledger has the end reason."""

    async def run():
        async with a_box() as box:
            async with a_recorder(box, tmp_path, file_bytes=FILE_BYTES) as recorder:
                code, said = await recorder.ended()
            assert code == 75, said
            assert "no space: " in said
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert day.told("disk_full") == [{"errno": errno.EFBIG}]
            assert not day.told("run_stop")
            assert day.frames
            before = len(day.frames)
            async with a_recorder(box, tmp_path) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 2 * FILE_BYTES)
                code, _, said = await recorder.stop()
            assert code == 0, said
            day = hold(recorder.day.path, box.truth)
            assert len(day.frames) > before
            assert len(day.told("crash_recovered")) == 1
            assert not day.told("tail_recovered")

    asyncio.run(run())


def test_a_disk_that_has_space_again_has_cost_nothing(small_disk):
    """The ledger reports it in its reserved space; the rows of that time are written later, and no id is missing."""

    async def run():
        async with a_box() as box, a_recorder(box, small_disk, FLUSH_INTERVAL_S="0.25") as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            fill(small_disk)
            events = recorder.day.events
            await recorder.until(lambda: "disk_full" in events.read_text())
            (small_disk / "filler").unlink()
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size)
            code, _, said = await recorder.stop()
            assert code == 0, said
            day = hold(recorder.day.path, box.truth)
            assert day.told("disk_full") == [{"errno": errno.ENOSPC}]
            assert not day.told("gap")
            assert not day.told("trade_gap")
            assert [epoch["attempt"] for epoch in day.told("snapshot_request")] == [1]

    asyncio.run(run())


def test_a_disk_that_stays_full_ends_with_75(small_disk):
    """Every file ends with a complete row; when there is space, the next run reports the crash and continues."""

    async def run():
        async with a_box() as box:
            async with a_recorder(box, small_disk) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
                fill(small_disk)
                code, said = await recorder.ended()
            assert code == 75, said
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert day.told("disk_full") == [{"errno": errno.ENOSPC}]
            (small_disk / "filler").unlink()
            async with a_recorder(box, small_disk) as recorder:
                size = recorder.bytes_of("frames")
                await recorder.until(lambda: recorder.bytes_of("frames") > size + 10_000)
                code, _, said = await recorder.stop()
            assert code == 0, said
            day = hold(recorder.day.path, box.truth)
            assert len(day.told("crash_recovered")) == 1

    asyncio.run(run())


def test_a_signal_while_the_disk_is_full_ends_with_75_in_time(small_disk):
    """What waits in memory is lost, and so the run does not count as ended normally."""

    async def run():
        async with a_box() as box, a_recorder(box, small_disk, FLUSH_INTERVAL_S="0.25") as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            fill(small_disk)
            events = recorder.day.events
            await recorder.until(lambda: "disk_full" in events.read_text())
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s)) == (75, True), said
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert not day.told("run_stop")

    asyncio.run(run())
