# Generated from mm/backtest/_paper_venue.pyx by `make stubs`; edit that file instead.

"""The paper venue: plays a market, recorded or live, and matches our orders in it."""

from typing import final

from mm.backtest._own_orders import OwnOrders
from mm.backtest._venue import OrderVenue
from mm.backtest.fills.base import FillModel

@final
class PaperVenue(OrderVenue):
    """One symbol's market with our orders: applies latencies, executes or rests arriving orders, fills by a model.

    Args:
        orders: Our orders and account.
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __init__(self, orders: OwnOrders, fills: FillModel, rules: object) -> None: ...
