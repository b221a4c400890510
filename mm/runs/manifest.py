"""``run_manifest.json``: inputs, knobs and outputs, the digest that compares runs, and main numbers for lists.

It is written last: a folder without it is no run.
"""

import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from mm.base.code_identity import hash_file
from mm.base.numbers import SHARPE_DAYS
from mm.errors import BrokenFile
from mm.report.contents import EVALUATION, SUMMARY, SWEEP
from mm.trials.own_content import own_sha256

ALLOW_FOR_TRIALS = (SUMMARY, SWEEP, EVALUATION)
"""Names of the results that allow for the trials on record."""
MANIFEST = "run_manifest.json"
ACCOUNTS = {"backtest": "account", "walkforward": "account_walkforward"}
"""Kinds of runs of several symbols of one account, by the kind of a run of one symbol."""
SCHEMA_VERSION = 1
_CHUNK = 1 << 20
Entry = dict[str, Any]
"""An input or output as the manifest lists it: ``path``, ``sha256``, and ``bytes`` or ``rows``."""
# Required keys of a manifest, and their types.
_ENTRIES: Mapping[str, type] = {
    **dict.fromkeys(
        ("run_id", "kind", "symbol", "day", "status", "started_at", "finished_at", "version", "digest"), str
    ),
    **dict.fromkeys(("knobs", "timings", "summary"), dict),
    **dict.fromkeys(("inputs", "outputs"), list),
}


@dataclass(frozen=True, slots=True)
class SetKnob:
    value: Any
    source: str
    matters: bool
    flag: str = ""
    is_default: bool = False

    def entry(self) -> dict[str, Any]:
        return {"value": self.value, "source": self.source}


def count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))


def output_entry(folder: Path, path: Path, rows: int | None, sha256: str | None = None) -> Entry:
    if rows is None and path.suffix == ".csv":
        rows = max(count_lines(path) - 1, 0)
    entry = {"path": path.relative_to(folder).as_posix(), "rows": rows, "sha256": sha256 or hash_file(path)}
    if path.name in ALLOW_FOR_TRIALS:
        entry["own_sha256"] = own_sha256(json.loads(path.read_text(encoding="utf-8")))
    return entry


def content_of(entry: Entry) -> str:
    """Return a file's hash; for a result that allows for trials, without those on record."""
    sha256: str = entry.get("own_sha256") or entry["sha256"]
    return sha256


def work_digest(
    kind: str, days: Iterable[str], knobs: Mapping[str, SetKnob], inputs: Iterable[Entry], outputs: Iterable[Entry]
) -> str:
    """Hash inputs, days, knobs that matter, and outputs without pages: equal content, equal digest.

    Time, host, version, run id, places and trials on record do not count.
    """
    work = {
        "kind": kind,
        "days": list(days),
        "knobs": {name: knob.value for name, knob in knobs.items() if knob.matters and name != "day"},
        "inputs": sorted(file["sha256"] for file in inputs),
        "outputs": sorted((file["path"], content_of(file)) for file in outputs),
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises BrokenFile."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes())  # a third of json's time: lists read thousands
    except FileNotFoundError:
        raise BrokenFile(f"{folder}: not a run, it has no {MANIFEST}; name the folder of a finished run") from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise BrokenFile(f"{path}: cannot be read as a run manifest ({error}); make the run again") from error
    if not isinstance(manifest, dict):
        raise BrokenFile(f"{path}: not a run manifest, it is not a JSON object; make the run again")
    wrong = [name for name, kind in _ENTRIES.items() if not isinstance(manifest.get(name), kind)]
    if wrong:
        raise BrokenFile(f"{path}: not a run manifest, {wrong[0]} is missing; make the run again")
    _check_paths(path, manifest)
    return manifest


def _check_paths(path: Path, manifest: Mapping[str, Any]) -> None:
    for name in ("kind", "symbol", "day", "run_id"):
        if manifest[name] != Path(manifest[name]).name:
            raise BrokenFile(f"{path}: {name} is {manifest[name]!r}, which is a path; make the run again")
    for entry in [*manifest["inputs"], *manifest["outputs"]]:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("path", "sha256")):
            raise BrokenFile(f"{path}: {entry!r} is no input or output; make the run again")
    for entry in manifest["outputs"]:
        place = PurePosixPath(entry["path"])
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise BrokenFile(f"{path}: the output {entry['path']!r} is not in the folder; make the run again")


def checkout_commit(package: Path) -> str | None:
    """Return HEAD of *package*'s git checkout, with ``+dirty`` if tracked files differ."""
    top = package.parent
    if not (top / ".git").exists():
        return None
    words = ["git", f"--git-dir={top / '.git'}", f"--work-tree={top}", "describe", "--always", "--exclude=*"]
    try:
        done = subprocess.run(
            [*words, "--abbrev=40", "--dirty=+dirty"], cwd=top, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def peak_rss_mb() -> float | None:
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its figure begins with the memory of the parent process.
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    if sys.platform == "darwin":
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
    return None


_MOST = 4  # numbers shown of a kind that is not listed here
_MISSING = object()
_TRADED = ("pnl_quoting", "pnl_total", "n_fills", "sharpe", "max_drawdown")
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "backtest": _TRADED,
    "account": _TRADED,
    "account_walkforward": _TRADED,
    "shadow": _TRADED,
    "trade": _TRADED,
    "calibration": ("status", "A", "k"),
    "schedule": ("segments", "usable"),
    "evaluation": ("played", "pnl", "daily.mean", "holes"),
    "sweep": ("trials", "n_trials", "best.pnl_quoting", "walkforward.pnl"),  # trials: of older versions
    "walkforward": (*_TRADED, "walkforward.segments", "walkforward.usable"),
}


def headlines(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main numbers of a run; no Sharpe ratio of fewer than `SHARPE_DAYS` days."""
    summary = manifest["summary"]
    wanted = _OF_KIND.get(manifest["kind"])
    if wanted is None:
        numbers = (name for name, value in flat(summary) if isinstance(value, int | float))
        wanted = tuple(islice(numbers, _MOST))
    if len(summary.get("days") or [""] * SHARPE_DAYS) < SHARPE_DAYS:
        wanted = tuple(name for name in wanted if not name.endswith("sharpe"))
    own = f"{manifest['kind']}."  # the kind's own key needs no prefix
    values = {name: _scalar(summary, name) for name in wanted}
    return {name.removeprefix(own): value for name, value in values.items() if value is not _MISSING}


def _scalar(content: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(content, dict) or name not in content:
            return _MISSING
        content = content[name]
    return _MISSING if isinstance(content, dict | list) and content else content


def flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield scalar values with paths (``sides.bid.A``, ``segments[3].k``)."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from flat(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, list) and content:
        for place, value in enumerate(content):
            yield from flat(value, f"{prefix}[{place}]")
    elif prefix or not isinstance(content, dict | list):
        yield prefix, content


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value)
