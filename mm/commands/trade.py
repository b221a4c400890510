"""``mm trade``: trade a symbol at a venue: a simulated exchange, Binance's testnet, or production."""

import asyncio
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.summary_text import text_of
from mm.cli.config import Day, Market, Models, OtherMarkets, Results, Source
from mm.cli.frame import runner
from mm.cli.interrupts import TradeSignals
from mm.cli.task_knobs import Recorder
from mm.clock import SteadyClock
from mm.commands.shadow import day_parts, day_recorded, learn_other
from mm.errors import Incomplete, SafetyError, TryLater, UsageError
from mm.live.api_venue import InterfaceAt, InterfaceTrade
from mm.live.decisions import decisions_name, decisions_of, write_decisions
from mm.live.keys import blank_process_list, read_credentials
from mm.live.order_access import OrderAccess
from mm.live.other_markets import Beside, check_seen, places_of
from mm.live.state_stores import StateStores
from mm.live.terms import PaperKnobs, learn_terms
from mm.live.trade_files import write_fills, write_state
from mm.live.trade_run import TradeKnobs, TradeRun
from mm.live.trade_venue import API, Trading, addresses, check_switches
from mm.live.watch import serving
from mm.models.builder import check_names
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm.live.trade_run import TradeEnd
    from mm.market_data.recording import Parts

_DEFAULTS = {**LIVE_DEFAULTS, "ws_url": None, "rest_url": None, "start_jitter_s": 0.0}
_KEYS = (
    click.Option(["--api-key"], metavar="TEXT", help="API key; preferably set BINANCE_API_KEY in the environment."),
    click.Option(
        ["--api-secret"], metavar="TEXT", help="HMAC secret; preferably set BINANCE_API_SECRET in the environment."
    ),
    click.Option(["--watch"], is_flag=True, help="Show the trade on the terminal while it runs."),
)
KILLED = 5


@runner(
    "trade",
    Trading,
    Source,
    Recorder,
    Results,
    OrderAccess,
    Market,
    Execution,
    Account,
    Models,
    OtherMarkets,
    Risk,
    StateStores,
    defaults=_DEFAULTS,
    day_of=day_recorded,
    arguments=_KEYS,
    brief=(Trading, Source, Models, Risk),
)
def main(
    run: Run,
    trading: Trading,
    source: Source,
    recorder: Recorder,
    results: Results,
    access: OrderAccess,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    stores: StateStores,
    day: Day,
    **given: Any,
) -> None:
    """Trade a symbol: send a model's quotes as real orders to a venue, with limits, an audit log and a kill switch.

    It records its day, ends regularly at SIGTERM, Ctrl-C and the end of its window, and writes a run folder.
    Keys come from BINANCE_API_KEY with BINANCE_API_SECRET or BINANCE_PRIVATE_KEY_FILE.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm trade --venue testnet
    """
    signals = TradeSignals()
    with signals.caught():
        if os.environ.get("MARKET", "").lower() not in ("", "spot"):
            raise SafetyError(
                f"MARKET is {os.environ['MARKET']!r}, but orders go to Binance Spot only; unset MARKET, or record that "
                f"market with mm record"
            )
        check_names(models)
        check_seen(others, "a trade")
        strategy = PaperKnobs(market, execution, account, models, risk, others)
        if trading.venue == API:
            if others.others:
                raise UsageError("OTHERS is not possible with VENUE=api, whose server knows one market; leave it out")
            _at_interface(run, day, trading, strategy, signals)
            return
        note = check_switches(trading.venue, source.symbol, risk.max_position or "0", os.environ)
        urls = addresses(
            trading.venue, recorder.ws_url, recorder.rest_url, access.ws_api_url, remote_box=trading.remote_box
        )
        door = recorder.metrics_door(run.log.warning) if recorder.metrics_port else None
        credentials = read_credentials(os.environ, api_key=given["api_key"], api_secret=given["api_secret"])
        if given["api_key"] or given["api_secret"]:
            run.log.warning("key_on_command_line", note="set BINANCE_API_KEY and its secret in the environment instead")
        blank_process_list([given["api_key"], given["api_secret"]])
        if note:
            run.log.warning("switch_not_used", note=note)
        knobs = TradeKnobs(trading=trading, access=access, stores=stores, strategy=strategy, out_root=results.out_root)
        clock = SteadyClock()
        recorder = replace(recorder, ws_url=urls.streams, rest_url=urls.rest)
        parts = day_parts(run, source, recorder, day, clock)
        places = places_of(others, recorder, source.data_root)
        beside = {name: day_parts(run, *place, day, clock) for name, place in places.items()}
        trade = TradeRun(run, knobs, urls, credentials, parts, clock)
        trade.metrics.door = door
        trade.check()
        with trade.alone():
            end = asyncio.run(_live(trade, (parts, beside), day, run, signals, watched=given["watch"]))
        try:
            _write(run, end, source.symbol)
        except OSError as error:
            if end.refused is None:
                raise
            raise TryLater(f"{end.refused}; nor can the run folder be written ({error})") from error
        _raise(end, source.symbol)


