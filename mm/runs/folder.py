"""Where runs lie and what they are called: one folder per run, claimed by making ``<folder>.partial``.

A run that was killed can be resumed: its partial folder is locked for as long as the process lives, however it ends;
what lies in ``checkpoint/`` stays for whoever resumes, the rest was half written and is removed.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.cli.config import Day, Output
from mm.cli.idle import idle
from mm.cli.knobs import shown
from mm.clock import now_us, run_stamp
from mm.code_identity import sources_hash
from mm.errors import BrokenFile, RunExists, UsageError
from mm.runs.manifest import MANIFEST, InputFile, SetKnob, read_manifest
from mm.whole_file import whole_file

try:
    import fcntl
except ImportError:  # not on every system; there a second process on the same run goes unnoticed
    fcntl = None  # type: ignore[assignment]

_FOLDERS = {"schedule": ("calibration", "schedules")}
CHECKPOINT = "checkpoint"  # in the partial folder of a run that can be resumed
WORK = "work.json"  # in it: what the run works on
_ONCE = ("run_id", "out_dir")  # a second run of that name would be refused


@dataclass(frozen=True)
class Plan:
    """What is known of a run before it begins.

    Attributes:
        kind: ``backtest``, ``calibration``, ``schedule``, ``walkforward`` or ``sweep``.
        method: The folder between kind and symbol, where the kind has one (``ladder``).
        day: The days, and where the run goes.
        output: What it is called, and what it holds.
        knobs: Every knob of the command, by field name.
        program: What was called (``mm backtest``).
        resumable: Whether a run that was killed is taken up again where its RUN_ID or OUT_DIR is given again.
    """

    kind: str
    method: str | None
    day: Day
    output: Output
    knobs: Mapping[str, SetKnob]
    program: str = "mm"
    resumable: bool = False

    def folder(self, run_id: str) -> Path:
        """Return the folder of the finished run.

        An OUT_DIR that holds a run of the same kind, but of another symbol or day, is shared: the run goes to a
        folder inside it that is named after its symbol and day.
        """
        if self.day.out_dir is not None:
            shared = self._shares(self.day.out_dir)
            return self.day.out_dir / f"{self.day.symbol}_{self.day.label()}" if shared else self.day.out_dir
        parts = (*_FOLDERS.get(self.kind, (self.kind,)), *self._method(), self.day.symbol)
        return self.day.out_root.joinpath(*parts, f"{self.day.label()}_{run_id}")

    def links(self, folder: Path) -> Iterator[tuple[Path, Path]]:
        """Yield, for a finished run in a shared OUT_DIR, each link to make there and the table it leads to.

        A table's name carries the symbol (``fills_BTCUSDT.csv``); a name that is taken stays as it is.
        """
        out_dir = self.day.out_dir
        if out_dir is None or folder == out_dir:
            return
        for table in sorted(folder.glob(f"*_{self.day.symbol}.csv")):
            link = out_dir / table.name
            if not link.exists() and not link.is_symlink():
                yield link, table.relative_to(out_dir)

    def _shares(self, out_dir: Path) -> bool:
        if not (out_dir / MANIFEST).is_file():
            return False
        try:
            first = read_manifest(out_dir)
        except BrokenFile:
            return False
        same = (first["symbol"], first["day"]) == (self.day.symbol, self.day.label())
        return first["kind"] == self.kind and not same

    def log_file(self, run_id: str) -> Path:
        """Return where the run's log lies."""
        root = self.output.log_root or self.day.out_root / "logs"
        return root.joinpath(self.kind, *self._method(), self.day.symbol, self.day.label(), run_id, "run.log")

    def command(self) -> list[str]:
        """Return the words of a command that does the same work again: the knobs that were set, as flags."""
        words = self.program.split()
        left_out = {*_ONCE, *(name for name, _ in idle(self.kind, {key: one.value for key, one in self.knobs.items()}))}
        for name, one in self.knobs.items():
            if one.source != "default" and name not in left_out:
                words += [one.flag, shown(one.value)]
        return words

    def _method(self) -> tuple[str, ...]:
        return (self.method,) if self.method else ()


def claim(plan: Plan) -> str:
    """Return a run id that nobody used; making its partial folder is what claims it.

    Of a run that can be resumed it may also be the id of one that was killed: its partial folder is there.

    Raises:
        RunExists: If RUN_ID or OUT_DIR was used before.
        UsageError: If the folder cannot be written.
    """
    given = plan.output.run_id
    if plan.day.out_dir is not None:
        _check_out_dir(plan.folder(given or ""), plan.resumable)
    for run_id in (given,) if given else _stamps():
        try:
            if _begin(plan, run_id):
                return run_id
        except OSError as error:
            raise cannot_write(plan.folder(run_id), error, "--out-root (OUT_ROOT) or --out-dir (OUT_DIR)") from error
    if left_over(plan.folder(str(given))):
        raise RunExists(
            f"--run-id (RUN_ID) {given!r} was used before: a run works on {partial_folder(plan.folder(str(given)))}, "
            f"or was killed; if none does, remove that folder, or give another name"
        )
    raise RunExists(
        f"--run-id (RUN_ID) {given!r} was used before: see {plan.folder(str(given))} and "
        f"{plan.log_file(str(given)).parent}; give another one, or none"
    )


