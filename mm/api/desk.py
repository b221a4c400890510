"""The desk: clients with margin accounts, their limits, trading hours and kill switches."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mm.api.messages import OrderStatus, OrderType
from mm.backtest.engine._risk import check
from mm.backtest.preset import Preset
from mm.backtest.risk import RiskLimits, RiskOrder, RiskStanding, day_end_us
from mm.clock import US_PER_S
from mm.errors import OffGrid
from mm.instrument import E8, Instrument, short_text
from mm.sim.exchange.api_error import ApiError
from mm.sim.exchange.exchange import Walk
from mm.sim.exchange.margin import MarginAccount, MarginExchange, MarginRules
from mm.sim.exchange.orders import (
    CANCELED,
    EXPIRED,
    EXPIRED_IN_MATCH,
    FILLED,
    NEW,
    PARTIALLY_FILLED,
    CancelRequest,
    ExecutionReport,
    Fill,
    NewOrder,
    Position,
    UserOrder,
)
from mm.sim.flow.order_flow import Flow
from mm.sim.matching.order_log import MOST_LOTS, MOST_TICKS

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

KINDS: dict[OrderType, str] = {"limit": "LIMIT", "limit_maker": "LIMIT_MAKER", "market": "MARKET"}
NAMES: dict[str, OrderType] = {name: kind for kind, name in KINDS.items()}
FIRST_ACCOUNT = 1_000_000
"""Account number of the first client; lower numbers are the market's."""
MOST_CLIENTS, MOST_FILLS = 10_000, MarginExchange.keep
NO_LIMITS = RiskLimits()
KILLED, MANUAL = "killed", "manual"
_STATUSES: dict[str, OrderStatus] = {NEW: "open", PARTIALLY_FILLED: "partial", FILLED: "filled"}
_STP = "EXPIRE_TAKER"


@dataclass(slots=True)
class Client(MarginAccount):
    killed: str | None = None
    sent_us: deque[int] = field(default_factory=deque)
    day_e16: int = 0
    day_ends_us: int = 0


class OrderRefused(Exception):
    """An order is rejected, with the reason."""


Listener = Callable[[Client, ExecutionReport], None]


def status_of(order: UserOrder) -> OrderStatus:
    return _STATUSES.get(order.status, "cancelled")


def ended_by(order: UserOrder) -> str:
    reasons = {CANCELED: order.cancel_id, EXPIRED: "no_liquidity", EXPIRED_IN_MATCH: "self_trade"}
    return reasons.get(order.status, "")


def remaining_lots(order: UserOrder) -> int:
    return order.lots - order.filled_lots