def _at_interface(run: Run, day: Day, trading: Trading, strategy: "PaperKnobs", signals: TradeSignals) -> None:
    """Trade as a client of `mm sim api`."""

    at = InterfaceAt(url=trading.api_url, client_id=trading.client_id, token=trading.api_token())
    symbol = day.symbol
    end, times = asyncio.run(InterfaceTrade(run, day, at, strategy, SteadyClock()).trade(signals))
    _write(run, end, symbol)
    run.print(times.line())
    if end.killed_for is not None:
        raise Incomplete(f"{symbol} was {end.why}; all orders are cancelled", KILLED)


async def _live(
    trade: "TradeRun",
    recorded: "tuple[Parts, Mapping[str, Parts]]",
    day: Day,
    run: Run,
    signals: "TradeSignals",
    *,
    watched: bool,
) -> "TradeEnd":
    """Trade until the end; *recorded* are the parts of the own recording, and of those of other markets by name.

    Raises:
        TryLater: If a signal arrives before the exchange has responded.
    """

    parts, beside = recorded
    rest, symbol = parts.rest.rest, parts.days.symbol
    learning = asyncio.ensure_future(learn_terms(rest, symbol, day.day, run.log))
    signals.direct(lambda _: learning.cancel(), trade.kill)
    try:
        terms = trade.fitted(await learning, day)
        seen = {name: await learn_other(one, day, run) for name, one in beside.items()}
        trade.beside = Beside(beside, seen)
    except BaseException as error:
        for one in (parts, *beside.values()):
            await one.rest.rest.close()
        if not isinstance(error, asyncio.CancelledError):
            raise
        raise TryLater("stopped before the exchange responded: nothing was sent; start it again") from None
    signals.direct(trade.stop, trade.kill)
    host, port = (parts.days.knobs[name] for name in ("metrics_host", "metrics_port"))
    async with serving(trade.metrics, str(host), int(port), watched=watched):
        # Threads that write rows keep the interpreter for this long while the loop waits, s; the default is 5 ms.
        sys.setswitchinterval(0.0002)
        return await trade.trade(terms)


def _write(run: Run, end: "TradeEnd", symbol: str) -> None:
    """Write the results of the trade."""

    result = end.result()
    journal, grid, fills = result.journal, end.play.grid, end.account.fills
    run.write_result(result)
    run.output(f"fills_{symbol}.csv", write_fills(run.path(f"fills_{symbol}.csv"), fills, journal.mids, grid))
    state = write_state(run.path(f"state_{symbol}.csv"), journal.state, fills, end.account.start_e8, grid)
    run.output(f"state_{symbol}.csv", state)
    decisions, name = decisions_of(journal), decisions_name(symbol)
    rows = write_decisions(run.path(name), decisions, end.lags.of(decisions).tolist(), grid)
    run.output(name, rows, digest=False)
    run.print(text_of(result.summary))
    run.print(f"{len(fills)} fills; trading ended: {end.reason}")


def _raise(end: "TradeEnd", symbol: str) -> None:
    """Raise if the trade did not end regularly.

    Raises:
        Incomplete: If it was killed, or the disk refused a part of it; the run folder is whole.
    """
    if end.killed_for is not None:
        raise Incomplete(f"{symbol} was {end.why}; mm risk rearm --symbol {symbol} allows it to trade again", KILLED)
    if end.refused is not None:
        raise Incomplete(f"{symbol}: trading ended: {end.refused}", end.refused.exit_code)
