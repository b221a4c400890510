"""What makes two backtests the same one: the content of what they read, their knobs, and the code that plays them."""

import ast
import hashlib
import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mm
from mm.config import Models
from mm.errors import UsageError
from mm.plugins import resolve, search_here
from mm.run_manifest import hash_file
from mm.sweep.setup import Setup

_CODE = ("tape", "backtest", "calibration", "assemble.py", "clock.py", "instrument.py", "model_maker.py")
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
    """Return the sha256 of each module of a user's models, by name: theirs, and what they import that is not installed.

    They are imported, and anew where a file changed since it was: what is played is what is hashed.

    Raises:
        UnknownModel: If there is no such module or class.
        UsageError: If it stands in no file, as in a notebook: no other process finds it there.
        ModelError: If a module raises when it is imported.
    """
    names = _named(models)
    if not names:
        return {}
    search_here()
    found = {name: hash_file(path) for name, path in _with_imports(name.partition(":")[0] for name in names).items()}
    loaded = [name for name in found if name in sys.modules]
    if any(vars(sys.modules[name]).get(_MARK) != found[name] for name in loaded):
        for name in loaded:
            del sys.modules[name]
    for name in names:
        resolve({}, name, "model")
        module = name.partition(":")[0]
        if module not in found and (path := _file(module)) is not None:  # it is installed: known by its own file
            found[module] = hash_file(path)
        if module not in found or module == "__main__":
            raise UsageError(f"model {name!r} stands in no file of its own; put it into one, my_models.py say")
    for name, sha256 in found.items():
        if name in sys.modules:
            setattr(sys.modules[name], _MARK, sha256)
    return dict(sorted(found.items()))


def source_files(sources: Mapping[str, str]) -> list[Path]:
    """Return the files of what :func:`sources_of` has found."""
    return [path for name in sources if (path := _file(name)) is not None]


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


def _with_imports(names: Iterable[str]) -> dict[str, Path]:
    """Return the files of modules and of all that these import, as far as they are a user's own, by their names."""
    found: dict[str, Path] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        path = None if name in found else _own_file(name)
        if path is not None:
            found[name] = path
            waiting += _imports(name, path)
    return found


def _own_file(name: str) -> Path | None:
    """Return the file of a module that is neither installed nor of this package; None for others, and where none is."""
    if name.partition(".")[0] in (__package__.partition(".")[0], *sys.stdlib_module_names):
        return None
    path = _file(name)
    return None if path is None or any(path.is_relative_to(folder) for folder in _INSTALLED) else path


def _file(name: str) -> Path | None:
    """Return the file of a module; None where there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


def _imports(name: str, path: Path) -> Iterator[str]:
    """Yield the modules that the one called *name* may import, wherever in it; and the packages it stands in."""
    yield from (name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1))
    if path.suffix != ".py":
        return
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return  # whoever imports it says so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
