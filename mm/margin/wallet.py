"""Wallets and positions of contracts: entry, profit, margin, all in whole 1e-8 of the quote asset.

A position has its exact cost instead of a rounded entry price, so realised and open profit always add up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from mm.instrument import E8
from mm.margin.brackets import BRACKETS, Brackets, maintenance_e8

FIRST_LEVERAGE = 20
BOTH, LONG, SHORT = "BOTH", "LONG", "SHORT"
"""Sides of positions: the one of one-way mode, and the two of hedge mode."""
MARGIN_INSUFFICIENT, ABOVE_BRACKET = -2019, -2027
"""The exchange's codes for an order with too little margin, and for too large a position at its leverage."""
SLIP_E8 = E8 // 2_000
"""What a MARKET buy is assumed to pay above the best ask: 0.05 %."""


def half_even(amount: int, divisor: int) -> int:
    whole, rest = divmod(amount, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))


def funding_e8(amount_e8: int, mark_e8: int, rate_e8: int) -> int:
    """Quantity times mark price times rate, rounded half to even."""
    return half_even(amount_e8 * mark_e8 * rate_e8, E8 * E8)


def assumed_e8(side: int, price_e8: int, mark_e8: int, bid_e8: int, ask_e8: int) -> int:
    """The price at which the exchange assumes that an order trades, for its cost."""
    if side > 0:
        best_e8 = ask_e8 or mark_e8
        return price_e8 or best_e8 + best_e8 * SLIP_E8 // E8
    return max(price_e8 or mark_e8, bid_e8)


@dataclass(slots=True)
class Mark:
    e8: int
    fixed: bool = False


class OpenOrder(NamedTuple):
    """An open order of an account; *lots* are left."""

    side: int
    ticks: int
    lots: int
    reduce_only: bool = False


def no_orders() -> Sequence[OpenOrder]:
    return ()


class PositionState(NamedTuple):
    symbol: str
    position_side: str
    amount_e8: int
    entry_e8: int
    break_even_e8: int
    realised_e8: int
    unrealised_e8: int
    isolated: bool
    wallet_e8: int
    mark_e8: int
    maintenance_e8: int


