"""Who trades a symbol on an account: a trader holds files locked, which are released however it ends.

Each file says who holds it, or held it last, so that a command finds the trader from whichever shell.
"""

import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from mm.base.audit_chain import SUFFIX, audit_folder
from mm.base.held_file import hold_file, is_held
from mm.base.knobs import closest
from mm.errors import DataError, TryLater
from mm.markets.registry import MARKETS

LOCKS = "locks"
TRADE, FLATTEN, SHADOW = "trade", "flatten", "shadow"
UNITS_TMP = Path("/var/lib/mm/tmp")
"""TMPDIR of the units in `mm/ops/deploy`, which a person's shell does not have."""
LATELY_S = 3_600.0
"""How long after its end a trader of another folder is watched, and killed for its next start, in s."""
_DIGITS = 16
_NAME = re.compile(rf"(?:^|-)[0-9a-f]{{{_DIGITS}}}-(?P<symbol>.+)\Z")
_OF_USER = re.compile(r"mm-(\d+)\Z")


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, or held it last; a lock of an earlier version says nothing but its symbol.

    Attributes:
        log: Path of the run log; empty without one.
    """

    symbol: str
    out_root: str = ""
    data_root: str = ""
    log: str = ""
    kind: str = TRADE
    venue: str = ""
    market: str = ""
    run_id: str = ""
    pid: int = 0
    host: str = ""

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host != socket.gethostname() else ""
        process = f" (process {self.pid}{where})" if self.pid else ""
        return f"{self.kind}{f' {self.run_id}' if self.run_id else ''}{process}"


class TraderLocks:
    def __init__(self, out_root: Path, rest_url: str, key: str) -> None:
        from mm.market_data.rate_budget import shared_path  # here, since a help text needs none of it

        account = hashlib.sha256(key.encode()).hexdigest()[:_DIGITS]
        of_host = shared_path("trader", f"{urlsplit(rest_url).netloc}-{account}-")
        self._starts = [out_root.resolve() / LOCKS / f"{account}-.json", *([of_host] if of_host else [])]

    def paths(self, symbol: str) -> list[Path]:
        return [start.with_stem(start.stem + symbol) for start in self._starts]

    def note(self, symbol: str) -> None:
        """Remember that others trade a symbol on this account, as if they had held its lock."""
        path = self.paths(symbol)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)

    def is_held(self, symbol: str) -> bool:
        return any(_is_held(path) for path in self.paths(symbol))

    def symbols(self) -> set[str]:
        found = [(path, start) for start in self._starts for path in start.parent.glob(f"{start.stem}*{start.suffix}")]
        return {path.stem.removeprefix(start.stem) for path, start in found}

    @contextmanager
    def alone(self, holder: Holder) -> Iterator[None]:
        """Exclude other traders of its symbol until the block ends; TryLater if there is one already."""
        held: list[int] = []
        try:
            for path in self.paths(holder.symbol):
                path.parent.mkdir(parents=True, exist_ok=True)
                held.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                if not hold_file(held[-1]):
                    raise TryLater(
                        f"another trader of {holder.symbol} runs on this account ({path} is held{_by(path)}); stop it "
                        f"first, or trade another symbol"
                    )
            said = msgspec.json.encode(holder)
            for descriptor in held:
                with suppress(OSError):  # a full disk keeps nobody from trading
                    os.ftruncate(descriptor, os.pwrite(descriptor, said, 0))
            yield
        finally:
            for descriptor in held:
                os.close(descriptor)


@dataclass(frozen=True)
class KnownTrader:
    """A trader of which a lock is there; *lives* tells whether it is held."""

    holder: Holder
    lives: bool
    lock: Path

    @property
    def out_root(self) -> Path | None:
        """Folder of its results; None if its lock does not say, or the folder is gone."""
        root = Path(self.holder.out_root) if self.holder.out_root else None
        return root if root and root.is_dir() else None

    def ended_lately(self) -> bool:
        with suppress(OSError):
            return bool(self.holder.log) and abs(time.time() - os.stat(self.holder.log).st_mtime) < LATELY_S
        return False

    def lives_now(self) -> bool:
        return _is_held(self.lock)

    def __str__(self) -> str:
        return f"{self.holder} in {self.holder.out_root or f'a folder that {self.lock} does not name'}"


@dataclass(frozen=True)
class KnownTraders:
    """Traders that live or have ended, by the locks of this user, and below the folder *given*.

    Attributes:
        looked: The folders of locks.
        unreadable: Folders of locks of other users.
    """

    given: Path
    traders: Sequence[KnownTrader]
    looked: Sequence[Path]
    unreadable: Sequence[Path] = field(default=())

    @classmethod
    def look(cls, out_root: Path) -> "KnownTraders":
        """Root looks into the folders of all users."""
        given = out_root.resolve()
        own = [folder / LOCKS for folder in (given, *(given / market for market in MARKETS))]
        shared, unreadable = _shared_folders()
        found: dict[tuple[str, str, str], KnownTrader] = {}
        for folder in (*own, *shared):
            for path in _files(folder):
                trader = _known(path, folder.parent if folder in own else None)
                if trader is not None:
                    holder = trader.holder
                    key = (holder.symbol, holder.out_root, holder.run_id)
                    found[key] = replace(trader, lives=trader.lives or (key in found and found[key].lives))
        return cls(given, [*found.values()], [*own[:1], *shared], unreadable)

    def living(self, symbol: str | None = None) -> list[KnownTrader]:
        return [one for one in self.traders if one.lives and symbol in (None, one.holder.symbol)]

    def lately(self) -> list[KnownTrader]:
        """Return those that live, or have ended within `LATELY_S`."""
        return [one for one in self.traders if one.lives or one.ended_lately()]

    @property
    def folders(self) -> list[Path]:
        """Folders of results that are there, the given one first."""
        roots = [self.given] if self.given.is_dir() else []
        return list(dict.fromkeys([*roots, *(root for one in self.traders if (root := one.out_root))]))

    def folders_of(self, symbol: str) -> list[Path]:
        """Folders of results in which *symbol* is traded, was within `LATELY_S`, or is killed; else all that know it.

        A trader that has just ended may be started again by a supervisor; one of last week is not.
        """
        named = [one for one in self.traders if one.holder.symbol == symbol]
        lately = {one.out_root for one in self.lately() if one.holder.symbol == symbol}
        here = {self.given} if symbol in symbols_below(self.given) else set[Path]()
        roots = lately | here or {one.out_root for one in named}
        return [folder for folder in self.folders if folder in roots or symbol in killed_below(folder)]

    def symbols(self) -> set[str]:
        """Every symbol of which a lock or a log is known."""
        below = set[str]().union(*map(symbols_below, self.folders))
        return below | {one.holder.symbol for one in self.traders}

    def where(self) -> str:
        others = f"; not into those of other users: {_listed(self.unreadable)}" if self.unreadable else ""
        return f"looked into {_listed([*self.folders, *self.looked])}{others}"

    def unknown(self, symbol: str) -> DataError:
        near = closest(symbol, sorted(self.symbols()), 3)
        living = _listed(sorted({one.holder.symbol for one in self.living()})) or "none"
        return DataError(
            f"{symbol}: no trader, folder or log of it is known{near}; that runs: {living} ({self.where()}); a trader "
            f"with another TMPDIR is found by its --out-root"
        )

    def has_logs(self, symbol: str | None) -> bool:
        return _has_logs(self.given, symbol)

    def folder_for(self, symbol: str | None) -> Path:
        """Return the folder whose audit logs are meant: the given one, else that of the trader that lives, or the last.

        Raises DataError if no folder has logs of *symbol*, or several have.
        """
        if self.has_logs(symbol):
            return self.given
        lives = [root for one in self.living(symbol) if (root := one.out_root) and _has_logs(root, symbol)]
        roots = list(dict.fromkeys(lives)) or [root for root in self.folders if _has_logs(root, symbol)]
        if not roots:
            raise self.unknown(symbol) if symbol else DataError(f"no audit logs: {self.where()}; give --out-root")
        if len(roots) > 1:
            raise DataError(
                f"{symbol or 'traders'}: {self.given} has no audit logs, but several other folders have: "
                f"{_listed(roots)}; give one as --out-root"
            )
        return roots[0]


def _has_logs(out_root: Path, symbol: str | None) -> bool:
    folder = audit_folder(out_root, symbol or "_")
    return any(_files(folder, SUFFIX)) if symbol else folder.parent.is_dir()


def symbols_below(out_root: Path) -> set[str]:
    """Symbols with an audit log or a run's log below *out_root*."""
    logs = [out_root / "audit", *(out_root / "logs" / kind for kind in (TRADE, SHADOW))]
    return {path.name for folder in logs for path in _files(folder, "") if path.is_dir()}


