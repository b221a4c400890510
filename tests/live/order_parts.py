"""What an exchange tells of orders, and order states that know it."""

from dataclasses import replace
from typing import Any

from mm.live.account.ledger import trade_mark
from mm.live.orders.states import OrderStates
from mm.live.venues.binance import CODES, STATES
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import OrderSeen


def seen_of(client_id: str, order_id: int, status: str, executed_e8: int, us: int, *qty_e8: int) -> OrderSeen:
    """Return what the exchange tells of an order with a status of its own."""
    return OrderSeen(client_id, order_id, STATES[status], executed_e8, us, *qty_e8)


def fill_of(trade_id: int, us: int, qty: str = "1", **other: Any) -> AccountFill:
    """Return a fill of the first order, or of another one with its own terms."""
    return replace(AccountFill(trade_id, 70, "c1", 1, "100", qty, "0.001", "SIM", us, True), **other)


def states_of(*booked: AccountFill) -> OrderStates:
    """Return order states that know the exchange's codes, with the fills of earlier runs."""
    return OrderStates(codes=CODES, booked={fill.trade_id: trade_mark(fill) for fill in booked})
