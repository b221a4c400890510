"""Driving the sync engine over stretches must say what driving it over every id says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm.market_data.sync_engine import SyncEngine, Verdict
from mm.tape.inflate import FileRead
from mm.tape.ordering import Keys
from mm.tape.settle import Mark, settle_diffs
from mm.tape.tables import Steps, Stream


def stream(ids):
    """A stream of depth messages with these (first, last) ids."""
    count = len(ids)
    numbers = np.arange(count)
    first, last = np.array(ids, np.int64).reshape(-1, 2).T.copy()
    return Stream(
        read=FileRead(None, 0, ""),
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


def one_by_one(ids, marks, snapshot_ids):
    """Return (applied, turns) as the engine gives them, asked about every message."""
    engine, applied, turns = SyncEngine(), [], []
    for at in range(len(ids) + 1):
        for mark in (mark for mark in marks if mark.key == at):
            if mark.kind == "snapshot":
                bridge = engine.snapshot(snapshot_ids[mark.snapshot])
                if bridge.verdict in (Verdict.APPLY, Verdict.RESET):
                    turns.append((at, "snapshot", bridge.updates))
                continue
            if engine.synced:
                turns.append((at, mark.kind, ()))
                engine.lose()
            if mark.kind == "run":
                engine = SyncEngine()
        if at < len(ids):
            synced = engine.synced
            if engine.diff(*ids[at], at) is Verdict.APPLY:
                applied.append(at)
            elif synced and not engine.synced:
                turns.append((at, "gap", ()))
    return applied, turns


@st.composite
def days(draw):
    """Ids that mostly follow one another, and marks among them."""
    last, ids = draw(st.integers(0, 5_000)), []
    for _ in range(draw(st.integers(0, 40))):
        first = last + draw(st.sampled_from((1,) * 12 + (0, -1, -4, 2, 7, -3_000, 2_000_000)))
        last = first + draw(st.sampled_from((0, 0, 1, 3, -1)))
        ids.append((first, last))
    snapshots = draw(st.lists(st.tuples(st.integers(0, len(ids)), st.integers(-4, 4)), max_size=4))
    known = [0, *(last for _, last in ids)]
    snapshot_ids = [known[at] + off for at, off in snapshots]
    marks = [Mark(at, at, at, "snapshot", number) for number, (at, _) in enumerate(snapshots)]
    others = draw(st.lists(st.tuples(st.integers(0, len(ids)), st.sampled_from(("gap", "run"))), max_size=3))
    marks += [Mark(at, at, at, kind) for at, kind in others]
    return ids, sorted(marks, key=lambda mark: mark.key), snapshot_ids


@given(days())
def test_whole_stretches_are_settled_as_every_id_is(day):
    """Half a million calls a day become a handful, and nothing else changes."""
    ids, marks, snapshot_ids = day
    keys = Keys(np.empty(0, np.int64), np.arange(len(ids)), np.empty(0, np.int64), (), by_time=False)
    settled = settle_diffs(stream(ids), keys, marks, snapshot_ids)
    applied, turns = one_by_one(ids, marks, snapshot_ids)
    assert settled.applied_at().tolist() == applied
    assert [(mark.key, mark.kind, waiting) for mark, waiting in settled.turns] == turns
