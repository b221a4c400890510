"""How steady A and k were: the same fit on equal pieces of the tape."""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from mm.clock import US_PER_S

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.meter import Meter

PIECES_S = (300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST = 28


def steadiness(meter: "Meter", advance: Callable[[int], None] | None = None) -> list[tuple[int, int, "PoissonFit"]]:
    """Return first instant, last instant and fit of each piece of the meter's tape.

    The pieces are as short as leaves at most 28 of them, and begin at round times.

    Args:
        meter: What measures the tape, which is parsed already.
        advance: Told after each piece, for a progress bar.
    """
    pieces = []
    for start_us, end_us in windows(meter.start_us, meter.end_us):
        pieces.append((start_us, end_us, meter.fit_points(meter.points(start_us, end_us))))
        if advance:
            advance(1)
    return pieces


def windows(start_us: int, end_us: int) -> list[tuple[int, int]]:
    """Return the pieces of ``[start_us, end_us)``; an end shorter than half a piece is left out."""
    span_s = (end_us - start_us) / US_PER_S
    step_us = next((step for step in PIECES_S if span_s / step <= MOST), PIECES_S[-1]) * US_PER_S
    edges = [start_us, *range(-(-(start_us + 1) // step_us) * step_us, end_us, step_us), end_us]
    return [(a, b) for a, b in pairwise(edges) if b - a >= step_us // 2]
