"""A real recorder on exhausted disks and file size limits (row 17 of the fault table)."""

import asyncio
import errno
import subprocess

import pytest
from recorder_process import exchange_box, running_recorder

from day_oracle import hold
from support import in_time

TMPFS_BYTES = 4 << 20
FILE_BYTES = 400_000
"""More than a single flush writes, even after a delay of seconds: a flush that does not fit is cut completely."""


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


def write_endlessly(stream, data):
    while True:
        stream.write(data)


def fill(path):
    """Use up all the space on a disk."""
    with (path / "filler").open("wb", buffering=0) as stream:
        for size in (4096, 1):
            with pytest.raises(OSError, match="No space left"):
                write_endlessly(stream, b"x" * size)


@pytest.mark.slow
def test_file_size_limit_exits_with_75_and_the_next_run_continues(tmp_path):
    """A write truncated by the limit is cut back to the last complete row, and the ledger has the error."""

    async def run():
        async with exchange_box() as box:
            async with running_recorder(box, tmp_path, file_bytes=FILE_BYTES) as recorder:
                code, output = await recorder.ended()
            assert code == 75, output
            assert "no space: " in output
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert day.logged("disk_full") == [{"errno": errno.EFBIG}]
            assert not day.logged("run_stop")
            assert day.frames
            before = len(day.frames)
            async with running_recorder(box, tmp_path) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 2 * FILE_BYTES)
                code, _, output = await recorder.stop()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            assert len(day.frames) > before
            assert len(day.logged("crash_recovered")) == 1
            assert not day.logged("tail_recovered")

    asyncio.run(run())


@pytest.mark.slow
def test_temporarily_full_disk_loses_nothing(small_disk):
    """The ledger reports the full disk in its reserved space; waiting rows are written later, and no id is missing."""

    async def run():
        async with exchange_box() as box, running_recorder(box, small_disk, FLUSH_INTERVAL_S="0.25") as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            fill(small_disk)
            events = recorder.day.events
            await recorder.until(lambda: "disk_full" in events.read_text())
            (small_disk / "filler").unlink()
            size = recorder.bytes_of("frames")
            await recorder.until(lambda: recorder.bytes_of("frames") > size)
            code, _, output = await recorder.stop()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            assert day.logged("disk_full") == [{"errno": errno.ENOSPC}]
            assert not day.logged("gap")
            assert not day.logged("trade_gap")
            assert [epoch["attempt"] for epoch in day.logged("snapshot_request")] == [1]

    asyncio.run(run())


@pytest.mark.slow
def test_permanently_full_disk_exits_with_75(small_disk):
    """Every file ends with a complete row; once there is space, the next run reports the crash and continues."""

    async def run():
        async with exchange_box() as box:
            async with running_recorder(box, small_disk) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
                fill(small_disk)
                code, output = await recorder.ended()
            assert code == 75, output
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert day.logged("disk_full") == [{"errno": errno.ENOSPC}]
            (small_disk / "filler").unlink()
            async with running_recorder(box, small_disk) as recorder:
                size = recorder.bytes_of("frames")
                await recorder.until(lambda: recorder.bytes_of("frames") > size + 10_000)
                code, _, output = await recorder.stop()
            assert code == 0, output
            day = hold(recorder.day.path, box.truth)
            assert len(day.logged("crash_recovered")) == 1

    asyncio.run(run())


@pytest.mark.slow
def test_signal_on_a_full_disk_exits_with_75_in_time(small_disk):
    """Rows waiting in memory are lost, so the run has no normal end."""

    async def run():
        async with exchange_box() as box, running_recorder(box, small_disk, FLUSH_INTERVAL_S="0.25") as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            fill(small_disk)
            events = recorder.day.events
            await recorder.until(lambda: "disk_full" in events.read_text())
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (75, True), output
            day = hold(recorder.day.path, box.truth, sealed=False)
            assert not day.logged("run_stop")

    asyncio.run(run())
