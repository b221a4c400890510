"""``mm audit verify`` and ``show``: verify that an audit log was not changed, and show its rows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mm.cli.console import Console
from mm.cli.frame import command
from mm.clock import iso
from mm.errors import BrokenFile, DataError
from mm.live.audit import witnesses_of
from mm.live.audit_chain import read_rows, verify_lines
from mm.live.order_access import AUDIT_TYPES

_FILE = click.Argument(["file"], metavar="FILE", type=click.Path(path_type=Path))
_OPEN = click.Option(
    ["--open", "open_end"], is_flag=True, help="Accept a log without a stop row at its end (killed or running)."
)
_MOST_SHOWN = 4_000  # characters of a value: the totals in row 1 have many
_CHAIN = ("seq", "us", "type", "prev", "hash")


@command(arguments=[_FILE, _OPEN])
def verify(console: Console, file: Path, open_end: bool) -> None:
    """Find the first row of an audit log that was changed, removed, inserted or moved.

    The hash of each row covers the previous row, and the first row of each later log in the same folder has the number
    of rows and the last hash of this one. An error has the row number, and exit code 3.

    Example: mm audit verify out/audit/BTCUSDT/20260105_20260105T080000Z.ndjson --open
    """

    witnesses = witnesses_of(file)
    try:
        with file.open("rb") as lines:
            found = verify_lines(lines, open_end=open_end, witnesses=witnesses)
    except OSError as error:
        raise DataError(f"{file}: the audit log cannot be read ({error.strerror})") from error
    console.set_json(
        {
            "ok": found.row is None,
            "row": found.row,
            "why": found.why,
            "rows": found.rows,
            "last_hash": found.last_hash,
            "stopped": found.stopped,
            "torn_bytes": found.torn_bytes,
            "witnesses": sorted({one.source for one in witnesses}),
            "path": str(file.resolve()),
        }
    )
    if found.row is not None:
        raise BrokenFile(f"{file}: row {found.row}: {found.why}")
    ends = "ends with a stop row" if found.stopped else "is open: no stop row at its end"
    torn = f"; row {found.rows + 1} is incomplete, {found.torn_bytes} bytes were written" if found.torn_bytes else ""
    later = f"; {len(witnesses)} later log{'s have' if len(witnesses) > 1 else ' has'} its hash" if witnesses else ""
    rows = f"rows 1 to {found.rows}" if found.rows else "no row yet"
    console.print(f"{file}: unchanged, {rows}; the log {ends}{torn}{later}")
    console.print(f"last hash {found.last_hash}")


_SHOWN = (
    _FILE,
    click.Option(["--type", "kind"], type=click.Choice(AUDIT_TYPES), help="Only rows of this type."),
    click.Option(["--client-id", "client_id"], metavar="ID", help="Only rows of the order with this client id."),
)


@command(arguments=_SHOWN)
def show(console: Console, file: Path, kind: str | None, client_id: str | None) -> None:
    """Show the rows of an audit log, one line each: number, instant (UTC), type and fields.

    The hashes are not checked; mm audit verify does so.

    Example: mm audit show out/audit/BTCUSDT/20260105_20260105T080000Z.ndjson --type fill
    """
    rows = _filtered_rows(file, kind, client_id)
    if console.as_json:
        console.set_json({"path": str(file.resolve()), "rows": list(rows)})
        return
    for row in rows:
        console.print(_row_text(row))


def _filtered_rows(file: Path, kind: str | None, client_id: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows that pass the filters."""

    for row in read_rows(file):
        if kind in (None, row["type"]) and (
            client_id is None or client_id in (row.get("client_id"), row.get("replaces"))
        ):
            yield row


def _row_text(row: Mapping[str, Any]) -> str:
    fields = "  ".join(f"{name}={_value(value)}" for name, value in row.items() if name not in _CHAIN)
    return f"{row['seq']:>6}  {iso(row['us'])}  {row['type']:<6}  {fields}".rstrip()


def _value(value: object) -> str:
    """Return a value on one line: plain text unchanged, all else as JSON, shortened."""
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
