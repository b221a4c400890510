"""What of a finished run may be played: the only way from a manifest to models, code and files.

A run folder may come from anyone, all of it made by hand. Code is imported only if the user names its file; a file that
knobs name is opened only if its content is an input of the run; the rest is data, read and never run.
"""

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from mm.base.code_identity import hash_file
from mm.base.knobs import axes_of, knobs, shown
from mm.base.user_code import NAME, USER_ERRORS, modules_of, one_line, place_of
from mm.errors import DataError, ModelError, SafetyError
from mm.play.artefacts import FILES_NAMED, moved, moved_models
from mm.play.knobs import Day, OtherMarkets
from mm.play.setup import GROUPS, GROUPS_BY_NAME, Setup
from mm.runs.find import find_runs
from mm.runs.finished import RunFolder
from mm.runs.in_progress import SOURCE

KEPT, KEPT_INDEX = "models", "index.json"
"""Folder in a live run with copies of fitted and trained models, and the file with their places by name."""
COPIES = {"fill_params_file": "fill_params.json", "latency_file": "latencies.csv"}
"""Copies of files in a live run, by the knob that names the file."""
ARTEFACT = ("model.json", "arrays.npz")
_PATHS = (
    "fill_params_file",
    "latency_file",
    "brackets_file",
    "queue_exponent_file",
)  # knobs that name a file whose content is an input
_NO_MODELS = ("data_root", "day", "log_root", "out_dir", "out_root", "trust", *_PATHS)  # whose colons name no module
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class InputPlaces:
    data_root: Path
    out_root: Path


@dataclass(frozen=True)
class Playable:
    """A run whose code and files `playable` has checked.

    *files* has current paths by knob, *artefacts* by the text of predictors and agents in parameters.
    """

    run: RunFolder
    files: Mapping[str, Path]
    artefacts: Mapping[str, str]
    source: Mapping[str, Path]

    @cached_property
    def values(self) -> dict[str, Any]:
        values = {name: knob["value"] for name, knob in self.run.manifest["knobs"].items() if name != "trust"}
        return {**values, **self.files}

    def group(self, kind: type[Group], **others: Any) -> Group:
        """A knob added since then has its default."""
        given = {
            knob.name: knob.read(shown(value))
            for knob in knobs(kind)
            if (value := self.values.get(knob.name)) is not None
        }
        return kind(**{**given, **others})

    def copy_source(self, folder: Path) -> None:
        for name, path in self.source.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(path.read_bytes())

    @contextmanager
    def own_modules(self) -> Iterator[None]:
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="mm-source-")))
            self.copy_source(scratch)
            try:
                stack.enter_context(modules_of(scratch, map(_module_of, self.source)))
            except USER_ERRORS as error:
                said = f"{self.run.folder / SOURCE}: importing its modules raised {one_line(error)}"
                raise ModelError(said, place_of(error)) from error
            yield


def playable(
    run: RunFolder, places: InputPlaces, trusted: Sequence[Path], played: Collection[str], *, days: bool = True
) -> Playable:
    """Return the run with the code and files it may use; nothing is imported. Raises SafetyError or DataError.

    *days* is False for a live run, whose inputs may have grown.
    """
    knobs_played = {name: knob["value"] for name, knob in run.manifest["knobs"].items() if name in played}
    names = _names(run, knobs_played)
    source = _trusted_source(run, names, trusted)
    located = check_inputs(run, places) if days else {}
    return Playable(run, _knob_files(run, located), _artefacts(run, knobs_played, reviewed=bool(names)), source)


@contextmanager
def setup_of(
    run: RunFolder, places: InputPlaces, trusted: Sequence[Path] = (), *, days: bool = True
) -> Iterator[tuple[Setup, Playable]]:
    """Yield it only if code and files are trusted (`playable`); added knobs have their defaults."""
    names = {knob.name for kind in GROUPS for knob in knobs(kind)}
    known = playable(run, places, trusted, names, days=days)
    roots = {"data_root": places.data_root, "out_root": places.out_root, "out_dir": None}
    if run.knob("day") is None:  # of a live run, which records the current day
        roots["day"] = run.manifest["day"]
    setup = Setup(
        **{name: known.group(kind, **(roots if kind is Day else {})) for name, kind in GROUPS_BY_NAME.items()}
    )
    others = setup.others.others and json.dumps(moved(json.loads(setup.others.others), known.artefacts))
    models = moved_models(setup.models, known.artefacts)
    with known.own_modules():
        yield replace(setup, models=models, others=OtherMarkets(others=others)), known


def check_inputs(run: RunFolder, sources: InputPlaces) -> dict[str, Path]:
    """Return each input's current path, by its manifest path; DataError lists all missing or changed.

    A day's file must be in place. A file named by a knob or kept by the run may have moved, and is searched.
    """
    paths: dict[str, Path] = {}
    wrong: list[str] = []
    for entry in run.manifest["inputs"]:
        places = list(_places(run, entry, sources))
        existing = next(
            (candidate for candidate in places if candidate.is_file() and hash_file(candidate) == entry["sha256"]), None
        )
        if existing is not None:
            paths[entry["path"]] = existing
        else:
            changed = next((place for place in places if place.is_file()), None)
            wrong.append(f"{changed} changed since the run" if changed else f"{places[0]} is missing")
    if wrong:
        raise DataError(
            "{} cannot be played again, {} of its {} inputs are missing or changed: {}; restore them, or give their "
            "{data_root}",
            run.folder,
            len(wrong),
            len(run.manifest["inputs"]),
            "; ".join(wrong),
        )
    return paths


