"""A disk that is full, broken or slow: what the recording does with its rows meanwhile."""

import asyncio
import errno
import os
from dataclasses import replace

import pytest

from captured import events, rows
from mm.dayfolder import day_writer, manifest
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.dayfolder.rows import Trade
from mm.market_data import days as disk
from mm.market_data.days import Days, Disk, is_of_disk

NOW_US = 1_767_600_000_000_000
FULL = OSError(errno.ENOSPC, "No space left on device")
QUOTA = OSError(errno.EDQUOT, "Disk quota exceeded")
BROKEN = OSError(errno.EIO, "Input/output error")
READ_ONLY = OSError(errno.EROFS, "Read-only file system")
"""Injected, as nobody can use up a quota or break a disk without being root; ENOSPC and EFBIG are met for real."""


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
    """A disk on which writes of a file fail while this is set."""

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
def test_a_full_disk_is_borne_until_there_is_space(days, space, full):
    """The rows of that time are all there; start and end are reported once each."""
    told = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, told.append, pytest.fail)

    async def run():
        flushing = asyncio.create_task(keeper.flush(lambda: writer))
        space.error = full
        for number in (1, 2):
            writer.trade(NOW_US, trade(number))
            while len(told) < 1:
                await asyncio.sleep(0.001)
        assert read(writer.folder.trades) == []
        space.error = None
        while len(told) < 2:
            await asyncio.sleep(0.001)
        flushing.cancel()

    asyncio.run(run())
    keeper.close()
    assert told == [full, None]
    assert read(writer.folder.trades) == ["1", "2"]
    writer.close()


@pytest.mark.parametrize(
    ("error", "failures"),
    [(FULL, disk.MOST_FAILURES), (QUOTA, disk.MOST_FAILURES), (BROKEN, 0), (READ_ONLY, 0)],
    ids=["full", "quota", "broken", "read_only"],
)
def test_it_is_not_borne_for_ever(days, space, error, failures):
    """A broken disk not at all: what it has lost it does not say."""
    told, tries = [], []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, told.append, pytest.fail)
    space.error = error

    def current():
        tries.append(writer)
        writer.trade(NOW_US, trade(len(tries)))
        return writer

    with pytest.raises(OSError, match=error.strerror):
        asyncio.run(keeper.flush(current))
    keeper.close()
    assert (len(tries), len(told)) == (failures + 1, bool(failures))
    writer.close(flush=False)


def test_rows_for_which_there_is_no_space_are_dropped_at_the_end(days, space):
    """No torn row, no seal, no normal end of the run; the next run continues after it."""
    told = []
    writer = days.open("20260105", NOW_US)
    writer.trade(NOW_US, trade(1))
    writer.flush()
    space.error = FULL
    writer.trade(NOW_US, trade(2))
    keeper = Disk(days, told.append, pytest.fail)

    async def end():
        error, whole = keeper.last_flush(writer, None)
        keeper.seal(writer, whole=whole)
        return error, whole, await keeper.sealed()

    assert asyncio.run(end()) == (FULL, False, [])
    keeper.close()
    assert told == [FULL]
    space.error = None
    assert read(writer.folder.trades) == ["1"]
    assert not writer.folder.manifest.exists()
    with replace(days, run_id="b").open("20260105", NOW_US) as again:
        assert again.earlier.last_trade_id == 1
    assert events(writer.folder, "crash_recovered") == [{"previous_run_id": "a"}]


def test_a_failure_that_the_flush_survives_is_told_and_seals(days):
    """The guard of the free space ends a recording while there is room to write everything."""
    told = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, told.append, pytest.fail)
    assert keeper.last_flush(writer, FULL) == (FULL, True)
    assert keeper.last_flush(writer, ValueError("odd"))[1]
    keeper.close()
    assert told == [FULL]
    writer.close()
    assert not is_of_disk(ConnectionResetError(errno.ECONNRESET, "reset"))


def test_the_ledger_is_written_in_the_room_that_it_keeps(days, monkeypatch):
    """That there is no space stands in it, and memory is held no longer for it; rows of all else wait."""
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


def test_memory_has_an_end(days, space, monkeypatch):
    """Rows that come faster than a full disk is cleared end the recording before they end the machine."""
    monkeypatch.setattr(day_writer, "MOST_WAITING_BYTES", 5_000)
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 1_000)
    writer = days.open("20260105", NOW_US)
    space.error = FULL
    fill(writer, range(1, 60))
    with pytest.raises(OSError, match="No space"):
        fill(writer, range(60, 100))
    writer.close(flush=False)


