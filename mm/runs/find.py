"""Finished runs: list those under OUT_ROOT, find one by name, and check whether its inputs are unchanged."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath
from typing import Any

from mm.base.code_identity import hash_file
from mm.base.knobs import axes_of, closest, day_list
from mm.errors import BrokenFile, DataError, SafetyError
from mm.runs.manifest import MANIFEST, read_manifest

# Patterns of run folders below OUT_ROOT.
PLACES = ("backtest/*/*", "calibration/*/*/*", "walkforward/*/*", "sweep/*/*", "evaluation/*/*", "shadow/*/*")
LAST = "last"  # name of the newest usable fit
FITS = {"calibration": "poisson_fit.json", "schedule": "poisson_schedule.json"}
SHORTEST_DIGEST = 6  # minimum length of the prefix of a digest


@dataclass(frozen=True)
class Found:
    """A finished run: its folder, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    def knob(self, name: str) -> Any:
        """Return the value of a knob; None if the run's command has no such knob."""
        return self.manifest["knobs"].get(name, {}).get("value")

    def log_file(self) -> Path:
        """Return the path of the run's log; it may have been removed since."""
        out_root = Path(self.knob("out_root") or "out")
        root = Path(self.knob("log_root") or out_root / "logs")
        method = (self.knob("calib_method"),) if self.manifest["kind"] == "calibration" else ()
        names = (self.manifest[name] for name in ("symbol", "day", "run_id"))
        return root.joinpath(self.manifest["kind"], *method, *names, "run.log")

    def days(self) -> tuple[str, ...]:
        """Return the requested days, each YYYYMMDD."""

        try:
            return day_list(str(self.knob("day")))
        except ValueError:
            return tuple(str(self.manifest["day"]).split("-"))


@dataclass(frozen=True)
class InvalidRun:
    """A folder among the runs that is not a run.

    Attributes:
        folder: The folder.
        why: What is wrong with it.
    """

    folder: Path
    why: str


def find_runs(root: Path) -> tuple[list[Found], list[InvalidRun]]:
    """Return the finished runs below *root*, oldest first, and the folders among them that are not runs."""
    runs, invalid = [], list(_without_manifest(root))
    for path in sorted(root.rglob(MANIFEST)):
        if any(part.endswith(".partial") for part in path.relative_to(root).parts):
            continue
        try:
            runs.append(Found(path.parent, read_manifest(path.parent)))
        except BrokenFile as error:
            invalid.append(InvalidRun(path.parent, str(error).partition(": ")[2]))
    runs.sort(key=lambda run: (str(run.manifest["started_at"]), str(run.folder)))
    return runs, sorted(invalid, key=lambda one: one.folder)


