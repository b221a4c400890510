"""Which code runs: the sources and compiled modules that a module imports, and their hashes."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Self

PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = (".py", ".pyx", ".pxd")
_NAMES = r"(\([^)]*\)|(?:[^\n\\;]|\\\n)*)"
_IMPORT = re.compile(rf"(?:^|[:;])[ \t]*(?:from\s+([\w.]+)\s+c?import\s*{_NAMES}|c?import\s+{_NAMES})", re.MULTILINE)
_ANNOTATIONS = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)
# A registry entry that names the module it loads, and a module imported by its name.
_ENTRY = re.compile(r"[\"'](mm(?:\.\w+)+):\w+[\"']|import_module\([\"'](mm(?:\.\w+)+)[\"']\)")
Locate = Callable[[str], Sequence[Path]]


def digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HashedFile:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.sha256 = hashlib.sha256()

    def write(self, data: "bytes | memoryview[int]") -> None:
        self.sha256.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def closure(names: Iterable[str], locate: Locate) -> tuple[dict[str, list[Path]], set[str]]:
    """Return the files of *names* and all they import, and imports that *locate* (source first) does not know."""
    modules: dict[str, list[Path]] = {}
    others: set[str] = set()
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name in modules or name in others:
            continue
        files = list(locate(name))
        if not files:
            others.add(name)
            continue
        modules[name] = files
        for path in files:
            if path.suffix in _SOURCES:
                waiting += imports(name, path)
    return modules, others


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield modules that the source of *name* may import, and the packages that contain it."""
    yield from (name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1))
    if path.suffix == ".pyx":
        yield "mm._cyutil"  # Cython's own code, which every kernel imports
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    text = _ANNOTATIONS.sub("", path.read_text(encoding="utf-8", errors="replace"))
    yield from (entry or module for entry, module in _ENTRY.findall(text))
    for source, members, modules in _IMPORT.findall(text):
        listed = [word.split()[0] for word in _words(members or modules) if word.strip(" .*")]
        if not source:
            yield from listed
            continue
        dots = len(source) - len(source.lstrip("."))
        above = package[: len(package) - dots + 1] if dots else []
        base = ".".join([*above, *filter(None, [source.lstrip(".")])])
        yield from (base, *(f"{base}.{member}" for member in listed))


def _words(text: str) -> list[str]:
    return re.sub(r"#[^\n]*|[()\\\n]", " ", text).split(",")


def of_package(folder: Path = PACKAGE) -> Locate:

    def locate(name: str) -> list[Path]:
        first, *inside = name.split(".")
        if first != PACKAGE.name:
            return []
        path = folder.joinpath(*inside)
        places = [path.with_name(path.name + suffix) for suffix in (*_SOURCES, *EXTENSION_SUFFIXES)]
        return [place for place in (path / "__init__.py", *places) if place.is_file()]

    return locate


@cache
def code_files(*names: str, folder: Path = PACKAGE) -> Mapping[str, str]:
    modules, others = closure(names, of_package(folder))
    files = {path for paths in modules.values() for path in paths}
    hashes = {path.relative_to(folder).as_posix(): hash_file(path) for path in files}
    python = f"python=={sys.version.partition(' ')[0]}"
    return dict(sorted({**hashes, **dict.fromkeys([python, *_installed(others)], "")}.items()))


def sources_hash(folder: Path = PACKAGE) -> str:
    """Hash all sources: coarser than `code_files`, and faster."""
    sha256 = hashlib.sha256()
    below = os.walk(folder)  # faster than `Path.rglob`
    paths = sorted(f"{place}/{name}" for place, _, names in below for name in names if name.endswith(_SOURCES))
    for path in paths:
        with open(path, "rb") as file:
            content = file.read()
        sha256.update(f"{path.removeprefix(str(folder))} {len(content)}\n".encode())
        sha256.update(content)
    return sha256.hexdigest()


def sources_alone(files: Mapping[str, str]) -> dict[str, str]:
    return {name: sha256 for name, sha256 in files.items() if name.endswith(_SOURCES)}


def _installed(names: Iterable[str]) -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version  # loads the email package

    for name in sorted({name.partition(".")[0] for name in names} - {PACKAGE.name, *sys.stdlib_module_names}):
        try:
            yield f"{name}=={version(name)}"
        except (PackageNotFoundError, ValueError):  # ValueError: a name without a letter, as after ``import *``
            continue
