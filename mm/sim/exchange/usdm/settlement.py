"""Settles the core's log for contracts: positions, realised profits, fees, and the market's side."""

from collections.abc import Iterable
from typing import Any

from mm.margin.wallet import Contract
from mm.sim.exchange import orders
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.orders import Fill, UserOrder
from mm.sim.exchange.settlement import Settlement, fee_e8
from mm.sim.exchange.usdm.events import AccountChange
from mm.sim.exchange.usdm.wallet import FuturesAccount
from mm.sim.matching.order_log import ROW_NEW, Row

AMENDMENT, CALCULATED = "AMENDMENT", "CALCULATED"


class UsdmSettlement(Settlement):
    """Changes position and wallet of both sides of a trade. Orders lock no balance: they need margin instead.

    The simulated market has a position and cash: its ``base`` and ``quote``. *moving* is the order being amended,
    *reduced* the accounts whose position became smaller or turned since it was last read.
    """

    without_fee = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
    """Beginnings of the client ids of orders that pay no fee."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.moving: UserOrder | None = None
        self.reduced: set[int] = set()
        self._changed: dict[int, tuple[int, dict[str, Contract]]] = {}

    def account(self, number: int) -> FuturesAccount:
        account = self._accounts[number]
        assert isinstance(account, FuturesAccount)
        return account

    def report(self, us: int, order: UserOrder, kind: str, **more: Any) -> int:
        notional_e8 = self.account(order.account).contracts[order.request.position_side].open_e8()
        return super().report(us, order, kind, **more, notional_e8=notional_e8)

    def report_positions(self) -> None:
        self._touched.clear()
        changed, self._changed = self._changed, {}
        for number, (us, contracts) in changed.items():
            self.publish_change(us, number, "ORDER", 0, contracts.values())

    def publish_change(
        self, us: int, number: int, reason: str, change_e8: int = 0, contracts: Iterable[Contract] = ()
    ) -> None:
        account = self.account(number)
        account.updated(us)
        wallet, positions = account.wallet, tuple(contract.state() for contract in contracts)
        self._publish(number, AccountChange(us, reason, wallet.balance_e8, wallet.cross_e8, change_e8, positions))

    def trade_off_book(self, us: int, order: UserOrder, trade_id: int, ticks: int, lots: int) -> None:
        """The caller settles the other side."""
        fill = self._settle(order, (us, trade_id, ticks, lots), is_maker=False)
        order.left_lots -= lots
        order.filled_lots += lots
        order.spent_tl += ticks * lots
        order.status = orders.PARTIALLY_FILLED if order.left_lots else orders.FILLED
        order.fills.append(fill)
        self.report(us, order, CALCULATED, fill=fill)
        self.report_positions()

    def _apply_to(self, order: UserOrder, row: Row, request_id: str) -> None:
        if row[1] == ROW_NEW and order is self.moving:
            self.report(row[0], order, AMENDMENT)
        else:
            super()._apply_to(order, row, request_id)

    def _book(self, order: UserOrder, row: Row, *, is_maker: bool) -> Fill:
        us, _, _, _, _, _, ticks, lots, trade_id, _ = row
        return self._settle(order, (us, trade_id, ticks, lots), is_maker=is_maker)

    def _settle(self, order: UserOrder, trade: tuple[int, int, int, int], *, is_maker: bool) -> Fill:
        us, trade_id, ticks, lots = trade
        account, side = self.account(order.account), order.request.side
        contract, unit_e8 = account.contracts[order.request.position_side], ticks * self._rules.tl_e8
        fee = 0 if order.client_id.startswith(self.without_fee) else fee_e8(lots * unit_e8, self.rates_e8[not is_maker])
        closes = contract.closing(side, lots)
        realised_e8 = account.wallet.trade(us, contract, side, ticks, lots, fee, trade_id=trade_id)
        self.fees.quote.free += fee
        if closes:
            self.reduced.add(account.number)
        _, contracts = self._changed.get(account.number, (us, {}))
        self._changed[account.number] = us, contracts | {contract.position_side: contract}
        at = contract.position_side
        return Fill(trade_id, order.order_id, us, ticks, lots, side, is_maker, fee, realised_e8, at)

    def _worth(self, side: int, ticks: int, lots: int) -> int:  # noqa: ARG002 - an order locks nothing
        return 0

    def _move(self, account: UserAccount, side: int, ticks: int, lots: int) -> None:
        account.base.free += side * lots * self._rules.instrument.lot_e8
        account.quote.free -= side * ticks * lots * self._rules.tl_e8
