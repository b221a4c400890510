"""Conditional orders of a contract: they wait beside the book until a price is reached, then an order is sent.

- STOP, STOP_MARKET: a buy waits for a price at or above its trigger, a sell for one at or below.
- TAKE_PROFIT, TAKE_PROFIT_MARKET: the other way round.
- TRAILING_STOP_MARKET: a buy, once the price has been at or below its activation price, waits for a rise by the
  callback rate above the lowest price since it was placed; a sell the other way round.

The price is the last trade's (CONTRACT_PRICE) or the mark price of each second (MARK_PRICE).
"""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mm.instrument import E8
from mm.margin.wallet import Mark
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.api_error import ApiError, cancel_rejected
from mm.sim.exchange.orders import CANCELED, EXPIRED, NEW, REJECTED, NewOrder, OrderStore, UserOrder
from mm.sim.exchange.trades import TradeTape
from mm.sim.exchange.usdm.contract_rules import TRAILING, ContractRules
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.exchange.usdm.wallet import FuturesAccount

TRIGGERING, TRIGGERED, FINISHED = "TRIGGERING", "TRIGGERED", "FINISHED"
CONTRACT_PRICE, MARK_PRICE = "CONTRACT_PRICE", "MARK_PRICE"
_KEPT = 10_000
_GONE = "There is no position to close."


@dataclass(slots=True, kw_only=True)
class Conditional:
    type: str
    order: NewOrder
    client_id: str = ""
    trigger_e8: int = 0
    activate_e8: int = 0
    callback_e8: int = 0
    working: str = CONTRACT_PRICE
    close_position: bool = False
    price_protect: bool = False
    account: int = 0
    algo_id: int = 0
    status: str = NEW
    us: int = 0
    updated_us: int = 0
    trigger_us: int = 0
    extreme_e8: int = 0
    order_id: int = 0
    sent: UserOrder | None = None
    reason: str = ""

    @property
    def side(self) -> int:
        return self.order.side

    def reached(self, price_e8: int) -> bool:
        """Take the next price; return whether it is the one that the order waits for."""
        side = self.side
        if self.type != TRAILING:
            rises = side if self.type.startswith("STOP") else -side
            return rises * (price_e8 - self.trigger_e8) >= 0
        self.extreme_e8 = side * min(side * self.extreme_e8, side * price_e8)
        if self.activate_e8 and side * (self.extreme_e8 - self.activate_e8) > 0:
            return False
        return side * (price_e8 * E8 - self.extreme_e8 * (E8 + side * self.callback_e8)) >= 0


@dataclass(frozen=True, slots=True)
class ConditionalChange:
    us: int
    order: Conditional


class ConditionalMarket(Protocol):
    """What conditional orders need of their exchange."""

    now_us: int
    mark: Mark
    tape: TradeTape
    rules: ContractRules
    terms: UsdmTerms
    users: OrderStore
    accounts: dict[int, UserAccount]

    def account(self, number: int) -> FuturesAccount: ...

    def send(self, number: int, new: NewOrder) -> UserOrder: ...

    def publish(self, number: int, event: Any) -> None: ...


