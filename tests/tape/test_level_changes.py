"""The changes of each level are those that playing the book event by event shows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given

from engine_tapes import TEST, tapes
from mm.tape import level_changes as index
from mm.tape.level_changes import LevelIndex, level_changes
from mm.tape.tape import GAP, KEYFRAME, SNAPSHOT, TRADE, Tape

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
    slot = ticks - found.least if not len(found.price) else int(np.searchsorted(found.price, ticks))
    if not 0 <= slot < len(found.begin) // 2 or (len(found.price) and found.price[slot] != ticks):
        return []
    place = slice(*found.begin[2 * slot + (side > 0) :][:2].tolist())
    return list(zip(found.change_event[place].tolist(), found.change_lots[place].tolist(), strict=True))


def plain(tape: Tape) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the changes of every level, row by row."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event, kind in enumerate(tape.kind.tolist()):
        if kind == TRADE or (kind == KEYFRAME and event):
            continue
        for row in range(tape.first_row[event], tape.first_row[event + 1]):
            level = int(tape.row_side[row]), int(tape.row_ticks[row])
            found.setdefault(level, []).append((event, int(tape.row_lots[row])))
    return found


@given(tapes(3))
def test_every_row_of_a_book_stands_at_its_level(drawn):
    """In order of time; trades and keyframes change nothing, and a book begins where it says."""
    for tape in drawn:
        found, wanted = level_changes(tape), plain(tape)
        assert sum(map(len, wanted.values())) == len(found.change_event)
        assert all(of_level(found, *level) == changes for level, changes in wanted.items())
        begins = [event for event, kind in enumerate(tape.kind.tolist()) if kind in (SNAPSHOT, GAP)]
        framed = [0] if len(tape) and tape.kind[0] == KEYFRAME else []
        assert found.fresh.tolist() == framed + begins
        assert list(found.faults()) == []


def test_prices_far_from_each_other_are_numbered(monkeypatch):
    """An order far from the market costs no memory for the prices between."""
    far = [*EVENTS, (1_100, "depth", [], [(5_000_000, 3)])]
    tape = Tape.of(TEST, far)
    found = level_changes(tape)
    assert found.price.tolist() == [98, 99, 101, 5_000_000]
    assert all(of_level(found, *level) == changes for level, changes in plain(tape).items())
    assert of_level(found, 1, 5_000_000) == of_level(found, -1, 100) == []
    monkeypatch.setattr(index, "DENSE", 1)
    near, dense = level_changes(Tape.of(TEST, EVENTS)), plain(Tape.of(TEST, EVENTS))
    assert near.price.tolist() == [98, 99, 101]
    assert all(of_level(near, *level) == changes for level, changes in dense.items())


def test_windows_and_finer_lots():
    """A window is a span of positions; lots follow the tape's."""
    found = level_changes(Tape.of(TEST, EVENTS))
    assert (found.part(1, 5).base, found.part(1, 5).stop) == (1, 5)
    assert (found.part(1, 5).part(2, 3).base, found.part(1, 5).part(2, 3).stop) == (3, 4)
    assert of_level(found.in_lots(4), 1, 98) == [(0, 4), (1, 16)]


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("begin", [0, 9], "do not begin one after the other"),
        ("change_event", [5, 4, 3, 2, 1, 0, 0], "do not rise"),
        ("change_lots", [1], "numbers of lots"),
    ],
)
def test_a_damaged_index_is_named(name, values, fault):
    """What a file holds is checked before a kernel reads it."""
    found = level_changes(Tape.of(TEST, EVENTS))
    wrong = dataclasses.replace(found, **{name: np.array(values, getattr(found, name).dtype)})
    assert any(fault in line for line in wrong.faults())


def test_a_tape_of_too_many_events_is_refused(monkeypatch):
    """Events are counted in 32 bits."""
    monkeypatch.setattr(index, "MOST_EVENTS", 3)
    with pytest.raises(ValueError, match="6 events; level changes hold at most 3"):
        level_changes(Tape.of(TEST, EVENTS))
