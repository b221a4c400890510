"""Two files whose numbers differ in their last digits, and files that differ more."""

import json

import pytest

from mm.runs.diff import largest_difference


def pair(tmp_path, first, second, suffix=".json"):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path, content in zip(paths, (first, second), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return paths


def test_largest_difference_is_returned_with_its_place(tmp_path):
    """Relative above 1, absolute below."""
    first = {"A": 0.5, "sides": [{"k": 2.0}, {"k": 1e6}], "status": "ok"}
    second = {"A": 0.5 + 1e-12, "sides": [{"k": 2.0}, {"k": 1e6 + 1}], "status": "ok"}
    size, place = largest_difference(*pair(tmp_path, first, second))
    assert size == pytest.approx(1e-6, rel=1e-3)
    assert place == "sides[1].k"


def test_cells_of_tables_are_compared_as_numbers(tmp_path):
    first, second = "t,side,k\n1,bid,0.25\n2,ask,0.50\n", "t,side,k\n1,bid,0.25\n2,ask,0.5001\n"
    size, place = largest_difference(*pair(tmp_path, first, second, ".csv"))
    assert size == pytest.approx(1e-4)
    assert place == "row 2 k"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"status": "ok", "k": 1.0}, {"status": "poor", "k": 1.0}),
        ({"k": 1.0}, {"k": None}),
        ({"k": 1}, {"k": True}),
        ({"k": 1.0}, {"k": 1.0, "A": 2.0}),
        ({"k": 1.0, "A": 2.0}, {"A": 2.0, "k": 1.0}),
        ({"k": float("nan")}, {"k": 1.0}),
        ({"k": [1.0, 2.0]}, {"k": [1.0]}),
    ],
)
def test_files_that_differ_in_more_than_numbers_are_not_near(tmp_path, first, second):
    assert largest_difference(*pair(tmp_path, first, second)) is None


def test_other_rows_and_other_kinds_of_files_are_not_near(tmp_path):
    assert largest_difference(*pair(tmp_path, "a\n1\n", "a\n1\n2\n", ".csv")) is None
    assert largest_difference(*pair(tmp_path, "a\n1\n", "b\n1\n", ".csv")) is None
    assert largest_difference(*pair(tmp_path, "1", "2", ".svg")) is None
