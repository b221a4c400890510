"""Several markets on one clock and the balances of one account; docs/specification/engine.md, *One account*."""

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

from mm.backtest.account_limits import LOSS, AccountBounds
from mm.backtest.account_result import AccountResult
from mm.backtest.engine._engine import Together
from mm.backtest.engine.contract_margin import LIQUIDATED
from mm.backtest.fills.intensity import Intensity
from mm.backtest.margin import MarginAccount
from mm.backtest.market_again import MarketAgain
from mm.backtest.numeraire import Numeraire
from mm.backtest.paper_exchange import STRIDE_US, require_orders
from mm.backtest.replay import Replay
from mm.backtest.risk import RiskLimits
from mm.backtest.rules import Rules
from mm.backtest.trading_time import NEVER
from mm.base.user_code import named_hooks
from mm.errors import UsageError
from mm.instrument import Instrument
from mm.tape.tape import Tape

KILLS, LOSES, PRICES = 1, 2, 4  # why the markets stop together
UNPRICED = "account_unpriced"


@dataclass(frozen=True)
class AccountMarket:
    tapes: Sequence[Tape]
    quotes: object
    fills: object
    rules: Rules
    intensity: Intensity | None = None

    @property
    def instrument(self) -> Instrument:
        return self.tapes[0].instrument


def check_markets(tapes: Mapping[str, Tape], numeraire: str | None = None) -> Numeraire:
    """Return what converts their quote assets; UsageError if one account cannot trade these markets."""
    way = "leave --one-account (ONE_ACCOUNT) out, and each is played with balances of its own"
    contracts = [symbol for symbol, tape in tapes.items() if tape.meta.market.contract]
    if contracts and len(contracts) < len(tapes):
        spot = ", ".join(symbol for symbol in tapes if symbol not in contracts)
        raise UsageError(
            f"ONE_ACCOUNT: {', '.join(contracts)} of USD-M and {spot} of Spot have separate accounts; {way}"
        )
    assets = {symbol: tape.instrument.assets for symbol, tape in tapes.items()}
    if unknown := [symbol for symbol, (_, quote) in assets.items() if not quote]:
        raise UsageError(
            f"ONE_ACCOUNT: the assets of {', '.join(unknown)} are not known, so what it shares is not; {way}"
        )
    quotes = {symbol: quote for symbol, (_, quote) in assets.items()}
    if contracts and len(set(quotes.values())) > 1:
        named = ", ".join(f"{symbol} in {asset}" for symbol, asset in quotes.items())
        raise UsageError(f"ONE_ACCOUNT: contracts of one wallet need one quote asset, not {named}; {way}")
    return Numeraire.of(assets, numeraire)


def shared(
    markets: Mapping[str, AccountMarket], cash_e8: Mapping[str, int], bounds: AccountBounds
) -> dict[str, AccountMarket]:
    """Equal shares of the cash of each quote asset; its first market gets the remainder."""
    owned = {}
    for symbol, market in markets.items():
        quote = market.instrument.assets[1]
        alike = [name for name, other in markets.items() if other.instrument.assets[1] == quote]
        share, rest = divmod(cash_e8.get(quote, 0), len(alike))
        own_e8 = share + (rest if symbol == alike[0] else 0)
        risk = market.rules.risk or (RiskLimits() if bounds.limited else None)
        if risk is not None:
            risk = replace(risk, added_equity_e8=risk.added_equity_e8 + cash_e8.get(quote, 0) - own_e8)
        owned[symbol] = replace(market, rules=replace(market.rules, start_cash_e8=own_e8, risk=risk))
    return owned


def _cash_of(
    numeraire: Numeraire, markets: Mapping[str, AccountMarket], cash_e8: int, bounds: AccountBounds
) -> dict[str, int]:
    """The cash at the start by quote asset; UsageError for a balance that no symbol is quoted in."""
    balances = dict(bounds.balances_e8)
    quotes = {market.instrument.assets[1] for market in markets.values()}
    for asset in balances:
        if asset == numeraire.main:
            raise UsageError(f"INITIAL_BALANCES has {asset}, whose balance is INITIAL_CASH; give it there")
        if asset not in quotes:
            raise UsageError(
                f"INITIAL_BALANCES has {asset}, in which no symbol of the account is quoted "
                f"({', '.join(sorted(quotes))} are); the balance of a base asset is INITIAL_INVENTORY of its symbol "
                f"(PER_SYMBOL)"
            )
    return {**balances, numeraire.main: cash_e8}


