"""A USD-M perpetual: orders with margin, mark price, funding, countdowns and liquidations, at their own instants."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mm.clock import US_PER_MS, US_PER_S
from mm.errors import UsageError
from mm.instrument import E8
from mm.margin.brackets import MOST_LEVERAGE
from mm.margin.wallet import (
    ABOVE_BRACKET,
    BOTH,
    LONG,
    MARGIN_INSUFFICIENT,
    SHORT,
    Contract,
    Mark,
    OpenOrder,
    Wallet,
    assumed_e8,
    funding_e8,
    half_even,
)
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Exchange, Walk
from mm.sim.exchange.orders import AccountEvent, CancelRequest, ExecutionReport, NewOrder, UserOrder
from mm.sim.exchange.rules import STP_MODES, Average
from mm.sim.exchange.trades import MinuteBars, sample
from mm.sim.exchange.usdm.conditional import CONTRACT_PRICE, MARK_PRICE, Conditional, Conditionals
from mm.sim.exchange.usdm.contract_rules import ContractRules
from mm.sim.exchange.usdm.events import ConfigChange
from mm.sim.exchange.usdm.liquidation import Forced, Liquidator
from mm.sim.exchange.usdm.settlement import UsdmSettlement
from mm.sim.exchange.usdm.terms import UsdmTerms
from mm.sim.exchange.usdm.wallet import FuturesAccount
from mm.sim.flow.order_flow import Flow
from mm.sim.matching.order_log import FOK, IOC, LIMIT, MAKER, ROW_TRADE, WOULD_CROSS, Row

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

_KINDS = {"GTC": LIMIT, "GTD": LIMIT, "IOC": IOC, "FOK": FOK, "GTX": MAKER}
_PAID_KEPT = 1_000
_INTEREST_US, _INTEREST_KEPT = 300 * US_PER_S, 30 * 288


class Modification(NamedTuple):
    """What an order is to become: side, unchanged; price in ticks (0 if a level gives it); total quantity in lots."""

    side: int
    ticks: int
    lots: int
    price_match: str = "NONE"


class RuleState(NamedTuple):
    """An account's state under one quantitative rule; *until_us* is the end of a lock."""

    value: float
    trigger: float
    until_us: int


class FundingPayment(NamedTuple):
    us: int
    rate_e8: int
    mark_e8: int


class MarkTold(NamedTuple):
    """The mark price of a second; *rate_e8* and *next_us* are of the next payment."""

    us: int
    mark_e8: int
    rate_e8: int
    next_us: int


class Interest(NamedTuple):
    """The open interest in 1e-8 of the base asset, and its worth at the mark price."""

    us: int
    amount_e8: int
    worth_e8: int


def _open_order(order: UserOrder) -> OpenOrder:
    return OpenOrder(order.request.side, order.request.ticks, order.left_lots, order.request.reduce_only)


