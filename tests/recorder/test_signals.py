"""SIGTERM and SIGINT to a real recorder in all states, and a second process on the same day (rows 20 and 21)."""

import asyncio
import os
import signal
import socket
import time
from contextlib import closing

import pytest
from recorder_process import exchange_box, running_recorder

from day_oracle import Day, hold
from support import in_time

FORCING_S = 3.0
SLOW_DISK = f"""
import os, time
force = os.fsync

def slowly(fd):
    time.sleep({FORCING_S})
    force(fd)

os.fsync = slowly
"""


def connected(recorder):
    return lambda: b"ws_connected" in recorder.day.events.read_bytes() if recorder.bytes_of("events") else False


def synced(recorder):
    return lambda: recorder.bytes_of("frames") > 20_000


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_a_synced_recorder_drains_and_seals(tmp_path, number):
    """All received messages are written within five seconds."""

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            code, took_s, output = await recorder.stop(number)
            assert (code, in_time(took_s)) == (0, True), output
            day = hold(recorder.day.path, box.truth)
            assert day.logged("run_stop") == [{"reason": number.name}]
            assert not day.logged("gap")

    asyncio.run(run())


@pytest.mark.slow
def test_signal_does_not_wait_for_a_pending_snapshot(tmp_path):
    """The waiting updates are kept, and the ledger reports the failed request."""

    async def run():
        faults = ["at request 1 of /api/v3/depth do slow delay_s=600"]
        async with exchange_box(faults=faults) as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("diffs") > 2_000)
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), output
            day = hold(recorder.day.path, box.truth)
            assert day.logged("snapshot_failed")[-1] == {"cause": "SIGTERM", "http_status": None}
            assert not day.frames
            assert day.diffs

    asyncio.run(run())


@pytest.mark.slow
def test_signal_does_not_wait_for_a_handshake(tmp_path):
    """The host accepts the connection and sends nothing."""

    async def run():
        with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
            url = f"ws://127.0.0.1:{deaf.getsockname()[1]}"
            async with exchange_box() as box, running_recorder(box, tmp_path, WS_URL=url) as recorder:
                await recorder.until(lambda: recorder.bytes_of("instrument"))
                code, took_s, output = await recorder.stop(signal.SIGINT)
                assert (code, in_time(took_s)) == (0, True), output

    asyncio.run(run())


def test_signal_before_the_window_ends_the_recorder_at_once(tmp_path):
    """No folder is created."""
    hour = (time.gmtime().tm_hour + 4) % 24
    window = {"WINDOW_TZ": "UTC", "WINDOW_START": f"{hour:02}:00", "WINDOW_END": f"{(hour + 2) % 24:02}:00"}

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path, **window) as recorder:
            first = await asyncio.wait_for(recorder.process.stderr.readline(), 30)
            assert b"window_awaited" in first
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), output
            assert not (tmp_path / "data").exists()

    asyncio.run(run())


@pytest.mark.slow
def test_signal_during_a_burst_drains_the_queue(tmp_path):
    """All messages read before the signal are written."""

    async def run():
        async with exchange_box(speed=200.0) as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), output
            hold(recorder.day.path, box.truth)

    asyncio.run(run())


@pytest.mark.slow
def test_slow_fsync_neither_blocks_the_loop_nor_delays_the_end(tmp_path):
    """With 3 s per fsync the loop never waits, and the end waits for two rounds of all files at most."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_DISK)
    path = os.pathsep.join((str(tmp_path), str(os.getcwd()), os.environ.get("PYTHONPATH", "")))

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path, PYTHONPATH=path) as recorder:
            await recorder.until(synced(recorder))
            size = recorder.bytes_of("frames")
            await asyncio.sleep(FORCING_S + 1)
            await recorder.until(lambda: recorder.bytes_of("frames") > size)
            code, took_s, output = await recorder.stop()
            assert (code, in_time(took_s, 4 * FORCING_S)) == (0, True), output
            day = hold(recorder.day.path, box.truth)
            assert in_time(max([0.0, *(lag["lag_s"] for lag in day.logged("loop_lag"))]), FORCING_S - 0.5)

    asyncio.run(run())


@pytest.mark.slow
def test_stopped_and_continued_process_reports_loop_lag(tmp_path):
    """After SIGSTOP and SIGCONT the ledger reports the delay of the stamps."""

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            before = recorder.day.events.read_bytes().count(b"loop_lag")
            recorder.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)
            recorder.process.send_signal(signal.SIGCONT)
            await recorder.until(lambda: recorder.day.events.read_bytes().count(b"loop_lag") > before)
            code, _, output = await recorder.stop()
            assert code == 0, output
            assert max(lag["lag_s"] for lag in Day(recorder.day.path).logged("loop_lag")) > 0.5

    asyncio.run(run())


@pytest.mark.slow
def test_unresponsive_rest_does_not_delay_the_stream(tmp_path):
    """The stream is recorded without filters, snapshot and time."""
    paths = ("exchangeInfo", "depth", "time")
    faults = [f"at request {count} of /api/v3/{path} do slow delay_s=6000" for path in paths for count in (1, 2, 3)]

    async def run():
        async with exchange_box(faults=faults) as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("diffs") > 2_000)
            ledger = recorder.day.events.read_bytes()
            assert b"ws_connected" in ledger
            assert b"exchange_info" not in ledger
            assert b"snapshot_loaded" not in ledger
            code, _, output = await recorder.stop()
            assert code == 0, output
            assert Day(recorder.day.path).logged("gap") == []

    asyncio.run(run())


@pytest.mark.slow
def test_second_recorder_of_the_day_exits_with_75(tmp_path):
    """The first recorder is not affected."""

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path) as first:
            await first.until(synced(first))
            async with running_recorder(box, tmp_path) as second:
                code, output = await second.ended()
            assert (code, "is being written by another process" in output) == (75, True), output
            await first.stop()
            day = hold(first.day.path, box.truth)
            assert len(day.logged("run_start")) == 1

    asyncio.run(run())
