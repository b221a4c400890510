"""How far equal things differ beyond their errors: the mean and the variance between them.

The variance is Paule and Mandel's (J. Res. NBS 87 (1982) 377-385): squared deviations, each over its own variance, add
up to the degrees of freedom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mm.base.arrays import Floats
from mm.base.estimate import Estimate, student_quantile
from mm.base.numbers import NORMAL

LEAST = 3  # values, for a variance between them
STEPS = 60  # of the bisection


@dataclass(frozen=True, slots=True)
class Shared:
    """A normal distribution of values, such as a parameter's over stretches of time; None of too few."""

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float], errors: Sequence[float]) -> Self | None:
        if len(values) < LEAST:
            return None
        x, squares = np.asarray(values, np.float64), np.asarray(errors, np.float64) ** 2
        low, high = 0.0, float(((x - x.mean()) ** 2).sum()) + 1e-300
        for _ in range(STEPS if _spread(x, squares) > len(x) - 1 else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if _spread(x, squares + middle) > len(x) - 1 else (low, middle)
        variance = low
        weights = 1 / np.maximum(squares + variance, 1e-300)
        return cls(float((weights * x).sum() / weights.sum()), math.sqrt(variance), len(x))

    def shrunk(self, value: float, error: float) -> tuple[float, float]:
        own, between = error**2, self.sd**2
        if own + between == 0:
            return value, error
        share = between / (own + between)
        return self.mean + share * (value - self.mean), math.sqrt(share) * error

    def estimate(self, value: float, error: float, wide: float = NORMAL) -> Estimate:
        """Return the estimate drawn to the mean, with its 95 % interval.

        The interval allows for the errors of mean and deviation: Morris, JASA 78 (1983) 47-55, eq. 4.1.
        """
        own, every = error**2, error**2 + self.sd**2
        if every == 0:
            return Estimate(value)
        drawn = own / every * (self.n - 3) / (self.n - 1)
        alone = math.sqrt(own * (1 - drawn))
        shared = drawn * math.sqrt(every / self.n + 2 * (value - self.mean) ** 2 / max(self.n - 3, 1))
        centre = value + drawn * (self.mean - value)
        half = math.hypot(wide * alone, student_quantile(self.n - 1) * shared)
        return Estimate(centre, math.hypot(alone, shared), centre - half, centre + half, self.n)


def _spread(values: Floats, variances: Floats) -> float:
    weights = 1 / np.maximum(variances, 1e-300)
    mean = (weights * values).sum() / weights.sum()
    return float((weights * (values - mean) ** 2).sum())
