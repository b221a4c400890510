"""The event types of the ledger and their keys."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.dayfolder.layout import EVENT_COLUMNS, GAP_COLUMNS
from mm.dayfolder.ledger import EVENT_KEYS, LedgerWriter

GAP = {"from_id": 5, "to_id": 9, "from_us": 1, "to_us": 2, "cause": 'silence, "lost"\nlines'}


def make():
    events, gaps = [], []
    return events, gaps, LedgerWriter(events.append, gaps.append, "R1", 7)


def read(columns, lines):
    return [dict(zip(columns, row, strict=True)) for row in csv.reader(io.StringIO("".join(lines)))]


@pytest.mark.parametrize("kind", EVENT_KEYS)
def test_event_type_accepts_exactly_its_keys(kind):
    """The keys of the details are part of the contract; only `anomaly` accepts additional ones."""
    events, _, ledger = make()
    details = dict.fromkeys(EVENT_KEYS[kind])
    assert ledger.event(1_500, 3, kind, 1, details) == 7
    assert json.loads(read(EVENT_COLUMNS, events)[0]["details_json"]) == details
    if kind == "anomaly":
        ledger.event(1_500, 3, kind, 1, {**details, "U": 1})
    else:
        with pytest.raises(ValueError, match=f"event {kind} has"):
            ledger.event(1_500, 3, kind, 1, {**details, "extra": 1})
    for key in details:
        with pytest.raises(ValueError, match=key):
            ledger.event(1_500, 3, kind, 1, {k: v for k, v in details.items() if k != key})


def test_unknown_event_type_is_rejected():
    """An unknown type raises, and nothing is written."""
    events, _, ledger = make()
    with pytest.raises(ValueError, match="'hiccup' is not an event type"):
        ledger.event(1, 1, "hiccup", 0, {})
    assert (events, ledger.next_event_id) == ([], 7)


def test_gap_is_written_to_both_files_with_same_recv_seq():
    """The gaps file can be joined with the ledger by recv_seq."""
    events, gaps, ledger = make()
    assert ledger.gap(1_999, 12, "gap", 2, GAP) == 7
    assert read(EVENT_COLUMNS, events) == [
        {
            "event_id": "7",
            "recv_time_ms": "1",
            "recv_seq": "12",
            "run_id": "R1",
            "type": "gap",
            "epoch_id": "2",
            "details_json": json.dumps(GAP, separators=(",", ":")),
            "recv_time_us": "1999",
        }
    ]
    assert read(GAP_COLUMNS, gaps)[0]["recv_seq"] == "12"
    assert json.loads(read(GAP_COLUMNS, gaps)[0]["details"]) == GAP
    assert ledger.next_event_id == 8


def test_gap_without_gaps_file_is_written_to_ledger():
    """With WRITE_GAPS=0 the ledger still contains the gap."""
    events = []
    LedgerWriter(events.append, None, "R1", 1).gap(1, 1, "gap", 0, GAP)
    assert len(events) == 1


@given(st.text(), st.integers())
def test_quoting_preserves_any_text(cause, code):
    """Close reasons are arbitrary text; a row is always one line, and the text one field."""
    events, _, ledger = make()
    try:
        cause.encode()
    except UnicodeEncodeError:
        return
    ledger.event(1, 1, "ws_disconnected", 0, {"conn": 1, "code": code, "reason": cause})
    assert events[0].count("\n") == 1
    assert json.loads(read(EVENT_COLUMNS, events)[0]["details_json"])["reason"] == cause
