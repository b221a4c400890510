"""Rows of a recording on a full, broken or slow disk."""

import asyncio
import errno
import os
import threading
from dataclasses import replace

import pytest

from captured import events, rows
from mm import DayFolder
from mm.dayfolder import day_writer, manifest
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.manifest import read_manifest
from mm.market_data import days as disk
from mm.market_data.days import Days, Disk, is_of_disk
from mm.markets.records import Trade

NOW_US = 1_767_600_000_000_000
FULL = OSError(errno.ENOSPC, "No space left on device")
QUOTA = OSError(errno.EDQUOT, "Disk quota exceeded")
BROKEN = OSError(errno.EIO, "Input/output error")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")
"""Injected, because a quota or a broken disk needs root; other tests cause real ENOSPC and EFBIG."""


@pytest.fixture
def days(tmp_path):
    return Days(
        data_root=tmp_path,
        symbol="SIMUSDT",
        run_id="a",
        own_id=False,
        top_n=1,
        trade_stream="trade",
        flush_interval_s=0.001,
        write_diffs=True,
        write_gaps=True,
        min_free_mb=0,
        knobs={},
    )


class Space:
    """A disk on which writes fail while `error` is set, except to files whose path contains *but*."""

    def __init__(self, monkeypatch, *, but="events"):
        self.error = None
        self.write, self._but = os.write, but
        monkeypatch.setattr(os, "write", self)

    def __call__(self, fd, data):
        if self.error and self._but not in os.readlink(f"/proc/self/fd/{fd}"):
            raise self.error
        return self.write(fd, data)


@pytest.fixture
def space(monkeypatch):
    return Space(monkeypatch)


def trade(number):
    at_ms = NOW_US // 1000
    return Trade(at_ms, number, at_ms, "0.5", "1", False, number, number)


def fill(writer, numbers):
    for number in numbers:
        writer.trade(NOW_US, trade(number))


def read(path):
    return [row["trade_id"] for row in rows(path)]


@pytest.mark.parametrize("full", [FULL, QUOTA], ids=["disk", "quota"])
def test_rows_wait_on_a_full_disk_until_there_is_space(days, space, full):
    """No rows are lost; start and end of the failure are reported once each."""
    reported = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, reported.append, pytest.fail)

    async def run():
        flushing = asyncio.create_task(keeper.flush(lambda: writer))
        space.error = full
        for number in (1, 2):
            writer.trade(NOW_US, trade(number))
            while len(reported) < 1:
                await asyncio.sleep(0.001)
        assert read(writer.folder.trades) == []
        space.error = None
        while len(reported) < 2:
            await asyncio.sleep(0.001)
        flushing.cancel()

    asyncio.run(run())
    keeper.close()
    assert reported == [full, None]
    assert read(writer.folder.trades) == ["1", "2"]
    writer.close()


@pytest.mark.parametrize(
    ("error", "failures"),
    [(FULL, disk.MOST_FAILURES), (QUOTA, disk.MOST_FAILURES), (BROKEN, 0), (READ_ONLY, 0)],
    ids=["full", "quota", "broken", "read_only"],
)
def test_flush_fails_after_too_many_errors_or_a_broken_disk(days, space, error, failures):
    """A broken disk fails at once, because its losses are unknown."""
    reported, tries = [], []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, reported.append, pytest.fail)
    space.error = error

    def current():
        tries.append(writer)
        writer.trade(NOW_US, trade(len(tries)))
        return writer

    with pytest.raises(OSError, match=error.strerror):
        asyncio.run(keeper.flush(current))
    keeper.close()
    assert (len(tries), len(reported)) == (failures + 1, bool(failures))
    writer.close(flush=False)


def test_flush_leaves_a_day_alone_that_is_replaced_while_it_is_written(days):
    """Its files are closed by then; regression: forcing them to the disk ended the recording."""
    writers = [days.open("20260105", NOW_US)]
    keeper = Disk(days, pytest.fail, pytest.fail)

    async def run():
        old, write = writers[0], keeper.write

        async def replaced(writer, **options):
            await write(writer, **options)
            if writer is old and len(writers) == 1:
                writers.append(days.open_again(old, NOW_US, None))
                keeper.seal(old, whole=False)
                while not keeper._sealing[0].done():
                    await asyncio.sleep(0.001)

        keeper.write = replaced
        flushing = asyncio.create_task(keeper.flush(lambda: writers[-1]))
        while len(writers) == 1 and not flushing.done():
            await asyncio.sleep(0.001)
        writers[-1].trade(NOW_US, trade(1))
        while not flushing.done() and read(writers[-1].folder.trades) != ["1"]:
            await asyncio.sleep(0.001)
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        if not flushing.cancelled():
            flushing.result()

    asyncio.run(run())
    keeper.close()
    writers[-1].close()


