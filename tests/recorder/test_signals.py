"""SIGTERM and SIGINT to a real recorder in every state, and a second process on the same day (rows 20 and 21)."""

import asyncio
import os
import signal
import socket
import time
from contextlib import closing

import pytest
from recorder_process import a_box, a_recorder

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_synced_recorder_drains_and_seals(tmp_path, number):
    """All that had arrived is there, in less than five seconds."""

    async def run():
        async with a_box() as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            code, took_s, said = await recorder.stop(number)
            assert (code, in_time(took_s)) == (0, True), said
            day = hold(recorder.day.path, box.truth)
            assert day.told("run_stop") == [{"reason": number.name}]
            assert not day.told("gap")

    asyncio.run(run())


def test_a_snapshot_that_travels_is_not_waited_for(tmp_path):
    """The updates that waited for it are kept, and the ledger has the end of the request."""

    async def run():
        faults = ["at request 1 of /api/v3/depth do slow delay_s=600"]
        async with a_box(faults=faults) as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("diffs") > 2_000)
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), said
            day = hold(recorder.day.path, box.truth)
            assert day.told("snapshot_failed")[-1] == {"cause": "SIGTERM", "http_status": None}
            assert not day.frames
            assert day.diffs

    asyncio.run(run())


def test_a_handshake_is_not_waited_for(tmp_path):
    """The host accepts the connection and sends nothing."""

    async def run():
        with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
            url = f"ws://127.0.0.1:{deaf.getsockname()[1]}"
            async with a_box() as box, a_recorder(box, tmp_path, WS_URL=url) as recorder:
                await recorder.until(lambda: recorder.bytes_of("instrument"))
                code, took_s, said = await recorder.stop(signal.SIGINT)
                assert (code, in_time(took_s)) == (0, True), said

    asyncio.run(run())


def test_a_recorder_that_sleeps_until_its_window_ends_at_once(tmp_path):
    """It leaves no folder."""
    hour = (time.gmtime().tm_hour + 4) % 24
    window = {"WINDOW_TZ": "UTC", "WINDOW_START": f"{hour:02}:00", "WINDOW_END": f"{(hour + 2) % 24:02}:00"}

    async def run():
        async with a_box() as box, a_recorder(box, tmp_path, **window) as recorder:
            first = await asyncio.wait_for(recorder.process.stderr.readline(), 30)
            assert b"window_awaited" in first
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), said
            assert not (tmp_path / "data").exists()

    asyncio.run(run())


def test_a_full_queue_is_drained(tmp_path):
    """A burst is under way when the signal comes: what was read is written."""

    async def run():
        async with a_box(speed=200.0) as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s)) == (0, True), said
            hold(recorder.day.path, box.truth)

    asyncio.run(run())


def test_a_slow_disk_neither_keeps_it_nor_stops_the_loop(tmp_path):
    """Forcing takes 3 s a file: the loop never waits for it, and the end for two rounds of all files, no more."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_DISK)
    path = os.pathsep.join((str(tmp_path), str(os.getcwd()), os.environ.get("PYTHONPATH", "")))

    async def run():
        async with a_box() as box, a_recorder(box, tmp_path, PYTHONPATH=path) as recorder:
            await recorder.until(synced(recorder))
            size = recorder.bytes_of("frames")
            await asyncio.sleep(FORCING_S + 1)
            await recorder.until(lambda: recorder.bytes_of("frames") > size)
            code, took_s, said = await recorder.stop()
            assert (code, in_time(took_s, 4 * FORCING_S)) == (0, True), said
            day = hold(recorder.day.path, box.truth)
            assert in_time(max([0.0, *(lag["lag_s"] for lag in day.told("loop_lag"))]), FORCING_S - 0.5)

    asyncio.run(run())


def test_a_process_that_was_stopped_and_continued_says_so(tmp_path):
    """SIGSTOP and SIGCONT: what came meanwhile has late stamps, and the ledger has the delay."""

    async def run():
        async with a_box() as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(synced(recorder))
            before = recorder.day.events.read_bytes().count(b"loop_lag")
            recorder.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1.0)
            recorder.process.send_signal(signal.SIGCONT)
            await recorder.until(lambda: recorder.day.events.read_bytes().count(b"loop_lag") > before)
            code, _, said = await recorder.stop()
            assert code == 0, said
            assert max(lag["lag_s"] for lag in Day(recorder.day.path).told("loop_lag")) > 0.5

    asyncio.run(run())


def test_a_rest_that_does_not_answer_does_not_delay_the_socket(tmp_path):
    """Neither filters nor snapshot nor time: the stream is recorded meanwhile."""
    paths = ("exchangeInfo", "depth", "time")
    faults = [f"at request {count} of /api/v3/{path} do slow delay_s=6000" for path in paths for count in (1, 2, 3)]

    async def run():
        async with a_box(faults=faults) as box, a_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("diffs") > 2_000)
            ledger = recorder.day.events.read_bytes()
            assert b"ws_connected" in ledger
            assert b"exchange_info" not in ledger
            assert b"snapshot_loaded" not in ledger
            code, _, said = await recorder.stop()
            assert code == 0, said
            assert Day(recorder.day.path).told("gap") == []

    asyncio.run(run())


def test_a_second_recorder_of_the_day_ends_with_75_and_touches_nothing(tmp_path):
    """The first one does not notice."""

    async def run():
        async with a_box() as box, a_recorder(box, tmp_path) as first:
            await first.until(synced(first))
            async with a_recorder(box, tmp_path) as second:
                code, said = await second.ended()
            assert (code, "is being written by another process" in said) == (75, True), said
            await first.stop()
            day = hold(first.day.path, box.truth)
            assert len(day.told("run_start")) == 1

    asyncio.run(run())
