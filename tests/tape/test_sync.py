"""The order of messages and the validity of the book; bulk sync compared with the sync engine."""

from pathlib import Path

import numpy as np
import pytest
from day_stories import (
    BOOK,
    PLAIN,
    START,
    at,
    diff,
    kinds,
    remove_columns,
    rewrite,
    snapshot,
    tape_events,
    trade,
    write_day,
)
from hypothesis import given
from hypothesis import strategies as st

from day_files import defects_of
from mm import load_day
from mm.markets.sequence import SyncEngine, Verdict
from mm.tape.columns import TRADE
from mm.tape.files import DiffStream, FileRead, FileSteps, Snapshot
from mm.tape.recorded import DayFindings
from mm.tape.sync import EpochChange, sync_diffs


def stream(ids):
    """Return a stream of depth messages with these (first, last) ids."""
    count = len(ids)
    numbers = np.arange(count)
    first, last = np.array(ids, np.int64).reshape(-1, 2).T.copy()
    return DiffStream(
        read=FileRead(Path("d.csv"), 0, ""),
        steps=FileSteps(1, 1),
        recv_us=numbers,
        recv_seq=numbers,
        run=numbers,
        exchange_us=numbers,
        runs=(),
        start=numbers,
        size=numbers,
        rows=(numbers.astype(np.int8), numbers, numbers),
        first_id=first,
        last_id=last,
        repeats=np.zeros(count, bool),
        key=numbers,
    )


def one_by_one(ids, changes, snapshot_ids):
    """Return (applied, found) from the sync engine, message by message."""
    engine, applied, found = SyncEngine(), [], []
    for place in range(len(ids) + 1):
        for change in (change for change in changes if change.key == place):
            if change.kind == "snapshot":
                bridge = engine.snapshot(snapshot_ids[change.snapshot])
                if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                    found.append((place, "snapshot", bridge.updates))
                continue
            if engine.synced:
                found.append((place, change.kind, ()))
                engine.lose()
            if change.kind == "run":
                engine = SyncEngine()
        if place < len(ids):
            synced = engine.synced
            if engine.diff(*ids[place], place) is Verdict.APPLY:
                applied.append(place)
            elif synced and not engine.synced:
                found.append((place, "gap", ()))
    return applied, found


@st.composite
def days(draw):
    """Draw mostly contiguous ids, and epoch changes among them."""
    last, ids = draw(st.integers(0, 5_000)), []
    for _ in range(draw(st.integers(0, 40))):
        first = last + draw(st.sampled_from((1,) * 12 + (0, -1, -4, 2, 7, -3_000, 2_000_000)))
        last = first + draw(st.sampled_from((0, 0, 1, 3, -1)))
        ids.append((first, last))
    snapshots = draw(st.lists(st.tuples(st.integers(0, len(ids)), st.integers(-4, 4)), max_size=4))
    known = [0, *(last for _, last in ids)]
    snapshot_ids = [known[at] + off for at, off in snapshots]
    changes = [EpochChange(at, at, at, "snapshot", number) for number, (at, _) in enumerate(snapshots)]
    others = draw(st.lists(st.tuples(st.integers(0, len(ids)), st.sampled_from(("gap", "run"))), max_size=3))
    changes += [EpochChange(at, at, at, kind) for at, kind in others]
    return ids, sorted(changes, key=lambda change: change.key), snapshot_ids


@given(days())
def test_bulk_sync_matches_sync_engine(day):
    """Bulk sync gives the same result with few calls per day."""
    ids, changes, snapshot_ids = day
    read, empty = FileRead(Path("s.csv"), 0, ""), np.empty(0, np.int64)
    snapshots = [
        Snapshot(read, FileSteps(1, 1), "initial", snapshot_id, (empty, empty, empty, 1, 1))
        for snapshot_id in snapshot_ids
    ]
    findings = DayFindings()
    synced = sync_diffs(stream(ids), changes, snapshots, findings)
    applied, found = one_by_one(ids, changes, snapshot_ids)
    assert np.flatnonzero(synced.applied).tolist() == applied
    assert [(change.key, change.kind, used) for change, used in synced.changes] == found
    counted = sum(findings.counts.values()) - findings.counts["snapshots_unused"]
    assert counted == len(ids) - len(applied)


