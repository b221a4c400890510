"""The monitor of a recording, with simulated clocks and a simulated exchange."""

import asyncio
import json
import os
import time
from types import SimpleNamespace

import pytest
from test_health import fetched
from test_live_session import Desk

import boxed as boxed_market
from boxed import recorded
from captured import SYMBOL, diff, events, snapshot
from mm.market_data import monitor as module
from mm.market_data.health import ENDED, Health, read_health
from mm.market_data.monitor import Monitor
from mm.markets.binance_spot import BINANCE_SPOT
from mm.markets.messages import Answer
from state_servers import free_port


class Clocks:
    """A wall clock that can be set, and a monotonic clock."""

    def __init__(self, us):
        self.wall_us, self.monotonic_us = us, 7_000_000

    def pass_us(self, us):
        self.wall_us += us
        self.monotonic_us += us


class Rest:
    """Answer with the exchange's time, *ahead_us* behind ours, after *way_us* each way; *broken* answers come first."""

    used_weight = 3
    feed = BINANCE_SPOT

    def __init__(self, clocks, ahead_us=-1_300_000, way_us=40_000, broken=()):
        self.clocks, self.ahead_us, self.way_us, self.broken = clocks, ahead_us, way_us, list(broken)

    async def time(self):
        await asyncio.sleep(0)
        self.clocks.pass_us(self.way_us)
        body = json.dumps({"serverTime": self.clocks.wall_us - self.ahead_us}).encode()
        self.clocks.pass_us(self.way_us)
        if self.broken:
            return Answer(self.clocks.wall_us, "u", *self.broken.pop(0))
        return Answer(self.clocks.wall_us, "u", 200, body, None)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    for name in ("TICK_S", "FIRST_OFFSET_S"):
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(module, "OFFSET_INTERVAL_S", 0.002)
    return Desk(tmp_path)


def watched(desk, rest, during, session=True):
    """Run a monitor until *during* returns."""
    clocks = rest.clocks
    recording = SimpleNamespace(session=desk.session if session else None, trouble="")
    health = Health(SYMBOL, "R1", rest)
    monitor = Monitor(health, rest, lambda: clocks.wall_us, lambda: clocks.monotonic_us)

    async def run():
        async with asyncio.timeout(120), monitor.watching(recording):
            await during(recording, health)

    asyncio.run(run())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def of_rest(desk):
    return [found for found in events(desk.session.writer.folder, "clock_offset") if found["stream"] == "rest"]


def test_clock_offset_is_measured_by_round_trips(desk):
    """An offset of -1.3 s, as in real recordings, is in the ledger and the health report with its error bound."""
    rest = Rest(Clocks(desk.us))

    async def during(recording, health):
        await until(lambda: len(of_rest(desk)) >= 2)
        report = health.report(recording, rest.clocks.wall_us)
        assert (report.offset_us, report.offset_error_us) == (-1_300_000, 40_000)

    watched(desk, rest, during)
    assert all((offset["median_us"], offset["p99_us"]) == (-1_300_000, -1_260_000) for offset in of_rest(desk))


def test_failed_time_requests_are_repeated(desk):
    """Invalid answers write nothing."""
    bad = [(None, b"", "timeout"), (200, b"{}", None), (200, b"no json", None), (429, b"", "http 429")] * 2
    rest = Rest(Clocks(desk.us), broken=bad)

    async def during(recording, health):
        await until(lambda: of_rest(desk))

    watched(desk, rest, during)
    assert not rest.broken


def test_latencies_are_written_to_the_ledger_during_the_day(desk):
    """A crash loses only the last interval of latencies."""
    desk.take(diff(11, 11), snapshot(11), diff(12, 12))
    rest = Rest(Clocks(desk.us))

    async def during(recording, health):
        await until(lambda: of_rest(desk))

    watched(desk, rest, during)
    assert "depth" in [found["stream"] for found in events(desk.session.writer.folder, "clock_offset")]


