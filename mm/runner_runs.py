"""``mm runs``: look at run folders by their manifests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mm import run_manifest
from mm.cli import command
from mm.config import Results
from mm.console import Console
from mm.errors import DataError

_COLUMNS = ("kind", "symbol", "day", "run_id", "status", "started_at", "path")


@dataclass(frozen=True)
class Found:
    """A finished run: its folder, and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    def row(self) -> dict[str, str]:
        """Return what ``mm runs list`` shows of it."""
        return {**{name: str(self.manifest.get(name, "")) for name in _COLUMNS[:-1]}, "path": str(self.folder)}


def find_runs(root: Path) -> list[Found]:
    """Return the finished runs below *root*, the oldest first."""
    folders = [path.parent for path in root.rglob(run_manifest.NAME)]
    runs = [Found(folder, run_manifest.read(folder)) for folder in folders if not _unfinished(folder, root)]
    return sorted(runs, key=lambda run: (str(run.manifest.get("started_at")), str(run.folder)))


def find_run(name: str, root: Path) -> Found:
    """Return the run that *name* stands for: its folder, or its RUN_ID below *root*.

    Raises:
        DataError: If there is none, or several.
    """
    if Path(name).is_dir():
        return Found(Path(name), run_manifest.read(Path(name)))
    matches = [run for run in find_runs(root) if run.manifest["run_id"] == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = ", ".join(str(run.folder) for run in matches)
        raise DataError(f"{len(matches)} runs are called {name!r}: {places}; name the folder of one")
    raise DataError(f"{name!r} is no run folder and no RUN_ID below {root}; mm runs list shows the known ones")


@command(Results)
def list_command(console: Console, results: Results) -> None:
    """List the runs under OUT_ROOT, the oldest first."""
    rows = [run.row() for run in find_runs(results.out_root)]
    console.answer({"runs": rows})
    if not rows:
        console.say(f"no runs below {results.out_root}")
        return
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in _COLUMNS}
    for row in [{name: name for name in _COLUMNS}, *rows]:
        console.say("  ".join(row[name].ljust(widths[name]) for name in _COLUMNS).rstrip())


@command(Results, arguments=[click.Argument(["name"], metavar="RUN")])
def show_command(console: Console, results: Results, name: str) -> None:
    """Show one run, named by its folder or by its RUN_ID: what went in, what came out, what it found."""
    run = find_run(name, results.out_root)
    manifest = run.manifest
    console.answer({**manifest, "path": str((run.folder / run_manifest.NAME).resolve())})
    console.say(
        f"{manifest['kind']} {manifest['symbol']} {manifest['day']}  {manifest['run_id']}  {manifest['status']}"
    )
    console.say(f"folder   {run.folder}")
    console.say(f"time     {manifest['started_at']} to {manifest['finished_at']}")
    console.say(f"version  {manifest['version']} {manifest['commit'] or ''}".rstrip())
    console.say(f"digest   {manifest['digest']}")
    for title, lines in (
        ("knobs that were set", _knob_lines(manifest)),
        ("inputs", [f"{file['path']}  {file['bytes']} bytes" for file in manifest["inputs"]]),
        ("outputs", [_output_line(file) for file in manifest["outputs"]]),
        ("timings", [f"{key} = {value}" for key, value in manifest["timings"].items()]),
        ("summary", [f"{key} = {value}" for key, value in manifest["summary"].items()]),
    ):
        if lines:
            console.say("\n".join([title, *(f"  {line}" for line in lines)]))


def _knob_lines(manifest: dict[str, Any]) -> list[str]:
    knobs = manifest["knobs"].items()
    return [f"{name} = {one['value']}  ({one['source']})" for name, one in knobs if one["source"] != "default"]


def _output_line(file: dict[str, Any]) -> str:
    return file["path"] if file["rows"] is None else f"{file['path']}  {file['rows']} rows"


def _unfinished(folder: Path, root: Path) -> bool:
    return any(part.endswith(".partial") for part in folder.relative_to(root).parts)
