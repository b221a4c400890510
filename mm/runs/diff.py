"""Differences of two runs: knobs, code, inputs, outputs, main numbers, and where two files first differ."""

import csv
import itertools
import json
import math
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from mm.base.code_identity import hash_file
from mm.base.differences import differences, first_difference
from mm.report.contents import PAGE
from mm.runs.finished import RunFolder
from mm.runs.manifest import content_of, count_lines, flat, headlines, shown
from mm.trials.own_content import own_content

ABSENT = "absent"  # in place of a value that one side does not have
MOST_KEYS = 20  # maximum number of listed keys of a JSON file


@dataclass(frozen=True, slots=True)
class Part:
    """A position at which two files differ.

    Attributes:
        row: Data row from 1 (0: header); None if the file is no table.
        column: Or key of a JSON file; empty if whole rows or files differ.
    """

    row: int | None
    column: str
    values: tuple[Any, Any]

    def text(self) -> str:
        place = " ".join([*([f"row {self.row}"] if self.row is not None else []), *([self.column] * bool(self.column))])
        first, second = (_cell_text(value) for value in self.values)
        return f"{place}: {first} | {second}" if place else f"{first} | {second}"


@dataclass(frozen=True, slots=True)
class FileDifference:
    """*parts* is the first difference of tables, every key of JSON, and the lengths of other files."""

    parts: tuple[Part, ...]
    differing: int | None = None
    rows: tuple[int, int] | None = None

    def lines(self) -> list[str]:
        parts = [part.text() for part in self.parts[:MOST_KEYS]]
        if self.rows is not None:
            first, second = self.rows
            counted = f"{first} rows" if first == second else f"{first} rows | {second} rows"
            return [f"first at {parts[0]}  ({self.differing} rows differ of {counted})"]
        if self.differing is None:
            return parts
        more = [f"… and {len(self.parts) - MOST_KEYS} more"] if len(self.parts) > MOST_KEYS else []
        return [f"{self.differing} values differ", *(f"  {part}" for part in parts + more)]


def file_difference(first: Path, second: Path) -> FileDifference:
    if first.suffix == second.suffix == ".csv":
        return _tables(first, second)
    if first.suffix == second.suffix == ".json":
        try:
            contents = [own_content(json.loads(path.read_text(encoding="utf-8"))) for path in (first, second)]
        except ValueError:
            return _bytes(first, second)
        flats = [dict(flat(content)) for content in contents]
        names = dict.fromkeys(itertools.chain(*flats))
        pairs = ((name, flats[0].get(name, ABSENT), flats[1].get(name, ABSENT)) for name in names)
        parts = tuple(
            Part(None, name, (left, right)) for name, left, right in pairs if (left, type(left)) != (right, type(right))
        )
        return FileDifference(parts, len(parts)) if parts else _bytes(first, second)
    return _bytes(first, second)


def _tables(first: Path, second: Path) -> FileDifference:
    with (
        first.open(encoding="utf-8", errors="replace") as first_file,
        second.open(encoding="utf-8", errors="replace") as other,
    ):
        header = first_file.readline()
        first_file.seek(0)
        rows = differences(first_file, other)
        at = next(rows, None)
        differing = sum(1 for _ in rows) + (at is not None)
    first_rows, second_rows = (max(count_lines(path) - 1, 0) for path in (first, second))
    parts = (_cell(header, *at),) if at else _bytes(first, second).parts
    return FileDifference(parts, differing, (first_rows, second_rows))


def _cell(header: str, row: int, *lines: str | None) -> Part:
    names, *rows = (next(csv.reader([line or ""]), []) for line in (header, *lines))
    at = None if None in lines else first_difference(*rows)
    if at is None:
        return Part(row, "", (_line(lines[0]), _line(lines[1])))
    place, *cells = at
    left, right = (ABSENT if cell is None else cell for cell in cells)
    return Part(row, names[place] if row and place < len(names) else f"column {place + 1}", (left, right))


def _bytes(first: Path, second: Path) -> FileDifference:
    lengths = [f"{path.stat().st_size} bytes" for path in (first, second)]
    return FileDifference((Part(None, "", (lengths[0], lengths[1])),))


def _line(line: str | None) -> str:
    return ABSENT if line is None else line.rstrip("\n")


