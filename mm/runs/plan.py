"""Names and folders of runs: one folder per run, claimed by the creation of ``<folder>.partial``."""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm.base.atomic_file import atomic_file
from mm.base.audit_chain import SUFFIX, audit_folder
from mm.base.code_identity import sources_hash
from mm.base.common_knobs import Output
from mm.base.held_file import hold_file
from mm.base.knobs import shown
from mm.clock import now_us, run_stamp
from mm.errors import BrokenFile, RunExists, Sentence, UsageError, parameter
from mm.play.knobs import Day
from mm.play.unused_knobs import unused_knobs
from mm.runs.manifest import ACCOUNTS, MANIFEST, Entry, SetKnob, read_manifest

_FOLDERS = {"schedule": ("calibration", "schedules"), **{kind: (alone,) for alone, kind in ACCOUNTS.items()}}
CHECKPOINT = "checkpoint"  # in the partial folder of a run that can be resumed
WORK = "work.json"  # in it: the task of the run
_ONCE = ("run_id", "out_dir")  # a second run of that name would be refused


@dataclass(frozen=True)
class Plan:
    """A run before its start; *resumable*: a killed run resumes with its RUN_ID or OUT_DIR."""

    kind: str
    method: str | None
    day: Day
    output: Output
    knobs: Mapping[str, SetKnob]
    program: str = "mm"
    resumable: bool = False

    def folder(self, run_id: str) -> Path:
        if self.day.out_dir is not None:
            shared = self._shares(self.day.out_dir)
            return self.day.out_dir / f"{self.day.symbol}_{self.day.label()}" if shared else self.day.out_dir
        parts = (*_FOLDERS.get(self.kind, (self.kind,)), *self._method(), self.day.symbol)
        return self.day.out_root.joinpath(*parts, f"{self.day.label()}_{run_id}")

    def links(self, folder: Path) -> Iterator[tuple[Path, Path]]:
        """Links to create in a shared OUT_DIR, with their tables."""
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
        root = self.output.log_root or self.day.out_root / "logs"
        return root.joinpath(self.kind, *self._method(), self.day.symbol, self.day.label(), run_id, "run.log")

    def command(self) -> list[str]:
        knobs = {name: (knob.flag, knob.value, knob.source) for name, knob in self.knobs.items()}
        return repeating(self.program, self.kind, knobs)

    def _method(self) -> tuple[str, ...]:
        return (self.method,) if self.method else ()


def repeating(program: str, kind: str, knobs: Mapping[str, tuple[str | None, Any, str]]) -> list[str]:
    """Return the words that repeat a command; knobs without a flag are left out."""
    words = program.split()
    unused = dict(unused_knobs(kind, {name: value for name, (_, value, _) in knobs.items()}))
    for name, (flag, value, source) in knobs.items():
        if flag and source != "default" and name not in (*_ONCE, *unused):
            words += [flag, shown(value)]
    return words


def claim(plan: Plan) -> str:
    given = plan.output.run_id
    if plan.day.out_dir is not None:
        _check_out_dir(plan.folder(given or ""), plan.resumable)
    for run_id in (given,) if given else _stamps():
        try:
            if _begin(plan, run_id):
                return run_id
        except OSError as error:
            raise cannot_write(plan.folder(run_id), error, Sentence("{out_root} or {out_dir}")) from error
    if left_over(plan.folder(str(given))):
        raise RunExists(
            "{run_id} {!r} was used before: a run is writing {}, or was killed; if none is, remove that folder, or "
            "give another name",
            given,
            partial_folder(plan.folder(str(given))),
        )
    raise RunExists(
        "{run_id} {!r} was used before: see {} and {}; give another one, or none",
        given,
        plan.folder(str(given)),
        plan.log_file(str(given)).parent,
    )