@dataclass(slots=True)
class Conditionals:
    exchange: ConditionalMarket
    all: dict[int, Conditional] = field(default_factory=dict)
    _waiting: dict[int, Conditional] = field(default_factory=dict)
    _due: list[Conditional] = field(default_factory=list)
    _sent: dict[int, Conditional] = field(default_factory=dict)

    @property
    def hears_trades(self) -> bool:
        return any(one.working == CONTRACT_PRICE for one in self._waiting.values())

    def open(self, number: int) -> list[Conditional]:
        return [one for one in self._waiting.values() if one.account == number]

    def find(self, number: int, algo_id: int | None, client_id: str) -> Conditional | None:
        """Find it by id, else the newest with the client id."""
        if algo_id is not None:
            found = self.all.get(algo_id)
            return found if found and found.account == number else None
        named = [one for one in self.all.values() if one.account == number and one.client_id == client_id]
        return named[-1] if client_id and named else None

    def place(self, us: int, number: int, new: Conditional) -> Conditional:
        exchange, terms = self.exchange, self.exchange.terms
        exchange.rules.check_open()
        waiting = self.open(number)
        if len(waiting) >= exchange.rules.most_conditional:
            raise ApiError(-4045, "Reach max stop order limit.")
        if new.client_id and any(one.client_id == new.client_id for one in waiting):
            raise ApiError(-4116, "ClientOrderId is duplicated.")
        if new.close_position and any(one.close_position and one.side == new.side for one in waiting):
            msg = "An open stop or take profit order with GTE and closePosition in the direction is existing."
            raise ApiError(-4130, msg)
        price_e8 = self._price_e8(new.working)
        early = bool(new.activate_e8) and new.side * (price_e8 - new.activate_e8) <= 0
        if early or (new.type != TRAILING and new.reached(price_e8)):
            raise ApiError(-2021, "Order would immediately trigger.")
        terms.algo_ids += 1
        new.algo_id, new.account, new.us, new.extreme_e8 = terms.algo_ids, number, us, price_e8
        new.client_id = new.client_id or exchange.users.new_name()
        self.all[new.algo_id] = self._waiting[new.algo_id] = new
        exchange.accounts[number].count.add(us)
        if len(self.all) > _KEPT:
            ended = next((one for one in self.all if one not in self._waiting and one not in self._sent), None)
            self.all.pop(ended or 0, None)
        self._change(new, NEW)
        return new

    def cancel(self, order: Conditional | None) -> Conditional:
        if order is None or self._waiting.pop(order.algo_id, None) is None:
            raise cancel_rejected()
        self._change(order, CANCELED)
        return order

    def expire(self, number: int) -> None:
        for order in self.open(number):
            del self._waiting[order.algo_id]
            self._change(order, EXPIRED)

    def hear(self, working: str, price_e8: int) -> None:
        for order in [one for one in self._waiting.values() if one.working == working]:
            if order.reached(price_e8):
                del self._waiting[order.algo_id]
                self._due.append(order)

    def run(self) -> None:
        while self._due:
            self._send(self._due.pop(0))

    def ended(self, order_id: int) -> None:
        if order := self._sent.pop(order_id, None):
            self._change(order, FINISHED)

    def _send(self, order: Conditional) -> None:
        order.trigger_us = self.exchange.now_us
        self._change(order, TRIGGERING)
        try:
            sent = self._placed(order)
        except ApiError as error:
            order.reason = error.msg
            self._change(order, EXPIRED if error.msg == _GONE else REJECTED)
            return
        order.sent, order.order_id = sent, sent.order_id
        self._change(order, TRIGGERED)
        if sent.is_open:
            self._sent[sent.order_id] = order
        else:
            self._change(order, FINISHED)

    def _placed(self, order: Conditional) -> UserOrder:
        exchange, mark_e8 = self.exchange, self.exchange.mark.e8
        gap_e8 = abs(self._price_e8(CONTRACT_PRICE) - mark_e8)
        if order.price_protect and gap_e8 * E8 > mark_e8 * exchange.rules.trigger_protect_e8:
            raise ApiError(-2022, "The gap between mark and contract price exceeds the protection of the symbol.")
        new = replace(order.order, client_id=order.client_id)
        if order.close_position:
            lots = -order.side * exchange.account(order.account).contracts[new.position_side].lots
            if lots <= 0:
                raise ApiError(-2022, _GONE)
            new = replace(new, lots=lots, reduce_only=True)
        return exchange.send(order.account, new)

    def _price_e8(self, working: str) -> int:
        last = self.exchange.tape.last
        if working == MARK_PRICE or last is None:
            return self.exchange.mark.e8
        return last.ticks * self.exchange.rules.instrument.tick_e8

    def _change(self, order: Conditional, status: str) -> None:
        order.status, order.updated_us = status, self.exchange.now_us
        self.exchange.publish(order.account, ConditionalChange(order.updated_us, replace(order)))
