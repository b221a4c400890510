"""Days that are damaged at the start, or removed while they are recorded: the recorder reports it and continues."""

import asyncio
import json
import os
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorder_process import SYMBOL, exchange_box, running_recorder

from captured import DAY, NOON_US, diff, events, folder, snapshot, trade
from day_files import defects_of
from day_oracle import Day, hold
from hand_fed import answer, record_into
from mm import DayFolder
from mm.dayfolder.line_files import gzip_member
from mm.errors import BrokenFile, DataError, Mismatch
from mm.market_data.days import Days

URL = f"http://x/api/v3/depth?symbol={SYMBOL}&limit=5000"


def days(root, **changes):
    knobs = {
        "data_root": Path(root) / "data",
        "symbol": SYMBOL,
        "run_id": "R1",
        "own_id": False,
        "top_n": 3,
        "trade_stream": "trade",
        "flush_interval_s": 5.0,
        "write_diffs": True,
        "write_gaps": True,
        "min_free_mb": 0.0,
        "knobs": {"trade_stream": "trade"},
    }
    return Days(**(knobs | changes))


def killed_day(root, count=40):
    """Record a day with several members in its packed files, and kill its run."""
    writer = days(root).open(DAY, NOON_US)
    session, us = record_into(writer, NOON_US), NOON_US
    for number in range(count):
        us += 100_000
        for message in (diff(number + 11, number + 11, [["99.90", f"{number + 1}.0"]]), trade(number + 1)):
            session.message(us, json.dumps(message).encode())
        if not number:
            session.snapshot_requested(us, 1)
            session.snapshot_answered(answer(us, URL, json.dumps(snapshot(11)).encode()))
        if number == 5:
            session.message(us, b"{")
        if number % 10 == 9:
            writer.flush()
    writer.close()
    return writer.folder


def garbage(path, at=0.5, data=b"\0\xff\x07 no row at all\n"):
    """Overwrite a part of a file, by default in the middle."""
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.seek(round(at * (size - len(data))))
        stream.write(data)


def another_row(path, row):
    with path.open("ab") as stream:
        stream.write(row if path.suffix == ".csv" else gzip_member(row))


DAMAGES = {
    "the ledger within": lambda day: garbage(day.events, data=b'"\xff,,,\n'),
    "zeros within the frames": lambda day: garbage(day.frames, data=b"\0" * 40),
    "zeros within the trades": lambda day: garbage(day.trades, data=b"\0" * 40),
    "the diffs within": lambda day: garbage(day.diffs, at=0.3),
    "the quarantine is text": lambda day: day.quarantine.write_bytes(b"text\n" + day.quarantine.read_bytes()),
    "a last trade without numbers": lambda day: another_row(day.trades, b"x,y,z\n"),
    "a last diff that is no JSON": lambda day: another_row(day.diffs, b"{]\n"),
    "a last diff of another kind": lambda day: another_row(day.diffs, b"[1]\n"),
    "an event without details": lambda day: another_row(day.events, b"99,1,99,R1,trade_gap,1,{},1000\n"),
    "a gap of texts": lambda day: another_row(
        day.events, b'99,1,99,R1,trade_gap,1,"{""from_id"":""a"",""to_id"":[],""from_us"":0,""to_us"":0}",1000\n'
    ),
    "a header that is none": lambda day: garbage(day.frames, at=0, data=b"\xff" * 3000),
    "the manifest": lambda day: day.manifest.write_bytes(b"{"),
    "a folder for a file": lambda day: (day.trades.unlink(), day.trades.mkdir()),
    "a file for a folder": lambda day: (shutil.rmtree(day.diffs.parent), day.diffs.parent.write_bytes(b"")),
    "no ledger": lambda day: day.events.unlink(),
    "a ledger of a header": lambda day: day.events.write_bytes(day.events.read_bytes().partition(b"\n")[0] + b"\n"),
    "a snapshot": lambda day: garbage(next(day.snapshots.iterdir()), at=1, data=b"\0" * 60),
    "a packed ledger": lambda day: day.events.rename(f"{day.events}.gz"),
}