class UsdmExchange(Exchange):
    """One contract; the accounts may trade others with the same wallet. *interest* has one entry every five minutes."""

    settles = UsdmSettlement
    settlement: UsdmSettlement
    rules: ContractRules

    def __init__(  # noqa: PLR0913 - the parts of an exchange
        self,
        rules: ContractRules,
        core: "Matching",
        flow: Flow,
        accounts: Iterable[UserAccount],
        start_us: int,
        *,
        limits: bool = True,
        terms: UsdmTerms | None = None,
    ) -> None:
        self.mark = Mark(rules.reference_ticks * rules.instrument.tick_e8)
        self.terms = terms or UsdmTerms()
        self.marks = MinuteBars()
        self.interest: list[Interest] = []
        self.trading_rules: dict[int, dict[str, RuleState]] = {}
        self.payments: list[FundingPayment] = []
        self.forced: list[Forced] = []
        self._second_us = start_us - start_us % US_PER_S + US_PER_S
        self._countdowns: dict[int, int] = {}
        self._good_till: list[tuple[int, int, int]] = []
        self._fixed_e8: int | None = None
        self._mark_listeners: list[Callable[[MarkTold], None]] = []
        self._forced_listeners: list[Callable[[Forced], None]] = []
        super().__init__(rules, core, flow, accounts, start_us, limits=limits)
        self._liquidator = Liquidator(self, core)
        self.conditionals = Conditionals(self)
        self.terms.waits.append(self.conditionals.open)
        self.listen(self._hear_trades)

    # users

    def add_account(self, account: UserAccount) -> None:
        super().add_account(account)
        assert isinstance(account, FuturesAccount)
        grid, number = self.rules.instrument, account.number
        for side in (BOTH, LONG, SHORT):
            contract = account.contracts[side] = Contract(
                symbol=grid.symbol,
                lot_e8=grid.lot_e8,
                unit_e16=self.rules.tl_e8 * E8,
                mark=self.mark,
                most_at_e8=self._most_at_e8,
                orders=partial(self._orders_of, number, side),
                position_side=side,
            )
            account.wallet.contracts[grid.symbol if side == BOTH else f"{grid.symbol} {side}"] = contract
        account.updated(max(account.updated_us, self.now_us))

    def _orders_of(self, number: int, side: str) -> list[OpenOrder]:
        return [_open_order(order) for order in self.users.open(number) if order.request.position_side == side]

    def _most_at_e8(self, leverage: int) -> int:
        return self.rules.most_at_e8(leverage)

    def account(self, number: int) -> FuturesAccount:
        return cast(FuturesAccount, self.accounts[number])

    def hear_marks(self, listener: Callable[[MarkTold], None]) -> None:
        self._mark_listeners.append(listener)

    def hear_forced(self, listener: Callable[[Forced], None]) -> None:
        self._forced_listeners.append(listener)

    # time

    def advance(self, us: int) -> None:
        """Advance with all that is due on the way; a past time has no effect."""
        while (due_us := min([self._second_us, self._next_look_us(), *self._countdowns.values()])) <= us:
            super().advance(due_us)
            self.conditionals.run()
            self._expire(due_us)
            self._run_countdowns(due_us)
            if due_us == self._second_us:
                self._second_us += US_PER_S
                self._tick(due_us)
        super().advance(us)
        self.conditionals.run()

    def _expire(self, us: int) -> None:
        while self._good_till and self._good_till[0][0] <= us:
            _, number, order_id = heapq.heappop(self._good_till)
            order, _ = self.users.find(number, order_id, "")
            if order and order.is_open:
                self._core.cancel(self.now_us, order.core_id)
                self._drain()

    def _next_look_us(self) -> int:
        """Return when to look next: at the end of a trade's millisecond if a conditional order waits for trades."""
        if not self.conditionals.hears_trades:
            return self._good_till[0][0] if self._good_till else self._second_us
        return self.now_us - self.now_us % US_PER_MS + US_PER_MS

    def _hear_trades(self, rows: list[Row]) -> None:
        for row in rows:
            if row[1] == ROW_TRADE and row[2]:
                self.conditionals.hear(CONTRACT_PRICE, row[6] * self.rules.instrument.tick_e8)

    @property
    def open_interest_e8(self) -> int:
        held_e8 = [contract.amount_e8 for number in self.accounts for contract in self.account(number).held]
        return sum(max(0, amount_e8) for amount_e8 in (*held_e8, self.settlement.market.base.free))

    def next_payment_us(self, us: int) -> int:
        return us - us % self.terms.interval_us + self.terms.interval_us

    def mark_told(self, us: int) -> MarkTold:
        return MarkTold(us, self.mark.e8, self.terms.rate_e8, self.next_payment_us(us))

    def set_mark(self, price_e8: int | None) -> None:
        """Set it from the next whole second on; None lets it follow the book."""
        if price_e8 is not None and price_e8 <= 0:
            raise UsageError("mark: the price must be above 0")
        self._fixed_e8 = price_e8
        self.mark.fixed = price_e8 is not None

    def _tick(self, us: int) -> None:
        bid, _, ask, _ = self._core.best()
        if self._fixed_e8 is not None:
            self.mark.e8 = self._fixed_e8
        elif bid and ask:
            self.mark.e8 = (bid + ask) * self.rules.instrument.tick_e8 // 2
        self.conditionals.hear(MARK_PRICE, self.mark.e8)
        self.conditionals.run()
        if us % self.terms.interval_us == 0:
            self._pay_funding(us)
        self._liquidator.check(us)
        self.marks.add(sample(us, self.mark.e8))
        if us % _INTEREST_US == 0:
            amount_e8 = self.open_interest_e8
            self.interest.append(Interest(us, amount_e8, half_even(amount_e8 * self.mark.e8, E8)))
            del self.interest[:-_INTEREST_KEPT]
        told = self.mark_told(us)
        for listener in self._mark_listeners:
            listener(told)

    def _pay_funding(self, us: int) -> None:
        """Pay quantity times mark price times rate, rounded half to even; the market is the other side."""
        self.payments.append(FundingPayment(us, self.terms.rate_e8, self.mark.e8))
        del self.payments[:-_PAID_KEPT]
        for number in self.accounts:
            for contract in self.account(number).held:
                if not contract.lots:
                    continue
                paid_e8 = funding_e8(contract.amount_e8, self.mark.e8, self.terms.rate_e8)
                self.wallet(number).fund(us, contract, paid_e8)
                self.settlement.market.quote.free += paid_e8
                told = [contract] if contract.isolated else []
                self.settlement.publish_change(us, number, "FUNDING_FEE", -paid_e8, told)

    # orders

    def average(self) -> Average:
        return self.mark.e8, self.rules.instrument.tick_e8

    def check(self, number: int, new: NewOrder) -> None:
        self.rules.check_open()
        rules = self.trading_rules.get(number, {}).values()
        if not new.reduce_only and any(rule.until_us > self.now_us for rule in rules):
            msg = "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed"
            raise ApiError(-4400, f"{msg}, please try again later.")
        self.rules.check(new, self.average())
        if len(self.users.open(number)) >= self.rules.most_orders:
            raise ApiError(-2025, "Reach max open order limit.")
        self._check_fill(number, new)
        self._check_margin(number, new)

    def place(self, us: int, number: int, new: NewOrder) -> UserOrder:
        self.advance(us)
        new = self._reducing(number, self._matched(new))
        self.check(number, new)
        if exceeded := self._exceeded(number):
            raise exceeded
        order = self._place(number, new)
        self.conditionals.run()
        return order

    def send(self, number: int, new: NewOrder) -> UserOrder:
        new = self._reducing(number, self._matched(new))
        self.check(number, new)
        return self._place(number, new)

    def _place(self, number: int, new: NewOrder) -> UserOrder:
        order = super()._place(number, new)
        if new.good_till_us and order.is_open:
            heapq.heappush(self._good_till, (new.good_till_us, number, order.order_id))
        return order

    def _matched(self, new: NewOrder) -> NewOrder:
        if new.price_match == "NONE":
            return new
        which, _, number = new.price_match.partition("_")
        at = int(number or 1)
        levels = self._core.depth(-new.side if which == "OPPONENT" else new.side, at)
        if len(levels) < at:
            raise ApiError(-5041, "No depth matches this BBO order.")
        return replace(new, ticks=levels[-1][0])

    def place_conditional(self, us: int, number: int, new: Conditional) -> Conditional:
        self.advance(us)
        if exceeded := self._exceeded(number):
            raise exceeded
        return self.conditionals.place(us, number, new)

    def modify(self, us: int, number: int, request: CancelRequest, new: Modification) -> UserOrder:
        """Move a LIMIT order to the end of its queue, with the same id."""
        self.advance(us)
        order, ids_match = self.users.find(number, request.order_id, request.client_id)
        if not order or not ids_match or not order.is_open:
            raise ApiError(-2013, "Order does not exist.")
        if new.price_match != "NONE":
            level = self._matched(replace(order.request, price_match=new.price_match))
            new = new._replace(ticks=level.ticks)
        self._check_move(number, order, new)
        if new.lots <= order.filled_lots + order.prevented_lots:
            return self._end(order, self.users.new_name())
        self.accounts[number].count.add(self.now_us)
        moved = self._move(order, new)
        self.conditionals.run()
        return moved

    def _check_move(self, number: int, order: UserOrder, new: Modification) -> None:
        side, ticks, lots, _ = new
        if exceeded := self._exceeded(number):
            raise exceeded
        if side != order.request.side:
            raise ApiError(-1117, "Invalid side.")
        if order.request.type != "LIMIT":
            raise ApiError(-5025, "Only limit order is supported.")
        if (ticks, lots) == (order.request.ticks, order.lots):
            raise ApiError(-5027, "No need to modify the order.")
        if len(order.moves) >= self.rules.most_amends:
            raise ApiError(-5026, "Exceed maximum modify order limit.")
        moved = replace(order.request, ticks=ticks, lots=lots)
        self.rules.check(moved, self.average())
        if lots > order.filled_lots:
            self._reducing(number, replace(moved, lots=lots - order.filled_lots), without=order)
            self._check_margin(number, replace(moved, lots=lots - order.filled_lots), without=order)

    def _move(self, order: UserOrder, new: Modification) -> UserOrder:
        _, ticks, lots, price_match = new
        left_lots = lots - order.filled_lots - order.prevented_lots
        kind, stp = _KINDS[order.request.time_in_force], STP_MODES.index("NONE")
        core_id = self._core.replace(self.now_us, order.core_id, ticks, left_lots, kind, stp)
        if core_id == WOULD_CROSS:
            self._drain(self.users.new_name())
            raise self._would_take()
        self.users.moved(order, core_id)
        order.moves.append((self.now_us, order.request.ticks, order.lots))
        order.request = replace(order.request, ticks=ticks, price_match=price_match, stp="NONE")
        order.lots, order.left_lots = lots, left_lots
        self.settlement.moving = order
        self._drain()
        self.settlement.moving = None
        return order

    def _reducing(self, number: int, new: NewOrder, without: UserOrder | None = None) -> NewOrder:
        """Limit what only reduces to what there is; raise ApiError if nothing is, in hedge mode if it is more."""
        if not new.reduce_only:
            return new
        contract = self.account(number).contracts[new.position_side]
        held = -new.side * contract.lots
        others = [order for order in self._reduce_orders(number, contract, new.side) if order is not without]
        takes = new.type == "MARKET" or new.time_in_force in ("IOC", "FOK")
        spare = held if takes else held - sum(order.left_lots for order in others)
        if held <= 0 or (new.lots > spare and not (takes and new.position_side == BOTH)):
            raise ApiError(-2022, "ReduceOnly Order is rejected.")
        return replace(new, lots=min(new.lots, held))

    def _reduce_orders(self, number: int, contract: Contract, side: int) -> list[UserOrder]:
        requests = [(order, order.request) for order in self.users.open(number)]
        sides = side, contract.position_side
        return [order for order, new in requests if new.reduce_only and (new.side, new.position_side) == sides]

    def _check_fill(self, number: int, new: NewOrder) -> None:
        best = self._core.best()[2 if new.side > 0 else 0]
        if new.type == "MARKET" and best:
            price_e8, bound_e8 = best * self.rules.instrument.tick_e8, self.rules.market_bound_e8
            if new.side * (price_e8 - self.mark.e8) * E8 > self.mark.e8 * bound_e8:
                msg = "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
                raise ApiError(-4131, msg)
        if new.time_in_force == "FOK" and Walk(self._core, new.side, number, new.stp).within(new.ticks) < new.lots:
            msg = "Due to the order could not be filled immediately, the FOK order has been rejected."
            raise ApiError(-5021, f"{msg} The order will not be recorded in the order history.")

    def _check_margin(self, number: int, new: NewOrder, without: UserOrder | None = None) -> None:
        account = self.account(number)
        order = OpenOrder(new.side, new.ticks, new.lots, new.reduce_only)
        without_tl = without.request.ticks * without.left_lots if without else 0
        contract = account.contracts[new.position_side]
        code = account.wallet.refusal(contract, order, self._assumed_e8(new), without_tl)
        if code == ABOVE_BRACKET:
            raise ApiError(ABOVE_BRACKET, "Exceeded the maximum allowable position at current leverage.")
        if code:
            raise ApiError(MARGIN_INSUFFICIENT, "Margin is insufficient.")

    def _assumed_e8(self, new: NewOrder) -> int:
        bid, _, ask, _ = self._core.best()
        tick_e8 = self.rules.instrument.tick_e8
        return assumed_e8(new.side, new.ticks * tick_e8, self.mark.e8, bid * tick_e8, ask * tick_e8)

    def _funded(self, number: int, new: NewOrder) -> tuple[int, int, bool]:  # noqa: ARG002 - margin is checked before
        return new.lots, 0, False

    def _would_take(self) -> ApiError:
        msg = "Due to the order could not be executed as maker, the Post Only order will be rejected."
        return ApiError(-5022, f"{msg} The order will not be recorded in the order history.")

    def _duplicate(self) -> ApiError:
        return ApiError(-4116, "ClientOrderId is duplicated.")

    def _publish(self, number: int, event: AccountEvent) -> None:
        super()._publish(number, event)
        if isinstance(event, ExecutionReport) and not event.order.is_open:
            self.conditionals.ended(event.order.order_id)

    def _drain(self, request_id: str = "") -> None:
        super()._drain(request_id)
        reduced, self.settlement.reduced = self.settlement.reduced, set()
        for number in sorted(reduced):
            self._trim(number)

    def _trim(self, number: int) -> None:
        """Expire the newest reduce-only orders beyond what there is to reduce."""
        for contract, side in product(self.account(number).held, (+1, -1)):
            held, orders = max(0, -side * contract.lots), self._reduce_orders(number, contract, side)
            while sum(order.left_lots for order in orders) > held:
                self._core.cancel(self.now_us, orders.pop().core_id)
                super()._drain()

    # settings

    def count_down(self, us: int, number: int, ms: int) -> None:
        """Cancel all open orders in *ms*, unless this is called again; 0 ends it."""
        self.advance(us)
        self._countdowns.pop(number, None)
        if ms:
            self._countdowns[number] = us + ms * US_PER_MS

    def _run_countdowns(self, us: int) -> None:
        for number in [number for number, due_us in self._countdowns.items() if due_us <= us]:
            del self._countdowns[number]
            if self.users.open(number):
                self.cancel_all(us, number)

    def set_leverage(self, us: int, number: int, leverage: int) -> None:
        self.advance(us)
        account, held = self.account(number), self.account(number).held
        if not 1 <= leverage <= MOST_LEVERAGE:
            raise ApiError(-4028, f"Leverage {leverage} is not valid")
        if any(one.isolated and one.lots and leverage < one.leverage for one in held):
            raise ApiError(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
        exposures_e8 = [contract.exposure_e8(*contract.open_e8()) for contract in held]
        if max(exposures_e8) > self.rules.most_at_e8(leverage):
            raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
        more_e8 = sum(exposure_e8 // leverage for exposure_e8 in exposures_e8) - sum(one.margin_e8 for one in held)
        if more_e8 > max(0, account.wallet.available_e8):
            raise ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        for contract in account.contracts.values():
            contract.leverage = leverage
        self._publish(number, ConfigChange(us, self.rules.instrument.symbol, leverage))

    def set_isolated(self, us: int, number: int, isolated: bool) -> None:
        """Raises ApiError where the margin is used."""
        self.advance(us)
        account = self.account(number)
        if isolated and account.wallet.multi_assets:
            raise ApiError(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if account.contract.isolated is isolated:
            raise ApiError(-4046, "No need to change margin type.")
        if self.users.open(number):
            raise ApiError(-4047, "Margin type cannot be changed if there exists open orders.")
        if any(contract.lots for contract in account.held):
            raise ApiError(-4048, "Margin type cannot be changed if there exists position.")
        for contract in account.contracts.values():
            contract.isolated = isolated
        self.settlement.publish_change(us, number, "MARGIN_TYPE_CHANGE", 0, account.held)

    def add_margin(self, us: int, number: int, amount_e8: int, side: str = BOTH) -> None:
        """A negative amount takes from what exceeds the initial margin."""
        self.advance(us)
        contract, wallet = self.account(number).contracts[side], self.account(number).wallet
        if not contract.isolated:
            raise ApiError(-4049, "Add margin only support for isolated position.")
        if not contract.lots:
            raise ApiError(-4054, "Cannot add position margin: position is 0.")
        spare_e8 = wallet.equity_e8(contract) - contract.position_margin_e8
        if amount_e8 > wallet.available_e8:
            raise ApiError(-4050, "Cross balance insufficient.")
        if amount_e8 < 0 and -amount_e8 > min(spare_e8, contract.wallet_e8):
            raise ApiError(-4051, "Isolated balance insufficient.")
        contract.wallet_e8 += amount_e8
        contract.margin_moves.append((us, amount_e8))
        del contract.margin_moves[:-_PAID_KEPT]
        self.settlement.publish_change(us, number, "MARGIN_TRANSFER", 0, [contract])

    def _has_orders(self, number: int) -> bool:
        """Return whether an account has open orders of any contract, conditional ones included."""
        contracts = self.account(number).wallet.contracts.values()
        return any(contract.orders() for contract in contracts) or any(waits(number) for waits in self.terms.waits)

    def set_hedged(self, us: int, number: int, hedged: bool) -> None:
        """Raises ApiError while the account has positions."""
        self.advance(us)
        wallet = self.account(number).wallet
        if wallet.hedged is hedged:
            raise ApiError(-4059, "No need to change position side.")
        if self._has_orders(number):
            raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
        if any(contract.lots for contract in wallet.contracts.values()):
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        wallet.hedged = hedged

    def set_multi_assets(self, us: int, number: int, multi: bool) -> None:
        self.advance(us)
        wallet = self.account(number).wallet
        if wallet.multi_assets is multi:
            msg = "Adjusted asset mode is currently set and does not need to be adjusted repeatedly."
            raise ApiError(-4171, msg)
        if self._has_orders(number):
            raise ApiError(-4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.")
        if multi and any(contract.isolated for contract in wallet.contracts.values()):
            msg = "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode."
            raise ApiError(-4167, msg)
        wallet.multi_assets = multi

    def settle(self) -> None:
        """End all orders, and close all positions at the mark price, on the nearest tick."""
        self.rules = self.rules.of_status("SETTLING")
        for number in self.accounts:
            self.conditionals.expire(number)
        self.expire_all()
        ticks = half_even(self.mark.e8, self.rules.instrument.tick_e8)
        for number in self.accounts:
            self._liquidator.settle(self.now_us, number, ticks)

    def transfer(self, number: int, asset: str, amount_e8: int) -> None:
        """A negative amount is taken from what is available."""
        if asset != self.rules.instrument.quote_asset:
            raise ApiError(-1108, f"{asset} is not the margin asset of {self.rules.instrument.symbol}.")
        wallet = self.account(number).wallet
        if amount_e8 < 0 and -amount_e8 > min(wallet.available_e8, wallet.cross_e8):
            raise ApiError(-2018, "Balance is insufficient.")
        wallet.book(self.now_us, "TRANSFER", "", amount_e8)
        reason = "DEPOSIT" if amount_e8 > 0 else "WITHDRAW"
        self.settlement.publish_change(self.now_us, number, reason, amount_e8)

    # liquidations

    def force(self, forced: Forced) -> None:
        self.forced.append(forced)
        del self.forced[:-_PAID_KEPT]
        for listener in self._forced_listeners:
            listener(forced)

    def place_forced(self, number: int, new: NewOrder) -> UserOrder:
        return self._place(number, new)

    def drain(self) -> None:
        self._drain()

    def end(self, order: UserOrder) -> None:
        self._end(order, self.users.new_name())

    def rank(self, number: int, side: str = BOTH) -> Fraction:
        return self._liquidator.rank(number, self.account(number).contracts[side])

    def publish(self, number: int, event: Any) -> None:
        self._publish(number, event)

    def wallet(self, number: int) -> Wallet:
        return self.account(number).wallet
