"""The files that a run read: are they still what they were, and where do they lie now?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mm.errors import DataError
from mm.run_finder import Found, find_runs
from mm.run_manifest import hash_file

_PATHS = ("fill_params_file", "latency_file")  # knobs that name a file whose content is an input


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
