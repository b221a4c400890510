"""``mm trade``."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mm.backtest.account_limits import AccountLimits
from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account
from mm.cli.frame import runner
from mm.cli.symbol_runs import Knobs, LegSymbol, SymbolRun, in_each
from mm.cli.task_knobs import BinanceMarket, Recorder, Sources
from mm.clock import SteadyClock
from mm.commands.shadow import STRATEGY, day_parts, day_recorded, page_door, parts_beside, strategy_of
from mm.errors import DataError, Incomplete, Sentence, UsageError, parameter
from mm.instrument import e8
from mm.live.knobs import (
    API,
    CallLimit,
    Contracts,
    FlattenKnobs,
    OrderAccess,
    Trading,
    VenueUrls,
)
from mm.live.state.stores import StateStores
from mm.live.venues.addresses import addresses, check_switches, published
from mm.live.venues.keys import blank_process_list, credentials_beside, read_credentials
from mm.markets.registry import MARKETS
from mm.play.knobs import Market, Models, OtherMarkets, PerSymbol, Results
from mm.runs.in_progress import Run
from mm.terminal.interrupts import TradeSignals

if TYPE_CHECKING:
    from mm.live.account.exchange_account import ExchangeAccount
    from mm.live.account.limits import TradedAccount
    from mm.live.run.guard import GuardianProcess
    from mm.live.run.quote import Quote
    from mm.live.run.trade_run import TradeJob, TradeRun
    from mm.play.setup import PlayKnobs


_DEFAULTS = {**LIVE_DEFAULTS, "ws_url": None, "rest_url": None, "start_jitter_s": 0.0}


KEYS = (
    click.Option(["--api-key"], metavar="TEXT", help="API key; preferably set BINANCE_API_KEY in the environment."),
    click.Option(
        ["--api-secret"], metavar="TEXT", help="HMAC secret; preferably set BINANCE_API_SECRET in the environment."
    ),
    click.Option(["--watch"], is_flag=True, help="Show the trade on the terminal while it runs."),
)


_ELSEWHERE = ("ws_url", "rest_url", "ws_api_url", "data_root")  # of the account in another market


def legs_of(symbols: Mapping[str, Knobs]) -> dict[str, LegSymbol]:
    """Raise UsageError if a further symbol has a strategy, or another address for the same account."""
    legs: dict[str, LegSymbol] = {}
    for owner, knobs in symbols.items():
        for name, declared in knobs[OtherMarkets].declared().items():
            if "orders" not in declared:
                continue
            leg = _leg(owner, name, declared, knobs)
            if leg.key in symbols or leg.key in legs:
                raise UsageError(
                    f"OTHERS: {owner} has orders in {leg.key}, whose orders another strategy sends; the symbols of an "
                    f"account have one each: leave one of them out"
                )
            legs[leg.key] = leg
    return legs


def _leg(owner: str, name: str, declared: Mapping[str, Any], knobs: Knobs) -> LegSymbol:
    from mm.play.engine_rules import leg_knobs

    execution, account, models = leg_knobs(name, declared["orders"] or {}, knobs[Account])
    models = replace(models, quote_model=knobs[Models].quote_model)
    own: list[object] = [Market(), execution, account, models, OtherMarkets()]
    market = declared.get("market", knobs[BinanceMarket].market)
    if market == knobs[BinanceMarket].market:
        if elsewhere := [key for key in _ELSEWHERE if key in declared]:
            raise UsageError(
                f"OTHERS: {name} has orders and {elsewhere[0]}, but is a symbol of the same account; leave "
                f"{elsewhere[0]} out, or orders, or name another market"
            )
        return LegSymbol(owner, name, declared["symbol"], {type(group): group for group in own})
    source = knobs[Sources]
    root = Path(declared.get("data_root") or source.data_root)
    if root.resolve() == source.data_root.resolve():
        raise UsageError(
            "{others}: {} has orders in another market, whose days need a folder of their own; give data_root, "
            "another one than {data_root} {}",
            name,
            source.data_root,
        )
    recorder = replace(
        knobs[Recorder], ws_url=declared.get("ws_url"), rest_url=declared.get("rest_url"), metrics_port=0
    )
    access = replace(knobs[OrderAccess], ws_api_url=declared.get("ws_api_url"))
    own += [BinanceMarket(market=market), recorder, access, replace(source, data_root=root)]
    return LegSymbol(owner, name, declared["symbol"], {type(group): group for group in own}, market)


def legs_unlisted(symbols: Mapping[str, Knobs]) -> dict[str, LegSymbol]:
    """Leave out listed symbols, which are closed in any case."""
    legs_by_symbol = (legs_of({symbol: knobs}) for symbol, knobs in symbols.items())
    return {key: leg for legs in legs_by_symbol for key, leg in legs.items() if key not in symbols}


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
    from mm.live.run.live_run import run_together
    from mm.live.run.order_source import LiveLeg, OwnStrategy
    from mm.live.run.quote import Quote

    signals = TradeSignals()

    def play(runs: Sequence[Run]) -> list[tuple[Run, Callable[[], None]]]:
        strategies = [strategy_of(work, "a trade") for work in works]
        if works[0][Trading].venue == API:
            return _at_interface(runs, works, strategies, signals)
        door = page_door(runs[0], works[0][Recorder])
        quotes = [Quote(LiveLeg() if work.leg else OwnStrategy()) for work in works]
        lives, account = _trades(runs, works, strategies, (given["api_key"], given["api_secret"]), quotes)
        _connect(works, lives, quotes)
        guard = _guard(runs[0], works, lives)
        together = run_together(lives, signals, account, guard=guard, door=door, watched=given["watch"])
        return [(live.run, live.finish) for live in together]

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
        for work in works:
            if not work.leg:
                _check_logs(work)
        return [(live.run, live.finish) for live in run_together(lives, signals, account, watched=False)]

    with signals.caught():
        in_each(works, play)


def _check_logs(work: SymbolRun) -> None:
    """Raise DataError if the position of own fills is in the audit logs of another folder, or in none."""
    from mm.live.account.locks import KnownTraders

    known, symbol = KnownTraders.look(work.day.out_root), work.day.symbol
    if (meant := known.folder_for(symbol)) != known.given:
        raise DataError(
            f"{symbol}: {known.given} has no audit logs, so nothing of ours to close; its trader's are in {meant}: "
            f"give --out-root {meant}"
        )


def _check_markets(works: Sequence[SymbolRun], strategies: "Sequence[PlayKnobs]") -> None:
    if not any(MARKETS[work[BinanceMarket].market].contract for work in works):
        wanted = vars(works[0][Contracts])
        for name in (
            "leverage",
            "margin_type",
            "max_margin_ratio",
            "protective_stop",
            "kill_closes",
            "flatten_after_s",
        ):
            if wanted[name] not in (None, False):
                only = "{} is of contracts, but {market} is spot; leave it out, or set {market} to usdm"
                raise UsageError(only, parameter(name))
        return
    after_s, between_s = works[0][Contracts].flatten_after_s, works[0][OrderAccess].reconcile_interval_s
    if after_s is not None and after_s < 2 * between_s:
        raise UsageError(
            "{flatten_after_s} is {:g}, less than twice {reconcile_interval_s} of {:g}, so that no fault would close "
            "positions; raise the one, or lower the other",
            after_s,
            between_s,
        )
    stores, symbols = works[0][StateStores], [work.day.symbol for work in works]
    if (stores.ledger_url or stores.state_url) and len(set(symbols)) < len(symbols):
        twice = next(work.key for work in works if work.leg and work.leg.market and symbols.count(work.day.symbol) > 1)
        raise UsageError(
            f"LEDGER_URL and STATE_URL have one row a symbol, but {twice} has the symbol of another market; leave them "
            f"out: each market has a store of its own below OUT_ROOT"
        )
    for work, strategy in zip(works, strategies, strict=True):
        begin = strategy.account.initial_inventory
        if MARKETS[work[BinanceMarket].market].contract and e8(begin):
            raise UsageError(
                "{initial_inventory} of {} is {}, but a ledger of a contract begins without a position; leave it out",
                work.key,
                begin,
            )


def served_by(recorder: Recorder, market: str) -> Recorder:
    from mm.markets.feed import feed_of

    return replace(recorder, snapshot_limit=feed_of(MARKETS[market]).levels(recorder.snapshot_limit))


def _trades(
    runs: Sequence[Run],
    works: Sequence[SymbolRun],
    strategies: "Sequence[PlayKnobs]",
    given: tuple[str | None, str | None],
    jobs: "Sequence[TradeJob]",
) -> "tuple[list[TradeRun], TradedAccount]":
    from mm.live.account.limits import TradedAccount
    from mm.live.run.trade_run import TradeKnobs, TradeRun

    first = works[0]
    trading = first[Trading]
    _check_markets(works, strategies)
    most = {work.key: strategy.risk.max_position or "0" for work, strategy in zip(works, strategies, strict=True)}
    note = check_switches(trading.venue, most, os.environ)
    account = TradedAccount(first[AccountLimits], [strategy.risk for strategy in strategies], list(most))
    by_market = _exchanges(runs[0], works, given)
    account.exchanges = [*by_market.values()]
    if any(given):
        runs[0].log.warning("key_on_command_line", note="set BINANCE_API_KEY and its secret in the environment instead")
    blank_process_list(given)
    if note:
        runs[0].log.warning("switch_not_used", note=note)
    lives = []
    for run, work, strategy, job in zip(runs, works, strategies, jobs, strict=True):
        at = by_market[work[BinanceMarket].market]
        clock = at.session.around.clock
        knobs = TradeKnobs(
            key=work.key,
            at=at,
            trading=trading,
            access=work[OrderAccess],
            stores=work[StateStores],
            strategy=strategy,
            contracts=first[Contracts] if MARKETS[at.market].contract else None,
        )
        served = served_by(replace(work[Recorder], ws_url=at.urls.streams, rest_url=at.urls.rest), at.market)
        parts = day_parts(run, work[Sources], served, work.day, clock, at.market)
        live = TradeRun(run, knobs, parts, work.day, account, job)
        legs = [other.leg.name for other in works if other.leg and other.leg.owner == work.key]
        if strategy.others.others:
            live.beside, live.own_views = parts_beside(run, work, served, clock, published(trading.venue), legs)
        lives.append(live)
    return lives, account


def _exchanges(
    run: Run, works: Sequence[SymbolRun], given: tuple[str | None, str | None]
) -> "dict[str, ExchangeAccount]":
    from mm.live.account.account_check import SharedBalances
    from mm.live.account.exchange_account import ExchangeAccount
    from mm.live.account.session import AccountSession
    from mm.live.venues.accounts import account_of
    from mm.live.venues.rest_api import Surroundings

    exchanges: dict[str, ExchangeAccount] = {}
    places = _places(works)
    own, clock = read_credentials(os.environ, api_key=given[0], api_secret=given[1]), SteadyClock()
    for market, (urls, access) in places.items():
        credentials = credentials_beside(os.environ, market, own) if exchanges else own
        around = Surroundings(clock=clock)
        session = AccountSession(account_of(market), urls, credentials, access, log=run.log, around=around)
        symbols = [other.day.symbol for other in works if other[BinanceMarket].market == market]
        exchanges[market] = ExchangeAccount(market, urls, credentials, session, symbols, SharedBalances(symbols))
    return exchanges


def _places(works: Sequence[SymbolRun]) -> dict[str, tuple[VenueUrls, OrderAccess]]:
    places: dict[str, tuple[VenueUrls, OrderAccess]] = {}
    for work in works:
        market, trading, recorder, access = work[BinanceMarket].market, work[Trading], work[Recorder], work[OrderAccess]
        if market in places:
            _check_same_exchange(work, places[market][0])
            continue
        urls = addresses(
            *(trading.venue, recorder.ws_url, recorder.rest_url, access.ws_api_url),
            remote_box=trading.remote_box,
            market=market,
        )
        places[market] = urls, access
    return places


def _check_same_exchange(work: SymbolRun, known: VenueUrls) -> None:
    given = (work[Recorder].ws_url, known.streams), (work[Recorder].rest_url, known.rest)
    for url, before in (*given, (work[OrderAccess].ws_api_url, known.ws_api)):
        if url is not None and url != before:
            raise UsageError(
                f"OTHERS: {work.key} is at {url}, but another symbol of the market at {before}; there is one account "
                f"in a market: give the same addresses"
            )


def _guard(run: Run, works: Sequence[SymbolRun], lives: "Sequence[TradeRun]") -> "GuardianProcess":
    from mm.live.run.guard import GuardianProcess, guarded_closing, guarded_exchange, guarded_run
    from mm.live.run.guardian import Guarded

    work, exchanges = works[0], {id(live.at): live.at for live in lives}
    told = Guarded(
        runs=[guarded_run(live.run, live.key, live.day.out_root, live.at.market) for live in lives],
        limit_s=work[CallLimit].model_call_limit_s,
        exchanges=[
            guarded_exchange(
                *(at, work[OrderAccess].recv_window_ms),
                [path for live in lives if live.at is at for path in live.locks.paths(live.symbol)],
                [run for live in lives if live.at is at for run in live.runs_known()],
            )
            for at in exchanges.values()
        ],
        closings=[
            guarded_closing(live.run, index, live.at.market, live.ids.run, live.unreconciled.path, live.knobs.contracts)
            for index, live in enumerate(lives)
            if live.unreconciled and live.knobs.contracts
        ],
    )
    return GuardianProcess(told, run.log, lambda: [live.reconciled() for live in lives])


def _connect(works: Sequence[SymbolRun], lives: "Sequence[TradeRun]", quotes: "Sequence[Quote]") -> None:
    from mm.live.run.order_source import LegTrade, LiveLeg

    by_key = {live.key: quote for live, quote in zip(lives, quotes, strict=True)}
    for work, live, quote in zip(works, lives, quotes, strict=True):
        if work.leg and isinstance(quote.source, LiveLeg):
            owner = by_key[work.leg.owner]
            owner.source.legs = {**owner.source.legs, work.leg.name: LegTrade(live, quote, quote.source)}
            quote.source.waits = partial(_waits, work.leg.owner, owner)


def _waits(key: str, owner: "Quote") -> str:
    return f"{key}: {owner.lost}" if owner.lost else ""


def _at_interface(
    runs: Sequence[Run], works: Sequence[SymbolRun], strategies: "Sequence[PlayKnobs]", signals: TradeSignals
) -> list[tuple[Run, Callable[[], None]]]:
    from mm.live.run.interface import InterfaceAt, InterfaceTrade
    from mm.live.run.trade_end import KILLED, write_trade

    if MARKETS[works[0][BinanceMarket].market].contract:
        raise UsageError("MARKET is not possible with VENUE=api, whose server has one market of its own; leave it out")
    if strategies[0].others.others:
        raise UsageError("OTHERS is not possible with VENUE=api, whose server knows one market; leave it out")
    if len(runs) > 1:
        raise UsageError(Sentence("{venue} api trades one symbol, the interface's; give one {symbol}"))
    run, day, trading = runs[0], works[0].day, works[0][Trading]
    at = InterfaceAt(url=trading.api_url, client_id=trading.client_id, token=trading.api_token())
    end, times = asyncio.run(InterfaceTrade(run, day, at, strategies[0], SteadyClock()).trade(signals))

    def finish() -> None:
        write_trade(run, end, {})
        run.print(times.line())
        if end.killed_for is not None:
            raise Incomplete(f"{run.symbol} was {end.why}; all orders are cancelled", KILLED)

    return [(run, finish)]
