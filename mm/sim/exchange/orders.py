"""The orders of users: requests, state, events, and the order store.

Prices are ticks, quantities lots, times µs of the exchange's clock, sides +1 to buy and -1 to sell.
"""

from base64 import b32encode
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol

from mm.margin.wallet import BOTH
from mm.sim.exchange.api_error import ApiError

NEW, PARTIALLY_FILLED, FILLED = "NEW", "PARTIALLY_FILLED", "FILLED"
CANCELED, EXPIRED, EXPIRED_IN_MATCH, REJECTED = "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"
OPEN = (NEW, PARTIALLY_FILLED)
TRADE, REPLACED, TRADE_PREVENTION = "TRADE", "REPLACED", "TRADE_PREVENTION"
SIDES = {+1: "BUY", -1: "SELL"}
KEEP = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """A requested order, parsed and on the grid, with the exchange's names.

    Attributes:
        quote_e8: Amount that a MARKET order spends or receives, in 1e-8 of the quote asset; 0 if *lots* is given.
        position_side: The position of a contract that it changes; the orders that close one of hedge mode are
            `reduce_only`.
        price_match: Name of the level of the book that gives an order of a contract its price.
    """

    side: int
    type: str
    time_in_force: str = "GTC"
    ticks: int = 0
    lots: int = 0
    quote_e8: int = 0
    client_id: str = ""
    stp: str = "NONE"
    response: str = "FULL"
    strategy_id: int | None = None
    strategy_type: int | None = None
    reduce_only: bool = False
    good_till_us: int = 0
    price_match: str = "NONE"
    position_side: str = BOTH


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order, with its fee in 1e-8 of the received asset; for a contract, of the quote asset."""

    trade_id: int
    order_id: int
    us: int
    ticks: int
    lots: int
    side: int
    is_maker: bool
    fee_e8: int
    realised_e8: int = 0
    position_side: str = BOTH


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A prevented self-trade, at the price of the resting order."""

    match_id: int
    us: int
    taker_id: int
    maker_id: int
    ticks: int
    stp: str
    taker_lots: int
    maker_lots: int


@dataclass(frozen=True, slots=True)
class Amendment:
    """One reduction of an order, which kept its queue position."""

    execution_id: int
    us: int
    old_client_id: str
    new_client_id: str
    old_lots: int
    new_lots: int


