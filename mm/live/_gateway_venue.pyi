# Generated from mm/live/_gateway_venue.pyx by `make stubs`; edit that file instead.

"""A venue that is a gateway: orders leave as messages, and what becomes of them is reported from outside.

The order manager sends to it as to any venue. Here a message is a tuple that waits until it is taken; the gateway
brings it to an exchange and reports acceptances, fills and ends by order id, in whatever order they come.
"""

from mm.backtest._own_orders import OwnOrders
from mm.backtest._venue import OrderVenue

class GatewayVenue(OrderVenue):
    """Orders that leave this process; nothing here says when, or whether, they arrive.

    Args:
        orders: Our orders and account.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
    def distrust_cash(self) -> None:
        """Let the balances of the exchange decide whether a buy is covered, and not the account of the run."""
    def funds(self, held_lots: int, held_e8: object) -> None:
        """Take over the balances of the exchange, free and locked: base asset in lots, quote asset in 1e-8."""
