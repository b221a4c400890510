"""Margin accounts: position and cash may be negative, and fees are in the quote asset."""

from dataclasses import dataclass

from mm.backtest.preset import Preset
from mm.instrument import E8
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.exchange import Exchange
from mm.sim.exchange.orders import NewOrder
from mm.sim.exchange.rules import Average, SymbolRules
from mm.sim.exchange.settlement import Settlement

_NO_LIMIT = 2**62


@dataclass(slots=True)
class MarginAccount(UserAccount):
    lots: int = 0
    cash_e16: int = 0
    fees_e8: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginRules(SymbolRules):
    """Rules without filters: an order only has to be on the grid."""

    preset: Preset
    most_orders: int = _NO_LIMIT

    def __post_init__(self) -> None:
        object.__setattr__(self, "tl_e8", 0)  # cash is in 1e-16, of which every price and quantity is a multiple

    @property
    def unit_e16(self) -> int:
        return self.instrument.tick_e8 * self.instrument.lot_e8 * self.preset.multiplier

    def check(self, new: NewOrder, average: Average) -> None: ...


class MarginSettlement(Settlement):
    _rules: MarginRules

    def _worth(self, side: int, ticks: int, lots: int) -> int:  # noqa: ARG002 - an order needs no balance
        return 0

    def _pay(self, account: UserAccount, side: int, ticks: int, lots: int, *, is_maker: bool) -> int:
        assert isinstance(account, MarginAccount)
        rules, notional_e16 = self._rules, ticks * lots * self._rules.unit_e16
        fee_e8 = rules.preset.fees.fee(lots * rules.instrument.lot_e8, notional_e16, taker=not is_maker)
        account.lots += side * lots
        account.cash_e16 -= side * notional_e16 + fee_e8 * E8
        account.fees_e8 += fee_e8
        return fee_e8


class MarginExchange(Exchange):
    settles = MarginSettlement
    keep = 10_000

    def _funded(self, number: int, new: NewOrder) -> tuple[int, int, bool]:  # noqa: ARG002 - no order needs funds
        return new.lots, 0, False
