"""One backtest of several symbols of one account, from the backtest of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from mm.backtest.account_limits import AccountBounds, AccountTerms
from mm.backtest.account_result import AccountResult
from mm.backtest.one_account import AccountMarket, backtest_account, check_markets
from mm.dayfolder.layout import days_of
from mm.errors import UsageError
from mm.instrument import e8
from mm.play.knobs import Day
from mm.play.play import Play, Step

if TYPE_CHECKING:
    from mm.play.setup import PlayKnobs


@dataclass(frozen=True)
class AccountPlay:
    plays: Mapping[str, Play]
    bounds: AccountBounds
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plays: Mapping[str, Play], limits: AccountTerms, absent: Mapping[str, Sequence[str]] | None = None
    ) -> Self:
        check_markets({symbol: play.tapes[0] for symbol, play in plays.items()}, limits.numeraire)
        for name in ("initial_cash", "order_limit_10s", "order_limit_day"):
            values = {str(_shared(play.knobs, name)) for play in plays.values()}
            if len(values) > 1:
                raise UsageError(f"{name} is {', '.join(sorted(values))}; one account has one for all symbols")
        return cls(plays, AccountBounds.of(limits, [play.knobs.risk for play in plays.values()]), absent or {})

    @property
    def events(self) -> int:
        return sum(tape.end_us - tape.start_us for play in self.plays.values() for tape in play.tapes)

    def run(self, step: Step | None = None, *, keeps_orders: bool = True) -> AccountResult:
        markets = {}
        for symbol, play in self.plays.items():
            _ = play.predictors  # predictors of another market are refused before anything plays
            markets[symbol] = AccountMarket(play.tapes, *play.new_models(), play.rules, play.intensity)
        cash_e8 = e8(next(iter(self.plays.values())).knobs.account.initial_cash)
        played = backtest_account(markets, cash_e8, self.bounds, step=step, keeps_orders=keeps_orders)
        described = {symbol: self.plays[symbol].described(result) for symbol, result in played.results.items()}
        return replace(played, results=described, absent=self.absent)


def _shared(knobs: "PlayKnobs", name: str) -> object:
    return getattr(knobs.account if hasattr(knobs.account, name) else knobs.execution, name)


def days_with_data(day: Day) -> tuple[Day, tuple[str, ...]]:
    known = set(days_of(day.data_root, day.symbol))
    there = [name for name in day.days() if name in known]
    absent = tuple(name for name in day.days() if name not in known)
    return (replace(day, day=",".join(there)) if there else day), absent if there else ()
