"""``mm audit``: verify that audit logs were not changed, show their rows, and keep copies of them elsewhere."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mm.base.audit_chain import Witness, end_of, read_rows, verify_lines
from mm.base.waiting import happened
from mm.catalog.operations import Copies
from mm.cli.console import Console
from mm.cli.interrupts import at_ending_signals
from mm.clock import US_PER_S, iso, now_us
from mm.errors import BrokenFile, DataError, MMError, UsageError
from mm.live.audit.copies import Head, append_copy, has_hash, read_heads, removable, send_heads, verify_series
from mm.live.audit.log import logs_of, witnesses_of
from mm.live.state.follow import symbols_with_logs
from mm.live.state.stores import StateStores

_MOST_SHOWN = 4_000  # characters of a value: the totals in row 1 have many
_CHAIN = ("seq", "us", "type", "prev", "hash")


def verify(console: Console, file: Path, open_end: bool, last_hash: str | None, heads: Path | None) -> None:
    """Find the first row of audit logs that was changed, removed, inserted or moved."""
    symbol = file.name if file.is_dir() else file.parent.name
    kept = [head.witness(heads.name) for head in read_heads(heads, symbol)] if heads else []
    if file.is_dir():
        by_file: dict[str, list[Witness]] = {}
        for one in kept:
            by_file.setdefault(one.file, []).append(one)
        answer = verify_series(file, by_file, last_hash, open_end=open_end)
        console.set_json({"ok": True, **answer, "path": str(file.resolve())})
        away = answer["elsewhere"]
        missing = f"; {len(away)} earlier logs are not here" if away else ""
        console.print(f"{file}: {len(answer['logs'])} logs, {answer['rows']:,} rows, unchanged{missing}")
        console.print(f"last hash {answer['last_hash']}")
        return
    witnesses = [*witnesses_of(file), *(one for one in kept if one.file == file.name)]
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
    if last_hash and not has_hash(file, last_hash):
        raise BrokenFile(f"{file}: no row has the hash {last_hash}: the end was cut off, or rows were changed")
    ends = "ends with a stop row" if found.stopped else "is open: no stop row at its end"
    torn = f"; row {found.rows + 1} is incomplete, {found.torn_bytes} bytes were written" if found.torn_bytes else ""
    later = f"; {len(witnesses)} later log{'s have' if len(witnesses) > 1 else ' has'} its hash" if witnesses else ""
    rows = f"rows 1 to {found.rows}" if found.rows else "no row yet"
    console.print(f"{file}: unchanged, {rows}; the log {ends}{torn}{later}")
    console.print(f"last hash {found.last_hash}")


def _folders(copies: Copies, root: Path, others: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield each symbol, the folder of its logs below *root*, and that below *others*, which is made."""
    for symbol in [copies.symbol] if copies.symbol else list(symbols_with_logs(root)):
        try:
            (others / symbol).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{others / symbol}: the folder cannot be made ({error.strerror})") from error
        yield symbol, root / symbol, others / symbol


def ship(console: Console, copies: Copies, places: tuple[str, ...], every: float | None) -> None:
    """Copy new rows of the audit logs to another folder, and send the last hashes elsewhere."""
    shipping = _Shipping(console, copies, places)
    if every is None:
        console.set_json({"shipped": shipping.ship()})
        return
    asyncio.run(_repeat(every, shipping.ship_again))


async def _repeat(every: float, work: Callable[[], object]) -> None:
    stopped = asyncio.Event()
    at_ending_signals(lambda _: stopped.set())
    while not stopped.is_set():
        await asyncio.to_thread(work)
        await happened(stopped, every)


