"""Driving the sync engine over stretches must say what driving it over every id says."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.sync_engine import SyncEngine, Verdict
from mm.tape.files import FileRead
from mm.tape.findings import Findings
from mm.tape.sync import DayOrder, EpochChange, sync_diffs
from mm.tape.tables import Snapshot, Steps, Stream


def stream(ids):
    """A stream of depth messages with these (first, last) ids."""
    count = len(ids)
    numbers = np.arange(count)
    first, last = np.array(ids, np.int64).reshape(-1, 2).T.copy()
    return Stream(
        read=FileRead(Path("d.csv"), 0, ""),
        steps=Steps(1, 1),
        recv_us=numbers,
        recv_seq=numbers,
        run=numbers,
        exchange_us=numbers,
        runs=(),
        start=numbers,
        end=numbers,
        rows=[],
        first_id=first,
        last_id=last,
        repeats=np.zeros(count, bool),
    )


def one_by_one(ids, changes, snapshot_ids):
    """Return (applied, found) as the engine gives them, given every message."""
    engine, applied, found = SyncEngine(), [], []
    for at in range(len(ids) + 1):
        for change in (change for change in changes if change.key == at):
            if change.kind == "snapshot":
                bridge = engine.snapshot(snapshot_ids[change.snapshot])
                if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                    found.append((at, "snapshot", bridge.updates))
                continue
            if engine.synced:
                found.append((at, change.kind, ()))
                engine.lose()
            if change.kind == "run":
                engine = SyncEngine()
        if at < len(ids):
            synced = engine.synced
            if engine.diff(*ids[at], at) is Verdict.APPLY:
                applied.append(at)
            elif synced and not engine.synced:
                found.append((at, "gap", ()))
    return applied, found


@st.composite
def days(draw):
    """Ids that mostly follow one another, and epoch changes among them."""
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
def test_whole_stretches_are_synced_as_every_id_is(day):
    """Half a million calls a day become a handful, and nothing else changes."""
    ids, changes, snapshot_ids = day
    order = DayOrder(np.empty(0, np.int64), np.arange(len(ids)), np.empty(0, np.int64), (), by_time=False)
    read, empty = FileRead(Path("s.csv"), 0, ""), np.empty(0, np.int64)
    snapshots = [Snapshot(read, Steps(1, 1), "initial", one, (empty, empty, empty, 1, 1)) for one in snapshot_ids]
    findings = Findings()
    synced = sync_diffs(stream(ids), order, changes, snapshots, findings)
    applied, found = one_by_one(ids, changes, snapshot_ids)
    assert synced.applied().tolist() == applied
    assert [(change.key, change.kind, used) for change, used in synced.changes] == found
    counted = sum(findings.counts.values()) - findings.counts["snapshots_unused"]
    assert counted == len(ids) - len(applied)
