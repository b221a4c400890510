"""The desk: clients, their orders, fills, positions and limits, above one matching core.

Calls have no time argument: the desk's time is that of the last `advance`, up to which the market has been played.
Nothing here depends on HTTP; `listen` registers a listener for pushed fills.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mm.api.messages import OrderStatus, OrderType
from mm.backtest._risk import check
from mm.backtest.preset import Preset
from mm.backtest.risk import RiskLimits, RiskOrder, RiskStanding, day_end_us
from mm.clock import US_PER_S
from mm.errors import OffGrid
from mm.instrument import E8, Instrument, short_text
from mm.sim.flow.market import Flow
from mm.sim.matching.order_log import (
    LIMIT,
    MAKER,
    MARKET,
    MOST_LOTS,
    MOST_TICKS,
    REASON_STP,
    ROW_EXPIRE,
    ROW_TRADE,
    STP_EXPIRE_TAKER,
    WOULD_CROSS,
)

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

KINDS = {"limit": LIMIT, "limit_maker": MAKER, "market": MARKET}
FIRST_ACCOUNT = 1_000_000
"""Account number of the first client; lower numbers are the market's."""
MOST_CLIENTS, MOST_ENDED, MOST_FILLS = 10_000, 100_000, 10_000
NO_LIMITS = RiskLimits()
KILLED, MANUAL = "killed", "manual"


@dataclass(slots=True)
class DeskOrder:
    """An order of a client that the matching core has accepted.

    Attributes:
        number: Its number in the core.
        side: +1 buy, -1 sell.
        ticks: Limit price; 0 for a market order.
        left: Unfilled lots.
        ended: Why it no longer rests; empty while it rests, and if it was filled.
    """

    number: int
    client: "Client"
    side: int
    kind: OrderType
    ticks: int
    lots: int
    left: int
    us: int
    ended: str = ""

    @property
    def status(self) -> OrderStatus:
        """The state of the order as a status of the interface."""
        if not self.left:
            return "filled"
        if self.ended:
            return "cancelled"
        return "open" if self.left == self.lots else "partial"


@dataclass(frozen=True, slots=True)
class DeskFill:
    """A fill of a client's order."""

    order: DeskOrder
    trade_id: int
    ticks: int
    lots: int
    us: int
    took: bool
    fee_e8: int


@dataclass(slots=True)
class Client:
    """A client: its orders, fills, cash and limits.

    Attributes:
        cash_e16: Income of its fills minus their fees, in 1e-16 of the quote asset.
        killed: Why it may not trade; None if it may.
        sent_us: Arrival times of its orders in the last second, µs.
        day_e16: Its profit at the start of the current day, in 1e-16 of the quote asset.
    """

    name: str
    account: int
    lots: int = 0
    cash_e16: int = 0
    fees_e8: int = 0
    open: dict[int, DeskOrder] = field(default_factory=dict)
    fills: deque[DeskFill] = field(default_factory=lambda: deque(maxlen=MOST_FILLS))
    killed: str | None = None
    sent_us: deque[int] = field(default_factory=deque)
    day_e16: int = 0
    day_ends_us: int = 0

    def open_of(self, side: int) -> list[DeskOrder]:
        """Return its open orders on a side, oldest first."""
        return [one for one in self.open.values() if one.side == side]


class OrderRefused(Exception):
    """An order that is rejected, with the reason."""


Listener = Callable[[DeskFill], None]


