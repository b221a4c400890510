"""A contract for tests: an empty book around 100, two or more users with 10⁶ each, and a manual clock."""

from typing import Any

from exchange_rig import ALICE, BOB, INSTRUMENT, START_US
from mm.instrument import E8, e8
from mm.margin.wallet import Contract, Wallet
from mm.sim.exchange.orders import CancelRequest, ExecutionReport, NewOrder, UserOrder
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.events import AccountChange, ConfigChange, MarginCall
from mm.sim.exchange.usdm.exchange import Modification, UsdmExchange
from mm.sim.exchange.usdm.terms import Fund, UsdmTerms
from mm.sim.exchange.usdm.wallet import futures_users
from mm.sim.flow.order_flow import NoFlow
from mm.sim.matching._core import Matching

CAROL = 3
FUNDS_E8 = 10**6 * E8
SECOND_US = 1_000_000
Event = ExecutionReport | AccountChange | ConfigChange | MarginCall


class Pit:
    """One contract; prices in ticks of 0.01, quantities in lots of 0.001, so one lot at one tick is 0.00001."""

    def __init__(self, *names: str, fund_e8: int = FUNDS_E8, limits: bool = False, **terms: Any) -> None:
        self.core = Matching()
        self.fund = Fund(fund_e8)
        users = futures_users(names or ("alice", "bob"), FUNDS_E8)
        self.rules = ContractRules(instrument=INSTRUMENT, reference_ticks=10_000)
        self.exchange = UsdmExchange(
            self.rules, self.core, NoFlow(), users, START_US, limits=limits, terms=UsdmTerms(fund=self.fund, **terms)
        )
        self.us = START_US
        self.events: dict[int, list[Event]] = {user.number: [] for user in users}
        for number, events in self.events.items():
            self.exchange.watch(number, events.append)  # type: ignore[arg-type]
        self._begins_e8 = self.money_e8()

    def limit(self, who: int, side: int, ticks: int, lots: int, **more: Any) -> UserOrder:
        """Send a LIMIT order."""
        new = NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots, **({"stp": "EXPIRE_MAKER"} | more))
        return self.exchange.place(self.us, who, new)

    def market(self, who: int, side: int, lots: int, **more: Any) -> UserOrder:
        """Send a MARKET order."""
        new = NewOrder(side=side, type="MARKET", lots=lots, **({"stp": "EXPIRE_MAKER"} | more))
        return self.exchange.place(self.us, who, new)

    def modify(self, who: int, order: UserOrder, ticks: int, lots: int) -> UserOrder:
        """Give an order another price and quantity."""
        request = CancelRequest(order_id=order.order_id)
        return self.exchange.modify(self.us, who, request, Modification(order.request.side, ticks, lots))

    def trade(self, buyer: int, seller: int, ticks: int, lots: int) -> None:
        """Let two users trade; the seller takes."""
        self.limit(buyer, 1, ticks, lots)
        self.limit(seller, -1, ticks, lots, time_in_force="IOC")

    def market_order(self, side: int, ticks: int, lots: int) -> None:
        """Let the simulated market have an order rest."""
        self.core.submit(self.us, 1_000, side, ticks, lots)
        self.exchange.drain()

    def pass_s(self, seconds: float) -> None:
        """Let the time pass."""
        self.us += round(seconds * SECOND_US)
        self.exchange.advance(self.us)

    def mark(self, price: int | str, seconds: float = 1) -> None:
        """Fix the mark price, in the quote asset, and let it be told."""
        self.exchange.set_mark(e8(str(price)))
        self.pass_s(seconds)

    def wallet(self, who: int) -> Wallet:
        """Return a user's wallet."""
        return self.exchange.wallet(who)

    def contract(self, who: int, side: str = "BOTH") -> Contract:
        """Return a user's position."""
        return self.exchange.account(who).contracts[side]

    def held(self) -> list[Contract]:
        """Return all positions of users."""
        return [
            contract for one in self.exchange.accounts for contract in self.exchange.account(one).contracts.values()
        ]

    def income(self, who: int, kind: str) -> list[int]:
        """Return a user's changes of one kind, in 1e-8."""
        return [row.amount_e8 for row in self.wallet(who).income if row.kind == kind]

    def kinds(self, who: int) -> list[str]:
        """Return what a user was told: kinds of executions, reasons of changes, MARGIN_CALL, CONFIG."""
        return [_kind(event) for event in self.events[who]]

    def money_e8(self) -> int:
        """Return all money: wallets without the cost of positions, the market's cash, fees and the fund."""
        accounts, settlement = self.exchange.accounts, self.exchange.settlement
        users_e8 = sum(self.wallet(one).balance_e8 for one in accounts) - sum(one.cost_e8 for one in self.held())
        return users_e8 + settlement.market.quote.free + settlement.fees.quote.free + self.fund.balance_e8

    def check(self) -> None:
        """Check that no money and no position came from nowhere or went."""
        held_e8 = sum(contract.amount_e8 for contract in self.held())
        assert held_e8 + self.exchange.settlement.market.base.free == 0
        assert self.money_e8() == self._begins_e8
        for account in self.exchange.accounts.values():
            account.check()


def _kind(event: Event) -> str:
    if isinstance(event, ExecutionReport):
        return event.kind
    if isinstance(event, AccountChange):
        return event.reason
    return "MARGIN_CALL" if isinstance(event, MarginCall) else "CONFIG"


__all__ = ["ALICE", "BOB", "CAROL", "FUNDS_E8", "Pit"]