def _begin(plan: Plan, run_id: str) -> bool:
    folder = plan.folder(run_id)
    # A log without a folder is a failed run's, whose name may be used again; but under OUT_DIR it is
    # the only record of the name, and a generated name must not share a log.
    left = plan.resumable and left_over(folder)
    log_counts = plan.output.run_id is None or (plan.day.out_dir is not None and not left)
    if log_counts and plan.log_file(run_id).exists():
        return False
    if plan.day.out_dir is None and folder.exists():
        return False
    # A trade and a flatten of a symbol write logs of one folder, and a supervisor starts one within the other's second.
    logs = audit_folder(plan.day.out_root, plan.day.symbol)
    if plan.output.run_id is None and any(logs.glob(f"*_{run_id}{SUFFIX}")):
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
    """A resumable run was killed here: its task is there, or it had not begun."""
    partial = partial_folder(folder)
    if not partial.is_dir():
        return False
    return (partial / CHECKPOINT / WORK).exists() or all(path.name == CHECKPOINT for path in partial.iterdir())


def _check_out_dir(folder: Path, resumable: bool) -> None:
    flag = f"{parameter('out_dir')} {str(folder)!r}"
    if partial_folder(folder).exists() and not (resumable and left_over(folder)):
        raise RunExists(f"{flag}: a run is writing it, or was killed; if none is, remove {partial_folder(folder)}")
    if not folder.exists():
        return
    if not folder.is_dir() or folder.is_mount():
        raise UsageError(f"{flag}: a run cannot be renamed to a file or a mounted folder; name a new folder inside it")
    if any(folder.iterdir()):
        raise RunExists(
            f"{flag} is not empty; a run folder is written once, and shared only with another symbol or day of the "
            f"same kind of run; name a new folder, or leave it out for a folder of its own per run"
        )


def new_page(folder: Path, prefix: str = "", suffix: str = ".html") -> Path:
    paths = (folder / f"{prefix}{stamp}{suffix}" for stamp in _stamps())
    return next(path for path in paths if not path.exists())


def _stamps() -> Iterator[str]:
    stamp = run_stamp(now_us())
    yield stamp
    for count in itertools.count(2):
        yield f"{stamp}_{count}"


def partial_folder(folder: Path) -> Path:
    whole = folder.resolve()
    return whole.with_name(whole.name + ".partial")


def cannot_write(path: Path, error: OSError, knob: Sentence) -> UsageError:
    return UsageError("{} cannot be written ({}); set {} to a folder that can", path, error.strerror, knob)


def lock_run(plan: Plan, run_id: str) -> int:
    """RunExists if another process has the folder."""
    partial = partial_folder(plan.folder(run_id))
    descriptor = os.open(partial, os.O_RDONLY)
    if not hold_file(descriptor, attempts=1):
        os.close(descriptor)
        raise RunExists(f"{partial} is in use by another process; wait for it, or give another RUN_ID")
    return descriptor


def resume(plan: Plan, run_id: str) -> bool:
    """Return whether there are results to resume from; RunExists if the killed run had other knobs."""
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
            remove(left) if left.is_dir() else left.unlink()
    return True


def remove(folder: Path, *, ignore_errors: bool = False) -> None:
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=ignore_errors)


def checkpoint(partial: Path, inputs: Iterable[Entry]) -> tuple[Path, bool]:
    folder = partial / CHECKPOINT
    path = folder / WORK
    work = json.loads(path.read_text(encoding="utf-8"))
    now = {"code": sources_hash(), "inputs": sorted(file["sha256"] for file in inputs)}
    before = {name: work.get(name, now[name]) for name in now}
    if before != now:
        remove(folder)
        folder.mkdir()
    _write(path, {**work, **now})
    return folder, before != now


def _write(path: Path, work: Mapping[str, Any]) -> None:
    with atomic_file(path) as unfinished:
        unfinished.write_text(json.dumps(work), encoding="utf-8")


def _work(plan: Plan) -> dict[str, Any]:
    knobs = {name: knob.value for name, knob in plan.knobs.items() if knob.matters}
    work: dict[str, Any] = json.loads(json.dumps({"kind": plan.kind, "knobs": knobs}))
    return work


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], partial: Path) -> None:
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if names:
        changed = ", ".join(f"{name.upper()} {before.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise RunExists(
            "{} was begun with other knobs ({}); give the same to resume it, another {run_id}, or remove it",
            partial,
            changed,
        )
