"""Is the model's clock right? Waiting times between hits, in units of what the model expected meanwhile.

If sweeps that reach the best price at distance t come with the intensity A exp(-k t), the expected
number of them between one and the next is exponential of mean 1, whatever the price does (the
time-rescaling theorem); so 1 - exp(-w) is uniform, which the Kolmogorov-Smirnov test asks.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.reference import CLOSED, within
from mm.clock import US_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.calibration.marks import Marks

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Waits:
    """The hits of one side in one stretch, on the model's clock.

    Attributes:
        between: Expected hits from the begin of the stretch to its first hit, and from each to the next.
        after: Expected hits from the last one to the end of the stretch.
    """

    between: "Floats"
    after: float


@dataclass(frozen=True, slots=True)
class Uniformity:
    """The Kolmogorov-Smirnov test of 1 - exp(-w).

    Attributes:
        n: Waiting times.
        mean_wait: Their mean; 1 where the model holds, less where more is hit than foreseen.
        ks: Largest distance from the uniform distribution; None without a waiting time.
        p: Chance of such a distance, were the model right.
    """

    n: int
    mean_wait: float | None
    ks: float | None
    p: float | None


def waits(marks: "Marks", side: int, window: tuple[int, int], rates: tuple[float, float]) -> Waits:
    """Return the waiting times of the sweeps that hit the best price of *side* or beyond.

    Args:
        marks: Of the day.
        side: +1 for bids, -1 for asks.
        window: Start and end, µs.
        rates: A in 1/s and k in 1/tick.
    """
    start_us, end_us = within(marks.span, *window)
    path, (A, k) = marks.path, rates
    edges, rows, _ = path.segments(start_us, end_us, end_us - start_us + 1)
    touch = path.touch[side][rows]
    open_ = (touch != CLOSED) & (touch <= marks.grid.last)
    expected = np.where(open_, A * np.exp(-k * touch / path.per_tick), 0.0) * np.diff(edges) / US_PER_S
    clock = np.concatenate(([0.0], np.cumsum(expected)))
    reached = marks.sweeps[side].between(start_us, end_us)
    met = path.touch[side][reached.row]
    hit = (met != CLOSED) & (met <= marks.grid.last) & (reached.depth >= met)
    at = np.interp(reached.us[hit], edges, clock)
    return Waits(np.diff(at, prepend=0.0), float(clock[-1] - (at[-1] if at.size else 0.0)))


def linked(stretches: "Iterable[Waits | None]") -> "Floats":
    """Return the waiting times of stretches one behind the other; None is a stretch without a model, which parts."""
    found, waited = [np.empty(0)], 0.0
    for stretch in stretches:
        if stretch is None:
            waited = 0.0
            continue
        between = stretch.between.copy()
        if between.size:
            between[0] += waited
            waited = 0.0
        found.append(between)
        waited += stretch.after
    return np.concatenate(found)


def uniformity(between: "Floats") -> Uniformity:
    """Return how uniform 1 - exp(-w) is; p is that of Stephens' approximation, good from four waiting times on."""
    from scipy.special import kolmogorov

    n = int(between.size)
    if n == 0:
        return Uniformity(0, None, None, None)
    share = -np.expm1(-np.sort(between))
    ks = float(max((np.arange(1, n + 1) / n - share).max(), (share - np.arange(n) / n).max()))
    p = float(kolmogorov((math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * ks))
    return Uniformity(n, float(between.mean()), ks, p)
