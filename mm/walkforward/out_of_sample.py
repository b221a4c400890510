"""``oos_metrics.json`` and ``window_metrics.csv``: the results of a schedule on the data after each training window."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.arithmetic import Ends, ratio_interval
from mm.backtest.metrics.long_run import fill_intervals
from mm.base.arrays import Floats
from mm.base.numbers import MINUS, fixed, half_width
from mm.calibration.schedule import Segment
from mm.calibration.windows import WindowFit
from mm.clock import iso
from mm.errors import BrokenFile
from mm.walkforward.oos_tests import RATIO, SegmentBlocks, Tested, by_band, ratio_of, realised
from mm.walkforward.walkforward import Study

SCHEMA_VERSION = 2
FILE = "oos_metrics.json"
FEWEST = 0.5  # minimum predicted fills of a band for which the ratio is shown
BANDS = (1, 2, 3, 5, 8, 13)  # ticks; bounds of the distance bands on the terminal
TRAINED = ("train_exposure_s", "train_dispersion", "train_deviance", "train_df", "A_low", "A_high", "k_low", "k_high")
TESTED = ("test_exposure_s", "test_fills", "test_expected", "test_ratio", "test_ratio_low", "test_ratio_high")
LIKELIHOOD = ("test_loglik", "test_loglik_per_fill")
LATER = ("shape", "adverse_ticks")  # columns after those that scripts index
NO_COLUMN = (
    "lambda_curve",
    "measured_rates",
    "mean_bid_per_s",
    "mean_ask_per_s",
    "states_until_us",
    "states_level",
    "half_spread_ticks",
)  # of a segment
SEGMENT = tuple(name for name in Segment.__dataclass_fields__ if name not in (*NO_COLUMN, *LATER))
SEGMENT_FIELDS = tuple(name for name in Segment.__dataclass_fields__ if name not in NO_COLUMN)
SEGMENT_VALUES = attrgetter(*SEGMENT_FIELDS)
COLUMNS = (*SEGMENT, "start", *TRAINED, *TESTED, *LIKELIHOOD, *LATER)
NEWER = LATER  # columns that are missing in files of earlier versions
WORDS = ("usable", "status", "source", "reason", "start", "shape")  # the columns that are not numbers


def out_of_sample(study: Study, in_modes: Mapping[str, Sequence[Tested]] | None = None) -> dict[str, Any]:
    """Return the content of ``oos_metrics.json``: the fills of all segments with parameters, and those predicted.

    Args:
        study: The segments and their tests.
        in_modes: The tests by the mode of the windows (`walkforward.in_modes`), which are compared over the segments in
            which each mode has parameters; None compares none. ``gain_over_used`` is the log-likelihood per fill of a
            mode minus that of the used one (below 0: it is worse), with a standard error ``se_gain`` that treats
            segments, not fills, as independent.
    """
    schedule = study.schedule
    tests = [test for test in study.tests if test.expected is not None]
    rows = [(test.points, test.expected) for test in tests if test.expected is not None]
    return {
        "schema_version": SCHEMA_VERSION,
        "symbol": schedule.symbol,
        "day": schedule.day,
        "mode": schedule.mode,
        "segments": len(schedule.segments),
        "segments_tested": len(tests),
        "fills": sum(test.fills for test in tests),
        **_likelihood(tests),
        "modes": _modes(in_modes, schedule.mode) if in_modes else None,
        "by_delta": realised(rows),
        "by_band": by_band(rows, BANDS),
    }


def _likelihood(tests: Sequence[Tested]) -> dict[str, float | None]:
    """Return the log-likelihood per fill of tests with parameters, and the predicted fills with the ratio to them."""
    fills, predicted = (np.array([getattr(test, name) for test in tests]) for name in ("fills", "predicted"))
    total = float(fills.sum())
    if not total:
        return dict.fromkeys(("loglik_per_fill", "predicted", *RATIO))
    [ends] = fill_intervals(fills[:, None], predicted[:, None])  # the blocks are the segments
    loglik = sum(test.loglik or 0.0 for test in tests)
    expected = float(predicted.sum())
    return {"loglik_per_fill": loglik / total, "predicted": expected, **ratio_of(total, expected, ends)}


def _modes(in_modes: Mapping[str, Sequence[Tested]], used: str) -> dict[str, dict[str, float | None]]:
    """Return the results of each mode, in the segments in which every mode has parameters."""
    known = [
        at
        for at, tests in enumerate(zip(*in_modes.values(), strict=True))
        if all(t.expected is not None for t in tests)
    ]
    found, own = {}, [in_modes[used][at].loglik or 0.0 for at in known]
    for mode, tests in in_modes.items():
        compared = [tests[at] for at in known]
        fills, gains = np.array([test.fills for test in compared]), np.array([test.loglik or 0.0 for test in compared])
        mean, error = _mean_gain(fills, gains - np.array(own))
        found[mode] = {**_likelihood(compared), "gain_over_used": mean, "se_gain": error}
    return found


def _mean_gain(fills: Floats, gains: Floats) -> tuple[float | None, float | None]:
    """Return the gain of segments per fill, and its standard error, None for one segment."""
    total, count = float(fills.sum()), len(fills)
    if not total:
        return None, None
    mean = float(gains.sum()) / total
    left = float(((gains - mean * fills) ** 2).sum())
    return mean, float(np.sqrt(count / (count - 1) * left)) / total if count > 1 else None


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the results as lines of a small table."""
    if not found["fills"]:
        yield "out of sample: no fills in segments with parameters"
        return
    yield (
        f"out of sample: {found['fills']:,.0f} fills in {found['segments_tested']} segments, "
        f"{found['predicted']:,.0f} predicted; log-likelihood per fill {fixed(found['loglik_per_fill'], 4)}"
    )
    yield from _mode_lines(found["modes"] or {}, found["mode"], found["segments"])
    yield f"{'δ, ticks':<12}{'fills':>18}{'predicted':>22}{'ratio':>17}   95 %"
    for row in found["by_band"]:
        far = row["to_ticks"]
        name = f"from {row['from_ticks']:g}" if far is None else f"{row['from_ticks']:g} to {far:g}"
        yield f"{name:<12}{row['fills']:>18,.0f}{row['expected']:>22,.1f}" + _ratio_text(row)