def bytes_below(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_day_is_moved_and_recording_continues(tmp_path, damage):
    """All its bytes are kept; the new folder is sound, and its ledger contains the path of the old one."""
    day = killed_day(tmp_path)
    DAMAGES[damage](day)
    before = {name: data for name, data in bytes_below(day.path).items() if not name.endswith(".lock")}
    with days(tmp_path, run_id="R2").open(DAY, NOON_US + 60_000_000) as writer:
        assert writer.earlier.runs == ()
        writer.event(NOON_US + 60_000_000, "run_stop", 0, {"reason": "SIGTERM"})
        writer.seal()
    (replaced,) = events(folder(tmp_path), "day_replaced")
    moved = tmp_path / "data" / "damaged" / SYMBOL / DAY
    assert replaced["moved_to"] == str(moved)
    assert replaced["cause"]
    kept = bytes_below(moved)
    assert {name: kept[name] for name in before} == before
    assert defects_of(folder(tmp_path)) == []


def test_each_damaged_day_is_moved_to_its_own_folder(tmp_path):
    """Several damaged folders of one day, with run ids given by the user."""
    for count in range(3):
        day = killed_day(tmp_path) if not count else folder(tmp_path)
        garbage(day.events, data=b'"\xff,,,\n')
        days(tmp_path, run_id=f"mine{count}", own_id=True).open(DAY, NOON_US).close()
    assert sorted(path.name for path in (tmp_path / "data" / "damaged" / SYMBOL).iterdir()) == [
        DAY,
        f"{DAY}_2",
        f"{DAY}_3",
    ]


@pytest.mark.parametrize("name", ["schema", "instrument"])
@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"time_unit": 7, "symbol": 3}', b"\xff"])
def test_damaged_description_raises_broken_file(tmp_path, name, text):
    """The message contains the file and a remedy; no file is changed, and the exit code is 3."""
    day = killed_day(tmp_path)
    getattr(day, name).write_bytes(text)
    before = bytes_below(day.path)
    with pytest.raises(BrokenFile, match=f"{name}.json.*remove") as raised:
        days(tmp_path, run_id="R2").open(DAY, NOON_US)
    assert raised.value.exit_code == 3
    assert bytes_below(day.path) == before
    assert not (tmp_path / "data" / "damaged").exists()


def test_other_settings_raise_mismatch_and_move_nothing(tmp_path):
    """A day with another number of levels stays in place."""
    killed_day(tmp_path)
    with pytest.raises(Mismatch):
        days(tmp_path, run_id="R2", top_n=4).open(DAY, NOON_US)
    assert not (tmp_path / "data" / "damaged").exists()


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
@given(st.integers(0, 2**32 - 1))
def test_start_on_random_damage_continues_or_raises_data_error(seed):
    """Days with flipped, cut, zeroed and repeated bytes are continued, moved, or end with exit code 3."""
    luck = Random(seed)
    with TemporaryDirectory() as root:
        day = killed_day(root, 20)
        for _ in range(luck.randint(1, 3)):
            path = luck.choice([path for path in sorted(day.path.rglob("*")) if path.is_file() and path != day.lock])
            data = bytearray(path.read_bytes())
            at, size = luck.randrange(len(data) + 1), luck.randint(1, 60)
            kind = luck.choice(["flip", "zero", "cut", "double", "drop"])
            if kind == "flip" and at < len(data):
                data[at] ^= 1 << luck.randrange(8)
            elif kind == "zero":
                data[at : at + size] = bytes(len(data[at : at + size]))
            elif kind == "cut":
                del data[at:]
            elif kind == "double":
                data[at:at] = data[at : at + size]
            elif kind == "drop":
                del data[at : at + size]
            path.write_bytes(data)
        try:
            with days(root, run_id="R2").open(DAY, NOON_US + 60_000_000) as writer:
                session = record_into(writer, NOON_US + 60_000_000)
                session.message(NOON_US + 60_000_001, json.dumps(diff(90, 90)).encode())
                session.finish(NOON_US + 60_000_002, "SIGTERM", window_over=False)
                writer.seal()
        except DataError as error:
            if not isinstance(error, Mismatch) and "schema.json" not in str(error):
                raise


