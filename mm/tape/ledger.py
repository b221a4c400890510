"""The ledger of a day folder, row by row: what says when a book became valid, and when it ceased to be."""

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mm.dayfolder.layout import EVENT_COLUMNS, DayFolder, existing
from mm.errors import BrokenFile
from mm.tape.inflate import FileRead, read_small


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One event of the ledger; *recv_seq* is -1 where the file has none."""

    event_id: int
    recv_us: int
    recv_seq: int
    run_id: str
    kind: str
    details: dict[str, Any]


def read_ledger(folder: DayFolder) -> tuple[list[LedgerRow], FileRead | None]:
    """Read the ledger; a day without one has no rows. A last row that a crash cut short is left out and counted."""
    path = existing(folder.events)
    if path is None:
        return [], None
    data, read = read_small(path)
    if not data:
        raise BrokenFile(f"{path}: the file is empty (0 bytes); restore it, or remove it to go by the snapshot files")
    text = data.decode("utf-8", "replace")
    try:
        return _ledger_rows(path, text), read
    except BrokenFile:
        whole = text[: text.rfind("\n") + 1]
        if whole == text:
            raise
        return _ledger_rows(path, whole), replace(read, torn_lines=1)


def _ledger_rows(path: Path, text: str) -> list[LedgerRow]:
    table = csv.DictReader(io.StringIO(text, newline=""))
    rows = []
    for row in table:
        try:
            stamp = row.get("recv_time_us") or int(row["recv_time_ms"]) * 1000
            rows.append(
                LedgerRow(
                    event_id=int(row["event_id"]),
                    recv_us=int(stamp),
                    recv_seq=int(row.get("recv_seq") or -1),
                    run_id=row["run_id"],
                    kind=row["type"],
                    details=dict(json.loads(row.get("details_json") or "{}")),
                )
            )
        except (KeyError, ValueError, TypeError) as error:
            raise BrokenFile(
                f"{path}:{table.line_num}: not a row of the ledger ({type(error).__name__}: {error}); "
                f"its columns are {','.join(EVENT_COLUMNS)}"
            ) from error
    return rows
