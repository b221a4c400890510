"""The usable rest of a sealed day that differs from its manifest, and its lost spans."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from mm.dayfolder.coverage import IdRow
from mm.dayfolder.layout import PACKED, DayFolder, existing, twin_of
from mm.dayfolder.ledger import LedgerView
from mm.dayfolder.line_files import WholeLines, write_lines
from mm.dayfolder.manifest import FileEntry, read_manifest
from mm.dayfolder.repair_rows import head_of, valid_row
from mm.dayfolder.rows import DefectList
from mm.dayfolder.seal import AlteredFile
from mm.errors import BrokenFile
from mm.ids import IdRanges
from mm.tape.excluded import Losses, Span

_SNAPSHOT = b"snapshot_loaded"
_ID_COLUMNS = {"trades": "trade_id", "events": "event_id", "frames": "last_update_id"}
_HOLES = {"trades": "trade_gap", "diffs": "gap"}


class _Placed(NamedTuple):
    first: int
    last: int
    us: int


@contextmanager
def usable_rest(folder: DayFolder, altered: Sequence[AlteredFile]) -> Iterator[tuple[DayFolder, Losses]]:
    """Yield a copy of *folder* with the complete rows of the *altered* files, and the losses.

    The ids around lost rows, and a file's first and last id in the manifest, locate the losses.
    """
    with tempfile.TemporaryDirectory(prefix="mm-damaged-") as place:
        left = DayFolder(Path(place), folder.symbol, folder.day)
        paths = {file.path for file in altered}
        for path in (path for path in folder.path.rglob("*") if path.is_file() and path not in paths):
            target = left.path / folder.relative(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())
        yield left, _Rest(folder, left, altered).losses()


class _Rest:
    def __init__(self, folder: DayFolder, left: DayFolder, altered: Sequence[AlteredFile]) -> None:
        self._folder = folder
        self._left = left
        self._altered = altered
        self._spans: list[Span] = []
        self._notes: list[str] = []
        manifest = read_manifest(folder)
        named = {entry.path for entry in manifest.files} if manifest else set()
        self._has_diffs = any(self._folder.relative(path) in named for path in _twins(folder.diffs))

    def losses(self) -> Losses:
        folder, by_path = self._folder, {file.path: file for file in self._altered}
        streams = {"events": folder.events, "trades": folder.trades, "diffs": folder.diffs, "frames": folder.frames}
        for kind, path in streams.items():
            for twin in _twins(path):
                if file := by_path.pop(twin, None):
                    self._stream(kind, path, file)
        for file in by_path.values():
            if file.path in (folder.instrument, folder.manifest):
                raise _unrecoverable(file, "and the numbers of the day cannot be interpreted without it")
            if file.path.parent == folder.snapshots and file.entry:
                self._without_snapshot(file.path.name)
                self._note(file, "its book is left out, up to the next snapshot")
            else:
                self._note(file, "it is not used")
        return Losses(self._spans, self._notes)

    def _note(self, file: AlteredFile, consequence: str) -> None:
        self._notes.append(f"{file.path.name}: {file.what}; {consequence}")

    def _stream(self, kind: str, path: Path, file: AlteredFile) -> None:
        if file.entry is None or (kind == "frames" and self._has_diffs):
            self._note(file, "it is not used")
            return
        if not file.path.is_file():
            if kind == "diffs" and existing(self._folder.frames):
                self._note(file, "the day is replayed from its frames, with the best levels only")
                return
            raise _unrecoverable(file, "and there is no other record of it")
        head, lines = self._salvage(path, file.path)
        rows = [_row(kind, head, line) for line in lines]
        spans, holes = self._spans_of(kind, file.entry, rows)
        missing = file.entry.rows - len(rows)
        if missing <= 0 or not (spans or holes):
            raise _unrecoverable(file, "and the altered position cannot be located from lost rows")
        write_lines(self._left.path / self._folder.relative(file.path), chain([head] if head else [], lines))
        for begin, end in spans:
            self._spans.append(Span(begin, end, f"{file.path.name}: {file.what}, {missing:,} rows are lost"))
        if holes:
            self._note(file, f"{missing:,} rows are lost, also within the file")

    def _salvage(self, path: Path, source: Path) -> tuple[bytes, list[bytes]]:
        lines = list(WholeLines(source))
        head = head_of(self._folder, path, lines[0] if lines else b"") if path.suffix == ".csv" else b""
        sound = valid_row(self._folder, path, head.count(b",") + 1)
        return head, [line for line in (lines[1:] if head and lines[:1] == [head] else lines) if sound(line)]

    def _spans_of(
        self, kind: str, entry: FileEntry, rows: Sequence[_Placed]
    ) -> tuple[list[tuple[int | None, int | None]], bool]:
        if not rows:
            return [], False
        spans: list[tuple[int | None, int | None]] = []
        if rows[0].first != entry.first_id:
            spans.append((None, rows[0].us))
        if rows[-1].last != entry.last_id:
            spans.append((rows[-1].us, None))
        jumps = [(before, after) for before, after in pairwise(rows) if after.first > before.last + 1]
        if kind == "events":
            return spans + [(before.us, after.us) for before, after in jumps], False
        view = LedgerView.of(self._left, DefectList(self._left))
        declared = view.holes(_HOLES[kind]) if kind in _HOLES else IdRanges()
        lost = kind in _HOLES and any(not declared.covers(before.last + 1, after.first - 1) for before, after in jumps)
        return spans, lost

    def _without_snapshot(self, name: str) -> None:
        ledger = existing(self._left.events)
        if ledger is None:
            return
        plain = name.removesuffix(PACKED).encode()
        lines = [line for line in WholeLines(ledger) if not (_SNAPSHOT in line and plain in line)]
        ledger.unlink()
        write_lines(ledger, lines)


def _twins(path: Path) -> tuple[Path, Path]:
    return path, twin_of(path)


_DIFF = msgspec.json.Decoder(IdRow)


def _row(kind: str, head: bytes, line: bytes) -> _Placed:
    if kind == "diffs":
        diff = _DIFF.decode(line)
        return _Placed(diff.U, diff.u, diff.recv_us)
    cells = dict(zip(head.decode().split(","), line.decode().split(","), strict=False))
    number = int(cells.get(_ID_COLUMNS[kind]) or 0)
    last = line.rpartition(b",")[2].decode() if kind == "events" else cells.get("recv_time_us", "")
    return _Placed(number, number, int(last) if last.isdigit() else 1000 * int(cells["recv_time_ms"]))


def _unrecoverable(file: AlteredFile, why: str) -> BrokenFile:
    return BrokenFile(f"{file.path}: {file.what}, {why}; no usable data of the day remains; restore the file")
