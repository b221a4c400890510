"""Settles the log of the matching core: applies every row to users' balances and orders.

The core has accounts without balances; a trade moves both assets between two accounts and charges the fees, exact to
1e-8.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mm.instrument import E8
from mm.sim.exchange import orders
from mm.sim.exchange.accounts import Balance, UserAccount
from mm.sim.exchange.orders import (
    AccountEvent,
    Amendment,
    BalanceUpdate,
    ExecutionReport,
    Fill,
    Position,
    PreventedMatch,
    UserOrder,
)
from mm.sim.exchange.rules import SymbolRules
from mm.sim.matching.order_log import REASON_STP, ROW_CANCEL, ROW_EXPIRE, ROW_NEW, ROW_REDUCE, ROW_TRADE, Row

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

Publish = Callable[[int, AccountEvent], None]
"""Function called with an account number and an event of that account."""


def fee_e8(amount_e8: int, rate_e8: int) -> int:
    fee, rest = divmod(amount_e8 * rate_e8, E8)
    return fee + (rest * 2 > E8 or (rest * 2 == E8 and fee % 2))


class Settlement:
    def __init__(
        self,
        rules: SymbolRules,
        core: "Matching",
        accounts: Mapping[int, UserAccount],
        orders: Mapping[int, UserOrder],
        publish: Publish,
    ) -> None:
        self.market = UserAccount(0, "market")
        self.fees = UserAccount(0, "fees")
        self._rules, self.rates_e8 = rules, (rules.maker_rate_e8, rules.taker_rate_e8)
        self._core = core
        self._accounts = accounts
        self._orders = orders
        self._publish = publish
        self._taker: UserOrder | None = None
        self._execution_id = 0
        self._match_id = -1
        self._touched: dict[int, int] = {}

    def apply(self, rows: Iterable[Row], request_id: str = "") -> None:
        for row in rows:
            _, kind, order_id, *_ = row
            if kind == ROW_TRADE:
                if order_id:  # one aside is settled by its caller
                    self._trade(row)
                continue
            order = self._orders.get(order_id)
            if kind == ROW_NEW:
                self.report_positions()
                self._taker = order
            if order:
                self._apply_to(order, row, request_id)
        taker = self._taker
        if taker and taker.is_short and taker.is_open:
            self._finish(taker.us, taker, orders.EXPIRED)
        self.report_positions()

    def _apply_to(self, order: UserOrder, row: Row, request_id: str) -> None:
        us, kind, _, reason, _, _, _, lots, _, _ = row
        if kind == ROW_NEW:
            self.report(us, order, orders.NEW)
        elif kind == ROW_CANCEL:
            if request_id:
                self._finish(us, order, orders.CANCELED, client_id=request_id, old_client_id=order.client_id)
            else:
                self._finish(us, order, orders.EXPIRED)
        elif kind == ROW_REDUCE and request_id:
            self._amend(us, order, lots, request_id)
        elif kind == ROW_REDUCE:
            self._prevent(us, order, order.left_lots - lots)
        elif kind == ROW_EXPIRE and reason != REASON_STP:
            self._finish(us, order, orders.EXPIRED)
        elif kind == ROW_EXPIRE and order is not self._taker:
            self._prevent(us, order, order.left_lots)
        elif kind == ROW_EXPIRE and order.left_lots:
            # The taker expired at a resting order of its own account, which is still first at the best opposite price.
            maker_id, _, ticks, _ = self._core.orders(-order.request.side, 1)[0]
            self._note_match(us, order, maker_id, ticks, (order.left_lots, 0))

    def reserve(self, order: UserOrder, amount_e8: int) -> None:
        order.reserved_e8 = amount_e8
        self._pays(order).lock(amount_e8)

    def report(self, us: int, order: UserOrder, kind: str, **more: Any) -> int:
        self._execution_id += 1
        order.updated_us = us
        self._touched[order.account] = us
        detail = {"client_id": order.client_id} | more
        execution = ExecutionReport(execution_id=self._execution_id, kind=kind, us=us, order=order.snapshot(), **detail)
        self._publish(order.account, execution)
        return self._execution_id

    def transfer(self, us: int, number: int, asset: str, amount_e8: int) -> None:
        account = self._accounts[number]
        held = account.base if asset == self._rules.instrument.base_asset else account.quote
        held.free += amount_e8
        self._touched[number] = us
        self._publish(number, BalanceUpdate(us, asset, amount_e8))
        self.report_positions()

    def report_positions(self) -> None:
        for number, us in self._touched.items():
            account = self._accounts[number]
            account.updated(us)
            base, quote = account.base, account.quote
            self._publish(number, Position(us, (base.free, base.locked), (quote.free, quote.locked)))
        self._touched.clear()

    def _pays(self, order: UserOrder) -> Balance:
        return self._accounts[order.account].pays_with(order.request.side)

    def _release(self, order: UserOrder, amount_e8: int) -> None:
        order.reserved_e8 -= amount_e8
        self._pays(order).lock(-amount_e8)

    def _worth(self, side: int, ticks: int, lots: int) -> int:
        return ticks * lots * self._rules.tl_e8 if side > 0 else lots * self._rules.instrument.lot_e8

    def _finish(self, us: int, order: UserOrder, status: str, **more: Any) -> None:
        order.left_lots, order.status = 0, status
        self._release(order, order.reserved_e8)
        self.report(us, order, status, **more)

    def _trade(self, row: Row) -> None:
        _, _, taker_id, maker_id, _, taker_side, ticks, lots, _, _ = row
        for order_id, side in ((taker_id, taker_side), (maker_id, -taker_side)):
            order = self._orders.get(order_id)
            if order:
                self._fill(order, row)
            else:
                self._move(self.market, side, ticks, lots)

    def _fill(self, order: UserOrder, row: Row) -> None:
        us, _, _, maker_id, _, _, ticks, lots, _, _ = row
        side, account = order.request.side, self._accounts[order.account]
        is_maker = order.core_id == maker_id
        if not order.filled_lots:
            account.count.filled(us, is_maker)
        self._release(order, self._worth(side, order.request.ticks or ticks, lots))
        fill = self._book(order, row, is_maker=is_maker)
        order.left_lots -= lots
        order.filled_lots += lots
        order.spent_tl += ticks * lots
        order.status = orders.PARTIALLY_FILLED if order.left_lots or order.is_short else orders.FILLED
        if order.status == orders.FILLED:
            self._release(order, order.reserved_e8)
        order.fills.append(fill)
        self.report(us, order, orders.TRADE, fill=fill)

    def _book(self, order: UserOrder, row: Row, *, is_maker: bool) -> Fill:
        us, _, _, _, _, _, ticks, lots, trade_id, _ = row
        side = order.request.side
        fee = self._pay(self._accounts[order.account], side, ticks, lots, is_maker=is_maker)
        return Fill(trade_id, order.order_id, us, ticks, lots, side, is_maker, fee)

    def _move(self, account: UserAccount, side: int, ticks: int, lots: int) -> None:
        account.pays_with(side).free -= self._worth(side, ticks, lots)
        account.receives(side).free += self._worth(-side, ticks, lots)

    def _pay(self, account: UserAccount, side: int, ticks: int, lots: int, *, is_maker: bool) -> int:
        self._move(account, side, ticks, lots)
        fee = fee_e8(self._worth(-side, ticks, lots), self.rates_e8[not is_maker])
        account.receives(side).free -= fee
        self.fees.receives(side).free += fee
        return fee

    def _amend(self, us: int, order: UserOrder, left_lots: int, new_client_id: str) -> None:
        old_client_id, old_lots = order.client_id, order.lots
        cut = order.left_lots - left_lots
        order.left_lots, order.lots, order.client_id = left_lots, old_lots - cut, new_client_id
        self._release(order, self._worth(order.request.side, order.request.ticks, cut))
        execution_id = self.report(us, order, orders.REPLACED, old_client_id=old_client_id)
        order.amendments.append(Amendment(execution_id, us, old_client_id, new_client_id, old_lots, order.lots))

    def _prevent(self, us: int, maker: UserOrder, lost: int) -> None:
        taker = self._taker
        assert taker, maker
        taker_lost = {"DECREMENT": lost, "EXPIRE_BOTH": taker.left_lots}.get(taker.request.stp, 0)
        self._note_match(us, taker, maker.core_id, maker.request.ticks, (taker_lost, lost))

    def _note_match(self, us: int, taker: UserOrder, maker_id: int, ticks: int, lost: tuple[int, int]) -> None:
        self._match_id += 1
        maker = self._orders[maker_id]
        match = PreventedMatch(self._match_id, us, taker.order_id, maker.order_id, ticks, taker.request.stp, *lost)
        for order, lots in ((maker, lost[1]), (taker, lost[0])):
            order.prevented.append(match)
            if not lots:
                continue
            order.left_lots -= lots
            order.prevented_lots += lots
            if not order.left_lots:
                order.status = orders.EXPIRED_IN_MATCH
                self._release(order, order.reserved_e8)
            elif order.request.ticks:
                self._release(order, self._worth(order.request.side, order.request.ticks, lots))
            self.report(us, order, orders.TRADE_PREVENTION, prevented=match, prevented_lots=lots)
