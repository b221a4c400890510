"""``mm state init``, ``rebuild`` and ``show``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from mm.base.audit_chain import audit_folder
from mm.cli.frame import command
from mm.commands.elsewhere import folder_meant
from mm.errors import DataError
from mm.live.state.stores import SHOWN, STATE_FILE, StateStores
from mm.play.knobs import Results
from mm.terminal.console import Console

if TYPE_CHECKING:
    from mm.live.state.tables import StateBackend


_ONE = click.Option(["--symbol"], metavar="SYMBOL", help="Only this symbol, in any case; default: all.")


_SHOW = (
    _ONE,
    click.Option(["--table"], type=click.Choice(SHOWN), help="All rows of one table."),
    click.Option(["--last"], type=click.IntRange(0), default=10, show_default=True, help="Number of fills shown."),
)


@command()
def state_init(console: Console, results: Results, stores: StateStores) -> None:
    """Create missing tables of the state store, and check that its servers respond.

    The store is <OUT_ROOT>/state.sqlite, or PostgreSQL if LEDGER_URL is set; with STATE_URL also Redis. Exit code 75 if
    one is not available.

    Example: LEDGER_URL=postgresql://mm@127.0.0.1/mm mm state init
    """
    places = []
    for backend in stores.backends(results.out_root):
        with _connected(backend):
            places.append(backend.place)
            console.print(f"{backend.place}: ready")
    console.set_json({"stores": places})


@command(arguments=[_ONE])
def state_rebuild(console: Console, results: Results, stores: StateStores, symbol: str | None) -> None:
    """Rebuild the state store from the audit logs.

    The stored rows of a symbol are removed first; book, PnL, model and ticks in Redis remain. A run of the symbol may
    continue meanwhile. Exit code 75 if a store is not available, 3 if a log cannot be read.

    Example: mm state rebuild --symbol BTCUSDT
    """
    from mm.live.audit.books import rebuild_symbol
    from mm.live.state.follow import bring_up, symbols_with_logs

    out_root = folder_meant(console, results.out_root, symbol.upper() if symbol else None)
    symbols = [symbol.upper()] if symbol else list(symbols_with_logs(out_root / "audit"))
    for name in symbols:
        folder = audit_folder(out_root, name)
        if not rebuild_symbol(folder, name).starts:  # reads all logs first, so that nothing is removed if one is broken
            raise DataError(f"{folder}: {name} has no audit logs to rebuild from; check --symbol and OUT_ROOT")
    done = []
    for backend in stores.backends(out_root):
        with _connected(backend):
            for name in symbols:
                backend.forget(name)
                rows = bring_up(backend, audit_folder(out_root, name), name)
                done.append({"store": backend.place, "symbol": name, "rows": rows})
                console.print(f"{backend.place}: {name} rebuilt from {rows} rows of its audit logs")
    console.set_json({"rebuilt": done})


@command(arguments=_SHOW)
def state_show(
    console: Console, results: Results, stores: StateStores, symbol: str | None, table: str | None, last: int
) -> None:
    """Show positions, open orders and the last fills of the state store; with --json all orders, fills and configs.

    Example: mm state show --symbol BTCUSDT --table fills
    """
    from mm.live.audit.books import OPEN_STATUSES

    name, out_root = symbol.upper() if symbol else None, results.out_root
    if not (stores.ledger_url or (name is None and (out_root / STATE_FILE).is_file())):
        out_root = folder_meant(console, out_root, name)
    backend = stores.ledger(out_root)
    with _connected(backend):
        tables = {shown_table: backend.read(shown_table, name) for shown_table in ([table] if table else SHOWN)}
    console.set_json({"store": backend.place, **tables})
    if table:
        _print(console, table, tables[table])
        return
    _print(console, "positions", tables["positions"])
    _print(console, "open orders", [row for row in tables["orders"] if row["status"] in OPEN_STATUSES])
    _print(console, "last fills", sorted(tables["fills"], key=lambda row: int(row["us"]))[-last:] if last else [])


@contextmanager
def _connected(backend: "StateBackend") -> Iterator[None]:
    backend.connect()
    try:
        yield
    finally:
        backend.close()


def _print(console: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    console.print(f"{title}: {len(rows)}")
    if not rows:
        return
    texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in texts)) for name in texts[0]}
    for row in [{name: name for name in widths}, *texts]:
        console.print("  " + "  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip())
