"""Twelve defects of another recorder from its notes; this one has none of them."""

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


def test_defect_1_the_check_takes_relative_paths_and_runs_that_follow_each_other(recorded_day, monkeypatch):
    """Its day has three runs, whose numbers count on; and frames are held against the replay."""
    monkeypatch.chdir(recorded_day.path.parent)
    here = DayFolder.at(recorded_day.path.name)
    assert check_day(here).defects == []
    text = here.frames.read_text()
    assert "99.99" in text
    here.frames.write_text(text.replace("99.99", "99.98", 1))
    here.manifest.unlink()
    assert {defect.kind for defect in check_day(here).defects} == {"frame_differs"}


def test_defect_2_what_follows_a_torn_end_can_be_read(tmp_path):
    """A run that was killed leaves half a gzip member; stock readers read past where it was."""
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


def test_defect_3_trades_are_read_while_a_snapshot_travels():
    """A request of REST does not stop the loop."""

    async def scenario(boxed):
        await boxed.until(lambda: boxed.session and boxed.told("snapshot_request"))
        before = boxed.session.report.trades
        await boxed.play(1.0)
        assert not boxed.told("snapshot_loaded")
        assert boxed.session.report.trades > before
        await boxed.synced()
        await boxed.play(0.5)

    day = recorded(scenario, "at request 1 of /api/v3/depth do slow delay_s=1.5")
    assert (day.tags, day.told("gap")) == (["initial"], [])


def test_defect_4_a_snapshot_that_lags_is_asked_for_without_hurry_and_never_ends_the_recording():
    """Eight times too old: spaced further and further apart, and the buffer is kept."""
    asked = []

    async def scenario(boxed):
        rest, before = boxed.parts.rest.rest, boxed.parts.rest.rest.depth

        async def depth(*args):
            asked.append(time.monotonic())
            return await before(*args)

        rest.depth = depth
        await boxed.synced()
        await boxed.play(0.5)

    day = recorded(scenario, "at request 1 of /api/v3/depth do snapshot where=old back=2 n=8")
    assert len(day.told("snapshot_failed")) == 8
    assert (day.tags, day.told("gap")) == (["initial"], [])
    assert asked[-1] - asked[0] > 8 * 0.05


def test_defect_5_silence_is_seen_although_nothing_calls_back():
    """By a timer that checks the time since the last message."""
    silence = StallDetector(3.0)
    silence.connected(100.0)
    assert (silence.stalled_s(102.9), silence.stalled_s(103.0)) == (None, 3.0)


def test_defect_6_delays_begin_anew_after_a_healthy_minute():
    """A day with many short troubles does not end in long waits."""
    backoff = Backoff(0.25, 30.0, lambda: 0.0)
    now_s = 1_000.0
    for _ in range(8):
        now_s += backoff.delay(now_s)
    assert backoff.delay(now_s) == 8.0
    assert backoff.delay(now_s + 8.0 + HEALTHY_S) == 0.0


def test_defect_7_a_repeated_or_stale_update_has_no_frame():
    """Nor does event time go back."""

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
def test_defect_8_quantities_are_the_exchange_s_text(desk, qty):
    """A float would round the first and lose the zeros of the second."""
    day = desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["99.90", qty]])).close()
    assert f",{qty}," in day.frames.read_text()
    assert f'"{qty}"'.encode() in gzip.decompress(day.diffs.read_bytes())


def test_defect_9_arrival_is_not_when_somebody_gets_round_to_it(monkeypatch):
    """Ten milliseconds of work on each message of a burst are not in the stamps of those behind it."""
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

        def noted(link, raws, recv_us):
            boxed.stamps += [time.monotonic()] * len(raws)
            return put(link, raws, recv_us)

        monkeypatch.setattr(boxed.parts.stream._inbox, "put", noted)
        await boxed.box.advance(seconds=2)
        await boxed.parts.stream.settled()
        await asyncio.sleep(0.5)
        stamps.extend(boxed.stamps)

    recorded(scenario, clean=False)
    assert len(stamps) >= 30
    late = sum(after - before >= 0.01 for before, after in pairwise(stamps))
    assert late < len(stamps) / 2  # each, where they were stamped when it is their turn


def test_defect_10_the_night_in_march_is_an_hour_shorter():
    """The window opens by the clock on the wall, and what passes until then is counted in hours that pass."""
    rule = WindowRule("08:00", "22:00", "Europe/Berlin")
    before, night = rule.of_day("20260328"), rule.of_day("20260329")
    assert (night.start_us - before.end_us) / 3.6e9 == 9.0
    assert (rule.of_day("20260328").start_us - rule.of_day("20260327").end_us) / 3.6e9 == 10.0
    assert (night.end_us - night.start_us) / 3.6e9 == 14.0


def test_defect_11_a_level_that_is_missing_is_empty(desk):
    """Zero is not a price of any order."""
    day = desk.take(diff(11, 11), snapshot(11, [["99.90", "1"]], [["100.10", "1"]]), diff(12, 12)).close()
    row = day.frames.read_text().splitlines()[1]
    assert ",99.90,1,100.10,1,,,,," in row
    assert "0.0," not in row


def test_defect_12_an_update_that_cannot_be_written_as_a_row_is_kept_and_told(desk):
    """No row is lost in silence: raw in quarantine, an anomaly, and the ids are a gap."""
    day = desk.take(diff(11, 11), snapshot(11), diff(12, 12, [["x", "1"]]), diff(13, 13)).close()
    assert day.quarantine.exists()
    text = day.events.read_text()
    assert "quarantined" in text
    assert '""from_id"":12,""to_id"":12' in text
