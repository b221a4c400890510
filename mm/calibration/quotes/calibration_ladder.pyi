# Generated from mm/calibration/quotes/calibration_ladder.pyx by `make stubs`; edit that file instead.

"""Quote models for calibration: one distance at a time, on both sides, around an anchored reference price."""

import numpy as np
from numpy.typing import NDArray

from mm.backtest.quotes.base import QuoteModel

class FixedDelta(QuoteModel):
    """Quote one distance on both sides, from an anchor that follows the reference in steps.

    - the bid is at anchor - delta, floored to the grid; the ask at anchor + delta, ceiled
    - a new anchor is set when the reference has moved by the threshold or more
    - between two anchors the quotes do not move, so that orders rest and the market moves past them
    - the quantity is the engine's clip: one quantity step is sufficient

    Args:
        delta_ticks: Distance from the reference, in ticks; fractions allowed.
        mid_move_threshold_ticks: Move of the reference that sets a new anchor; 0 follows always.
        reference: ``mid``, ``micro``, or ``best`` or ``sweep`` (each side's own best price).

    Raises:
        UsageError: If a distance or the threshold is negative or not finite, or the reference unknown.
    """
    @property
    def delta_ticks(self) -> float: ...
    @property
    def threshold_ticks(self) -> float: ...
    @property
    def reference(self) -> str: ...
    def __init__(self, delta_ticks: float, mid_move_threshold_ticks: float = 2, reference: str = "mid") -> None: ...
    def anchors(self) -> NDArray[np.float64]:
        """Return all anchors, float64[n, 3]: instant (µs), reference of buys and of sells (ticks)."""

class CalibrationLadder(FixedDelta):
    """Hold each distance for a dwell, in a new balanced order every cycle.

    A cycle has every distance once. Its order depends only on the seed and the cycle's index, so it is independent
    of the times of requotes, and an artefact needs to record only the seed. (A fixed order ties each distance to its
    minute of the hour: a burst at every full hour then distorts the whole curve.)

    Args:
        deltas: Distances (ticks), increasing.
        dwell_ms: The dwell.
        mid_move_threshold_ticks, reference: As for ``FixedDelta``.
        seed: Seed of the orders of distances.
        start_us: Start of cycle 0.

    Raises:
        UsageError: If the distances do not increase, the dwell is shorter than 1 µs, or as for ``FixedDelta``.
    """
    @property
    def deltas(self) -> tuple[float, ...]: ...
    @property
    def dwell_us(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def start_us(self) -> int: ...
    def __init__(
        self,
        deltas: tuple[float, ...],
        dwell_ms: float,
        mid_move_threshold_ticks: float = 2,
        seed: int = 0,
        start_us: int = 0,
        reference: str = "mid",
    ) -> None: ...
    def cycle(self, number: int) -> tuple[float, ...]:
        """Return the distances in the order of a cycle: sorted by the hash of ``seed:cycle:position``."""

def _checked(knob: str, value: float) -> float: ...
