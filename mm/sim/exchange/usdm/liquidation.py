"""Margin calls, liquidations, the insurance fund and auto-deleveraging of a contract, as docs/exchange.md says."""

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.instrument import E8
from mm.margin.liquidation import CALL_E8, bankrupt_ticks, clearance_e8, left_e8
from mm.margin.wallet import Wallet, half_even
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
            contract, wallet = self._exchange.account(number).contract, self._exchange.wallet(number)
            if not contract.lots:
                contract.called = False
                continue
            equity_e8, needed_e8 = wallet.equity_e8(contract), wallet.needed_e8(contract)
            if equity_e8 <= needed_e8:
                self._liquidate(us, number)
                continue
            is_close = needed_e8 * E8 >= equity_e8 * CALL_E8
            if is_close and not contract.called:
                cross_e8 = None if contract.isolated else wallet.cross_e8
                self._exchange.publish(number, MarginCall(us, cross_e8, (contract.state(),)))
            contract.called = is_close

    def _liquidate(self, us: int, number: int) -> None:
        exchange, wallet = self._exchange, self._exchange.wallet(number)
        for order in exchange.users.open(number):
            exchange.end(order)
        exchange.conditionals.expire(number)
        contract = exchange.account(number).contract
        side = -1 if contract.lots > 0 else 1
        lots, rules = abs(contract.lots), exchange.rules
        ticks = bankrupt_ticks(contract, wallet.equity_e8(contract), rules.instrument.tick_e8, rules.most_ticks)
        own_e8, realised_e8 = contract.wallet_e8, contract.realised_e8
        on_book = min(lots, Walk(self._core, side, number, "NONE").within(ticks))
        if on_book:
            exchange.force(Forced(us, number, self._on_book(number, side, ticks, on_book), adl=False))
        if rest := lots - on_book:
            self._take_over(us, number, side, ticks, rest)
        self._clear(us, number, left_e8(wallet, contract, own_e8, realised_e8), contract.notional_e8(ticks, lots))

    def _on_book(self, number: int, side: int, ticks: int, lots: int) -> UserOrder:
        name = f"{AUTO_CLOSE}{self._core.last_order_id + 1}"
        new = NewOrder(side=side, type="LIMIT", time_in_force="IOC", ticks=ticks, lots=lots, client_id=name)
        return self._exchange.place_forced(number, new)

    def _aside(self, us: int, number: int, side: int, ticks: int, lots: int, name: str) -> UserOrder:
        order_id = self._core.order_aside()
        name = name or f"{AUTO_CLOSE}{order_id}"
        new = NewOrder(side=side, type="LIMIT", time_in_force="IOC", ticks=ticks, lots=lots, client_id=name)
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

    def _take_over(self, us: int, number: int, side: int, ticks: int, lots: int) -> None:
        exchange, fund, market = self._exchange, self._exchange.terms.fund, self._exchange.settlement.market
        grid, symbol = exchange.rules.instrument, exchange.rules.instrument.symbol
        order = self._aside(us, number, side, ticks, lots, "")
        worth_e8 = half_even(lots * grid.lot_e8 * exchange.mark.e8, E8)
        gain_e8 = -side * (worth_e8 - lots * ticks * exchange.rules.tl_e8)
        if fund.balance_e8 + gain_e8 >= 0:
            fund.book(us, symbol, gain_e8, "took over a position")
            market.base.free -= side * lots * grid.lot_e8
            market.quote.free += side * worth_e8
            self._fill(us, lots, ASIDE_FUND, order)
        else:
            for other in self._opposite(number, side):
                if order.left_lots:
                    self._deleverage(us, order, other)
            if left := order.left_lots:
                market.base.free -= side * left * grid.lot_e8
                market.quote.free += side * left * ticks * exchange.rules.tl_e8
                self._fill(us, left, ASIDE_FUND, order)
        exchange.force(Forced(us, number, order, adl=False))

    def _deleverage(self, us: int, order: UserOrder, number: int) -> None:
        held = abs(self._exchange.account(number).contract.lots)
        lots, side = min(held, order.left_lots), -order.request.side
        other = self._aside(us, number, side, order.request.ticks, lots, ADL_CLOSE)
        self._fill(us, lots, ASIDE_ADL, order, other)
        self._exchange.force(Forced(us, number, other, adl=True))

    def settle(self, us: int, number: int, ticks: int) -> None:
        exchange, market = self._exchange, self._exchange.settlement.market
        contract, grid = exchange.account(number).contract, exchange.rules.instrument
        if not contract.lots:
            return
        side, lots = (-1 if contract.lots > 0 else 1), abs(contract.lots)
        order = self._aside(us, number, side, ticks, lots, f"{SETTLE_CLOSE}{self._core.last_order_id + 1}")
        market.base.free -= side * lots * grid.lot_e8
        market.quote.free += side * lots * ticks * exchange.rules.tl_e8
        self._fill(us, lots, ASIDE_FUND, order)

    def _opposite(self, number: int, side: int) -> list[int]:
        accounts = [account for account in self._exchange.accounts if account != number]
        opposite = [account for account in accounts if self._exchange.account(account).contract.lots * side > 0]
        return sorted(opposite, key=lambda account: (-self.rank(account), account))

    def rank(self, number: int) -> Fraction:
        contract, wallet = self._exchange.account(number).contract, self._exchange.wallet(number)
        if not contract.cost_e8:
            return Fraction(0)
        equity_e8 = max(1, wallet.equity_e8(contract))
        share, leverage = (
            Fraction(contract.unrealised_e8, abs(contract.cost_e8)),
            Fraction(max(1, abs(contract.worth_e8)), equity_e8),
        )
        return share * leverage if share > 0 else share / leverage

    def _clear(self, us: int, number: int, rest_e8: int, notional_e8: int) -> None:
        exchange, fund = self._exchange, self._exchange.terms.fund
        symbol = exchange.rules.instrument.symbol
        amount_e8 = -clearance_e8(rest_e8, notional_e8, exchange.rules.liquidation_rate_e8, fund.balance_e8)
        exchange.wallet(number).book(us, "INSURANCE_CLEAR", symbol, amount_e8)
        fund.book(us, symbol, -amount_e8, "cleared a liquidation")
        if amount_e8:
            exchange.settlement.publish_change(us, number, "INSURANCE_CLEAR", amount_e8)
