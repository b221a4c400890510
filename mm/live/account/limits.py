"""Limits over all symbols that one process trades, at whatever exchanges: notional, open orders, daily loss.

All symbols share one event loop, so an order's check and its sending are one step: no two symbols can both take the
last of a limit. Before each step a symbol's guard gets the account's bounds and what the others use of them.

A limit on money waits until every symbol has had a mid, because holdings without a price would count as lost, or as
nothing. Until then symbols with such a limit place nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm.backtest.account_limits import LOSS, NOTIONAL, ORDERS, AccountBounds, AccountLimits
from mm.backtest.risk import Risk
from mm.errors import SafetyError, Sentence, UsageError
from mm.instrument import short_text
from mm.market_data.metrics import FilledFamily, MetricFamily

if TYPE_CHECKING:
    from mm.live._live_engine import LiveEngine
    from mm.live.account.exchange_account import ExchangeAccount

ACCOUNT_NOTIONAL = MetricFamily("mm_account_notional", "gauge", "Notional of all symbols if all orders of a side fill.")
ACCOUNT_LOSS = MetricFamily("mm_account_daily_loss", "gauge", "Loss of all symbols since the day began; < 0: a profit.")
ACCOUNT_ORDERS = MetricFamily("mm_account_open_orders", "gauge", "Open orders of all symbols.")
ACCOUNT_USED = MetricFamily("mm_account_risk_used_ratio", "gauge", "Used share of an account's limit.", ("limit",))
ACCOUNT_UNJUDGED = MetricFamily(
    "mm_account_limits_unjudged", "gauge", "1 while a symbol had no mid, so that no limit on money of all is judged."
)
ACCOUNT_FAMILIES = (ACCOUNT_NOTIONAL, ACCOUNT_LOSS, ACCOUNT_ORDERS, ACCOUNT_USED, ACCOUNT_UNJUDGED)


class NothingQuotable(UsageError):
    """Nothing could be quoted under the exchange's present rules or price."""

    @property
    def knobs(self) -> tuple[str, ...]:
        return Sentence(*self.args).parameters


@dataclass(frozen=True)
class AccountSymbol:
    engine: "LiveEngine"

    @property
    def priced(self) -> bool:
        return self.engine.manager.guard.equities_e8() is not None

    def used(self) -> tuple[int, int]:
        return self.engine.manager.guard.used_of_account()

    def loss_e8(self) -> int:
        """Return the loss since the day began; negative for a profit, 0 if not `priced`."""
        return self.engine.manager.guard.lost_e8 or 0


class TradedAccount:
    def __init__(self, limits: AccountLimits, risk: Sequence[Risk], symbols: Sequence[str]) -> None:
        self._bounds = AccountBounds.of(limits, risk)
        self.symbols = tuple(symbols)
        self._joined: dict[str, AccountSymbol] = {}
        self._complete = asyncio.Event()
        self.left: dict[str, tuple[str, ...]] = {}
        self.exchanges: list[ExchangeAccount] = []

    async def close(self) -> None:
        for exchange in self.exchanges:
            await exchange.session.close()

    def check_assets(self, quote_assets: Sequence[str]) -> None:
        if len(set(quote_assets)) > 1:
            named = ", ".join(f"{symbol} in {asset}" for symbol, asset in zip(self.symbols, quote_assets, strict=True))
            raise SafetyError(f"limits of an account need one quote asset: {named}; trade each with its own command")

    def check_order(self, symbol: str, notional_e8: int) -> None:
        """Raise NothingQuotable if one order of this notional is above the account's limit."""
        bound_e8 = self._bounds.notional_e8
        if bound_e8 is not None and notional_e8 > bound_e8:
            raise NothingQuotable(
                "{account_max_notional} is {}, less than one order of {}, {}: nothing would be quoted; raise it, or "
                "lower {quote_qty}",
                short_text(bound_e8),
                symbol,
                short_text(notional_e8),
            )

    async def join(self, symbol: str, one: AccountSymbol) -> None:
        self._joined[symbol] = one
        if len(self._joined) == len(self.symbols):
            self._complete.set()
        await self._complete.wait()

    def unpriced(self) -> list[str]:
        return [name for name in self.symbols if name not in self._joined or not self._joined[name].priced]

    def allow(self, symbol: str) -> str:
        """Tell the guard what other symbols use, before each step of its engine; return why quotes must wait."""
        others = [one.used() for name, one in self._joined.items() if name != symbol]
        used = sum(notional for notional, _ in others), sum(orders for _, orders in others)
        self._joined[symbol].engine.manager.guard.allow((self._bounds.notional_e8, self._bounds.orders), used)
        if not self._bounds.judges_money:
            return ""
        unpriced = [name for name in self.unpriced() if name != symbol]
        return f"no mid of {', '.join(unpriced)} yet, which the limits of the account need" if unpriced else ""

    def broken_loss(self) -> tuple[int, int] | None:
        if self._bounds.loss_e8 is None or self.unpriced():
            return None
        lost_e8 = sum(one.loss_e8() for one in self._joined.values())
        return (lost_e8, self._bounds.loss_e8) if lost_e8 > self._bounds.loss_e8 else None

    def standing(self) -> dict[str, tuple[int | None, int | None]]:
        """Return the use of each limit (None: not known) and its bound (None: no limit); money in 1e-8 of the quote
        asset.
        """
        used, unpriced = [one.used() for one in self._joined.values()], self.unpriced()
        lost_e8 = sum(one.loss_e8() for one in self._joined.values())
        return {
            NOTIONAL: (None if unpriced else sum(notional for notional, _ in used), self._bounds.notional_e8),
            LOSS: (None if unpriced else lost_e8, self._bounds.loss_e8),
            ORDERS: (sum(orders for _, orders in used), self._bounds.orders),
        }

    def shown(self) -> dict[str, str | None]:
        return {
            name: f"{'not known' if used is None else _text(name, used)} of "
            f"{'no limit' if bound is None else _text(name, bound)}"
            for name, (used, bound) in self.standing().items()
        }

    def filled(self) -> list[FilledFamily]:
        found = self.standing()
        known = {name: used for name, (used, _) in found.items() if used is not None}
        bounds = {name: bound for name, (_, bound) in found.items() if bound}
        shares = [(name, max(0.0, used / bounds[name])) for name, used in known.items() if name in bounds]
        return [
            (ACCOUNT_NOTIONAL, [("", {}, short_text(known[NOTIONAL]))] if NOTIONAL in known else []),
            (ACCOUNT_LOSS, [("", {}, short_text(known[LOSS]))] if LOSS in known else []),
            (ACCOUNT_ORDERS, [("", {}, known[ORDERS])]),
            (ACCOUNT_USED, [("", {"limit": name}, share) for name, share in shares]),
            (ACCOUNT_UNJUDGED, [("", {}, int(len(known) < len(found)))]),
        ]


def _text(limit: str, value: int) -> str:
    return str(value) if limit == ORDERS else short_text(value)
