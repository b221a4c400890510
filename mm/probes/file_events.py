"""Opened files as the system reports them (inotify), whoever opens them."""

import ctypes
import os
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

_ACCESS, _MODIFY, _CLOSE_WRITE, _CLOSE_NOWRITE, _OPEN = 0x1, 0x2, 0x8, 0x10, 0x20
_MOVED_TO, _CREATE = 0x80, 0x100
_MASK = _ACCESS | _MODIFY | _CLOSE_WRITE | _CLOSE_NOWRITE | _OPEN | _MOVED_TO | _CREATE
_OVERFLOW, _IS_DIRECTORY = 0x4000, 0x40000000
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_BYTES = 1 << 16  # of one read
_MOST_FOLDERS = 5_000
_TOOLS = "git hg venv cache pyenv local config npm cargo rustup conda vscode-server mypy_cache pytest_cache ruff_cache"
_PASSED_OVER = frozenset({*(f".{name}" for name in _TOOLS.split()), "venv", "node_modules", "site-packages"})


class FileEvents:
    """Reports which files in given folders were read or created since the last call."""

    def __init__(self) -> None:
        self.unseen: dict[str, None] = {}
        self._paths: dict[int, str] = {}
        self._listened: set[str] = set()
        self._libc = ctypes.CDLL(None, use_errno=True)
        listening = sys.platform == "linux"
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if listening else -1
        if self._fd < 0:
            self._say("files opened by compiled code or by another process, which this system does not report")

    def listen(self, folders: Iterable[Path], left_out: Callable[[str], bool] = lambda _path: False) -> None:
        """To *folders* and everything below, also through links, except *left_out*."""
        waiting = deque(os.path.realpath(folder) for folder in folders)
        while waiting and self._fd >= 0:
            folder = waiting.popleft()
            if folder in self._listened or left_out(folder) or not os.path.isdir(folder):
                continue
            if len(self._listened) >= _MOST_FOLDERS or not self._add(folder):
                self._say(f"folders below {folder} and {len(waiting)} others, which are too many to listen to")
                return
            waiting += self._below(folder)

    def listen_to_file(self, path: str) -> None:
        real = os.path.realpath(path)
        if self._fd >= 0 and real not in self._listened:
            self._add(real)

    def read(self) -> tuple[set[str], set[str]]:
        happened: dict[str, int] = {}
        created = set[str]()
        for watch, mask, name in self._events():
            if mask & _OVERFLOW:
                self._say("files opened after the first thousands in one run, which the system did not report")
            if mask & _IS_DIRECTORY or watch not in self._paths:
                continue
            path = os.path.join(self._paths[watch], name) if name else self._paths[watch]
            happened[path] = happened.get(path, 0) | mask
            if mask & (_CREATE | _MOVED_TO):
                created.add(path)
        read = {path for path, mask in happened.items() if mask & (_ACCESS | _CLOSE_NOWRITE) or not mask & ~_OPEN}
        return read, created

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _say(self, what: str) -> None:
        self.unseen.setdefault(what)

    def _add(self, path: str) -> bool:
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK)
        if watch >= 0:
            self._paths[watch] = path
            self._listened.add(path)
        return bool(watch >= 0)

    def _below(self, folder: str) -> list[str]:
        folders = []
        try:
            entries = list(os.scandir(folder))
        except OSError:
            self._say(f"{folder}, which cannot be listed")
            return []
        for entry in entries:
            if entry.is_dir() and entry.name not in _PASSED_OVER:
                folders.append(os.path.realpath(entry.path))
            elif entry.is_symlink() and entry.is_file():
                self.listen_to_file(entry.path)
        return folders

    def _events(self) -> Iterable[tuple[int, int, str]]:
        while self._fd >= 0:
            try:
                block = os.read(self._fd, _BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(block):
                watch, mask, _, length = _EVENT.unpack_from(block, at)
                at += _EVENT.size + length
                yield watch, mask, os.fsdecode(block[at - length : at].rstrip(b"\0"))
