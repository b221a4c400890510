# Generated from mm/backtest/_venue.pyx by `make stubs`; edit that file instead.

"""The interface of a venue: where an order manager sends its orders, and what every exchange asks of them."""

from mm.backtest._own_orders import OwnOrders

class OrderVenue:
    """Where an order manager sends its orders: a recorded market, a live feed on paper, or a gateway.

    A venue overrides `send`, `cancel`, `amend` and `taking_e16`, keeps `now_us`, and reports to *orders* what becomes
    of each order: `accepted`, `rejected`, `amended`, `filled`, `closed`. It never calls the order manager.

    Args:
        orders: Our orders and account.
        rules: ``mm.backtest.rules.Rules``: the exchange's filters and its quantity step.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
