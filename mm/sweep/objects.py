"""Files in an object store, addressed by content: the workers of a cluster need no shared disk."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import invalidate_caches
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import uuid4

from mm.base.atomic_file import UNFINISHED, atomic_file, clear_unfinished
from mm.base.code_identity import PACKAGE, digest, hash_file
from mm.base.held_file import wait_for_file
from mm.base.own_modules import module_file
from mm.errors import BrokenFile, DataError, Mismatch, MissingExtra, MMError, UsageError, parameter
from mm.play.artefacts import moved, moved_models
from mm.play.knobs import Results
from mm.play.setup import Setup
from mm.signals.artefact import ARRAYS, MODEL
from mm.sweep.play_point import Outcome, Task, failed, play
from mm.tape.day_orders import kept_orders

if TYPE_CHECKING:
    from mm.tape.tape import Tape

_PIECE = 1 << 20
_PATH_LOCK = Lock()
_FETCHED: list[str] = []  # the folder of fetched modules on the Python path
_LEVEL = 1  # compression level of igzip: reduces a tape to a quarter of its size at 0.4 GB/s
Json = dict[str, Any]


@dataclass(frozen=True)
class ObjectStore:
    url: str

    def put(self, path: Path, sha256: str) -> None:
        """Store a new file, completely or not at all; raises Mismatch or DataError."""
        with self._reported(sha256, str(path)) as (files, place):
            if files.exists(place):
                return
            files.makedirs(place.rpartition("/")[0], exist_ok=True)
            unfinished = f"{place}.{uuid4().hex}{UNFINISHED}"
            try:
                with path.open("rb") as file, files.open(unfinished, "wb") as raw, _gzip_file(raw, "wb") as packed:
                    copied = _copy(file, packed)
                if copied != sha256:
                    raise Mismatch(f"{path} has changed since the sweep began; run the command again")
                files.mv(unfinished, place)
            finally:
                if files.exists(unfinished):
                    files.rm(unfinished)

    def fetch(self, sha256: str, path: Path) -> Path:
        """One process of the machine fetches a missing file; BrokenFile or DataError."""
        if path.exists():
            return path
        with self._reported(sha256, path.name) as (files, place):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.parent):
                if path.exists():
                    return path
                clear_unfinished(path.parent)
                with atomic_file(path, durable=True) as unfinished:
                    with files.open(place, "rb") as stored, unfinished.open("wb") as file:
                        fetched = _copy(_gzip_file(stored, "rb"), file)
                    if fetched != sha256:
                        way_out = "remove the object, and run the sweep again, which stores it"
                        raise BrokenFile(f"{self.url}: {path.name} ({sha256}.gz) has the sha256 {fetched}; {way_out}")
        return path

    @contextmanager
    def _reported(self, sha256: str, name: str) -> Iterator[tuple[Any, str]]:
        from fsspec.core import url_to_fs
        from isal.igzip_lib import IsalError

        what = f"{parameter('object_store')} {self.url}: {name} ({sha256}.gz)"
        try:
            files, folder = url_to_fs(self.url)
            yield files, f"{folder}/{sha256}.gz"
        except ImportError as error:
            raise MissingExtra(f"{what}: {error}, where the sweep was started and on every worker") from error
        except FileNotFoundError as error:
            raise BrokenFile(f"{what}: there is no such object; run the sweep again, which stores it") from error
        except (OSError, EOFError, ValueError, IsalError) as error:  # type: ignore[misc]  # its stub has an instance
            way_out = "check the address, the credentials and the disk of the machine, then run the command again"
            raise DataError(f"{what}: {type(error).__name__}: {error}; {way_out}") from error


def _gzip_file(stored: IO[bytes], mode: str) -> IO[bytes]:
    from isal import igzip

    make: Any = igzip.IGzipFile  # untyped
    return cast("IO[bytes]", make(fileobj=stored, mode=mode, compresslevel=_LEVEL))


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    sha256 = hashlib.sha256()
    while piece := source.read(_PIECE):
        sha256.update(piece)
        target.write(piece)
    return sha256.hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        wait_for_file(descriptor)
        yield
    finally:
        os.close(descriptor)


class Shipment:
    """Files that a sweep's points need, and the store from which workers fetch them."""

    def __init__(self, url: str, tapes: "Sequence[Tape]", *, with_orders: bool = False) -> None:
        self._store = ObjectStore(url)
        self._paths: dict[str, Path] = {}
        self._tapes = []
        for tape in tapes:
            if not tape.meta.file:
                raise UsageError("the tape of {} is not stored; set {out_root} to a folder with space", tape.days[0])
            sha256 = hash_file(path := Path(tape.meta.file))
            self._paths[sha256] = path
            self._tapes.append((f"{tape.symbol}_{tape.days[0]}_{sha256[:12]}.npy", sha256))
        self._orders = [self._orders_of(tape) for tape in tapes] if with_orders else []

    def _orders_of(self, tape: "Tape") -> tuple[str, str, tuple[int, int]] | None:
        if (kept := kept_orders(tape)) is None:
            return None
        path, unit = kept
        if not path.is_file():
            raise UsageError("the orders of {} are not stored; set {out_root} to a folder with space", tape.days[0])
        sha256 = hash_file(path)
        self._paths[sha256] = path
        return f"order_log_{tape.symbol}_{tape.days[0]}_{sha256[:12]}.npy", sha256, unit

    def task_entry(self, files: Mapping[Path, str], modules: Mapping[str, str], *, with_orders: bool = False) -> Json:
        """A task's entry ``store``: what to fetch, and where."""
        for path, sha256 in files.items():
            self._paths[sha256] = path
        own = [name for name in modules if name.partition(".")[0] != PACKAGE.name]
        module_files = {name: module_file(name) for name in own}
        self._paths |= {modules[name]: path for name, (_, path) in module_files.items()}
        return {
            "url": self._store.url,
            "tapes": self._tapes,
            "orders": self._orders if with_orders else [],
            "files": {text: sha256 for path, sha256 in files.items() for text in (str(path), str(path.absolute()))},
            "modules": {name: (place, modules[name]) for name, (place, _) in module_files.items()},
        }

    def put(self) -> None:
        for sha256, path in self._paths.items():
            self._store.put(path, sha256)


