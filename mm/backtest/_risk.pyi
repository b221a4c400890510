# Generated from mm/backtest/_risk.pyx by `make stubs`; edit that file instead.

"""The limits on our orders, and the guard that applies them in the order manager; docs/risk.md specifies both.

The limits are one pure function in two halves (``_risk.pxd``): `stopped` says what stops all quotes, `withheld` what
one order would break. ``check`` is the face of both for Python, ``risk.py`` names the limits and their units.
"""

from mm.backtest._own_orders import OwnOrders
from mm.backtest.risk import RiskBreach, RiskLimits, RiskOrder, RiskStanding

def check(
    limits: RiskLimits, rules: object, standing: RiskStanding, order: RiskOrder | None = None
) -> RiskBreach | None:
    """Return the limit that is broken, or None: by the account and the market, or by an *order* that is wanted.

    Args:
        limits: The limits.
        rules: What has ``tick_e8`` and ``lot_e8``: the grid of prices and quantities.
        standing: Account, market and clock.
        order: The order; None asks only whether quotes may stand at all.
    """

class Guard:
    """The limits of one order manager, and what they need to know from one requote to the next.

    Args:
        orders: Our orders, account and journal.
        rules: ``mm.backtest.rules.Rules``; without limits it only pulls and kills from outside.
    """
    def __init__(self, orders: OwnOrders, rules: object) -> None: ...
    def used(self) -> dict[str, float]:
        """Return how much of each limit is used, as a share of its bound: at the last requote, and of what is open."""
    def equities_e8(self) -> tuple[int, int, int]:
        """Return the equity, that when the day began and the highest, at the last requote, in 1e-8 of the quote asset.

        The latter two are what a run that goes on is given (`mm.backtest.risk.RiskLimits`).
        """
