"""Tallies: time at each touch, and sweeps by touch and depth, of one side of a window."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mm.calibration.points import group
from mm.calibration.reference import CLOSED

if TYPE_CHECKING:
    from mm.calibration.points import Ints

REACHED = 0.999  # quantile of the depths of sweeps at which the last cell begins
LEAST_TICKS = 5  # minimum reach beyond the median distance of the best price
FARTHEST = 1e9
MOST_STEPS = 1 << 17  # up to this range values are counted, not sorted
HALF = 0.5  # below this weight a quantile is computed from its lower neighbour, else from the upper one


@dataclass(frozen=True, slots=True)
class Tally:
    """Time at each touch, and sweeps, of one side of a window; rows may have equal keys, and their values add up.

    Attributes:
        stood: int64[n], distance of the own best price (touch) from the reference, in steps; ``CLOSED`` without a book.
        stood_block: int64[n], block of the window.
        us: int64[n], duration at this touch, in µs.
        touch: int64[m], distance of the touch just before the sweeps, in steps.
        depth: int64[m], distance of the deepest price that they hit, in steps.
        block: int64[m], block in which they began.
        count: int64[m], number of sweeps.
    """

    stood: "Ints"
    stood_block: "Ints"
    us: "Ints"
    touch: "Ints"
    depth: "Ints"
    block: "Ints"
    count: "Ints"

    @classmethod
    def joined(cls, parts: "Sequence[Tally]") -> Self:
        """Return the rows of several tallies of one window."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES))

    @property
    def hit(self) -> "Ints":
        """The rows of sweeps that hit a probe, as indices."""
        return np.flatnonzero((self.touch != CLOSED) & (self.depth >= self.touch))

    def summed(self) -> Self:
        """Return the tally with equal rows summed, in the order of blocks, without sweeps that hit nothing."""
        stood, into = group(self.stood_block, self.stood)
        us = np.bincount(into, self.us, len(stood)).astype(np.int64)
        touch, depth, block, count = (getattr(self, name)[self.hit] for name in _NAMES[3:])
        met, met_into = group(block, touch, depth)
        counts = np.bincount(met_into, count, len(met)).astype(np.int64)
        return type(self)(self.stood[stood], self.stood_block[stood], us, touch[met], depth[met], block[met], counts)

    def before(self, block: int) -> Self:
        """Return the rows of the blocks before one, of a tally in the order of blocks."""
        stood, swept = np.searchsorted(self.stood_block, block), np.searchsorted(self.block, block)
        return self.where(slice(stood), slice(swept))

    def where(self, stood: Any, swept: Any) -> Self:
        """Return the rows of time *stood* and the rows of sweeps *swept*: masks, indices or slices."""
        columns = [getattr(self, name) for name in _NAMES]
        return type(self)(*(column[stood] for column in columns[:3]), *(column[swept] for column in columns[3:]))


_NAMES = tuple(field.name for field in fields(Tally))


def reach_of(tallies: "Sequence[Tally]", per_tick: int) -> float:
    """Return the reach of the trade flow, in whole ticks: the `REACHED` quantile of the depths of the sweeps.

    It is at least `LEAST_TICKS` beyond the median distance of the best price.

    Args:
        tallies: Tallies with the sweeps.
        per_tick: Steps of distance in one tick.
    """
    touch, depth, count = (
        np.concatenate([getattr(tally, name)[tally.hit] for tally in tallies]) for name in ("touch", "depth", "count")
    )
    if not count.size:
        return float(LEAST_TICKS)
    deep, near = quantile(depth, count, REACHED), quantile(touch, count, 0.5)
    return min(float(np.ceil(max(deep / per_tick, near / per_tick + LEAST_TICKS))), FARTHEST)


def quantile(values: "Ints", count: "Ints", share: float) -> float:
    """Return the quantile of values that occur *count* times each, linear between neighbours."""
    low = int(values.min())
    distinct, into = (None, values - low) if values.max() - low < MOST_STEPS else np.unique(values, return_inverse=True)
    until = np.bincount(into, count).astype(np.int64).cumsum()
    place = (int(until[-1]) - 1) * share
    at = np.searchsorted(until, (int(place), int(np.ceil(place))), side="right")
    below, above = (at + low if distinct is None else distinct[at]).tolist()
    part = place - int(place)
    found: float = below + (above - below) * part if part < HALF else above - (above - below) * (1 - part)
    return found
