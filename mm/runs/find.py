"""Finished runs: list those under OUT_ROOT, and find one by name."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.knobs import closest
from mm.base.paths import files_below
from mm.errors import BrokenFile, DataError
from mm.report.contents import FIT, SCHEDULE
from mm.runs.finished import RunFolder
from mm.runs.manifest import ACCOUNTS, MANIFEST, read_manifest

# Patterns of run folders below OUT_ROOT.
PLACES = ("backtest/*/*", "calibration/*/*/*", "walkforward/*/*", "sweep/*/*", "evaluation/*/*", "shadow/*/*")
LAST = "last"  # name of the newest usable fit
FITS = {"calibration": FIT, "schedule": SCHEDULE}
SHORTEST_DIGEST = 6  # minimum length of the prefix of a digest


@dataclass(frozen=True)
class InvalidRun:
    folder: Path
    why: str


def find_runs(
    root: Path, read: Callable[[Path], dict[str, Any]] = read_manifest
) -> tuple[list[RunFolder], list[InvalidRun]]:
    """Return finished runs, oldest first, and other folders; *read* may cache manifests."""
    runs, invalid = [], list(_without_manifest(root))
    for path in sorted(files_below(root, MANIFEST)):
        if any(part.endswith(".partial") for part in path.relative_to(root).parts):
            continue
        try:
            runs.append(RunFolder(path.parent, read(path.parent)))
        except BrokenFile as error:
            invalid.append(InvalidRun(path.parent, str(error).partition(": ")[2]))
    runs.sort(key=lambda run: (str(run.manifest["started_at"]), str(run.folder)))
    return runs, sorted(invalid, key=lambda invalid_run: invalid_run.folder)


def open_run(
    name: str | Path, out_root: str | Path = "out", kinds: Collection[str] = (), symbol: str | None = None
) -> RunFolder:
    """Open a finished run.

    Args:
        name: Its folder, its RUN_ID, or the beginning of its RUN_ID or digest.
        out_root: Folder in which RUN_IDs are searched.
        kinds: The kinds that the caller can use, which are searched first.
        symbol: Its symbol, or one of its account, whose runs are searched first.

    Raises:
        DataError: If there is no such run, or more than one.
    """
    if str(name) and Path(name).is_dir():
        return RunFolder(Path(name), read_manifest(Path(name)))
    name, root = str(name), Path(out_root)
    runs, _ = find_runs(root)
    exact = [run for run in runs if run.manifest["run_id"] == name]
    begun = exact or [run for run in runs if _begins(run, name)]
    matches = [run for run in begun if run.kind in kinds] or begun
    matches = [run for run in matches if symbol in (run.symbol, *run.symbols)] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = ", ".join(str(run.folder) for run in matches)
        more = "give the folder of one" if exact else "give more of the RUN_ID, or the folder of one"
        kinds_told = sorted({run.kind for run in matches})
        of_kind = f", or in Python kinds=[{kinds_told[0]!r}]" if len(kinds_told) == len(matches) else ""
        raise DataError(f"{len(matches)} runs match {name!r}: {places}; {more}{of_kind}")
    raise DataError(f"{name!r} is neither a run folder nor a RUN_ID under {root}; mm runs list shows the known ones")


def open_part(name: str | Path, out_root: str | Path = "out", kinds: Collection[str] = ()) -> RunFolder:
    """Open a run, or as ``RUN/SYMBOL`` a symbol's run, or its part in an account's; raises DataError or UsageError."""
    place, accounts = Path(name), tuple(ACCOUNTS.values())
    named = len(place.parts) > 1 and not (place / MANIFEST).is_file()
    if named and ((place.parent / MANIFEST).is_file() or (len(place.parts) == 2 and not place.parent.is_dir())):
        symbol = place.name.upper()
        run = open_run(str(place.parent), out_root, (*kinds, *accounts), symbol)
        return run if run.symbol == symbol else run.part(symbol)
    return open_run(name, out_root, (*kinds, *accounts))


def find_fit(name: str, symbol: str, root: Path) -> Path | None:
    """Return the file of a fit or schedule; None if *name* is neither ``last`` nor a run.

    *name* is ``last``, the newest usable one of *symbol*, or a RUN_ID or its beginning.
    """
    if Path(name).name != name or name.endswith(".json"):
        return None
    runs = [run for run in find_runs(root)[0] if run.manifest["symbol"] == symbol and run.manifest["kind"] in FITS]
    if name == LAST:
        usable = [run for run in runs if run.manifest["status"] == "ok"]
        if not usable:
            raise DataError(
                "{fill_params_file} is {}, but {} has no usable fit of {}; make one: mm calibrate --symbol {} --day "
                "YYYYMMDD",
                LAST,
                root,
                symbol,
                symbol,
            )
        return usable[-1].folder / FITS[usable[-1].manifest["kind"]]
    exact = [run for run in runs if run.manifest["run_id"] == name] or [run for run in runs if _begins(run, name)]
    if len(exact) > 1:
        raise DataError(f"{len(exact)} fits match {name!r}: {', '.join(str(run.folder) for run in exact)}; name a file")
    if not exact:
        known = closest(name, [LAST, *(str(run.manifest["run_id"]) for run in runs)])
        raise DataError(
            "{fill_params_file} is {!r}: there is no such file, and no calibration of {} of that RUN_ID below {}{}",
            name,
            symbol,
            root,
            known or f"; mm runs list --symbol {symbol} shows the known ones",
        )
    return exact[0].folder / FITS[exact[0].manifest["kind"]]


def _begins(run: RunFolder, name: str) -> bool:
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
