"""The files that a run read: are they still what they were, and where do they lie now?"""

import json
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath
from typing import Any

from mm.code_identity import hash_file
from mm.errors import DataError, SafetyError
from mm.run_finder import Found, find_runs
from mm.sweep_knobs import axes_of

_PATHS = ("fill_params_file", "latency_file")  # knobs that name a file whose content is an input
_NO_MODELS = ("data_root", "day", "log_root", "out_dir", "out_root", *_PATHS)  # knobs whose colons name no module
_LIBRARY = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
_SITE = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the inputs of a run are looked for.

    Attributes:
        data_root: Folder of the day folders.
        out_root: Folder of the runs; an input that is one's output is found there by its sha256.
    """

    data_root: Path
    out_root: Path


def check_inputs(run: Found, sources: Sources) -> dict[str, Path]:
    """Return where each input of a run lies now, by the path that its manifest names.

    A file of a day must be in its place. What a knob named (a fit, latencies) may have moved: it is looked for where
    the knob says, where the manifest says, in the current folder, and among the outputs of the known runs.

    Raises:
        DataError: If one is missing or changed; the message names them all.
    """
    found: dict[str, Path] = {}
    wrong: list[str] = []
    for entry in run.manifest["inputs"]:
        places = list(_places(run, entry, sources))
        there = next((place for place in places if _is(place, entry)), None)
        if there is not None:
            found[entry["path"]] = there
        else:
            changed = next((place for place in places if place.is_file()), None)
            wrong.append(f"{changed} changed since the run" if changed else f"{places[0]} is not there")
    if wrong:
        raise DataError(
            f"{run.folder} cannot be played again, {len(wrong)} of its {len(run.manifest['inputs'])} inputs "
            f"are not what they were: {'; '.join(wrong)}; bring them back, or give their --data-root (DATA_ROOT)"
        )
    return found


def knob_files(run: Found, located: Mapping[str, Path]) -> dict[str, Path]:
    """Return where the files that knobs named lie now, by knob; *located* is what `check_inputs` returned."""
    files = {}
    for name in _PATHS:
        value = run.knob(name)
        if value is not None:
            same = [place for path, place in located.items() if _same_name(path, value)]
            files[name] = same[0] if same else Path(value)
    return files


def check_models(run: Found, search: Sequence[str]) -> None:
    """Refuse a run whose manifest names code that is not an input of it; nothing is imported to find out.

    A manifest may come from anywhere, and a model that it names is code that is called. ``package.module:Class`` is
    trusted where the module's source file, found on the *search* path as the import would find it, has the sha256 of
    an input of the run and is not a part of Python itself.

    Raises:
        SafetyError: If one is not trusted; the message names them all.
    """
    hashes = {entry["sha256"] for entry in run.manifest["inputs"]}
    wrong = []
    try:
        names = list(dict.fromkeys(_models(run)))
    except ValueError as error:
        raise DataError(f"{run.folder}: the manifest's grid cannot be read, it must be {error}") from error
    for name in names:
        source = _source(name.partition(":")[0], search)
        if source is None:
            wrong.append(f"{name!r} (no such module)")
        elif _within(source, _LIBRARY) and not _within(source, _SITE):
            wrong.append(f"{name!r} (a part of Python)")
        elif hash_file(source) not in hashes:
            wrong.append(f"{name!r} ({source} is no input of the run)")
    if wrong:
        raise SafetyError(
            f"{run.folder} was not played: its manifest names code that the run did not read: {', '.join(wrong)}; "
            f"look at it, and add --trust to call it"
        )


def _models(run: Found) -> Iterator[str]:
    """Yield every text of the knobs, at any depth, that a model's name may be: whatever holds a colon."""
    for name, one in run.manifest["knobs"].items():
        if name not in _NO_MODELS:
            yield from (text for text in _texts(one["value"], grid=name == "grid") if ":" in text)


def _texts(value: object, *, grid: bool = False) -> Iterator[str]:
    """Yield the texts in a knob's value: in the values of a grid's axes, in JSON, or itself."""
    if isinstance(value, Mapping | list):
        for inside in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inside)
    elif isinstance(value, str) and grid:
        for _, values in axes_of(value):
            yield from (text for one in values for text in _texts(one))
    elif isinstance(value, str):
        try:
            content = json.loads(value)
        except json.JSONDecodeError:
            content = None
        if isinstance(content, Mapping | list | str):
            yield from _texts(content)
        else:
            yield value


def _source(module: str, search: Sequence[str]) -> Path | None:
    """Return the file that importing *module* would run, without importing the packages it lies in."""
    place: Iterable[str] | None = search
    found = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        found = None if place is None else PathFinder.find_spec(".".join(parts[:depth]), list(place))
        place = None if found is None else found.submodule_search_locations
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


def _within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _places(run: Found, entry: Mapping[str, Any], sources: Sources) -> Iterator[Path]:
    """Yield where an input may lie, the likeliest first."""
    path = entry["path"]
    named = [Path(run.knob(name)) for name in _PATHS if run.knob(name) is not None]
    yield from (place for place in named if _same_name(path, str(place)))
    yield sources.data_root / path
    if _of_a_day(run, path):
        return
    yield Path(PurePosixPath(path).name)
    yield from _outputs_of_runs(find_runs(sources.out_root)[0], entry["sha256"])


def _outputs_of_runs(runs: Sequence[Found], sha256: str) -> Iterator[Path]:
    for run in runs:
        yield from (run.folder / one["path"] for one in run.manifest["outputs"] if one["sha256"] == sha256)


def _of_a_day(run: Found, path: str) -> bool:
    symbol: str = run.manifest["symbol"]
    return PurePosixPath(path).parts[0] == symbol


def _same_name(path: str, other: str) -> bool:
    return PurePosixPath(path).name == Path(other).name


def _is(place: Path, entry: Mapping[str, Any]) -> bool:
    sha256: str = entry["sha256"]
    return place.is_file() and hash_file(place) == sha256