def test_clock_steps_are_detected_without_messages(desk):
    """Arrivals would show a step back late, and a step forward not at all."""
    rest = Rest(Clocks(desk.us))

    def steps():
        return [found["by_us"] for found in events(desk.session.writer.folder, "clock_step")]

    async def during(recording, health):
        for count, by_us in enumerate((2_000_000, -2_000_000), 1):
            await asyncio.sleep(0.01)
            rest.clocks.wall_us += by_us
            await until(lambda count=count: len(steps()) == count)

    watched(desk, rest, during)
    assert steps() == [2_000_000, -2_000_000]


def test_health_file_is_updated_and_shows_the_end(desk, monkeypatch, tmp_path):
    """A later status must not show a running recording."""
    monkeypatch.setattr(module, "INTERVAL_S", 0.001)
    rest, root = Rest(Clocks(desk.us)), tmp_path / "data"

    async def during(recording, health):
        await until(lambda: read_health(root, SYMBOL) is not None)
        desk.take(diff(11, 11), snapshot(11))
        rest.clocks.pass_us(5_000)
        await until(lambda: read_health(root, SYMBOL).epoch_id == 1)
        assert read_health(root, SYMBOL).state == "connecting"

    watched(desk, rest, during)
    assert (read_health(root, SYMBOL).state, read_health(root, SYMBOL).used_weight) == (ENDED, 3)


def test_a_slow_write_does_not_undo_the_end(desk, monkeypatch, tmp_path):
    """The thread that writes a report outlives its task, and must not be the last."""
    begun, written = [], []

    def slowly(report):
        begun.append(report.state)
        if report.state != ENDED:
            time.sleep(0.2)
        written.append(report.state)

    monkeypatch.setattr("mm.market_data.health.write_health", slowly)
    monkeypatch.setattr(module, "INTERVAL_S", 0.001)

    async def during(recording, health):
        await until(lambda: begun)  # the first report is being written

    watched(desk, Rest(Clocks(desk.us)), during)
    give_up_s = time.monotonic() + 60
    while len(written) < len(begun) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    assert written[-1] == ENDED


def test_unwritable_health_file_does_not_end_the_recording(desk):
    """The recording continues without a health file; the recorder itself detects a full disk."""
    rest = Rest(Clocks(desk.us))
    folder = desk.session.writer.folder
    folder.health.with_name(f"{folder.health.name}.{os.getpid()}.partial").mkdir()

    async def during(recording, health):
        await until(lambda: len(of_rest(desk)) >= 2)

    watched(desk, rest, during)
    assert not folder.health.exists()


def test_clock_offset_is_measured_before_the_window(desk):
    """There is no ledger yet, but the metrics page shows the offset."""
    rest = Rest(Clocks(desk.us))

    async def during(recording, health):
        await until(lambda: health.trip)
        assert health.report(recording, 0).offset_us == -1_300_000

    watched(desk, rest, during, session=False)


def test_silent_depth_stream_makes_the_recording_unready_after_a_minute(tmp_path):
    """Each connection sends trades alone, so that stalls go on for good."""
    ready = []

    async def read(port):
        status, _, text = await asyncio.to_thread(fetched, port, "/health/ready")
        ready.append((status, text))

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(1)
        rest = boxed.parts.rest.rest
        monitor = Monitor(Health(boxed_market.SYMBOL, "R1", rest), rest, lambda: boxed.box.scheduler.done_us)
        port = free_port()
        async with monitor.watching(boxed.recording, "127.0.0.1", port):
            for seconds in (0, 50):
                for _ in range(seconds):
                    await boxed.box.advance(seconds=1)
                    await asyncio.sleep(0.01)
                await read(port)
            while ready[-1][0] == 200 and len(ready) < 50:  # a busy recorder takes longer to reconnect
                await boxed.box.advance(seconds=10)
                await asyncio.sleep(0.1)
                await read(port)

    stalls = "\n".join(f"at connect {number} do stall of=depth" for number in range(2, 200))
    day = recorded(scenario, f"at time 2.5 on all do stall of=depth\n{stalls}", root=tmp_path, silence_s=0.1)
    assert [status for status, _ in ready[:2]] == [200, 200]
    assert ready[-1][0] == 503
    assert "no depth message for" in ready[-1][1]
    assert len(day.logged("stall")) > 1
