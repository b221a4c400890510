# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quote models for calibration: one distance at a time, on both sides, around an anchored reference price."""

cimport cython
from libc.math cimport ceil, fabs, floor, fmax
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport SKIPS_DEPTH, SKIPS_LOTS
from mm.backtest.quotes.base cimport QuoteModel, View, Want

import math
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mm.calibration.reference import OWN_BEST, check_reference
from mm.clock import us_from_ms
from mm.errors import UsageError, parameter

cdef int64_t NO_SLOT = -(<int64_t> 1 << 62)


cdef class FixedDelta(QuoteModel):
    """Quote one distance on both sides, from an anchor that follows the reference in steps.

    - the bid is at anchor - delta, floored to the grid; the ask at anchor + delta, ceiled
    - the anchor moves once the reference has moved by the threshold
    - in between quotes stay, so that orders rest and the market moves past them
    - the quantity is the engine's clip: one quantity step suffices

    Args:
        delta_ticks: Distance from the reference, in ticks; fractions allowed.
        mid_move_threshold_ticks: Move of the reference that sets a new anchor; 0 follows always.
        reference: ``mid``, ``micro``, or ``best`` or ``sweep`` (each side's own best price).

    Raises:
        UsageError: If a distance or the threshold is negative or not finite, or the reference unknown.
    """

    cdef readonly double delta_ticks
    cdef readonly double threshold_ticks
    cdef readonly str reference
    cdef bint by_side               # whether the reference of each side is its own best price
    cdef bint anchored
    cdef double buy, sell           # the anchor in force: the reference of buys and of sells, in ticks
    cdef list taken                 # all anchors

    def __init__(self, delta_ticks: float, mid_move_threshold_ticks: float = 2, reference: str = "mid") -> None:
        self.delta_ticks = _checked("delta_ticks", delta_ticks)
        self.threshold_ticks = _checked("mid_move_threshold_ticks", mid_move_threshold_ticks)
        self.reference = check_reference(reference)
        self.by_side = reference in OWN_BEST
        self.skips = SKIPS_DEPTH if reference == "micro" else SKIPS_DEPTH | SKIPS_LOTS
        self.taken = []

    def anchors(self) -> NDArray[np.float64]:
        """Return all anchors, float64[n, 3]: instant (µs), reference of buys and of sells (ticks)."""
        return np.array(self.taken, np.float64).reshape(-1, 3)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        # At every requote of the engine, the book has both sides.
        cdef double buy, sell
        if not self.skips & SKIPS_LOTS:
            buy = sell = view.top.bid_ticks + <double> ((view.top.ask_ticks - view.top.bid_ticks) * view.top.bid_lots) / (
                <double> (view.top.bid_lots + view.top.ask_lots)
            )
        elif self.by_side:
            buy, sell = <double> view.top.bid_ticks, <double> view.top.ask_ticks
        else:
            buy = sell = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        if not self.anchored or fmax(fabs(buy - self.buy), fabs(sell - self.sell)) >= self.threshold_ticks:
            self.buy, self.sell, self.anchored = buy, sell, True
            with gil:
                self.taken.append((view.top.us, buy, sell))
        want.bid_ticks = floor(self.buy - self.delta_ticks)
        want.ask_ticks = ceil(self.sell + self.delta_ticks)
        return 0


cdef class CalibrationLadder(FixedDelta):
    """Hold each distance for a dwell, in a new balanced order every cycle.

    A cycle has every distance once. The order depends only on seed and cycle index, not on the times of requotes, so an
    artefact need record only the seed. (A fixed order would tie each distance to its minute of the hour: a burst at
    every full hour then distorts the whole curve.)

    Args:
        deltas: Distances (ticks), increasing.
        seed: Seed of the orders of distances.
        start_us: Start of cycle 0.

    Raises:
        UsageError: If the distances do not increase, the dwell is shorter than 1 µs, or as for ``FixedDelta``.
    """

    cdef readonly tuple deltas      # type: tuple[float, ...]
    cdef readonly int64_t dwell_us
    cdef readonly object seed       # type: int
    cdef readonly int64_t start_us
    cdef int64_t slot               # the dwell of the current distance

    def __init__(
        self,
        deltas: tuple[float, ...],
        dwell_ms: float,
        mid_move_threshold_ticks: float = 2,
        seed: int = 0,
        start_us: int = 0,
        reference: str = "mid",
    ) -> None:
        if not deltas or any(near >= far for near, far in pairwise(deltas)):
            raise UsageError("{deltas} is {}; give increasing distances such as 1,2,3,5,8,13", deltas)
        FixedDelta.__init__(self, deltas[0], mid_move_threshold_ticks, reference)
        self.deltas = tuple([_checked("deltas", delta) for delta in deltas])
        self.dwell_us = us_from_ms(_checked("dwell_ms", dwell_ms))
        if self.dwell_us == 0:
            raise UsageError("{dwell_ms} is {}; the shortest dwell is 0.001", dwell_ms)
        self.seed = seed
        self.start_us = start_us
        self.slot = NO_SLOT

    @cython.cdivision(False)
    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        # At the distance of the dwell; a new dwell sets a new anchor.
        cdef int64_t slot = (view.top.us - self.start_us) // self.dwell_us
        if slot != self.slot:
            self.slot, self.anchored = slot, False
            with gil:
                number, position = divmod(slot, len(self.deltas))
                self.delta_ticks = self.cycle(number)[position]
        return FixedDelta.quote(self, view, want)

    def cycle(self, number: int) -> tuple[float, ...]:
        """Return a cycle's distances, sorted by the hash of ``seed:cycle:position``."""
        keys = [f"{self.seed}:{number}:{position}" for position in range(len(self.deltas))]
        ranks = [blake2b(key.encode(), digest_size=8).digest() for key in keys]
        return tuple([delta for _, delta in sorted(zip(ranks, self.deltas, strict=True))])


def _checked(name: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise UsageError("{} is {}; it must be a finite number that is not negative", parameter(name), value)
    return value
