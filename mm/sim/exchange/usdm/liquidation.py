"""Margin calls, liquidations, the insurance fund and auto-deleveraging (docs/specification/exchange.md)."""

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.instrument import E8
from mm.margin.liquidation import CALL_E8, ForcedOrder, clear, forced_order
from mm.margin.wallet import Contract, Wallet, half_even
from mm.sim.exchange.exchange import Walk
from mm.sim.exchange.orders import NewOrder, UserOrder
from mm.sim.exchange.usdm.conditional import ConditionalMarket, Conditionals
from mm.sim.exchange.usdm.events import MarginCall
from mm.sim.exchange.usdm.settlement import UsdmSettlement
from mm.sim.matching.order_log import ASIDE_ADL, ASIDE_FUND

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

AUTO_CLOSE, ADL_CLOSE, SETTLE_CLOSE = "autoclose-", "adl_autoclose", "settlement_autoclose-"


class Forced(NamedTuple):
    """One forced order: of a liquidation, or of an auto-deleveraging (*adl*)."""

    us: int
    account: int
    order: UserOrder
    adl: bool


class LiquidatingMarket(ConditionalMarket, Protocol):
    """What a liquidator needs of its exchange."""

    conditionals: Conditionals
    settlement: UsdmSettlement

    def wallet(self, number: int) -> Wallet: ...

    def place_forced(self, number: int, new: NewOrder) -> UserOrder: ...

    def end(self, order: UserOrder) -> None: ...

    def drain(self) -> None: ...

    def force(self, forced: Forced) -> None: ...


