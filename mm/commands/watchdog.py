"""``mm watchdog``."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mm.base.atomic_file import write_atomic
from mm.base.common_knobs import data_root_knob, symbol_knob
from mm.base.knobs import PATH, SWITCH, base_url, integer, knob, matching, number, one_of
from mm.base.waiting import happened
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.cli.task_knobs import BinanceMarket
from mm.errors import DataError, UsageError, parameter
from mm.live.knobs import BOX, PRODUCTION, TESTNET
from mm.market_data.metrics import metrics_served
from mm.play.knobs import Results
from mm.terminal.console import Console
from mm.terminal.interrupts import at_ending_signals

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger as Logger

    from mm.base.doors import Door
    from mm.live.pages.dead_man import DeadMan
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


@dataclass(frozen=True, kw_only=True)
class DeadMansSwitch:
    """When a trader's orders are cancelled from here, another machine; its key is in the environment, as a trader's."""

    cancel_after_s: float | None = knob(
        None,
        number(5, 86_400),
        "Time without a sign of life of the trader after which its orders are cancelled, in s; without it none are.",
        common="Cancel a trader's orders after so many s without a sign of life",
    )
    heartbeat: str | None = knob(
        None,
        matching(r"\S.*", "a URL or a path"),
        "Its sign of life: the address of its page, such as http://trader:9109, or a file that is shipped here, or a "
        "copy of its DATA_ROOT.",
        common="The trader's page, or a file that is shipped here",
    )
    venue: str | None = knob(None, one_of(BOX, TESTNET, PRODUCTION), "The venue of the orders.")
    rest_url: str | None = knob(None, base_url("http", "https"), "Base URL of REST; default: the venue's.")
    remote_box: bool = knob(False, SWITCH, "1 allows --venue box on another machine.")

    def make(self, symbols: Sequence[str], market: str, log: "Logger") -> "DeadMan | None":
        """None without a time; UsageError if something that it needs is not given."""
        from mm.live.pages.dead_man import DeadMan, FileBeat, PageBeat
        from mm.live.venues.addresses import addresses, quiet_file
        from mm.live.venues.canceller import OrderCanceller, SignedRest, is_ours
        from mm.live.venues.keys import blank_process_list, read_credentials

        if self.cancel_after_s is None:
            return None
        needed = {"symbol": symbols, "heartbeat": self.heartbeat, "venue": self.venue}
        if self.venue == BOX:
            needed["rest_url"] = self.rest_url
        if missing := [name for name, value in needed.items() if not value]:
            raise UsageError("{cancel_after_s} needs {}", ", ".join(str(parameter(name)) for name in missing))
        given = (self.rest_url, self.rest_url, self.rest_url)
        url = addresses(str(self.venue), *given, remote_box=self.remote_box, market=market).rest
        rest = SignedRest(url, read_credentials(os.environ), quiet_file(url), market)
        blank_process_list(())
        of_page = re.match(r"https?://", str(self.heartbeat))
        heart = PageBeat(str(self.heartbeat)) if of_page else FileBeat(Path(str(self.heartbeat)), symbols)
        return DeadMan(heart, OrderCanceller(rest, symbols, is_ours), self.cancel_after_s, log)


_ONCE = click.Option(["--once"], is_flag=True, help="Print the state once; exit code 3 if something needs a person.")


@command(arguments=[_ONCE])
def watchdog(console: Console, watching: Watching, switch: DeadMansSwitch, market: BinanceMarket, once: bool) -> None:
    """Watch traders and shadows by their files, and serve what their own pages cannot show once they have ended.

    Kill switch with its reason, orders left open, the last end with reason and exit code, clock offset, disk space.
    /health/ready answers 503 while something needs a person. It runs until SIGTERM or Ctrl-C. On a second machine,
    --cancel-after-s cancels the orders of a trader that gives no sign of life any more.

    Example: mm watchdog --out-root out --textfile /var/lib/prometheus/node-exporter
    """
    from mm.live.pages.watchdog import Watchdog

    symbols = watching.symbol.split(",") if watching.symbol else ()
    logs = watching.log_root or watching.out_root / "logs"
    dog = Watchdog(watching.out_root, watching.data_root, logs, symbols)
    dead_man = switch.make(symbols, market.market, console.log)
    dog.needs_folder = dead_man is None
    if dog.needs_folder:
        dog.check()
    if dead_man and once:
        raise UsageError("{cancel_after_s} needs more than one look; leave --once out")
    if once:
        dog.check_symbols()
    serves = watching.metrics_port and not once
    door = watching.door(watching.metrics_host, parameter("metrics_host"), console.log.warning) if serves else None
    look = dog.look()
    if watching.textfile_dir is not None:
        _write_first(watching.textfile_dir, look)
    if not once:
        look = asyncio.run(_watch(console, watching, lambda: _looked(dog, dead_man), look, door))
    console.set_json(
        {
            "symbols": {trader.symbol: trader.to_json() for trader in look.symbols},
            "unreadable": list(look.unreadable),
            "free_bytes": dict(look.free_bytes),
        }
    )
    if once:
        for line in [*(trader.line() for trader in look.symbols), *look.unreadable] or [
            f"no trader has left a file: {dog.where()}"
        ]:
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


def _looked(dog: "Watchdog", dead_man: "DeadMan | None") -> "WatchdogLook":
    look = dog.look()
    if dead_man is None:
        return look
    dead_man.look()
    return replace(look, heartbeat=dead_man.trouble)


async def _watch(
    console: Console,
    watching: Watching,
    look_again: "Callable[[], WatchdogLook]",
    look: "WatchdogLook",
    door: "Door | None",
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
            before, now = latest[0], await asyncio.to_thread(look_again)
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