def _knob_files(run: RunFolder, located: Mapping[str, Path]) -> dict[str, Path]:
    files = {}
    for name in _PATHS:
        value = run.knob(name)
        if value is not None:
            same = [place for path, place in located.items() if _same_name(path, value)]
            same += [path for path in (run.folder / COPIES.get(name, ""), Path(value)) if _is_input(run, path)]
            if not same:
                raise SafetyError(f"{run.folder} was not played: {name} is {value!r}, which is no input of the run")
            files[name] = same[0]
    return files


def _artefacts(run: RunFolder, played: Mapping[str, Any], *, reviewed: bool) -> dict[str, str]:
    moved_to, copies = {}, _copies(run)
    for name, value in played.items():
        for key, text in _texts(value, grid=name == "grid") if name not in _NO_MODELS else ():
            folder = text.removesuffix(":bid").removesuffix(":ask")
            named = key.lower() in FILES_NAMED
            if not named and not os.path.lexists(Path(folder) / ARTEFACT[0]) and folder not in copies:
                continue
            places = [*([copies[folder]] if folder in copies else []), Path(folder)]
            same = [place for place in places if _is_input(run, place)]
            if same:
                moved_to[folder] = str(same[0])
            elif os.path.lexists(folder) and not (named and reviewed):
                raise SafetyError(f"{run.folder} was not played: {name} names {folder!r}, which is no input of the run")
    return moved_to


def _copies(run: RunFolder) -> dict[str, Path]:
    try:
        index = json.loads((run.folder / KEPT / KEPT_INDEX).read_text(encoding="utf-8"))
        return {str(text): run.folder / str(place) for text, place in index.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _is_input(run: RunFolder, path: Path) -> bool:
    hashes = {entry["sha256"] for entry in run.manifest["inputs"]}
    files = [path / name for name in ARTEFACT] if path.is_dir() else [path]
    return all(file.is_file() and hash_file(file) in hashes for file in files)


def _trusted_source(run: RunFolder, names: Sequence[str], trusted: Sequence[Path]) -> dict[str, Path]:
    """Return the kept user modules; SafetyError lists all untrusted code."""
    if not names:
        return {}
    known, hashes = {path.resolve() for path in trusted}, {hash_file(path) for path in trusted}
    kept = {
        path.relative_to(run.folder / SOURCE).as_posix(): path for path in sorted((run.folder / SOURCE).rglob("*.py"))
    }
    modules = set(map(_module_of, kept))
    if not any(name.partition(":")[0] in modules for name in names):
        kept = {}
    wrong = []
    if kept:
        bad = [str(path) for path in kept.values() if path.resolve() not in known and hash_file(path) not in hashes]
        wrong += [f"{', '.join(repr(name) for name in names)} ({', '.join(bad)})"] if bad else []
    for name in names:
        module = name.partition(":")[0]
        if module in modules:
            continue
        files = _sources(module, [os.getcwd(), *sys.path])
        wrong += [] if files else [f"{name!r} (no such module)"]
        wrong += [f"{name!r} ({file})" for file in files if file.resolve() not in known]
    if wrong:
        raise SafetyError(
            f"{run.folder} was not played: its manifest names code that was not trusted: {', '.join(wrong)}; "
            f"review it, and add --trust FILE for each file to run it"
        )
    return kept


def _module_of(path: str) -> str:
    place = PurePosixPath(path).with_suffix("")
    return ".".join(place.parts[:-1] if place.name == "__init__" else place.parts)


def _names(run: RunFolder, played: Mapping[str, Any]) -> list[str]:
    """Find texts at any depth that may name a user's class."""
    names: dict[str, None] = {}
    try:
        for name, value in played.items():
            for _, text in _texts(value, grid=name == "grid") if name not in _NO_MODELS else ():
                if not ("/" in text and text.endswith((":bid", ":ask"))):
                    names |= dict.fromkeys(NAME.findall(text))
    except ValueError as error:
        raise DataError(f"{run.folder}: the manifest's grid cannot be read, it must be {error}") from error
    return list(names)


def _texts(value: object, key: str = "", *, grid: bool = False) -> Iterator[tuple[str, str]]:
    """Yield texts in the values of a grid's axes, in JSON, or the value itself."""
    if isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else ((key, item) for item in value)
        for name, inside in pairs:
            yield from _texts(inside, str(name))
    elif isinstance(value, str) and grid:
        for axis, values in axes_of(value):
            yield from (text for axis_value in values for text in _texts(axis_value, axis))
    elif isinstance(value, str):
        try:
            content = json.loads(value)
        except json.JSONDecodeError:
            content = None
        if isinstance(content, Mapping | list | str):
            yield from _texts(content, key)
        else:
            yield key, value


def _sources(module: str, search: Sequence[str]) -> list[Path]:
    place: Iterable[str] | None = search
    files: list[Path] = []
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = None if place is None else PathFinder.find_spec(".".join(parts[:depth]), list(place))
        if spec is None:
            return []
        place = spec.submodule_search_locations
        if spec.has_location and spec.origin:
            files.append(Path(spec.origin))
    return files


def _places(run: RunFolder, entry: Mapping[str, Any], sources: InputPlaces) -> Iterator[Path]:
    path = entry["path"]
    named = [Path(run.knob(name)) for name in _PATHS if run.knob(name) is not None]
    yield from (place for place in named if _same_name(path, str(place)))
    yield sources.data_root / path
    if PurePosixPath(path).parts[0] == run.manifest["symbol"]:  # a file of a day
        return
    yield Path(PurePosixPath(path).name)
    yield from (run.folder / SOURCE).rglob(PurePosixPath(path).name)
    for known in find_runs(sources.out_root)[0]:
        outputs = known.manifest["outputs"]
        yield from (known.folder / file["path"] for file in outputs if file["sha256"] == entry["sha256"])


def _same_name(path: str, other: str) -> bool:
    return PurePosixPath(path).name == Path(other).name
