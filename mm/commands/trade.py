"""``mm trade``: trade symbols at a venue: a simulated exchange, Binance's testnet, or production."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account as PaperAccount
from mm.cli.frame import runner
from mm.cli.interrupts import TradeSignals
from mm.cli.symbol_runs import Knobs, LegSymbol, SymbolRun, in_each
from mm.cli.task_knobs import BinanceMarket, PerSymbol, Recorder, Sources
from mm.clock import SteadyClock
from mm.commands.shadow import STRATEGY, day_parts, day_recorded, page_door, parts_beside, strategy_of
from mm.errors import Incomplete, UsageError
from mm.instrument import e8
from mm.live.knobs import (
    API,
    SPOT,
    AccountLimits,
    CallLimit,
    Contracts,
    FlattenKnobs,
    OrderAccess,
    Trading,
)
from mm.live.state.stores import StateStores
from mm.live.venues.addresses import addresses, check_switches
from mm.live.venues.keys import blank_process_list, read_credentials
from mm.play.knobs import Market, Models, OtherMarkets, Results
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.live.account.limits import Account
    from mm.live.run.guard import GuardianProcess
    from mm.live.run.quote import Quote
    from mm.live.run.trade_run import Job, TradeRun
    from mm.play.setup import PlayKnobs


_DEFAULTS = {**LIVE_DEFAULTS, "ws_url": None, "rest_url": None, "start_jitter_s": 0.0}


KEYS = (
    click.Option(["--api-key"], metavar="TEXT", help="API key; preferably set BINANCE_API_KEY in the environment."),
    click.Option(
        ["--api-secret"], metavar="TEXT", help="HMAC secret; preferably set BINANCE_API_SECRET in the environment."
    ),
    click.Option(["--watch"], is_flag=True, help="Show the trade on the terminal while it runs."),
)


_ELSEWHERE = ("market", "ws_url", "rest_url", "data_root")  # of another market: what makes it one of another place


def legs_of(symbols: Mapping[str, Knobs]) -> dict[str, LegSymbol]:
    """Return the further symbols of the account in which strategies send orders.

    Raises:
        UsageError: If one is not a symbol of the same market at the same venue, or has a strategy already.
    """
    from mm.play.terms import leg_knobs

    legs: dict[str, LegSymbol] = {}
    for owner, knobs in symbols.items():
        for name, one in knobs[OtherMarkets].declared().items():
            if "orders" not in one:
                continue
            symbol, own_market = one["symbol"], knobs[BinanceMarket].market
            elsewhere = [key for key in _ELSEWHERE if one.get(key, own_market) != own_market]
            if elsewhere:
                raise UsageError(
                    f"OTHERS: {name} has orders and {elsewhere[0]}, but a trade sends orders to symbols of its own "
                    f"account only; leave {elsewhere[0]} out, or orders, or play it with mm shadow"
                )
            if symbol in symbols or symbol in legs:
                raise UsageError(
                    f"OTHERS: {owner} has orders in {symbol}, whose orders another strategy sends; the symbols of an "
                    f"account have one each: leave one of them out"
                )
            execution, account, models = leg_knobs(name, one["orders"] or {}, knobs[PaperAccount])
            models = replace(models, quote_model=knobs[Models].quote_model)
            own = (Market(), execution, account, models, OtherMarkets())
            legs[symbol] = LegSymbol(owner, name, {type(group): group for group in own})
    return legs


def legs_unlisted(symbols: Mapping[str, Knobs]) -> dict[str, LegSymbol]:
    """Return the same without symbols that are listed, each of which is closed in any case."""
    found = (legs_of({symbol: knobs}) for symbol, knobs in symbols.items())
    return {symbol: leg for legs in found for symbol, leg in legs.items() if symbol not in symbols}


@runner(
    *("trade", Trading, Sources, PerSymbol, BinanceMarket, Recorder, Results, OrderAccess, *STRATEGY, CallLimit),
    *(AccountLimits, Contracts, StateStores),
    defaults=_DEFAULTS,
    day_of=day_recorded,
    arguments=KEYS,
    brief=(Trading, Sources, Models, Risk),
    varied=STRATEGY,
    legs_of=legs_of,
)
def trade(works: Sequence[SymbolRun], **given: Any) -> None:
    """Trade symbols: send a model's quotes as real orders to a venue, with limits, an audit log and a kill switch.

    It records its day, ends at SIGTERM, Ctrl-C and the end of its window, and writes a run folder.
    Keys come from BINANCE_API_KEY with BINANCE_API_SECRET or BINANCE_PRIVATE_KEY_FILE.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm trade --venue testnet
    """
    from mm.live.run.leg import LiveLeg
    from mm.live.run.live_run import run_together
    from mm.live.run.quote import Quote, Strategy

    signals = TradeSignals()

    def play(runs: Sequence[Run]) -> list[tuple[Run, Callable[[], None]]]:
        strategies = [strategy_of(work, "a trade") for work in works]
        if works[0][Trading].venue == API:
            return _at_interface(runs, works, strategies, signals)
        door = page_door(runs[0], works[0][Recorder])
        quotes = [Quote(LiveLeg() if work.leg else Strategy()) for work in works]
        lives, account = _trades(runs, works, strategies, (given["api_key"], given["api_secret"]), quotes)
        _connect(works, lives, quotes)
        guard = _guard(runs[0], works[0], lives)
        together = run_together(lives, signals, account, guard=guard, door=door, watched=given["watch"])
        return [(one.run, one.finish) for one in together]

    with signals.caught():
        in_each(works, play)


@runner(
    "flatten",
    *(Trading, FlattenKnobs, Sources, PerSymbol, BinanceMarket, Recorder, Results, OrderAccess, *STRATEGY),
    *(AccountLimits, Contracts, StateStores),
    defaults=_DEFAULTS,
    day_of=day_recorded,
    arguments=KEYS[:2],
    brief=(Trading, FlattenKnobs, Sources),
    varied=STRATEGY,
    legs_of=legs_unlisted,
)
def trade_flatten(works: Sequence[SymbolRun], **given: Any) -> None:
    """Close the positions of our own fills: state the cost, and with --max-cost send the orders.

    They are immediate-or-cancel limit orders at the worst price of the stated cost, written to the audit log. It also
    works while the kill switch is triggered; a running trader of the symbol must end before.

    Example: mm trade flatten --venue box --symbol BTCUSDT,ETHUSDT --max-cost 1.5
    """
    from mm.live.run.flatten import Flatten, FlattenCost
    from mm.live.run.live_run import run_together

    signals = TradeSignals()

    def play(runs: Sequence[Run]) -> list[tuple[Run, Callable[[], None]]]:
        strategies = [replace(strategy_of(work, "flatten"), others=OtherMarkets()) for work in works]
        cost = FlattenCost(len(works), works[0][FlattenKnobs].max_cost)
        jobs = [Flatten(cost, place) for place in range(len(works))]
        lives, account = _trades(runs, works, strategies, (given["api_key"], given["api_secret"]), jobs)
        return [(one.run, one.finish) for one in run_together(lives, signals, account, watched=False)]

    with signals.caught():
        in_each(works, play)


def _check_market(market: str, works: Sequence[SymbolRun], strategies: "Sequence[PlayKnobs]") -> None:
    """Raise UsageError for what a market does not have."""
    if market == SPOT:
        asked = {"leverage": "LEVERAGE", "margin_type": "MARGIN_TYPE", "max_margin_ratio": "MAX_MARGIN_RATIO"}
        wanted = vars(works[0][Contracts])
        for name, variable in asked.items():
            if wanted[name] is not None:
                raise UsageError(f"{variable} is of contracts, but MARKET is spot; leave it out, or set MARKET to usdm")
        if wanted["kill_closes"]:
            raise UsageError("KILL_CLOSES is of contracts, but MARKET is spot; leave it out, or set MARKET to usdm")
        return
    for work, one in zip(works, strategies, strict=True):
        begin = one.account.initial_inventory
        if e8(begin):
            raise UsageError(
                f"--initial-inventory (INITIAL_INVENTORY) of {work.day.symbol} is {begin}, but a ledger of a contract "
                f"begins without a position; leave it out"
            )


def served_by(recorder: Recorder, market: str) -> Recorder:
    """Return the knobs of a recording with what a market serves."""
    from mm.market_data.binance_usdm import MARKETS

    return replace(recorder, snapshot_limit=MARKETS[market].levels(recorder.snapshot_limit))


def _trades(
    runs: Sequence[Run],
    works: Sequence[SymbolRun],
    strategies: "Sequence[PlayKnobs]",
    given: tuple[str | None, str | None],
    jobs: "Sequence[Job]",
) -> "tuple[list[TradeRun], Account]":
    """Return the trades of all symbols of an account, before their start, each with its job."""
    from mm.live.account.limits import Account
    from mm.live.account.session import AccountSession
    from mm.live.run.trade_run import TradeKnobs, TradeRun
    from mm.live.venues.accounts import account_of
    from mm.live.venues.rest_api import Surroundings

    first = works[0]
    trading, recorder, access = first[Trading], first[Recorder], first[OrderAccess]
    market = first[BinanceMarket].market
    _check_market(market, works, strategies)
    most = {run.symbol: one.risk.max_position or "0" for run, one in zip(runs, strategies, strict=True)}
    note = check_switches(trading.venue, most, os.environ)
    urls = addresses(
        *(trading.venue, recorder.ws_url, recorder.rest_url, access.ws_api_url),
        remote_box=trading.remote_box,
        market=market,
    )
    credentials = read_credentials(os.environ, api_key=given[0], api_secret=given[1])
    if any(given):
        runs[0].log.warning("key_on_command_line", note="set BINANCE_API_KEY and its secret in the environment instead")
    blank_process_list(given)
    if note:
        runs[0].log.warning("switch_not_used", note=note)
    clock = SteadyClock()
    account = Account(first[AccountLimits], [one.risk for one in strategies], list(most))
    around = Surroundings(clock=clock)
    account.session = AccountSession(account_of(market), urls, credentials, access, log=runs[0].log, around=around)
    lives = []
    for run, work, strategy, job in zip(runs, works, strategies, jobs, strict=True):
        knobs = TradeKnobs(
            urls=urls,
            credentials=credentials,
            trading=trading,
            access=access,
            stores=work[StateStores],
            strategy=strategy,
            market=market,
            contracts=None if market == SPOT else first[Contracts],
        )
        served = served_by(replace(recorder, ws_url=urls.streams, rest_url=urls.rest), market)
        parts = day_parts(run, work[Sources], served, work.day, clock, market)
        live = TradeRun(run, knobs, parts, work.day, account, job)
        legs = [one.leg.name for one in works if one.leg and one.leg.owner == run.symbol]
        if strategy.others.others:
            live.beside = parts_beside(run, work, served, clock, legs)
        lives.append(live)
    return lives, account


def _guard(run: Run, work: SymbolRun, lives: "Sequence[TradeRun]") -> "GuardianProcess":
    """Return the guard of the symbols of an account."""
    from mm.live.run.guard import GuardianProcess, guarded_exchange, guarded_runs
    from mm.live.run.guardian import Guarded

    first, out_root, symbols = lives[0], work.day.out_root, [one.symbol for one in lives]
    told = Guarded(
        runs=guarded_runs([one.run for one in lives], out_root),
        out_root=str(out_root.resolve()),
        limit_s=work[CallLimit].model_call_limit_s,
        exchange=guarded_exchange(
            first.urls.rest,
            first.credentials,
            work[OrderAccess].recv_window_ms,
            [path for name in symbols for path in first.locks.paths(name)],
            work[BinanceMarket].market,
        ),
    )
    return GuardianProcess(told, run.log)


def _connect(works: Sequence[SymbolRun], lives: "Sequence[TradeRun]", quotes: "Sequence[Quote]") -> None:
    """Give each strategy its legs."""
    from mm.live.run.leg import LiveLeg
    from mm.live.run.quote import LegTrade

    by_symbol = {live.symbol: quote for live, quote in zip(lives, quotes, strict=True)}
    for work, live, quote in zip(works, lives, quotes, strict=True):
        if work.leg and isinstance(quote.source, LiveLeg):
            owner = by_symbol[work.leg.owner].source
            owner.legs = {**owner.legs, work.leg.name: LegTrade(live, quote, quote.source)}


def _at_interface(
    runs: Sequence[Run], works: Sequence[SymbolRun], strategies: "Sequence[PlayKnobs]", signals: TradeSignals
) -> list[tuple[Run, Callable[[], None]]]:
    """Trade as a client of `mm sim api`."""
    from mm.live.run.interface import InterfaceAt, InterfaceTrade
    from mm.live.run.trade_end import KILLED, write_trade

    if works[0][BinanceMarket].market != SPOT:
        raise UsageError("MARKET is not possible with VENUE=api, whose server has one market of its own; leave it out")
    if strategies[0].others.others:
        raise UsageError("OTHERS is not possible with VENUE=api, whose server knows one market; leave it out")
    if len(runs) > 1:
        raise UsageError("--venue api trades one symbol, that of the interface; give one --symbol (SYMBOL)")
    run, day, trading = runs[0], works[0].day, works[0][Trading]
    at = InterfaceAt(url=trading.api_url, client_id=trading.client_id, token=trading.api_token())
    end, times = asyncio.run(InterfaceTrade(run, day, at, strategies[0], SteadyClock()).trade(signals))

    def finish() -> None:
        write_trade(run, end, {})
        run.print(times.line())
        if end.killed_for is not None:
            raise Incomplete(f"{run.symbol} was {end.why}; all orders are cancelled", KILLED)

    return [(run, finish)]
