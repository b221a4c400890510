"""Rows of books in 8 bytes are those of the tape, without its trades."""

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


def plain(tape):
    """Return those of each event of a tape."""
    return [[] if kind == TRADE else tape.rows(event) for event, kind in enumerate(tape.kind.tolist())]


@given(tapes(3))
def test_every_row_but_trades_is_there(drawn):
    """Of windows, too, whichever rows of the day stand before them; wherever a span of events ends."""
    for tape in drawn:
        rows = book_rows(tape)
        assert [unpacked(rows, event) for event in range(len(tape))] == plain(tape)
        assert list(rows.faults()) == []
        with patch.object(packing, "SPAN", 2):
            assert all(np.array_equal(getattr(book_rows(tape), name), getattr(rows, name)) for name in KEPT)
        for stop in range(len(tape) + 1):
            part = rows.part(stop // 2, stop)
            assert [unpacked(part, event) for event in range(stop - stop // 2)] == plain(tape)[stop // 2 : stop]
            assert part.kind.tolist() == tape.kind[stop // 2 : stop].tolist()


def test_windows_and_finer_lots():
    """Both are those of the tape's own."""
    tape = Tape.of(TEST, EVENTS).with_best(lambda: None, None, None, lambda: book_rows(tape)).staying()
    finer = tape.on_lot(TEST.lot_e8 // 4).staying()
    assert [unpacked(finer.book_rows, event) for event in range(len(finer))] == plain(finer)
    window = tape.between(1_050, 1_075).staying()
    assert [unpacked(window.book_rows, event) for event in range(len(window))] == plain(window)


@pytest.mark.parametrize(("ticks", "lots"), [(TOO_LARGE, 1), (1, TOO_LARGE)])
def test_a_tape_has_none_where_a_price_or_lots_are_too_large(ticks, lots):
    """The largest that fit keep their value."""
    fits = max(ticks - 1, 1), max(lots - 1, 1)
    assert unpacked(book_rows(Tape.of(TEST, [(1_000, "snapshot", [fits], [])])), 0) == [(1, *fits)]
    assert book_rows(Tape.of(TEST, [(1_000, "snapshot", [(ticks, lots)], [])])) is None


def test_lots_that_are_too_large_when_they_are_finer():
    rows = book_rows(Tape.of(TEST, [(1_000, "snapshot", [(99, 1 << 29)], [])]))
    assert unpacked(rows.in_lots(3), 0) == [(1, 99, 3 << 29)]
    assert rows.in_lots(4) is None


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("begin", [0, 9], "do not begin one after the other"),
        ("begin", [0, 3, 5, 5, 5, 7, 8], "do not begin one after the other"),
        ("begin", [0, 5, 3, 5, 5, 7, 7], "do not begin one after the other"),
        ("row", [1, 1, -1, 1, 1, 1, 1], "negative"),
    ],
)
def test_damaged_rows_are_named(name, values, fault):
    """What a file holds is checked before a kernel reads it."""
    rows = book_rows(Tape.of(TEST, EVENTS))
    assert len(rows.row) == 7
    wrong = dataclasses.replace(rows, **{name: np.array(values)})
    assert any(fault in line for line in wrong.faults())
