"""The manifest of a day: what each file holds, so that a day can be proved whole after it has travelled."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mm.dayfolder.layout import PACKED, SCHEMA_VERSION, DayFolder, snapshot_event_id
from mm.errors import BrokenFile
from mm.whole_file import UNFINISHED, force, whole_file

if TYPE_CHECKING:
    from mm.dayfolder.line_files import FileTail
_CHUNK = 1 << 20
_UNFINISHED = (UNFINISHED, ".tmp")  # the second is that of older versions


class Contents(NamedTuple):
    """Data rows of a file, and the ids of its first and last row where it has some."""

    rows: int
    first_id: int | None = None
    last_id: int | None = None


class FileEntry(NamedTuple):
    """One file: *path* relative to the day folder, data rows, size, hash, and the ids of its first and last row."""

    path: str
    rows: int
    bytes: int
    sha256: str
    first_id: int | None = None
    last_id: int | None = None


class Manifest(NamedTuple):
    """All files of a day; *sealed* means that no writer has come since."""

    schema_version: int
    symbol: str
    day: str
    sealed: bool
    runs: list[str]
    files: list[FileEntry]


_NUMBER = (int, type(None))
_KINDS: Mapping[str, tuple[type, ...]] = {  # of the fields of both
    **dict.fromkeys(("path", "sha256", "symbol", "day"), (str,)),
    **dict.fromkeys(("rows", "bytes", "schema_version"), (int,)),
    **dict.fromkeys(("first_id", "last_id"), _NUMBER),
    **dict.fromkeys(("runs", "files"), (list,)),
    "sealed": (bool,),
}


def read_manifest(folder: DayFolder) -> Manifest | None:
    """Return the manifest of *folder*, or None where it has none; raises BrokenFile where it cannot be read."""
    if not folder.manifest.is_file():
        return None
    try:
        found = Manifest(**_fields(Manifest, json.loads(folder.manifest.read_bytes())))
        if not all(type(run) is str for run in found.runs):
            raise ValueError("runs are not all text")
        return found._replace(files=[FileEntry(**_fields(FileEntry, entry)) for entry in found.files])
    except ValueError as error:
        raise BrokenFile(
            f"{folder.manifest}: not a manifest ({error}); remove it, and the day counts as not sealed"
        ) from error


def _fields(kind: "type[FileEntry | Manifest]", content: Any) -> dict[str, Any]:
    """Return the fields that a JSON object has of *kind*; names that are not its own are left out."""
    if not isinstance(content, dict):
        raise ValueError(f"{content!r:.60} is not an object")
    found = {**kind._field_defaults, **{name: content[name] for name in kind._fields if name in content}}
    for name in kind._fields:
        if type(found.get(name, kind)) not in _KINDS[name]:
            raise ValueError(f"{name} is {found[name]!r:.60}" if name in found else f"there is no {name}")
    return found


def write_manifest(
    folder: DayFolder,
    runs: Iterable[str],
    known: Mapping[Path, Contents] = MappingProxyType({}),
    hashes: Mapping[Path, str] = MappingProxyType({}),
    forced: Callable[[Path], None] = force,
) -> Manifest:
    """Read every file of *folder*, write its sealed manifest, and return it.

    What is *known* is only hashed, and what has one of *hashes* is not read for that. *forced* brings the manifest,
    before it has its name, and what it speaks of to the disk.
    """
    files = [file_entry(folder, path, known.get(path), hashes.get(path)) for path in day_files(folder)]
    manifest = Manifest(SCHEMA_VERSION, folder.symbol, folder.day, True, list(runs), files)
    _write(folder, manifest, forced)
    return manifest


def unseal(folder: DayFolder) -> None:
    """Mark the manifest of *folder*, if it has one, as no longer true: a writer is about to append."""
    manifest = read_manifest(folder)
    if manifest and manifest.sealed:
        _write(folder, manifest._replace(sealed=False))


def note_manifest(
    folder: DayFolder,
    runs: Iterable[str],
    written: Sequence[tuple[Path, int, int, str | None]],
    forced: Callable[[Path], None] = force,
) -> None:
    """Write, in a manifest that is not sealed, what was *written* by now: path, rows, bytes, hash.

    The next start need not read it again. Where a hash is missing, or there is no space, the manifest stays as it was.
    *forced* is as for `write_manifest`.
    """
    files = [FileEntry(folder.relative(path), rows, size, sha) for path, rows, size, sha in written if sha]
    if len(files) == len(written):
        with suppress(OSError):  # it only spares the next start some time
            _write(folder, Manifest(SCHEMA_VERSION, folder.symbol, folder.day, False, list(runs), files), forced)


def proved_tails(folder: DayFolder) -> "dict[Path, FileTail]":
    """Return how far the files of rows are, by their hashes, those of the manifest, sealed or not.

    Files that have grown since are as good as before up to there; what does not agree is left out.
    """
    from mm.dayfolder.line_files import known_tail  # imported here: to read a manifest needs nothing of it

    manifest, found = read_manifest(folder), {}
    entries = {entry.path: entry for entry in manifest.files} if manifest else {}
    for path in folder.streams():
        entry = entries.get(folder.relative(path))
        if not (entry and entry.bytes and path.is_file() and path.stat().st_size >= entry.bytes):
            continue
        if sha256_of(path, entry.bytes) == entry.sha256:
            found[path] = known_tail(path, entry.rows + (path.suffix != PACKED), entry.bytes)
    return {path: tail for path, tail in found.items() if tail}


def day_files(folder: DayFolder) -> list[Path]:
    """Return the files that a manifest must name, in the order of their relative paths."""
    found = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.manifest)
    return sorted((path for path in found if not is_passing(path.name)), key=folder.relative)


def file_entry(folder: DayFolder, path: Path, known: Contents | None = None, sha256: str | None = None) -> FileEntry:
    """Return the manifest's entry of *path*; raises BrokenFile where its ids cannot be read.

    It is read from the disk, but for its rows and ids where they are *known*, and for its hash where that is given.
    """
    size = path.stat().st_size
    rows, first_id, last_id = known or contents(folder, path)
    return FileEntry(folder.relative(path), rows, size, sha256 or sha256_of(path), first_id, last_id)


def contents(folder: DayFolder, path: Path, tail: "FileTail | None" = None) -> Contents:
    """Return what *path* holds, read where its *tail* is not known; raises BrokenFile where its ids cannot be read."""
    try:
        return _contents(folder, path, tail)
    except (ValueError, LookupError) as error:
        raise BrokenFile(f"{path}: first or last row cannot be read ({error}); run `mm data check`") from error


def sha256_of(path: Path, size: int | None = None) -> str:
    """Return the hash of a file, or of its first *size* bytes, in hexadecimal."""
    with path.open("rb") as stream:
        if size is None:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        found = hashlib.sha256()
        while size and (chunk := stream.read(min(size, _CHUNK))):
            found.update(chunk)
            size -= len(chunk)
        return found.hexdigest()


def _contents(folder: DayFolder, path: Path, tail: "FileTail | None") -> Contents:
    from mm.dayfolder.line_files import scan

    plain = path.name.removesuffix(PACKED)
    if plain.endswith(".json"):
        return Contents(1)
    tail = tail or scan(path)
    if plain.endswith(".csv"):
        column = _id_column(folder, path)
        if column is None or tail.lines < 2:
            return Contents(max(tail.lines - 1, 0))
        at = _cells(tail.head[0]).index(column)
        return Contents(tail.lines - 1, int(_cells(tail.head[1])[at]), int(_cells(tail.last)[at]))
    if plain == folder.diffs.name.removesuffix(PACKED) and tail.lines:
        return Contents(tail.lines, json.loads(tail.head[0])["U"], json.loads(tail.last)["u"])
    return Contents(tail.lines)


def _id_column(folder: DayFolder, path: Path) -> str | None:
    """Return the column whose first and last values are a file's ids."""
    if snapshot_event_id(path) is not None:
        return "lastUpdateId"
    columns = {folder.frames.name: "last_update_id", folder.trades.name: "trade_id", folder.events.name: "event_id"}
    return columns.get(path.name.removesuffix(PACKED))


def _cells(line: bytes) -> list[str]:
    import csv

    return next(csv.reader([line.decode()]))


def is_unfinished(path: Path) -> bool:
    """Return True if *path* is a file that was being written under a temporary name."""
    return path.name.endswith(_UNFINISHED) and path.is_file()


def is_passing(name: str) -> bool:
    """Return whether a file is none of the day's data: a lock, a health file, a temporary name."""
    return name.endswith((".lock", *_UNFINISHED)) or (name.startswith("health") and name.endswith(".json"))


def _write(folder: DayFolder, manifest: Manifest, forced: Callable[[Path], None] = force) -> None:
    content = {**manifest._asdict(), "files": [entry._asdict() for entry in manifest.files]}
    with whole_file(folder.manifest) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        forced(unfinished)