def test_rows_without_space_are_dropped_at_the_end(days, space):
    """There is no torn row, no seal and no normal end of the run; the next run continues after the last row."""
    reported = []
    writer = days.open("20260105", NOW_US)
    writer.trade(NOW_US, trade(1))
    writer.flush()
    space.error = FULL
    writer.trade(NOW_US, trade(2))
    keeper = Disk(days, reported.append, pytest.fail)

    async def end():
        error, whole = await keeper.last_flush(writer, None)
        keeper.seal(writer, whole=whole)
        return error, whole, await keeper.sealed()

    assert asyncio.run(end()) == (FULL, False, [])
    keeper.close()
    assert reported == [FULL]
    space.error = None
    assert read(writer.folder.trades) == ["1"]
    assert not writer.folder.manifest.exists()
    with replace(days, run_id="b").open("20260105", NOW_US) as again:
        assert again.earlier.last_trade_id == 1
    assert events(writer.folder, "crash_recovered") == [{"previous_run_id": "a"}]


def test_failure_with_a_successful_last_flush_is_reported(days):
    """The check of the free space ends a recording while there is space to write all rows."""
    reported = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, reported.append, pytest.fail)

    async def flushes():
        return [await keeper.last_flush(writer, error) for error in (FULL, ValueError("odd"))]

    ends = asyncio.run(flushes())
    assert ends[0] == (FULL, True)
    assert ends[1][1]
    keeper.close()
    assert reported == [FULL]
    writer.close()
    assert not is_of_disk(ConnectionResetError(errno.ECONNRESET, "reset"))


def test_ledger_is_written_in_its_preallocated_space(days, monkeypatch):
    """The full disk is reported in the ledger although there is no space for other rows."""
    writer = days.open("20260105", NOW_US)
    before = os.stat(writer.folder.events)
    if before.st_blocks < 2**16 // 512:
        pytest.skip("this file system keeps no room behind the end of a file")
    Space(monkeypatch).error = FULL
    writer.event(NOW_US, "disk_full", 0, {"errno": 28})
    after = os.stat(writer.folder.events)
    assert events(writer.folder, "disk_full") == [{"errno": 28}]
    assert before.st_blocks == after.st_blocks >= 2**16 // 512
    writer.close()
    assert os.stat(writer.folder.events).st_blocks < 2**16 // 512


def test_waiting_rows_are_limited_in_memory(days, space, monkeypatch):
    """Too many waiting rows end the recording before memory runs out."""
    monkeypatch.setattr(day_writer, "MOST_WAITING_BYTES", 5_000)
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 1_000)
    writer = days.open("20260105", NOW_US)
    space.error = FULL
    fill(writer, range(1, 60))
    with pytest.raises(OSError, match="No space"):
        fill(writer, range(60, 100))
    writer.close(flush=False)


def test_writer_without_wait_for_space_fails_at_once(tmp_path, space, monkeypatch):
    """An import has no later flush, so it does not wait."""
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 100)
    writer = DayWriter(DayFolder(tmp_path, "SIMUSDT", "20260105"), "a")
    space.error = FULL
    with pytest.raises(OSError, match="No space"):
        fill(writer, (1, 2, 3))
    writer.close(flush=False)


@pytest.mark.parametrize(("every_s", "expected_rows"), [(0.0, 2), (3600.0, 1)])
def test_manifest_records_the_row_counts_periodically(days, monkeypatch, every_s, expected_rows):
    """After a crash, the next start continues reading from there."""
    monkeypatch.setattr(disk, "NOTE_EVERY_S", every_s)
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, lambda _error: None, pytest.fail)
    fill(writer, [1])

    def manifest_rows():
        found = read_manifest(writer.folder)
        files = {entry.path: entry.rows for entry in found.files} if found else {}
        return files.get(writer.folder.trades.name, 0)

    async def run():
        monkeypatch.setattr(keeper, "_noted_s", -1e9)
        flushing = asyncio.create_task(keeper.flush(lambda: writer))
        while not manifest_rows():
            await asyncio.sleep(0.001)
        fill(writer, [2])
        while read(writer.folder.trades) != ["1", "2"] or (expected_rows == 2 and manifest_rows() < 2):
            await asyncio.sleep(0.001)
        flushing.cancel()

    asyncio.run(run())
    keeper.close()
    assert manifest_rows() == expected_rows
    writer.close()


def test_failed_manifest_note_is_ignored(days, monkeypatch):
    """The rows are on the disk, and the manifest is unchanged."""
    writer = days.open("20260105", NOW_US)
    fill(writer, [1])
    writer.flush()

    def full(*_args, **_options):
        raise FULL

    monkeypatch.setattr(manifest, "atomic_file", full)
    writer.note()
    assert read_manifest(writer.folder) is None
    assert read(writer.folder.trades) == ["1"]
    writer.close()


