"""The changes of each level match a replay of the book event by event."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given

from engine_tapes import TEST, tapes
from mm import Tape
from mm.tape import columns
from mm.tape import level_changes as index
from mm.tape.level_changes import LevelIndex, level_changes
from mm.tape.tape import GAP, KEYFRAME, SNAPSHOT, TRADE

EVENTS = [
    (1_000, "snapshot", [(99, 5), (98, 1)], [(101, 5)]),
    (1_050, "depth", [(98, 4), (99, 0)], []),
    (1_060, "trade", -1, 98, 4),
    (1_070, "keyframe"),
    (1_080, "gap"),
    (1_090, "snapshot", [(99, 7)], [(101, 2)]),
]


def of_level(found: LevelIndex, side: int, ticks: int) -> list[tuple[int, int]]:
    """Return event and lots of the changes of one level."""
    pages = found.page.tolist()
    if ticks // 256 not in pages:
        return []
    level = 2 * (256 * pages.index(ticks // 256) + ticks % 256) + (side > 0)
    place = slice(*found.begin[level : level + 2].tolist())
    return found.change[place].tolist()


def expected_changes(tape: Tape) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the changes of every level, row by row."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event, kind in enumerate(tape.kind.tolist()):
        if kind == TRADE or (kind == KEYFRAME and event):
            continue
        for row in range(tape.first_row[event], tape.first_row[event + 1]):
            level = int(tape.row_side[row]), int(tape.row_ticks[row])
            found.setdefault(level, []).append((event, int(tape.row_lots[row])))
    return found


@pytest.mark.slow
@given(tapes(3))
def test_level_changes_match_rows_of_tape(drawn):
    """Changes are in order of time and contain no trades or keyframes; `fresh` lists the starts of books."""
    for tape in drawn:
        found, expected = level_changes(tape), expected_changes(tape)
        assert sum(map(len, expected.values())) == len(found.change)
        assert all(of_level(found, *level) == changes for level, changes in expected.items())
        begins = [event for event, kind in enumerate(tape.kind.tolist()) if kind in (SNAPSHOT, GAP)]
        framed = [0] if len(tape) and tape.kind[0] == KEYFRAME else []
        assert found.fresh.tolist() == framed + begins
        assert list(found.faults()) == []
        with (
            patch.object(index, "MOST_ROWS", 2),
            patch.object(columns, "PIECE", 3),
            patch.object(columns, "WINDOW_ROWS", 2),
        ):
            pieces = level_changes(tape)
        assert all(np.array_equal(getattr(pieces, name), getattr(found, name)) for name in index.KEPT)


@pytest.mark.parametrize(
    ("column", "value", "fault"), [("event", 0, "not ascending"), ("lots", -1, "marks"), ("event", 999, "outside")]
)
def test_wrong_change_is_reported_in_any_piece_of_index(monkeypatch, column, value, fault):
    """Changes are checked in pieces, including neighbours across a boundary."""
    monkeypatch.setattr(columns, "PIECE", 2 * index.EVERY)
    events = [(1_000 + n, "depth", [(98, 1 + n)], []) for n in range(1, 100)]
    found = level_changes(Tape.of(TEST, [(1_000, "snapshot", [(98, 1)], [(101, 5)]), *events]))
    assert list(found.faults()) == []
    for place in range(2, 100):  # of one level
        change = found.change.copy()
        change[column][place] = value
        assert any(fault in line for line in dataclasses.replace(found, change=change).faults()), place


def test_distant_prices_need_no_memory_between(monkeypatch):
    """An order far from the market needs no memory for the prices between."""
    far = [*EVENTS, (1_100, "depth", [], [(5_000_000, 3)])]
    tape = Tape.of(TEST, far)
    found = level_changes(tape)
    assert found.page.tolist() == [0, 5_000_000 // 256]
    assert len(found.begin) == 2 * 2 * 256 + 1
    assert all(of_level(found, *level) == changes for level, changes in expected_changes(tape).items())
    assert of_level(found, 1, 5_000_000) == of_level(found, -1, 100) == []
    monkeypatch.setattr(index, "MOST_PAGES", 1)
    searched = level_changes(tape)
    assert all(np.array_equal(getattr(searched, name), getattr(found, name)) for name in index.KEPT)


def test_level_changes_of_parts_and_finer_lots():
    """A part begins at an event; lots are scaled."""
    found = level_changes(Tape.of(TEST, EVENTS))
    assert found.part(1).base == 1
    assert found.part(1).part(2).base == 3
    assert of_level(found.in_lots(4), 1, 98) == [(0, 4), (1, 16)]


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("begin", [0, 9], "offsets"),
        ("change", [(event, 1) for event in (5, 4, 3, 2, 1, 0, 0)], "are not ascending"),
        ("change", [(0, -1)] * 7, "negative"),
        ("mark", [7], "marks"),
    ],
)
def test_damaged_index_is_reported(name, values, fault):
    """The content of a file is checked before a kernel reads it."""
    found = level_changes(Tape.of(TEST, EVENTS))
    wrong = dataclasses.replace(found, **{name: np.array(values, getattr(found, name).dtype)})
    assert any(fault in line for line in wrong.faults())


def test_tape_with_too_many_events_raises_value_error(monkeypatch):
    """Events are counted in 32 bits."""
    monkeypatch.setattr(index, "MOST_EVENTS", 3)
    with pytest.raises(ValueError, match="6 events; level changes hold at most 3"):
        level_changes(Tape.of(TEST, EVENTS))
