"""The manifest of a day: the contents of each file, so that a copied day can be verified."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mm.base.atomic_file import UNFINISHED, atomic_file, fsync_path
from mm.dayfolder.layout import COUNTED_TRADE_COLUMNS, PACKED, SCHEMA_VERSION, DayFolder, snapshot_event_id
from mm.dayfolder.line_files import known_tail, lines_of_file, scan
from mm.errors import BrokenFile

if TYPE_CHECKING:
    from mm.dayfolder.line_files import FileTail

_CHUNK = 1 << 20
_NAME = COUNTED_TRADE_COLUMNS[0]
_UNFINISHED = (UNFINISHED, ".tmp")  # the second one was used by older versions


class Contents(NamedTuple):
    """Data rows of a file, and first and last row's ids, if any."""

    rows: int
    first_id: int | None = None
    last_id: int | None = None


class FileEntry(msgspec.Struct, frozen=True):
    path: str
    rows: int
    bytes: int
    sha256: str
    first_id: int | None = None
    last_id: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """All files of a day; *sealed* means that there was no later writer.

    Attributes:
        trades_provable: Whether the exchange's ids show that no trade is missing; unset where `trade_id` is its number,
            whose holes the ledger has.
    """

    schema_version: int
    symbol: str
    day: str
    sealed: bool
    runs: list[str]
    files: list[FileEntry]
    trades_provable: bool | msgspec.UnsetType = msgspec.UNSET


def read_manifest(folder: DayFolder) -> Manifest | None:
    """None without one; BrokenFile if unreadable."""
    if not folder.manifest.is_file():
        return None
    try:
        return msgspec.json.decode(folder.manifest.read_bytes(), type=Manifest)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BrokenFile(
            f"{folder.manifest}: not a manifest ({error}); remove it, and the day counts as not sealed"
        ) from error


def write_manifest(
    folder: DayFolder,
    runs: Iterable[str],
    known: Mapping[Path, Contents] = MappingProxyType({}),
    hashes: Mapping[Path, str] = MappingProxyType({}),
    forced: Callable[[Path], None] = fsync_path,
) -> Manifest:
    """Read every file of *folder*, write its sealed manifest, and return it."""
    files = [file_entry(folder, path, known.get(path), hashes.get(path)) for path in day_files(folder)]
    proved = trades_provable(folder)
    told = msgspec.UNSET if proved is None else proved
    manifest = Manifest(SCHEMA_VERSION, folder.symbol, folder.day, True, list(runs), files, told)
    _write(folder, manifest, forced)
    return manifest


def trades_provable(folder: DayFolder) -> bool | None:
    """Return whether the day's prints have ids that are numbers without a hole; None where `trade_id` is such a one."""
    lines = lines_of_file(folder.trades)
    columns = next(lines, b"").split(b",")
    if _NAME.encode() not in columns:
        return None
    at, least, most, count = columns.index(_NAME.encode()), 1 << 63, 0, 0
    for line in lines:
        cell = line.split(b",", at + 1)[at]
        if not cell.isdigit():
            return False
        least, most, count = min(least, int(cell)), max(most, int(cell)), count + 1
    return count > 0 and most - least + 1 == count


def sealed_contents(folder: DayFolder) -> tuple[dict[Path, Contents], dict[Path, str]]:
    """Contents and hashes of the files that only the day's own writer writes."""
    manifest = read_manifest(folder)
    entries = {folder.path / entry.path: entry for entry in manifest.files} if manifest and manifest.sealed else {}
    rows = {path: entries[path] for path in folder.streams() if path in entries}
    known = {path: Contents(entry.rows, entry.first_id, entry.last_id) for path, entry in rows.items()}
    return known, {path: entry.sha256 for path, entry in rows.items()}


def unseal(folder: DayFolder) -> None:
    """A writer is about to append: the manifest, if any, is outdated."""
    manifest = read_manifest(folder)
    if manifest and manifest.sealed:
        _write(folder, msgspec.structs.replace(manifest, sealed=False))


