"""``mm runs reproduce``."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.base.common_knobs import moved_data_root_knob
from mm.base.knobs import shown
from mm.base.user_code import FIRST_ON_PATH
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command
from mm.cli.options import TRUST
from mm.cli.settings_file import LEFT_OUT
from mm.commands.backtest import backtest
from mm.commands.calibrate import calibrate
from mm.commands.evaluate import evaluate
from mm.commands.schedule import schedule, walkforward
from mm.commands.sweep import sweep
from mm.errors import DataError, Mismatch, MMError
from mm.play.knobs import Results
from mm.runs.in_progress import SOURCE
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.runs.diff import Comparison, OutputDifference
    from mm.runs.finished import RunFolder
    from mm.runs.trusted import Playable


@dataclass(frozen=True, kw_only=True)
class Where(Results):
    """The folders of runs and recorded days."""

    data_root: Path | None = moved_data_root_knob()


_KEEP = click.Option(["--keep"], is_flag=True, help="Keep the second run, and print its folder.")


_TOLERANCE = click.Option(
    ["--tolerance"],
    type=click.FloatRange(0),
    default=0.0,
    metavar="T",
    help="Tolerance of numbers: relative, or absolute below 1; 0: identical bytes.",
)


COMMANDS: dict[str, tuple[str, click.Command]] = {  # by kind: the name of the command, and the command
    "backtest": ("backtest", backtest),
    "account": ("backtest", backtest),
    "account_walkforward": ("walkforward", walkforward),
    "calibration": ("calibrate", calibrate),
    "schedule": ("schedule", schedule),
    "walkforward": ("walkforward", walkforward),
    "sweep": ("sweep", sweep),
    "evaluation": ("evaluate", evaluate),
}
_WROTE = (0, 4)  # exit codes after which there is a run folder


class NotPlayed(MMError):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


@command(arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), _KEEP, _TOLERANCE, TRUST])
def runs_reproduce(
    console: Console, where: Where, name: str, keep: bool, tolerance: float, trust: tuple[Path, ...]
) -> None:
    """Repeat a run with its knobs, and verify that its outputs are byte-identical, or list the differences.

    The inputs are verified by their sha256 first, and the days are read from their files, not from the tape cache.
    Pages are not compared, because they contain the command of their run. A user's model is executed as the run kept
    it, in source/, and only if that file, or one of the same content, is named by --trust, because a run may come from
    anyone. On another processor the last digits of fits differ: --tolerance sets the limit, and the largest difference
    of each file is printed. Exit code 0 if all is equal, 3 if an input or an output differs, 5 if a model is not
    trusted.

    Example: mm runs reproduce 20260105T080000Z
    """
    from mm.cli.task_knobs import knobs_without_effect
    from mm.runs.diff import compare
    from mm.runs.find import open_run
    from mm.runs.trusted import InputPlaces, playable

    run = open_run(name, where.out_root, COMMANDS)
    sources = InputPlaces(where.data_root or Path(run.knob("data_root") or "data"), where.out_root)
    played = playable(run, sources, trust, run.manifest["knobs"].keys() - knobs_without_effect())
    console.print(f"{' '.join(str(run.manifest[key]) for key in ('kind', 'symbol', 'day', 'run_id'))}  {run.folder}")
    console.print(f"inputs   {len(run.manifest['inputs'])} files, unchanged")
    console.print(f"knobs    {_knobs(run)}")
    command_name, variables = _variables(played)
    with _scratch(keep) as scratch:
        words = [command_name, f"--data-root={sources.data_root}", f"--out-root={scratch}"]
        if played.source:
            played.copy_source(scratch / SOURCE)
            variables |= {FIRST_ON_PATH: str(scratch / SOURCE)}
        again = _play(run, words, variables, scratch)
        comparison = compare(run, again, knobs_without_effect())
        near = _near(comparison, tolerance)
        equal = not comparison.inputs and not _others(comparison, near) and not _edited(comparison)
        kept = str(again.folder) if keep else None
        within = {path: {"difference": size, "at": place} for path, (size, place) in near.items()}
        answer = {**comparison.to_json(), "equal": equal, "within_tolerance": within, "kept": kept}
        console.set_json({**answer, "path": str(run.folder.resolve())})
        for line in _lines(comparison, near, equal=equal):
            console.print(line)
        if kept:
            console.print(kept)
        if not equal:
            raise Mismatch(_verdict(comparison, near))


def _knobs(run: "RunFolder") -> str:
    from mm.cli.task_knobs import knobs_without_effect

    unused = knobs_without_effect()
    knobs = {name: knob for name, knob in run.manifest["knobs"].items() if name not in unused}
    set_knobs = [
        f"{name}={knob['value']} ({knob['source']})" for name, knob in knobs.items() if knob["source"] != "default"
    ]
    return f"{', '.join(set_knobs)}, and {len(knobs) - len(set_knobs)} defaults of its version"


def _variables(played: "Playable") -> tuple[str, dict[str, str]]:
    """Return the command, and a variable for each knob that affects the result, defaults included, as they may change.

    Variables, because a flag that the run does not use would be refused.
    """
    from mm.cli.task_knobs import knobs_without_effect

    run, unused = played.run, knobs_without_effect()
    name, options = command_of(run)
    names = {option.name: str(option.envvar) for option in options if option.envvar}
    knobs = {name: value for name, value in played.values.items() if name not in unused or name in played.files}
    unknown = [name for name in knobs if name not in names]
    if unknown:
        raise DataError(
            f"{run.folder} was made with knobs that this version does not have ({', '.join(unknown)}); "
            f"use version {run.manifest['version']} {run.manifest['commit'] or ''}".rstrip()
        )
    return name, {names[key]: shown(value) for key, value in knobs.items() if value is not None}


def command_of(run: "RunFolder") -> tuple[str, list[click.Parameter]]:
    kind = run.manifest["kind"]
    if kind not in COMMANDS:
        raise DataError(f"{run.folder} is a run of the kind {kind!r}; known are {', '.join(COMMANDS)}")
    name, command = COMMANDS[kind]
    return name, command.params


@contextmanager
def _scratch(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mm-reproduce-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _play(run: "RunFolder", words: list[str], variables: Mapping[str, str], scratch: Path) -> "RunFolder":
    from mm.runs.find import find_runs

    names = {option.envvar for option in command_of(run)[1]}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    environment = kept | LEFT_OUT | dict(variables) | {"OPEN_HELD_OUT": "1"}  # the run has played these days
    command = [sys.executable, "-m", "mm", *words, f"--run-id={run.manifest['run_id']}", "--log-level=ERROR"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    runs = [run_again for run_again in find_runs(scratch)[0] if run_again.manifest["kind"] == run.manifest["kind"]]
    if done.returncode not in _WROTE or not runs:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        cause = lines[0].partition("; the traceback is in")[0] if lines else f"exit code {done.returncode}"
        raise NotPlayed(f"{run.folder}: the second run of mm {words[0]} failed: {cause}", done.returncode or 1)
    return runs[0]


def _near(comparison: "Comparison", tolerance: float) -> dict[str, tuple[float, str]]:
    from mm.runs.diff import largest_difference

    near = {}
    for output in comparison.outputs if tolerance else ():
        if output.counts and output.detail:
            largest = largest_difference(*(run.folder / output.path for run in comparison.runs))
            if largest and largest[0] <= tolerance:
                near[output.path] = largest
    return near


def _others(comparison: "Comparison", near: Mapping[str, object]) -> "list[OutputDifference]":
    return [output for output in comparison.outputs if output.counts and not (output.detail and output.path in near)]


def _edited(comparison: "Comparison") -> bool:
    """If all but the digest agrees, the manifest was edited."""
    of_code = not comparison.entries().keys().isdisjoint({"version", "commit"})
    new = any(None in knob.sources and knob.matters for knob in comparison.knobs)
    changed = bool(comparison.inputs) or any(output.counts for output in comparison.outputs)
    return comparison.digests[0] != comparison.digests[1] and not (of_code or new or changed)


def _lines(comparison: "Comparison", near: Mapping[str, tuple[float, str]], *, equal: bool) -> Iterator[str]:
    for name, (first, second) in comparison.entries().items():
        yield f"{name:<8} {first} | {second}"
    outputs = len(comparison.runs[0].manifest["outputs"])
    yield from (f"near     {path}: largest difference {size:.2g}, at {place}" for path, (size, place) in near.items())
    if equal:
        pages = sum(not output.counts for output in comparison.outputs)
        whole = outputs - pages - len(near)
        yield f"equal    {whole} outputs, byte-identical" + (f"; {pages} page not compared" if pages else "")
        first, second = comparison.digests
        why = "of the differences above" if near else "this version has other knobs"
        yield f"digest   {first}" + ("" if first == second else f" | {second}, because {why}")
        return
    yield from (f"inputs   {line}" for line in comparison.inputs)
    yield from (line for output in _others(comparison, near) for line in output.lines())
    if _edited(comparison):
        yield f"digest   {' | '.join(comparison.digests)}"


def _verdict(comparison: "Comparison", near: Mapping[str, object]) -> str:
    reasons = [*comparison.inputs, *(output.lines()[0] for output in _others(comparison, near))]
    if _edited(comparison):
        reasons = ["all files are identical, but the digest is of other knobs or inputs: the manifest was edited later"]
    makers = [f"version {run.manifest['version']} {run.manifest['commit'] or ''}".rstrip() for run in comparison.runs]
    whose = f"; it was made by {makers[0]}, this is {makers[1]}" if makers[0] != makers[1] else ""
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{comparison.runs[0].folder} was not reproduced: {reasons[0]}{more}{whose}"
