"""``mm watchdog``."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.base.atomic_file import write_atomic
from mm.base.common_knobs import data_root_knob, symbol_knob
from mm.base.knobs import PATH, integer, knob, matching, number
from mm.base.waiting import happened
from mm.cli.config import Doors
from mm.cli.console import Console
from mm.cli.frame import command
from mm.cli.interrupts import at_ending_signals
from mm.errors import DataError, UsageError, parameter
from mm.market_data.metrics import metrics_served
from mm.play.knobs import Results

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.base.doors import Door
    from mm.live.pages.watchdog import Watchdog, WatchdogLook


TEXTFILE = "mm_watchdog.prom"


@dataclass(frozen=True, kw_only=True)
class Watching(Doors, Results):
    """What is watched, and where its state is served."""

    symbol: str | None = symbol_knob(
        "Symbols, a list; without it all with a file.", None, many=True, common="Symbols, a list"
    )
    data_root: Path = data_root_knob("Folder of the recorded days, for health files.")
    log_root: Path | None = knob(None, PATH, "Folder of the run logs; without it <OUT_ROOT>/logs.")
    metrics_port: int = knob(9110, integer(0, 65535), "Port of the page; 0: none.", common="Port of the page")
    metrics_host: str = knob("127.0.0.1", matching(r"[\w.:-]+", "an address"), "Address of the page.")
    textfile_dir: Path | None = knob(
        None,
        PATH,
        f"Folder of node_exporter's textfile collector: {TEXTFILE} is replaced there at each look.",
        flag="--textfile",
        common="Folder for node_exporter's textfile collector",
    )
    watch_interval_s: float = knob(1.0, number(0.1, 3600), "Time between two looks, in s.", common="Time between looks")


_ONCE = click.Option(["--once"], is_flag=True, help="Print the state once; exit code 3 if something needs a person.")


@command(Watching, arguments=[_ONCE])
def watchdog(console: Console, watching: Watching, once: bool) -> None:
    """Watch traders and shadows by their files, and serve what their own pages cannot show once they have ended.

    Kill switch with its reason, orders left open, the last end with reason and exit code, clock offset, disk space.
    /health/ready answers 503 while something needs a person. It runs until SIGTERM or Ctrl-C.

    Example: mm watchdog --out-root out --textfile /var/lib/prometheus/node-exporter
    """
    from mm.live.pages.watchdog import Watchdog

    symbols = watching.symbol.split(",") if watching.symbol else ()
    logs = watching.log_root or watching.out_root / "logs"
    dog = Watchdog(watching.out_root, watching.data_root, logs, symbols)
    dog.check()
    serves = watching.metrics_port and not once
    door = watching.door(watching.metrics_host, parameter("metrics_host"), console.log.warning) if serves else None
    look = dog.look()
    if watching.textfile_dir is not None:
        _write_first(watching.textfile_dir, look)
    if not once:
        look = asyncio.run(_watch(console, watching, dog, look, door))
    console.set_json(
        {
            "symbols": {trader.symbol: trader.to_json() for trader in look.symbols},
            "unreadable": list(look.unreadable),
            "free_bytes": dict(look.free_bytes),
        }
    )
    if once:
        for line in [*(trader.line() for trader in look.symbols), *look.unreadable] or ["no trader has left a file"]:
            console.print(line)
        if look.troubles():
            raise DataError("; ".join(look.troubles()))


def _write_first(folder: Path, look: "WatchdogLook") -> None:
    try:
        if not folder.is_dir():
            raise NotADirectoryError("there is no such folder")
        write_atomic(folder / TEXTFILE, look.page().encode())
    except OSError as error:
        reason = error.strerror or error
        raise UsageError("{textfile_dir} {}: cannot be written ({}); give another", folder, reason) from error


async def _watch(
    console: Console, watching: Watching, dog: "Watchdog", look: "WatchdogLook", door: "Door | None"
) -> "WatchdogLook":
    stopped, latest = asyncio.Event(), [look]
    at_ending_signals(lambda _: stopped.set())
    async with _served(watching, latest, door) as port:
        if port:
            scheme = "https" if door and door.context else "http"
            console.print(f"{scheme}://{watching.metrics_host}:{port}/metrics")
        _note(console.log, [], look.troubles())
        while not stopped.is_set():
            await happened(stopped, watching.watch_interval_s)
            before, now = latest[0], await asyncio.to_thread(dog.look)
            latest[0] = now
            _note(console.log, before.troubles(), now.troubles())
            if watching.textfile_dir is not None:
                try:
                    await asyncio.to_thread(write_atomic, watching.textfile_dir / TEXTFILE, now.page().encode())
                except OSError as error:  # its age shows it; the page goes on
                    console.log.warning("textfile_failed", error=str(error))
    return latest[0]


@asynccontextmanager
async def _served(watching: Watching, latest: "Sequence[WatchdogLook]", door: "Door | None") -> AsyncIterator[int]:
    if door is None:
        yield 0
        return
    served = metrics_served(
        watching.metrics_host,
        watching.metrics_port,
        lambda: latest[0].page(),  # noqa: PLW0108 - of the latest look
        lambda: "; ".join(latest[0].troubles()),
        door=door,
    )
    async with served as port:
        yield port


def _note(log: "Logger", before: Sequence[str], now: Sequence[str]) -> None:
    for line in now:
        if line not in before:
            log.error("trouble_began", what=line)
    for line in before:
        if line not in now:
            log.info("trouble_ended", what=line)
