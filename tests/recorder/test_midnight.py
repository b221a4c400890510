"""A real recorder at midnight on a slow or full disk: the new day is opened concurrently with the stream."""

import asyncio
import errno
import os
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from recorder_process import SYMBOL, exchange_box, running_recorder
from test_full_disks import fill, small_disk

from day_files import defects_of
from day_oracle import Day, hold
from mm import DayFolder
from mm.clock import now_us
from set_clock import WallClock
from support import in_time

__all__ = ["small_disk"]

SLOW_S = float(os.environ.get("SLOW_S", "0.25"))
SLOW_DISK = f"""
import builtins, io, os, time
from pathlib import Path

switch = Path(os.environ["DATA_ROOT"]).parent / "slow"

def slowly(call, does):
    def slow(path, *rest, **more):
        if does(path, *rest) and os.path.exists(switch):
            time.sleep({SLOW_S})
        return call(path, *rest, **more)
    return slow

def of_data(path):
    return not isinstance(path, int) and os.fspath(path).startswith(os.environ["DATA_ROOT"])

os.open = slowly(os.open, lambda path, flags=0, *_: of_data(path) and bool(flags & os.O_CREAT))
os.mkdir = slowly(os.mkdir, lambda path, *_: of_data(path))
io.open = builtins.open = slowly(io.open, lambda path, mode="r", *_: of_data(path) and "r" not in mode)
os.fsync = slowly(os.fsync, lambda _file: True)
"""
ZONE = "UTC"
MIDNIGHT = (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = [(MIDNIGHT - timedelta(days=1)).strftime("%Y%m%d"), MIDNIGHT.strftime("%Y%m%d")]


def to_midnight(clock, seconds):
    """Set a clock to *seconds* before midnight."""
    clock.set(round((MIDNIGHT.timestamp() - seconds) * 1e6) - now_us())


def size_of(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def holds(path, text):
    return size_of(path) and text in path.read_bytes()


def two_days(root):
    return [DayFolder(root / "data", SYMBOL, day) for day in DAYS]


def assert_one_stream(days, truth):
    """Assert that the second day continues the first one without missing ids, and that both are true."""
    first, second = (hold(day.path, truth, wired=False) for day in days)
    assert second.diffs[0]["U"] == first.diffs[-1]["u"] + 1
    assert int(second.trades[0]["trade_id"]) == int(first.trades[-1]["trade_id"]) + 1
    for day, found in zip(days, (first, second), strict=True):
        assert (found.logged("gap"), found.logged("trade_gap"), found.logged("stall")) == ([], [], [])
        assert {defect.kind for defect in defects_of(day)} <= {"time"}, day  # the box uses another clock
    assert second.tags[0] == "carried"
    return first, second


@pytest.mark.slow
def test_slow_disk_at_midnight_does_not_delay_stamps(tmp_path):
    """Creating or syncing a file takes 0.25 s, but messages are stamped at their arrival."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_DISK)
    path = os.pathsep.join((str(tmp_path), str(os.getcwd()), os.environ.get("PYTHONPATH", "")))

    async def run():
        clock = WallClock(tmp_path)
        to_midnight(clock, 3600)
        async with (
            exchange_box(speed=1.0) as box,
            running_recorder(box, tmp_path, entry=clock.entry("record"), PYTHONPATH=path, WINDOW_TZ=ZONE) as recorder,
        ):
            first, second = two_days(tmp_path)
            await recorder.until(lambda: size_of(first.frames) > 10_000)
            to_midnight(clock, 2)
            (tmp_path / "slow").touch()
            await recorder.until(lambda: size_of(second.frames) > 10_000)
            (tmp_path / "slow").unlink()
            code, _, output = await recorder.stop()
            assert code == 0, output
            days = assert_one_stream((first, second), box.truth)
            late_us = [row["recv_us"] - row["E"] for day in days for row in day.diffs]
            after = [us for us in late_us if us > median(late_us) - 600e6]  # rows after the clock step
            print(f"stamps at most {(max(after) - median(after)) / 1e6:.3f} s later than the median")
            lags = [lag["lag_s"] for day in days for lag in day.logged("loop_lag")]
            assert in_time(max((max(after) - median(after)) / 1e6, *lags, 0.0), 1.0)

    asyncio.run(run())


@pytest.mark.slow
def test_day_opened_on_a_full_disk_waits_and_loses_nothing(small_disk):
    """Messages wait in memory in the meantime; the ledger of the old day reports the full disk."""

    async def run():
        clock = WallClock(small_disk.parent)
        to_midnight(clock, 3600)
        async with (
            exchange_box() as box,
            running_recorder(
                box, small_disk, entry=clock.entry("record"), WINDOW_TZ=ZONE, FLUSH_INTERVAL_S="1"
            ) as recorder,
        ):
            first, second = two_days(small_disk)
            await recorder.until(lambda: size_of(first.frames) > 10_000)
            fill(small_disk)
            to_midnight(clock, 0.5)
            await recorder.until(lambda: holds(first.events, b"disk_full"))
            await recorder.until(lambda: now_us() + clock.off_us > MIDNIGHT.timestamp() * 1e6 + 2e6)
            assert not second.events.exists()
            (small_disk / "filler").unlink()
            await recorder.until(lambda: size_of(second.frames) > 10_000)
            code, _, output = await recorder.stop()
            assert code == 0, output
            before, _ = assert_one_stream((first, second), box.truth)
            assert before.logged("disk_full") == [{"errno": errno.ENOSPC}]
            assert before.logged("run_stop") == [{"reason": "day_over"}]

    asyncio.run(run())


@pytest.mark.slow
def test_day_opened_on_a_permanently_full_disk_exits_with_75(small_disk):
    """The old day ends with whole rows, and the next run opens the new day."""

    async def run():
        clock = WallClock(small_disk.parent)
        to_midnight(clock, 3600)
        knobs = {"entry": clock.entry("record"), "WINDOW_TZ": ZONE}
        async with exchange_box() as box:
            async with running_recorder(box, small_disk, **knobs) as recorder:
                first, second = two_days(small_disk)
                await recorder.until(lambda: size_of(first.frames) > 10_000)
                fill(small_disk)
                to_midnight(clock, 0.5)
                code, output = await recorder.ended()
            assert code == 75, output
            assert hold(first.path, box.truth, sealed=False, wired=False).logged("disk_full")
            (small_disk / "filler").unlink()
            async with running_recorder(box, small_disk, **knobs) as recorder:
                await recorder.until(lambda: size_of(second.frames) > 10_000)
                code, _, output = await recorder.stop()
            assert code == 0, output
            hold(second.path, box.truth)

    asyncio.run(run())


@pytest.mark.slow
def test_signal_while_a_day_opens_on_a_full_disk_exits_with_75(small_disk):
    """After the signal there are no more retries."""

    async def run():
        clock = WallClock(small_disk.parent)
        to_midnight(clock, 3600)
        async with (
            exchange_box() as box,
            running_recorder(
                box, small_disk, entry=clock.entry("record"), WINDOW_TZ=ZONE, FLUSH_INTERVAL_S="3"
            ) as recorder,
        ):
            first, _ = two_days(small_disk)
            await recorder.until(lambda: size_of(first.frames) > 10_000)
            fill(small_disk)
            to_midnight(clock, 0.5)
            await recorder.until(lambda: now_us() + clock.off_us > MIDNIGHT.timestamp() * 1e6 + 2e6)
            await recorder.until(lambda: holds(first.events, b"disk_full"))
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (75, True), output
            assert not Day(first.path).logged("run_stop")

    asyncio.run(run())
