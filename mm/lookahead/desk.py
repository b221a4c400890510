"""A desk whose data ends at an instant: the same folder to work in, but no file of it knows what comes later."""

import gzip
import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

from mm.clock import US_PER_MS
from mm.market_data.layout import PACKED, DayFolder, days_of, existing, snapshot_event_id

_RUN = re.compile(r"(\d{8})(?:-(\d{8}))?_")  # how the name of a run folder begins
_FAR = 1 << 40  # in the counter of the day's messages, behind all of them
_RECEIVED = re.compile(rb'"recv_us": ?(\d+)')


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a command is run that shall know nothing from an instant on.

    Attributes:
        cwd: The folder to run it in: that of the user, its data but for what follows.
        data_root: Its data: the day ends at the instant, later days are not there.
        real_root: The data of which it is a copy.
    """

    cwd: Path
    data_root: Path
    real_root: Path

    def moved(self, text: str) -> str:
        """Return *text*, if it is a path in the real data, as the same path in this desk's."""
        path = Path(text)
        if not path.is_absolute() or not path.is_relative_to(self.real_root):
            return text
        return str(self.data_root / path.relative_to(self.real_root))

    def params(self, text: str | None) -> str | None:
        """Return a JSON object of parameters whose paths are those of this desk."""
        return None if text is None else json.dumps(_each_text(json.loads(text), self.moved))

    def environment(self) -> dict[str, str]:
        """Return the variables of this process, paths in the data moved likewise."""
        return {name: self.moved(value) for name, value in os.environ.items()}


def lay_out(place: Path, day: DayFolder, out_root: Path, cut_us: int) -> Desk:
    """Make a desk in the new folder *place*, whose *day* ends at *cut_us*.

    The rest of the current folder is linked, not copied; what lies below *out_root* of this day or of later ones, runs
    and cached tapes, is left out.
    """
    here, real = Path.cwd().resolve(), Path(day.root).resolve()
    symbols = [path for path in sorted(real.iterdir()) if path.is_dir()]
    cwd = place / "desk"
    _mirror(here, cwd, {*symbols, *made_of(day.day, out_root)})
    data = cwd / real.relative_to(here) if real.is_relative_to(here) else place / "data"
    for symbol in symbols:
        _link_days(symbol, data / symbol.name, day.day)
    truncate(day, DayFolder(data, day.symbol, day.day), cut_us)
    return Desk(cwd, data, real)


def made_of(day: str, out_root: Path) -> list[Path]:
    """Return the folders below *out_root* that know *day* or a later one: those of runs, and the cached tapes."""
    out = out_root.resolve()
    return [path for path in out.rglob("*") if _knows(path.relative_to(out), day)] if out.is_dir() else []


def truncate(day: DayFolder, copy: DayFolder, cut_us: int) -> None:
    """Write *day* to the folder of *copy* as a recorder would have left it that died at *cut_us*.

    Its last message comes just before, and changes nothing: a day lasts as long as its messages, and without it a
    silence before the cut would not be played.
    """
    copy.path.mkdir(parents=True)
    for path in (day.instrument, day.schema):
        if path.is_file():
            shutil.copyfile(path, copy.path / path.name)
    for path in (day.frames, day.trades, day.gaps):
        deque(_copy_lines(day, copy, path, cut_us), maxlen=0)
    last = deque(_copy_lines(day, copy, day.diffs, cut_us), maxlen=1)
    for line in last:
        with _writer(copy.path / day.relative(existing(day.diffs) or day.diffs), "ab") as sink:
            sink.write(_quiet(line, cut_us - 1))
    kept = {int(line.split(b",")[0]) for line in _copy_lines(day, copy, day.events, cut_us)}
    copy.snapshots.mkdir()
    for path in day.snapshots.glob("*"):
        if snapshot_event_id(path) in kept:
            shutil.copyfile(path, copy.snapshots / path.name)


def _copy_lines(day: DayFolder, copy: DayFolder, wanted: Path, cut_us: int) -> Iterator[bytes]:
    """Copy a table or the diffs up to *cut_us*, and yield the lines that are no header."""
    path = existing(wanted)
    if path is None:
        return
    target = copy.path / day.relative(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _reader(path) as source, _writer(target) as sink:
        received = _in_diffs if ".ndjson" in path.name else _in_table(source, sink)
        for line in source:
            if received(line) >= cut_us:
                break
            sink.write(line)
            yield line


def _quiet(diff: bytes, us: int) -> bytes:
    """Return the diff that follows on *diff* and takes no level."""
    last = json.loads(diff)
    follows = {"recv_ms": us // US_PER_MS, "recv_us": us, "recv_seq": last["recv_seq"] + _FAR, "b": [], "a": []}
    return (
        json.dumps({**last, **follows, "U": last["u"] + 1, "u": last["u"] + 1}, separators=(",", ":")).encode() + b"\n"
    )


def _reader(path: Path) -> BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == PACKED else path.open("rb")


def _writer(path: Path, mode: Literal["wb", "ab"] = "wb") -> BufferedIOBase:
    return gzip.open(path, mode, compresslevel=1) if path.suffix == PACKED else path.open(mode)


def _in_diffs(line: bytes) -> int:
    found = _RECEIVED.search(line)
    return int(found[1]) if found else 0


def _in_table(source: BufferedIOBase, sink: BufferedIOBase) -> Callable[[bytes], int]:
    """Copy the header of a table, and return what tells when a line of it was received."""
    header = source.readline()
    sink.write(header)
    names = header.decode().strip().split(",")
    name, unit = ("recv_time_us", 1) if "recv_time_us" in names else ("recv_time_ms", US_PER_MS)
    place = names.index(name) - len(names)  # from the end: a field of events may hold commas

    def received(line: bytes) -> int:
        return int(line.rsplit(b",", -place)[place]) * unit

    return received


def _mirror(folder: Path, copy: Path, hidden: Set[Path]) -> None:
    """Make *copy* a folder of links to what *folder* holds, but for what is *hidden* in it or below."""
    copy.mkdir(parents=True)
    for entry in folder.iterdir():
        if entry in hidden:
            continue
        if any(one.is_relative_to(entry) for one in hidden):
            _mirror(entry, copy / entry.name, hidden)
        else:
            (copy / entry.name).symlink_to(entry)


def _knows(path: Path, day: str) -> bool:
    """Return whether something below OUT_ROOT was made of *day* or a later one: a cached tape, or a run."""
    if path.parts[0] == "tapes":
        return len(path.parts) == 1
    run = _RUN.match(path.name)
    return run is not None and (run[2] or run[1]) >= day


def _link_days(symbol: Path, copy: Path, day: str) -> None:
    """Link the days of a symbol that are over when *day* begins."""
    copy.mkdir(parents=True)
    for earlier in days_of(symbol.parent, symbol.name):
        if earlier < day:
            (copy / earlier).symlink_to(symbol / earlier)


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, Mapping):
        return {name: _each_text(value, change) for name, value in content.items()}
    return [_each_text(value, change) for value in content] if isinstance(content, list) else content
