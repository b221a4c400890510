"""What makes two backtests the same one, and the points that were played, kept by that."""

import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mm.cli.config import Models
from mm.code_identity import PACKAGE, closure, code_files, digest, hash_file, sources_alone
from mm.commands.setup import Setup, users_models
from mm.errors import UsageError
from mm.plugins import resolve
from mm.user_code import search_here
from mm.whole_file import clear_unfinished, whole_file

PLAY = "mm.sweep.play"  # where the code of every point begins
_MARK = "__sha256_when_imported__"
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Code:
    """The code that a point runs: everything that playing it imports, here and in a user's models.

    Attributes:
        models: sha256 of each of a user's modules, by its name.
        sources: What identifies the project's sources: the same in every process that may play the point.
        exact: What identifies also the compiled modules, and the versions of Python and of installed packages: kept
            results are valid for these alone.
    """

    models: dict[str, str]
    sources: str
    exact: str


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
    named = [files[path] for path in setup.files]
    latencies = setup.execution.latency_file is not None
    return digest([setup.day.symbol, setup.day.days(), sorted(inputs), setup.work(), latencies, named, sources, fitted])


def code_of(models: Models) -> Code:
    """Return the code that a point with these *models* runs.

    A user's modules are imported, and again where a file changed since it was: what is played is what is hashed.

    Raises:
        UnknownModel: If there is no such module or class.
        UsageError: If it stands in no file, as in a notebook: no other process finds it there.
        ModelError: If a module raises when it is imported.
    """
    names = users_models(models.quote_model, models.fill_model, models.quote_params(), models.fill_params())
    own, others = _own_modules(names)
    return Code(own, *_digests(*sorted(others)))


@cache
def _digests(*others: str) -> tuple[str, str]:
    """Return what identifies the sources, and what all files, of the code of a point that imports *others*, too."""
    files = code_files(PLAY, *others)
    return digest(sources_alone(files)), digest(files)


def _own_modules(names: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Return the sha256 of a user's modules by name, and the other modules that these import."""
    if not names:
        return {}, set()
    search_here()
    modules, others = closure((name.partition(":")[0] for name in names), _own_file)
    found = {name: hash_file(path) for name, (path,) in modules.items()}
    loaded = [name for name in found if name in sys.modules]
    if any(vars(sys.modules[name]).get(_MARK) != found[name] for name in loaded):
        for name in loaded:
            del sys.modules[name]
    for name in names:
        declared = getattr(resolve({}, name, "model"), "signals", None)
        read = users_models(declared) if isinstance(declared, tuple | list) else []
        if unknown := [one for one in read if one not in names]:
            return _own_modules([*names, *unknown])
        module = name.partition(":")[0]
        if module not in found and (path := _file(module)) is not None:  # it is installed: known by its own file
            found[module] = hash_file(path)
        if module not in found or module == "__main__":
            raise UsageError(f"model {name!r} stands in no file of its own; put it into one, my_models.py say")
    for name, sha256 in found.items():
        if name in sys.modules:
            setattr(sys.modules[name], _MARK, sha256)
    return dict(sorted(found.items())), others


def source_files(sources: Mapping[str, str]) -> list[Path]:
    """Return the files of what :func:`sources_of` has found."""
    return [path for name in sources if (path := _file(name)) is not None]


def module_file(name: str) -> tuple[str, Path]:
    """Return where below a folder of modules the file of a found module stands, and the file."""
    path = _file(name)
    if path is None:
        raise UsageError(f"the module {name} is no longer found; run the command again")
    place = Path(*name.split("."))
    file = place / path.name if path.stem == "__init__" else place.with_name(path.name)
    return file.as_posix(), path


def _own_file(name: str) -> list[Path]:
    """Return the file of a module that is neither installed nor of this project; none for others."""
    if name.partition(".")[0] in (PACKAGE.name, *sys.stdlib_module_names):
        return []
    path = _file(name)
    return [] if path is None or any(path.is_relative_to(folder) for folder in _INSTALLED) else [path]


def _file(name: str) -> Path | None:
    """Return the file of a module; None where there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


class Encoded(dict[str, Any]):
    """A JSON object that several files hold: its ``text`` is made once, as nothing changes it."""

    @cached_property
    def text(self) -> str:
        """The text, as ``json.dumps`` has it."""
        return json.dumps(self, allow_nan=False)


class EncodedSeries(Encoded):
    """A point's ``series``, likewise; it ends with ``pnl``, whose numbers are most of it."""

    @cached_property
    def text(self) -> str:
        """The text, likewise."""
        from mm.backtest.metrics._json_values import joined_numbers

        others = json.dumps({name: one for name, one in self.items() if name != "pnl"})
        return f'{others[:-1]}, "pnl": [{joined_numbers(self["pnl"], ", ")}]}}'


def text_of(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON object, as ``json.dumps`` has it; an `Encoded` part is not encoded again."""
    texts = (one.text if isinstance(one, Encoded) else json.dumps(one, allow_nan=False) for one in content.values())
    return f"{{{', '.join(f'{json.dumps(name)}: {text}' for name, text in zip(content, texts, strict=True))}}}"


@dataclass(frozen=True)
class Store:
    """The kept points of one symbol and its days; each is a JSON file named by its key.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    @classmethod
    def of(cls, out_root: Path, symbol: str, label: str) -> "Store":
        """Return the store below *out_root* for a symbol and its days' *label*."""
        return cls(out_root / "points" / symbol / label)

    def find(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under *key*; None where nothing is, or what is there cannot be read as it."""
        found = _read(self.folder / f"{key}.json")
        return found if found is not None and found["key"] == key else None

    def keep(self, key: str, content: dict[str, Any]) -> None:
        """Keep JSON *content* under *key*, whole or not at all."""
        self.write(f"{key}.json", text_of({"schema_version": SCHEMA_VERSION, "key": key, **content}) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write *text* to a file beside the points, whole or not at all, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        return self.folder / name

    def tidy(self) -> None:
        """Remove what sweeps left that were killed while they kept a point."""
        clear_unfinished(self.folder)

    def every(self, known: Mapping[str, dict[str, Any]] | None = None) -> Iterator[dict[str, Any]]:
        """Yield all that is kept, in order of its keys; what is *known* of it, by its key, is not read."""
        for path in sorted(self.folder.glob("*.json")):
            found = (known or {}).get(path.stem) or _read(path)
            if found is not None:
                yield found


def _read(path: Path) -> dict[str, Any] | None:
    """Return a kept point; None where there is none, or it is broken: it is played again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION or found["key"] != path.stem:
            return None
        return dict(found) if {"trial", "inputs", "walkforward", "summary", "series"} <= set(found) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