def find_run(name: str, root: Path) -> Found:
    """Return the run called *name*: a folder, a RUN_ID below *root*, or the beginning of a RUN_ID or digest.

    Raises:
        DataError: If there is none, or several.
    """
    if name and Path(name).is_dir():
        return Found(Path(name), read_manifest(Path(name)))
    runs, _ = find_runs(root)
    exact = [run for run in runs if run.manifest["run_id"] == name]
    matches = exact or [run for run in runs if _begins(run, name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = ", ".join(str(run.folder) for run in matches)
        raise DataError(f"{len(matches)} runs match {name!r}: {places}; give more of the RUN_ID, or the folder of one")
    raise DataError(f"{name!r} is neither a run folder nor a RUN_ID under {root}; mm runs list shows the known ones")


def find_fit(name: str, symbol: str, root: Path) -> Path | None:
    """Return the file of the fit or schedule called *name*; None if *name* is neither ``last`` nor a run.

    Args:
        name: ``last``, the newest usable fit or schedule of *symbol*; or a RUN_ID or its beginning.
        symbol: Symbol of the fit.
        root: OUT_ROOT.

    Raises:
        DataError: If there is no such fit, or several runs have the name.
    """
    if Path(name).name != name or name.endswith(".json"):
        return None
    runs = [run for run in find_runs(root)[0] if run.manifest["symbol"] == symbol and run.manifest["kind"] in FITS]
    if name == LAST:
        usable = [run for run in runs if run.manifest["status"] == "ok"]
        if not usable:
            raise DataError(
                f"--fit (FILL_PARAMS_FILE) is {LAST}, but {root} has no usable fit of {symbol}; make one: "
                f"mm calibrate --symbol {symbol} --day YYYYMMDD"
            )
        return usable[-1].folder / FITS[usable[-1].manifest["kind"]]
    exact = [run for run in runs if run.manifest["run_id"] == name] or [run for run in runs if _begins(run, name)]
    if len(exact) > 1:
        raise DataError(f"{len(exact)} fits match {name!r}: {', '.join(str(run.folder) for run in exact)}; name a file")
    if not exact:
        known = closest(name, [LAST, *(str(run.manifest["run_id"]) for run in runs)])
        raise DataError(
            f"--fit (FILL_PARAMS_FILE) is {name!r}: there is no such file, and no calibration of {symbol} of that "
            f"RUN_ID below {root}{known or f'; mm runs list --symbol {symbol} shows the known ones'}"
        )
    return exact[0].folder / FITS[exact[0].manifest["kind"]]


def _begins(run: Found, name: str) -> bool:
    as_digest = len(name) >= SHORTEST_DIGEST and str(run.manifest["digest"]).startswith(name)
    return bool(name) and (as_digest or str(run.manifest["run_id"]).startswith(name))


def _without_manifest(root: Path) -> Iterator[InvalidRun]:
    for folder in (folder for place in PLACES for folder in root.glob(place)):
        if not folder.is_dir():
            continue
        if folder.name.endswith(".partial"):
            yield InvalidRun(folder, "not finished: a run is writing it, or was killed")
        elif not (folder / MANIFEST).exists():
            yield InvalidRun(folder, f"not a run, it has no {MANIFEST}")


_PATHS = ("fill_params_file", "latency_file", "queue_exponent_file")  # knobs that name a file whose content is an input
_NO_MODELS = ("data_root", "day", "log_root", "out_dir", "out_root", *_PATHS)  # knobs whose colons name no module


@dataclass(frozen=True, slots=True)
class InputPlaces:
    """Folders in which the inputs of a run are searched.

    Attributes:
        data_root: Folder of the day folders.
        out_root: Folder of the runs; an input that is the output of a run is found there by its sha256.
    """

    data_root: Path
    out_root: Path


def check_inputs(run: Found, sources: InputPlaces) -> dict[str, Path]:
    """Return the current path of each input of a run, by its path in the manifest.

    A file of a day must be in its place. A file named by a knob (a fit, latencies) may have moved: it is searched at
    the path of the knob, at the path of the manifest, in the current folder, and among the outputs of the known runs.

    Raises:
        DataError: If any is missing or changed; the message lists them all.
    """
    found: dict[str, Path] = {}
    wrong: list[str] = []
    for entry in run.manifest["inputs"]:
        places = list(_places(run, entry, sources))
        existing = next((one for one in places if one.is_file() and hash_file(one) == entry["sha256"]), None)
        if existing is not None:
            found[entry["path"]] = existing
        else:
            changed = next((place for place in places if place.is_file()), None)
            wrong.append(f"{changed} changed since the run" if changed else f"{places[0]} is missing")
    if wrong:
        raise DataError(
            f"{run.folder} cannot be played again, {len(wrong)} of its {len(run.manifest['inputs'])} inputs "
            f"are missing or changed: {'; '.join(wrong)}; restore them, or give their --data-root (DATA_ROOT)"
        )
    return found


def knob_files(run: Found, located: Mapping[str, Path]) -> dict[str, Path]:
    """Return the current paths of the files named by knobs, by knob; *located* is the result of `check_inputs`.

    Raises:
        SafetyError: If one is not an input of the run.
    """
    files = {}
    for name in _PATHS:
        value = run.knob(name)
        if value is not None:
            same = [place for path, place in located.items() if _same_name(path, value)]
            if not same:
                raise SafetyError(f"{run.folder} was not played: {name} is {value!r}, which is no input of the run")
            files[name] = same[0]
    return files


def check_models(run: Found, search: Sequence[str], trusted: Sequence[Path] = ()) -> None:
    """Refuse a run whose manifest names code other than registered models; the check imports nothing.

    A manifest may come from an untrusted source, also with the hash of a file beside it, and a model that it names is
    executed. ``package.module:Class`` is trusted where every file that its import runs, found on the *search* path, is
    one of the *trusted* files.

    Raises:
        SafetyError: If any is not trusted; the message lists them all.
    """
    known = {path.resolve() for path in trusted}
    wrong = []
    try:
        names = list(dict.fromkeys(_models(run)))
    except ValueError as error:
        raise DataError(f"{run.folder}: the manifest's grid cannot be read, it must be {error}") from error
    for name in names:
        sources = _sources(name.partition(":")[0], search)
        if not sources:
            wrong.append(f"{name!r} (no such module)")
        wrong += [f"{name!r} ({source})" for source in sources if source.resolve() not in known]
    if wrong:
        raise SafetyError(
            f"{run.folder} was not played: its manifest names code that was not trusted: {', '.join(wrong)}; "
            f"review it, and add --trust FILE for each file to run it"
        )


def _models(run: Found) -> Iterator[str]:
    """Yield every text in the knobs, at any depth, that may name a model: any text with a colon.

    Sides of fitted predictors are not included: their folders are inputs of the run.
    """
    for name, knob in run.manifest["knobs"].items():
        if name not in _NO_MODELS:
            texts = (text for text in _texts(knob["value"], grid=name == "grid") if ":" in text)
            yield from (text for text in texts if not ("/" in text and text.endswith((":bid", ":ask"))))


def _texts(value: object, *, grid: bool = False) -> Iterator[str]:
    """Yield the texts in a knob's value: in the values of a grid's axes, in JSON, or itself."""
    if isinstance(value, Mapping | list):
        for inside in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inside)
    elif isinstance(value, str) and grid:
        for _, values in axes_of(value):
            yield from (text for axis_value in values for text in _texts(axis_value))
    elif isinstance(value, str):
        try:
            content = json.loads(value)
        except json.JSONDecodeError:
            content = None
        if isinstance(content, Mapping | list | str):
            yield from _texts(content)
        else:
            yield value


def _sources(module: str, search: Sequence[str]) -> list[Path]:
    """Return the files that an import of *module* would run, with those of its packages, without importing them."""
    place: Iterable[str] | None = search
    files: list[Path] = []
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        found = None if place is None else PathFinder.find_spec(".".join(parts[:depth]), list(place))
        if found is None:
            return []
        place = found.submodule_search_locations
        if found.has_location and found.origin:
            files.append(Path(found.origin))
    return files


def _places(run: Found, entry: Mapping[str, Any], sources: InputPlaces) -> Iterator[Path]:
    """Yield possible paths of an input, the most likely first."""
    path = entry["path"]
    named = [Path(run.knob(name)) for name in _PATHS if run.knob(name) is not None]
    yield from (place for place in named if _same_name(path, str(place)))
    yield sources.data_root / path
    if PurePosixPath(path).parts[0] == run.manifest["symbol"]:  # a file of a day
        return
    yield Path(PurePosixPath(path).name)
    for known in find_runs(sources.out_root)[0]:
        outputs = known.manifest["outputs"]
        yield from (known.folder / file["path"] for file in outputs if file["sha256"] == entry["sha256"])


def _same_name(path: str, other: str) -> bool:
    return PurePosixPath(path).name == Path(other).name
