# Generated from mm/calibration/_hits.pyx by `make stubs`; edit that file instead.

"""The sweeps of a day by window: what they met, the moves of the mid after them, and the clock of their intensity.

Why compiled: each is a loop over the sweeps or the rows of a day, which no numpy call replaces.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from mm.calibration._cells import Swept, Tally

class TouchRows:
    """The touch of one side of a day and the sweeps that may hit its probes; windows use parts of them.

    Args:
        stood_us: int64[n], start of each touch, µs; the first row is before everything.
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
        """Return what a window saw outside the whole blocks before *rest_us*; None if a window border cuts a sweep.

        Args:
            start_us: First instant of the window.
            rest_us: End of its whole blocks.
            end_us: First instant after the window.
            block_us: Length of a block.
        """
    def with_sweeps(self, start_us: int, rest_us: int, end_us: int, block_us: int, swept: Swept) -> Tally:
        """Return the same with *swept*, the sweeps, of which borders may cut some."""
    def hits(self, start_us: int, end_us: int, last: int) -> NDArray[np.int64] | None:
        """Return when sweeps of a window hit a probe no farther than *last*; None where a border cuts a sweep.

        Args:
            start_us: First instant of the window.
            end_us: First instant after it.
            last: In steps.
        """
    def cut(self, start_us: int, end_us: int) -> bool:
        """Return whether a sweep has prints on both sides of a window border, in µs."""

class SettledRows:
    """Sweeps in order of time, with the move of the mid after each; parts of them are added to difference sums.

    The sums of the last part are kept: the next one adds and takes back what they differ by. Moves are whole numbers of
    half ticks, so sums are exact in any order.

    Args:
        us: int64[n], when each sweep began.
        touch: int64[n], where it met the touch, in steps.
        depth: int64[n], distance of the deepest price that it hit, in steps.
        move: float64[n], of the mid after it.
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
        """Begin with the sums of no sweep."""
    def part(self, sums: NDArray[np.float64], start_us: int, end_us: int, last: int) -> None:
        """Add the sweeps of ``[start, end)`` to sums, where `each` adds one."""
    def each(self, sums: NDArray[np.float64], last: int, sign: float) -> None:
        """Add all sweeps, and the moves after them, to difference sums, or take them back.

        A sweep counts at the first distance that it hits, and is subtracted beyond the last of the same spacing.

        Args:
            sums: float64[2, steps], of sweeps and of moves.
            last: The largest distance used, in steps.
            sign: Weight of a sweep.
        """

def mean_moves(
    sums: NDArray[np.float64], places: NDArray[np.int64], last: int, per_tick: int, least: float
) -> tuple[tuple[float, float], ...]:
    """Return distances in ticks that enough sweeps hit, each with the mean move after these.

    Args:
        sums: What `SettledRows` has added; afterwards, the numbers of sweeps that hit each distance, and their moves.
        places: Distances, in steps, ascending.
        last: The largest of them that counts.
        per_tick: Steps of distance in one tick.
        least: Number of sweeps that are enough.
    """

def probe_moves(
    swept: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    move: NDArray[np.float64],
    places: NDArray[np.int64],
    per_tick: int,
    blocks: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the moves of the mid after sweeps, by the probes hit.

    They are int64[p, b], the number of moves of a probe by block; float64[p], their mean; and float64[p, b], the summed
    deviations of a block from the mean, in the order of the sweeps.

    Args:
        swept: int64[n] each: touch at the sweep, depth in steps, and block.
        move: float64[n], half ticks; NaN if unknown.
        places: int64[p], distances of probes, in steps, ascending; each is hit from whole ticks nearer.
        per_tick: Steps of distance in one tick.
        blocks: Number of blocks.
    """

def hit_waits(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    span: tuple[int, int],
    rates: tuple[float, float],
    last: int,
    hits: NDArray[np.int64],
) -> tuple[NDArray[np.float64], float]:
    """Return how many hits were expected before each one that came in a stretch, and after the last one.

    Before the first from the begin of the stretch, before others from the one before; after the last to its end.

    Args:
        path: int64[n] each: when the touch came to stand, and where, in steps; a first row that begins after the
            stretch holds from its begin.
        span: Begin and end, µs.
        rates: A in 1/µs, and k by step: a touch at d is hit A·exp(-k·d) times in a µs.
        last: A touch farther away is not hit.
        hits: int64[m], when hits came, in order of time.
    """