def backtest_account(
    markets: Mapping[str, AccountMarket],
    cash_e8: int,
    bounds: AccountBounds,
    *,
    step: Callable[[int], None] | None = None,
    keeps_orders: bool = True,
) -> AccountResult:
    """Play several markets of one account, with its cash at the start in 1e-8 of the quote asset of most of them.

    Raises:
        Mismatch: If the days of a market do not follow each other on one grid.
        UsageError: If a market sends orders to others, or the markets have no account in common.
        ModelError: If a user's model raises, or returns an invalid value.
    """
    numeraire = check_markets({symbol: market.tapes[0] for symbol, market in markets.items()}, bounds.numeraire)
    for symbol, market in markets.items():
        if market.rules.legs:
            raise UsageError(
                f"ONE_ACCOUNT: OTHERS of {symbol} has orders in {', '.join(market.rules.legs)}, which have balances of "
                f"their own; leave orders out, and add the symbol to --symbol (SYMBOL)"
            )
        for tape in market.tapes:
            require_orders(market.fills, tape)
    wallet = None
    if any(market.rules.margin is not None for market in markets.values()):
        wallet = MarginAccount.of(cash_e8)
    if not as_reported(markets):  # a trade's symbols have the account's cash each
        markets = shared(markets, _cash_of(numeraire, markets, cash_e8, bounds), bounds)
    return _Account(markets, bounds, step, wallet, numeraire, keeps_orders=keeps_orders).play()


def as_reported(markets: Mapping[str, AccountMarket]) -> bool:
    """Whether the account's trade is replayed with its own fills."""
    again = [market.rules.as_traded for market in markets.values()]
    return all(one is not None and one.reported for one in again)


