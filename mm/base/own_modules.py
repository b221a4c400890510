"""The files of a user's modules: neither installed nor of this project."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from mm.base.code_identity import PACKAGE
from mm.errors import UsageError

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Folders of installed modules."""
_PACKAGES = frozenset({"site-packages", "dist-packages"})  # of any environment that this one sees


def is_installed(path: Path) -> bool:
    return not _PACKAGES.isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in INSTALLED)


def file_of(name: str) -> Path | None:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


def own_file(name: str) -> list[Path]:
    if name.partition(".")[0] in (PACKAGE.name, *sys.stdlib_module_names):
        return []
    path = file_of(name)
    return [] if path is None or is_installed(path) else [path]


def module_file(name: str) -> tuple[str, Path]:
    path = file_of(name)
    if path is None:
        raise UsageError(f"the module {name} is no longer found; run the command again")
    place = Path(*name.split("."))
    file = place / path.name if path.stem == "__init__" else place.with_name(path.name)
    return file.as_posix(), path
