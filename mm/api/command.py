"""``mm sim api``: the trading interface on this machine."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.backtest.preset import ALWAYS, PLAIN, PRESETS
from mm.backtest.risk import NO_RISK, Risk, limits_of
from mm.base.common_knobs import data_root_knob, day_knob, seed_knob
from mm.base.knobs import (
    integer,
    knob,
    knobs,
    matching,
    number,
    one_of,
)
from mm.cli.config import Doors
from mm.cli.frame import command
from mm.clock import DAY_ZONE, US_PER_S, day_of, now_us, run_stamp
from mm.errors import Sentence, UsageError, parameter
from mm.instrument import Instrument
from mm.play.knobs import Results
from mm.sim.flow.order_flow import Flow
from mm.sim.flow.scenario import FIELDS, SCENARIOS, ScenarioParameters, chosen
from mm.sim.flow.session import STEP_US, Session
from mm.terminal.console import Console, write_line

if TYPE_CHECKING:
    from mm.api.desk_market import DeskMarket
    from mm.sim.matching._core import Matching


SYNTHETIC, REPLAY, YAHOO, ALPHAVANTAGE = "synthetic", "replay", "yahoo", "alphavantage"


_PRESETS = ("equity", "future", "crypto")


@dataclass(frozen=True, kw_only=True)
class TradingInterface(Doors):
    """Parameters of the served market, and its address."""

    scenario: str = knob(
        "poisson", one_of(*SCENARIOS), "The synthetic market.", common=f"The synthetic market: {', '.join(SCENARIOS)}"
    )
    data_source: str = knob(
        SYNTHETIC,
        one_of(SYNTHETIC, REPLAY, YAHOO, ALPHAVANTAGE),
        "Source of the market data.",
        common="Source of the market data",
    )
    day: str | None = day_knob("The recorded day of --data-source replay.", None, common="The day to replay")
    data_root: Path = data_root_knob("Folder of the day folders.", common="")
    bar_interval: str = knob("1m", one_of("1m", "5m", "15m", "30m", "60m"), "Length of a bar of yahoo, alphavantage.")
    bars_url: str | None = knob(None, matching(r"https?://\S+", "an address"), "Address of yahoo or alphavantage.")
    symbol: str = knob(
        "SIMUSDT", matching(r"[A-Za-z0-9.=^_-]{1,32}", "a symbol such as AAPL"), "The symbol.", common="The symbol"
    )
    preset: str | None = knob(
        None,
        one_of(*_PRESETS),
        "Steps, multiplier, fees, hours and short sales of an asset class.",
        common="Asset class",
    )
    seed: int = seed_knob(common="Seed of all random draws")
    speed: float = knob(1.0, number(0.001, 10_000), "Exchange seconds per second.")
    serve_host: str = knob("127.0.0.1", matching(r"\S+", "an address"), "Address to listen on.", flag="--host")
    api_port: int = knob(
        8000, integer(0, 65535), "Port to listen on; 0 for a free one.", flag="--port", common="Port; 0: a free one"
    )


LIMITS = ("max_position", "max_open_orders", "max_order_notional", "price_band", "max_orders_per_s", "max_daily_loss")


ClientLimits: type = make_dataclass(
    "ClientLimits",
    [
        (limit.name, Any, knob(None, limit.reader, limit.help, common=limit.common))
        for limit in knobs(Risk)
        if limit.name in LIMITS
    ],
    namespace={"__doc__": "Limits of each client; no limit by default."},
    frozen=True,
    kw_only=True,
)


KEY = "ALPHAVANTAGE_API_KEY"


_KEY_OPTION = click.Option(
    ["--api-key"], metavar="KEY", help=f"Key of Alpha Vantage; better set {KEY}: flags are in the shell's history."
)


_HOURS = 24.0


@command(TradingInterface, Results, ClientLimits, ScenarioParameters, arguments=[_KEY_OPTION])
def sim_api(
    console: Console, options: TradingInterface, results: Results, limits: Any, flags: Any, api_key: str | None
) -> None:
    """Serve one symbol for trading clients over HTTP and WebSocket, with OpenAPI at /docs; SIGTERM and Ctrl-C end it.

    Example: mm sim api --preset equity --max-position 500
    """
    from mm.api.client_log import ClientLog
    from mm.api.serve import listening, serve

    door = options.door(options.serve_host, parameter("serve_host"), console.log.warning)
    market = made_market(options, limits, flags, (api_key or os.environ.get(KEY, "")).strip())
    with listening(options.serve_host, options.api_port) as listener:
        host, port = listener.getsockname()[:2]
        name = f"{run_stamp(now_us())}_{port}.ndjson"
        log = market.log = ClientLog(results.out_root / "sim_api" / market.desk.grid.symbol / name, market.desk)
        scheme = "https" if door.context else "http"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

        def ready() -> None:
            symbol = market.desk.grid.symbol
            line = {"ready": True, "url": url, "ws_url": f"ws{url.removeprefix('http')}", "symbol": symbol}
            line["log"] = str(log.path)
            text = (
                json.dumps(line)
                if console.as_json
                else f"{symbol} ({market.source}) at {url}, OpenAPI at {url}/docs, log {log.path}"
            )
            write_line(sys.stdout, text)

        asyncio.run(serve(market, listener, door, ready))


def made_market(options: TradingInterface, limits: Any, flags: Any, key: str = "") -> "DeskMarket":
    """*key* is Alpha Vantage's."""
    from mm.api.desk import NO_LIMITS, Desk
    from mm.api.desk_market import DeskMarket
    from mm.sim.matching._core import Matching

    preset = PRESETS[options.preset] if options.preset else PLAIN
    bounds = limits_of(replace(NO_RISK, **{name: getattr(limits, name) for name in LIMITS})) or NO_LIMITS
    core = Matching()
    if options.data_source == REPLAY:
        flow, grid, begins_us = _replay(options, core)
        source = f"replay of {options.day}"
    else:
        known = {name: value for name, value in preset.market.items() if name in FIELDS[options.scenario]}
        flags = replace(flags, **{name: value for name, value in known.items() if getattr(flags, name) is None})
        scenario, symbol = chosen(options.scenario, flags), options.symbol.upper()
        grid, source = scenario.instrument(symbol), f"synthetic, {options.scenario}"
    if options.data_source in (YAHOO, ALPHAVANTAGE):
        flow, begins_us = _bars(options, grid, core, key)
        source = f"synthetic, along bars of {options.data_source}"
    if options.data_source == SYNTHETIC:
        begins_us = preset.hours.last_opening(now_us()) // STEP_US * STEP_US
        flow = scenario.flow(core, Session(symbol, day_of(begins_us, DAY_ZONE), _HOURS, options.seed, begins_us))
    else:
        preset = replace(preset, hours=ALWAYS)
    desk = Desk(core, flow, grid, preset, bounds)
    return DeskMarket(desk, begins_us, speed=options.speed, source=source, preset=options.preset)


def _replay(options: TradingInterface, core: "Matching") -> tuple[Flow, Instrument, int]:
    from mm.api.replay_flow import ReplayFlow
    from mm.backtest.engine.live_feed import feed_events
    from mm.tape.load import load_day

    if options.day is None:
        raise UsageError(Sentence("--data-source replay needs {day} YYYYMMDD, a day folder under {data_root}"))
    tape = load_day(options.data_root / options.symbol.upper() / options.day)
    return ReplayFlow(core, feed_events(tape)), tape.instrument, int(tape.event_us[0])


def _bars(options: TradingInterface, grid: Instrument, core: "Matching", key: str) -> tuple[Flow, int]:
    from mm.api.bars import MINUTES, bar_events, load_bars
    from mm.api.replay_flow import ReplayFlow

    interval = options.bar_interval
    bars = load_bars(options.data_source, options.symbol.upper(), interval, address=options.bars_url, key=key)
    events = bar_events(bars, MINUTES[interval] * 60 * US_PER_S, grid, options.seed)
    return ReplayFlow(core, events), bars[0].us