def _begin(plan: Plan, run_id: str) -> bool:
    folder = plan.folder(run_id)
    # A log alone is that of a run that failed, whose name may be given again; but under OUT_DIR it is
    # the only trace of the name, and a generated name shares no log.
    left = plan.resumable and left_over(folder)
    log_counts = plan.output.run_id is None or (plan.day.out_dir is not None and not left)
    if log_counts and plan.log_file(run_id).exists():
        return False
    if plan.day.out_dir is None and folder.exists():
        return False
    if left and (plan.output.run_id is not None or plan.day.out_dir is not None):
        return True
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial_folder(folder).mkdir()
    except FileExistsError:
        return False
    return True


def left_over(folder: Path) -> bool:
    """Return whether a run that could be resumed was killed here: it says what it worked on, or had not begun."""
    partial = partial_folder(folder)
    if not partial.is_dir():
        return False
    return (partial / CHECKPOINT / WORK).exists() or all(path.name == CHECKPOINT for path in partial.iterdir())


def _check_out_dir(folder: Path, resumable: bool) -> None:
    flag = f"--out-dir (OUT_DIR) {str(folder)!r}"
    if partial_folder(folder).exists() and not (resumable and left_over(folder)):
        raise RunExists(f"{flag}: a run works on it, or was killed; if none does, remove {partial_folder(folder)}")
    if not folder.exists():
        return
    if not folder.is_dir() or folder.is_mount():
        raise UsageError(f"{flag}: a run cannot be renamed to a file or a mounted folder; name a new folder inside it")
    if any(folder.iterdir()):
        raise RunExists(
            f"{flag} is not empty; a run folder is written once, and shared only with another symbol or day of the "
            f"same kind of run; name a new folder, or leave it out for a folder of its own per run"
        )


def new_page(folder: Path, prefix: str = "") -> Path:
    """Return where a page of *folder* goes: *prefix* and a stamp, a name that no page there has."""
    paths = (folder / f"{prefix}{stamp}.html" for stamp in _stamps())
    return next(path for path in paths if not path.exists())


def _stamps() -> Iterator[str]:
    stamp = run_stamp(now_us())
    yield stamp
    for count in itertools.count(2):
        yield f"{stamp}_{count}"


def partial_folder(folder: Path) -> Path:
    """Return what the run folder *folder* is called while the run works, as an absolute path."""
    whole = folder.resolve()
    return whole.with_name(whole.name + ".partial")


def cannot_write(path: Path, error: OSError, knob: str) -> UsageError:
    """Return the error that names *path*, why it cannot be written, and the *knob* that moves it."""
    return UsageError(f"{path} cannot be written ({error.strerror}); set {knob} to a folder that can")


def hold(plan: Plan, run_id: str) -> int:
    """Lock the partial folder for this process, and return the descriptor that holds the lock.

    Raises:
        RunExists: If another process works on it.
    """
    partial = partial_folder(plan.folder(run_id))
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RunExists(f"{partial}: another process works on this run; wait for it, or give another RUN_ID") from error
    return descriptor


def take_up(plan: Plan, run_id: str) -> bool:
    """Make the partial folder ready to work in, and return whether there is something to go on from.

    Raises:
        RunExists: If the killed run had other knobs.
    """
    partial = partial_folder(plan.folder(run_id))
    path, work = partial / CHECKPOINT / WORK, _work(plan)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        _write(path, work)
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    _check_same({**before["knobs"], "kind": before["kind"]}, {**work["knobs"], "kind": work["kind"]}, partial)
    for left in partial.iterdir():
        if left.name != CHECKPOINT:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return True


def checkpoint(partial: Path, inputs: Iterable[InputFile]) -> tuple[Path, bool]:
    """Return the folder to keep findings in, and whether those of an earlier try were thrown away.

    They are where they were made from other files, or by other code.
    """
    folder = partial / CHECKPOINT
    path = folder / WORK
    work = json.loads(path.read_text(encoding="utf-8"))
    now = {"code": sources_hash(), "inputs": sorted(one.sha256 for one in inputs)}
    before = {name: work.get(name, now[name]) for name in now}
    if before != now:
        shutil.rmtree(folder)
        folder.mkdir()
    _write(path, {**work, **now})
    return folder, before != now


def _write(path: Path, work: Mapping[str, Any]) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(work), encoding="utf-8")


def _work(plan: Plan) -> dict[str, Any]:
    """Return what the run is to do, as JSON gives it back."""
    knobs = {name: one.value for name, one in plan.knobs.items() if one.matters}
    work: dict[str, Any] = json.loads(json.dumps({"kind": plan.kind, "knobs": knobs}))
    return work


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], partial: Path) -> None:
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if names:
        changed = ", ".join(f"{name.upper()} {before.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise RunExists(
            f"{partial} was begun with other knobs ({changed}); give the same to go on with it, another "
            f"--run-id (RUN_ID), or remove it"
        )