@pytest.mark.parametrize(
    ("error", "times", "ending", "tries"),
    [
        (FULL, 3, False, 4),
        (FULL, 99, False, disk.MOST_FAILURES + 1),
        (BROKEN, 99, False, 1),
        (FULL, 99, True, 1),
    ],
    ids=["for a while", "for ever", "broken", "at the end"],
)
def test_opening_a_day_is_retried_on_a_full_disk(days, error, times, ending, tries):
    """As many retries as for rows, and a single attempt when the recording ends."""
    reported, tried = [], []
    keeper = Disk(days, reported.append, pytest.fail)

    def open_day():
        tried.append(1)
        if len(tried) <= times:
            raise error
        return days.open("20260106", NOW_US)

    async def run():
        if ending:
            keeper.end()
        return await keeper.opened(open_day)

    if times < tries:
        asyncio.run(run()).close()
        assert reported == [error, None]
    else:
        with pytest.raises(OSError, match=error.strerror):
            asyncio.run(run())
        assert reported == ([error] if tries > 1 else [])
    keeper.close()
    assert len(tried) == tries


def test_finished_day_is_sealed_once_there_is_space(days, space):
    """Its rows wait for space like those of the new day."""
    reported = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, reported.append, pytest.fail)
    writer.trade(NOW_US, trade(1))

    async def run():
        space.error = FULL
        keeper.seal(writer)
        while not reported:
            await asyncio.sleep(0.001)
        assert read_manifest(writer.folder) is None
        space.error = None
        while len(reported) < 2:
            await asyncio.sleep(0.001)
        return await keeper.sealed()

    assert asyncio.run(run()) == []
    keeper.close()
    assert reported == [FULL, None]
    assert read(writer.folder.trades) == ["1"]
    assert read_manifest(writer.folder).sealed


def test_ledger_rows_wait_for_files_written_in_the_thread(days):
    """A ledger row that refers to a snapshot is never written before the snapshot."""
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, pytest.fail, pytest.fail)
    keeper.take(writer)
    writer.snapshot(NOW_US, "initial", 7, [("1.0", "1")], [("2.0", "1")], 1)
    writer.quarantine(NOW_US, "ws", "odd", b"{")
    assert events(writer.folder, "snapshot_loaded") == []
    assert not writer.folder.quarantine.exists()

    async def run():
        writing = asyncio.create_task(keeper.write_wanted(lambda: writer))
        while not events(writer.folder, "snapshot_loaded"):
            await asyncio.sleep(0.001)
        writing.cancel()

    asyncio.run(run())
    keeper.close()
    (loaded,) = events(writer.folder, "snapshot_loaded")
    assert (writer.folder.path / loaded["path"]).is_file()
    assert writer.folder.quarantine.exists()
    writer.close()


def test_loop_goes_on_while_the_disk_stalls_and_nothing_is_lost(days, monkeypatch):
    """Every write is a thread's: rows, ledger, files as a whole, full buffers, and rows before an event about them."""
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 1_000)
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, pytest.fail, pytest.fail)
    keeper.take(writer)
    release, stalled, write, loop_thread = threading.Event(), threading.Event(), os.write, threading.get_ident()

    def stalling(descriptor, data):
        assert threading.get_ident() != loop_thread
        stalled.set()
        assert release.wait(60)
        return write(descriptor, data)

    async def run():
        works = [asyncio.create_task(work(lambda: writer)) for work in (keeper.flush, keeper.write_wanted)]
        writer.event(NOW_US, "ws_connected", 0, {"url": "ws", "conn": 1})
        await asyncio.get_running_loop().run_in_executor(None, stalled.wait, 60)
        for number in range(1, 101):
            fill(writer, [number])
            if number == 50:
                writer.snapshot(NOW_US, "initial", 7, [("1.0", "1")], [("2.0", "1")], 1)
                writer.quarantine(NOW_US, "ws", "odd", b"{")
                writer.flush_before_event()
                writer.event(NOW_US, "backfill", 1, {"from_id": 1, "to_id": 50, "rows": 50})
            await asyncio.sleep(0)
        assert (read(writer.folder.trades), events(writer.folder, "ws_connected")) == ([], [])
        release.set()
        for work in works:
            work.cancel()
        assert await keeper.last_flush(writer, None) == (None, True)
        keeper.seal(writer)
        assert await keeper.sealed() == []

    monkeypatch.setattr(os, "write", stalling)
    asyncio.run(run())
    keeper.close()
    assert read(writer.folder.trades) == [str(number) for number in range(1, 101)]
    assert len(events(writer.folder, "backfill")) == len(events(writer.folder, "snapshot_loaded")) == 1
    assert writer.folder.quarantine.exists()
    assert read_manifest(writer.folder).sealed


def test_rows_that_wait_for_a_stalled_disk_are_limited_in_memory(days, monkeypatch):
    """A disk that neither writes nor refuses ends the recording before memory runs out."""
    monkeypatch.setattr(day_writer, "STALLED_BYTES", 5_000)
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 1_000)
    writer = days.open("20260105", NOW_US)
    writer.write_behind(lambda: None)
    with pytest.raises(OSError, match="wait in memory"):
        fill(writer, range(1, 200))
    writer.close(flush=False)
