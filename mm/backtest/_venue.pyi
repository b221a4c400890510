# Generated from mm/backtest/_venue.pyx by `make stubs`; edit that file instead.

"""The exchange's side: how the recorded market moves, and what becomes of our orders in it."""

from typing import Self

from mm.backtest.fills.base import FillModel

class Venue:
    """One symbol's market as it was recorded, with our orders, account and journal beside it.

    Args:
        fills: The fill model.
        rules: ``mm.backtest.rules.Rules``.
    """
    def __new__(cls, _quotes: object, fills: FillModel, rules: object) -> Self: ...
