"""Identity of a backtest, and the store of played points."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from mm.base.atomic_file import atomic_file, clear_unfinished
from mm.base.code_identity import closure, code_files, digest, hash_file, sources_alone
from mm.base.own_modules import file_of, own_file
from mm.base.user_code import put_cwd_first
from mm.errors import UsageError
from mm.play.here import identity_here, is_here
from mm.play.knobs import Models
from mm.play.names import resolve
from mm.play.setup import Setup, users_models

PLAY = "mm.sweep.play_point"  # entry module of every point
_MARK = "__sha256_when_imported__"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Code:
    """The code that a point runs, ours and the user's.

    Attributes:
        sources: The project's, equal in every process that may play the point.
        exact: Also covers compiled modules and versions of Python and packages, which kept results need equal.
    """

    models: dict[str, str]
    sources: str
    exact: str


def trial_of(
    setup: Setup, inputs: Sequence[str], files: Mapping[Path, str], sources: Mapping[str, str], fitted: object
) -> str:
    """A trial's name, equal under every version."""
    named = [files[path] for path in setup.files]
    latencies = setup.execution.latency_file is not None
    return digest([setup.day.symbol, setup.day.days(), sorted(inputs), setup.work(), latencies, named, sources, fitted])


def code_of(models: Models) -> Code:
    named = _users_models(models)
    own, others = _own_modules([name for name in named if not is_here(name)])
    own |= {name: digest(identity_here(name)) for name in named if is_here(name)}
    return Code(own, *_digests(*sorted(others)))


@lru_cache(maxsize=64)
def _users_models(models: Models) -> list[str]:
    return users_models(models.quote_model, models.fill_model, models.quote_params(), models.fill_params())


@cache
def _digests(*others: str) -> tuple[str, str]:
    files = code_files(PLAY, *others)
    return digest(sources_alone(files)), digest(files)


def _own_modules(names: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """The user's modules by name, and the others that they import."""
    if not names:
        return {}, set()
    put_cwd_first()
    modules, others = closure((name.partition(":")[0] for name in names), own_file)
    hashes = {name: hash_file(path) for name, (path,) in modules.items()}
    loaded = [name for name in hashes if name in sys.modules]
    if any(vars(sys.modules[name]).get(_MARK) != hashes[name] for name in loaded):
        for name in loaded:
            del sys.modules[name]
    for name in names:
        declared = getattr(resolve({}, name, "model"), "signals", None)
        read = users_models(declared) if isinstance(declared, tuple | list) else []
        if unknown := [module for module in read if module not in names]:
            return _own_modules([*names, *unknown])
        module = name.partition(":")[0]
        if module not in hashes and (path := file_of(module)) is not None:  # installed: identified by its own file
            hashes[module] = hash_file(path)
        if module not in hashes or module == "__main__":
            raise UsageError(f"model {name!r} is not defined in a file; move it to one, such as my_models.py")
    for name, sha256 in hashes.items():
        if name in sys.modules:
            setattr(sys.modules[name], _MARK, sha256)
    return dict(sorted(hashes.items())), others


@dataclass(frozen=True)
class Store:
    """Kept points of a symbol and its days, a JSON file per point, named by key."""

    folder: Path

    @classmethod
    def of(cls, out_root: Path, symbol: str, label: str) -> "Store":
        return cls(out_root / "points" / symbol / label)

    def find(self, key: str) -> dict[str, Any] | None:
        outcome = _read(self.folder / f"{key}.json")
        return outcome if outcome is not None and outcome["key"] == key else None

    def keep(self, key: str, content: dict[str, Any]) -> None:
        text = json.dumps({"schema_version": SCHEMA_VERSION, "key": key, **content}, allow_nan=False)
        self.write(f"{key}.json", text + "\n")

    def write(self, name: str, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        return self.folder / name

    def tidy(self) -> None:
        clear_unfinished(self.folder)

    def every(self) -> Iterator[dict[str, Any]]:
        yield from filter(None, map(_read, sorted(self.folder.glob("*.json"))))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        outcome = json.loads(path.read_text(encoding="utf-8"))
        if outcome["schema_version"] != SCHEMA_VERSION or outcome["key"] != path.stem:
            return None
        return dict(outcome) if {"trial", "inputs", "walkforward", "summary", "series"} <= set(outcome) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
