"""Repair of rows: whole rows are kept, frames are rebuilt, and the quarantine is read again."""

import base64
import gzip
import json
import os
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mended_days import assert_repaired, details, kinds, repaired, rows, table, tree

import captured
from day_files import RowWriter, defects_of
from mm import DayFolder
from mm.instrument import Instrument
from scribe import Scribe


def members(path):
    """Return the offsets of a file's gzip members, and the file's size."""
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
    """The day with one gzip member per depth message, as if each had been flushed separately."""
    lines = rows(recorded_day.diffs)
    recorded_day.diffs.write_bytes(b"".join(gzip.compress(line + b"\n", mtime=0) for line in lines))
    recorded_day.manifest.unlink()
    return recorded_day


def test_missing_frames_are_rebuilt_byte_for_byte(recorded_day):
    """Frames are a pure function of snapshots and depth messages."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.unlink()
    result = repaired(recorded_day)
    assert result.changed
    assert not result.before.ok
    assert recorded_day.frames.read_bytes() == frames
    assert kinds(recorded_day) == ["run_start", "run_stop"]
    assert_repaired(recorded_day)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:3] + lines[4:],
        lambda lines: lines[:1],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [line.replace(b"99.98", b"98.98") for line in lines],
        lambda lines: [lines[0], b"x,y", *lines[1:]],
        lambda lines: [lines[0][:-5], *lines[1:]],
    ],
    ids=["one deleted", "all deleted", "one twice", "one falsified", "one that is none", "header cut"],
)
def test_wrong_frames_are_rebuilt_byte_for_byte(recorded_day, damage):
    """Frames are rebuilt from the raw messages."""
    frames = recorded_day.frames.read_bytes()
    recorded_day.frames.write_bytes(b"\n".join(damage(frames.splitlines())) + b"\n")
    assert repaired(recorded_day).changed
    assert recorded_day.frames.read_bytes() == frames
    assert_repaired(recorded_day)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_file_cut_anywhere_is_repaired(pristine_day, tmp_path_factory, data):
    """Whole rows are kept, and the repaired day has no defects."""
    folder = DayFolder(tmp_path_factory.mktemp("cut"), "SIMUSDT", "20260105")
    shutil.copytree(pristine_day.path, folder.path)
    path = data.draw(st.sampled_from([folder.diffs, folder.trades, folder.frames, folder.gaps, folder.quarantine]))
    cut = data.draw(st.integers(0, path.stat().st_size - 1))
    whole = rows(path)
    os.truncate(path, cut)
    kept = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    result = repaired(folder)
    assert result.changed
    assert_repaired(folder)
    if path in (folder.diffs, folder.quarantine):
        remaining = rows(path) if path.exists() else []
    else:
        assert len(rows(path)) >= max(len(kept), 1)
        remaining = rows(path)
    if path == folder.frames:
        assert remaining == whole
    elif path != folder.gaps:
        assert remaining[: len(whole)] == whole[: len(remaining)] or path == folder.quarantine


def test_ledger_records_torn_tail_with_its_bytes(recorded_day):
    """The ledger records the removed bytes and the time that they may have covered."""
    size = recorded_day.trades.stat().st_size
    os.truncate(recorded_day.trades, size - 10)
    last = len(rows(recorded_day.trades)[-1])
    repaired(recorded_day)
    (event,) = details(recorded_day, "tail_recovered")
    assert (event["path"], event["bytes"]) == ("trades_ws_SIMUSDT_20260105.csv", last)
    assert 0 < event["lost_s"] < 60
    gap = details(recorded_day, "trade_gap")[-1]
    assert (gap["from_id"], gap["to_id"], gap["cause"]) == (9, 20, "damaged")
    assert_repaired(recorded_day)


def test_damaged_member_loses_only_its_own_rows(many_members):
    """Good messages after the damaged one are kept, and its ids become a gap."""
    whole, at = rows(many_members.diffs), members(many_members.diffs)
    data = bytearray(many_members.diffs.read_bytes())
    data[at[4] + 12 : at[5] - 4] = b"\xff" * (at[5] - at[4] - 16)
    many_members.diffs.write_bytes(data)
    frames = many_members.frames.read_bytes().splitlines()
    repaired(many_members)
    remaining = rows(many_members.diffs)
    assert remaining == whole[:4] + whole[5:]
    lost = msgspec.json.decode(whole[4])
    assert any(gap["from_id"] <= lost["U"] and lost["u"] <= gap["to_id"] for gap in details(many_members, "gap"))
    assert set(rows(many_members.frames)) <= set(frames)
    assert_repaired(many_members)


def test_lines_before_cut_within_member_are_kept(recorded_day):
    """The intact part of a torn last member is kept."""
    whole = rows(recorded_day.diffs)
    os.truncate(recorded_day.diffs, recorded_day.diffs.stat().st_size - 12)
    repaired(recorded_day)
    remaining = rows(recorded_day.diffs)
    assert remaining == whole[: len(remaining)]
    assert len(remaining) > len(whole) - 6
    assert_repaired(recorded_day)


def test_zeros_between_rows_are_removed(recorded_day):
    """A file system may leave zeros before the good rows of the next start."""
    lines = recorded_day.trades.read_bytes().splitlines(keepends=True)
    recorded_day.trades.write_bytes(b"".join(lines[:3]) + b"\0" * 4096 + b"\n" + b"".join(lines[3:]))
    whole = b"".join(lines)
    repaired(recorded_day)
    assert recorded_day.trades.read_bytes() == whole
    assert_repaired(recorded_day)


def test_unreadable_row_is_moved_to_quarantine(recorded_day):
    """Unreadable rows are not discarded."""
    lines = recorded_day.trades.read_bytes().splitlines()
    recorded_day.trades.write_bytes(b"\n".join([*lines[:2], b"not,a,trade", *lines[2:]]) + b"\n")
    repaired(recorded_day)
    kept = [msgspec.json.decode(line) for line in rows(recorded_day.quarantine)]
    assert base64.b64decode(kept[-1]["raw_base64"]) == b"not,a,trade"
    assert kept[-1]["stream"] == "repair"
    assert_repaired(recorded_day)


def record_quarantined(folder, messages):
    """Record a day whose *messages* were quarantined by an older recorder, between readable ones."""
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


def depth_message(first, last):
    ms = 1_767_600_001_000
    update = {"e": "depthUpdate", "E": ms, "s": "SIMUSDT", "U": first, "u": last, "b": [["99.99", "7"]], "a": []}
    return {"stream": "simusdt@depth@100ms", "data": update}


def trade_message(trade_id):
    ms = 1_767_600_001_000
    data = {"e": "trade", "E": ms, "s": "SIMUSDT", "t": trade_id, "p": "100.01", "q": "2", "T": ms, "m": False}
    return {"stream": "simusdt@trade", "data": data}


def test_quarantined_messages_readable_now_are_moved_to_files(tmp_path):
    """Messages keep their recv_seq and order; frames are built, and the ledger records the change."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    record_quarantined(folder, [depth_message(101, 102), trade_message(15)])
    seqs = [msgspec.json.decode(line)["recv_seq"] for line in rows(folder.quarantine)]
    assert not defects_of(folder)
    result = repaired(folder)
    assert result.repairs[0] == "quarantine: 2 messages that can be read now are in their files"
    (diff,) = [msgspec.json.decode(line) for line in rows(folder.diffs)]
    assert (diff["recv_seq"], diff["run_id"], diff["U"], diff["u"]) == (seqs[0], "R1", 101, 102)
    trades = table(folder.trades)
    assert [(row["trade_id"], row["source"]) for row in trades] == [("10", "ws"), ("15", "ws"), ("20", "ws")]
    assert (trades[1]["recv_seq"], trades[1]["qty"]) == (str(seqs[1]), "2")
    (frame,) = table(folder.frames)
    assert (frame["recv_seq"], frame["bid1_qty"]) == (str(seqs[0]), "7")
    assert not folder.quarantine.exists()
    assert [event["stream"] for event in details(folder, "anomaly") if event["kind"] == "reread"] == ["depth", "trade"]
    assert_repaired(folder)


