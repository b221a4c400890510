"""``window_shapes.json``: the data of some windows at each distance, and the curves fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mm.calibration.fit_result import PoissonFit
from mm.calibration.points import Points, group, sum_by
from mm.errors import BrokenFile

if TYPE_CHECKING:
    from mm.calibration.calibrator import Calibrator
    from mm.calibration.schedule import Segment
    from mm.calibration.windows import WindowFit

SCHEMA_VERSION = 1
FILE = "window_shapes.json"
MOST = 12  # windows, over all days
PLACES = ("start_us", "end_us", "train_start_us", "train_end_us")


@dataclass(frozen=True)
class WindowShape:
    """A window of a schedule for which the shapes of λ(δ) were compared.

    Attributes:
        span_us: Start and end of the segment, then of the training window.
    """

    span_us: tuple[int, int, int, int]
    fit: PoissonFit
    points: Points

    def to_json(self) -> dict[str, Any]:
        rows = zip(*(column.tolist() for column in (self.points.delta_ticks, self.points.side)), strict=True)
        counts = zip(self.points.exposure_s.tolist(), self.points.fills.tolist(), strict=True)
        return {
            **dict(zip(PLACES, self.span_us, strict=True)),
            "points": [[*row, *count] for row, count in zip(rows, counts, strict=True)],
            "fit": self.fit.to_json(brief=True),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], source: str) -> "WindowShape":
        """Raises BrokenFile."""
        try:
            delta, side, exposure_s, fills = zip(*content["points"], strict=True)
            begin_us, end_us, train_start_us, train_end_us = (int(content[name]) for name in PLACES)
            points = Points.of(delta, exposure_s, fills, side)
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFile(f"{source}: not the windows of a schedule ({error!r}); make the run again") from error
        span_us = begin_us, end_us, train_start_us, train_end_us
        return cls(span_us, PoissonFit.from_json(content["fit"], source), points)


class ShapeSampler:
    """Collects windows with compared shapes, spread over the schedule."""

    def __init__(self, calibrator: "Calibrator", windows: int) -> None:
        self._calibrator, self._apart = calibrator, -(-windows // MOST)
        self._next = 0
        self.found: list[WindowShape] = []

    def add(self, number: int, segment: "Segment", own: "WindowFit") -> None:
        """Only if a window's curve is its own and enough of the schedule has passed."""
        if number < self._next or not any(point.ci95 for point in own.fit.lambda_curve):
            return
        span = segment.train_start_us, segment.train_end_us
        shown = summed(self._calibrator.between(*span).shown)
        self.found.append(WindowShape((segment.start_us, segment.end_us, *span), own.fit, shown))
        self._next = number + self._apart


def summed(points: Points) -> Points:
    first, into = group(points.delta_ticks, -points.side)
    exposure_s, fills = (sum_by(into, column, len(first)) for column in (points.exposure_s, points.fills))
    return Points.of(points.delta_ticks[first], exposure_s, fills, points.side[first])


def window_shapes(shapes: Sequence[WindowShape]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "windows": [shape.to_json() for shape in shapes]}
