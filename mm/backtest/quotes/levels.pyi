# Generated from mm/backtest/quotes/levels.pyx by `make stubs`; edit that file instead.

"""The value of inventory levels: v' = -M v, and where it goes as the horizon goes away.

M is the matrix of Guéant, Lehalle and Fernandez-Tapia (2013) over the levels n = -Q .. Q of an inventory bound, in
units of the rate that stands off its diagonal: rho·n² - tilt·n on the diagonal, -1 beside it. What quotes need are the
steps ln v(n+1) - ln v(n). Values of neighbours may lie hundreds of powers of ten apart, so every method here keeps the
relative precision of each value: sums of positive terms, logarithms where numbers would run away.
"""

from typing import Self

MOST_LEVELS: int

class InventoryLevels:
    """Solves for the steps between inventory levels; holds the memory for it.

    Args:
        bound: Q, in orders; levels run from -Q to Q.
    """
    @property
    def bound(self) -> int: ...
    def __new__(cls, bound: int) -> Self: ...
    def steps(self, rho: float, tilt: float = 0.0, time: float | None = None, bend: float = 0.0) -> list[float]:
        """Return ln v(n+1) - ln v(n) for n = -Q .. Q-1.

        Args:
            rho, tilt: The diagonal of M is rho·n² - tilt·n.
            time: How far v has come; None is for ever, where v is M's eigenvector of the smallest eigenvalue.
            bend: v begins as exp(-bend·n²).
        """
