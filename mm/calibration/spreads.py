"""The state of the spread: how long it was how wide, and the fit in each state."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mm.calibration.meter import Meter, joined
from mm.calibration.reference import BLOCK_S, CLOSED, block_length_us

if TYPE_CHECKING:
    from mm.calibration.points import Points

LARGE_TICK_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SpreadState:
    """What the marks say while the spread has a certain width.

    Attributes:
        from_ticks, to_ticks: The least and the greatest spread of the state.
        share: Of the time with a valid book.
        A, k, se_logA, se_k: The fit; None where it is not usable.
        n_fills: Sweeps counted.
        exposure_s: Order-seconds.
        status: What the fit says of itself.
    """

    from_ticks: int
    to_ticks: int
    share: float
    A: float | None
    k: float | None
    se_logA: float | None
    se_k: float | None
    n_fills: float
    exposure_s: float
    status: str


def by_spread(meter: Meter) -> list[SpreadState]:
    """Return the states 1, 2, 3-4, 5-8, … ticks that occurred, each fitted by itself, by marks whatever the method."""
    seconds = _seconds(meter)
    total = sum(seconds.values())
    found = []
    for low, high in _states(max(seconds, default=0)):
        here = sum(spent for spread, spent in seconds.items() if low <= spread <= high)
        if here == 0:
            continue
        fit = meter.fit_points(_points(meter, low, high))
        state = (fit.A, fit.k, fit.se_logA, fit.se_k, fit.n_fills, fit.exposure_s, fit.status)
        found.append(SpreadState(low, high, here / total, *state))
    return found


def large_tick(meter: Meter) -> tuple[str, ...]:
    """Return what to tell of a market whose spread is a single tick most of the time; nothing of another."""
    seconds = _seconds(meter)
    narrow = seconds.get(1, 0.0) / (sum(seconds.values()) or 1.0)
    if narrow < LARGE_TICK_SHARE:
        return ()
    return (
        f"a large tick: the spread is one tick in {100 * narrow:.0f} % of the time, and there the queue decides on a "
        f"fill more than the distance does; compare with CALIB_HIT=strict and CALIB_QUEUE_AHEAD=1",
    )


def _states(widest: int) -> Iterator[tuple[int, int]]:
    low, high = 1, 1
    while low <= widest:
        yield low, high
        low, high = high + 1, 2 * high


def _seconds(meter: Meter) -> dict[int, float]:
    """Return the time with a valid book by its spread in ticks."""
    spent: dict[int, float] = {}
    for marks, (start_us, end_us) in zip(meter.marks, meter.days, strict=True):
        edges, rows, _ = marks.path.segments(start_us, end_us, end_us - start_us + 1)
        valid = marks.path.touch[1][rows] != CLOSED
        widths, into = np.unique(marks.path.spread[rows][valid], return_inverse=True)
        for width, us in zip(widths.tolist(), np.bincount(into, np.diff(edges)[valid]).tolist(), strict=True):
            spent[width] = spent.get(width, 0.0) + us
    return spent


def _points(meter: Meter, low: int, high: int) -> "Points":
    parts = [
        marks.between(start_us, end_us, (low, high)).cells
        for marks, (start_us, end_us) in zip(meter.marks, meter.days, strict=True)
    ]
    longest = max(end_us - start_us for start_us, end_us in meter.days) // block_length_us(BLOCK_S) + 1
    return joined(parts, [day * longest for day in range(len(parts))])
