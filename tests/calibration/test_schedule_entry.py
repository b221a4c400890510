"""Values of a schedule's file: read as their types allow, and refused by their place."""

from dataclasses import dataclass

import pytest

from mm.calibration.fit_result import Line
from mm.calibration.schedule_entry import NOT_MEASURED, Entry, Measured
from mm.errors import BrokenFile

POINTS = [[0.5, 0.2], [1, 0.3]]


@dataclass
class Record:
    """Three fields, of which one may be missing."""

    name: str
    number: float | None
    rates: Measured = NOT_MEASURED


def test_a_record_is_read_by_the_types_of_its_fields():
    content = {"name": "a", "number": None, "rates": POINTS, "more": 1}
    assert Entry(content, "it").fields_of(Record, {}) == {
        "name": "a",
        "number": None,
        "rates": ((0.5, 0.2), (1, 0.3)),
    }
    assert Entry({"name": "a", "number": 2}, "it").fields_of(Record, {"name": ("a", "b")}) == {"name": "a", "number": 2}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Line, POINTS, "falling at the end"),
        (Line, [[1, 0.3]], "falling at the end"),
        (Measured, POINTS[::-1], "distances that rise"),
        (Measured, [[1, 0]], "rates above 0"),
        (Measured, [[1, "x"]], "rates above 0"),
        (float, True, "a finite number"),
        (int, 1.5, "a whole number"),
        (str, 1, "a text"),
    ],
)
def test_what_a_type_does_not_hold_is_refused_with_its_place(kind, value, text):
    with pytest.raises(BrokenFile, match=rf"it: here\.key is .*{text}.*mm schedule"):
        Entry({"key": value}, "it", "here.").read("key", kind)


def test_missing_keys_other_words_and_other_objects_are_refused():
    with pytest.raises(BrokenFile, match="it: key is missing"):
        Entry({}, "it").value("key")
    with pytest.raises(BrokenFile, match="key is missing"):
        Entry([], "it").value("key")
    with pytest.raises(BrokenFile, match="one of a, b"):
        Entry({"key": "c"}, "it").read("key", str, ("a", "b"))
    with pytest.raises(BrokenFile, match="not a list"):
        Entry({"key": {}}, "it").entries("key")
    assert [one.place for one in Entry({"key": [1, 2]}, "it").entries("key")] == ["key[0].", "key[1]."]
