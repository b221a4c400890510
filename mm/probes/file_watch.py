"""The files that a model opens in Python, with the line."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from mm.base.own_modules import is_installed
from mm.clock import US_PER_S, iso
from mm.dayfolder.held_out import FILE as HELD_OUT
from mm.dayfolder.layout import DayFolder

_OWN = str(Path(__file__).resolve().parents[1]) + os.sep
_SYSTEM = ("/dev/", "/proc/", "/sys/", "/etc/", "/usr/", "/lib/", "/lib64/", _OWN)
_COMPILED = (".so", ".pyd", ".pth")
_CACHES = (".pyc", ".nbi", ".nbc")  # in __pycache__
DAY, EARLIER, PAST, OWN, LATER, OLDER = "day", "earlier day", "past", "written by the model", "later", "older"


@dataclass(slots=True)
class OpenedFile:
    path: str
    line: str
    changed_us: int | None
    own: bool


class FileWatch:
    """Records the files that a model opens, within `watching`.

    An audit hook cannot be removed; outside `watching` it does nothing.

    Attributes:
        reached: Started processes and called hosts, with the line.
    """

    def __init__(self, folders: Sequence[Path], allowed: Sequence[Path], *, past: Sequence[Path] = ()) -> None:
        self.opened: dict[str, OpenedFile] = {}
        self.reached: dict[str, str] = {}
        self._folders = tuple(str(folder.resolve()) + os.sep for folder in folders)
        self._allowed = {str(path.resolve()) for path in allowed}
        self._past = {str(path.resolve()) for path in past}
        self._outer: FrameType | None = None
        self._written = set[str]()
        sys.addaudithook(self._on_audit_event)

    @property
    def vouched(self) -> bool:
        return bool(self._past)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._outer = sys._getframe(2)  # the caller, above this generator and contextlib
        try:
            yield
        finally:
            self._outer = None

    @property
    def forbidden(self) -> dict[str, str]:
        return {file.path: file.line for file in self.opened.values() if self._is_forbidden(file)}

    @property
    def others(self) -> dict[str, str]:
        """Other data files that a model's own code opened, by line."""
        files = (file for file in self.opened.values() if not self._is_forbidden(file))
        return {file.path: file.line for file in files}

    def kind(self, file: OpenedFile, began_us: int, data_root: Path) -> str:
        """What a file is to a model that plays the day from *began_us*."""
        if self._is_forbidden(file):
            return DAY
        if any(file.path == past or file.path.startswith(past + os.sep) for past in self._past):
            return PAST
        if file.own:
            return OWN
        if _of_earlier_day(Path(file.path), data_root, iso(began_us)[:10].replace("-", "")):
            return EARLIER
        if file.path.startswith(f"{Path.home()}{os.sep}."):  # caches and settings of libraries
            return OLDER
        return OLDER if file.changed_us is not None and file.changed_us <= began_us else LATER

    @property
    def unseen(self) -> list[str]:
        return ["what else than Python opens", *(f"{what} at {line}" for what, line in self.reached.items())]

    def _is_forbidden(self, file: OpenedFile) -> bool:
        return file.path.startswith(self._folders)

    def _on_audit_event(self, event: str, args: tuple[Any, ...]) -> None:
        if self._outer is None or event not in _EVENTS:
            return
        outer, self._outer = self._outer, None  # files opened here are not opened by the model
        try:
            line = _line(sys._getframe(1), outer)
            what, path = _EVENTS[event](args)
            if path is not None and not os.path.exists(path):  # nothing is read, and perhaps it is made
                self._written.add(os.path.realpath(path))
            elif path is not None and not _only_writes(args) and not os.path.isdir(path):
                self._note(os.path.realpath(path), line)
            elif what and line:
                self.reached.setdefault(what, line)
        finally:
            self._outer = outer

    def _note(self, path: str, line: str | None) -> None:
        forbidden = path.startswith(self._folders)
        if path in self._allowed or (not forbidden and (line is None or _is_installed(path) or _is_code(path))):
            return
        file = OpenedFile(path, line or "a line of a library", _changed_us(path), path in self._written)
        self.opened.setdefault(path, file)


def _is_installed(path: str) -> bool:
    return path.startswith(_SYSTEM) or is_installed(Path(path))


def _opened_path(args: tuple[Any, ...]) -> tuple[str, str | None]:
    return "", os.fsdecode(args[0]) if isinstance(args[0], str | bytes) else None


def _only_writes(args: tuple[Any, ...]) -> bool:
    return len(args) == 3 and isinstance(args[2], int) and args[2] & os.O_ACCMODE == os.O_WRONLY


def _database_path(args: tuple[Any, ...]) -> tuple[str, str | None]:
    text = os.fsdecode(args[0]).removeprefix("file:").partition("?")[0]
    return "", text if text and text != ":memory:" else None


_EVENTS: dict[str, Callable[[tuple[Any, ...]], tuple[str, str | None]]] = {
    "open": _opened_path,
    "sqlite3.connect": _database_path,
    "subprocess.Popen": lambda args: (f"what the process {args[0]} does", None),
    "os.system": lambda args: (f"what the command {os.fsdecode(args[0])!r} does", None),
    "socket.connect": lambda args: (f"what {args[1]} answered", None),
}


def _changed_us(path: str) -> int | None:
    """A file is never older than its inode's change."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return int(max(status.st_mtime, status.st_ctime) * US_PER_S)


def _is_code(path: str) -> bool:
    if path.endswith(_COMPILED) or (path.endswith(_CACHES) and "__pycache__" in path):
        return True
    files = (vars(module).get("__file__") for module in list(sys.modules.values()) if isinstance(module, ModuleType))
    return path.endswith((".py", ".pyx")) and any(
        isinstance(file, str) and os.path.realpath(file) == path for file in files
    )


def _of_earlier_day(path: Path, data_root: Path, day: str) -> bool:
    root = data_root.resolve()
    if not path.is_relative_to(root):
        return False
    if path == root / HELD_OUT:  # every load of a day asks it
        return True
    symbol, recorded, *rest = (*path.relative_to(root).parts, "", "")
    if not re.fullmatch(r"\d{8}", recorded) or recorded >= day:
        return False
    folder = DayFolder(root, symbol, recorded)
    written = (*folder.streams(), folder.instrument, folder.schema, folder.path / "truth.json")  # of a simulated day
    names = {folder.relative(file).removesuffix(".gz") for file in (*written, folder.manifest, folder.order_log)}
    name = "/".join(filter(None, rest)).removesuffix(".gz")
    return name in names or name.startswith("snapshots/snapshot_")


def _line(frame: FrameType | None, outer: FrameType) -> str | None:
    while frame is not None and frame is not outer:
        name = os.path.abspath(frame.f_code.co_filename)
        if not _is_installed(name) and not frame.f_code.co_filename.startswith("<"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