class Desk:
    """Clients on one matching core.

    Args:
        core: The matching engine; nothing else may drain its log.
        flow: The order flow of the market.
        grid: The instrument.
        preset: Multiplier, fees, hours and whether short positions are allowed; its tick and lot sizes are ignored.
        limits: Limits of each client, as far as a desk can check them.

    Attributes:
        us: The current instant, µs.
        clients: Clients by name that have sent an order or were killed.
        changes: Increases with each change of the book.
    """

    def __init__(
        self, core: "Matching", flow: Flow, grid: Instrument, preset: Preset, limits: RiskLimits = NO_LIMITS
    ) -> None:
        self.us = 0
        self.clients: dict[str, Client] = {}
        self.grid, self.preset, self.limits = grid, preset, limits
        self._core, self._flow = core, flow
        self._live: dict[int, DeskOrder] = {}
        self._ended: OrderedDict[int, DeskOrder] = OrderedDict()
        self._listeners: list[Listener] = []
        self._money = replace(grid, multiplier=preset.multiplier)
        self._unit_e16 = self._money.tick_lot_e16
        self._of_market = replace(limits, max_order_notional_e8=None)
        self._notional = RiskLimits(max_order_notional_e8=limits.max_order_notional_e8)
        self._last_ticks = 0

    # ------------------------------------------------------------------ time

    def listen(self, listener: Listener) -> None:
        """Call *listener* with each further fill, the maker's before the taker's."""
        self._listeners.append(listener)

    def advance(self, us: int) -> None:
        """Advance the market to *us*."""
        self.us = max(self.us, us)
        self._flow.advance(self.us)
        self._take_rows()
        if self.limits.max_daily_loss_e8 is not None:
            self._check_losses(client for client in self.clients.values() if client.lots)
        if self._live and not self.is_open:
            for order in list(self._live.values()):
                self._withdraw(order, "session_closed")

    @property
    def changes(self) -> int:
        """Increases with each change of the book."""
        return int(self._core.update_id)

    @property
    def open_orders(self) -> int:
        """Number of open orders of clients."""
        return len(self._live)

    @property
    def is_open(self) -> bool:
        """Whether orders are accepted at the current time."""
        return self.preset.hours.is_open(self.us)

    # ------------------------------------------------------------------ orders

    def place(self, name: str, side: int, kind: OrderType, price_e8: int | None, size_e8: int) -> DeskOrder:
        """Send an order of a client; it has been matched when the call returns.

        Raises:
            OrderRefused: If a rule of the market or a limit of the client rejects it.
        """
        client = self._client(name)
        ticks = 0 if price_e8 is None else self._steps(price_e8, self.grid.tick_e8, "price", "tick size", MOST_TICKS)
        lots = self._steps(size_e8, self.grid.lot_e8, "size", "lot size", MOST_LOTS)
        self._admit(client, side, kind, ticks, lots)
        number = self._core.submit(self.us, client.account, side, ticks, lots, KINDS[kind], STP_EXPIRE_TAKER)
        if number == WOULD_CROSS:
            self._take_rows()
            raise OrderRefused("would_cross: a limit_maker order at this price would take liquidity")
        order = DeskOrder(number, client, side, kind, ticks, lots, lots, self.us)
        self._live[number] = client.open[number] = order
        self._take_rows()
        return order

    def find(self, number: int) -> DeskOrder | None:
        """Return an order of a client by its number, if it is open or one of the last `MOST_ENDED`."""
        return self._live.get(number) or self._ended.get(number)

    def cancel(self, order: DeskOrder) -> None:
        """Cancel an order; an order that no longer rests is not changed."""
        if order.number in self._live:
            self._withdraw(order, "cancelled")

    def cancel_all(self, name: str) -> list[int]:
        """Cancel a client's open orders; return their numbers, oldest first."""
        client = self.clients.get(name)
        return self._withdraw_all(client, "cancelled") if client else []

    def kill(self, name: str, reason: str = MANUAL) -> list[int]:
        """Trigger a client's kill switch: cancel its orders, whose numbers are returned, and reject further ones.

        Raises:
            OrderRefused: If there are too many clients for another one.
        """
        return self._kill(self._client(name), reason)

    def rearm(self, name: str) -> None:
        """Allow a client to trade again; a loss beyond the limit triggers the switch again."""
        if client := self.clients.get(name):
            client.killed = None
            self._check_losses([client])

    # ------------------------------------------------------------------ state

    def depth(self, side: int, levels: int) -> list[tuple[int, int]]:
        """Return (ticks, lots) of a side's best levels."""
        return self._core.depth(side, levels)

    def best(self) -> tuple[int, int]:
        """Return best bid and best ask in ticks, 0 for an empty side."""
        bid, _, ask, _ = self._core.best()
        return bid, ask

    def profit_e16(self, client: Client) -> int:
        """Return cash plus position, at the mid or else at the last trade, in 1e-16 of the quote asset.

        It is rounded down if half a tick of the position is not a whole number of these units.
        """
        return client.cash_e16 + client.lots * self._mark2() * self._unit_e16 // 2

    def use_of(self, client: Client) -> dict[str, int]:
        """Return the use of each limit by a client, by knob, in 1e-8 of the limit's unit."""
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
            client = self.clients[name] = Client(name, FIRST_ACCOUNT + len(self.clients))
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
        """Raise OrderRefused if an order must not be sent; else count it as sent."""
        if not self.is_open:
            raise OrderRefused("session_closed: the market accepts no orders at this hour")
        if client.killed:
            raise OrderRefused(f"{KILLED}: {client.killed}; POST /risk/{client.name}/rearm allows it to trade again")
        if side < 0 and not self.preset.may_short:
            free = client.lots - sum(one.left for one in client.open_of(-1))
            if lots > free:
                raise OrderRefused(f"short: {self.grid.qty(max(free, 0))} can be sold; a short position is not allowed")
        standing = self._risk_standing(client)
        priced = kind != "market"
        limits = self.limits if priced else self._of_market
        breach = check(limits, self._money, standing, RiskOrder(side, ticks, lots, priced))
        if breach is None and not priced and self._notional != NO_LIMITS:
            taken = RiskOrder(side, self._cost(side, lots), 1, priced)
            breach = check(self._notional, self._money, standing, taken)
        if breach is None:
            client.sent_us.append(self.us)
            return
        knob = breach.limit.lower()
        if breach.limit == "MAX_DAILY_LOSS":
            self._kill(client, knob)
        raise OrderRefused(f"{knob}: {short_text(breach.value_e8)} is beyond {short_text(breach.bound_e8)}")

    def _cost(self, side: int, lots: int) -> int:
        """Return the current cost of a market order, in tick·lots."""
        total = 0
        for ticks, available in self._core.depth(-side, None):
            taken = min(available, lots)
            total, lots = total + ticks * taken, lots - taken
            if not lots:
                break
        return total

    def _risk_standing(self, client: Client) -> RiskStanding:
        """Return the values that the limits check."""
        while client.sent_us and client.sent_us[0] <= self.us - US_PER_S:
            client.sent_us.popleft()
        if self.us >= client.day_ends_us:
            self._begin_day(client)
        bid, ask = self.best()
        buys, sells = client.open_of(+1), client.open_of(-1)
        return RiskStanding(
            us=self.us,
            mid2_ticks=bid + ask if bid and ask else 0,
            inventory_lots=client.lots,
            open_buy_lots=sum(one.left for one in buys),
            open_sell_lots=sum(one.left for one in sells),
            open_buys=len(buys),
            open_sells=len(sells),
            sent=len(client.sent_us),
            equity_e8=self.profit_e16(client) // E8,
            day_equity_e8=client.day_e16 // E8,
        )

    def _begin_day(self, client: Client) -> None:
        client.day_ends_us, client.day_e16 = day_end_us(self.us), self.profit_e16(client)

    def _check_losses(self, clients: Iterable[Client]) -> None:
        """Kill the clients whose loss of the day is too large."""
        for client in clients:
            if client.killed is None and (breach := check(self.limits, self._money, self._risk_standing(client))):
                self._kill(client, breach.limit.lower())

    def _kill(self, client: Client, reason: str) -> list[int]:
        client.killed = client.killed or reason
        return self._withdraw_all(client, KILLED)

    def _withdraw_all(self, client: Client, why: str) -> list[int]:
        orders = list(client.open.values())
        for order in orders:
            self._withdraw(order, why)
        return [order.number for order in orders]

    def _withdraw(self, order: DeskOrder, why: str) -> None:
        self._core.cancel(self.us, order.number)
        self._end(order, why)
        self._take_rows()

    def _end(self, order: DeskOrder, why: str) -> None:
        order.ended = why
        self._live.pop(order.number, None)
        order.client.open.pop(order.number, None)
        self._ended[order.number] = order
        if len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)

    def _mark2(self) -> int:
        """Return the mark price of positions, in half ticks."""
        bid, ask = self.best()
        return bid + ask if bid and ask else 2 * self._last_ticks

    def _take_rows(self) -> None:
        """Process the rows of the core since the last call."""
        for row in self._core.take_log().tolist():
            kind, number, other, side = row[1], row[2], row[3], row[5]
            if kind == ROW_TRADE:
                self._last_ticks = row[6]
                self._fill(other, row, -side, took=False)
                self._fill(number, row, side, took=True)
            elif kind == ROW_EXPIRE and number in self._live:
                self._end(self._live[number], "self_trade" if other == REASON_STP else "no_liquidity")

    def _fill(self, number: int, row: list[int], side: int, *, took: bool) -> None:
        """Book one side of a trade if it is a client's."""
        order = self._live.get(number)
        if order is None:
            return
        us, ticks, lots, trade_id = row[0], row[6], row[7], row[8]
        client, notional_e16 = order.client, ticks * lots * self._unit_e16
        fee_e8 = self.preset.fees.of(lots * self.grid.lot_e8, notional_e16, taker=took)
        client.lots += side * lots
        client.cash_e16 -= side * notional_e16 + fee_e8 * E8
        client.fees_e8 += fee_e8
        order.left -= lots
        if not order.left:
            self._end(order, "")
        fill = DeskFill(order, trade_id, ticks, lots, us, took, fee_e8)
        client.fills.append(fill)
        for listener in self._listeners:
            listener(fill)
