"""``window_metrics.csv`` read back: the segments of a schedule, for a page."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm.errors import BrokenFile
from mm.walkforward.window_metrics import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WORDS = ("usable", "status", "source", "reason", "start")


@dataclass(frozen=True)
class SegmentRows:
    """Segments in order of time.

    Attributes:
        numbers: The columns that are numbers, by name; NaN where a cell is empty.
        words: The others.
        extent: First and last µs that charts show; None for the segments alone.
    """

    numbers: "dict[str, Floats]"
    words: dict[str, list[str]]
    extent: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.words["source"])

    @property
    def x(self) -> tuple[float, float]:
        """First and last instant of a chart, µs."""
        return self.extent or self.own

    @property
    def own(self) -> tuple[float, float]:
        """Begin of the first segment and end of the last, µs."""
        return float(self.numbers["start_us"][0]), float(self.numbers["end_us"][-1])


def read_segments(path: Path) -> SegmentRows:
    """Read the segments of a schedule.

    Raises:
        BrokenFile: If the file cannot be read, lacks a column, or a number is none.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise BrokenFile(f"{path}: no column {', '.join(missing)}; make the run anew")
            rows = list(table)
        return SegmentRows(
            {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS if name not in WORDS},
            {name: [row[name] for row in rows] for name in WORDS},
        )
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the run anew") from error
