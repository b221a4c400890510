# Generated from mm/backtest/_own_orders.pyx by `make stubs`; edit that file instead.

"""Our open orders, our account, and the journal of both; shared by the order manager and its venue.

The order manager adds the orders that it sends, a venue reports their states; neither holds the other's state.
"""

from typing import Self

class OwnOrders:
    """The open orders, account and journal of one run; the initial state is that of ``mm.backtest.rules.Rules``."""
    def __new__(cls, rules: object, keeps_orders: bool = True) -> Self: ...
