"""How each segment's parameters did on data they had not seen: ``window_metrics.csv``."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mm.calibration.points import Points
from mm.calibration.schedule import Schedule, Segment


def write_window_metrics(path: Path, schedule: Schedule, points: Callable[[int, int], Points]) -> int:
    """Write a row for each segment, and return how many there are.

    Args:
        path: The file.
        schedule: Its segments.
        points: Points of ``[start, end)`` in µs, as the segments were fitted on.
    """
    rows = list(_rows(schedule, points))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


_TESTED = ("test_exposure_s", "test_fills", "test_expected", "test_loglik")
COLUMNS = (*Segment.__dataclass_fields__, *_TESTED)


def _rows(schedule: Schedule, points: Callable[[int, int], Points]) -> Iterator[dict[str, Any]]:
    for segment in schedule.segments:
        tested = dict.fromkeys(_TESTED, None)
        if segment.A is not None and segment.k is not None:
            tested = _tested(points(segment.start_us, segment.end_us), segment.A, segment.k)
        row = asdict(segment) | tested | {"usable": "true" if segment.usable else "false"}
        yield {name: "" if value is None else value for name, value in row.items()}


def _tested(seen: Points, A: float, k: float) -> dict[str, Any]:
    """Return fills seen and expected in a segment, and the Poisson log-likelihood of its cells."""
    gain = np.exp(-k * seen.delta_ticks) - np.exp(-k * (seen.delta_ticks + seen.width_ticks))
    expected = seen.exposure_s * A * gain
    hit = seen.fills > 0
    loglik = (
        float(np.sum(seen.fills[hit] * np.log(expected[hit])))
        - float(expected.sum())
        - sum(map(math.lgamma, (seen.fills[hit] + 1).tolist()))
    )
    return {
        "test_exposure_s": float(seen.exposure_s.sum()),
        "test_fills": float(seen.fills.sum()),
        "test_expected": float(expected.sum()),
        "test_loglik": loglik,
    }
