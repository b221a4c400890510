"""Which runs there are below OUT_ROOT, and which one a name stands for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm import run_manifest
from mm.errors import BrokenFile, DataError

PLACES = ("backtest/*/*", "calibration/*/*/*", "walkforward/*/*", "sweep/*/*")  # of run folders below OUT_ROOT
SHORTEST_DIGEST = 6  # characters of a digest that may stand for it


@dataclass(frozen=True)
class Found:
    """A finished run: its folder, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    def knob(self, name: str) -> Any:
        """Return the value that a knob had; None where the run's command has no such knob."""
        return self.manifest["knobs"].get(name, {}).get("value")

    def log_file(self) -> Path:
        """Return where the run's log was written; it may have been removed since."""
        out_root = Path(self.knob("out_root") or "out")
        root = Path(self.knob("log_root") or out_root / "logs")
        method = (self.knob("calib_method"),) if self.manifest["kind"] == "calibration" else ()
        names = (self.manifest[name] for name in ("symbol", "day", "run_id"))
        return root.joinpath(self.manifest["kind"], *method, *names, "run.log")

    def days(self) -> tuple[str, ...]:
        """Return the days that were asked for, each YYYYMMDD."""
        from mm.cli.knobs import day_list

        try:
            return day_list(str(self.knob("day")))
        except ValueError:
            return tuple(str(self.manifest["day"]).split("-"))


@dataclass(frozen=True)
class Stray:
    """A folder that lies where runs do, but is none.

    Attributes:
        folder: The folder.
        why: What is wrong with it.
    """

    folder: Path
    why: str


def find_runs(root: Path) -> tuple[list[Found], list[Stray]]:
    """Return the finished runs below *root*, the oldest first, and the folders that should be runs and are not."""
    runs, strays = [], list(_without_manifest(root))
    for path in sorted(root.rglob(run_manifest.NAME)):
        if _unfinished(path.parent, root):
            continue
        try:
            runs.append(Found(path.parent, run_manifest.read(path.parent)))
        except BrokenFile as error:
            strays.append(Stray(path.parent, str(error).partition(": ")[2]))
    runs.sort(key=lambda run: (str(run.manifest["started_at"]), str(run.folder)))
    return runs, sorted(strays, key=lambda stray: stray.folder)


def find_run(name: str, root: Path) -> Found:
    """Return the run that *name* stands for: a folder, a RUN_ID below *root*, or how one or a digest begins.

    Raises:
        DataError: If there is none, or several.
    """
    if name and Path(name).is_dir():
        return Found(Path(name), run_manifest.read(Path(name)))
    runs, _ = find_runs(root)
    exact = [run for run in runs if run.manifest["run_id"] == name]
    matches = exact or [run for run in runs if _begins(run, name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = ", ".join(str(run.folder) for run in matches)
        raise DataError(f"{len(matches)} runs are called {name!r}: {places}; name the folder of one")
    raise DataError(f"{name!r} is no run folder and no RUN_ID below {root}; mm runs list shows the known ones")


def _begins(run: Found, name: str) -> bool:
    as_digest = len(name) >= SHORTEST_DIGEST and str(run.manifest["digest"]).startswith(name)
    return bool(name) and (as_digest or str(run.manifest["run_id"]).startswith(name))


def _without_manifest(root: Path) -> Iterator[Stray]:
    for folder in (folder for place in PLACES for folder in root.glob(place)):
        if not folder.is_dir():
            continue
        if folder.name.endswith(".partial"):
            yield Stray(folder, "not finished: a run works on it, or was killed")
        elif not (folder / run_manifest.NAME).exists():
            yield Stray(folder, f"not a run, it has no {run_manifest.NAME}")


def _unfinished(folder: Path, root: Path) -> bool:
    return any(part.endswith(".partial") for part in folder.relative_to(root).parts)
