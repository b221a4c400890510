"""Sums, quotients and quantiles that are the same on every machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # int64, float64, or Python integers where 64 bits are too few
    Numbers = NDArray[Any]


def dot(first: "Numbers", second: "Numbers") -> float:
    """Return the sum of the products.

    Not ``first @ second``: BLAS sums in an order that depends on the machine and its cores, so that the same run would
    have other last digits elsewhere, and its idle threads spin for longer than all of a summary takes.
    """
    return float((first * second).sum())


def exact_sum(values: "NDArray[np.int64]") -> int:
    """Return the sum of whole numbers, also where 64 bits do not hold it."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def quotient(over: float, under: float) -> float | None:
    """Return over/under, or None where there is nothing to divide by."""
    return over / under if under else None


def quantiles(values: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the values below which these *shares* lie, between two neighbours on their line, as np.quantile does.

    That one imports numpy.ma, for longer than all charts of a page take; so does np.median.
    """
    return quantiles_of_sorted(np.sort(values), shares)


def quantiles_of_sorted(inside: "Numbers", shares: Sequence[float]) -> list[float]:
    """Return the same of values that rise."""
    last, found = len(inside) - 1, []
    for share in shares:
        low = int(share * last)
        near, far = float(inside[low]), float(inside[min(low + 1, last)])
        found.append(near + (far - near) * (share * last - low))
    return found
