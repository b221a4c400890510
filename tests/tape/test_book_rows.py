"""Book rows packed into 8 bytes equal the rows of the tape without its trades."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given

from engine_tapes import TEST, tapes
from mm.tape import book_rows as packing
from mm.tape.book_rows import KEPT, TOO_LARGE, book_rows
from mm.tape.tape import TRADE, Tape

EVENTS = [
    (1_000, "snapshot", [(99, 5), (98, 1)], [(101, 5)]),
    (1_050, "depth", [(98, 4), (99, 0)], []),
    (1_060, "trade", -1, 98, 4),
    (1_070, "depth", [], []),
    (1_070, "keyframe"),
    (1_080, "gap"),
]


def unpacked(rows, event):
    """Return the rows of an event as (side, ticks, lots)."""
    of_event = rows.row[rows.begin[event] : rows.begin[event + 1]].tolist()
    return [(1 if row & 1 else -1, (row & 0xFFFFFFFF) >> 1, row >> 32) for row in of_event]


def expected_rows(tape):
    """Return the book rows of each event of a tape."""
    return [[] if kind == TRADE else tape.rows(event) for event, kind in enumerate(tape.kind.tolist())]


@given(tapes(3))
def test_book_rows_match_tape_rows_except_trades(drawn):
    """Covers windows and any span of events."""
    for tape in drawn:
        rows = book_rows(tape)
        assert [unpacked(rows, event) for event in range(len(tape))] == expected_rows(tape)
        assert list(rows.faults()) == []
        with patch.object(packing, "SPAN", 2):
            assert all(np.array_equal(getattr(book_rows(tape), name), getattr(rows, name)) for name in KEPT)
        for stop in range(len(tape) + 1):
            part = rows.part(stop // 2, stop)
            assert [unpacked(part, event) for event in range(stop - stop // 2)] == expected_rows(tape)[stop // 2 : stop]
            assert part.kind.tolist() == tape.kind[stop // 2 : stop].tolist()


def test_book_rows_of_windows_and_finer_lots_match_tape():
    """Windows and finer lots have the rows of the corresponding tape."""
    tape = Tape.of(TEST, EVENTS).with_best(lambda: None, None, None, lambda: book_rows(tape)).kept_mapped()
    finer = tape.with_lot(TEST.lot_e8 // 4).kept_mapped()
    assert [unpacked(finer.book_rows, event) for event in range(len(finer))] == expected_rows(finer)
    window = tape.between(1_050, 1_075).kept_mapped()
    assert [unpacked(window.book_rows, event) for event in range(len(window))] == expected_rows(window)


@pytest.mark.parametrize(("ticks", "lots"), [(TOO_LARGE, 1), (1, TOO_LARGE)])
def test_book_rows_are_none_if_price_or_lots_are_too_large(ticks, lots):
    """The largest values that fit are kept exactly."""
    fits = max(ticks - 1, 1), max(lots - 1, 1)
    assert unpacked(book_rows(Tape.of(TEST, [(1_000, "snapshot", [fits], [])])), 0) == [(1, *fits)]
    assert book_rows(Tape.of(TEST, [(1_000, "snapshot", [(ticks, lots)], [])])) is None


def test_finer_book_rows_are_none_if_lots_are_too_large():
    rows = book_rows(Tape.of(TEST, [(1_000, "snapshot", [(99, 1 << 29)], [])]))
    assert unpacked(rows.in_lots(3), 0) == [(1, 99, 3 << 29)]
    assert rows.in_lots(4) is None


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("begin", [0, 9], "are not ascending from 0"),
        ("begin", [0, 3, 5, 5, 5, 7, 8], "are not ascending from 0"),
        ("begin", [0, 5, 3, 5, 5, 7, 7], "are not ascending from 0"),
        ("row", [1, 1, -1, 1, 1, 1, 1], "negative"),
    ],
)
def test_damaged_rows_are_reported(name, values, fault):
    """The content of a file is checked before a kernel reads it."""
    rows = book_rows(Tape.of(TEST, EVENTS))
    assert len(rows.row) == 7
    wrong = dataclasses.replace(rows, **{name: np.array(values)})
    assert any(fault in line for line in wrong.faults())