def test_buffered_updates_follow_snapshot(tmp_path):
    """The buffered updates are applied at the time of the snapshot."""
    buffered = [diff(1, 8, 9), diff(1, 10, 11, [(98, 1)]), diff(1, 12, 12, [(97, 2)])]
    tape = load_day(write_day(tmp_path, [START, *buffered, snapshot(3, 10), diff(4, 13, 13, [], [(102, 1)])]))
    assert [(event[0], event[3], event[4]) for event in tape_events(tape)] == [
        (at(3), 10, "snapshot"),
        (at(3), 11, "depth"),
        (at(3), 12, "depth"),
        (at(4), 13, "depth"),
    ]


def test_missing_ids_invalidate_book_until_snapshot(tmp_path):
    """A book with missing updates would be wrong."""
    steps = [diff(6, 20, 21, [(98, 1)]), trade(7, 2), snapshot(8, 20, "resync"), diff(9, 22, 22)]
    tape = load_day(write_day(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "trade", "snapshot", "depth", "depth"]
    assert tape.meta.counts["gaps"] == 1
    (warning,) = tape.meta.warnings
    assert warning.startswith(str(tmp_path))
    assert "diffs/depth_diffs_" in warning
    assert "update ids are missing 1 times (recv_seq 7: U=20, u=21 after 13); the book is invalid" in warning


def test_resync_in_ledger_ends_book(tmp_path):
    """The recorder may have a reason that the ids do not show."""
    resync = ("event", at(6), "resync_start", 1, {"cause": "silence"})
    tape = load_day(write_day(tmp_path, [*PLAIN, resync, diff(7, 14, 14), snapshot(8, 14, "resync")]))
    assert kinds(tape)[4:] == ["gap", "snapshot"]
    assert tape.event_us[4] == at(6)


def test_book_ends_with_its_run(tmp_path):
    """The time between two runs is not recorded; the gap is at the last event of the first run."""
    second_run = [("event", at(50), "run_start", 0, {"version": "1", "knobs": {}}), snapshot(51, 40), diff(52, 41, 41)]
    tape = load_day(write_day(tmp_path, PLAIN, second_run))
    assert kinds(tape)[4:] == ["gap", "snapshot", "depth"]
    assert tape.event_us[4] == at(5)


def test_restarted_ids_invalidate_book(tmp_path):
    """After maintenance an exchange may restart its ids; such messages are not stale."""
    steps = [diff(6, 5_000_000, 5_000_001), snapshot(7, 5_000_001, "resync"), diff(8, 1, 2), snapshot(9, 2, "resync")]
    tape = load_day(write_day(tmp_path, [*PLAIN, *steps]))
    assert kinds(tape)[4:] == ["gap", "snapshot", "gap", "snapshot"]
    assert "reset its update ids 1 times" in " ".join(tape.meta.warnings)


def test_repeated_messages_are_skipped(tmp_path):
    """Repeated ids are skipped with a warning; stale ones before the first update without."""
    tape = load_day(write_day(tmp_path, [*PLAIN, diff(6, 11, 12, [(98, 9)]), diff(7, 13, 13), diff(8, 14, 14)]))
    assert kinds(tape)[4:] == ["depth"]
    assert tape.meta.counts == {"repeated_diffs": 2, "unsynced_diffs": 1}
    assert "ids of 2 depth messages are not increasing (recv_seq 7: U=11, u=12 after 13, " in tape.meta.warnings[0]
    ahead = load_day(write_day(tmp_path, [START, snapshot(1, 10), diff(2, 8, 9), diff(3, 10, 11)], day="20260106"))
    assert (ahead.meta.counts, ahead.meta.warnings) == ({"stale_diffs": 1}, ())


def test_repeated_trade_id_is_skipped(tmp_path):
    """A backfill may repeat trades of the stream."""
    again = ("trade", at(6), *trade(4, 1, source="rest")[2:])
    tape = load_day(write_day(tmp_path, [*PLAIN, again, trade(7, 2, maker=False, source="rest")]))
    assert tape.event_id[tape.trades].tolist() == [1, 2]
    assert tape.row_side[tape.trade_rows].tolist() == [-1, 1]
    assert tape.meta.counts["duplicate_trades"] == 1
    assert ".csv: 1 trades repeat the id of an earlier one (recv_seq 7: id 1) and" in tape.meta.warnings[0]


def test_resync_in_ledger_ends_book_of_frames(tmp_path):
    """The first frame after the gap is a snapshot, even if it equals the last frame before it."""
    frames = [("frame", (at(s), s + 1, at(s) // 1000, s), 1, *BOOK) for s in (1, 2, 4)]
    gap = ("event", at(3), "resync_start", 1, {"cause": "test"})
    folder = write_day(tmp_path, [START, *frames[:2], ("skip",), ("skip",), gap, frames[2]])
    folder.diffs.unlink()
    assert kinds(load_day(folder)) == ["snapshot", "gap", "snapshot"]


def test_day_without_recv_seq_is_ordered_by_receive_time(tmp_path):
    """At equal times, depth messages precede trades."""
    steps = [START, snapshot(2, 10), trade(4, 1), diff(3, 11, 12, [(98, 3)]), diff(4, 13, 13), trade(5, 2)]
    folder = write_day(tmp_path, steps)
    remove_columns(folder, "recv_seq", "recv_time_us", "recv_us", "source", "first_trade_id", "last_trade_id", "run_id")
    tape = load_day(folder)
    assert [(event[0], event[4]) for event in tape_events(tape)] == [
        (at(2), "snapshot"),
        (at(3), "depth"),
        (at(4), "depth"),
        (at(4), "trade"),
        (at(5), "trade"),
    ]
    assert "ordered by receive time" in tape.meta.warnings[0]


def test_snapshots_without_ledger_are_placed_by_their_ids(tmp_path):
    """Snapshots are used in the order of their names; an id gap still ends the book."""
    steps = [
        snapshot(1, 10),
        diff(2, 9, 10),
        diff(3, 11, 12),
        diff(4, 20, 21),
        diff(5, 22, 22),
        snapshot(6, 21, "resync"),
    ]
    folder = write_day(tmp_path, [START, *steps, diff(7, 23, 23)])
    folder.events.unlink()
    tape = load_day(folder)
    assert [(event[0], event[3], event[4]) for event in tape_events(tape)] == [
        (at(3), 10, "snapshot"),
        (at(3), 12, "depth"),
        (at(3), 0, "gap"),
        (at(5), 21, "snapshot"),
        (at(5), 22, "depth"),
        (at(7), 23, "depth"),
    ]


def test_rows_out_of_order_are_sorted_and_counted(tmp_path):
    """The order is that of recv_seq, not of the lines."""
    folder = write_day(tmp_path, [*PLAIN, trade(6, 2), trade(7, 3)])
    expected = tape_events(load_day(folder))

    def swapped(text):
        head, *rows = text.splitlines(keepends=True)
        return "".join([head, *reversed(rows)])

    rewrite(folder.trades, swapped)
    tape = load_day(folder)
    assert tape_events(tape) == expected
    assert tape.meta.counts["misplaced"] == 2
    assert ".csv: 2 messages are out of order in their file (recv_seq 7: id 2, " in tape.meta.warnings[0]


@pytest.mark.parametrize("name", ["time", "price", "quantity"])
def test_trade_with_the_id_of_another_is_a_defect_and_no_repetition(tmp_path, name):
    """The identity of a trade is its id, time, price and quantity; the first one is used."""
    rows = {
        "time": lambda cells: [*cells[:5], str(int(cells[5]) + 1), *cells[6:]],
        "price": lambda cells: [*cells[:6], "1.01", *cells[7:]],
        "quantity": lambda cells: [*cells[:7], "0.003", *cells[8:]],
    }
    folder = write_day(tmp_path, [*PLAIN, trade(6, 2), diff(7, 14, 14)])
    head, first, second = folder.trades.read_text().splitlines()
    same = second.split(",")
    same[2] = str(int(same[2]) + 2)
    folder.trades.write_text("\n".join([head, first, second, ",".join(same), ",".join(rows[name](same))]) + "\n")
    tape = load_day(folder)
    assert tape.event_id[tape.kind == TRADE].tolist() == [1, 2]
    assert (tape.meta.counts["duplicate_trades"], tape.meta.counts["contradicting_trades"]) == (1, 1)
    assert any("another time, price or quantity" in warning for warning in tape.meta.warnings)
    assert [defect.kind for defect in defects_of(folder)].count("trade_id") == 2
