# Generated from mm/backtest/_paper_venue.pyx by `make stubs`; edit that file instead.

"""A venue on paper: how its market moves, recorded or live, and what becomes of our orders in it."""

from typing import final

from mm.backtest._own_orders import OwnOrders
from mm.backtest._venue import OrderVenue
from mm.backtest.fills.base import FillModel

@final
class PaperVenue(OrderVenue):
    """One symbol's market, with our orders in it: messages travel, orders rest and take, a fill model fills them.

    Args:
        orders: Our orders and account.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __init__(self, orders: OwnOrders, fills: FillModel, rules: object) -> None: ...
