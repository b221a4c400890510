"""Paths as they were given: links keep their names, and are followed where files are searched or replaced."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mm.base.atomic_file import atomic_file


def as_given(path: Path | str) -> Path:
    """Return *path* absolute and without ``.`` and ``..``; links in it keep their names.

    Only a ``..`` that leads out of a link's target is resolved: it has no other name.
    """
    plain = Path(os.path.abspath(path))
    if ".." in Path(path).parts and os.path.realpath(plain) != os.path.realpath(path):
        return Path(os.path.realpath(path))
    return plain


def target_of(path: Path) -> Path:
    """Return where a file written to *path* belongs: the target of a link, else *path* itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def shown_name(path: Path) -> str:
    """Return the name of a file as text that can be written: bytes that are no UTF-8 are replaced."""
    return os.fsencode(path.name).decode(errors="replace")


def dead_link(path: Path) -> str:
    """Return a sentence about the first part of *path* that is a link to nothing; empty without one."""
    for part in (*reversed(path.parents), path):
        if part.is_symlink() and not part.exists():
            return f"{part} is a link to {os.readlink(part)}, which does not exist"
    return ""


def move_file(source: Path, place: Path) -> None:
    """Move a file to *place*, also to another file system; a link at *place* stays, and its target is replaced."""
    target = target_of(place)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_file(target) as unfinished:
            shutil.copyfile(source, unfinished)
        source.unlink()


def files_below(root: Path, name: str) -> Iterator[Path]:
    """Yield the files called *name* below *root*, in linked folders too; each folder is visited once."""
    seen: set[tuple[int, int]] = set()
    for folder, inner, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if name in files:
            yield Path(folder, name)
