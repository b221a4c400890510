"""The exchange: one symbol, its users and its simulated market, without sockets or clock.

Every call passes its time. It advances the market to it, executes the request, and passes the log rows of both to the
listeners before it returns.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from mm.instrument import decimal_text
from mm.sim.exchange import api_error
from mm.sim.exchange.accounts import UserAccount
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.orders import (
    KEEP,
    NEW,
    PARTIALLY_FILLED,
    REJECTED,
    AccountEvent,
    Amendment,
    CancelReplaced,
    CancelRequest,
    ExecutionReport,
    NewOrder,
    OrderStore,
    UserOrder,
)
from mm.sim.exchange.rules import STP_MODES, Average, SymbolRules
from mm.sim.exchange.settlement import Settlement
from mm.sim.exchange.trades import AggregateHistory, MarketTrade, TradeTape
from mm.sim.flow.order_flow import Flow
from mm.sim.matching.order_log import FOK, IOC, LIMIT, MAKER, MARKET, ROW_TRADE, WOULD_CROSS, Row

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

Listener = Callable[[list[Row]], None]
Watcher = Callable[[AccountEvent], None]
Levels = list[tuple[str, str]]
"""Price and quantity, as decimal text."""

Done = TypeVar("Done")

_FIRST = 64
_MARKET_ACCOUNT = 0
_KINDS = {"GTC": LIMIT, "GTD": LIMIT, "IOC": IOC, "FOK": FOK, "GTX": MAKER}
_TOO_POOR = "Account has insufficient balance for requested action."
_WOULD_TAKE = "Order would immediately match and take."
_REASONS = {_TOO_POOR: "INSUFFICIENT_BALANCES", _WOULD_TAKE: "WOULD_MATCH_IMMEDIATELY"}


class Exchange:
    """The rules of Binance Spot on top of a matching core. *shown_us* returns what its clock shows, µs."""

    settles: ClassVar[type[Settlement]] = Settlement
    keep: ClassVar[int] = KEEP

    def __init__(
        self,
        rules: SymbolRules,
        core: "Matching",
        flow: Flow,
        accounts: Iterable[UserAccount],
        start_us: int,
        *,
        limits: bool = True,
    ) -> None:
        self.rules = rules
        self.accounts: dict[int, UserAccount] = {}
        self.now_us = start_us
        self.shown_us: Callable[[int], int] = lambda us: us
        self.tape = TradeTape(rules.average_mins)
        self.aggregates = AggregateHistory()
        self.users = OrderStore(self.keep)
        self.settlement = self.settles(rules, core, self.accounts, self.users.by_id, self._publish)
        self._limits = limits
        self._core = core
        self._flow = flow
        self._listeners: list[Listener] = []
        self._before: list[Callable[[int], None]] = []
        self._watchers: dict[int, list[Watcher]] = {}
        for account in accounts:
            self.add_account(account)

    def add_account(self, account: UserAccount) -> None:
        self.accounts[account.number] = account
        self._watchers[account.number] = []
        self.users.add_account(account.number)

    def listen(self, listener: Listener) -> None:
        """Each call has the rows of complete commands, in order."""
        self._listeners.append(listener)

    def before_trades(self, listener: Callable[[int], None]) -> None:
        self._before.append(listener)

    def watch(self, number: int, watcher: Watcher) -> None:
        self._watchers[number].append(watcher)

    def unwatch(self, number: int, watcher: Watcher) -> None:
        self._watchers[number].remove(watcher)

    def advance(self, us: int) -> None:
        """Advance up to and including *us*; a past time has no effect."""
        self.now_us = max(self.now_us, us)
        self._flow.advance(self.now_us)
        self._drain()

    @property
    def update_id(self) -> int:
        return self._core.update_id

    def depth(self, limit: int) -> tuple[int, Levels, Levels]:
        """Return the id of the book's last change, and the best *limit* levels, best first."""
        grid = self.rules.instrument
        bids, asks = (
            [(grid.price(ticks), grid.qty(lots)) for ticks, lots in self._core.depth(side, limit)] for side in (+1, -1)
        )
        return self._core.update_id, bids, asks

    def set_fees(self, maker_e8: int, taker_e8: int) -> None:
        self.rules = replace(self.rules, maker_rate_e8=maker_e8, taker_rate_e8=taker_e8)
        self.settlement.rates_e8 = maker_e8, taker_e8

    def average(self) -> Average:
        """Return the filters' price: the mean of recent trades, else the rules' reference price."""
        return self.tape.average(self.now_us) or (self.rules.reference_ticks, 1)

    def check(self, number: int, new: NewOrder) -> None:
        self.rules.check_open()
        self.rules.check(new, self.average())
        if len(self.users.open(number)) >= self.rules.most_orders:
            raise api_error.filter_failure("MAX_NUM_ORDERS")

    def place(self, us: int, number: int, new: NewOrder) -> UserOrder:
        self.advance(us)
        self.check(number, new)
        if exceeded := self._exceeded(number):
            raise exceeded
        return self._place(number, new)

    def cancel(self, us: int, number: int, request: CancelRequest) -> UserOrder:
        self.advance(us)
        return self._cancel(number, request)

    def cancel_all(self, us: int, number: int) -> list[UserOrder]:
        self.advance(us)
        orders = self.users.open(number)
        if not orders:
            raise api_error.cancel_rejected()
        request_id = self.users.new_name()
        return [self._end(order, request_id) for order in orders]

    def expire_all(self) -> None:
        """Simulate an exchange that loses orders."""
        for number in self.accounts:
            for order in self.users.open(number):
                self._core.cancel(self.now_us, order.core_id)
        self._drain()

    def trade_with(self, order: UserOrder, lots: int) -> None:
        """Trade it with the market, after all orders ahead of it in the book."""
        ahead, side = 0, order.request.side
        for order_id, _, _, available in resting(self._core, side):
            if order_id == order.core_id:
                break
            ahead += available
        self._core.submit(self.now_us, _MARKET_ACCOUNT, -side, order.request.ticks, ahead + lots, IOC)
        self._drain()

    def cancel_replace(self, us: int, number: int, request: CancelRequest, new: NewOrder) -> CancelReplaced:
        self.advance(us)
        self.check(number, new)
        exceeded = self._exceeded(number)
        if exceeded and not request.when_exceeded_cancel:
            raise exceeded
        cancelled = _attempt(lambda: self._cancel(number, request))
        if isinstance(cancelled, ApiError) and request.stop_on_failure:
            self.accounts[number].count.add(self.now_us)
            return CancelReplaced(cancelled, None, bool(exceeded))
        placed = exceeded if exceeded else _attempt(lambda: self._place(number, new))
        if isinstance(placed, ApiError) and not exceeded and isinstance(cancelled, UserOrder):
            self._reject(number, new, placed)
        return CancelReplaced(cancelled, placed, bool(exceeded))

    def amend(self, us: int, number: int, request: CancelRequest, lots: int) -> tuple[UserOrder, Amendment]:
        self.advance(us)
        order, ids_match = self.users.find(number, request.order_id, request.client_id)
        if not order or not ids_match or not order.is_open:
            raise ApiError(-2038, "Unknown order sent.")
        self.rules.check_open()
        left_lots = lots - order.filled_lots - order.prevented_lots
        if lots == order.lots:
            raise ApiError(-2038, "The requested action would change no state; rejecting.")
        if lots > order.lots:
            raise ApiError(-2038, "Order amend (quantity increase) is not supported.")
        if left_lots <= 0:
            raise ApiError(-2038, "The request to amend the order has been rejected.")
        self.rules.check_notional(order.request.ticks * lots * self.rules.tl_e8)
        if len(order.amendments) >= self.rules.most_amends:
            raise ApiError(-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")
        if request.request_id != order.client_id:
            self._check_name(number, request.request_id)
        old_client_id = order.client_id
        self._core.reduce(self.now_us, order.core_id, left_lots)
        self._drain(request.request_id or self.users.new_name())
        self.users.rename(order, old_client_id)
        return order, order.amendments[-1]

    def _place(self, number: int, new: NewOrder) -> UserOrder:
        us = self.now_us
        self._check_name(number, new.client_id)
        lots, spent_e8, is_short = self._funded(number, new)
        kind = {"LIMIT_MAKER": MAKER, "MARKET": MARKET}.get(new.type) or _KINDS[new.time_in_force]
        order_id = self._core.submit(us, number, new.side, new.ticks, lots, kind, STP_MODES.index(new.stp))
        if order_id == WOULD_CROSS:
            self._drain()
            raise self._would_take()
        order = UserOrder(
            account=number,
            request=new,
            client_id=new.client_id or self.users.new_name(),
            us=us,
            lots=lots,
            left_lots=lots,
            order_id=order_id,
            is_short=is_short,
        )
        self.users.add(order)
        self.accounts[number].count.add(us)
        self.settlement.reserve(order, spent_e8)
        self._drain()
        return order

    def _funded(self, number: int, new: NewOrder) -> tuple[int, int, bool]:
        """Return lots, maximum cost (1e-8), and whether the book has less than requested; raises ApiError."""
        rules, lots, is_short = self.rules, new.lots, False
        walk = Walk(self._core, new.side, number, new.stp)
        if not lots:
            lots, is_short = walk.lots_for(new.quote_e8 // rules.tl_e8)
            lots -= lots % rules.step_lots
            if not lots and is_short:
                raise api_error.order_rejected("Order book liquidity is less than symbol minimum quantity.")
            rules.check_market_lots(lots)
        cost_tl = new.ticks * lots if new.ticks else walk.cost(lots) if new.side > 0 else 0
        spent_e8 = lots * rules.instrument.lot_e8 if new.side < 0 else cost_tl * rules.tl_e8
        if spent_e8 > self.accounts[number].pays_with(new.side).free:
            raise api_error.order_rejected(_TOO_POOR)
        return lots, spent_e8, is_short

    def _cancel(self, number: int, request: CancelRequest) -> UserOrder:
        order, ids_match = self.users.find(number, request.order_id, request.client_id)
        if not order or not ids_match or not order.is_open:
            raise api_error.cancel_rejected()
        required = {"ONLY_NEW": NEW, "ONLY_PARTIALLY_FILLED": PARTIALLY_FILLED}.get(request.restrictions, order.status)
        if order.status != required:
            raise api_error.cancel_rejected("Order was not canceled due to cancel restrictions.")
        return self._end(order, request.request_id or self.users.new_name())

    def _end(self, order: UserOrder, request_id: str) -> UserOrder:
        order.cancel_id = request_id
        self._core.cancel(self.now_us, order.core_id)
        self._drain(request_id)
        return order

    def _reject(self, number: int, new: NewOrder, error: ApiError) -> None:
        client_id = new.client_id or self.users.new_name()
        order = UserOrder(account=number, request=new, client_id=client_id, us=self.now_us, lots=new.lots, left_lots=0)
        order.status = REJECTED
        self.settlement.report(self.now_us, order, REJECTED, reject_reason=_REASONS.get(error.msg, "NONE"))
        self.settlement.report_positions()

    def _check_name(self, number: int, client_id: str) -> None:
        known, _ = self.users.find(number, None, client_id)
        if client_id and known and known.is_open:
            raise self._duplicate()

    def _would_take(self) -> ApiError:
        return api_error.order_rejected(_WOULD_TAKE)

    def _duplicate(self) -> ApiError:
        return api_error.order_rejected("Duplicate order sent.")

    def _exceeded(self, number: int) -> ApiError | None:
        return self.accounts[number].count.exceeded(self.now_us) if self._limits else None

    def transfer(self, number: int, asset: str, amount_e8: int) -> None:
        """Book an amount without a trade; a negative one is taken from the free balance."""
        grid, account = self.rules.instrument, self.accounts[number]
        if asset not in (grid.base_asset, grid.quote_asset):
            raise ApiError(-1130, f"{asset} is not an asset of {grid.symbol}.")
        free_e8 = (account.base if asset == grid.base_asset else account.quote).free
        if free_e8 + amount_e8 < 0:
            raise ApiError(-2010, f"Account has insufficient balance: {decimal_text(free_e8)} {asset} are free.")
        self.settlement.transfer(self.now_us, number, asset, amount_e8)

    def _drain(self, request_id: str = "") -> None:
        rows: list[Row] = list(map(tuple, self._core.take_log().tolist()))
        if not rows:
            return
        for row in rows:
            if row[1] == ROW_TRADE:
                for before in self._before:
                    before(row[0])
                self.tape.add(MarketTrade.of(row))
        self.aggregates.take(rows)
        self.settlement.apply(rows, request_id)
        for listener in self._listeners:
            listener(rows)

    def _publish(self, number: int, event: AccountEvent) -> None:
        if isinstance(event, ExecutionReport):
            self.users.note(number, event)
        for watcher in list(self._watchers[number]):
            watcher(event)


@dataclass(frozen=True, slots=True)
class Walk:
    """The resting orders that a taker would match, in order."""

    core: "Matching"
    side: int
    account: int
    stp: str

    def cost(self, lots: int) -> int:
        left, cost_tl = lots, 0
        for is_own, ticks, available in self._counterparts():
            if is_own and self.stp in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
                break
            taken = min(left, available)
            left -= taken
            if not is_own:
                cost_tl += taken * ticks
            if not left:
                break
        return cost_tl

    def lots_for(self, budget_tl: int) -> tuple[int, bool]:
        """Return the lots that *budget_tl* buys or sells, and whether the book is exhausted first."""
        lots = 0
        for _, ticks, available in self._counterparts():
            affordable = min(available, budget_tl // ticks)
            lots += affordable
            budget_tl -= affordable * ticks
            if affordable < available:
                return lots, False
        return lots, budget_tl > 0

    def within(self, ticks: int) -> int:
        """Return lots up to *ticks*, without own orders that it may not meet."""
        total_lots = 0
        for is_own, at, lots in self._counterparts():
            if self.side * (at - ticks) > 0:
                break
            total_lots += 0 if is_own else lots
        return total_lots

    def _counterparts(self) -> Iterator[tuple[bool, int, int]]:
        """Yield for each order whether it blocks as one of the same account, its price, its lots."""
        for _, account, ticks, lots in resting(self.core, -self.side):
            is_own = account == self.account and self.stp != "NONE"
            if not (is_own and self.stp == "EXPIRE_MAKER"):
                yield is_own, ticks, lots


def resting(core: "Matching", side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield by priority: id, account, price in ticks, lots."""
    seen, limit = 0, _FIRST
    while True:
        orders = core.orders(side, limit)
        yield from orders[seen:]
        if len(orders) < limit:
            return
        seen, limit = limit, 2 * limit


def _attempt(action: Callable[[], Done]) -> Done | ApiError:
    try:
        return action()
    except ApiError as error:
        return error
