"""The ledger of trials below OUT_ROOT: every design played on a recorded day, whatever became of its run.

``trials/<SYMBOL>/<DAY>.ndjson`` has a line per trial, opening of a held-out day, and forgetting; ``<DAY>.pnl`` the
trials' PnL by minute, little-endian float32. Both only grow, under a lock, numbers before the line: a killed writer
leaves at most one torn line.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from msgspec import structs

from mm.base.arrays import Floats
from mm.base.held_file import wait_for_file
from mm.base.numbers import noun
from mm.clock import iso, now_us

FOLDER = "trials"
VERSION = 1
LINES, VALUES = ".ndjson", ".pnl"
PLAYING = ("backtest", "sweep", "walkforward", "evaluation")  # kinds of runs whose trials are on record
_FLOAT = np.dtype("<f4")
Identity = tuple[str, str, str]
Spans = tuple[tuple[int, int], ...]
"""Begin in µs and number of 60 s periods of each stretch with a market."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    v: int = VERSION
    at_us: int


class TrialLine(_Entry, frozen=True, kw_only=True, tag="trial"):
    """A design on one day.

    Attributes:
        market: sha256 of the day's largest file, if any.
        run: RUN_ID of the run that played it; empty in Python, and in lines of older versions.
        values: crc32 of its PnL; 0 in lines of older versions, and for one that earned and lost nothing.
        begin: Position of its `stamp` in the file of values.
    """

    design: str
    assumption: str
    market: str
    quotes: str
    fills: str
    days: tuple[str, ...]
    made_by: str
    spans: Spans
    begin: int
    run: str = ""
    values: int = 0

    @property
    def count(self) -> int:
        return sum(count for _, count in self.spans)

    @property
    def stamp(self) -> bytes:
        """Precedes its values and identifies them."""
        return crc32(self.design.encode()).to_bytes(_FLOAT.itemsize, "little")

    @property
    def name(self) -> str:
        return self.run or f"{self.made_by} {iso(self.at_us)}"

    @property
    def identity(self) -> Identity:
        return self.design, self.assumption, self.market


class Opening(_Entry, frozen=True, kw_only=True, tag="opening"):
    """A held-out day was opened; *number*: how many times by then, below any OUT_ROOT (0 in older versions)."""

    made_by: str
    number: int = 0


class Forgetting(_Entry, frozen=True, kw_only=True, tag="forgetting"):
    """Ends all trials before it in the file."""

    trials: int
    why: str


Line = TrialLine | Opening | Forgetting
_LINES = msgspec.json.Decoder(Line)


class _Version(msgspec.Struct):
    v: int


@dataclass(frozen=True)
class Trial:
    """A design to record; ``line.begin`` is set on writing, *pnl* is per minute of its spans, quote asset."""

    symbol: str
    day: str
    line: TrialLine
    pnl: Floats

    @property
    def place(self) -> tuple[str, str]:
        return self.symbol, self.day

    def of_run(self, run: str) -> "Trial":
        values = crc32(self.pnl.astype(_FLOAT).tobytes()) if self.pnl.any() else 0
        return replace(self, line=structs.replace(self.line, run=run, values=values))

    def as_one_with(self, known: TrialLine | None) -> "Trial":
        if known is None:
            return self
        return replace(self, line=structs.replace(self.line, design=known.design, assumption=known.assumption))


