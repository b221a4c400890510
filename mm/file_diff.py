"""Where two files part: the first row and column of two tables, the keys of two JSON files."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mm.run_headlines import flat

ABSENT = "absent"  # of a value that one side does not have
MOST_KEYS = 20  # of a JSON file that are told one by one


@dataclass(frozen=True, slots=True)
class Part:
    """A place at which two files differ.

    Attributes:
        row: The data row of a table, from 1 (0: its header); None where the file is no table.
        column: The column, or the key of a JSON file; empty where whole rows or files differ.
        values: What stands there in the first file and in the second.
    """

    row: int | None
    column: str
    values: tuple[Any, Any]

    def told(self) -> str:
        """Return the place and both values, in words."""
        place = " ".join([*([f"row {self.row}"] if self.row is not None else []), *([self.column] * bool(self.column))])
        first, second = (_shown(value) for value in self.values)
        return f"{place}: {first} | {second}" if place else f"{first} | {second}"


@dataclass(frozen=True, slots=True)
class FileDifference:
    """How two files differ.

    Attributes:
        parts: The first place of two tables; of JSON files every key, of others their lengths.
        differing: How many rows or keys differ; None where nothing is counted.
        rows: How many data rows each has; None where they are no tables.
    """

    parts: tuple[Part, ...]
    differing: int | None = None
    rows: tuple[int, int] | None = None

    def lines(self) -> list[str]:
        """Return it in words: what it comes to, and the values of a JSON file a line each."""
        parts = [part.told() for part in self.parts[:MOST_KEYS]]
        if self.rows is not None:
            first, second = self.rows
            counted = f"{first} rows" if first == second else f"{first} rows | {second} rows"
            return [f"first at {parts[0]}  ({self.differing} rows differ of {counted})"]
        if self.differing is None:
            return parts
        more = [f"… and {len(self.parts) - MOST_KEYS} more"] if len(self.parts) > MOST_KEYS else []
        return [f"{self.differing} values differ", *(f"  {part}" for part in parts + more)]

    def answer(self) -> dict[str, Any]:
        """Return it as JSON values."""
        parts = [{"row": part.row, "column": part.column, "values": list(part.values)} for part in self.parts]
        return {"parts": parts, "differing": self.differing, "rows": self.rows and list(self.rows)}


def file_difference(first: Path, second: Path) -> FileDifference:
    """Return how two files that are not equal differ."""
    if first.suffix == second.suffix == ".csv":
        return _tables(first, second)
    if first.suffix == second.suffix == ".json":
        try:
            contents = [dict(flat(json.loads(path.read_text(encoding="utf-8")))) for path in (first, second)]
        except ValueError:
            return _bytes(first, second)
        return _keys(*contents) or _bytes(first, second)
    return _bytes(first, second)


def _tables(first: Path, second: Path) -> FileDifference:
    with (
        first.open(encoding="utf-8", errors="replace") as one,
        second.open(encoding="utf-8", errors="replace") as other,
    ):
        header, differing, counts, part = "", 0, [0, 0], None
        for row, lines in enumerate(zip_longest(one, other)):
            header = header or lines[0] or ""
            counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
            if lines[0] != lines[1]:
                differing += 1
                part = part or _cell(row, header, lines)
    first_rows, second_rows = (max(count - 1, 0) for count in counts)
    parts = (part,) if part else _bytes(first, second).parts
    return FileDifference(parts, differing, (first_rows, second_rows))


def _cell(row: int, header: str, lines: tuple[str | None, str | None]) -> Part:
    """Return the first cell at which two lines of tables differ."""
    if None in lines:
        return Part(row, "", (_line(lines[0]), _line(lines[1])))
    names, *rows = (next(csv.reader([line or ""]), []) for line in (header, *lines))
    for place, values in enumerate(zip_longest(*rows, fillvalue=ABSENT)):
        if values[0] != values[1]:
            name = names[place] if row and place < len(names) else f"column {place + 1}"
            return Part(row, name, (values[0], values[1]))
    return Part(row, "", (_line(lines[0]), _line(lines[1])))


def _keys(first: dict[str, Any], second: dict[str, Any]) -> FileDifference | None:
    parts = tuple(_differing(first, second))
    return FileDifference(parts, len(parts)) if parts else None


def _differing(first: dict[str, Any], second: dict[str, Any]) -> Iterator[Part]:
    for name in dict.fromkeys([*first, *second]):
        values = (first.get(name, ABSENT), second.get(name, ABSENT))
        if values[0] != values[1] or type(values[0]) is not type(values[1]):
            yield Part(None, name, values)


def _bytes(first: Path, second: Path) -> FileDifference:
    lengths = [f"{path.stat().st_size} bytes" for path in (first, second)]
    return FileDifference((Part(None, "", (lengths[0], lengths[1])),))


def _line(line: str | None) -> str:
    return ABSENT if line is None else line.rstrip("\n")


def _shown(value: Any) -> str:
    return "null" if value is None else str(value) if value != "" else "(empty)"
