"""``mm sim``: simulated days, a simulated exchange, and the tables of Avellaneda and Stoikov (2008)."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mm.base.common_knobs import seed_knob, symbol_knob
from mm.base.knobs import (
    PATH,
    REQUIRED,
    Reader,
    closest,
    day_list,
    decimal,
    integer,
    knob,
    knobs,
    matching,
    number,
    numbers,
    one_of,
    shown,
)
from mm.cli.commands import SIM
from mm.cli.frame import Program, command
from mm.clock import DAY_ZONE, US_PER_S, day_of, now_us
from mm.dayfolder.layout import DayFolder
from mm.errors import Sentence, UsageError, parameter
from mm.instrument import e8
from mm.markets.market import load
from mm.markets.registry import DEFAULT, MARKETS
from mm.play.knobs import Source
from mm.sim.flow.scenario import SCENARIOS, ScenarioParameters, chosen
from mm.sim.flow.session import STEP_US, Session
from mm.terminal.console import Console, write_line
from mm.terminal.interrupts import at_ending_signals

if TYPE_CHECKING:
    from mm.sim.wire.box import Box
    from mm.sim.wire.wire_market import WireMarket


_SEED = "Seed of all random draws"


_SCENARIO = f"The market: {', '.join(SCENARIOS)}"


@dataclass(frozen=True, kw_only=True)
class SimulatedDays(Source):
    """Options of the simulated days and of their market."""

    day: tuple[str, ...] = knob(
        REQUIRED,
        Reader("DAY", day_list),
        "YYYYMMDD, a list 20260105,20260106 or a range 20260105:20260109.",
        common="YYYYMMDD, a list, or a range FIRST:LAST",
    )
    hours: float = knob(
        14.0,
        number(0.01, 24),
        "Length of a day's session, which opens at 08:00 Berlin time.",
        common="Length of a day, from 08:00 in Berlin",
    )
    seed: int = seed_knob("Seed of all random draws; each day of a range has different draws.", common=_SEED)
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.", common=_SCENARIO)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Parameters of the served exchange, and its address."""

    symbol: str = symbol_knob(
        "The traded symbol, or a list on the same accounts.", "SIMUSDT", many=True, common="The symbol, or a list"
    )
    scenario: str = knob("poisson", one_of(*SCENARIOS), "The market.", common=_SCENARIO)
    seed: int = seed_knob("Seed of all random draws and of the accounts' keys.", common=_SEED)
    market: str = knob(
        DEFAULT.name,
        one_of(*(name for name in MARKETS if MARKETS[name].box_at)),
        "What it speaks: Binance Spot, USD-M futures, or the public part of Bybit.",
        common="spot, usdm: perpetual contracts, bybit, bybit-spot",
    )
    speed: float = knob(
        1.0,
        number(0, 10_000),
        "Exchange seconds per second; 0 waits for POST /sim/advance.",
        common="Exchange seconds per second",
    )
    start_ms: int | None = knob(
        None,
        integer(10**12, 10**13),
        "Start time of the exchange, Unix ms; default: now. It is rounded down to 100 ms.",
    )
    limits: str = knob("on", one_of("on", "off"), "Whether excess orders, requests and handshakes are refused.")
    faults: Path | None = knob(None, PATH, "Fault script.", common="Fault script")
    serve_host: str = knob("127.0.0.1", matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    serve_port: int = knob(
        0, integer(0, 65535), "Port to listen on; 0 for a free one.", flag="--port", common="Port; 0: a free one"
    )


@dataclass(frozen=True, kw_only=True)
class ContractOptions:
    """Options of contracts, with --market usdm."""

    funding_rate: str = knob("0.0001", decimal("-0.1", "0.1"), "Funding rate of each payment; longs pay if above 0.")
    funding_interval_s: int = knob(
        28_800, integer(1, 86_400), "Seconds between two funding payments, at its multiples since midnight UTC."
    )
    insurance_fund: str = knob(
        "1000000", decimal("0", "1000000000"), "The insurance fund at the start, in the quote asset."
    )


STRATEGIES = ("inventory", "symmetric", "glft_exact", "glft_closed_form")


def _strategies(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in STRATEGIES:
            raise ValueError(f"one or more of {', '.join(STRATEGIES)}{closest(name, STRATEGIES)}")
    if len(set(names)) < len(names):
        raise ValueError("a list without repeats, such as inventory,symmetric")
    return names


_MOST_STEPS = 100_000


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Options of the experiment; units are prices, seconds and units of inventory, as in the paper."""

    gamma: tuple[float, ...] = knob((0.1, 0.01, 1.0), numbers(1e-6, 1000), "Risk aversions, 1/(price·unit).")
    A_per_s: float = knob(140.0, number(1e-9, 1e9), "Fills per second of a quote at the mid.", flag="--A")
    k_per_price: float = knob(1.5, number(1e-9, 1e9), "Decay of the fill rate with distance, 1/price.", flag="--k")
    sigma_price_per_sqrt_s: float = knob(2.0, number(0, 1e6), "Volatility of the mid, price/√s.", flag="--sigma")
    horizon_s: float = knob(1.0, number(1e-6, 1e9), "Length of a session.", flag="--T")
    step_s: float = knob(
        0.005, number(1e-9, 1e9), "Length of a step; a session must be a whole number of steps.", flag="--dt"
    )
    paths: int = knob(1000, integer(2, 10**9), "Simulated sessions per row.")
    seed: int = seed_knob("Seed of all random draws; the draws of a row do not depend on other rows.")
    strategy: tuple[str, ...] = knob(
        ("inventory", "symmetric"), Reader("NAME,NAME,…", _strategies), f"Quoting rules: {', '.join(STRATEGIES)}."
    )

    def steps(self) -> int:
        given = Sentence("{step_s} is {} and {horizon_s} is {}", shown(self.step_s), shown(self.horizon_s))
        if self.step_s > self.horizon_s:
            raise UsageError(f"{given}: a step must not be longer than the session; choose a smaller --dt")
        steps = round(self.horizon_s / self.step_s)
        if steps > _MOST_STEPS:
            raise UsageError(
                f"{given}: that is {steps:,} steps, and the maximum is {_MOST_STEPS:,}; choose a larger --dt"
            )
        if abs(steps * self.step_s - self.horizon_s) > 1e-9 * self.horizon_s:
            raise UsageError(
                f"{given}: that is {self.horizon_s / self.step_s:.6g} steps, and a session must be a whole number of "
                f"them; --dt {self.horizon_s / steps:.12g} makes {steps}"
            )
        return steps


_HOURS = 24.0


@command(SimulatedDays, ScenarioParameters, defaults={"symbol": "SIMUSDT"})
def sim_day(console: Console, simulated: SimulatedDays, flags: object) -> None:
    """Make simulated days: day folders in the format of a recorder, and the truth of their market in truth.json."""
    from mm.sim.flow.day import TRUTH, make_day

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


@command(ServeOptions, ContractOptions, ScenarioParameters)
def sim_serve(console: Console, options: ServeOptions, contracts: ContractOptions, flags: object) -> None:
    """Serve symbols as Binance does, on loopback; print one JSON line when ready. SIGTERM and Ctrl-C end it.

    Several symbols have the same users, with one balance of the quote asset; faults apply to the first.
    """
    from mm.sim.wire.box import Box
    from mm.sim.wire.faults.script import load_script

    scenario = chosen(options.scenario, flags)
    rules = load_script(options.faults) if options.faults else None
    first, *others = _sessions(options)
    market = _market(options, contracts)
    box = Box(scenario, first, speed=options.speed, limits=options.limits == "on", market=market)
    for session in others:
        Box(scenario, session, limits=options.limits == "on", beside=box)
    if rules is not None:
        box.inject(rules)
    asyncio.run(_serve(box, console, options))


def _market(options: ServeOptions, contracts: ContractOptions) -> "WireMarket":
    market = MARKETS[options.market]
    if not market.contract:
        context = click.get_current_context(silent=True)
        for option in knobs(ContractOptions):
            if context and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
                only = "{}: only contracts have it; omit it, or add {market} usdm"
                raise UsageError(only, parameter(option.name))
    from mm.sim.exchange.usdm.terms import Fund, UsdmTerms

    rate_e8, fund = e8(contracts.funding_rate), Fund(e8(contracts.insurance_fund))
    terms = UsdmTerms(rate_e8=rate_e8, interval_us=contracts.funding_interval_s * US_PER_S, fund=fund)
    made: WireMarket = load(market.box_at or "")(terms)
    return made


def _sessions(options: ServeOptions) -> list[Session]:
    first_us = now_us() if options.start_ms is None else options.start_ms * 1_000
    begins_us = first_us - first_us % STEP_US
    day = day_of(begins_us, DAY_ZONE)
    symbols = enumerate(options.symbol.split(","))
    return [Session(symbol, day, _HOURS, options.seed + at, begins_us) for at, symbol in symbols]


async def _serve(box: "Box", console: Console, options: ServeOptions) -> None:
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


@command()
def sim_as2008(console: Console, paper: PaperOptions) -> None:
    """Print the tables of Avellaneda and Stoikov (2008): published, exact and simulated."""
    from mm.sim.as2008.model import PaperModel
    from mm.sim.as2008.table import row, text

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
    console.set_json({"rows": [row.to_json() for row in rows]})


main = Program("mm sim", "Run simulated markets.", SIM)

if __name__ == "__main__":
    main()
