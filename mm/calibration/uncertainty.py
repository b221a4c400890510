"""What a fit does not know: other A and k that the data would have allowed."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.fit_result import PoissonFit
from mm.errors import FitError

if TYPE_CHECKING:
    from mm.calibration.fit_result import Interval

NORMAL_95 = 1.959964


def draws(fit: PoissonFit, count: int, seed: int) -> Iterator[PoissonFit]:
    """Yield *count* fits whose ln A and k are drawn from the normal law of their estimates.

    Their standard errors are those by blocks where the fit has them and they are the larger ones, their correlation is
    the likelihood's; k is drawn again where it would not be positive. Equal seeds, equal draws.

    Raises:
        FitError: If the fit is not usable, or does not say how far it may be off.
    """
    A, k = fit.parameters()
    if fit.se_logA is None or fit.se_k is None or fit.cov_logA_k is None:
        raise FitError("the fit has no standard errors to draw from (se_logA, se_k, cov_logA_k); fit again")
    error_a = max(fit.se_logA, _half_width(fit.ci95_A_block, logarithm=True))
    error_k = max(fit.se_k, _half_width(fit.ci95_k_block))
    correlation = fit.cov_logA_k / (fit.se_logA * fit.se_k) if fit.se_logA and fit.se_k else 0.0
    random = np.random.default_rng(seed)
    left = count
    while left:
        first, second = random.standard_normal(2).tolist()
        drawn_k = k + error_k * first
        if drawn_k <= 0:
            continue
        off = correlation * first + math.sqrt(max(1 - correlation**2, 0.0)) * second
        drawn_a = A * math.exp(error_a * off)
        yield replace(fit, A=drawn_a, k=drawn_k, logA=math.log(drawn_a))
        left -= 1


def _half_width(interval: "Interval | None", *, logarithm: bool = False) -> float:
    """Return the standard error that a 95 % interval speaks of; 0 without one."""
    if interval is None:
        return 0.0
    low, high = interval
    if logarithm:
        if low <= 0:
            return 0.0
        low, high = math.log(low), math.log(high)
    return (high - low) / (2 * NORMAL_95)
