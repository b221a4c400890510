"""Enforces the manifest: no data of a sealed day is read from a file that differs from its manifest."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mm.base.atomic_file import FileIdentity, VerifiedFiles
from mm.dayfolder.layout import DayFolder, existing
from mm.dayfolder.manifest import FileEntry, Manifest, is_passing, read_manifest, sha256_of
from mm.errors import BrokenFile


class AlteredFile(NamedTuple):
    path: Path
    what: str
    entry: FileEntry | None


def altered(day: DayFolder, verified: VerifiedFiles | None = None) -> list[AlteredFile]:
    """Files that differ from the manifest, compared once per identity if *verified* is given."""
    manifest = read_manifest(day)
    if manifest is None or not manifest.sealed:
        return []
    files: list[AlteredFile] = []

    def whole() -> bool:
        files.extend(differing(day, manifest, _read(day)))
        return not files

    claim = _claim(day, manifest) if verified else None
    if verified is None or claim is None:
        whole()
    else:
        verified.verified_once(day.manifest, claim, whole)
    return files


def require_sealed(
    folder: DayFolder,
    *,
    damaged: bool = False,
    verified: VerifiedFiles | None = None,
) -> list[AlteredFile]:
    """Raise BrokenFile if files differ, unless *damaged* days are accepted."""
    files = altered(folder, verified)
    if files and not damaged:
        path, what, _ = files[0]
        more = f", and {len(files) - 1} more files differ" if len(files) > 1 else ""
        raise BrokenFile(
            "{}: {}{}; restore the day, `mm data repair` repairs what can be repaired, {damaged} uses the remaining "
            "data",
            path,
            what,
            more,
        )
    return files


def _difference(path: Path, entry: FileEntry) -> str:
    size = path.stat().st_size
    if size != entry.bytes:
        return f"it has {size} bytes, and {entry.bytes} in the manifest"
    digest = sha256_of(path)
    return "" if digest == entry.sha256 else f"its sha256 is {digest}, and {entry.sha256} in the manifest"


def _claim(folder: DayFolder, manifest: Manifest) -> str | None:
    base = str(folder.path)
    folders = {os.path.dirname(entry.path) for entry in manifest.files}
    try:
        names = [name for inside in sorted(folders) for name in sorted(os.listdir(os.path.join(base, inside)))]
        files = [FileIdentity.of(Path(base, entry.path)) for entry in manifest.files]
    except OSError:
        return None
    if not all(file.settled() for file in files):
        return None
    return json.dumps([[name for name in names if not is_passing(name)], files])


def differing(folder: DayFolder, manifest: Manifest, files: Iterable[Path]) -> Iterator[AlteredFile]:
    if (manifest.symbol, manifest.day) != (folder.symbol, folder.day):
        yield AlteredFile(folder.manifest, f"it is of {manifest.symbol} {manifest.day}", None)
    for entry in manifest.files:
        path = folder.path / entry.path
        what = _difference(path, entry) if path.is_file() else "it is in the manifest, but it does not exist"
        if what:
            yield AlteredFile(path, what, entry)
    named = {entry.path for entry in manifest.files}
    for path in files:
        if folder.relative(path) not in named:
            yield AlteredFile(path, "it is not in the sealed manifest", None)


def _read(folder: DayFolder) -> Iterator[Path]:
    yield from filter(None, map(existing, (*folder.streams(), folder.instrument)))
    yield from (path for path in sorted(folder.snapshots.glob("*")) if not is_passing(path.name))