@dataclass(frozen=True)
class DayLedger:
    """What is on record of one day, *since_us*; *problems* cannot be used, and name the file."""

    known: Mapping[Identity, TrialLine] = field(default_factory=dict)
    openings: int = 0
    forgettings: Sequence[Forgetting] = ()
    problems: Sequence[str] = ()
    since_us: int | None = None
    _values: Path | None = field(default=None, repr=False)

    @property
    def trials(self) -> list[TrialLine]:
        return list(self.known.values())

    @cached_property
    def designs(self) -> Set[tuple[str, str]]:
        """Designs, each with its market."""
        return {(line.design, line.market) for line in self.known.values()}

    def same_as(self, trial: TrialLine) -> TrialLine | None:
        """The trial with the same PnL: what sent the same orders is one design, whatever its knobs."""
        return self._by_values.get((trial.market, trial.spans, trial.values)) if trial.values else None

    @cached_property
    def _by_values(self) -> Mapping[tuple[str, Spans, int], TrialLine]:
        return {(line.market, line.spans, line.values): line for line in reversed(self.trials)}

    @cached_property
    def _pnl(self) -> Floats:
        try:
            return np.memmap(self._values, _FLOAT, "r") if self._values else np.empty(0, _FLOAT)
        except (OSError, ValueError):  # ValueError: no whole value is in it
            return np.empty(0, _FLOAT)

    def pnl(self, trial: TrialLine) -> Floats | None:
        """float32; None if its values are lost."""
        row = self._pnl[trial.begin : trial.begin + 1 + trial.count]
        return row[1:] if len(row) == 1 + trial.count and row[:1].tobytes() == trial.stamp else None

    def table(self, trials: Sequence[TrialLine]) -> Floats:
        """Trials of equal spans, a row each; NaN where values are lost."""
        width, values = 1 + trials[0].count, self._pnl
        begins = np.array([trial.begin for trial in trials])
        shift = int(begins[0]) % width
        if (begins % width == shift).all() and len(values) >= begins.max() + width:  # as a day's trials mostly are
            rows = values[shift : shift + (len(values) - shift) // width * width].reshape(-1, width)
            places = (begins - shift) // width
            in_a_row = bool((np.diff(places) == 1).all())  # without a copy then
            rows = rows[places[0] : places[-1] + 1] if in_a_row else rows[places]
            stamps = np.array([crc32(trial.design.encode()) for trial in trials], np.uint32)
            if np.array_equal(rows[:, 0].view(np.uint32), stamps):
                own: Floats = rows[:, 1:]
                return own
        lost = np.full(width - 1, np.nan, _FLOAT)
        each = [self.pnl(trial) for trial in trials]
        return np.stack([lost if own is None else own for own in each])


@dataclass(frozen=True)
class Ledger:
    out_root: Path

    @property
    def folder(self) -> Path:
        return self.out_root / FOLDER

    def read(self, symbol: str, day: str) -> DayLedger:
        path = self._path(symbol, day)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return DayLedger()
        except OSError as error:
            return DayLedger(problems=[f"{path}: {error.strerror}; its trials do not count"])
        lines, problems = _decoded(path, text)
        return _day(lines, problems, path.with_suffix(VALUES))

    def add(self, trial: Trial) -> str | None:
        return self._append(trial.symbol, trial.day, trial)

    def open(self, symbol: str, day: str, made_by: str, number: int = 0) -> str | None:
        return self._append(symbol, day, Opening(at_us=now_us(), made_by=made_by, number=number))

    def forget(self, symbol: str, day: str, why: str) -> int:
        """Return how many trials were forgotten."""
        number = len(self.read(symbol, day).trials)
        if number:
            with self._appending(symbol, day) as (lines, _):
                _write(lines, Forgetting(at_us=now_us(), trials=number, why=why))
        return number

    def off_record(self, symbol: str, day: str, since_us: int | None) -> int:
        """Count finished runs of a day from before its first entry: other trials, or removed ones."""
        until_us, name = math.inf if since_us is None else since_us, f"{day}[-_]*/run_manifest.json"
        runs = (path for kind in PLAYING for path in self.out_root.glob(f"{kind}/{symbol}/{name}"))
        return sum(path.stat().st_mtime_ns // 1000 < until_us for path in runs)

    def days(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.folder.glob(f"*/*{LINES}")):
            yield path.parent.name, path.stem

    def known(self) -> int:
        """Count trials: a design counts on each of its days."""
        return sum(map(_count, self.folder.glob(f"*/*{LINES}")))

    def _path(self, symbol: str, day: str) -> Path:
        return self.folder / symbol / f"{day}{LINES}"

    def _append(self, symbol: str, day: str, entry: Trial | Opening) -> str | None:
        try:
            with self._appending(symbol, day) as (lines, values):
                if isinstance(entry, Opening):
                    _write(lines, entry)
                else:
                    begin = os.lseek(values, 0, os.SEEK_END) // _FLOAT.itemsize
                    _write_all(values, entry.line.stamp + entry.pnl.astype(_FLOAT).tobytes())
                    _write(lines, structs.replace(entry.line, begin=begin))
        except OSError as error:
            return f"{self._path(symbol, day)}: cannot be written ({error.strerror}); this run is not on record"
        return None

    @contextmanager
    def _appending(self, symbol: str, day: str) -> Iterator[tuple[int, int]]:
        """Open lines and values to append; what a killed writer left torn is closed off first."""
        path = self._path(symbol, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        lines = os.open(path, flags, 0o666)
        try:
            wait_for_file(lines)
            size = os.lseek(lines, 0, os.SEEK_END)
            if size and os.pread(lines, 1, size - 1) != b"\n":
                _write_all(lines, b"\n")
            values = os.open(path.with_suffix(VALUES), flags, 0o666)
            try:
                _write_all(values, bytes(-os.lseek(values, 0, os.SEEK_END) % _FLOAT.itemsize))
                yield lines, values
            finally:
                os.close(values)
        finally:
            os.close(lines)


def _write(file: int, line: Line) -> None:
    _write_all(file, msgspec.json.encode(line) + b"\n")


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _decoded(path: Path, text: bytes) -> tuple[list[Line], list[str]]:
    try:
        lines: list[Line] = _LINES.decode_lines(text)
        if all(line.v == VERSION for line in lines):
            return lines, []
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # some line: each is read alone
    lines, torn, others = [], 0, list[int]()
    for row in filter(None, text.split(b"\n")):
        version = _version(row)
        if version not in (None, VERSION):
            others.append(version)
            continue
        try:
            lines.append(_LINES.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError):
            torn += 1
    problems = [f"{path}: {torn} torn {noun(torn, 'line')}; what was in it does not count"] * bool(torn)
    if others:
        versions = ", ".join(map(str, sorted(set(others))))
        problems.append(
            f"{path}: {len(others)} {noun(len(others), 'line')} of version {versions}, and this is {VERSION}; "
            f"these trials do not count"
        )
    return lines, problems


def _version(row: bytes) -> int | None:
    try:
        return msgspec.json.decode(row, type=_Version).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _day(lines: Sequence[Line], problems: Sequence[str], values: Path) -> DayLedger:
    """A forgetting ends the trials before it."""
    trials: dict[Identity, TrialLine] = {}
    openings, forgettings = 0, list[Forgetting]()
    for line in lines:
        if isinstance(line, TrialLine):
            trials.setdefault((line.design, line.assumption, line.market), line)
        elif isinstance(line, Opening):
            openings = max(openings + 1, line.number)
        else:
            trials.clear()
            forgettings.append(line)
    return DayLedger(trials, openings, forgettings, problems, lines[0].at_us if lines else None, values)


def _count(path: Path) -> int:
    try:
        text = path.read_bytes()
    except OSError:
        return 0
    current, ended = (f'{{"kind":"{kind}","v":{VERSION},'.encode() for kind in ("trial", "forgetting"))
    return text.count(current, max(text.rfind(ended), 0))


def market_of(inputs: Sequence[tuple[str, int, str]]) -> str:
    return max(((size, sha256) for _, size, sha256 in inputs), default=(0, ""))[1]


def split_by_day(spans: Spans, pnl: Floats, begins_us: Mapping[str, int]) -> dict[str, tuple[Spans, Floats]]:
    edges = np.array(list(begins_us.values()), np.int64)
    parts: dict[str, tuple[list[tuple[int, int]], list[Floats]]] = {day: ([], []) for day in begins_us}
    names, at = list(begins_us), 0
    for begin_us, count in spans:
        day = names[max(int(np.searchsorted(edges, begin_us, side="right")) - 1, 0)]
        parts[day][0].append((begin_us, count))
        parts[day][1].append(pnl[at : at + count])
        at += count
    return {
        day: (tuple(own), np.concatenate(values) if values else np.empty(0)) for day, (own, values) in parts.items()
    }