def _mode_lines(modes: dict[str, Any], used: str, segments: int) -> Iterator[str]:
    """Yield a line for each mode; nothing if none could be compared."""
    if any(row["loglik_per_fill"] is None for row in modes.values()) or not modes:
        return
    yield f"{'mode':<12}{'log-lik. per fill':>18}{'vs. ' + used:>22}{'predicted fills':>17}"
    for mode, row in modes.items():
        beside = (
            ""
            if mode == used
            else f"{fixed(row['gain_over_used'], 4)} ± {half_width(row['se_gain'], segments) or math.nan:.4f}"
        )
        each = f"{row['loglik_per_fill']:.4f}".replace("-", MINUS)
        yield f"{mode:<12}{each:>18}{beside:>22}{row['predicted']:>17,.0f}"


def _ratio_text(row: dict[str, float | None]) -> str:
    """Return the ratio of a row with its interval, if it is shown."""
    ratio, low, high = (row[name] for name in RATIO)
    if ratio is None or (row["expected"] or 0.0) < FEWEST:
        return f"{'–':>17}"
    return f"{ratio:>17.3f}" + ("" if low is None or high is None else f"   {low:.3f} to {high:.3f}")


def write_window_metrics(path: Path, study: Study) -> int:
    """Write one row per segment, and return their number; a cell without a value is empty."""
    rows = list(_rows(study))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    return len(rows)


def _rows(study: Study) -> Iterator[list[Any]]:
    ends = _ends(study.tests)
    for segment, own, tested, interval in zip(study.schedule.segments, study.fits, study.tests, ends, strict=True):
        row = dict(zip(SEGMENT_FIELDS, SEGMENT_VALUES(segment), strict=True))
        row |= {"start": iso(segment.start_us), "usable": "true" if segment.usable else "false"}
        row |= zip(TRAINED, _trained(own), strict=True)
        row |= zip((*TESTED, *LIKELIHOOD), _tested(tested, interval), strict=True)
        yield [row[name] for name in COLUMNS]


def _ends(tests: tuple[Tested, ...]) -> Iterator[Ends]:
    """Yield the interval of the mean of the fills of each segment; empty without parameters."""
    parts = [(test.points, test.expected) for test in tests if test.expected is not None]
    known = iter(SegmentBlocks.of(parts).stretches() if parts else ())
    for test in tests:
        yield (None, None) if test.expected is None else next(known)


def _trained(own: WindowFit) -> tuple[float | None, ...]:
    """Return the fit of the segment's own training window, even if other parameters are used."""
    fit, none = own.fit, (None, None)
    return fit.exposure_s, fit.dispersion, fit.deviance, fit.df_resid, *(fit.ci95_A or none), *(fit.ci95_k or none)


def _tested(tested: Tested, ends: Ends) -> tuple[float | None, ...]:
    fills, expected, loglik = tested.fills, tested.predicted, tested.loglik
    ratio = ratio_interval(fills, expected or 0.0, ends)
    per_fill = loglik / fills if loglik is not None and fills else None
    return float(tested.points.exposure_s.sum()), fills, expected, *ratio, loglik, per_fill


@dataclass(frozen=True)
class SegmentRows:
    """Segments in order of time, as columns.

    Attributes:
        numbers: The numeric columns, by name; NaN for an empty cell.
        words: The other columns.
        extent: First and last instant of charts, µs; None for the range of the segments.
        spans: First and last µs of each stretch with a market; none if unknown.
    """

    numbers: dict[str, Floats]
    words: dict[str, list[str]]
    extent: tuple[float, float] | None = None
    spans: Sequence[Sequence[int]] = ()

    def __len__(self) -> int:
        return len(self.words["source"])

    @property
    def x(self) -> tuple[float, float]:
        """First and last instant of a chart, µs."""
        return self.extent or self.own

    @property
    def own(self) -> tuple[float, float]:
        """Start of the first segment and end of the last, µs."""
        return float(self.numbers["start_us"][0]), float(self.numbers["end_us"][-1])

    def with_market(self) -> tuple[Floats, Floats]:
        """Return start and end of each segment's longest part with a market, µs: not the night that it lasts through.

        A segment without any is whole.
        """
        start, end = self.numbers["start_us"], self.numbers["end_us"]
        longest, parts = np.zeros(len(self)), (start.copy(), end.copy())
        for first, last in self.spans:
            begins, ends = np.maximum(start, first), np.minimum(end, last)
            longer = ends - begins > longest
            longest[longer] = (ends - begins)[longer]
            parts[0][longer], parts[1][longer] = begins[longer], ends[longer]
        return parts


def read_segments(path: Path) -> SegmentRows:
    """Read the segments of a schedule.

    Raises:
        BrokenFile: If the file cannot be read, lacks a column, or has an invalid number.
    """
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
