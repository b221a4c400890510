"""What makes two backtests the same one: the content of what they read, their knobs, and the code that plays them."""

import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import mm
from mm.config import Models
from mm.plugins import resolve
from mm.run_manifest import hash_file
from mm.sweep.setup import Setup

_CODE = ("backtest", "calibration", "assemble.py", "clock.py", "instrument.py", "model_maker.py")
_SOURCES = (".py", ".pyx", ".pxd")
_NAMED = re.compile(r"[\w.]+:\w+")
_MARK = "__sha256_when_imported__"
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def digest(content: Any) -> str:
    """Return the sha256 of JSON *content*, in hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@cache
def code_digest() -> str:
    """Return what identifies the code that a backtest's result depends on: its version, and its sources' content."""
    package = Path(mm.__file__).parent
    paths = [
        path for name in _CODE for path in ([package / name] if name.endswith(".py") else (package / name).rglob("*"))
    ]
    sources = sorted(path for path in paths if path.suffix in _SOURCES)
    return digest([mm.__version__, [(path.relative_to(package).as_posix(), hash_file(path)) for path in sources]])


def trial_of(
    setup: Setup, inputs: Sequence[str], files: Mapping[Path, str], sources: Mapping[str, str], fitted: object
) -> str:
    """Return what identifies a backtest, whatever version plays it.

    Args:
        setup: Its knobs.
        inputs: sha256 of the day's files.
        files: sha256 of the files that knobs name, by path.
        sources: sha256 of a user's modules, by name.
        fitted: The fit or schedule that it is given beside its knobs, as JSON; None without.
    """
    named = [files[path] for path in setup.files()]
    latencies = setup.execution.latency_file is not None
    return digest([setup.day.symbol, setup.day.days(), sorted(inputs), setup.work(), latencies, named, sources, fitted])


def sources_of(models: Models) -> dict[str, str]:
    """Return the sha256 of each module of a user's models, by name: those that stand in the models' own folder.

    They are imported, and anew where a file changed since it was: what is played is what is hashed.

    Raises:
        UnknownModel: If there is no such module or class.
        ModelError: If a module raises when it is imported.
    """
    names = _named(models)
    if not names:
        return {}
    _forget_changed({name.partition(":")[0] for name in names})
    for name in names:
        resolve({}, name, "model")
    folders = {_top(sys.modules[name.partition(":")[0]]) for name in names}
    found = {}
    for name, module in list(sys.modules.items()):
        path = _file(module)
        if path is not None and any(path.is_relative_to(folder) for folder in folders) and _own(name, path):
            found[name] = hash_file(path)
            setattr(module, _MARK, found[name])
    return dict(sorted(found.items()))


def _named(models: Models) -> list[str]:
    """Return each ``package.module:Class`` that the models or their parameters name."""
    words = [models.quote_model, models.fill_model, *_texts(models.quote_params()), *_texts(models.fill_params())]
    return list(dict.fromkeys(word for word in words if _NAMED.fullmatch(word)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _texts(inside)


def _forget_changed(mains: Iterable[str]) -> None:
    """Let every module of a user's models be imported anew, where the file of one of them changed."""
    marked = {name: module for name, module in list(sys.modules.items()) if _attribute(module, _MARK)}
    changed = [
        name for name, module in marked.items() if hash_file(Path(str(module.__file__))) != getattr(module, _MARK)
    ]
    unknown = [name for name in mains if name in sys.modules and name not in marked]
    for name in [*(marked if changed else ()), *unknown]:
        del sys.modules[name]


def _top(module: ModuleType) -> Path:
    """Return the folder from which *module* is imported, which holds its top package."""
    path = Path(str(module.__file__)).resolve()
    return path.parents[module.__name__.count(".") + (path.stem == "__init__")]


def _file(module: ModuleType) -> Path | None:
    path = _attribute(module, "__file__")
    return Path(path).resolve() if path else None


def _attribute(module: ModuleType, name: str) -> str | None:
    """Return what a module itself holds under *name*; getattr would wake up modules that load when they are asked."""
    found: str | None = vars(module).get(name)
    return found


def _own(name: str, path: Path) -> bool:
    """Return whether a module is a user's: no part of this package, and not installed."""
    installed = any(path.is_relative_to(folder) for folder in _INSTALLED)
    return name not in ("__main__", "__mp_main__") and name.partition(".")[0] != "mm" and not installed
