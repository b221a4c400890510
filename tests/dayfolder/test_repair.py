"""Damage a day in every way, mend it, and compare with the day that was never damaged."""

import base64
import csv
import gzip
import json
import os
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import captured
from market_data.test_sync_engine import Desk as BookDesk
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.manifest import read_manifest
from mm.dayfolder.repair import repair_day
from mm.errors import MissingDay, TryLater
from mm.instrument import Instrument, to_exchange_info
from scribe import ASKS, BIDS, Scribe

NOW_US = 1_770_000_000_000_000


def repaired(folder, run_id="FIX"):
    return repair_day(folder, run_id, NOW_US)


def tree(folder):
    """Return every file of the day but its lock, by its path."""
    found = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.lock)
    return {folder.relative(path): path.read_bytes() for path in found}


def rows(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def kinds(folder, run_id="FIX"):
    return [row["type"] for row in table(folder.events) if row["run_id"] == run_id]


def details(folder, kind):
    return [json.loads(row["details_json"]) for row in table(folder.events) if row["type"] == kind]


def assert_mended(folder, result=None):
    """The day is sealed, without a defect, nothing lies about, and another repair finds nothing to do."""
    report = check_day(folder)
    assert (report.defects, report.sealed) == ([], True)
    assert sorted(path.name for path in folder.path.parent.iterdir()) == [folder.day]
    before = tree(folder)
    again = repaired(folder, "AGAIN")
    assert (again.changed, again.mended) == (False, [])
    assert tree(folder) == before


def members(path):
    """Return where each gzip member of a file begins, and its end."""
    data, starts, at = path.read_bytes(), [], 0
    import zlib

    while at < len(data):
        starts.append(at)
        inflate = zlib.decompressobj(31)
        inflate.decompress(data[at:])
        at = len(data) - len(inflate.unused_data)
    return [*starts, len(data)]


@pytest.fixture
def many_members(recorded_day):
    """The day with a gzip member for each depth message, as if each had been flushed alone."""
    lines = rows(recorded_day.diffs)
    recorded_day.diffs.write_bytes(b"".join(gzip.compress(line + b"\n", mtime=0) for line in lines))
    recorded_day.manifest.unlink()
    return recorded_day


def test_a_sound_day_is_left_as_it_is(recorded_day):
    """Nothing is written, not even the ledger: whoever mends all days of a disk must not change the good ones."""
    before = tree(recorded_day)
    result = repaired(recorded_day)
    assert (result.changed, result.mended, result.after.ok) == (False, [], True)
    assert tree(recorded_day) == before


def test_frames_that_are_gone_are_written_again_byte_for_byte(recorded_day):
    """Frames are a pure function of snapshots and depth messages."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.unlink()
    result = repaired(recorded_day)
    assert result.changed
    assert not result.before.ok
    assert recorded_day.frames.read_bytes() == frames
    assert kinds(recorded_day) == ["run_start", "run_stop"]
    assert_mended(recorded_day)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:3] + lines[4:],
        lambda lines: lines[:1],
        lambda lines: [*lines, lines[-1].replace(b"R3", b"R3")],
        lambda lines: [line.replace(b"99.98", b"98.98") for line in lines],
        lambda lines: [lines[0], b"x,y", *lines[1:]],
        lambda lines: [lines[0][:-5], *lines[1:]],
    ],
    ids=["one deleted", "all deleted", "one twice", "one falsified", "one that is none", "header cut"],
)
def test_frames_that_are_wrong_are_written_again_byte_for_byte(recorded_day, damage):
    """Whatever happened to them, the raw messages know better."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.write_bytes(b"\n".join(damage(frames.splitlines())) + b"\n")
    assert repaired(recorded_day).changed
    assert recorded_day.frames.read_bytes() == frames
    assert_mended(recorded_day)


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_file_that_is_cut_anywhere_is_mended(pristine_day, tmp_path_factory, data):
    """Every whole row is kept, what is missing is in the ledger, and the frames fit to what is left."""
    folder = DayFolder(tmp_path_factory.mktemp("cut"), "SIMUSDT", "20260105")
    shutil.copytree(pristine_day.path, folder.path)
    path = data.draw(st.sampled_from([folder.diffs, folder.trades, folder.frames, folder.gaps, folder.quarantine]))
    cut = data.draw(st.integers(0, path.stat().st_size - 1))
    whole = rows(path)
    os.truncate(path, cut)
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    result = repaired(folder)
    assert result.changed
    assert_mended(folder)
    if path in (folder.diffs, folder.quarantine):
        left = rows(path) if path.exists() else []
    else:
        assert len(rows(path)) >= max(len(kept), 1)
        left = rows(path)
    if path == folder.frames:
        assert left == whole
    elif path != folder.gaps:
        assert left[: len(whole)] == whole[: len(left)] or path == folder.quarantine


def test_a_torn_tail_is_told_with_its_bytes(recorded_day):
    """The ledger says what was cut, and how much time it may have held."""
    size = recorded_day.trades.stat().st_size
    os.truncate(recorded_day.trades, size - 10)
    last = len(rows(recorded_day.trades)[-1])
    repaired(recorded_day)
    (told,) = details(recorded_day, "tail_recovered")
    assert (told["path"], told["bytes"]) == ("trades_ws_SIMUSDT_20260105.csv", last)
    assert 0 < told["lost_s"] < 60
    gap = details(recorded_day, "trade_gap")[-1]
    assert (gap["from_id"], gap["to_id"], gap["cause"]) == (9, 20, "damaged")
    assert_mended(recorded_day)


def test_a_damaged_member_costs_its_own_rows_alone(many_members):
    """Good messages stand behind it: they stay, and the ids of the bad one are a gap."""
    whole, at = rows(many_members.diffs), members(many_members.diffs)
    data = bytearray(many_members.diffs.read_bytes())
    data[at[4] + 12 : at[5] - 4] = b"\xff" * (at[5] - at[4] - 16)
    many_members.diffs.write_bytes(data)
    frames = many_members.frames.read_bytes().splitlines()
    repaired(many_members)
    left = rows(many_members.diffs)
    assert left == whole[:4] + whole[5:]
    lost = msgspec.json.decode(whole[4])
    assert any(gap["from_id"] <= lost["U"] and lost["u"] <= gap["to_id"] for gap in details(many_members, "gap"))
    assert set(rows(many_members.frames)) <= set(frames)
    assert_mended(many_members)


def test_a_cut_in_the_middle_of_a_member_keeps_the_lines_before_it(recorded_day):
    """The last member is only torn: what stands before the cut is as good as ever."""
    whole = rows(recorded_day.diffs)
    os.truncate(recorded_day.diffs, recorded_day.diffs.stat().st_size - 12)
    repaired(recorded_day)
    left = rows(recorded_day.diffs)
    assert left == whole[: len(left)]
    assert len(left) > len(whole) - 6
    assert_mended(recorded_day)


def test_zeros_of_a_power_cut_are_taken_out(recorded_day):
    """A file system may leave a stretch of zeros, with good rows of the next start behind it."""
    lines = recorded_day.trades.read_bytes().splitlines(keepends=True)
    recorded_day.trades.write_bytes(b"".join(lines[:3]) + b"\0" * 4096 + b"\n" + b"".join(lines[3:]))
    whole = b"".join(lines)
    repaired(recorded_day)
    assert recorded_day.trades.read_bytes() == whole
    assert_mended(recorded_day)


def test_a_row_that_cannot_be_read_lies_in_quarantine_afterwards(recorded_day):
    """Nothing whole is thrown away."""
    lines = recorded_day.trades.read_bytes().splitlines()
    recorded_day.trades.write_bytes(b"\n".join([*lines[:2], b"not,a,trade", *lines[2:]]) + b"\n")
    repaired(recorded_day)
    kept = [msgspec.json.decode(line) for line in rows(recorded_day.quarantine)]
    assert base64.b64decode(kept[-1]["raw_base64"]) == b"not,a,trade"
    assert kept[-1]["stream"] == "repair"
    assert_mended(recorded_day)


def test_an_orphaned_snapshot_is_removed(recorded_day):
    """No event loaded it, and none can have been about to."""
    recorded_day.snapshot(3, "initial").write_text("run_id,event_id,side,price,qty,lastUpdateId\n")
    result = repaired(recorded_day)
    assert result.mended[0] == "snapshots/snapshot_3_initial.csv: an orphan, removed"
    assert_mended(recorded_day)


def crashed_in_the_snapshot(tmp_path, *, whole=True, last_id=103):
    """A recorder that was killed between the file of a snapshot and its event."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.event("snapshot_request", attempt=1)
    scribe.diff(101, 102, [("99.99", "2.5")], frame=False)
    scribe.diff(103, 104, [("99.98", "1.5")], frame=False)
    scribe.writer.close()
    levels = [(side, *level) for side, found in (("bid", BIDS), ("ask", ASKS)) for level in found]
    text = "run_id,event_id,side,price,qty,lastUpdateId\n"
    text += "".join(f"R1,4,{side},{price},{qty},{last_id}\n" for side, price, qty in levels)
    folder.snapshots.mkdir(exist_ok=True)
    folder.snapshot(4, "initial").write_text(text if whole else text[:-4])
    return folder


def test_the_snapshot_that_a_crash_cut_off_its_event_is_adopted(tmp_path):
    """It is whole, and the ledger was waiting for it: the last messages get their frames."""
    folder = crashed_in_the_snapshot(tmp_path)
    result = repaired(folder)
    assert "snapshots/snapshot_4_initial.csv: an orphan, adopted" in result.mended
    assert "run R1, which had crashed, is closed" in result.mended
    (frame,) = table(folder.frames)
    assert (frame["last_update_id"], frame["bid2_qty"], frame["epoch_id"]) == ("104", "1.5", "1")
    assert details(folder, "crash_recovered") == [{"previous_run_id": "R1"}]
    assert_mended(folder)


@pytest.mark.parametrize("trouble", [{"whole": False}, {"last_id": 50}], ids=["torn", "too old"])
def test_a_snapshot_that_is_no_book_is_not_adopted(tmp_path, trouble):
    """An orphan must not become a silently wrong book."""
    folder = crashed_in_the_snapshot(tmp_path, **trouble)
    assert "snapshots/snapshot_4_initial.csv: an orphan, removed" in repaired(folder).mended
    assert rows(folder.frames)[1:] == []
    assert_mended(folder)


def quarantined(folder, messages):
    """Let a run of an older recorder, which did not understand them, keep *messages* raw among those it did."""
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.load("initial", 100)
    for at, message in enumerate(messages):
        scribe.writer.quarantine(scribe.tick(), "ws", "unknown field", json.dumps(message).encode())
        scribe.event("anomaly", kind="quarantined", stream="ws", reason="unknown field")
        scribe.trade(10 * (at + 1))
    scribe.gap("trade_gap", 11, 19)
    scribe.event("run_stop", reason="SIGTERM")
    scribe.writer.seal()
    scribe.writer.close()


def depth(first, last):
    ms = 1_767_600_001_000
    update = {"e": "depthUpdate", "E": ms, "s": "SIMUSDT", "U": first, "u": last, "b": [["99.99", "7"]], "a": []}
    return {"stream": "simusdt@depth@100ms", "data": update}


def print_of(trade_id):
    ms = 1_767_600_001_000
    told = {"e": "trade", "E": ms, "s": "SIMUSDT", "t": trade_id, "p": "100.01", "q": "2", "T": ms, "m": False}
    return {"stream": "simusdt@trade", "data": told}


def test_what_can_be_read_now_comes_to_its_place(tmp_path):
    """Under the number it arrived with, between its neighbours; its frame is made, and the ledger tells of it."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    quarantined(folder, [depth(101, 102), print_of(15)])
    seqs = [msgspec.json.decode(line)["recv_seq"] for line in rows(folder.quarantine)]
    assert check_day(folder).ok
    result = repaired(folder)
    assert result.mended[0] == "quarantine: 2 messages that can be read now are in their files"
    (diff,) = [msgspec.json.decode(line) for line in rows(folder.diffs)]
    assert (diff["recv_seq"], diff["run_id"], diff["U"], diff["u"]) == (seqs[0], "R1", 101, 102)
    trades = table(folder.trades)
    assert [(row["trade_id"], row["source"]) for row in trades] == [("10", "ws"), ("15", "ws"), ("20", "ws")]
    assert (trades[1]["recv_seq"], trades[1]["qty"]) == (str(seqs[1]), "2")
    (frame,) = table(folder.frames)
    assert (frame["recv_seq"], frame["bid1_qty"]) == (str(seqs[0]), "7")
    assert not folder.quarantine.exists()
    assert [told["stream"] for told in details(folder, "anomaly") if told["kind"] == "reread"] == ["depth", "trade"]
    assert_mended(folder)


def test_what_still_cannot_be_read_or_has_no_place_stays(tmp_path):
    """A trade behind a later one, another symbol's message, and bytes that are nothing."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    other = depth(103, 103)
    other["data"]["s"] = "OTHER"
    quarantined(folder, [print_of(3), {"x": 1}, print_of(5), other])
    before = tree(folder)
    result = repaired(folder)
    placed = [row["trade_id"] for row in table(folder.trades)]
    assert placed == ["3", "10", "20", "30", "40"]
    assert len(rows(folder.quarantine)) == 3
    assert result.changed
    assert tree(folder) != before
    assert_mended(folder)


def test_a_crashed_day_is_closed_and_sealed(tmp_path):
    """A day whose recorder was killed, and never started again, becomes one that can be proved whole."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.load("initial", 100)
    scribe.diff(101, 101, [("99.99", "9")])
    scribe.writer.close()
    result = repaired(folder)
    assert result.mended == ["run R1, which had crashed, is closed", "sealed"]
    assert kinds(folder) == ["run_start", "crash_recovered", "run_stop"]
    assert read_manifest(folder).runs == ["R1", "FIX"]
    assert_mended(folder)


def test_a_manifest_and_a_schema_that_are_no_json_are_made_anew(recorded_day):
    """They say nothing that the rows do not say."""
    recorded_day.manifest.write_text("{")
    recorded_day.schema.write_text("[")
    assert repaired(recorded_day).changed
    assert json.loads(recorded_day.schema.read_text())["top_n"] == 3
    assert_mended(recorded_day)


def test_what_cannot_be_mended_is_left_and_named(recorded_day):
    """A falsified ledger is no torn tail: the raw data do not allow to guess."""
    text = recorded_day.events.read_text()
    recorded_day.events.write_text(text.replace("window_start", "window_stort", 1))
    result = repaired(recorded_day)
    assert [defect.kind for defect in result.after.defects if defect.kind != "manifest"] == ["event"]


def test_a_file_that_was_altered_is_not_sealed_as_if_nothing_were(recorded_day):
    """Its bytes are not those that were recorded, and nothing can tell which were right: the ledger keeps that."""
    text = recorded_day.trades.read_text()
    recorded_day.trades.write_text(text.replace(",0.5,", ",0.6,", 1))
    result = repaired(recorded_day)
    assert (result.changed, [defect.kind for defect in result.after.defects]) == (False, ["manifest"])
    recorded_day.frames.unlink()
    assert repaired(recorded_day).changed
    (told,) = [told for told in details(recorded_day, "anomaly") if told["kind"] == "altered"]
    assert told["path"] == recorded_day.trades.name


def test_a_gaps_file_is_written_again_from_the_ledger(recorded_day):
    """It only repeats what stands there."""
    whole = rows(recorded_day.gaps)
    recorded_day.gaps.write_bytes(b"\n".join(whole[:2]) + b"\n")
    assert repaired(recorded_day).changed
    assert set(whole) <= set(rows(recorded_day.gaps))
    assert_mended(recorded_day)


def test_a_day_that_is_being_recorded_is_not_touched(recorded_day):
    """A repair must not race a recorder."""
    before = tree(recorded_day)
    with DayWriter(recorded_day, "LIVE", top_n=3):
        during = tree(recorded_day)
        with pytest.raises(TryLater):
            repaired(recorded_day)
        assert tree(recorded_day) == during
    assert before != during


def test_no_space_for_the_copy_leaves_the_day_as_it_was(recorded_day, monkeypatch):
    """The work is done beside; nothing half-mended is ever in the place of the day."""
    recorded_day.frames.unlink()
    before = tree(recorded_day)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mm.dayfolder.repair_ledger.DayWriter", full)
    with pytest.raises(OSError, match="No space"):
        repaired(recorded_day)
    assert tree(recorded_day) == before
    assert sorted(path.name for path in recorded_day.path.parent.iterdir()) == [recorded_day.day]


def test_a_repair_that_was_killed_is_finished_by_the_next(recorded_day, monkeypatch):
    """Between two renames the day is not sealed, and nothing is lost."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.unlink()
    os.truncate(recorded_day.trades, recorded_day.trades.stat().st_size - 5)
    moved = []

    def killed(work, folder):
        from mm.dayfolder import repair

        repair._unseal(folder)
        work.trades.replace(folder.trades)
        moved.append(True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mm.dayfolder.repair._publish", killed)
        with pytest.raises(KeyboardInterrupt):
            repaired(recorded_day)
    assert moved
    assert not check_day(recorded_day).sealed
    repaired(recorded_day, "FIX2")
    assert recorded_day.frames.read_bytes() == frames
    assert_mended(recorded_day)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """No folder is made where one is missing."""
    with pytest.raises(MissingDay):
        repaired(DayFolder(tmp_path, "SIMUSDT", "20260105"))
    assert not list(tmp_path.iterdir())


def test_levels_that_were_left_out_are_left_out_again(tmp_path):
    """Old orders off the tick, deep in the book: the day is sound, and its frames can be written again."""
    desk = BookDesk(tmp_path, tick_e8=10_000_000)
    old = [*captured.BIDS, ["50.05", "1"]]
    desk.take(captured.snapshot(10, old), captured.diff(11, 11, [["50.05", "2"]]))
    folder = desk.take(captured.diff(12, 12, [["50.05", "0"], ["99.90", "7.5"]])).close()
    folder.instrument.write_text(to_exchange_info(Instrument(folder.symbol, 10_000_000, 1_000)))
    repaired(folder)
    frames = folder.frames.read_bytes()
    assert len(frames.splitlines()) == 3
    assert check_day(folder).defects == []
    folder.frames.unlink()
    assert repaired(folder, "AGAIN").changed
    assert folder.frames.read_bytes() == frames


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """A day of one run: a start, a gap and its resync, trades that are missing, an end."""
    folder = DayFolder(tmp_path_factory.mktemp("one"), "SIMUSDT", "20260105")
    scribe = Scribe(folder, "R1", 1_767_600_000_000_000)
    scribe.event("window_start")
    scribe.event("snapshot_request", attempt=1)
    scribe.diff(99, 101, frame=False)
    scribe.load("initial", 101)
    scribe.diff(102, 102, [("99.99", "4")])
    scribe.trade(1)
    scribe.diff(110, 110, frame=False)
    scribe.gap("gap", 103, 109)
    scribe.writer.gap(scribe.tick(), "resync_start", scribe.epoch, {"cause": "gap"})
    scribe.event("snapshot_request", attempt=1)
    scribe.trade(5)
    scribe.gap("trade_gap", 2, 4)
    scribe.load("resync", 110)
    scribe.event("resync_done", last_update_id=110)
    scribe.diff(111, 111, [("99.98", "8")])
    scribe.trade(6)
    scribe.diff(112, 113, [("99.97", "1")])
    scribe.event("run_stop", reason="SIGTERM")
    scribe.writer.seal()
    scribe.writer.close()
    return folder


@pytest.mark.parametrize("kept", range(2, 12))
@pytest.mark.parametrize("torn", [0, 9])
def test_the_end_of_the_ledger_is_restored_from_the_other_files(one_run, tmp_path, kept, torn):
    """Every frame comes back, and what the gaps file and the snapshots repeat stands where it stood."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(one_run.path, folder.path)
    assert check_day(folder).defects == []
    lines = folder.events.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    folder.events.write_bytes(b"".join(lines[:kept]) + lines[kept][:torn])
    frames, before = folder.frames.read_bytes(), table(one_run.events)
    repaired(folder)
    assert folder.frames.read_bytes() == frames
    after = {row["event_id"]: row for row in table(folder.events) if row["run_id"] == "R1"}
    for row in before:
        if row["type"] in ("gap", "trade_gap", "resync_start", "snapshot_loaded") or int(row["event_id"]) < kept:
            again = after[row["event_id"]]
            assert [again[name] for name in ("recv_seq", "type", "epoch_id", "details_json")] == [
                row[name] for name in ("recv_seq", "type", "epoch_id", "details_json")
            ]
    assert_mended(folder)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_ledger_that_is_cut_anywhere_is_mended_where_it_has_a_row(one_run, tmp_path_factory, data):
    """Without any row nothing says which runs there were: the rows are kept, and the check goes on to say so."""
    folder = DayFolder(tmp_path_factory.mktemp("cut"), "SIMUSDT", "20260105")
    shutil.copytree(one_run.path, folder.path)
    lines = folder.events.read_bytes().splitlines(keepends=True)
    cut = data.draw(st.integers(0, sum(map(len, lines)) - 1))
    os.truncate(folder.events, cut)
    diffs, trades = rows(folder.diffs), rows(folder.trades)
    result = repaired(folder)
    assert (rows(folder.diffs), rows(folder.trades)) == (diffs, trades)
    if cut >= len(lines[0]) + len(lines[1]):
        assert rows(folder.frames) == rows(one_run.frames)
        assert_mended(folder)
    else:
        assert not result.after.ok


@pytest.mark.parametrize("torn", [0, 3, 20, 60])
@pytest.mark.parametrize("at", range(1, 12))
def test_a_row_of_the_ledger_that_is_torn_amid_the_others_is_taken_out_and_named(one_run, tmp_path, at, torn):
    """It once ended the repair with a TypeError; every row of data stays, and the check names the number that lacks."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    shutil.copytree(one_run.path, folder.path)
    lines = folder.events.read_bytes().splitlines()
    lines[at] = lines[at][:torn]
    folder.events.write_bytes(b"\n".join(lines) + b"\n")
    diffs, trades = rows(folder.diffs), rows(folder.trades)
    result = repaired(folder)
    assert (rows(folder.diffs), rows(folder.trades)) == (diffs, trades)
    if not result.after.ok:
        assert {defect.file for defect in result.after.defects} <= {folder.events.name, folder.gaps.name}