class Liquidator:
    def __init__(self, exchange: LiquidatingMarket, core: "Matching") -> None:
        self._exchange = exchange
        self._core = core

    def check(self, us: int) -> None:
        for number in list(self._exchange.accounts):
            wallet, called = self._exchange.wallet(number), list[Contract]()
            for contract in sorted(self._exchange.account(number).held, key=lambda one: one.unrealised_e8):
                if wallet.is_due(contract):
                    self._liquidate(us, number, contract)
                    continue
                is_close = bool(contract.lots)
                is_close &= wallet.needed_e8(contract) * E8 >= wallet.equity_e8(contract) * CALL_E8
                if is_close and not contract.called:
                    called.append(contract)
                contract.called = is_close
            self._call(us, number, called)

    def _call(self, us: int, number: int, called: list[Contract]) -> None:
        """Call for cross positions together, for isolated ones one by one."""
        wallet = self._exchange.wallet(number)
        for contract in called:
            if contract.isolated:
                self._exchange.publish(number, MarginCall(us, None, (contract.state(),)))
        if cross := tuple(contract.state() for contract in called if not contract.isolated):
            self._exchange.publish(number, MarginCall(us, wallet.cross_e8, cross))

    def _liquidate(self, us: int, number: int, contract: Contract) -> None:
        exchange, wallet = self._exchange, self._exchange.wallet(number)
        for resting in exchange.users.open(number):
            exchange.end(resting)
        exchange.conditionals.expire(number)
        rules, rate_e8 = exchange.rules, exchange.rules.liquidation_rate_e8
        for first in (True, False):
            order = forced_order(wallet, contract, rules.instrument.tick_e8, rules.most_ticks, rate_e8, first=first)
            traded = self._close(us, number, contract, order)
            self._clear(us, number, contract, order, traded)
            if not wallet.is_due(contract):
                return

    def _close(self, us: int, number: int, contract: Contract, order: ForcedOrder) -> int:
        """Return the lots that traded; what the book does not take of a whole position, the fund takes over."""
        exchange, whole = self._exchange, order.lots == abs(contract.lots)
        side = -1 if contract.lots > 0 else 1
        on_book = min(order.lots, Walk(self._core, side, number, "NONE").within(order.ticks))
        if on_book:
            name = f"{AUTO_CLOSE}{self._core.last_order_id + 1}"
            new = _closing(contract, order.ticks, on_book if whole else order.lots, name)
            exchange.force(Forced(us, number, exchange.place_forced(number, new), adl=False))
        if not whole:
            return on_book
        if rest := order.lots - on_book:
            self._take_over(us, number, contract, order.ticks, rest)
        return order.lots

    def _aside(self, us: int, number: int, contract: Contract, ticks: int, lots: int, name: str) -> UserOrder:
        order_id = self._core.order_aside()
        name = name or f"{AUTO_CLOSE}{order_id}"
        new = _closing(contract, ticks, lots, name)
        order = UserOrder(
            account=number,
            request=new,
            client_id=name,
            us=us,
            lots=lots,
            left_lots=lots,
            order_id=order_id,
        )
        self._exchange.users.add(order)
        self._exchange.settlement.report(us, order, "NEW")
        return order

    def _fill(self, us: int, lots: int, reason: int, *orders: UserOrder) -> None:
        side, ticks = orders[0].request.side, orders[0].request.ticks
        trade_id = self._core.trade_aside(us, side, ticks, lots, reason)
        for order in orders:
            self._exchange.settlement.trade_off_book(us, order, trade_id, ticks, lots)
        self._exchange.drain()

    def _take_over(self, us: int, number: int, contract: Contract, ticks: int, lots: int) -> None:
        exchange, fund, market = self._exchange, self._exchange.terms.fund, self._exchange.settlement.market
        grid, symbol = exchange.rules.instrument, exchange.rules.instrument.symbol
        order = self._aside(us, number, contract, ticks, lots, "")
        side = order.request.side
        worth_e8 = half_even(lots * grid.lot_e8 * exchange.mark.e8, E8)
        gain_e8 = -side * (worth_e8 - lots * ticks * exchange.rules.tl_e8)
        if fund.balance_e8 + gain_e8 >= 0:
            fund.book(us, symbol, gain_e8, "took over a position")
            market.base.free -= side * lots * grid.lot_e8
            market.quote.free += side * worth_e8
            self._fill(us, lots, ASIDE_FUND, order)
        else:
            for other, opposite in self._opposite(number, side):
                if order.left_lots:
                    self._deleverage(us, order, other, opposite)
            if left := order.left_lots:
                market.base.free -= side * left * grid.lot_e8
                market.quote.free += side * left * ticks * exchange.rules.tl_e8
                self._fill(us, left, ASIDE_FUND, order)
        exchange.force(Forced(us, number, order, adl=False))

    def _deleverage(self, us: int, order: UserOrder, number: int, contract: Contract) -> None:
        lots = min(abs(contract.lots), order.left_lots)
        other = self._aside(us, number, contract, order.request.ticks, lots, ADL_CLOSE)
        self._fill(us, lots, ASIDE_ADL, order, other)
        self._exchange.force(Forced(us, number, other, adl=True))

    def settle(self, us: int, number: int, ticks: int) -> None:
        exchange, market = self._exchange, self._exchange.settlement.market
        grid = exchange.rules.instrument
        for contract in exchange.account(number).held:
            if not (lots := abs(contract.lots)):
                continue
            name = f"{SETTLE_CLOSE}{self._core.last_order_id + 1}"
            order = self._aside(us, number, contract, ticks, lots, name)
            side = order.request.side
            market.base.free -= side * lots * grid.lot_e8
            market.quote.free += side * lots * ticks * exchange.rules.tl_e8
            self._fill(us, lots, ASIDE_FUND, order)

    def _opposite(self, number: int, side: int) -> list[tuple[int, Contract]]:
        """Return the positions of other users, the first to be deleveraged in front."""
        accounts = [account for account in self._exchange.accounts if account != number]
        held = [(account, contract) for account in accounts for contract in self._exchange.account(account).held]
        opposite = [(account, contract) for account, contract in held if contract.lots * side > 0]
        return sorted(opposite, key=lambda one: (-self.rank(*one), one[0]))

    def rank(self, number: int, contract: Contract) -> Fraction:
        wallet = self._exchange.wallet(number)
        if not contract.cost_e8:
            return Fraction(0)
        equity_e8 = max(1, wallet.equity_e8(contract))
        share, leverage = (
            Fraction(contract.unrealised_e8, abs(contract.cost_e8)),
            Fraction(max(1, abs(contract.worth_e8)), equity_e8),
        )
        return share * leverage if share > 0 else share / leverage

    def _clear(self, us: int, number: int, contract: Contract, order: ForcedOrder, traded: int) -> None:
        exchange, wallet, fund = self._exchange, self._exchange.wallet(number), self._exchange.terms.fund
        rate_e8 = exchange.rules.liquidation_rate_e8
        paid_e8 = clear(us, wallet, contract, order, traded, rate_e8=rate_e8, fund_e8=fund.balance_e8)
        fund.book(us, contract.symbol, paid_e8, "cleared a liquidation")
        if paid_e8:
            exchange.settlement.publish_change(us, number, "INSURANCE_CLEAR", -paid_e8, [contract])


def _closing(contract: Contract, ticks: int, lots: int, name: str) -> NewOrder:
    return NewOrder(
        side=-1 if contract.lots > 0 else 1,
        type="LIMIT",
        time_in_force="IOC",
        ticks=ticks,
        lots=lots,
        client_id=name,
        position_side=contract.position_side,
    )
