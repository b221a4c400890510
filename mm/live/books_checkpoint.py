"""Stored totals of the finished audit logs of a venue, so that a start need not read all logs again.

The logs remain authoritative. A start writes the sum of all logs so far as ``books_<VENUE>_<HASH>.json``, and its
sha256 into row 1 of its own log (``books``), where the hash chain protects it. The next start uses only that file, and
only if each log in it has the same bytes, rows and last hash, and the same position among the logs; otherwise it logs a
warning and reads every log. Of a log only the hash of the last row is compared: an earlier row that was changed without
a change of length is detected by ``mm audit verify``, not here.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mm.base.atomic_file import write_atomic
from mm.base.code_identity import digest, hash_file
from mm.live.audit import first_row
from mm.live.audit_chain import end_of

BOOKS = "books"
"""Field of row 1 that has the sha256 of the sum of the earlier logs."""

_SUMMING = ("audit_books.py", "books_checkpoint.py", "ledger.py", "trade_history.py")


class InvalidCheckpoint(Exception):
    """A checkpoint does not match the logs; the message has the reason."""


def ends_of(logs: Iterable[Path]) -> list[dict[str, Any]]:
    """Return name, bytes, whole rows and last hash of each log."""
    found = [(path, end_of(path)) for path in logs]
    return [{"file": path.name, "bytes": path.stat().st_size, "rows": e.rows, "hash": e.hash} for path, e in found]


def write_checkpoint(folder: Path, venue: str, sums: Mapping[str, Any], ends: Sequence[Mapping[str, Any]]) -> str:
    """Write the totals of the logs with these *ends*, and return the sha256 for row 1 of the next log."""
    content = {"code": _code(), "venue": venue, "logs": list(ends), "sums": sums}
    data = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    found = hashlib.sha256(data).hexdigest()
    write_atomic(_path(folder, venue, found), data, durable=True, mode=0o600)
    return found


def read_checkpoint(
    folder: Path, venue: str, logs: Sequence[Path], note: Callable[..., object]
) -> tuple[Mapping[str, Any] | None, int]:
    """Return the totals of the first of *logs*, and their number; None and 0 if all must be read.

    Args:
        folder: Folder of the logs.
        venue: Their venue.
        logs: The logs, in the order of their start.
        note: Is called with the reason if a checkpoint is not used, as `Logger.warning`.
    """
    named = [(first_row(path) or {}).get(BOOKS) for path in logs]
    wanted = next((sha256 for sha256 in reversed(named) if sha256 is not None), None)
    if wanted is None:
        return None, 0
    try:
        return _verified_checkpoint(_path(folder, venue, str(wanted)), str(wanted), logs)
    except InvalidCheckpoint as error:
        note("audit_read_anew", why=str(error))
        return None, 0


def clear_checkpoints(folder: Path, venue: str, keep: str) -> None:
    """Remove the checkpoints of a venue but the one with the sha256 *keep*."""
    for path in folder.glob(f"books_{venue}_*.json"):
        if path != _path(folder, venue, keep):
            path.unlink(missing_ok=True)


def _path(folder: Path, venue: str, found: str) -> Path:
    return folder / f"books_{venue}_{found[:16]}.json"


def _code() -> str:
    """Return the identity of the code that computes totals: totals of other code are computed again."""
    return digest([hash_file(Path(__file__).with_name(name)) for name in _SUMMING])


def _verified_checkpoint(path: Path, wanted: str, logs: Sequence[Path]) -> tuple[Mapping[str, Any], int]:
    """Return the totals of a checkpoint, and the number of its logs.

    Raises:
        InvalidCheckpoint: If it does not match the logs.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidCheckpoint(f"{path.name} cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != wanted:
        raise InvalidCheckpoint(f"{path.name} was changed: row 1 of the next log has a different hash")
    content = json.loads(data)
    if content["code"] != _code():
        raise InvalidCheckpoint(f"{path.name} was written by another version")
    ends, there = content["logs"], logs[: len(content["logs"])]
    if [one["file"] for one in ends] != [one.name for one in there]:
        raise InvalidCheckpoint(f"{path.name} covers a different set of logs: one was removed, or added between them")
    for noted, now in zip(ends, ends_of(there), strict=True):
        if noted != now:
            raise InvalidCheckpoint(f"{now['file']} has changed since {path.name} was written; see mm audit verify")
    sums: Mapping[str, Any] = content["sums"]
    return sums, len(there)
