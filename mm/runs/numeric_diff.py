"""Largest difference of the numbers of two files, such as results of different processors."""

import csv
import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mm.runs.manifest import flat

Cell = tuple[str, Any]
"""A position in a file, and the value there."""


def largest_difference(first: Path, second: Path) -> tuple[float, str] | None:
    """Return the largest difference between the numbers of two files, and its place.

    A difference counts as |a - b| / max(1, |a|, |b|): relative for large numbers, absolute for those below 1.

    Returns:
        None if more than numbers differ (text, keys, rows or types), or if the files are neither JSON nor CSV.
    """
    found = (0.0, "")
    for cell, other in zip_longest(_cells(first), _cells(second), fillvalue=("", None)):
        if cell == other:
            continue
        (place, value), (second_place, second_value) = cell, other
        if place != second_place:
            return None
        difference = _difference(value, second_value)
        if difference is None:
            return None
        found = max(found, (difference, place))
    return found if found[1] else None


def _difference(one: Any, other: Any) -> float | None:
    """Return the difference of two values; None if one is not a finite number."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)):
        return None
    if not (math.isfinite(one) and math.isfinite(other)):
        return None
    return float(abs(one - other) / max(1.0, abs(one), abs(other)))


def _cells(path: Path) -> Iterator[Cell]:
    if path.suffix == ".json":
        yield from flat(json.loads(path.read_text(encoding="utf-8")))
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            names = next(rows := csv.reader(file), [])
            yield "header", ",".join(names)
            for number, row in enumerate(rows, 1):
                for at, text in enumerate(row):
                    yield f"row {number} {names[at] if at < len(names) else at + 1}", _number(text)
    else:
        yield "content", path.read_bytes()


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
