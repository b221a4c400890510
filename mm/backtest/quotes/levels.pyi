# Generated from mm/backtest/quotes/levels.pyx by `make stubs`; edit that file instead.

"""Values of the inventory levels: the solution of v' = -M v, for a finite and an infinite horizon.

M is the matrix of Guéant, Lehalle and Fernandez-Tapia (2013) over the levels n = -Q .. Q of an inventory bound, in
units of its off-diagonal rate: rho·n² - tilt·n on the diagonal, -1 next to it. Quotes need the steps
ln v(n+1) - ln v(n). Neighbouring values may differ by hundreds of powers of ten, so every method keeps the relative
precision of each value: sums of positive terms, and logarithms against overflow.
"""

from typing import Self

MOST_LEVELS: int

class InventoryLevels:
    """Solves for the steps between inventory levels; owns the work arrays.

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
            time: Time to the horizon; None is infinite: v is then M's eigenvector of the smallest eigenvalue.
            bend: v is exp(-bend·n²) at the horizon.
        """