def test_a_writer_that_was_not_told_to_bear_it_fails_at_once(tmp_path, space, monkeypatch):
    """An import has no later flush."""
    monkeypatch.setattr("mm.dayfolder.buffered_writer.FLUSH_BYTES", 100)
    writer = DayWriter(DayFolder(tmp_path, "SIMUSDT", "20260105"), "a")
    space.error = FULL
    with pytest.raises(OSError, match="No space"):
        fill(writer, (1, 2, 3))
    writer.close(flush=False)


@pytest.mark.parametrize(("every_s", "noted"), [(0.0, 2), (3600.0, 1)])
def test_now_and_then_the_manifest_notes_how_far_the_rows_have_come(days, monkeypatch, every_s, noted):
    """The start behind a crash reads on from there."""
    monkeypatch.setattr(disk, "NOTE_EVERY_S", every_s)
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, lambda _error: None, pytest.fail)
    fill(writer, [1])

    def known():
        found = read_manifest(writer.folder)
        files = {entry.path: entry.rows for entry in found.files} if found else {}
        return files.get(writer.folder.trades.name, 0)

    async def run():
        monkeypatch.setattr(keeper, "_noted_s", -1e9)
        flushing = asyncio.create_task(keeper.flush(lambda: writer))
        while not known():
            await asyncio.sleep(0.001)
        fill(writer, [2])
        while read(writer.folder.trades) != ["1", "2"] or (noted == 2 and known() < 2):
            await asyncio.sleep(0.001)
        flushing.cancel()

    asyncio.run(run())
    keeper.close()
    assert known() == noted
    writer.close()


def test_a_note_that_finds_no_space_costs_nothing_but_itself(days, monkeypatch):
    """The rows are on the disk, and the manifest is as it was."""
    writer = days.open("20260105", NOW_US)
    fill(writer, [1])
    writer.flush()

    def full(*_args, **_options):
        raise FULL

    monkeypatch.setattr(manifest, "whole_file", full)
    writer.noting()()
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
def test_a_day_for_which_there_is_no_space_is_opened_again(days, error, times, ending, tries):
    """As often as rows are tried, and once where the recording ends."""
    told, tried = [], []
    keeper = Disk(days, told.append, pytest.fail)

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
        assert told == [error, None]
    else:
        with pytest.raises(OSError, match=error.strerror):
            asyncio.run(run())
        assert told == ([error] if tries > 1 else [])
    keeper.close()
    assert len(tried) == tries


def test_a_day_that_is_over_is_sealed_when_there_is_space(days, space):
    """Its rows wait as those of the new day do."""
    told = []
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, told.append, pytest.fail)
    writer.trade(NOW_US, trade(1))

    async def run():
        space.error = FULL
        keeper.seal(writer)
        while not told:
            await asyncio.sleep(0.001)
        assert read_manifest(writer.folder) is None
        space.error = None
        while len(told) < 2:
            await asyncio.sleep(0.001)
        return await keeper.sealed()

    assert asyncio.run(run()) == []
    keeper.close()
    assert told == [FULL, None]
    assert read(writer.folder.trades) == ["1"]
    assert read_manifest(writer.folder).sealed


def test_files_are_written_in_the_thread_and_the_ledger_waits_for_them(days):
    """A row that names a snapshot is never there without the snapshot."""
    writer = days.open("20260105", NOW_US)
    keeper = Disk(days, pytest.fail, pytest.fail)
    keeper.take(writer)
    writer.snapshot(NOW_US, "initial", 7, [("1.0", "1")], [("2.0", "1")], 1)
    writer.quarantine(NOW_US, "ws", "odd", b"{")
    assert events(writer.folder, "snapshot_loaded") == []
    assert not writer.folder.quarantine.exists()

    async def run():
        writing = asyncio.create_task(keeper.write_files(lambda: writer))
        while not events(writer.folder, "snapshot_loaded"):
            await asyncio.sleep(0.001)
        writing.cancel()

    asyncio.run(run())
    keeper.close()
    (loaded,) = events(writer.folder, "snapshot_loaded")
    assert (writer.folder.path / loaded["path"]).is_file()
    assert writer.folder.quarantine.exists()
    writer.close()