class Desk:
    def __init__(
        self, core: "Matching", flow: Flow, grid: Instrument, preset: Preset, limits: RiskLimits = NO_LIMITS
    ) -> None:
        self.clients: dict[str, Client] = {}
        self.grid, self.preset, self.limits = grid, preset, limits
        rules = MarginRules(instrument=grid, reference_ticks=1, preset=preset)
        self.exchange = MarginExchange(rules, core, flow, (), 0, limits=False)
        self._core = core
        self._listeners: list[Listener] = []
        self._money = replace(grid, multiplier=preset.multiplier)
        self._unit_e16 = rules.unit_e16
        self._of_market = replace(limits, max_order_notional_e8=None)
        self._notional = RiskLimits(max_order_notional_e8=limits.max_order_notional_e8)

    # ------------------------------------------------------------------ time

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def advance(self, us: int) -> None:
        self.exchange.advance(us)
        if self.limits.max_daily_loss_e8 is not None:
            self._check_losses(client for client in self.clients.values() if client.lots)
        if self.clients and not self.is_open:
            for client in self.clients.values():
                self._cancel_all(client, "session_closed")

    @property
    def us(self) -> int:
        return self.exchange.now_us

    @property
    def changes(self) -> int:
        return self.exchange.update_id

    @property
    def open_orders(self) -> int:
        return sum(len(self.orders(client)) for client in self.clients.values())

    @property
    def is_open(self) -> bool:
        return self.preset.hours.is_open(self.us)

    # ------------------------------------------------------------------ orders

    def place(self, name: str, side: int, kind: OrderType, price_e8: int | None, size_e8: int) -> UserOrder:
        """The order has been matched on return; OrderRefused by a rule or a limit."""
        client = self._client(name)
        ticks = 0 if price_e8 is None else self._steps(price_e8, self.grid.tick_e8, "price", "tick size", MOST_TICKS)
        lots = self._steps(size_e8, self.grid.lot_e8, "size", "lot size", MOST_LOTS)
        self._admit(client, side, kind, ticks, lots)
        order = NewOrder(side=side, type=KINDS[kind], ticks=ticks, lots=lots, stp=_STP)
        try:
            return self.exchange.place(self.us, client.number, order)
        except ApiError:  # the only refusal that is left
            raise OrderRefused("would_cross: a limit_maker order at this price would take liquidity") from None

    def find(self, number: int) -> UserOrder | None:
        """Find an order that is open, or one of the client's last `MOST_FILLS`."""
        return self.exchange.users.by_id.get(number)

    def owner(self, order: UserOrder) -> str:
        return self.exchange.accounts[order.account].name

    def orders(self, client: Client) -> list[UserOrder]:
        return self.exchange.users.open(client.number) if client.number else []

    def fills(self, client: Client) -> list[Fill]:
        return self.exchange.users.fills(client.number)[-MOST_FILLS:] if client.number else []

    def cancel(self, order: UserOrder, why: str = "cancelled") -> None:
        if order.is_open:
            self.exchange.cancel(self.us, order.account, CancelRequest(order_id=order.order_id, request_id=why))

    def cancel_all(self, name: str) -> list[int]:
        client = self.clients.get(name)
        return self._cancel_all(client, "cancelled") if client else []

    def kill(self, name: str, reason: str = MANUAL) -> list[int]:
        return self._kill(self._client(name), reason)

    def rearm(self, name: str) -> None:
        if client := self.clients.get(name):
            client.killed = None
            self._check_losses([client])

    # ------------------------------------------------------------------ state

    def depth(self, side: int, levels: int) -> list[tuple[int, int]]:
        return self._core.depth(side, levels)

    def best(self) -> tuple[int, int]:
        bid, _, ask, _ = self._core.best()
        return bid, ask

    def profit_e16(self, client: Client) -> int:
        """Cash plus position, at the mid or else the last trade, 1e-16 of the quote asset."""
        return client.cash_e16 + client.lots * self._mark2() * self._unit_e16 // 2

    def use_of(self, client: Client) -> dict[str, int]:
        """Return the use of each limit by knob, in 1e-8 of its unit."""
        standing = self._risk_standing(client)
        long, short = client.lots + standing.open_buy_lots, standing.open_sell_lots - client.lots
        return {
            "max_position": max(long, short, 0) * self.grid.lot_e8,
            "max_open_orders": max(standing.open_buys, standing.open_sells) * E8,
            "max_orders_per_s": standing.sent * E8,
            "max_daily_loss": max(0, standing.day_equity_e8 - standing.equity_e8),
        }

    # ------------------------------------------------------------------ internals

    def _client(self, name: str) -> Client:
        client = self.clients.get(name)
        if client is None:
            if len(self.clients) >= MOST_CLIENTS:
                raise OrderRefused(f"too_many_clients: there are {MOST_CLIENTS:,} already; use an existing one")
            client = self.clients[name] = Client(FIRST_ACCOUNT + len(self.clients), name)
            self.exchange.add_account(client)
            self.exchange.watch(client.number, partial(self._report, client))
            self._begin_day(client)
        return client

    def _steps(self, value_e8: int, step_e8: int, what: str, step: str, most: int) -> int:
        steps, rest = divmod(value_e8, step_e8)
        if rest:
            raise OffGrid(f"{what} {short_text(value_e8)} is not a multiple of the {step} {short_text(step_e8)}")
        if steps > most:
            raise OffGrid(f"{what} {short_text(value_e8)} is more than {short_text(most * step_e8)}")
        return steps

    def _admit(self, client: Client, side: int, kind: str, ticks: int, lots: int) -> None:
        """Raise OrderRefused, or count the order as sent."""
        if not self.is_open:
            raise OrderRefused("session_closed: the market accepts no orders at this hour")
        if client.killed:
            raise OrderRefused(f"{KILLED}: {client.killed}; POST /risk/{client.name}/rearm allows it to trade again")
        if side < 0 and not self.preset.may_short:
            free = client.lots - sum(order.left_lots for order in self.orders(client) if order.request.side < 0)
            if lots > free:
                raise OrderRefused(f"short: {self.grid.qty(max(free, 0))} can be sold; a short position is not allowed")
        standing = self._risk_standing(client)
        priced = kind != "market"
        limits = self.limits if priced else self._of_market
        breach = check(limits, self._money, standing, RiskOrder(side, ticks, lots, priced))
        if breach is None and not priced and self._notional != NO_LIMITS:
            taken = RiskOrder(side, Walk(self._core, side, client.number, _STP).cost(lots), 1, priced)
            breach = check(self._notional, self._money, standing, taken)
        if breach is None:
            client.sent_us.append(self.us)
            return
        knob = breach.limit.lower()
        if breach.limit == "MAX_DAILY_LOSS":
            self._kill(client, knob)
        raise OrderRefused(f"{knob}: {short_text(breach.value_e8)} is beyond {short_text(breach.bound_e8)}")

    def _risk_standing(self, client: Client) -> RiskStanding:
        while client.sent_us and client.sent_us[0] <= self.us - US_PER_S:
            client.sent_us.popleft()
        if self.us >= client.day_ends_us:
            self._begin_day(client)
        bid, ask = self.best()
        buys, sells = ([order for order in self.orders(client) if order.request.side == side] for side in (+1, -1))
        return RiskStanding(
            us=self.us,
            mid2_ticks=bid + ask if bid and ask else 0,
            inventory_lots=client.lots,
            open_buy_lots=sum(buy.left_lots for buy in buys),
            open_sell_lots=sum(sell.left_lots for sell in sells),
            open_buys=len(buys),
            open_sells=len(sells),
            sent=len(client.sent_us),
            equity_e8=self.profit_e16(client) // E8,
            day_equity_e8=client.day_e16 // E8,
        )

    def _begin_day(self, client: Client) -> None:
        client.day_ends_us, client.day_e16 = day_end_us(self.us), self.profit_e16(client)

    def _check_losses(self, clients: Iterable[Client]) -> None:
        for client in clients:
            if client.killed is None and (breach := check(self.limits, self._money, self._risk_standing(client))):
                self._kill(client, breach.limit.lower())

    def _kill(self, client: Client, reason: str) -> list[int]:
        client.killed = client.killed or reason
        return self._cancel_all(client, KILLED)

    def _cancel_all(self, client: Client, why: str) -> list[int]:
        orders = self.orders(client)
        for order in orders:
            self.cancel(order, why)
        return [order.order_id for order in orders]

    def _mark2(self) -> int:
        bid, ask = self.best()
        last = self.exchange.tape.last
        return bid + ask if bid and ask else 2 * last.ticks if last else 0

    def _report(self, client: Client, event: ExecutionReport | Position) -> None:
        if isinstance(event, ExecutionReport):
            for listener in self._listeners:
                listener(client, event)
