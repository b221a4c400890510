# Generated from mm/backtest/quotes/signal_steps.pyx by `make stubs`; edit that file instead.

"""Steps that adjust quotes by a signal: shift prices, widen the spread, reduce sizes.

A price signal (``micro_price``, ``weighted_mid``, ``mid``) is used as its distance from the mid, in ticks.
While a signal is undefined, quotes stay unchanged.
"""

from mm.backtest.parameters import Check, Declaration, Parameter
from mm.backtest.quotes.steps import Step

SIGNAL: Parameter
BY: Check
NOT_BELOW_0: Check
MOST: Parameter

class Signalled(Step):
    """Base of steps with a signal."""
    @property
    def signal(self) -> str: ...
    @property
    def by(self) -> float: ...

class PriceMove(Signalled):
    """Base of the steps that move prices by a signal, by at most *most* ticks."""
    @property
    def most(self) -> float: ...

class ShiftBy(PriceMove):
    """Move both prices by *by* ticks per unit of a signal, up if it is positive."""

    declared: Declaration
    def __init__(self, inner: object, *, signal: str, by: float, most: float | None = None) -> None: ...

class WidenBy(PriceMove):
    """Quote further out on each side by *by* ticks per unit of a signal's absolute value."""

    declared: Declaration
    def __init__(self, inner: object, *, signal: str, by: float, most: float | None = None) -> None: ...

class SizeBy(Signalled):
    """Reduce the lots on the side opposed to a signal: asks if *by* times the signal is positive, bids if negative.

    The remaining share is ``1 - |by·signal|``, at least *least*; lots are floored.
    """

    declared: Declaration
    @property
    def least(self) -> float: ...
    @property
    def both(self) -> bool: ...
    def __init__(self, inner: object, *, signal: str, by: float, least: float = 0.0, both: bool = False) -> None: ...
