"""Entries of a schedule file: read by type, and rejected with their place."""

from dataclasses import dataclass

import pytest

from mm.calibration.fit_result import Line
from mm.calibration.schedule_entry import NOT_MEASURED, Entry, Measured
from mm.errors import BrokenFile

POINTS = [[0.5, 0.2], [1, 0.3]]


@dataclass
class Record:
    """Record with three fields, one of them optional."""

    name: str
    number: float | None
    rates: Measured = NOT_MEASURED


def test_record_is_read_by_field_types():
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
        (Measured, POINTS[::-1], "increasing distances"),
        (Measured, [[1, 0]], "rates above 0"),
        (Measured, [[1, "x"]], "rates above 0"),
        (float, True, "a finite number"),
        (int, 1.5, "a whole number"),
        (str, 1, "a text"),
    ],
)
def test_value_of_wrong_type_is_rejected_with_place(kind, value, text):
    with pytest.raises(BrokenFile, match=rf"it: here\.key is .*{text}.*mm schedule"):
        Entry({"key": value}, "it", "here.").read("key", kind)


def test_missing_keys_and_invalid_values_are_rejected():
    with pytest.raises(BrokenFile, match="it: key is missing"):
        Entry({}, "it").value("key")
    with pytest.raises(BrokenFile, match="key is missing"):
        Entry([], "it").value("key")
    with pytest.raises(BrokenFile, match="one of a, b"):
        Entry({"key": "c"}, "it").read("key", str, ("a", "b"))
    with pytest.raises(BrokenFile, match="not a list"):
        Entry({"key": {}}, "it").entries("key")
    assert [one.place for one in Entry({"key": [1, 2]}, "it").entries("key")] == ["key[0].", "key[1]."]
