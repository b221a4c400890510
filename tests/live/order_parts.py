"""What an exchange tells of orders, and order states that know it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from gateway_rig import MemoryAudit
from played_api import PlayedApi

from mm.live.account.background import BackgroundTasks
from mm.live.account.fee_values import FeeValues
from mm.live.account.holdings import Holdings
from mm.live.account.ledger import trade_mark
from mm.live.orders.access import GatewayRun
from mm.live.orders.queries import OrderQueries
from mm.live.orders.reports import OrderReports
from mm.live.orders.states import OrderStates
from mm.live.orders.symbol_rules import SymbolRules
from mm.live.venues.binance import CODES, STATES
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import OrderSeen
from mm.live.venues.request_limits import OrderLimits
from mm.live.venues.requests import ExchangeClock
from mm.live.venues.venue import AccountVenue, OrderFilters


def seen_of(client_id: str, order_id: int, status: str, executed_e8: int, us: int, *qty_e8: int) -> OrderSeen:
    """Return what the exchange tells of an order with a status of its own."""
    return OrderSeen(client_id, order_id, STATES[status], executed_e8, us, *qty_e8)


def fill_of(trade_id: int, us: int, qty: str = "1", **other: Any) -> AccountFill:
    """Return a fill of the first order, or of another one with its own terms."""
    return replace(AccountFill(trade_id, 70, "c1", 1, "100", qty, "0.001", "SIM", us, True), **other)


def queries_of(
    venue: AccountVenue,
    api: PlayedApi,
    run: GatewayRun,
    states: OrderStates,
    filters: OrderFilters,
    *,
    holdings: Holdings | None = None,
    clock: ExchangeClock | None = None,
    limits: OrderLimits | None = None,
    fees: FeeValues | None = None,
    **more: Any,
) -> OrderQueries:
    """Return the queries of a symbol at an exchange whose answers a test gives."""
    session: Any = SimpleNamespace(
        venue=venue,
        api=api,
        clock=clock or ExchangeClock(lambda: 10**15),
        holdings=holdings or Holdings(),
        limits=limits or OrderLimits(),
    )
    rules = SymbolRules(run.symbol, session, OrderReports(MemoryAudit(), FeeValues()), BackgroundTasks(print), None)
    rules.filters = filters
    return OrderQueries(session, run, states, rules, fees=fees or FeeValues(), **more)


def states_of(*booked: AccountFill) -> OrderStates:
    """Return order states that know the exchange's codes, with the fills of earlier runs."""
    return OrderStates(codes=CODES, booked={fill.trade_id: trade_mark(fill) for fill in booked})
