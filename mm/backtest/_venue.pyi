# Generated from mm/backtest/_venue.pyx by `make stubs`; edit that file instead.

"""The venue interface, to which an order manager sends its orders, and the order rules of all exchanges."""

from mm.backtest._own_orders import OwnOrders

class OrderVenue:
    """Base of venues, to which an order manager sends its orders: a recorded market, a paper live feed, or a gateway.

    A venue overrides `send`, `cancel`, `amend` and `taking_e16`, updates `now_us`, and reports the state of each order
    to *orders*: `accepted`, `rejected`, `amended`, `filled`, `closed`. It never calls the order manager.

    Args:
        orders: Our orders and account.
        rules: ``mm.backtest.rules.Rules``: the exchange's filters and its quantity step.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
