"""Rows of a damaged day: whole ones are kept, frames are written again, the quarantine is read again."""

import base64
import gzip
import json
import os
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mended_days import assert_mended, details, kinds, repaired, rows, table, tree

import captured
from mm.dayfolder.check import check_day
from mm.dayfolder.day_writer import DayWriter
from mm.dayfolder.layout import DayFolder
from mm.dayfolder.rows import Stamp
from mm.instrument import Instrument
from scribe import Scribe


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
    """The ledger records what was cut, and the time span that it may have covered."""
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
    """Good messages follow it: they stay, and the ids of the bad one are a gap."""
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
    """The last member is only torn: the part before the end is intact."""
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
    """Under its original number, between its neighbours; its frame is made, and the ledger records it."""
    folder = DayFolder(tmp_path, "SIMUSDT", "20260105")
    quarantined(folder, [depth(101, 102), print_of(15)])
    seqs = [msgspec.json.decode(line)["recv_seq"] for line in rows(folder.quarantine)]
    assert check_day(folder).ok
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


def test_levels_that_an_older_recorder_left_out_are_left_out_again(tmp_path):
    """Old orders off the tick, deep in the book: the day is sound, and its frames can be written again."""
    folder, us = captured.folder(tmp_path), captured.NOON_US
    with DayWriter(folder, "R1", top_n=3, instrument=Instrument(folder.symbol, 10_000_000, 1_000)) as writer:
        for kind, told in (("run_start", {"version": "0", "knobs": {}}), ("window_start", {})):
            writer.event(us, kind, 0, told)
        writer.snapshot(us, "initial", 10, captured.BIDS, captured.ASKS, 1)
        for last_id, qty in ((11, "2"), (12, "3")):
            seq = writer.diff(us, us, last_id, last_id, [["50.05", qty]], [])
            left_out = {"price": "50.05", "last_id": last_id, "left_out": [["bid", "50.05", qty]]}
            writer.event(us, "anomaly", 1, {"kind": "off_tick", **left_out})
            writer.frame(Stamp(us, seq, us, last_id), 1, captured.BIDS, captured.ASKS)
        writer.event(us, "window_end", 1, {})
        writer.event(us, "run_stop", 1, {"reason": "end"})
    repaired(folder)
    frames = folder.frames.read_bytes()
    assert len(frames.splitlines()) == 3
    assert check_day(folder).defects == []
    folder.frames.unlink()
    assert repaired(folder, "AGAIN").changed
    assert folder.frames.read_bytes() == frames
