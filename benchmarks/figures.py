"""Means over simulated days with their Monte-Carlo errors, and comparison with their allowed ranges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ERRORS = 3.0  # tolerated distance of a figure from its bar, in standard errors


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over days, and its standard error; NaN if unknown."""

    value: float
    se: float

    def possible(self, low: float, high: float, errors: float = ERRORS) -> bool:
        """Return whether the truth may be between *low* and *high*, within *errors* standard errors of the mean."""
        reach = errors * self.se
        return low - reach <= self.value <= high + reach

    def verdict(self, low: float, high: float) -> str:
        """Return ``met``, ``MISSED``, or ``open`` if more days are needed to decide."""
        return "met" if low <= self.value <= high else "open" if self.possible(low, high) else "MISSED"


def figure(values: Sequence[float] | NDArray[np.float64]) -> Figure:
    """Return mean and standard error; for shares that are all 0 or 1, that of a single exception."""
    column = np.asarray(values, np.float64)
    known = column[np.isfinite(column)]
    if known.size < 2:
        return Figure(math.nan, math.nan)
    least = math.sqrt(known.size - 1) / known.size if set(known.tolist()) <= {0.0, 1.0} else 0.0
    return Figure(float(known.mean()), max(float(known.std(ddof=1)), least) / math.sqrt(known.size))


def share(of: Figure) -> str:
    """Return a figure as text; empty if unknown."""
    return f"{of.value:.4f} ± {of.se:.4f}" if math.isfinite(of.value) else ""
