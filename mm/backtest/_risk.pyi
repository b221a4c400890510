# Generated from mm/backtest/_risk.pyx by `make stubs`; edit that file instead.

"""Risk limits, and the guard that applies them in the order manager; docs/risk.md specifies both.

The limits are one pure function in two halves (``_risk.pxd``): `stopped` returns the limit that stops all quotes,
`withheld` the one that an order would breach. ``check`` is the Python interface of both, ``risk.py`` has the limits and
their units.
"""

from mm.backtest._own_orders import OwnOrders
from mm.backtest.risk import RiskBreach, RiskLimits, RiskOrder, RiskStanding

def check(
    limits: RiskLimits, rules: object, standing: RiskStanding, order: RiskOrder | None = None
) -> RiskBreach | None:
    """Return the breached limit, or None: by the account and the market, or by a requested *order*.

    Args:
        limits: The limits.
        rules: An object with ``tick_e8`` and ``lot_e8``, the grid of prices and quantities.
        standing: Account, market and clock.
        order: The order; None checks only the limits on all quotes.
    """

class Guard:
    """The limits of one order manager, and their state between requotes.

    Args:
        orders: Our orders, account and journal.
        rules: ``mm.backtest.rules.Rules``; without limits it only handles `pull` and `kill`.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
    def used(self) -> dict[str, float]:
        """Return the used share of each limit: at the last requote, and for open orders."""
    def equities_e8(self) -> tuple[int, int, int]:
        """Return the equity at the last requote, at the start of the day, and the highest, in 1e-8 of the quote asset.

        The latter two are the initial values of a resumed run (`mm.backtest.risk.RiskLimits`).
        """
