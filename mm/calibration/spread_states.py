"""Spread states: fill rates while the spread is one tick wide, two, three to four, and so on."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mm.calibration.calibrator import Calibrator, first_blocks
from mm.calibration.depth_counts import DepthCounts, tallied_points
from mm.calibration.points import Floats, Ints, Points, joined, sum_by
from mm.calibration.reference import within

LARGE_TICK_SHARE = 0.5
NUMBERS = 64  # of states


class SpreadState(NamedTuple):
    """The time in which the spread was from *low* to *high* ticks, and its points.

    *share* is its share of the time with a valid book.
    """

    low: int
    high: int
    share: float
    points: Points

    @property
    def name(self) -> str:
        """Its spread in ticks, as in ``lambda_curve``."""
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def spread_states(calibrator: Calibrator) -> tuple[SpreadState, ...]:
    """Return each spread state that occurred, of 1, 2, 3-4, 5-8, … ticks; measured by marks for every method."""
    days = list(zip(calibrator.marks, calibrator.days, strict=True))
    seconds = sum((_us_by_number(marks, *day) for marks, day in days), np.zeros(NUMBERS))
    first, total = first_blocks(calibrator.days), seconds[1:].sum()
    found = []
    for number in (np.flatnonzero(seconds[1:]) + 1).tolist():
        low, high = (1 << number - 1) // 2 + 1, 1 << number - 1
        parts = [_points(marks, day, number) for marks, day in days]
        found.append(SpreadState(low, high, float(seconds[number] / total), joined(parts, first)))
    return tuple(found)


def _number(spread: Ints) -> Ints:
    """Return the number of the state of each spread in ticks: 1 for 1, 2 for 2, 3 for 3 and 4, …; 0 without a book."""
    found: Ints = np.where(spread > 0, np.frexp(np.maximum(spread - 1, 0))[1] + 1, 0)
    return found


def _us_by_number(marks: DepthCounts, start_us: int, end_us: int) -> Floats:
    """Return the µs of each state in a day."""
    edges, rows, _ = marks.path.segments(start_us, end_us)
    return sum_by(_number(marks.path.spread)[rows], np.diff(edges), NUMBERS)


def _points(marks: DepthCounts, day: tuple[int, int], number: int) -> Points:
    """Return the cells of a state in a day, up to the reach of the day."""
    path, tallies, wanted = marks.path, marks.tallies(*day), _number(marks.path.spread) == number
    _, rows, _ = path.segments(*within(marks.span, *day), marks.block_us)
    states = {
        side: tally.where(wanted[rows], wanted[marks.sweeps[side].between(*day).row]) for side, tally in tallies.items()
    }
    return tallied_points(marks.grid_of(tallies), states, marks.blocks(*day))


def by_spread(calibrator: Calibrator, states: Iterable[SpreadState]) -> list[dict[str, Any]]:
    """Return the fit of each of *states*; measured by marks for every method.

    ``from_ticks`` and ``to_ticks`` bound the spread, ``share`` is its share of the time with a valid book; the other
    keys are those of the fit, in which ``n_fills`` counts sweeps.
    """
    names = ("A", "k", "se_logA", "se_k", "n_fills", "exposure_s", "status")
    found = []
    for state in states:
        fit = calibrator.fit_single(state.points)
        head = {"from_ticks": state.low, "to_ticks": state.high, "share": state.share}
        found.append(head | {name: getattr(fit, name) for name in names})
    return found


def large_tick(states: Sequence[SpreadState], reference: str) -> tuple[str, ...]:
    """Return a warning if the spread is mostly a single tick, else nothing; distances count from *reference*."""
    narrow = next((state.share for state in states if state.high == 1), 0.0)
    if narrow < LARGE_TICK_SHARE:
        return ()
    return (
        f"a large tick: the spread is one tick in {100 * narrow:.0f} % of the time, and there fills depend more on "
        f"queue position than on distance; compare with CALIB_HIT=strict and CALIB_QUEUE_AHEAD=1 at "
        f"CALIB_REFERENCE={reference}, or use FILL_MODEL=queue_hazard",
    )