def _cell_text(value: Any) -> str:
    return "null" if value is None else str(value) if value != "" else "(empty)"


Pair = tuple[Any, Any]
CHANGED = "changed since the run"


@dataclass(frozen=True, slots=True)
class KnobDifference:
    """A knob with different values; None also if the command lacks it."""

    name: str
    values: Pair
    sources: Pair
    matters: bool

    def text(self) -> str:
        first, second = (
            "no such knob" if source is None else f"{'none' if value is None else value} ({source})"
            for value, source in zip(self.values, self.sources, strict=True)
        )
        return f"{self.name}: {first} | {second}"


@dataclass(frozen=True, slots=True)
class OutputDifference:
    path: str
    why: str
    counts: bool = True
    detail: FileDifference | None = None

    def lines(self) -> list[str]:
        first, *more = self.detail.lines() if self.detail else [self.why]
        return [f"{self.path}: {first}", *more]


@dataclass(frozen=True, slots=True)
class Comparison:
    runs: tuple[RunFolder, RunFolder]
    knobs: tuple[KnobDifference, ...]
    inputs: tuple[str, ...]
    outputs: tuple[OutputDifference, ...]

    @property
    def equal(self) -> bool:
        return (
            self.digests[0] == self.digests[1] and not self.edited and not any(output.counts for output in self.outputs)
        )

    @property
    def edited(self) -> bool:
        """Digests agree although the content differs: a manifest was edited."""
        matters = any(knob.matters and knob.values[0] != knob.values[1] and knob.name != "day" for knob in self.knobs)
        return self.digests[0] == self.digests[1] and (matters or bool(self.inputs))

    @property
    def digests(self) -> tuple[str, str]:
        return self.runs[0].manifest["digest"], self.runs[1].manifest["digest"]

    def entries(self) -> dict[str, Pair]:
        names = ("kind", "symbol", "day", "status", "version", "commit")
        pairs = {name: (self.runs[0].manifest.get(name), self.runs[1].manifest.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def numbers(self) -> dict[str, Pair]:
        first, second = (headlines(run.manifest) for run in self.runs)
        return {name: (first.get(name), second.get(name)) for name in {**first, **second}}

    def lines(self) -> Iterator[str]:
        for letter, run in zip("ab", self.runs, strict=True):
            manifest = run.manifest
            head = " ".join(str(manifest[name]) for name in ("kind", "symbol", "day", "run_id"))
            yield f"{letter}  {head}  {run.folder}"
        yield f"equal: digest {self.digests[0]}" if self.equal else "different (a | b)"
        if self.edited:
            yield "a manifest was edited: equal digests, but different knobs or inputs"
        own = [knob for knob in self.knobs if knob.matters and knob.values[0] != knob.values[1]]
        others = [knob for knob in self.knobs if not knob.matters and knob.values[0] != knob.values[1]]
        sources = [knob for knob in self.knobs if knob.values[0] == knob.values[1]]
        for title, lines in (
            ("of the run", [f"{name}: {first} | {second}" for name, (first, second) in self.entries().items()]),
            ("knobs", [knob.text() for knob in own]),
            ("knobs without effect on results", [knob.text() for knob in others]),
            ("knobs with equal values from different sources", [knob.text() for knob in sources]),
            ("inputs", list(self.inputs)),
            ("outputs", [line for out in self.outputs for line in out.lines()]),
            ("main numbers", [_number(name, pair) for name, pair in self.numbers().items()]),
        ):
            if lines:
                yield "\n".join([title, *(f"  {line}" for line in lines)])

    def to_json(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "edited": self.edited,
            "digests": list(self.digests),
            "runs": [str(run.folder.resolve()) for run in self.runs],
            "entries": {name: list(pair) for name, pair in self.entries().items()},
            "knobs": {
                knob.name: {"values": list(knob.values), "sources": list(knob.sources), "matters": knob.matters}
                for knob in self.knobs
            },
            "inputs": list(self.inputs),
            "outputs": [asdict(output) for output in self.outputs],
            "numbers": {name: list(pair) for name, pair in self.numbers().items()},
        }


def compare(first: RunFolder, second: RunFolder, without_effect: Set[str]) -> Comparison:
    """Compare by hashing the files, because manifests may be wrong.

    Args:
        without_effect: Names of knobs that change no result.
    """
    return Comparison(
        (first, second),
        tuple(_knobs(first, second, without_effect)),
        tuple(_inputs(first.manifest["inputs"], second.manifest["inputs"])),
        tuple(_outputs(first, second)),
    )


def _knobs(first: RunFolder, second: RunFolder, without_effect: Set[str]) -> Iterator[KnobDifference]:
    of_first, of_second = first.manifest["knobs"], second.manifest["knobs"]
    for name in dict.fromkeys([*of_first, *of_second]):
        first_knob, other = of_first.get(name, {}), of_second.get(name, {})
        if first_knob != other and name != "run_id":
            pairs = [(first_knob.get(key), other.get(key)) for key in ("value", "source")]
            yield KnobDifference(name, pairs[0], pairs[1], name not in without_effect)


def _inputs(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[str]:
    of_first, of_second = ({file["sha256"]: file["path"] for file in files} for files in (first, second))
    only_first = {path: sha256 for sha256, path in of_first.items() if sha256 not in of_second}
    only_second = {path: sha256 for sha256, path in of_second.items() if sha256 not in of_first}
    for path in sorted({*only_first, *only_second}):
        left, other = only_first.get(path), only_second.get(path)
        if left and other:
            yield f"{path}: different content (sha256 {left[:12]}… | {other[:12]}…)"
        else:
            yield f"{path}: only {'a' if left else 'b'} read it"


def _outputs(first: RunFolder, second: RunFolder) -> Iterator[OutputDifference]:
    written, contents = (
        [{file["path"]: sha256(file) for file in run.manifest["outputs"]} for run in (first, second)]
        for sha256 in (itemgetter("sha256"), content_of)
    )
    for path in sorted({*written[0], *written[1]}):
        counts = path.rpartition("/")[2] != PAGE
        for letter, run, names in zip("ab", (first, second), written, strict=True):
            why = _altered(run.folder / path, names.get(path))
            if why:
                yield OutputDifference(path, f"in {letter}: {why}")
        left, other = (names.get(path) for names in contents)
        if left is None or other is None:
            yield OutputDifference(path, f"only in {'b' if left is None else 'a'}", counts=counts)
        elif left != other:
            yield _output(path, (first.folder / path, second.folder / path), counts)


def _altered(path: Path, sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    if not path.is_file():
        return "missing"
    return None if hash_file(path) == sha256 else CHANGED


def _output(path: str, files: tuple[Path, Path], counts: bool) -> OutputDifference:
    if not all(file.is_file() for file in files):
        return OutputDifference(path, "different content, by its sha256", counts=counts)
    if not counts:
        return OutputDifference(path, "a page contains its command, and is not compared", counts=False)
    detail = file_difference(*files)
    return OutputDifference(path, detail.lines()[0], detail=detail)


def _number(name: str, pair: Pair) -> str:
    first, second = pair
    if first == second:
        return f"{name}: {shown(first)}"
    line = f"{name}: {shown(first)} | {shown(second)}"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in pair):
        line += f"  ({second - first:+.6g})"
    return line


def largest_difference(first: Path, second: Path) -> tuple[float, str] | None:
    """Return the largest difference of numbers, |a - b| / max(1, |a|, |b|), as between processors, and its place.

    None if more than numbers differ, or for files other than JSON and CSV.
    """
    largest = (0.0, "")
    for cell, other in itertools.zip_longest(_cells(first), _cells(second), fillvalue=("", None)):
        if cell == other:
            continue
        (place, value), (second_place, second_value) = cell, other
        if place != second_place:
            return None
        difference = _difference(value, second_value)
        if difference is None:
            return None
        largest = max(largest, (difference, place))
    return largest if largest[1] else None


def _difference(left: Any, right: Any) -> float | None:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right)):
        return None
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    return float(abs(left - right) / max(1.0, abs(left), abs(right)))


def _cells(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".json":
        yield from flat(own_content(json.loads(path.read_text(encoding="utf-8"))))
    elif path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            names = next(rows := csv.reader(file), [])
            yield "header", ",".join(names)
            for number, row in enumerate(rows, 1):
                for at, text in enumerate(row):
                    yield f"row {number} {names[at] if at < len(names) else at + 1}", _float(text)
    else:
        yield "content", path.read_bytes()


def _float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