def note_manifest(
    folder: DayFolder,
    runs: Iterable[str],
    written: Sequence[tuple[Path, int, int, str | None]],
    forced: Callable[[Path], None] = fsync_path,
) -> None:
    """Write an unsealed manifest of what is *written*: path, rows, bytes, hash."""
    files = [FileEntry(folder.relative(path), rows, size, sha) for path, rows, size, sha in written if sha]
    if len(files) == len(written):
        with suppress(OSError):  # it only saves time at the next start
            _write(folder, Manifest(SCHEMA_VERSION, folder.symbol, folder.day, False, list(runs), files), forced)


def proved_tails(folder: DayFolder) -> "dict[Path, FileTail]":
    """Tails that hashes of the manifest verify, sealed or not, up to where they were hashed."""

    manifest, tails = read_manifest(folder), {}
    entries = {entry.path: entry for entry in manifest.files} if manifest else {}
    for path in folder.streams():
        entry = entries.get(folder.relative(path))
        if not (entry and entry.bytes and path.is_file() and path.stat().st_size >= entry.bytes):
            continue
        if sha256_of(path, entry.bytes) == entry.sha256:
            tails[path] = known_tail(path, entry.rows + (path.suffix != PACKED), entry.bytes)
    return {path: tail for path, tail in tails.items() if tail}


def day_files(folder: DayFolder) -> list[Path]:
    paths = (path for path in folder.path.rglob("*") if path.is_file() and path != folder.manifest)
    return sorted((path for path in paths if not is_passing(path.name)), key=folder.relative)


def file_entry(folder: DayFolder, path: Path, known: Contents | None = None, sha256: str | None = None) -> FileEntry:
    """Describe a file from disk, except *known* rows and ids, and a given hash; BrokenFile if ids cannot be read."""
    size = path.stat().st_size
    rows, first_id, last_id = known or contents(folder, path)
    return FileEntry(folder.relative(path), rows, size, sha256 or sha256_of(path), first_id, last_id)


def contents(folder: DayFolder, path: Path, tail: "FileTail | None" = None) -> Contents:
    try:
        return _contents(folder, path, tail)
    except (ValueError, LookupError, msgspec.MsgspecError) as error:
        raise BrokenFile(f"{path}: first or last row cannot be read ({error}); run `mm data check`") from error


def sha256_of(path: Path, size: int | None = None) -> str:
    with path.open("rb") as stream:
        if size is None:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256()
        while size and (chunk := stream.read(min(size, _CHUNK))):
            digest.update(chunk)
            size -= len(chunk)
        return digest.hexdigest()


def _contents(folder: DayFolder, path: Path, tail: "FileTail | None") -> Contents:

    plain = path.name.removesuffix(PACKED)
    if plain.endswith(".json"):
        return Contents(1)
    if path == folder.order_log_columns:
        from mm.dayfolder.order_log import row_count  # a recorder's machine has no pyarrow, and no such file

        return Contents(row_count(path))
    tail = tail or scan(path)
    if plain.endswith(".csv"):
        column = _id_column(folder, path)
        if column is None or tail.lines < 2:
            return Contents(max(tail.lines - 1, 0))
        at = _cells(tail.head[0]).index(column)
        return Contents(tail.lines - 1, int(_cells(tail.head[1])[at]), int(_cells(tail.last)[at]))
    if plain == folder.diffs.name.removesuffix(PACKED) and tail.lines:
        return Contents(tail.lines, msgspec.json.decode(tail.head[0])["U"], msgspec.json.decode(tail.last)["u"])
    return Contents(tail.lines)


def _id_column(folder: DayFolder, path: Path) -> str | None:
    if snapshot_event_id(path) is not None:
        return "lastUpdateId"
    columns = {folder.frames.name: "last_update_id", folder.trades.name: "trade_id", folder.events.name: "event_id"}
    return columns.get(path.name.removesuffix(PACKED))


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode()]))


def is_unfinished(path: Path) -> bool:
    return path.name.endswith(_UNFINISHED) and path.is_file()


def is_passing(name: str) -> bool:
    """A lock, a health file, a temporary name."""
    return name.endswith((".lock", *_UNFINISHED)) or (name.startswith("health") and name.endswith(".json"))


def _write(folder: DayFolder, manifest: Manifest, forced: Callable[[Path], None] = fsync_path) -> None:
    with atomic_file(folder.manifest) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        forced(unfinished)