class _Account:
    def __init__(
        self,
        markets: Mapping[str, AccountMarket],
        bounds: AccountBounds,
        step: Callable[[int], None] | None,
        wallet: MarginAccount | None,
        numeraire: Numeraire,
        *,
        keeps_orders: bool,
    ) -> None:
        self.markets, self.bounds, self.step, self.wallet = markets, bounds, step, wallet
        self.replays = {
            symbol: Replay(
                market.quotes,
                market.fills,
                market.rules,
                intensity=market.intensity,
                keeps_orders=keeps_orders,
                account=wallet,
                symbol=symbol,
            )
            for symbol, market in markets.items()
        }
        self.exchanges = {symbol: replay.exchange for symbol, replay in self.replays.items()}
        assets = list(dict.fromkeys(asset for market in markets.values() for asset in market.instrument.assets))
        each = [market.instrument.assets for market in markets.values()]
        pairs = [(assets.index(base), assets.index(quote)) for base, quote in each]
        engines = [exchange.engine for exchange in self.exchanges.values()]
        each_bound = (bounds.loss_e8, bounds.notional_e8, bounds.orders)
        places = list(markets)
        converting = [
            (places.index(symbol), places.index(way.pair), markets[way.pair].instrument.tick_e8, way.inverse)
            for symbol, way in numeraire.by.items()
        ]
        self.together = Together(engines, pairs, each_bound, counted=not as_reported(markets), pairs=converting)
        self.coming = {symbol: deque(market.tapes) for symbol, market in markets.items()}
        self.playing = dict[str, Tape]()
        self.us = 0
        self.killed: tuple[int, str] | None = None

    def play(self) -> AccountResult:
        if all(market.rules.as_traded is not None for market in self.markets.values()):
            self._play_as_traded()
            return self._result()
        self._begin(min(tapes[0].start_us for tapes in self.coming.values()))
        if self.together.awaits_prices:
            for exchange in self.exchanges.values():
                exchange.hold(UNPRICED)
        while self.playing:
            self._play_to(self._next_us())
            if self.liquidated:  # what is still held counts as it is then
                for symbol in list(self.playing):
                    self._end(symbol)
                break
            for symbol in [symbol for symbol, tape in self.playing.items() if tape.end_us <= self.us]:
                self._end(symbol)
            starts = [
                tapes[0].start_us for symbol, tapes in self.coming.items() if tapes and symbol not in self.playing
            ]
            if starts:
                self._begin(min(starts) if not self.playing else self.us + 1)
        return self._result()

    def _play_as_traded(self) -> None:
        """Play the trade's steps in all markets, in the order in which its one process made them."""
        self.together.begin([NEVER] * len(self.markets), 0)
        parts = []
        for symbol, market in self.markets.items():
            (tape,) = market.tapes
            self.replays[symbol].begin(tape)
            exchange = self.exchanges[symbol]
            traded = market.rules.as_traded
            if traded is not None:
                parts.append(zip(repeat(exchange.engine), MarketAgain(exchange, traded, tape).actions(), strict=False))
        for engine, (_, steps, act) in heapq.merge(*parts, key=lambda part: part[1][0]):
            if steps:
                self.together.show_others(engine)
            act()
            self.together.stepped(engine)
        for symbol, market in self.markets.items():
            self.replays[symbol].ended(market.tapes[0])

    def _result(self) -> AccountResult:
        results = {
            symbol: replay.result(self.markets[symbol].tapes)
            for symbol, replay in self.replays.items()
            if replay.began or not self.liquidated
        }
        if self.wallet is not None and (end := self.wallet.ended):
            us = end.us
            results = {
                symbol: replace(result, terms=replace(result.terms, liquidated_us=us))
                for symbol, result in results.items()
            }
        return AccountResult(results, self.bounds, self.killed, wallet=self.wallet)

    @property
    def liquidated(self) -> bool:
        return self.wallet is not None and self.wallet.ended is not None

    def _next_us(self) -> int:
        ends = [tape.end_us for tape in self.playing.values()]
        starts = [
            tapes[0].start_us - 1 for symbol, tapes in self.coming.items() if tapes and symbol not in self.playing
        ]
        return max(min([*ends, *starts, self.us + STRIDE_US]), self.us)

    def _begin(self, us: int) -> None:
        for symbol, tapes in self.coming.items():
            if symbol not in self.playing and tapes and tapes[0].start_us <= us:
                tape = self.playing[symbol] = tapes.popleft()
                self.replays[symbol].begin(tape)
                exchange = self.exchanges[symbol]
                exchange.begin(tape, best=not exchange.needs_depth)
        self.us = us - 1
        self._tell_ends()

    def _end(self, symbol: str) -> None:
        tape = self.playing.pop(symbol)
        self.replays[symbol].ended(tape)
        if len(self.markets[symbol].tapes) > 1 and not tape.keep_mapped:
            tape.release_memory()
        self._tell_ends()

    def _tell_ends(self) -> None:
        ends_us = [self.playing[symbol].end_us if symbol in self.playing else -1 for symbol in self.markets]
        self.together.begin(ends_us, self.us)

    def _play_to(self, until_us: int) -> None:
        while True:
            due_us = min((self.exchanges[symbol].due_us for symbol in self.playing), default=NEVER)
            stop_us = min(until_us, max(due_us, self.us))
            with named_hooks:
                us, why = self.together.play(stop_us)
            if why:
                self._act(us, why)
                if self.liquidated:
                    until_us = us
                    break
                continue
            for symbol in self.playing:
                self.exchanges[symbol].play_to(stop_us)
            self.together.again()
            if self.liquidated:  # by funding
                self.killed = self.killed or (stop_us, LIQUIDATED)
                until_us = stop_us
                break
            if due_us > until_us:
                break
        for symbol, tape in self.playing.items():
            if self.exchanges[symbol].needs_depth:
                tape.release(max(self.us, tape.start_us), min(until_us, tape.end_us))
        if self.step:
            played = (min(until_us, tape.end_us) - max(self.us, tape.start_us) for tape in self.playing.values())
            self.step(sum(max(us, 0) for us in played))
        self.us = until_us

    def _act(self, us: int, why: int) -> None:
        for symbol in self.playing:  # those after the market that asks have played less
            self.exchanges[symbol].advance(us)
        if why & (KILLS | LOSES):
            reasons = [exchange.killed[1] for exchange in self.exchanges.values() if exchange.killed]
            self.killed = self.killed or (us, reasons[0] if why & KILLS and reasons else LOSS)
            self.together.kill(self.killed[1])
        if why & PRICES:
            for exchange in self.exchanges.values():
                exchange.release()
        self.together.again()
