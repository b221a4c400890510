"""Regression tests for twelve documented defects of another recorder."""

import asyncio
import gzip
import random
import time
from itertools import pairwise

import pytest
from test_live_session import Desk

from boxed import quicken, recorded
from captured import diff, snapshot
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.instrument import Instrument
from mm.market_data.days import WindowRule
from mm.market_data.rate_budget import HEALTHY_S, Backoff
from mm.market_data.stalls import StallDetector


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    quicken(monkeypatch)


def test_defect_1_check_accepts_relative_paths_and_several_runs(recorded_day, monkeypatch):
    """The recorded day has three runs with continuous numbers, and frames are compared with the replay."""
    monkeypatch.chdir(recorded_day.path.parent)
    here = DayFolder.at(recorded_day.path.name)
    assert check_day(here).defects == []
    text = here.frames.read_text()
    assert "99.99" in text
    here.frames.write_text(text.replace("99.99", "99.98", 1))
    here.manifest.unlink()
    assert {defect.kind for defect in check_day(here).defects} == {"frame_differs"}


def test_defect_2_rows_after_a_torn_end_are_readable(tmp_path):
    """A killed run leaves half a gzip member; standard readers read the rows after it."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    for number, run_id in enumerate(("R1", "R2", "R3")):
        with DayWriter(folder, run_id, instrument=Instrument("SIMUSDT", 1_000_000, 1_000)) as writer:
            for us in range(10):
                writer.diff(us + 1_000 * number, 1_767_600_000_000, us + 1, us + 1, [("1", "1")], [])
        if number < 2:
            with folder.diffs.open("ab") as stream:
                stream.write(gzip.compress(b'{"torn": true}\n' * 50)[: random.Random(number).randint(1, 40)])
    with gzip.open(folder.diffs) as stream:
        assert sum(1 for _ in stream) == 30


def test_defect_3_trades_are_recorded_during_a_snapshot_request():
    """A REST request does not block the loop."""

    async def scenario(boxed):
        await boxed.until(lambda: boxed.session and boxed.logged("snapshot_request"))
        before = boxed.session.report.trades
        await boxed.play(1.0)
        assert not boxed.logged("snapshot_loaded")
        assert boxed.session.report.trades > before
        await boxed.synced()
        await boxed.play(0.5)

    day = recorded(scenario, "at request 1 of /api/v3/depth do slow delay_s=1.5")
    assert (day.tags, day.logged("gap")) == (["initial"], [])


def test_defect_4_old_snapshots_are_requested_again_with_spacing():
    """After eight old snapshots the buffer is still kept, and the requests are spaced."""
    requested_s = []

    async def scenario(boxed):
        rest, original = boxed.parts.rest.rest, boxed.parts.rest.rest.depth

        async def depth(*args):
            requested_s.append(time.monotonic())
            return await original(*args)

        rest.depth = depth
        await boxed.synced()
        await boxed.play(0.5)

    day = recorded(scenario, "at request 1 of /api/v3/depth do snapshot where=old back=2 n=8")
    assert len(day.logged("snapshot_failed")) == 8
    assert (day.tags, day.logged("gap")) == (["initial"], [])
    assert requested_s[-1] - requested_s[0] > 8 * 0.05


def test_defect_5_silence_is_detected_without_messages():
    """A timer checks the time since the last message."""
    silence = StallDetector(3.0)
    silence.connected(100.0)
    assert (silence.stalled_s(102.9), silence.stalled_s(103.0)) == (None, 3.0)


def test_defect_6_delays_reset_after_a_healthy_minute():
    """Many short failures in a day do not lead to long waits."""
    backoff = Backoff(0.25, 30.0, lambda: 0.0)
    now_s = 1_000.0
    for _ in range(8):
        now_s += backoff.delay(now_s)
    assert backoff.delay(now_s) == 8.0
    assert backoff.delay(now_s + 8.0 + HEALTHY_S) == 0.0


def test_defect_7_repeated_or_stale_update_has_no_frame():
    """Event time does not go back either."""

    async def scenario(boxed):
        await boxed.synced()
        await boxed.play(3)

    day = recorded(scenario, "at time 3 do duplicate n=2\nat time 3.5 do stale n=2")
    times = [int(row["event_time_ms"]) for row in day.frames]
    assert times == sorted(times)
    assert len({row["last_update_id"] for row in day.frames}) == len(day.frames)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize("qty", ["92233720368.54775807", "0.1000", "1", "0.00000001"])
def test_defect_8_quantities_keep_the_exchange_text(desk, qty):
    """A float would round the first and lose the zeros of the second."""
    day = desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.90", qty]])).close()
    assert f",{qty}," in day.frames.read_text()
    assert f'"{qty}"'.encode() in gzip.decompress(day.diffs.read_bytes())


def test_defect_9_arrival_is_stamped_before_processing(monkeypatch):
    """10 ms of work on each message of a burst do not delay the stamps of the following messages."""
    stamps = []

    async def scenario(boxed):
        await boxed.synced()
        session = boxed.session
        before = session.message

        def slow(*args):
            time.sleep(0.01)
            return before(*args)

        monkeypatch.setattr(session, "message", slow)
        boxed.stamps = []
        put = boxed.parts.stream._inbox.put

        def stamped(link, raws, recv_us):
            boxed.stamps += [time.monotonic()] * len(raws)
            return put(link, raws, recv_us)

        monkeypatch.setattr(boxed.parts.stream._inbox, "put", stamped)
        await boxed.box.advance(seconds=2)
        await boxed.parts.stream.settled()
        await asyncio.sleep(0.5)
        stamps.extend(boxed.stamps)

    recorded(scenario, clean=False)
    assert len(stamps) >= 30
    late = sum(after - before >= 0.01 for before, after in pairwise(stamps))
    assert late < len(stamps) / 2  # all of them, if they were stamped when processed


def test_defect_10_spring_clock_change_shortens_the_night_by_an_hour():
    """The window opens by local time; waits are counted in elapsed hours."""
    rule = WindowRule("08:00", "22:00", "Europe/Berlin")
    before, night = rule.of_day("20260328"), rule.of_day("20260329")
    assert (night.start_us - before.end_us) / 3.6e9 == 9.0
    assert (rule.of_day("20260328").start_us - rule.of_day("20260327").end_us) / 3.6e9 == 10.0
    assert (night.end_us - night.start_us) / 3.6e9 == 14.0


def test_defect_11_missing_levels_are_empty(desk):
    """An absent level is not written as zero."""
    day = desk.take(diff(11, 11), snapshot(11, [["99.90", "1"]], [["100.10", "1"]]), diff(12, 12)).close()
    row = day.frames.read_text().splitlines()[1]
    assert ",99.90,1,100.10,1,,,,," in row
    assert "0.0," not in row


def test_defect_12_unwritable_update_is_quarantined_and_reported(desk):
    """The raw message goes to quarantine, with an anomaly, and its ids are a gap."""
    day = desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["x", "1"]]), diff(13, 13)).close()
    assert day.quarantine.exists()
    text = day.events.read_text()
    assert "quarantined" in text
    assert '""from_id"":12,""to_id"":12' in text