@dataclass(slots=True, kw_only=True)
class Contract:
    """An account's position in one contract, in hedge mode that of one side, and its settings.

    Attributes:
        unit_e16: Worth of one lot at one tick, in 1e-16 of the quote asset.
        cost_e8: What the open lots were bought for, less what they were sold for.
        margin_moves: When its owner added margin, µs, and how much; negative if taken.
    """

    symbol: str
    lot_e8: int
    unit_e16: int
    mark: Mark
    most_at_e8: Callable[[int], int]
    orders: Callable[[], Sequence[OpenOrder]] = no_orders
    brackets: Brackets = BRACKETS
    position_side: str = BOTH
    lots: int = 0
    cost_e8: int = 0
    fees_e8: int = 0
    realised_e8: int = 0
    isolated: bool = False
    wallet_e8: int = 0
    leverage: int = FIRST_LEVERAGE
    called: bool = False
    updated_us: int = 0
    margin_moves: list[tuple[int, int]] = field(default_factory=list)

    @property
    def amount_e8(self) -> int:
        return self.lots * self.lot_e8

    @property
    def worth_e8(self) -> int:
        return half_even(self.amount_e8 * self.mark.e8, E8)

    @property
    def unrealised_e8(self) -> int:
        return self.worth_e8 - self.cost_e8

    @property
    def entry_e8(self) -> int:
        return self._price_e8(self.cost_e8)

    @property
    def break_even_e8(self) -> int:
        return self._price_e8(self.cost_e8 + self.fees_e8)

    def _price_e8(self, cost_e8: int) -> int:
        side = 1 if self.lots > 0 else -1
        return half_even(side * cost_e8 * E8, abs(self.amount_e8)) if self.lots else 0

    @property
    def maintenance_e8(self) -> int:
        return maintenance_e8(abs(self.worth_e8), self.brackets)

    @property
    def position_margin_e8(self) -> int:
        return abs(self.worth_e8) // self.leverage

    def notional_e8(self, ticks: int, lots: int) -> int:
        """Rounded only where a tick on a lot is no whole 1e-8."""
        return half_even(ticks * lots * self.unit_e16, E8)

    def open_e8(self) -> tuple[int, int]:
        open_tl = {+1: 0, -1: 0}
        for order in self.orders():
            if not order.reduce_only:
                open_tl[order.side] += order.ticks * order.lots
        return self.notional_e8(open_tl[+1], 1), self.notional_e8(open_tl[-1], 1)

    def exposure_e8(self, bids_e8: int, asks_e8: int) -> int:
        """The larger worth of the position if all orders of one side fill."""
        worth_e8 = self.worth_e8
        return max(abs(worth_e8 + bids_e8), abs(worth_e8 - asks_e8))

    @property
    def margin_e8(self) -> int:
        return self.exposure_e8(*self.open_e8()) // self.leverage

    @property
    def order_margin_e8(self) -> int:
        return self.margin_e8 - self.position_margin_e8

    @property
    def is_used(self) -> bool:
        return bool(self.lots or self.orders())

    def state(self) -> PositionState:
        return PositionState(
            self.symbol,
            self.position_side,
            self.amount_e8,
            self.entry_e8,
            self.break_even_e8,
            self.realised_e8,
            self.unrealised_e8,
            self.isolated,
            self.wallet_e8,
            self.mark.e8,
            self.maintenance_e8,
        )

    def trade(self, us: int, side: int, lots: int, notional_e8: tuple[int, int], fee_e8: int) -> int:
        """Return what a trade realises; changes an isolated position's margin."""
        closed_e8, opened_e8 = notional_e8
        closes, realised_e8 = self.closing(side, lots), 0
        self.updated_us = us
        if closes:
            held = abs(self.lots)
            cost_e8 = half_even(self.cost_e8 * closes, held)
            realised_e8 = -side * closed_e8 - cost_e8
            self.fees_e8 -= half_even(self.fees_e8 * closes, held)
            self.cost_e8 -= cost_e8
            self.wallet_e8 -= half_even(self.wallet_e8 * closes, held)
            self.realised_e8 += realised_e8
            self.lots += side * closes
        if opens := lots - closes:
            self.cost_e8 += side * opened_e8
            self.fees_e8 += half_even(fee_e8 * opens, lots)
            self.lots += side * opens
            if self.isolated:
                self.wallet_e8 += opened_e8 // self.leverage
        return realised_e8

    def closing(self, side: int, lots: int) -> int:
        return min(lots, abs(self.lots)) if side * self.lots < 0 else 0


class Income(NamedTuple):
    """A change of a wallet; *kind* is the exchange's name, *trade_id* 0 without a trade."""

    us: int
    kind: str
    symbol: str
    amount_e8: int
    number: int
    trade_id: int
    info: str


