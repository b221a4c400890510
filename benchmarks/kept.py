"""Stored runs of ``mm bench``: code, machine, load and rows; and the changes since an earlier one."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import mm
from mm.base.code_identity import PACKAGE, code_files, digest
from mm.errors import BrokenFile
from mm.runs.manifest import checkout_commit

Json = dict[str, Any]
SAME = ("day", "hours", "yardstick")
"""Keys that two runs must share for a comparison of their rows."""
_CPU = Path("/proc/cpuinfo")


def stamp(now: datetime) -> str:
    """Return the name of a run that began *now*: UTC, to the second."""
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def circumstances() -> Json:
    """Return the measured code, the machine, and its load."""
    return {
        "version": mm.__version__,
        "commit": checkout_commit(PACKAGE),
        "code": digest(code_files("mm.__main__")),
        "python": platform.python_version(),
        "numpy": installed("numpy"),
        "system": platform.platform(),
        "processor": processor(_CPU.read_text(encoding="utf-8") if _CPU.exists() else ""),
        "processors": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": load(),
    }


def load() -> float:
    """Return the mean number of running or waiting processes over the last minute."""
    return round(os.getloadavg()[0], 2)


def processor(cpuinfo: str) -> str:
    """Return the processor model in the text of ``/proc/cpuinfo``, or else Python's value."""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keep(folder: Path, answer: Json) -> Path:
    """Write *answer* to ``<its stamp>.json``, and return the path; a later one in the same second gets a number."""
    folder.mkdir(parents=True, exist_ok=True)
    text, number = json.dumps(answer, indent=1, allow_nan=False) + "\n", 1
    while True:
        path = folder / (f"{answer['stamp']}.json" if number == 1 else f"{answer['stamp']}_{number}.json")
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return path
        except FileExistsError:
            number += 1


def read_run(path: Path) -> Json:
    """Read a stored run.

    Raises:
        BrokenFile: If *path* is not one.
    """
    try:
        run: Json = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(run["measured"], dict):
            raise TypeError("measured is no object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFile(f"{path}: no run of mm bench ({error}); name one of OUT_ROOT/bench/<stamp>.json") from error
    return run


def earlier(folder: Path, answer: Json, name: str) -> Json | None:
    """Return the last kept run that measured *name* on the same day as *answer*; None without one."""
    for path in sorted(folder.glob("*Z.json"), reverse=True):
        run = read_run(path)
        if name in run["measured"] and all(run.get(key) == answer.get(key) for key in SAME):
            return run
    return None


def changes(now: Json, before: Json) -> dict[str, str]:
    """Return the relative change of each row of a measurement: of user time if available."""
    rows: Mapping[str, Json] = {row["name"]: row for row in before.get("rows", [])}
    changed = {}
    for row in now.get("rows", []):
        past = rows.get(row["name"])
        if past is None or past["unit"] != row["unit"]:
            continue
        key = "user" if row.get("user") and past.get("user") else "ours"
        if past[key]:
            changed[row["name"]] = f"{row[key] / past[key] - 1:+.0%}"
    return changed