class _Shipping:
    """Ships logs, and remembers what it need not do again: logs that have not changed, heads that were sent."""

    def __init__(self, console: Console, copies: Copies, places: Sequence[str]) -> None:
        self._console, self._copies, self._places = console, copies, places
        self._seen: dict[Path, tuple[tuple[int, ...], Witness]] = {}
        self._sent: dict[tuple[str, str], tuple[str, int]] = {}

    def ship_again(self) -> None:
        """Ship, and log an error."""
        try:
            self.ship()
        except MMError as error:
            self._console.log.error("not_shipped", error=str(error))

    def ship(self) -> list[dict[str, Any]]:
        """Ship all symbols, send their heads, and return them; then raise the first error."""
        heads, errors = list[Head](), list[MMError]()
        for symbol, folder, archive in _folders(self._copies, self._copies.out_root / "audit", self._copies.archive):
            try:
                ends = [self._append(log, archive / log.name) for log in logs_of(folder)]
            except MMError as found:
                errors.append(found)
                continue
            if ends:
                heads.append(Head(symbol, ends[-1].file, ends[-1].rows, ends[-1].hash, now_us()))
        for head in heads:
            self._console.print(f"{head.symbol}: {head.file} to row {head.rows}, last hash {head.hash}")
        for place in self._places:
            new = [head for head in heads if self._sent.get((place, head.symbol)) != (head.file, head.rows)]
            try:
                send_heads(new, place)
            except MMError as found:
                errors.append(found)
                continue
            self._sent |= {(place, head.symbol): (head.file, head.rows) for head in new}
        if errors:
            raise errors[0]
        return [msgspec.to_builtins(head) for head in heads]

    def _append(self, log: Path, copy: Path) -> Witness:
        stamp = (*_stamp(log), *_stamp(copy))
        if log not in self._seen or self._seen[log][0] != stamp:
            end = append_copy(log, copy)
            self._seen[log] = ((*_stamp(log), *_stamp(copy)), end)
        return self._seen[log][1]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def restore(console: Console, copies: Copies) -> None:
    """Bring back audit logs."""
    restored = []
    for symbol, archive, folder in _folders(copies, copies.archive, copies.out_root / "audit"):
        for log in logs_of(archive):
            before = (folder / log.name).stat().st_size if (folder / log.name).exists() else 0
            end = append_copy(log, folder / log.name, shrinks=True)
            if (folder / log.name).stat().st_size > before:
                restored.append({"symbol": symbol, "file": end.file, "rows": end.rows})
                console.print(f"{symbol}: {end.file} to row {end.rows}")
    console.set_json({"restored": restored})


def prune(console: Console, copies: Copies, stores: StateStores, keep_days: float, dry_run: bool) -> None:
    """Remove old audit logs whose copies were shipped and verified, and whose rows the state store has."""
    removed, kept, before_us = list[str](), dict[str, str](), now_us() - round(keep_days * 86_400 * US_PER_S)
    ledger = stores.ledger(copies.out_root)
    ledger.connect()
    try:
        for symbol, folder, archive in _folders(copies, copies.out_root / "audit", copies.archive):
            stored = ledger.progress(symbol)
            for log, reason in removable(folder, archive, before_us):
                behind = stored.get(log.name, 0) < end_of(log).rows
                why = reason or (f"{ledger.place} lacks rows of it; mm state rebuild" if behind else "")
                if why:
                    kept[str(log)] = why
                    continue
                removed.append(str(log))
                if not dry_run:
                    log.unlink()
    finally:
        ledger.close()
    for name in removed:
        console.print(f"{'would remove' if dry_run else 'removed'} {name}")
    for name, why in kept.items():
        console.print(f"kept {name}: {why}")
    console.set_json({"removed": removed, "kept": kept})


def show(console: Console, file: Path, kind: str | None, client_id: str | None) -> None:
    """Show the rows of an audit log, one line each: number, instant (UTC), type and fields."""
    rows = (
        row
        for row in read_rows(file)
        if kind in (None, row["type"]) and client_id in (None, row.get("client_id"), row.get("replaces"))
    )
    if console.as_json:
        console.set_json({"path": str(file.resolve()), "rows": list(rows)})
        return
    for row in rows:
        console.print(_row_text(row))


def _row_text(row: Mapping[str, Any]) -> str:
    fields = "  ".join(f"{name}={_value(value)}" for name, value in row.items() if name not in _CHAIN)
    return f"{row['seq']:>6}  {iso(row['us'])}  {row['type']:<6}  {fields}".rstrip()


def _value(value: object) -> str:
    """Return a value on one line: plain text unchanged, all else as JSON, shortened."""
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