def test_unreadable_messages_stay_in_quarantine(tmp_path):
    """An unknown message, an out-of-order trade and another symbol's message remain; a fitting trade is moved."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    other = depth_message(103, 103)
    other["data"]["s"] = "OTHER"
    record_quarantined(folder, [trade_message(3), {"x": 1}, trade_message(5), other])
    before = tree(folder)
    result = repaired(folder)
    placed = [row["trade_id"] for row in table(folder.trades)]
    assert placed == ["3", "10", "20", "30", "40"]
    assert len(rows(folder.quarantine)) == 3
    assert result.changed
    assert tree(folder) != before
    assert_repaired(folder)


def test_rebuilt_frames_omit_levels_left_out_by_recorder(tmp_path):
    """Levels off the tick, deep in the book: the day is sound, and its frames can be rebuilt."""
    folder, us = captured.folder(tmp_path), captured.NOON_US
    with RowWriter(folder, "R1", top_n=3, instrument=Instrument(folder.symbol, 10_000_000, 1_000)) as writer:
        for kind, details_of_event in (("run_start", {"version": "0", "knobs": {}}), ("window_start", {})):
            writer.event(us, kind, 0, details_of_event)
        writer.snapshot(us, "initial", 10, captured.BIDS, captured.ASKS, 1)
        for last_id, qty in ((11, "2"), (12, "3")):
            seq = writer.diff(us, us, last_id, last_id, [["50.05", qty]], [])
            left_out = {"price": "50.05", "last_id": last_id, "left_out": [["bid", "50.05", qty]]}
            writer.event(us, "anomaly", 1, {"kind": "off_tick", **left_out})
            writer.frame((us, seq, us, last_id), 1, captured.BIDS, captured.ASKS)
        writer.event(us, "window_end", 1, {})
        writer.event(us, "run_stop", 1, {"reason": "end"})
    repaired(folder)
    frames = folder.frames.read_bytes()
    assert len(frames.splitlines()) == 3
    assert defects_of(folder) == []
    folder.frames.unlink()
    assert repaired(folder, "AGAIN").changed
    assert folder.frames.read_bytes() == frames
