# Generated from mm/calibration/_rows.pyx by `make stubs`; edit that file instead.

"""The likelihood at one k: value, first and second derivative, and those of Jeffreys prior, in three passes.

Why compiled: a fit evaluates it some two hundred times, on tables of five to a hundred rows, where each
numpy call costs more than its work (``mm bench calibration``, row "one fit").
"""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray

LEAST_K: float
FARTHEST: float

class At:
    """The likelihood of the rows at one k, and its moments.

    Shares p are proportional to exposure · g(k); a spread is the variance of the depth within a cell.

    Attributes:
        k: In units of the table.
        log_mass: Ln of the sum of exposure · g(k).
        log_likelihood: Multinomial log-likelihood of the fills with shares p, without factorials.
        mean: Mean depth under p.
        seen: Mean depth of the fills.
        variance: Variance of the depths under p: the information of one fill.
        inner: Mean spread under p.
        seen_inner: Mean spread of the fills.
        total: Number of fills.
        prior_slope: Derivative in k of half of ln of *variance*; pointing to 0 where *variance* underflows.
        prior_bend: Derivative of *prior_slope*.
    """
    @property
    def k(self) -> float: ...
    @property
    def log_mass(self) -> float: ...
    @property
    def log_likelihood(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def seen(self) -> float: ...
    @property
    def variance(self) -> float: ...
    @property
    def inner(self) -> float: ...
    @property
    def seen_inner(self) -> float: ...
    @property
    def total(self) -> float: ...
    @property
    def prior_slope(self) -> float: ...
    @property
    def prior_bend(self) -> float: ...
    @property
    def score(self) -> float:
        """Derivative of the log-likelihood in k."""
    @property
    def bend(self) -> float:
        """Derivative of the score."""
    @property
    def penalised_log_likelihood(self) -> float:
        """Log-likelihood plus ln of Jeffreys prior: half of ln of the information of one fill."""
    @property
    def penalised_score(self) -> float:
        """Derivative of the penalised log-likelihood."""
    @property
    def penalised_bend(self) -> float:
        """Second derivative of the penalised log-likelihood."""

class Rows:
    """Rows of distance, width, ln of exposure and fills, for evaluation at any k.

    Args:
        delta: Distance of a row, or near edge of its cell.
        width: Width of its cell; inf for an order resting at delta. With any finite width k must be positive.
        log_exposure: Ln of its exposure.
        fills: Its fills.
    """
    def __new__(
        cls,
        delta: NDArray[np.float64],
        width: NDArray[np.float64],
        log_exposure: NDArray[np.float64],
        fills: NDArray[np.float64],
    ) -> Self: ...
    def at(self, k: float) -> At:
        """Return likelihood and moments at *k*."""
    def falls_at(
        self,
        slope: Callable[[At], tuple[float, float]] | None,
        start: float,
        floor: float,
        low: float = ...,
        high: float = ...,
    ) -> float:
        """Return a k where a slope falls through zero, by bracketed Newton steps; *floor* if it is negative there.

        If there are several, it is any of them.

        Args:
            slope: Returns the slope and its derivative at one k; None for the score.
            start: Initial k.
            floor: Smallest k.
            low, high: Ends of the bracket.
        """
    def profile_ends(
        self, estimate: object, near: float, span: float, limit: float, floor: float, *, penalised: bool
    ) -> tuple[float, float, float, float]:
        """Return the ends of the profile-likelihood intervals of k, in units of the span, and of ln A; NaN for none.

        Args:
            estimate: The peak, in ticks.
            near, span: Nearest distance of the table, and that from it to the farthest, in ticks.
            limit: Square root of twice the decrease of the log-likelihood at an end.
            floor: The smallest k.
            penalised: Whether the likelihood includes Jeffreys prior.
        """
    def alone(self, peak: float) -> bool:
        """Return whether *peak* is proven to be the only peak of the likelihood of cells.

        The score of one fill, F, is the difference of two decreasing functions, (F + B) and B, where B is the excess
        depth of the fills within their cells over that within the narrowest cell: so between two points F rises at
        most by the decrease of B.

        Args:
            peak: The k of a peak.
        """
