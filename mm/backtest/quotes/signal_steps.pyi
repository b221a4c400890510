# Generated from mm/backtest/quotes/signal_steps.pyx by `make stubs`; edit that file instead.

"""Steps that put a signal around a quote model: prices that follow it, a spread that widens with it, sizes that shrink.

A signal that is a price (``micro_price``, ``weighted_mid``, ``mid``) counts as its distance from the mid, in ticks.
Where a signal is not defined, quotes stay as they are.
"""

from mm.backtest.parameters import Check, Declaration, Parameter
from mm.backtest.quotes.steps import Step

SIGNAL: Parameter
BY: Check
NOT_BELOW_0: Check
MOST: Parameter

class Signalled(Step):
    """What steps with a signal share: where it stands among those of the run."""
    @property
    def signal(self) -> str: ...
    @property
    def by(self) -> float: ...

class PriceMove(Signalled):
    """Base of the steps that move prices by a signal, *most* ticks at most."""
    @property
    def most(self) -> float: ...

class ShiftBy(PriceMove):
    """Move both prices by *by* ticks per unit of a signal, up where it is positive."""

    declared: Declaration
    def __init__(self, inner: object, *, signal: str, by: float, most: float | None = None) -> None: ...

class WidenBy(PriceMove):
    """Quote further out on each side by *by* ticks per unit of a signal's absolute value."""

    declared: Declaration
    def __init__(self, inner: object, *, signal: str, by: float, most: float | None = None) -> None: ...

class SizeBy(Signalled):
    """Fewer lots on the side that a signal points against: asks where *by* times it is positive, bids where negative.

    The share that is left is ``1 - |by·signal|``, not below *least*; lots are floored.
    """

    declared: Declaration
    @property
    def least(self) -> float: ...
    @property
    def both(self) -> bool: ...
    def __init__(self, inner: object, *, signal: str, by: float, least: float = 0.0, both: bool = False) -> None: ...
