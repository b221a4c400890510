"""The kill switch of a symbol: a file that survives the process, a restart and a reboot."""

import errno
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import Any

import msgspec

from mm.base.atomic_file import fsync_path, write_atomic
from mm.clock import US_STAMPS, iso
from mm.errors import DataError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOOK_EVERY_S = 0.05
BY_HAND = "by hand"
"""Reason of a person who gives none."""
DAMAGED = "unknown: the file of the kill switch is damaged"


class _Content(msgspec.Struct):
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Why and when (µs) a switch was triggered; a damaged file counts from its modification time."""

    reason: str
    since_us: int


class Rearm(msgspec.Struct):
    """Why a switch was re-armed, and what had triggered it: for the audit log of the next start."""

    reason: str
    was: str
    at: int


class KillSwitch:
    def __init__(self, out_root: Path, symbol: str, *, in_folder: bool = False) -> None:
        self.path, self.symbol = out_root / "risk" / f"{symbol}.kill", symbol
        self.rearming = f"mm risk rearm --symbol {symbol}" + (f" --out-root {out_root}" if in_folder else "")

    @property
    def triggered(self) -> bool:
        try:
            os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def read(self) -> Kill | None:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=_Content)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._damaged()
        except OSError:
            return self._damaged() if self.triggered else None
        return Kill(" ".join(found.reason.split()), found.since) if found.since in US_STAMPS else self._damaged()

    def _damaged(self) -> Kill | None:
        try:
            return Kill(DAMAGED, os.lstat(self.path).st_mtime_ns // 1_000)
        except FileNotFoundError:
            return None  # re-armed in the meantime
        except OSError:
            return Kill(DAMAGED, 0)

    def why(self) -> str | None:
        found = self.read()
        return None if found is None else found.reason

    def trigger(self, reason: str, us: int) -> bool:
        """Return False if it was triggered before: the first reason stays."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}.{get_ident()}.partial")
        try:
            _write(unfinished, msgspec.json.encode(_Content(reason, us)) + b"\n")
            os.link(unfinished, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self.path.touch()
        finally:
            unfinished.unlink(missing_ok=True)
        fsync_path(folder)
        return True

    def rearm(self, reason: str, us: int) -> Kill | None:
        """Return why it was triggered; DataError if the path is not a file, or cannot be removed."""
        found = self.read()
        if found is None:
            return None
        try:
            self.path.unlink(missing_ok=True)
        except (IsADirectoryError, PermissionError) as error:
            raise DataError(
                f"{self.path}: the kill switch cannot be removed ({error.strerror}); remove it by hand"
            ) from error
        with suppress(OSError):  # a full disk keeps nobody from trading again
            write_atomic(self._rearmed, msgspec.json.encode(Rearm(reason, found.reason, us)))
        fsync_path(self.path.parent)
        return found

    @property
    def _rearmed(self) -> Path:
        return self.path.with_suffix(".rearm")

    def rearmed(self) -> Rearm | None:
        """Return how it was re-armed last; None once that is in an audit log."""
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return msgspec.json.decode(self._rearmed.read_bytes(), type=Rearm)
        return None

    def rearm_logged(self) -> None:
        with suppress(OSError):
            self._rearmed.unlink()

    def status(self) -> dict[str, Any]:
        found = self.read()
        reason, since = (None, None) if found is None else (found.reason, found.since_us)
        return {"symbol": self.symbol, "killed": found is not None, "reason": reason, "since": since}

    def line(self) -> str:
        found = self.read()
        if found is None:
            return f"{self.symbol}: armed"
        return (
            f"{self.symbol}: killed since {iso(found.since_us)}: {found.reason}; "
            f"{self.rearming} allows it to trade again"
        )


class SwitchWatch:
    """Looks at a kill switch again and again in a thread, so that a stalled disk holds up nobody who asks."""

    def __init__(self, switch: KillSwitch) -> None:
        self.why: str | None = None
        self._switch, self._over = switch, threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def triggered(self) -> bool:
        """Whether it was at the last look; the first call begins to look."""
        if self._thread is None:
            self._look()
            self._thread = threading.Thread(target=self._keep_looking, name="switch", daemon=True)
            self._thread.start()
        return self.why is not None

    def close(self) -> None:
        self._over.set()

    def _keep_looking(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.why = self._switch.why() if self._switch.triggered else None


def none_open_path(out_root: Path, symbol: str) -> Path:
    return out_root / "risk" / f"{symbol}.none_open"


def note_none_open(out_root: Path, symbol: str, us: int) -> None:
    """Note that the exchange lists no open order of ours; a disk that refuses this only keeps an alert firing."""
    path = none_open_path(out_root, symbol)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, b"%d\n" % us)


def none_open_us(out_root: Path, symbol: str) -> int:
    try:
        return int(none_open_path(out_root, symbol).read_bytes()[:20])
    except (OSError, ValueError):
        return 0


def _write(path: Path, content: bytes) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(opened, content)
        os.fsync(opened)
    finally:
        os.close(opened)
