"""Spread states: fill rates while the spread is one tick wide, two, three to four, and so on."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mm.calibration.calibrator import Calibrator, first_blocks
from mm.calibration.points import Points, joined

if TYPE_CHECKING:
    from mm.calibration.block_sums import SpreadTally

LARGE_TICK_SHARE = 0.5


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
    tallies = [marks.by_spread(*day) for marks, day in days]
    seconds = _seconds_by_spread(tallies)
    total, widest, low, high = sum(seconds.values()), max(seconds, default=0), 1, 1
    bounds = []
    while low <= widest:
        if any(low <= spread <= high for spread in seconds):
            bounds.append((low, high))
        low, high = high + 1, 2 * high
    cells = [
        marks.state_points(({side: tally.state(*bound) for side, tally in sides.items()} for bound in bounds), *day)
        for (marks, day), sides in zip(days, tallies, strict=True)
    ]
    first = first_blocks(calibrator.days)
    shares = [sum(us for spread, us in seconds.items() if low <= spread <= high) / total for low, high in bounds]
    return tuple(
        SpreadState(low, high, share, joined([day[at] for day in cells], first))
        for at, ((low, high), share) in enumerate(zip(bounds, shares, strict=True))
    )


def _seconds_by_spread(tallies: "Sequence[dict[int, SpreadTally]]") -> Counter[int]:
    """Return the time with a valid book, in µs, by spread in ticks."""
    spent = Counter[int]()
    for sides in tallies:
        side_tally = next(iter(sides.values()))
        widths, first = np.unique(side_tally.stood_spread, return_index=True)  # its rows are ordered by spread
        spent.update(dict(zip(widths.tolist(), np.add.reduceat(side_tally.tally.us, first).tolist(), strict=True)))
    del spent[0]
    return spent


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