@pytest.mark.slow
def test_recorder_continues_after_a_damaged_ledger(tmp_path):
    """The recorder process reports the damage, and the new day is true."""

    async def run():
        async with exchange_box() as box:
            async with running_recorder(box, tmp_path) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
                await recorder.kill()
            day = recorder.day
            garbage(day.events)
            async with running_recorder(box, tmp_path) as recorder:
                await recorder.until((tmp_path / "data" / "damaged").exists)
                await recorder.until(lambda: _bytes_at(day.frames) > 10_000)
                recorder.process.send_signal(15)
                code, output = await recorder.ended()
            assert code == 0, output
            assert "day_replaced" in output
            found = hold(day.path, box.truth)
            (replaced,) = found.logged("day_replaced")
            assert Path(replaced["moved_to"]).is_dir()
            assert defects_of(day) == []

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("removed", ["the folder", "its frames", "its contents"])
def test_day_removed_while_recording_is_created_again(tmp_path, removed):
    """Log and ledger report the removal, the book is carried over, and the new day is true."""

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path) as recorder:
            await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
            day = recorder.day
            if removed == "the folder":
                shutil.rmtree(day.path.rename(tmp_path / "removed"))  # the recorder may add a file meanwhile
            elif removed == "its frames":
                day.frames.unlink()
            else:
                for path in day.path.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            await recorder.until(lambda: day.events.exists() and b"day_replaced" in day.events.read_bytes())
            await recorder.until(lambda: _bytes_at(day.frames) > 10_000)
            recorder.process.send_signal(15)
            code, output = await recorder.ended()
            assert code == 0, output
            assert "day_replaced" in output
            found = hold(day.path, box.truth, wired=False)
            (replaced,) = found.logged("day_replaced")
            assert "removed" in replaced["cause"]
            assert (replaced["moved_to"] is not None) == (removed == "its frames")
            assert found.tags[0] == "carried"
            assert found.logged("gap") == found.logged("trade_gap") == []
            assert defects_of(day) == []
            if replaced["moved_to"]:
                assert Day(Path(replaced["moved_to"])).logged("run_stop") == [{"reason": "day_removed"}]

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["0", "1"])
@pytest.mark.parametrize("running", [True, False])
def test_exchange_that_gives_its_ids_again_begins_the_day_anew(tmp_path, running, pair):
    """The recorded part is set aside, and the rest of the day is true, whether the recorder runs meanwhile or not."""
    rows = {"WS_PAIR": pair}

    async def run():
        async with AsyncExitStack() as held:
            async with exchange_box(speed=1.0) as first:
                port = int(first.rest_url.rpartition(":")[2])
                recorder = await held.enter_async_context(running_recorder(first, tmp_path, **rows))
                await recorder.until(lambda: recorder.bytes_of("frames") > 20_000)
                await recorder.until(lambda: recorder.bytes_of("trades") > 2_000)
                if not running:
                    assert (await recorder.stop())[0] == 0
            async with exchange_box(seed=8, speed=1.0, port=port) as second:
                if not running:
                    recorder = await held.enter_async_context(running_recorder(second, tmp_path, **rows))
                day = recorder.day
                await recorder.until(lambda: day.events.exists() and b"day_replaced" in day.events.read_bytes())
                await recorder.until(lambda: _bytes_at(day.frames) > 10_000 and _bytes_at(day.trades) > 500)
                code, _, output = await recorder.stop()
                assert code == 0, output
                assert "the exchange gives recorded ids again" in output
                found = hold(day.path, second.truth, wired=False)
            (replaced,) = found.logged("day_replaced")
            assert defects_of(day) == []
            before = Day(Path(replaced["moved_to"]))
            assert before.anomalies().count("ids_again") == 1
            assert before.logged("run_stop")[-1] == {"reason": "ids_again"}
            with pytest.raises(AssertionError):
                hold(before.path, second.truth, sealed=False, wired=False)
            hold(before.path, first.truth, sealed=False, wired=False)

    asyncio.run(run())


def _bytes_at(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


@pytest.mark.slow
def test_removed_day_is_detected_at_the_end(tmp_path):
    """Rows since the last flush are written to a new folder instead of the removed one."""

    async def run():
        async with exchange_box() as box, running_recorder(box, tmp_path, FLUSH_INTERVAL_S="3600") as recorder:
            await recorder.until(lambda: recorder.bytes_of("events") > 500)
            await recorder.until(lambda: b"snapshot_loaded" in recorder.day.events.read_bytes())
            day = recorder.day
            shutil.rmtree(day.path.rename(tmp_path / "removed"))
            code, _, output = await recorder.stop()
            assert code == 0, output
            found = Day(day.path)
            assert found.sealed
            assert len(found.logged("day_replaced")) == 1

    asyncio.run(run())


@pytest.fixture
def read_only(tmp_path):
    """A read-only file system."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_unwritable_folder_exits_with_75(tmp_path, read_only):
    """The folder may become writable, so that a supervisor tries again."""

    async def run():
        async with (
            exchange_box() as box,
            running_recorder(box, tmp_path, DATA_ROOT=str(read_only / "data")) as recorder,
        ):
            code, output = await recorder.ended()
        assert code == 75, output
        assert "make it writable" in output

    asyncio.run(run())


@pytest.mark.slow
def test_damaged_schema_exits_with_3(tmp_path):
    """The output contains the file, which is not changed."""

    async def run():
        async with exchange_box() as box:
            async with running_recorder(box, tmp_path) as recorder:
                await recorder.until(lambda: recorder.bytes_of("frames") > 10_000)
                await recorder.stop()
            day = recorder.day
            day.schema.write_bytes(b"{")
            async with running_recorder(box, tmp_path) as recorder:
                code, output = await recorder.ended()
            assert code == 3, output
            assert "schema.json" in output
            assert DayFolder(day.root, SYMBOL, day.day).schema.read_bytes() == b"{"

    asyncio.run(run())
