"""What tells two runs apart: knobs, code, inputs, outputs, and the numbers they found."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.code_identity import hash_file
from mm.file_diff import FileDifference, file_difference
from mm.run_finder import Found
from mm.run_headlines import headlines, shown
from mm.runs import PAGE

Pair = tuple[Any, Any]
CHANGED = "not what the run wrote: the file was changed since"


@dataclass(frozen=True, slots=True)
class KnobDifference:
    """A knob that the two runs had otherwise.

    Attributes:
        name: The knob.
        values: Its values; None also where a run's command has no such knob.
        sources: Where each came from; None where there is no such knob.
        matters: Whether the result depends on it.
    """

    name: str
    values: Pair
    sources: Pair
    matters: bool

    def told(self) -> str:
        """Return both values and where they came from."""
        first, second = (
            "no such knob" if source is None else f"{'none' if value is None else value} ({source})"
            for value, source in zip(self.values, self.sources, strict=True)
        )
        return f"{self.name}: {first} | {second}"


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """An output that only one run has, or that is not the same in both.

    Attributes:
        path: Its name in the run folder.
        why: In words.
        detail: Where the files part; None where one of them is gone.
        counts: False for a page, which shows the command that made it.
    """

    path: str
    why: str
    detail: FileDifference | None = None
    counts: bool = True

    def lines(self) -> list[str]:
        """Return what a person is told of it."""
        first, *more = self.detail.lines() if self.detail else [self.why]
        return [f"{self.path}: {first}", *more]

    def answer(self) -> dict[str, Any]:
        """Return it as JSON values."""
        detail = self.detail.answer() if self.detail else None
        return {"path": self.path, "why": self.why, "counts": self.counts, "detail": detail}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, side by side.

    Attributes:
        runs: The runs.
        knobs: What was set otherwise.
        inputs: What was read by one and not by the other, in words.
        outputs: What was written otherwise.
    """

    runs: tuple[Found, Found]
    knobs: tuple[KnobDifference, ...]
    inputs: tuple[str, ...]
    outputs: tuple[OutputDifference, ...]

    @property
    def equal(self) -> bool:
        """Whether they are the same work with the same result: one digest, and files that still say so."""
        return self.digests[0] == self.digests[1] and not self.edited and not any(one.counts for one in self.outputs)

    @property
    def edited(self) -> bool:
        """Whether one digest stands for two works, so that a manifest is not what its run wrote.

        A day is covered by what it names, however it is written.
        """
        matters = any(knob.matters and knob.values[0] != knob.values[1] and knob.name != "day" for knob in self.knobs)
        return self.digests[0] == self.digests[1] and (matters or bool(self.inputs))

    @property
    def digests(self) -> tuple[str, str]:
        """The digests that their manifests name."""
        return self.runs[0].manifest["digest"], self.runs[1].manifest["digest"]

    def entries(self) -> dict[str, Pair]:
        """Return what their manifests say of them otherwise: kind, symbol, day, status, version and commit."""
        names = ("kind", "symbol", "day", "status", "version", "commit")
        pairs = {name: (self.runs[0].manifest.get(name), self.runs[1].manifest.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def numbers(self) -> dict[str, Pair]:
        """Return the numbers that each is known by, side by side; None where one has none."""
        first, second = (headlines(run.manifest) for run in self.runs)
        return {name: (first.get(name), second.get(name)) for name in {**first, **second}}

    def lines(self) -> Iterator[str]:
        """Yield what a person is told."""
        for letter, run in zip("ab", self.runs, strict=True):
            manifest = run.manifest
            head = " ".join(str(manifest[name]) for name in ("kind", "symbol", "day", "run_id"))
            yield f"{letter}  {head}  {run.folder}"
        yield f"equal: digest {self.digests[0]}" if self.equal else "they differ (a | b)"
        if self.edited:
            yield "a manifest was edited since: one digest, but other knobs or inputs"
        own = [knob for knob in self.knobs if knob.matters and knob.values[0] != knob.values[1]]
        others = [knob for knob in self.knobs if not knob.matters and knob.values[0] != knob.values[1]]
        sources = [knob for knob in self.knobs if knob.values[0] == knob.values[1]]
        for title, told in (
            ("of the run", [f"{name}: {first} | {second}" for name, (first, second) in self.entries().items()]),
            ("knobs", [knob.told() for knob in own]),
            ("knobs that change no result", [knob.told() for knob in others]),
            ("knobs of one value, set otherwise", [knob.told() for knob in sources]),
            ("inputs", list(self.inputs)),
            ("outputs", [line for one in self.outputs for line in one.lines()]),
            ("found", [_number(name, pair) for name, pair in self.numbers().items()]),
        ):
            if told:
                yield "\n".join([title, *(f"  {line}" for line in told)])

    def answer(self) -> dict[str, Any]:
        """Return it as JSON values."""
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
            "outputs": [one.answer() for one in self.outputs],
            "numbers": {name: list(pair) for name, pair in self.numbers().items()},
        }


def compare(first: Found, second: Found) -> Comparison:
    """Return what tells two runs apart; their files are read, the manifests are not believed."""
    return Comparison(
        (first, second),
        tuple(_knobs(first, second)),
        tuple(_inputs(first.manifest["inputs"], second.manifest["inputs"])),
        tuple(_outputs(first, second)),
    )


def no_matter() -> frozenset[str]:
    """Return the names of the knobs on which no result depends."""
    from mm.cli.knobs import knobs
    from mm.config import GROUPS

    return frozenset(one.name for group in GROUPS for one in knobs(group) if not one.matters)


def _knobs(first: Found, second: Found) -> Iterator[KnobDifference]:
    idle, of_first, of_second = no_matter(), first.manifest["knobs"], second.manifest["knobs"]
    for name in dict.fromkeys([*of_first, *of_second]):
        one, other = of_first.get(name, {}), of_second.get(name, {})
        if one != other and name != "run_id":
            pairs = [(one.get(key), other.get(key)) for key in ("value", "source")]
            yield KnobDifference(name, pairs[0], pairs[1], name not in idle)


def _inputs(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[str]:
    """Yield how the inputs differ, in words; a file of the same content is the same, wherever it lies."""
    of_first, of_second = ({one["sha256"]: one["path"] for one in files} for files in (first, second))
    only_first = {path: sha256 for sha256, path in of_first.items() if sha256 not in of_second}
    only_second = {path: sha256 for sha256, path in of_second.items() if sha256 not in of_first}
    for path in sorted({*only_first, *only_second}):
        one, other = only_first.get(path), only_second.get(path)
        if one and other:
            yield f"{path}: another content (sha256 {one[:12]}… | {other[:12]}…)"
        else:
            yield f"{path}: only {'a' if one else 'b'} read it"


def _outputs(first: Found, second: Found) -> Iterator[OutputDifference]:
    written = [{one["path"]: one["sha256"] for one in run.manifest["outputs"]} for run in (first, second)]
    for path in sorted({*written[0], *written[1]}):
        counts = path.rpartition("/")[2] != PAGE
        for letter, run, names in zip("ab", (first, second), written, strict=True):
            why = _altered(run.folder / path, names.get(path))
            if why:
                yield OutputDifference(path, f"in {letter} {why}")
        one, other = (names.get(path) for names in written)
        if one is None or other is None:
            yield OutputDifference(path, f"only in {'b' if one is None else 'a'}", counts=counts)
        elif one != other:
            yield _output(path, (first.folder / path, second.folder / path), counts)


def _altered(path: Path, sha256: str | None) -> str | None:
    """Return what happened to an output since it was written; None where nothing did, or there is none."""
    if sha256 is None:
        return None
    if not path.is_file():
        return "it is gone"
    return None if hash_file(path) == sha256 else CHANGED


def _output(path: str, files: tuple[Path, Path], counts: bool) -> OutputDifference:
    if not all(file.is_file() for file in files):
        return OutputDifference(path, "another content, by its sha256", counts=counts)
    if not counts:
        return OutputDifference(path, "a page shows the command that made it, and is not compared", counts=False)
    detail = file_difference(*files)
    return OutputDifference(path, detail.lines()[0], detail)


def _number(name: str, pair: Pair) -> str:
    first, second = pair
    if first == second:
        return f"{name}: {shown(first)}"
    told = f"{name}: {shown(first)} | {shown(second)}"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in pair):
        told += f"  ({second - first:+.6g})"
    return told
