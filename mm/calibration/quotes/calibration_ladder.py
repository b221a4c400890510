"""Quotes that only measure: one distance at a time, on both sides, around an anchored reference."""

import math
from hashlib import blake2b
from itertools import pairwise
from typing import Protocol

from mm.backtest.quotes.view import Quotes
from mm.calibration.reference import Top, check_reference, reference_ticks
from mm.clock import us_from_ms
from mm.errors import UsageError


class TimedTop(Top, Protocol):
    """Best prices and the instant (µs) at which they stand: what these models read of a view."""

    us: int


class FixedDelta:
    """Quote one distance on both sides, from an anchor that follows the reference in steps.

    - the bid stands at anchor - delta, floored to the grid; the ask at anchor + delta, ceiled
    - a new anchor is taken when the reference has moved by the threshold or more
    - between two anchors the quotes stand still, so that orders rest and the market moves past them
    - the quantity is left to the engine (its clip): one quantity step is enough to measure with

    Attributes:
        anchors: Every anchor that was taken: instant (µs), reference of buys and of sells (ticks).
    """

    def __init__(self, delta_ticks: float, mid_move_threshold_ticks: float = 2, reference: str = "mid") -> None:
        """Take the distance and the rule of the anchor.

        Args:
            delta_ticks: Distance from the reference, in ticks; fractions allowed.
            mid_move_threshold_ticks: Move of the reference that sets a new anchor; 0 follows always.
            reference: ``mid``, ``micro`` or ``best`` (each side's own best price).

        Raises:
            UsageError: If a distance or the threshold is negative or not finite, or the reference unknown.
        """
        self.delta_ticks = _checked("CALIB_DELTAS (--deltas)", delta_ticks)
        self.threshold_ticks = _checked(
            "CALIB_MID_MOVE_THRESHOLD_TICKS (--calib-mid-move-threshold-ticks)", mid_move_threshold_ticks
        )
        self.reference = check_reference(reference)
        self._anchor: tuple[float, float] | None = None
        self.anchors: list[tuple[int, float, float]] = []

    def quote(self, view: TimedTop) -> Quotes:
        """Return both quotes; the book of *view* has two sides, as it has whenever the engine requotes."""
        now = reference_ticks(view, self.reference)
        if self._anchor is None or self._moved(now, self._anchor):
            self._anchor = now
            self.anchors.append((view.us, *now))
        buy, sell = self._anchor
        return Quotes(math.floor(buy - self.delta_ticks), math.ceil(sell + self.delta_ticks))

    def _moved(self, now: tuple[float, float], anchor: tuple[float, float]) -> bool:
        return max(abs(now[0] - anchor[0]), abs(now[1] - anchor[1])) >= self.threshold_ticks


class CalibrationLadder(FixedDelta):
    """Hold each distance for a dwell, in a new balanced order every cycle.

    A cycle shows every distance once. Its order depends on the seed and the cycle's number alone, so
    it does not matter when or how often the model requotes, and the seed is all that an artefact has
    to record. (A fixed order ties each distance to its minute of the hour: a burst at every full hour
    then bends the whole curve.)
    """

    def __init__(
        self,
        deltas: tuple[float, ...],
        dwell_ms: float,
        mid_move_threshold_ticks: float = 2,
        seed: int = 0,
        start_us: int = 0,
        reference: str = "mid",
    ) -> None:
        """Take the distances (ticks, increasing), the dwell, the anchor's rule, the seed and the begin of cycle 0.

        Raises:
            UsageError: If the distances do not increase, the dwell is shorter than 1 µs, or as for ``FixedDelta``.
        """
        if not deltas or any(near >= far for near, far in pairwise(deltas)):
            raise UsageError(f"CALIB_DELTAS (--deltas) is {deltas}; give increasing distances such as 1,2,3,5,8,13")
        super().__init__(deltas[0], mid_move_threshold_ticks, reference)
        self.deltas = tuple(_checked("CALIB_DELTAS (--deltas)", delta) for delta in deltas)
        self.dwell_us = us_from_ms(_checked("CALIB_DWELL_MS (--dwell-ms)", dwell_ms))
        if self.dwell_us == 0:
            raise UsageError(f"CALIB_DWELL_MS (--dwell-ms) is {dwell_ms}; the shortest dwell is 0.001")
        self.seed = seed
        self.start_us = start_us
        self._slot: int | None = None

    def quote(self, view: TimedTop) -> Quotes:
        """Return both quotes at the distance of the dwell; a new dwell takes a new anchor."""
        slot = (view.us - self.start_us) // self.dwell_us
        if slot != self._slot:
            self._slot, self._anchor = slot, None
            number, position = divmod(slot, len(self.deltas))
            self.delta_ticks = self.cycle(number)[position]
        return super().quote(view)

    def cycle(self, number: int) -> tuple[float, ...]:
        """Return the distances in the order of a cycle: sorted by the hash of ``seed:cycle:position``."""
        keys = (f"{self.seed}:{number}:{position}" for position in range(len(self.deltas)))
        ranks = (blake2b(key.encode(), digest_size=8).digest() for key in keys)
        return tuple(delta for _, delta in sorted(zip(ranks, self.deltas, strict=True)))


def _checked(knob: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{knob} holds {value}; it must be a finite number that is not negative")
    return value
