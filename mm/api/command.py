"""``mm sim api``: the trading interface on this machine."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from typing import Any

from mm.api.bars import MINUTES, bar_events, load_bars
from mm.api.desk import NO_LIMITS, Desk
from mm.api.market import DeskMarket
from mm.api.order_log import OrderLog
from mm.api.replay import ReplayFlow
from mm.api.serve import listening, serve
from mm.backtest.live_feed import feed_events
from mm.backtest.preset import ALWAYS, PLAIN, PRESETS
from mm.backtest.risk import NO_RISK, limits_of
from mm.catalog.simulation import ALPHAVANTAGE, KEY, LIMITS, REPLAY, SYNTHETIC, YAHOO, TradingInterface
from mm.cli.console import Console, write_line
from mm.clock import DAY_ZONE, US_PER_S, day_of, now_us, run_stamp
from mm.errors import UsageError
from mm.instrument import Instrument
from mm.play.knobs import Results
from mm.sim.flow.market import Flow
from mm.sim.flow.scenario import FIELDS, chosen
from mm.sim.flow.session import STEP_US, Session
from mm.sim.matching._core import Matching
from mm.tape.load import load_day

_HOURS = 24.0


def api(
    console: Console, options: TradingInterface, results: Results, limits: Any, flags: Any, api_key: str | None
) -> None:
    """Serve one symbol for trading clients over HTTP and WebSocket."""
    door = options.door(options.serve_host, "--host (SERVE_HOST)", console.log.warning)
    market = made_market(options, limits, flags, (api_key or os.environ.get(KEY, "")).strip())
    with listening(options.serve_host, options.api_port) as listener:
        host, port = listener.getsockname()[:2]
        name = f"{run_stamp(now_us())}_{port}.ndjson"
        log = OrderLog(results.out_root / "sim_api" / market.desk.grid.symbol / name, market)
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


def made_market(options: TradingInterface, limits: Any, flags: Any, key: str = "") -> DeskMarket:
    """Return the market of the given knobs; *key* is that of Alpha Vantage."""
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


def _replay(options: TradingInterface, core: Matching) -> tuple[Flow, Instrument, int]:
    """Return the flow of a recorded day, its grid in steps of the exchange, and its first instant."""
    if options.day is None:
        raise UsageError("--data-source replay needs --day YYYYMMDD (DAY), a day folder under --data-root (DATA_ROOT)")
    tape = load_day(options.data_root / options.symbol.upper() / options.day)
    return ReplayFlow(core, feed_events(tape)), tape.instrument, int(tape.event_us[0])


def _bars(options: TradingInterface, grid: Instrument, core: Matching, key: str) -> tuple[Flow, int]:
    """Return the flow that follows a service's bars, and its first instant."""
    interval = options.bar_interval
    bars = load_bars(options.data_source, options.symbol.upper(), interval, address=options.bars_url, key=key)
    events = bar_events(bars, MINUTES[interval] * 60 * US_PER_S, grid, options.seed)
    return ReplayFlow(core, events), bars[0].us