def run_tasks(tasks: Sequence[Task], seconds: float) -> list[Outcome]:
    """Run at least one task; begin none after *seconds*."""
    until = monotonic() + seconds
    outcomes = [_played(tasks[0])]
    for task in tasks[1:]:
        if monotonic() >= until:
            break
        outcomes.append(_played(task))
    return outcomes


def _played(task: Task) -> Outcome:
    parts = task.get("symbols", [task])  # of an account, each of its symbols
    if parts[0]["store"] is None:
        return play(task)
    try:
        fetched = [_fetched(part) for part in parts]
    except MMError as error:
        return failed(error)
    names = {place: text for _, known in fetched for place, text in known.items()}
    outcome = play({**task, "symbols": [here for here, _ in fetched]} if "symbols" in task else fetched[0][0])
    return dict(_renamed(outcome, names)) if names else outcome


def _fetched(task: Task) -> tuple[Task, dict[str, str]]:
    needs, out_root = task["store"], Path(os.environ.get("OUT_ROOT") or Results().out_root).absolute()
    store, root = ObjectStore(needs["url"]), out_root / "objects"
    tapes = out_root / "tapes"
    kept = [str(store.fetch(sha256, tapes / name)) for name, sha256 in needs["tapes"]]
    orders = [one and (str(store.fetch(one[1], tapes / one[0])), one[2]) for one in needs["orders"]]
    here = {**task, "kept": kept, "orders": orders}
    if needs["modules"]:
        here["folder"] = str(root / digest(needs["modules"]))
        for place, sha256 in needs["modules"].values():
            store.fetch(sha256, Path(here["folder"], place))
        _search(here["folder"], needs["modules"])
    places: dict[str, str] = {}
    for text, sha256 in needs["files"].items():
        path = Path(text)
        file = store.fetch(sha256, root / digest(needs["files"]) / digest(str(path.parent))[:12] / path.name)
        places[text] = str(file)
        if path.name in (MODEL, ARRAYS):  # knobs name the folder of a predictor
            places[str(path.parent)] = str(file.parent)
    if places:
        setup = Setup.from_json(moved(task["setup"], places))
        here["setup"] = replace(setup, models=moved_models(setup.models, places)).to_json()
    return here, {place: text for text, place in places.items()}


def _search(folder: str, names: Iterable[str]) -> None:
    with _PATH_LOCK:  # a worker may play in several threads
        if [folder] != _FETCHED:
            for name in names:
                sys.modules.pop(name, None)
            sys.path[:] = [folder, *(place for place in sys.path if place not in _FETCHED)]
            _FETCHED[:] = [folder]
            invalidate_caches()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, str):
        for place in sorted(names, key=len, reverse=True):
            value = value.replace(place, names[place])
    return value
