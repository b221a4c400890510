"""``window_metrics.csv``: a row per segment of a schedule, with the fit of its training window."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.base.arrays import Floats
from mm.calibration.schedule import Segment
from mm.clock import iso
from mm.errors import BrokenFile

if TYPE_CHECKING:
    from mm.calibration.windows import WindowFit
    from mm.walkforward.walkforward import Study

TRAINED = ("train_exposure_s", "train_dispersion", "train_deviance", "train_df", "A_low", "A_high", "k_low", "k_high")
LATER = ("shape", "adverse_ticks", "A_shrunk", "k_shrunk")  # columns after those that scripts index
NO_COLUMN = (
    "lambda_curve",
    "measured_rates",
    "mean_bid_per_s",
    "mean_ask_per_s",
    "half_spread_ticks",
    "ci95_A",
    "ci95_k",
    "ci95_A_shrunk",
    "ci95_k_shrunk",
    "cov_logA_k",
)  # of a segment
SEGMENT = tuple(name for name in Segment.__dataclass_fields__ if name not in (*NO_COLUMN, *LATER))
SEGMENT_FIELDS = tuple(name for name in Segment.__dataclass_fields__ if name not in NO_COLUMN)
SEGMENT_VALUES = attrgetter(*SEGMENT_FIELDS)
COLUMNS = (*SEGMENT, "start", *TRAINED, *LATER)
NEWER = LATER  # columns that are missing in files of earlier versions
WORDS = ("usable", "status", "source", "reason", "start", "shape")  # the columns that are not numbers


def write_window_metrics(path: Path, study: "Study") -> int:
    """Return the number of rows; a missing value is an empty cell."""
    rows = list(_rows(study))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    return len(rows)


def _rows(study: "Study") -> Iterator[list[Any]]:
    for segment, own in zip(study.schedule.segments, study.fits, strict=True):
        row = dict(zip(SEGMENT_FIELDS, SEGMENT_VALUES(segment), strict=True))
        row |= {"start": iso(segment.start_us), "usable": "true" if segment.usable else "false"}
        row |= zip(TRAINED, _trained(own), strict=True)
        yield [row[name] for name in COLUMNS]


def _trained(own: "WindowFit") -> tuple[float | None, ...]:
    fit, none = own.fit, (None, None)
    return fit.exposure_s, fit.dispersion, fit.deviance, fit.df_resid, *(own.ci95_A or none), *(own.ci95_k or none)


@dataclass(frozen=True)
class SegmentRows:
    """Segments in order of time, as columns.

    Attributes:
        extent: Of charts, µs; None: the segments'.
        spans: Stretches with a market (µs), if known.
    """

    numbers: dict[str, Floats]
    words: dict[str, list[str]]
    extent: tuple[float, float] | None = None
    spans: Sequence[Sequence[int]] = ()

    def __len__(self) -> int:
        return len(self.words["source"])

    @property
    def x(self) -> tuple[float, float]:
        return self.extent or self.own

    @property
    def own(self) -> tuple[float, float]:
        return float(self.numbers["start_us"][0]), float(self.numbers["end_us"][-1])

    def with_market(self) -> tuple[Floats, Floats]:
        start, end = self.numbers["start_us"], self.numbers["end_us"]
        longest, parts = np.zeros(len(self)), (start.copy(), end.copy())
        for first, last in self.spans:
            begins, ends = np.maximum(start, first), np.minimum(end, last)
            longer = ends - begins > longest
            longest[longer] = (ends - begins)[longer]
            parts[0][longer], parts[1][longer] = begins[longer], ends[longer]
        return parts


def read_segments(path: Path) -> SegmentRows:
    """Raises BrokenFile."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
        missing = [name for name in COLUMNS if name not in (*header, *NEWER)]
        if missing:
            raise BrokenFile(f"{path}: no column {', '.join(missing)}; make the run again")
        columns = dict(zip(header, zip_longest(*rows, fillvalue=""), strict=False))
        texts = {name: list(columns.get(name, [""] * len(rows))) for name in COLUMNS}
        numbers = {
            name: np.array([float(cell or "nan") for cell in texts[name]]) for name in COLUMNS if name not in WORDS
        }
        return SegmentRows(numbers, {name: texts[name] for name in WORDS})
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise BrokenFile(f"{path}: cannot be read ({error}); make the run again") from error
