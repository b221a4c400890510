"""How late a tape is as of each event equals what a live market shows, message by message."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mm.instrument import Instrument
from mm.market_data.lateness import UNKNOWN_US, Lateness
from mm.tape.columns import DEPTH, TRADE, ClockReading
from mm.tape.lateness import lateness
from mm.tape.tape import Tape

GRID = Instrument("BTCUSDT", 1_000_000, 1_000)
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["depth", "trade", "gap", "snapshot", "reading"]),
        st.integers(0, 2_000_000),  # since the event before
        st.one_of(st.just(None), st.integers(-500_000, 7_000_000)),  # late, before the offset
    ),
    max_size=40,
)


def made(messages, offset_us):
    """Return a tape of *messages*, and what a live market said of each of its events."""
    events, exch_us, seqs, readings, live = [], [], [], [], []
    us, seq, late = 10**9, 0, {strict: Lateness(strict=strict) for strict in (False, True)}
    for kind, after_us, late_us in [("snapshot", 0, None), *messages]:
        us, seq = us + after_us, seq + 1
        if kind == "reading":
            readings.append(ClockReading(seq, offset_us - after_us // 10))
            for one in late.values():
                one.measured(readings[-1].least_us)
            continue
        stamp_us = 0 if late_us is None or kind not in ("depth", "trade") else us - offset_us - late_us
        if kind in ("depth", "snapshot"):
            if kind == "depth" and events and events[-1][1] == "gap":
                events.append((us, "snapshot", [(100, 1)], [(101, 1)]))
                exch_us.append(0)
                seqs.append(seq)
                live.append({strict: one.late_us for strict, one in late.items()})
                seq += 1
            events.append((us, kind, [(100, seq)], [(101, 1)]))
        else:
            events.append((us, kind, 1, 101, 1) if kind == "trade" else (us, kind))
        for one in late.values():
            if kind in ("depth", "trade"):
                getattr(one, kind)(us, stamp_us)
        exch_us.append(stamp_us)
        seqs.append(seq)
        live.append({strict: one.late_us for strict, one in late.items()})
    tape = Tape.of(GRID, events)
    columns = {"event_exch_us": np.array(exch_us), "recv_seq": np.array(seqs)}
    return replace(tape, **columns, meta=replace(tape.meta, clock=tuple(readings))), live


@given(MESSAGES, st.integers(-2_000_000, 2_000_000))
def test_a_tape_is_as_late_as_its_market_was(messages, offset_us):
    """Measurements in between, unknown stamps, gaps and trades included."""
    tape, live = made(messages, offset_us)
    for strict in (False, True):
        found = lateness(tape, strict=strict)
        expected = [late[strict] for late in live]
        assert (expected == [0] * len(tape)) if found is None else (found.tolist() == expected)


def test_a_message_that_waited_for_a_snapshot_counts_at_its_place():
    """It was applied after the measurement, though it has an earlier number; a trade fetched later has a later one."""
    events = [
        (10, "snapshot", [(100, 1)], [(101, 1)]),
        (10, "depth", [(100, 2)], []),
        (20, "trade", 1, 101, 1),
        (30, "depth", [(100, 3)], []),
    ]
    tape = Tape.of(GRID, events)
    tape = replace(tape, event_exch_us=np.array([0, 4, 20, 22]), recv_seq=np.array([7, 5, 99, 8]))
    tape = replace(tape, meta=replace(tape.meta, clock=(ClockReading(6, 0), ClockReading(50, -(10**6)))))
    assert [kind for kind in tape.kind.tolist() if kind in (DEPTH, TRADE)] == [DEPTH, TRADE, DEPTH]
    assert lateness(tape).tolist() == [0, 6, 6, 8]
    assert lateness(replace(tape, meta=replace(tape.meta, clock=())), strict=True).tolist() == [UNKNOWN_US] * 4
