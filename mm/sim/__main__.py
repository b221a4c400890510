"""``mm sim``: simulated days, a simulated exchange, and the tables of Avellaneda and Stoikov (2008)."""

import asyncio
import json
import sys
from typing import Any

from mm.catalog.simulation import PaperOptions, ServeOptions, SimulatedDays
from mm.cli.console import Console, write_line
from mm.cli.frame import Program
from mm.cli.interrupts import at_ending_signals
from mm.clock import DAY_ZONE, day_of, now_us
from mm.dayfolder.layout import DayFolder
from mm.sim import COMMANDS
from mm.sim.as2008.model import PaperModel
from mm.sim.as2008.table import row, text
from mm.sim.flow.day import TRUTH, make_day
from mm.sim.flow.scenario import chosen
from mm.sim.flow.session import STEP_US, Session
from mm.sim.wire.box import Box
from mm.sim.wire.faults.script import load_script

_HOURS = 24.0


def day(console: Console, simulated: SimulatedDays, flags: object) -> None:
    """Make simulated days: day folders in the format of a recorder, and the truth of their market in truth.json."""

    scenario = chosen(simulated.scenario, flags)
    truths: list[dict[str, Any]] = []
    sessions = [Session(simulated.symbol, date, simulated.hours, simulated.seed) for date in simulated.day]
    with console.progress("market", sum(session.close_us - session.open_us for session in sessions)) as advance:
        for date, session in zip(simulated.day, sessions, strict=True):
            folder = DayFolder(simulated.data_root, simulated.symbol, date)
            before = "replaced, " if folder.path.exists() else ""
            truth = make_day(folder, scenario, session, advance)
            truths.append(truth | {"path": str(folder.path / TRUTH)})
            console.print(
                f"{folder.path}: {before}{truth['depth_messages']:,} depth messages, {truth['trades']:,} trades"
            )
    whole_path = str(simulated.data_root / simulated.symbol)
    console.set_json(truths[0] if len(truths) == 1 else {"days": truths, "path": whole_path})


def serve(console: Console, options: ServeOptions, flags: object) -> None:
    """Serve symbols as Binance Spot does, until a signal ends it."""
    scenario = chosen(options.scenario, flags)
    rules = load_script(options.faults) if options.faults else None
    first, *others = _sessions(options)
    box = Box(scenario, first, speed=options.speed, limits=options.limits == "on")
    for session in others:
        Box(scenario, session, limits=options.limits == "on", beside=box)
    if rules is not None:
        box.inject(rules)
    asyncio.run(_serve(box, console, options))


def _sessions(options: ServeOptions) -> list[Session]:
    """Return the session of each symbol: start time and seed."""
    first_us = now_us() if options.start_ms is None else options.start_ms * 1_000
    begins_us = first_us - first_us % STEP_US
    day = day_of(begins_us, DAY_ZONE)
    symbols = enumerate(options.symbol.split(","))
    return [Session(symbol, day, _HOURS, options.seed + at, begins_us) for at, symbol in symbols]


async def _serve(box: "Box", console: Console, options: ServeOptions) -> None:
    """Serve until a signal arrives, or the exchange fails."""
    stopped = asyncio.Event()
    at_ending_signals(lambda _name: stopped.set())
    async with box.open(options.serve_host, options.serve_port):
        if options.start_ms is None:
            box.scheduler.advance_to(now_us())
        ready = box.ready()
        console.log.info("serving", scenario=options.scenario, speed=options.speed, rest_url=ready["rest_url"])
        write_line(sys.stdout, json.dumps(ready))
        stopping = asyncio.create_task(stopped.wait())
        running: list[asyncio.Task[Any]] = [stopping, *([box.running] if box.running else [])]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()


def as2008(console: Console, paper: PaperOptions) -> None:
    """Print the tables of Avellaneda and Stoikov (2008): published, exact and simulated."""
    steps = paper.steps()
    rows = []
    with console.progress("rows", len(paper.gamma) * len(paper.strategy)) as advance:
        for gamma in paper.gamma:
            market = PaperModel(
                gamma, paper.A_per_s, paper.k_per_price, paper.sigma_price_per_sqrt_s, paper.horizon_s, steps
            )
            for strategy in paper.strategy:
                rows.append(row(market, strategy, paths=paper.paths, seed=paper.seed))
                advance(1)
    for line in text(rows):
        console.print(line)
    console.set_json({"rows": [one.to_json() for one in rows]})


main = Program("mm sim", "Run simulated markets.", COMMANDS)

if __name__ == "__main__":
    main()
