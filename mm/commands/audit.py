"""``mm audit``."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.base.audit_chain import Witness, audit_folder, end_of, read_rows, verify_lines
from mm.base.common_knobs import symbol_knob
from mm.base.knobs import PATH, REQUIRED, knob
from mm.base.waiting import happened
from mm.cli.frame import command
from mm.clock import US_PER_S, iso, now_us
from mm.commands.elsewhere import folder_meant
from mm.errors import BrokenFile, DataError, MMError, UsageError
from mm.live.account.locks import KnownTraders
from mm.live.orders.access import AUDIT_TYPES
from mm.live.state.stores import StateStores
from mm.play.knobs import Results
from mm.terminal.console import Console
from mm.terminal.interrupts import at_ending_signals

if TYPE_CHECKING:
    pass


_PLACE = click.Argument(["file"], metavar="FILE|FOLDER|SYMBOL", type=click.Path(path_type=Path))


_OPEN = click.Option(
    ["--open", "open_end"], is_flag=True, help="Accept a log without a stop row at its end (killed or running)."
)


_LAST = click.Option(["--last-hash"], metavar="HASH", help="A last hash noted earlier, which some row must have.")


_HEADS = click.Option(
    ["--heads"],
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="File of mm audit ship --head: ends kept elsewhere.",
)


_FILE = click.Argument(["file"], metavar="FILE|SYMBOL", type=click.Path(path_type=Path))


_SHOWN = (
    _FILE,
    click.Option(["--type", "kind"], type=click.Choice(AUDIT_TYPES), help="Only rows of this type."),
    click.Option(["--client-id", "client_id"], metavar="ID", help="Only rows of the order with this client id."),
)


@dataclass(frozen=True, kw_only=True)
class Copies(Results):
    """The logs, and the folder of their copies."""

    symbol: str | None = symbol_knob("Symbol; without it all with audit logs.", None)
    archive: Path = knob(
        REQUIRED, PATH, "Folder of the copies, on another disk or machine.", common="Folder of the copies"
    )


_HEAD = click.Option(
    ["--head", "places"],
    metavar="PATH|URL|syslog:",
    multiple=True,
    help="Where rows and last hash of each symbol's latest log go: a file, a webhook, the system's log; repeatable.",
)


_EVERY = click.Option(["--every"], metavar="S", type=click.FloatRange(1, 86_400), help="Repeat, each so many seconds.")


_KEEP = click.Option(
    ["--keep-days"], metavar="N", type=click.FloatRange(0), required=True, help="Age of the logs that stay, in days."
)


_DRY = click.Option(["--dry-run"], is_flag=True, help="Only list what would be removed.")


_MOST_SHOWN = 4_000  # characters of a value: the totals in row 1 have many
_CHAIN = ("seq", "us", "type", "prev", "hash")


@command(arguments=[_PLACE, _OPEN, _LAST, _HEADS])
def audit_verify(
    console: Console, results: Results, file: Path, open_end: bool, last_hash: str | None, heads: Path | None
) -> None:
    """Find the first row of audit logs that was changed, removed, inserted or moved.

    The hash of each row covers the previous row, and row 1 of each later log in the same folder has the number of rows
    and the last hash of this one. An error names the row, and the exit code is 3. In a folder all logs are verified,
    and what they say of one another. A symbol means the folder of its trader, wherever that is.

    Example: mm audit verify out/audit/BTCUSDT --heads /mnt/elsewhere/heads.ndjson --open
    """
    from mm.live.audit.copies import has_hash, read_heads, verify_series
    from mm.live.audit.log import witnesses_of

    file = _logs_meant(console, results, file)
    symbol = file.name if file.is_dir() else file.parent.name
    kept = [head.witness(heads.name) for head in read_heads(heads, symbol)] if heads else []
    if file.is_dir():
        by_file: dict[str, list[Witness]] = {}
        for witness in kept:
            by_file.setdefault(witness.file, []).append(witness)
        answer = verify_series(file, by_file, last_hash, open_end=open_end)
        console.set_json({"ok": True, **answer, "path": str(file.resolve())})
        away = answer["elsewhere"]
        missing = f"; {len(away)} earlier logs are not here" if away else ""
        console.print(f"{file}: {len(answer['logs'])} logs, {answer['rows']:,} rows, unchanged{missing}")
        console.print(f"last hash {answer['last_hash']}")
        return
    witnesses = [*witnesses_of(file), *(witness for witness in kept if witness.file == file.name)]
    try:
        with file.open("rb") as lines:
            verified = verify_lines(lines, open_end=open_end, witnesses=witnesses)
    except OSError as error:
        raise DataError(f"{file}: the audit log cannot be read ({error.strerror})") from error
    console.set_json(
        {
            "ok": verified.row is None,
            "row": verified.row,
            "why": verified.why,
            "rows": verified.rows,
            "last_hash": verified.last_hash,
            "stopped": verified.stopped,
            "torn_bytes": verified.torn_bytes,
            "witnesses": sorted({witness.source for witness in witnesses}),
            "path": str(file.resolve()),
        }
    )
    if verified.row is not None:
        raise BrokenFile(f"{file}: row {verified.row}: {verified.why}")
    if last_hash and not has_hash(file, last_hash):
        raise BrokenFile(f"{file}: no row has the hash {last_hash}: the end was cut off, or rows were changed")
    ends = "ends with a stop row" if verified.stopped else "is open: no stop row at its end"
    torn = (
        f"; row {verified.rows + 1} is incomplete, {verified.torn_bytes} bytes were written"
        if verified.torn_bytes
        else ""
    )
    later = f"; {len(witnesses)} later log{'s have' if len(witnesses) > 1 else ' has'} its hash" if witnesses else ""
    rows = f"rows 1 to {verified.rows}" if verified.rows else "no row yet"
    console.print(f"{file}: unchanged, {rows}; the log {ends}{torn}{later}")
    console.print(f"last hash {verified.last_hash}")


def _logs_meant(console: Console, results: Results, file: Path) -> Path:
    """The path, or the folder of logs of the symbol that is given instead of one."""
    if file.exists() or len(file.parts) > 1 or file.suffix:
        return file
    symbol = file.name.upper()
    return audit_folder(folder_meant(console, results.out_root, symbol), symbol)


def _folders(copies: Copies, root: Path, others: Path) -> Iterator[tuple[str, Path, Path]]:
    from mm.live.state.follow import symbols_with_logs

    for symbol in [copies.symbol] if copies.symbol else list(symbols_with_logs(root)):
        try:
            (others / symbol).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{others / symbol}: the folder cannot be made ({error.strerror})") from error
        yield symbol, root / symbol, others / symbol


@command(arguments=[_HEAD, _EVERY])
def audit_ship(console: Console, copies: Copies, places: tuple[str, ...], every: float | None) -> None:
    """Copy new rows of the audit logs to another folder, and send the last hashes elsewhere.

    Rows are verified before they are appended, and compared with what was shipped before: a log that was changed or cut
    off since is exit code 3, and its copy stays as it is. The trader is not touched. With --every it runs until SIGTERM
    or Ctrl-C, and goes on after an error, which it logs.

    Example: mm audit ship --archive /mnt/elsewhere --head /mnt/third/heads.ndjson --head syslog: --every 60
    """
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
    """Ships logs, and remembers what has not changed or was sent."""

    def __init__(self, console: Console, copies: Copies, places: Sequence[str]) -> None:
        self._console, self._copies, self._places = console, copies, places
        self._seen: dict[Path, tuple[tuple[int, ...], Witness]] = {}
        self._sent: dict[tuple[str, str], tuple[str, int]] = {}

    def ship_again(self) -> None:
        try:
            self.ship()
        except MMError as error:
            self._console.log.error("not_shipped", error=str(error))

    def ship(self) -> list[dict[str, Any]]:
        from mm.live.audit.copies import LogHead, send_heads
        from mm.live.audit.log import logs_of

        heads, errors = list[LogHead](), list[MMError]()
        known = KnownTraders.look(self._copies.out_root)
        has_logs = known.has_logs(self._copies.symbol) or not known.living(self._copies.symbol)
        root = self._copies.out_root if has_logs else known.folder_for(self._copies.symbol)
        for symbol, folder, archive in _folders(self._copies, root / "audit", self._copies.archive):
            try:
                ends = [self._append(log, archive / log.name) for log in logs_of(folder)]
            except MMError as error:
                errors.append(error)
                continue
            if ends:
                heads.append(LogHead(symbol, ends[-1].file, ends[-1].rows, ends[-1].hash, now_us()))
        if not (heads or errors):
            self._console.print(f"nothing to ship: no audit logs in {root / 'audit'} ({known.where()})")
        for head in heads:
            self._console.print(f"{head.symbol}: {head.file} to row {head.rows}, last hash {head.hash}")
        for place in self._places:
            new = [head for head in heads if self._sent.get((place, head.symbol)) != (head.file, head.rows)]
            try:
                send_heads(new, place)
            except MMError as error:
                errors.append(error)
                continue
            self._sent |= {(place, head.symbol): (head.file, head.rows) for head in new}
        if errors:
            raise errors[0]
        import msgspec

        return [msgspec.to_builtins(head) for head in heads]

    def _append(self, log: Path, copy: Path) -> Witness:
        from mm.live.audit.copies import append_copy

        stamp = (*_stamp(log), *_stamp(copy))
        if log not in self._seen or self._seen[log][0] != stamp:
            end = append_copy(log, copy)
            self._seen[log] = ((*_stamp(log), *_stamp(copy)), end)
        return self._seen[log][1]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@command()
def audit_restore(console: Console, copies: Copies) -> None:
    """Bring back audit logs, or their ends, from the copies; a log that differs from its copy is refused (exit code 3).

    No trader of the symbol may run. The state store is brought up by the next start, or by mm state rebuild.

    Example: mm audit restore --archive /mnt/elsewhere --symbol BTCUSDT
    """
    from mm.live.audit.copies import append_copy
    from mm.live.audit.log import logs_of

    restored = []
    for symbol, archive, folder in _folders(copies, copies.archive, copies.out_root / "audit"):
        for log in logs_of(archive):
            before = (folder / log.name).stat().st_size if (folder / log.name).exists() else 0
            end = append_copy(log, folder / log.name, shrinks=True)
            if (folder / log.name).stat().st_size > before:
                restored.append({"symbol": symbol, "file": end.file, "rows": end.rows})
                console.print(f"{symbol}: {end.file} to row {end.rows}")
    if not restored:
        console.print(f"nothing to restore: {copies.out_root / 'audit'} has every row of the copies")
    console.set_json({"restored": restored})


@command(arguments=[_KEEP, _DRY])
def audit_prune(console: Console, copies: Copies, stores: StateStores, keep_days: float, dry_run: bool) -> None:
    """Remove old audit logs whose copies were shipped and verified, and whose rows the state store has.

    A log goes only if a later one has its totals and last hash in row 1, and its copy is equal and whole. The latest
    log of each venue always stays. What must stay is printed with the reason.

    Example: mm audit prune --archive /mnt/elsewhere --keep-days 30
    """
    from mm.live.audit.copies import removable

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
    if not (removed or kept):
        console.print(f"nothing to remove: no log has a later one older than {keep_days:g} days")
    console.set_json({"removed": removed, "kept": kept})


@command(arguments=_SHOWN)
def audit_show(console: Console, results: Results, file: Path, kind: str | None, client_id: str | None) -> None:
    """Show the rows of an audit log, one line each: number, instant (UTC), type and fields.

    The hashes are not checked; mm audit verify does so. A symbol means the latest log of its trader.

    Example: mm audit show BTCUSDT --type fill
    """
    from mm.live.audit.log import logs_of

    file = _logs_meant(console, results, file)
    file = logs_of(file)[-1] if file.is_dir() else file
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
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    text = json.dumps(value, separators=(",", ":"))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
