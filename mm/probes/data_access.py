"""Controls the data that a model can read: a copy of the current folder truncated at a cut."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mm.cli.settings_file import LEFT_OUT
from mm.clock import US_PER_MS
from mm.dayfolder.layout import PACKED, DayFolder, days_of, existing, snapshot_event_id

_RUN = re.compile(r"(\d{8})(?:-(\d{8}))?_")  # prefix of the name of a run folder
_FAR = 1 << 40  # a recv_seq after all messages of the day
_RECEIVED = re.compile(rb'"recv_us": ?(\d+)')
MODEL_RAISED = 1  # exit code


@dataclass(frozen=True, slots=True)
class TruncatedCopy:
    """A copy of the current folder without data from an instant on."""

    cwd: Path
    data_root: Path
    real_root: Path

    def moved(self, text: str) -> str:
        path = Path(text)
        if not path.is_absolute() or not path.is_relative_to(self.real_root):
            return text
        return str(self.data_root / path.relative_to(self.real_root))

    def params(self, text: str | None) -> str | None:
        return None if text is None else json.dumps(_each_text(json.loads(text), self.moved))

    def environment(self) -> dict[str, str]:
        return {name: self.moved(value) for name, value in os.environ.items()}


def truncated_copy(
    place: Path, day: DayFolder, out_root: Path, cut_us: int, beside: Sequence[DayFolder] = ()
) -> TruncatedCopy:
    """Copy to *place*; its *day*, and those *beside* it, end at *cut_us*."""
    here, real = Path.cwd().resolve(), Path(day.root).resolve()
    symbols = [path for path in sorted(real.iterdir()) if path.is_dir()]
    cwd = place / "copy"
    _mirror(here, cwd, {*symbols, *derived_from(day.day, out_root)})
    data = cwd / real.relative_to(here) if real.is_relative_to(here) else place / "data"
    for symbol in symbols:
        _link_days(symbol, data / symbol.name, day.day)
    for folder in {folder.path.resolve(): folder for folder in (day, *beside)}.values():  # a market may see itself
        truncate(folder, DayFolder(data, folder.symbol, folder.day), cut_us)
    return TruncatedCopy(cwd, data, real)


def derived_from(day: str, out_root: Path) -> list[Path]:
    """Runs and cached tapes of *day* or a later one."""
    out = out_root.resolve()
    return [path for path in out.rglob("*") if _derived(path.relative_to(out), day)] if out.is_dir() else []


def truncate(day: DayFolder, copy: DayFolder, cut_us: int) -> None:
    """Leave the day as a recorder killed at *cut_us* does.

    A quiet end would not be played, so a message without changes is added just before the cut.
    """
    copy.path.mkdir(parents=True)
    for path in (day.instrument, day.schema):
        if path.is_file():
            shutil.copyfile(path, copy.path / path.name)
    for path in (day.frames, day.trades, day.gaps, day.contract, day.best):
        deque(_copy_lines(day, copy, path, cut_us), maxlen=0)
    if day.order_log.is_file():
        _truncate_log(day.order_log, copy.order_log, cut_us)
    last = deque(_copy_lines(day, copy, day.diffs, cut_us), maxlen=1)
    for line in last:
        with _writer(copy.path / day.relative(existing(day.diffs) or day.diffs), "ab") as sink:
            sink.write(_quiet(line, cut_us - 1))
    kept = {int(line.split(b",")[0]) for line in _copy_lines(day, copy, day.events, cut_us)}
    copy.snapshots.mkdir()
    for path in day.snapshots.glob("*"):
        if snapshot_event_id(path) in kept:
            shutil.copyfile(path, copy.snapshots / path.name)


def _truncate_log(path: Path, copy: Path, cut_us: int) -> None:
    from mm.dayfolder.order_log import OrderLog, OrderLogWriter  # imported here: most days have no log

    log = OrderLog.open(path)
    spans = log.spans and [(begin, min(end, cut_us)) for begin, end in log.spans if begin < cut_us]
    with OrderLogWriter(copy, spans, log.steps) as sink:
        for part in log.blocks():
            rows = int(np.searchsorted(part["us"], cut_us))
            sink.add_columns({name: column[:rows] for name, column in part.items()})
            if rows < len(part["us"]):
                break


def _copy_lines(day: DayFolder, copy: DayFolder, wanted: Path, cut_us: int) -> Iterator[bytes]:
    path = existing(wanted)
    if path is None:
        return
    target = copy.path / day.relative(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path) if path.suffix == PACKED else path.open("rb") as source, _writer(target) as sink:
        received = _in_diffs if ".ndjson" in path.name else _in_table(source, sink)
        for line in source:
            if received(line) >= cut_us:
                break
            sink.write(line)
            yield line


def _quiet(diff: bytes, us: int) -> bytes:
    last = json.loads(diff)
    follows = {"recv_ms": us // US_PER_MS, "recv_us": us, "recv_seq": last["recv_seq"] + _FAR, "b": [], "a": []}
    # sent as much later, or orders of the log since then would be played as late as this message
    follows |= {name: last[name] + us // US_PER_MS - last["recv_ms"] for name in ("E", "T") if last.get(name)}
    return (
        json.dumps({**last, **follows, "U": last["u"] + 1, "u": last["u"] + 1}, separators=(",", ":")).encode() + b"\n"
    )


def _writer(path: Path, mode: Literal["wb", "ab"] = "wb") -> BufferedIOBase:
    return gzip.open(path, mode, compresslevel=1) if path.suffix == PACKED else path.open(mode)


def _in_diffs(line: bytes) -> int:
    match = _RECEIVED.search(line)
    return int(match[1]) if match else 0


def _in_table(source: BufferedIOBase, sink: BufferedIOBase) -> Callable[[bytes], int]:
    header = source.readline()
    sink.write(header)
    names = header.decode().strip().split(",")
    name, unit = ("recv_time_us", 1) if "recv_time_us" in names else ("recv_time_ms", US_PER_MS)
    place = names.index(name) - len(names)  # from the end, as a field of events may contain commas

    def received(line: bytes) -> int:
        return int(line.rsplit(b",", -place)[place]) * unit

    return received


def _mirror(folder: Path, copy: Path, hidden: Set[Path]) -> None:
    copy.mkdir(parents=True)
    for entry in folder.iterdir():
        if entry in hidden:
            continue
        if any(path.is_relative_to(entry) for path in hidden):
            _mirror(entry, copy / entry.name, hidden)
        else:
            (copy / entry.name).symlink_to(entry)


def _derived(path: Path, day: str) -> bool:
    if path.parts[0] == "tapes":
        return len(path.parts) == 1
    run = _RUN.match(path.name)
    return run is not None and (run[2] or run[1]) >= day


def _link_days(symbol: Path, copy: Path, day: str) -> None:
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


@dataclass(frozen=True, slots=True)
class Child:
    folder: Path
    code: int
    error: str


def run_command(
    command: Sequence[str], words: Sequence[str], place: Path, copy: tuple[Path, Mapping[str, str]]
) -> Child:
    """Run in the folder and environment of *copy*; its files are in *place*."""
    folder, (cwd, environment) = place / "run", copy
    own = [f"--out-dir={folder}", f"--log-root={place / 'logs'}", "--run-id=check", "--log-level=ERROR"]
    done = subprocess.run(
        [sys.executable, "-m", "mm", *command, *words, *own],
        cwd=cwd,
        env={**environment, **LEFT_OUT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    named = f"mm {' '.join(command)}"
    error = lines[0].partition("; the traceback is in")[0] if lines else f"{named} exited with {done.returncode}"
    return Child(folder, done.returncode, error if done.returncode else "")