def killed_below(out_root: Path) -> set[str]:
    """Symbols whose kill switch is triggered; one without a trader counts, and so does a misspelt one."""
    return {path.stem for path in _files(out_root / "risk", ".kill")}


def _known(path: Path, below: Path | None) -> KnownTrader | None:
    """*below*: the folder of results that the lock is in; other paths in it may be those of a container."""
    name = _NAME.search(path.stem)
    if name is None:
        return None
    try:
        holder = msgspec.json.decode(path.read_bytes() or b"{}", type=Holder)
    except (msgspec.MsgspecError, OSError):
        holder = Holder(symbol=name["symbol"])
        if not _is_held(path):
            return None  # of another process's trading that was noted, or of an earlier version: it names no trader
    if below is not None:
        holder = msgspec.structs.replace(holder, out_root=str(below))
    elif holder.out_root and os.getuid() == 0 and _owner(path) not in (0, _owner(Path(holder.out_root))):
        return None  # it would lead root to the folder of somebody else
    return KnownTrader(holder, _is_held(path), path)


def _shared_folders() -> tuple[list[Path], list[Path]]:
    readable, unreadable = list[Path](), list[Path]()
    for place in dict.fromkeys((Path(tempfile.gettempdir()), UNITS_TMP)):
        for folder in _files(place, ""):
            user = _OF_USER.match(folder.name)
            if user is None or _owner(folder) != int(user[1]):
                continue
            (readable if os.access(folder, os.R_OK | os.X_OK) else unreadable).append(folder)
    return readable, unreadable


def _owner(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_uid
    return -1


def _files(folder: Path, suffix: str = ".json") -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(suffix) and name[0] != ".")
    except OSError:
        return []


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(items)))


def _by(path: Path) -> str:
    with suppress(msgspec.MsgspecError, OSError):
        return f" by {msgspec.json.decode(path.read_bytes(), type=Holder)}"
    return ""


def _is_held(path: Path) -> bool:
    with suppress(OSError):
        return is_held(path)
    return False