@dataclass(slots=True)
class Wallet:
    """An account's quote asset, for all contracts.

    Attributes:
        balance_e8: Includes the margins of isolated positions, but no unrealised profit.
    """

    balance_e8: int
    contracts: dict[str, Contract] = field(default_factory=dict)
    income: list[Income] = field(default_factory=list)
    hedged: bool = False
    multi_assets: bool = False
    keeps_income: bool = True

    def book(self, us: int, kind: str, symbol: str, amount_e8: int, *, trade_id: int = 0, info: str = "") -> None:
        if amount_e8:
            self.balance_e8 += amount_e8
            if self.keeps_income:
                self.income.append(Income(us, kind, symbol, amount_e8, len(self.income) + 1, trade_id, info))

    def trade(  # noqa: PLR0913 - a trade
        self, us: int, contract: Contract, side: int, ticks: int, lots: int, fee_e8: int, *, trade_id: int = 0
    ) -> int:
        closes = contract.closing(side, lots)
        notional_e8 = contract.notional_e8(ticks, closes), contract.notional_e8(ticks, lots - closes)
        realised_e8 = contract.trade(us, side, lots, notional_e8, fee_e8)
        self.book(us, "REALIZED_PNL", contract.symbol, realised_e8, trade_id=trade_id)
        self.book(us, "COMMISSION", contract.symbol, -fee_e8, trade_id=trade_id)
        return realised_e8

    def fund(self, us: int, contract: Contract, paid_e8: int) -> None:
        """Negative is received; an isolated position pays from its own margin."""
        self.book(us, "FUNDING_FEE", contract.symbol, -paid_e8)
        if contract.isolated:
            contract.wallet_e8 -= paid_e8

    @property
    def of_mode(self) -> list[Contract]:
        """The contracts whose side the position mode has."""
        return [contract for contract in self.contracts.values() if (contract.position_side != BOTH) is self.hedged]

    def _cross(self) -> list[Contract]:
        return [contract for contract in self.contracts.values() if not contract.isolated]

    @property
    def cross_e8(self) -> int:
        return self.balance_e8 - sum(contract.wallet_e8 for contract in self.contracts.values())

    @property
    def cross_unrealised_e8(self) -> int:
        return sum(contract.unrealised_e8 for contract in self._cross())

    @property
    def cross_maintenance_e8(self) -> int:
        return sum(contract.maintenance_e8 for contract in self._cross() if contract.lots)

    @property
    def available_e8(self) -> int:
        needed_e8 = sum(
            contract.order_margin_e8 if contract.isolated else contract.margin_e8 for contract in self.of_mode
        )
        return self.cross_e8 + self.cross_unrealised_e8 - needed_e8

    def equity_e8(self, contract: Contract) -> int:
        """Margin balance of an isolated position, or of all cross positions."""
        if contract.isolated:
            return contract.wallet_e8 + contract.unrealised_e8
        return self.cross_e8 + self.cross_unrealised_e8

    def needed_e8(self, contract: Contract) -> int:
        return contract.maintenance_e8 if contract.isolated else self.cross_maintenance_e8

    def is_due(self, contract: Contract) -> bool:
        return bool(contract.lots) and self.equity_e8(contract) <= self.needed_e8(contract)

    def refusal(self, contract: Contract, order: OpenOrder, price_e8: int, without_tl: int = 0) -> int:
        """The exchange's code; 0 for no refusal."""
        if order.reduce_only:
            return 0
        amount_e8 = order.lots * contract.lot_e8
        open_e8 = dict(zip((+1, -1), contract.open_e8(), strict=True))
        before_e8 = contract.exposure_e8(open_e8[+1], open_e8[-1])
        open_e8[order.side] += amount_e8 * price_e8 // E8 - contract.notional_e8(without_tl, 1)
        after_e8 = contract.exposure_e8(open_e8[+1], open_e8[-1])
        if after_e8 <= before_e8:
            return 0
        if after_e8 > contract.most_at_e8(contract.leverage):
            return ABOVE_BRACKET
        lost_e8 = max(0, order.side * (price_e8 - contract.mark.e8)) * amount_e8 // E8
        needed_e8 = after_e8 // contract.leverage - before_e8 // contract.leverage + lost_e8
        return MARGIN_INSUFFICIENT if needed_e8 > self.available_e8 else 0

    def liquidation_e8(self, contract: Contract) -> int:
        """Mark price that liquidates if everything else stays, rounded; 0 for none, the nearest of two.

        Cross positions of both sides of a contract move together.
        """
        if not contract.lots:
            return 0
        moving, equity_e8, others_e8 = [contract], contract.wallet_e8, 0
        if not contract.isolated:
            moving = [one for one in self._cross() if one.symbol == contract.symbol and one.lots]
            others_e8 = self.cross_maintenance_e8 - sum(one.maintenance_e8 for one in moving)
            equity_e8 = self.cross_e8 + self.cross_unrealised_e8 - sum(one.unrealised_e8 for one in moving)
        over_e8 = equity_e8 - others_e8 - sum(one.cost_e8 for one in moving)
        prices_e8 = list[int]()
        for brackets in product(*(one.brackets for one in moving)):
            # equity + sum(amount * price - cost) = others + sum(|amount| * price * rate - cum)
            both = list(zip(moving, brackets, strict=True))
            numerator = (over_e8 + sum(bracket.cum_e8 for bracket in brackets)) * E8 * E8
            divisor = sum(abs(one.amount_e8) * bracket.rate_e8 - one.amount_e8 * E8 for one, bracket in both)
            if not divisor:
                continue
            price_e8 = half_even(numerator, divisor) if divisor > 0 else half_even(-numerator, -divisor)
            notionals_e8 = [abs(one.amount_e8) * price_e8 // E8 for one in moving]
            within = zip(notionals_e8, brackets, strict=True)
            if price_e8 > 0 and all(bracket.floor_e8 <= worth_e8 <= bracket.cap_e8 for worth_e8, bracket in within):
                prices_e8.append(price_e8)
        return min(prices_e8, key=lambda price_e8: abs(price_e8 - contract.mark.e8), default=0)
