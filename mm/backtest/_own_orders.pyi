# Generated from mm/backtest/_own_orders.pyx by `make stubs`; edit that file instead.

"""Our open orders, our account, and the journal of both: what the order manager and its venue share.

The order manager adds what it sends, a venue reports what becomes of it; neither holds the other's state.
"""

from typing import Self

class OwnOrders:
    """The open orders, the account and the journal of one run; it begins as ``mm.backtest.rules.Rules`` says."""
    def __new__(cls, rules: object, keeps_orders: bool = True) -> Self: ...
