"""Parser of a fit's block ``clustering``: self-excitation of aggressive orders."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from mm.errors import FitError, UsageError

SIDES = ("bid", "ask")  # of the book that orders hit

Pair = tuple[float, float]


class Kernel(NamedTuple):
    """One exponential kernel.

    Attributes:
        branching: ``[i][j]`` is the mean number of orders hitting side i that one hitting side j excites; 0 bids, 1
            asks.
    """

    beta: float
    branching: tuple[Pair, Pair]


class Clustering(NamedTuple):
    """A two-sided Hawkes process of the orders that hit bids (0) and asks (1).

    Attributes:
        sweeps: Whether prints of one side and trade time are one order.
    """

    mu: Pair
    kernels: tuple[Kernel, ...]
    mean: Pair
    sweeps: bool

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> "Clustering":
        """Raises FitError if the block's ``status`` is not ``ok``."""
        status = block.get("status", "ok")
        if status != "ok":
            raise FitError(
                "hawkes: the clustering is not usable ({}: {}); calibrate more or other days (it is from a "
                "schedule's first training window: {train_window_min}), or use fill model poisson, which needs none",
                status,
                block.get("reason"),
            )
        given = block.get("kernels")
        if not isinstance(given, list | tuple):
            raise _invalid("kernels", given, "a list of kernels; an empty list is Poisson flow")
        parsed = [_kernel(f"kernels[{index}]", kernel) for index, kernel in enumerate(given)]
        kernels = tuple(kernel for kernel in parsed if any(map(any, kernel.branching)))
        mu = _pair("mu_per_s", block.get("mu_per_s"))
        mean = _stationary(mu, kernels) if block.get("mean_per_s") is None else _pair("mean_per_s", block["mean_per_s"])
        if not min(mean) > 0:
            raise _invalid("mean_per_s", mean, "numbers above 0: both sides need a positive rate")
        sweeps = block.get("sweeps", True)
        if not isinstance(sweeps, bool):
            raise _invalid("sweeps", sweeps, "true or false")
        return cls(mu, kernels, mean, sweeps)


def _stationary(mu: Pair, kernels: tuple[Kernel, ...]) -> Pair:
    n = [[sum(kernel.branching[i][j] for kernel in kernels) for j in (0, 1)] for i in (0, 1)]
    det = (1 - n[0][0]) * (1 - n[1][1]) - n[0][1] * n[1][0]
    if not (max(n[0][0], n[1][1]) < 1 and det > 0):
        raise UsageError(
            "hawkes: clustering: the branching ratio is 1 or more, so the process has no stationary mean; give "
            "mean_per_s, or less branching"
        )
    if not kernels:
        return mu
    return ((1 - n[1][1]) * mu[0] + n[0][1] * mu[1]) / det, ((1 - n[0][0]) * mu[1] + n[1][0] * mu[0]) / det


def _kernel(place: str, given: Any) -> Kernel:
    if not isinstance(given, Mapping):
        raise _invalid(place, given, "an object with beta_per_s and branching")
    beta, rows = given.get("beta_per_s"), given.get("branching")
    if not (_is_number(beta) and beta > 0):
        raise _invalid(f"{place}.beta_per_s", beta, "a number above 0")
    if not isinstance(rows, Mapping) or set(rows) != set(SIDES):
        raise _invalid(f"{place}.branching", rows, "an object with bid and ask, the excited side")
    of_bids, of_asks = (_pair(f"{place}.branching.{side}", rows[side]) for side in SIDES)
    return Kernel(float(beta), (of_bids, of_asks))


def _pair(place: str, given: Any) -> Pair:
    if not isinstance(given, Mapping) or set(given) != set(SIDES):
        raise _invalid(place, given, "an object with bid and ask")
    bid, ask = (given[side] for side in SIDES)
    if not all(_is_number(value) and value >= 0 for value in (bid, ask)):
        raise _invalid(place, given, "numbers of 0 or more")
    return float(bid), float(ask)


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)


def _invalid(place: str, value: Any, expected: str) -> UsageError:
    return UsageError(
        f"hawkes: clustering: {place} is {str(value)[:80]}; it must be {expected}. mm calibrate writes such a block: "
        f"clustering of poisson_fit.json"
    )
