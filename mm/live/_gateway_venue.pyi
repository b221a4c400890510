# Generated from mm/live/_gateway_venue.pyx by `make stubs`; edit that file instead.

"""A venue backed by a gateway: orders are queued as messages, and their outcome is reported from outside.

The order manager uses it like any venue. A message is a tuple in a queue; the gateway takes it, sends it to an
exchange and reports acceptances, fills and ends by order id, in the order of their arrival.
"""

from mm.backtest._own_orders import OwnOrders
from mm.backtest._venue import OrderVenue

class GatewayVenue(OrderVenue):
    """Orders that are sent out of this process; whether and when they arrive is not known here.

    Args:
        orders: Our orders and account.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
    def distrust_cash(self) -> None:
        """Check the cover of a buy by the balances of the exchange instead of the account of the run."""
    def funds(self, held_lots: int, held_e8: object) -> None:
        """Take over the balances of the exchange, free and locked: base asset in lots, quote asset in 1e-8."""