@dataclass(slots=True, kw_only=True)
class UserOrder:
    """An order that the matching core accepted, or a rejected order that is only reported.

    Attributes:
        core_id: Id in the core, which changes when the order is moved.
        is_short: The book had less than a MARKET order by quote quantity requested; the order then expires.
    """

    account: int
    request: NewOrder
    client_id: str
    us: int
    lots: int
    left_lots: int
    order_id: int = -1
    core_id: int = -1
    filled_lots: int = 0
    prevented_lots: int = 0
    spent_tl: int = 0
    reserved_e8: int = 0
    is_short: bool = False
    status: str = NEW
    cancel_id: str = ""
    updated_us: int = 0
    fills: list[Fill] = field(default_factory=list)
    prevented: list[PreventedMatch] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)
    moves: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def __post_init__(self) -> None:
        if self.core_id < 0:
            self.core_id = self.order_id

    def snapshot(self) -> "UserOrder":
        return replace(self, fills=[], prevented=[], amendments=[], moves=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """*kind* is ``NEW CANCELED REPLACED REJECTED TRADE EXPIRED TRADE_PREVENTION``."""

    execution_id: int
    kind: str
    us: int
    order: UserOrder
    client_id: str
    old_client_id: str = ""
    fill: Fill | None = None
    prevented: PreventedMatch | None = None
    prevented_lots: int = 0
    reject_reason: str = "NONE"
    notional_e8: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Position:
    """Balances after a change: free and locked, in 1e-8."""

    us: int
    base: tuple[int, int]
    quote: tuple[int, int]


@dataclass(frozen=True, slots=True)
class BalanceUpdate:
    """A deposit or withdrawal, in 1e-8 of the asset."""

    us: int
    asset: str
    amount_e8: int


class AccountEvent(Protocol):
    @property
    def us(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequest:
    """Identifies an order to cancel, to replace or to amend.

    *request_id* is the client id of the cancel, or of the amended order; empty if the exchange assigns one. With
    *when_exceeded_cancel* it cancels even if the replacement exceeds the order limit.
    """

    order_id: int | None = None
    client_id: str = ""
    request_id: str = ""
    restrictions: str = ""
    stop_on_failure: bool = True
    when_exceeded_cancel: bool = False


@dataclass(frozen=True, slots=True)
class CancelReplaced:
    cancelled: UserOrder | ApiError
    placed: UserOrder | ApiError | None
    exceeded: bool


class OrderStore:
    def __init__(self, keep: int) -> None:
        self.by_id: dict[int, UserOrder] = {}
        self._keep = keep
        self._names = 0
        self._own: dict[int, dict[int, UserOrder]] = {}
        self._open: dict[int, dict[int, UserOrder]] = {}
        self._named: dict[tuple[int, str], UserOrder] = {}
        self._fills: dict[int, list[Fill]] = {}
        self._prevented: dict[int, dict[int, PreventedMatch]] = {}

    def add_account(self, number: int) -> None:
        self._own[number], self._open[number], self._fills[number], self._prevented[number] = {}, {}, [], {}

    def new_name(self) -> str:
        self._names += 1
        return b32encode(blake2b(self._names.to_bytes(8, "big"), digest_size=14).digest()).decode()[:22]

    def add(self, order: UserOrder) -> None:
        own = self._own[order.account]
        self.by_id[order.core_id] = own[order.order_id] = order
        self._open[order.account][order.order_id] = order
        self._named[order.account, order.client_id] = order
        if len(own) > 2 * self._keep:
            for ended in [order for order in list(own.values())[: self._keep] if not order.is_open]:
                del own[ended.order_id]
                self.by_id.pop(ended.core_id, None)
                self._forget_name(ended, ended.client_id)

    def moved(self, order: UserOrder, core_id: int) -> None:
        del self.by_id[order.core_id]
        order.core_id = core_id
        self.by_id[core_id] = order

    def rename(self, order: UserOrder, old_client_id: str) -> None:
        self._forget_name(order, old_client_id)
        self._named[order.account, order.client_id] = order

    def note(self, number: int, execution: ExecutionReport) -> None:
        if execution.fill:
            fills = self._fills[number]
            fills.append(execution.fill)
            if len(fills) > 2 * self._keep:
                del fills[: self._keep]
        if execution.prevented:
            prevented = self._prevented[number]
            prevented[execution.prevented.match_id] = execution.prevented
            if len(prevented) > 2 * self._keep:
                self._prevented[number] = dict(list(prevented.items())[self._keep :])

    def open(self, number: int) -> list[UserOrder]:
        orders = self._open[number]
        for order_id in [order_id for order_id, order in orders.items() if not order.is_open]:
            del orders[order_id]
        return list(orders.values())

    def all(self, number: int) -> list[UserOrder]:
        return list(self._own[number].values())

    def fills(self, number: int) -> list[Fill]:
        return self._fills[number]

    def prevented(self, number: int) -> list[PreventedMatch]:
        return list(self._prevented[number].values())

    def find(self, number: int, order_id: int | None, client_id: str) -> tuple[UserOrder | None, bool]:
        """Return also whether both ids belong to the order."""
        if order_id is None:
            return self._named.get((number, client_id)), True
        order = self._own[number].get(order_id)
        return order, order is None or not client_id or order.client_id == client_id

    def _forget_name(self, order: UserOrder, client_id: str) -> None:
        # A client id can be reused once its order has ended; then it belongs to the later order.
        if self._named.get((order.account, client_id)) is order:
            del self._named[order.account, client_id]
