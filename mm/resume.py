"""Take up a run that was killed: its partial folder, held by one process at a time, and what it worked on.

The folder is locked for as long as the process lives, however it ends. What lies in ``checkpoint/`` stays for
whoever goes on; the rest was half written and goes.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mm
from mm.errors import RunExists
from mm.run_folder import CHECKPOINT, WORK, Plan, partial_folder
from mm.run_manifest import InputFile
from mm.whole_file import whole_file

try:
    import fcntl
except ImportError:  # not on every system; there two processes are not told from each other
    fcntl = None  # type: ignore[assignment]


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

    They are where they were made from other files, or by another version.
    """
    folder = partial / CHECKPOINT
    path = folder / WORK
    work = json.loads(path.read_text(encoding="utf-8"))
    now = {"version": mm.__version__, "inputs": sorted(one.sha256 for one in inputs)}
    before = {name: work.get(name, now[name]) for name in now}
    if before != now:
        shutil.rmtree(folder)
        folder.mkdir()
    _write(path, {**work, **now})
    return folder, before != now


def _write(path: Path, work: Mapping[str, Any]) -> None:
    """Write *work* whole or not at all."""
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
        told = ", ".join(f"{name.upper()} {before.get(name)!r}, now {now.get(name)!r}" for name in names)
        raise RunExists(
            f"{partial} was begun with other knobs ({told}); give the same to go on with it, another "
            f"--run-id (RUN_ID), or remove it"
        )
