"""The files that a model opens: Python's audit events give the line, the system's events whoever opens them."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from mm.base.code_identity import closure
from mm.base.own_modules import is_installed
from mm.clock import US_PER_S, iso
from mm.dayfolder.layout import DayFolder
from mm.probes.file_events import FileEvents

_OWN = str(Path(__file__).resolve().parents[1]) + os.sep
_SYSTEM = ("/dev/", "/proc/", "/sys/", "/etc/", "/usr/", "/lib/", "/lib64/", _OWN)
_COMPILED = (".so", ".pyd", ".pth")
_CACHES = (".pyc", ".nbi", ".nbc")  # in __pycache__
_QUOTED = re.compile(r"[\"'](/[^\"'\n{}]+)")
UNKNOWN = "compiled code, or another process"
DAY, EARLIER, PAST, OWN, LATER, OLDER = "day", "earlier day", "past", "written by the model", "later", "older"


@dataclass(slots=True)
class OpenedFile:
    path: str
    line: str | None
    changed_us: int | None
    own: bool
    again: bool | None = None


class FileWatch:
    """Records the files that a model opens, within `watching`.

    An audit hook cannot be removed; outside `watching` it does nothing.

    Attributes:
        reached: Started processes and called hosts, with the line.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        allowed: Sequence[Path],
        *,
        listened: Sequence[Path] = (),
        past: Sequence[Path] = (),
    ) -> None:
        self.opened: dict[str, OpenedFile] = {}
        self.reached: dict[str, str] = {}
        self._folders = tuple(str(folder.resolve()) + os.sep for folder in folders)
        self._allowed = {str(path.resolve()) for path in allowed}
        self._past = {str(path.resolve()) for path in past}
        self._outer: FrameType | None = None
        self._events = FileEvents() if listened else None
        self._listened = listened
        if self._events is not None:
            self._events.listen(listened, _left_out)
        sys.addaudithook(self._on_audit_event)

    def listen_to_code(self, names: Iterable[str]) -> None:
        modules, _ = closure((name.partition(":")[0] for name in names if ":" in name), _source_of)
        for path in (path for paths in modules.values() for path in paths):
            if self._events is not None:
                self._events.listen([path.parent], _left_out)
            if path.suffix == ".py":
                self.listen_to_named(path.read_text(encoding="utf-8", errors="replace"))

    def listen_to_named(self, text: str) -> None:
        for path in map(Path, _QUOTED.findall(text)):
            if self._events is None or not path.exists():
                continue
            if path.is_dir() and len(path.parts) > 2:  # all of /tmp or /home is not what is meant
                self._events.listen([path], _left_out)
            elif path.is_file():
                self._events.listen_to_file(str(path))

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._heard()  # what was opened before does not count
        self._outer = sys._getframe(2)  # the caller, above this generator and contextlib
        try:
            yield
        finally:
            self._outer = None
            read, created = self._heard()
            for path in sorted(created):
                self._note(path, None, own=True)
            for path in sorted(read - created):
                self._note(path, None)

    @contextmanager
    def again(self) -> Iterator[None]:
        self._heard()
        yield
        read, _ = self._heard()
        for file in self.opened.values():
            file.again = file.path in read

    @property
    def forbidden(self) -> dict[str, str]:
        return {file.path: file.line or "compiled code" for file in self.opened.values() if self._is_forbidden(file)}

    @property
    def others(self) -> dict[str, str]:
        """Other data files that a model's own code opened, by line."""
        files = (file for file in self.opened.values() if not self._is_forbidden(file))
        return {file.path: file.line or UNKNOWN for file in files}

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
        folders = sorted(dict.fromkeys(map(Path.resolve, self._listened)))
        outside = " and ".join(str(path) for path in folders if not any(above in folders for above in path.parents))
        words = [f"files outside of {outside} that something else than Python opens"] if folders else []
        words += [f"{what} at {line}" for what, line in self.reached.items()]
        return words + list(self._events.unseen if self._events else ())

    def _heard(self) -> tuple[set[str], set[str]]:
        return (set(), set()) if self._events is None else self._events.read()

    def _is_forbidden(self, file: OpenedFile) -> bool:
        return file.path.startswith(self._folders)

    def _on_audit_event(self, event: str, args: tuple[Any, ...]) -> None:
        if self._outer is None or event not in _EVENTS:
            return
        outer, self._outer = self._outer, None  # files opened here are not opened by the model
        try:
            line = _line(sys._getframe(1), outer)
            what, path = _EVENTS[event](args)
            if path is not None:
                self._note(os.path.realpath(path), line)
            elif what and line:
                self.reached.setdefault(what, line)
        finally:
            self._outer = outer

    def _note(self, path: str, line: str | None, *, own: bool = False) -> None:
        forbidden = path.startswith(self._folders)
        if path in self._allowed or (not forbidden and (_is_installed(path) or _is_code(path))):
            return
        if not forbidden and line is None and (self._events is None or self._outer is not None):
            return  # opened by a library for itself, or by the caller; the system's events come at the end
        known = self.opened.get(path)
        if known is None:
            self.opened[path] = OpenedFile(path, line, _changed_us(path), own)
        elif known.line is None:
            known.line = line


def _source_of(name: str) -> list[Path]:
    place = Path(*name.split("."))
    tried = (Path(folder or ".").resolve() / place for folder in sys.path)
    files = (
        file for path in tried for file in (path.with_suffix(".py"), path / "__init__.py", path.with_suffix(".pyx"))
    )
    return next(([file] for file in files if not _left_out(str(file)) and file.is_file()), [])


def _left_out(folder: str) -> bool:
    return _is_installed(f"{folder}{os.sep}")


def _is_installed(path: str) -> bool:
    return path.startswith(_SYSTEM) or is_installed(Path(path))


def _opened_path(args: tuple[Any, ...]) -> tuple[str, str | None]:
    path, _, flags = args
    reading = not isinstance(flags, int) or flags & os.O_ACCMODE != os.O_WRONLY
    return "", os.fsdecode(path) if isinstance(path, str | bytes) and reading else None


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
    symbol, recorded, *rest = (*path.relative_to(root).parts, "", "")
    if not re.fullmatch(r"\d{8}", recorded) or recorded >= day:
        return False
    folder = DayFolder(root, symbol, recorded)
    written = (*folder.streams(), folder.instrument, folder.schema)
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
