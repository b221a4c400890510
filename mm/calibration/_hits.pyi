# Generated from mm/calibration/_hits.pyx by `make stubs`; edit that file instead.

"""Sweeps of a day by window: their tallies, the moves of the mid after them, and expected hits between hits.

Why compiled: each is a sequential loop over the sweeps or rows of a day, which no numpy call replaces.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from mm.calibration._cells import Swept, Tally

class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes; windows use ranges of them.

    Args:
        stood_us: int64[n], start of each touch, µs; the first row starts before all data.
        touch: int64[n], touch, in steps.
        prints_us: int64[p], instants of the prints of the sweeps, ascending.
        opens: int64[s], index of the first print of each sweep.
        sweeps: int64[s] each: start of the complete sweep, row of the touch at the sweep, and depth in steps.
    """
    def __new__(
        cls,
        stood_us: NDArray[np.int64],
        touch: NDArray[np.int64],
        prints_us: NDArray[np.int64],
        opens: NDArray[np.int64],
        sweeps: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    ) -> Self: ...
    def beside(self, start_us: int, rest_us: int, end_us: int, block_us: int) -> Tally | None:
        """Return the tally of a window outside its whole blocks before *rest_us*; None if a window border cuts a sweep.

        Args:
            start_us: First instant of the window.
            rest_us: End of its whole blocks.
            end_us: First instant after the window.
            block_us: Length of a block.
        """
    def with_sweeps(self, start_us: int, rest_us: int, end_us: int, block_us: int, swept: Swept) -> Tally:
        """Return the same tally with the given sweeps *swept*, some of which borders may cut."""
    def hits(self, start_us: int, end_us: int, last: int) -> NDArray[np.int64] | None:
        """Return the instants at which sweeps of a window hit a probe, µs; None if a border cuts a sweep.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            last: Largest touch distance that counts, in steps.
        """
    def cut(self, start_us: int, end_us: int) -> bool:
        """Return whether a sweep has prints on both sides of a window border, in µs."""

class SettledRows:
    """Sweeps in order of time, with the move of the mid after each; ranges of them are added to difference sums.

    The sums of the last range are cached: the next range adds and subtracts the difference. Moves are multiples of half
    a tick, so sums are exact in any order.

    Args:
        us: int64[n], start of each sweep, µs.
        touch: int64[n], distance of the touch just before it, in steps.
        depth: int64[n], distance of the deepest price that it hit, in steps.
        move: float64[n], move of the mid after it, in ticks.
        per_tick: Steps of distance in one tick: a sweep hits distances with this spacing.
    """
    def __init__(
        self,
        us: NDArray[np.int64],
        touch: NDArray[np.int64],
        depth: NDArray[np.int64],
        move: NDArray[np.float64],
        per_tick: int,
    ) -> None:
        """Start with the sums of no sweep."""
    def part(self, sums: NDArray[np.float64], start_us: int, end_us: int, last: int) -> None:
        """Add the sweeps that begin in ``[start, end)`` to difference sums, as `each` does."""
    def each(self, sums: NDArray[np.float64], last: int, sign: float) -> None:
        """Add all sweeps, and the moves after them, to difference sums, or subtract them.

        A sweep counts at the first distance that it hits, and is subtracted beyond the last of the same spacing.

        Args:
            sums: float64[2, steps], of sweeps and of moves.
            last: The largest distance used, in steps.
            sign: 1 to add, -1 to subtract.
        """

def mean_moves(
    sums: NDArray[np.float64], places: NDArray[np.int64], last: int, per_tick: int, least: float
) -> tuple[tuple[float, float], ...]:
    """Return the distances in ticks that enough sweeps hit, each with the mean move after these sweeps.

    Args:
        sums: Difference sums of `SettledRows`; replaced by the sweeps that hit each distance, and their summed moves.
        places: Distances, in steps, ascending.
        last: The largest distance that counts, in steps.
        per_tick: Steps of distance in one tick.
        least: Minimum number of sweeps.
    """

def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the moves of the mid after sweeps, by the probes hit.

    They are int64[p, b], the number of moves of a probe by block; float64[p], their mean in ticks; and float64[p, b],
    the summed deviations of a block from the mean, in the order of the sweeps.

    Args:
        swept: int64[n] each: touch at the sweep, depth in steps, and block.
        move: float64[n], in ticks; NaN if unknown.
        places: int64[p], distances of probes, in steps, ascending; sweeps hit those whole ticks beyond their touch.
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks.
    """

def expected_between_hits(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    span: tuple[int, int],
    rates: tuple[float, float],
    last: int,
    hits: NDArray[np.int64],
) -> tuple[NDArray[np.float64], float]:
    """Return the number of hits expected before each hit of a span, float64[m], and after the last one.

    Counted from the previous hit, for the first one from the start of the span; after the last one up to its end.

    Args:
        path: int64[n] each: start of each touch, µs, and its distance, in steps; a first row with a later start applies
            from the start of the span.
        span: Start and end, µs.
        rates: A in 1/µs, and k per step: a touch at d is hit A·exp(-k·d) times per µs.
        last: Largest distance of a touch that is hit, in steps.
        hits: int64[m], instants of the hits, µs, ascending.
    """
