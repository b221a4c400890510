"""Paths as given: links keep their names and are followed; pipes are copied, to be read twice."""

import errno
import os
import select
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mm.base.atomic_file import atomic_file
from mm.errors import BrokenFile, DataError, UsageError


def as_given(path: Path | str) -> Path:
    """Make it absolute, without ``.`` and ``..``; links keep their names."""
    plain = Path(os.path.abspath(path))
    if ".." in Path(path).parts and os.path.realpath(plain) != os.path.realpath(path):
        return Path(os.path.realpath(path))
    return plain


def target_of(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def shown_name(path: Path) -> str:
    return os.fsencode(path.name).decode(errors="replace")


def dead_link(path: Path) -> str:
    for part in (*reversed(path.parents), path):
        if part.is_symlink() and not part.exists():
            return f"{part} is a link to {os.readlink(part)}, which does not exist"
    return ""


def move_file(source: Path, place: Path) -> None:
    """Move also to another file system; a link at *place* stays, its target is replaced."""
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
    """Linked folders count too; each folder is visited once."""
    seen: set[tuple[int, int]] = set()
    for folder, inner, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            inner.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if name in files:
            yield Path(folder, name)


STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
FIRST_BYTE_S = 60
"""How long a pipe may have no writer."""


@contextmanager
def read_twice(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Pipes become temporary files; ``-`` is standard input."""
    with tempfile.TemporaryDirectory(prefix="mm-pipe-") as place:
        copies = [_copied(path, Path(place) / str(at)) for at, path in enumerate(paths)]
        try:
            yield copies
        except (DataError, UsageError) as error:
            text = str(error)
            for path, copy in zip(paths, copies, strict=True):
                text = text.replace(str(copy), str(path))
            if text == str(error):
                raise
            raise type(error)(text) from error


def is_pipe(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _copied(path: Path, folder: Path) -> Path:
    from_stdin = str(path) in STDIN
    try:
        mode = os.fstat(0).st_mode if from_stdin else path.stat().st_mode
    except OSError:
        return path  # whoever reads it says what is wrong
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return Path("/dev/stdin") if str(path) == "-" else path
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        what = "a terminal" if from_stdin and os.isatty(0) else "a device"
        raise BrokenFile(f"{path}: this is {what}; give the path of a file, or a pipe")
    folder.mkdir()
    copy = folder / ("stdin" if from_stdin else path.name)
    descriptor = os.dup(0) if from_stdin else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream, copy.open("wb") as target:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(FIRST_BYTE_S * 1_000):
            raise BrokenFile(f"{path}: nothing was written to this pipe in {FIRST_BYTE_S} s; start its writer first")
        os.set_blocking(descriptor, True)
        try:
            shutil.copyfileobj(stream, target)
        except OSError as error:
            raise UsageError(
                f"{path}: the copy of the pipe cannot be written ({error.strerror}); set TMPDIR to a folder with space"
            ) from error
    return copy
