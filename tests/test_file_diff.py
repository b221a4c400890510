import csv
import json
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.file_diff import ABSENT, MOST_KEYS, file_difference


def files(folder: Path, first: str, second: str, suffix: str) -> tuple[Path, Path]:
    paths = folder / f"a{suffix}", folder / f"b{suffix}"
    for path, text in zip(paths, (first, second), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("second", "place", "line"),
    [
        ("x,y\n1,2\n3,5\n", (2, "y", ("4", "5")), "first at row 2 y: 4 | 5  (1 rows differ of 2 rows)"),
        ("x,y\n1,2\n", (2, "", ("3,4", ABSENT)), "first at row 2: 3,4 | absent  (1 rows differ of 2 rows | 1 rows)"),
        ("x,z\n1,2\n3,4\n", (0, "column 2", ("y", "z")), "first at row 0 column 2: y | z  (1 rows differ of 2 rows)"),
        ("x,y\n,2\n3\n", (1, "x", ("1", "")), "first at row 1 x: 1 | (empty)  (2 rows differ of 2 rows)"),
        ("x,y\n1,2\n3,4,5\n", (2, "column 3", (ABSENT, "5")),
         "first at row 2 column 3: absent | 5  (1 rows differ of 2 rows)"),
        ('x,y\n1,2\n3,"4"\n', (2, "", ("3,4", '3,"4"')), 'first at row 2: 3,4 | 3,"4"  (1 rows differ of 2 rows)'),
    ],
)  # fmt: skip
def test_tables_part_at_a_row_and_a_column(tmp_path, second, place, line):
    """Rows count from 1, and 0 is the header; a cell that is not there is absent, and so are quotes."""
    found = file_difference(*files(tmp_path, "x,y\n1,2\n3,4\n", second, ".csv"))
    (part,) = found.parts
    assert (part.row, part.column, part.values) == place
    assert found.lines() == [line]
    assert found.answer()["parts"] == [{"row": part.row, "column": part.column, "values": list(part.values)}]


CELLS = st.lists(st.lists(st.sampled_from(["1", "2", "a b", '"', "ü,"]), min_size=2, max_size=2), max_size=6)


@given(CELLS, CELLS)
def test_the_first_row_and_the_number_of_rows_are_those_of_a_plain_comparison(tmp_path_factory, first, second):
    """Whatever the cells hold that needs quotes."""
    folder = tmp_path_factory.mktemp("tables")
    paths = folder / "a.csv", folder / "b.csv"
    for path, rows in zip(paths, (first, second), strict=True):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([["x", "y"], *rows])
    unequal = [row for row, pair in enumerate(zip_longest(first, second), 1) if pair[0] != pair[1]]
    if unequal:
        found = file_difference(*paths)
        assert (found.parts[0].row, found.differing) == (unequal[0], len(unequal))
        assert found.rows == (len(first), len(second))


def test_json_files_part_at_keys(tmp_path):
    """Each with both values; null, absent, 1 and 1.0 and true are not each other."""
    first = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": 1, "f": True, "g": {}, "same": 3}
    second = {"a": {"b": 2, "c": [1]}, "e": 1.0, "f": 1, "g": [], "same": 3}
    found = file_difference(*files(tmp_path, json.dumps(first), json.dumps(second), ".json"))
    assert {part.column: part.values for part in found.parts} == {
        "a.b": (1, 2),
        "a.c[1]": (2, ABSENT),
        "d": (None, ABSENT),
        "e": (1, 1.0),
        "f": (True, 1),
        "g": ({}, []),
    }
    assert found.lines()[:2] == ["6 values differ", "  a.b: 1 | 2"]
    many = {f"k{number}": number for number in range(MOST_KEYS + 5)}
    assert file_difference(*files(tmp_path, json.dumps(many), "{}", ".json")).lines()[-1] == "  … and 5 more"


@pytest.mark.parametrize(
    ("suffix", "first", "second"),
    [(".html", "abc", "abcd"), (".json", "{", "{}"), (".json", "{}", "{} "), (".csv", "a\n\n", "a\n")],
)
def test_other_files_part_by_their_length(tmp_path, suffix, first, second):
    """Also JSON that is broken, or that says the same in other bytes."""
    (line,) = file_difference(*files(tmp_path, first, second, suffix)).lines()
    told = f"{len(first)} bytes | {len(second)} bytes"
    assert line == told or suffix == ".csv"
    assert "absent" in line or suffix != ".csv"
