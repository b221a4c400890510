"""``mm tapes list`` and ``prune``."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mm.cli.frame import command
from mm.clock import US_PER_S, now_us
from mm.errors import DataError, UsageError
from mm.play.knobs import Results
from mm.tape.kept_tapes import kept_days, to_prune
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.tape.kept_tapes import KeptDay


_PRUNE = (
    click.Option(
        ["--older-than"], type=click.FloatRange(0), metavar="DAYS", help="Remove tapes not used for this many days."
    ),
    click.Option(
        ["--most-gb"],
        type=click.FloatRange(0),
        metavar="GB",
        help="Then remove the least recently used beyond this size.",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print what would be removed, without removing it."),
)


_MB, _GB = 1e6, 1e9
FOLDER = "tapes"


@command()
def tapes_list(console: Console, results: Results) -> None:
    """List the tapes under OUT_ROOT/tapes with their best prices and indices, least recently used first."""
    folder = results.out_root / FOLDER
    days = kept_days(folder)
    total = sum(tape.size for tape in days)
    console.set_json({"path": str(folder.resolve()), "bytes": total, "tapes": [_row(tape) for tape in days]})
    for line in _lines(days):
        console.print(line)
    console.print(f"{len(days)} tapes, {total / _MB:,.1f} MB, in {folder}")


@command(arguments=_PRUNE)
def tapes_prune(
    console: Console, results: Results, older_than: float | None, most_gb: float | None, dry_run: bool
) -> None:
    """Remove stored tapes by age and total size, each with its best prices and its index; runs make them again.

    A tape is used when it is written, and when it is read if the file system records access times. A process can go on
    using a tape that it has open.

    Example: mm tapes prune --older-than 30 --most-gb 20 --dry-run
    """
    if older_than is None and most_gb is None:
        raise UsageError("no limit is given; set --older-than DAYS, --most-gb GB or both (mm tapes list shows all)")
    folder = results.out_root / FOLDER
    days = kept_days(folder)
    gone = to_prune(days, now_us() / US_PER_S, older_than, None if most_gb is None else most_gb * _GB)
    if not dry_run:
        _remove(console, gone)
    freed, total = (sum(tape.size for tape in several) for several in (gone, days))
    answer = {"path": str(folder.resolve()), "dry_run": dry_run, "freed_bytes": freed, "bytes": total - freed}
    console.set_json({**answer, "removed": [_row(tape) for tape in gone]})
    for line in _lines(gone):
        console.print(line)
    done, left = "would be removed" if dry_run else "removed", total - freed
    console.print(
        f"{len(gone)} of {len(days)} tapes {done}, {freed / _MB:,.1f} MB; {left / _MB:,.1f} MB left in {folder}"
    )


def _remove(console: Console, days: "Sequence[KeptDay]") -> None:
    with console.progress("tapes", len(days)) as step:
        for tape in days:
            try:
                tape.remove()
            except OSError as error:
                raise DataError(f"{error.filename}: cannot be removed ({error.strerror}); check its owner") from error
            step(1)


def _row(tape: "KeptDay") -> dict[str, Any]:
    return {
        "symbol": tape.symbol,
        "day": tape.day,
        "bytes": tape.size,
        "used_at": _instant(tape),
        "files": {file.path.name: file.size for file in tape.files},
    }


def _lines(days: "Sequence[KeptDay]") -> list[str]:
    if not days:
        return []
    rows = [(tape.symbol, tape.day, f"{tape.size / _MB:,.1f}", str(len(tape.files)), _instant(tape)) for tape in days]
    head = ("symbol", "day", "MB", "files", "last used")
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        f"{symbol:<{wide[0]}}  {day:<{wide[1]}}  {size:>{wide[2]}}  {files:>{wide[3]}}  {used}".rstrip()
        for symbol, day, size, files, used in (head, *rows)
    ]


def _instant(tape: "KeptDay") -> str:
    return datetime.fromtimestamp(tape.used_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
