"""Which files a model opens while it is made and played: the day that it is played on is none of its business."""

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_OWN = str(Path(__file__).resolve().parents[1]) + os.sep
_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_CODE = (".py", ".pyc", ".so", ".pyd", ".pth")


class Watch:
    """Notes what is opened, by Python's own audit events, while `watching` is entered.

    An audit hook cannot be taken back; outside of `watching` it does nothing.

    Attributes:
        forbidden: Files below the folders that no model may read, with the line that opened each.
        others: Other files of data that a model's own lines opened.
    """

    def __init__(self, folders: Sequence[Path], allowed: Sequence[Path]) -> None:
        self.forbidden: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self._folders = tuple(str(folder.resolve()) + os.sep for folder in folders)
        self._allowed = {str(path.resolve()) for path in allowed}
        self._outer: FrameType | None = None
        sys.addaudithook(self._heard)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is opened inside."""
        self._outer = sys._getframe(2)  # behind this generator and contextlib: the caller
        try:
            yield
        finally:
            self._outer = None

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if self._outer is None or event != "open" or not isinstance(args[0], str | bytes):
            return
        outer, self._outer = self._outer, None  # what is asked for here is not the model's
        try:
            path = os.path.realpath(os.fsdecode(args[0]))
            if path not in self._allowed:
                self._note(path, _line(sys._getframe(1), outer))
        finally:
            self._outer = outer

    def _note(self, path: str, line: str | None) -> None:
        if path.startswith(self._folders):
            self.forbidden.setdefault(path, line or "compiled code")
        elif line is not None and not path.endswith(_CODE) and not path.startswith(("/dev/", "/proc/", *_LIBRARIES)):
            self.others.setdefault(path, line)


def _line(frame: FrameType | None, outer: FrameType) -> str | None:
    """Return file and line of the innermost frame inside *outer* that is neither ours nor a library's."""
    while frame is not None and frame is not outer:
        name = os.path.abspath(frame.f_code.co_filename)
        if not name.startswith((_OWN, *_LIBRARIES)) and not frame.f_code.co_filename.startswith("<"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
