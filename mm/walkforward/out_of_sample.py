"""``oos_metrics.json`` and ``window_metrics.csv``: results of a schedule on out-of-sample data.

The used mode is compared with all other modes.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from mm.backtest.metrics.arithmetic import Ends, ratio_interval
from mm.backtest.metrics.long_run import fill_intervals
from mm.base.arrays import Floats
from mm.base.numbers import MINUS, fixed, number, signed
from mm.calibration.alternatives import PNL_GAIN, mean_gain, pnl_gain
from mm.calibration.goodness import Uniformity, uniformity
from mm.calibration.schedule import Segment
from mm.calibration.windows import MODES, WindowFit
from mm.clock import iso
from mm.errors import BrokenFile
from mm.walkforward.oos_tests import RATIO, SegmentBlocks, Tested, by_band, linked, ratio_of, realised
from mm.walkforward.walkforward import Study

SCHEMA_VERSION = 1
FILE = "oos_metrics.json"
NONE = "–"
SIDES = {"bid": 1, "ask": -1}
FEWEST = 0.5  # minimum predicted fills of a band for which the ratio is shown
BANDS = (1, 2, 3, 5, 8, 13)  # ticks; bounds of the distance bands on the terminal
TRAINED = ("train_exposure_s", "train_dispersion", "train_deviance", "train_df", "A_low", "A_high", "k_low", "k_high")
TESTED = ("test_exposure_s", "test_fills", "test_expected", "test_ratio", "test_ratio_low", "test_ratio_high")
LIKELIHOOD = ("test_loglik", "test_loglik_per_fill", *(f"test_loglik_{mode}" for mode in MODES))
CLOCK = ("waits", "mean_wait", "ks_p")
CURVE = ("shape", "test_expected_curve", "test_loglik_curve")
LATER = ("adverse_ticks",)  # columns after those that scripts index
NO_COLUMN = (
    "lambda_curve",
    "measured_rates",
    "mean_bid_per_s",
    "mean_ask_per_s",
    "states_until_us",
    "states_level",
    "half_spread_ticks",
)  # of a segment
SEGMENT = tuple(name for name in Segment.__dataclass_fields__ if name not in ("shape", *NO_COLUMN, *LATER))
SEGMENT_FIELDS = tuple(name for name in Segment.__dataclass_fields__ if name not in NO_COLUMN)
SEGMENT_VALUES = attrgetter(*SEGMENT_FIELDS)
COLUMNS = (*SEGMENT, "start", *TRAINED, *TESTED, *LIKELIHOOD, *CLOCK, *CURVE, *LATER)
NEWER = ("test_loglik_state_space", *CURVE, *LATER)  # columns that are missing in files of earlier versions
WORDS = ("usable", "status", "source", "reason", "start", "shape")  # the columns that are not numbers


def out_of_sample(study: Study) -> dict[str, Any]:
    """Return the content of ``oos_metrics.json``.

    Modes are compared over the segments in which each of them has parameters; ``gain_over_used`` is the log-likelihood
    per fill of a mode minus that of the used one (below 0: it is worse), with a standard error ``se_gain`` that treats
    segments, not fills, as independent. ``pnl_gain`` is that gain in money: spread captured per hour by a unit quoted
    on both sides at the distance that is best by each one's parameters (`Captured`), in the quote asset.
    """
    schedule, used = study.schedule, study.schedule.mode
    compared = [test for test in study.tests if all(test.loglik[mode] is not None for mode in MODES)]
    rows = [(test.points, test.expected) for test in study.tests if test.expected is not None]
    clocks = {side: _clock(study.tests, [sign]) for side, sign in SIDES.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "symbol": schedule.symbol,
        "day": schedule.day,
        "mode": used,
        "segments": len(schedule.segments),
        "segments_compared": len(compared),
        "fills_compared": sum(test.fills for test in compared),
        "modes": {mode: _mode(compared, mode, used, schedule.tick_size) for mode in MODES},
        "curves": _curves(study.tests, used, schedule.tick_size),
        "by_delta": realised(rows),
        "by_band": by_band(rows, BANDS),
        "time_rescaling": {
            **asdict(_clock(study.tests, [1, -1])),
            "sides": {name: asdict(clock) for name, clock in clocks.items()},
        },
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the results as lines of a small table."""
    used, count = found["mode"], found["fills_compared"]
    if not count:
        yield "out of sample: no fills in segments where every mode has parameters"
        return
    yield f"out of sample: {count:,.0f} fills in {found['segments_compared']} segments, {used} used"
    yield f"{'mode':<12}{'log-lik. per fill':>18}{'vs. ' + used:>22}{'predicted fills':>17}{'PnL/h vs. ' + used:>24}"
    for mode, row in found["modes"].items():
        beside = "" if mode == used else f"{fixed(row['gain_over_used'], 4)} ± {row['se_gain'] or math.nan:.4f}"
        each = f"{row['loglik_per_fill']:.4f}".replace("-", MINUS)
        worth = "" if mode == used else _worth(row)
        yield f"{mode:<12}{each:>18}{beside:>22}{row['predicted']:>17,.0f}{worth:>24}".rstrip()
    yield "PnL/h: spread captured by a unit quoted on both sides at each one's best distance, before adverse selection"
    curves = found["curves"]
    if curves["gain_nats_per_fill"] is not None:
        yield (
            f"curves of λ(δ) in {curves['segments']} segments: {fixed(curves['gain_nats_per_fill'], 4)} ± "
            f"{curves['se'] or math.nan:.4f} per fill relative to A and k, PnL/h {_worth(curves)}"
        )
    yield f"{'δ, ticks':<12}{'fills':>18}{'predicted':>22}{'ratio':>17}   95 %"
    for row in found["by_band"]:
        far = row["to_ticks"]
        name = f"from {row['from_ticks']:g}" if far is None else f"{row['from_ticks']:g} to {far:g}"
        yield f"{name:<12}{row['fills']:>18,.0f}{row['expected']:>22,.1f}" + _ratio_text(row)
    clock = found["time_rescaling"]
    if clock["p"] is not None:
        yield (
            f"rescaled waiting times: {clock['n']:,}, mean {clock['mean_wait']:.3f} (1 if the model is correct), "
            f"Kolmogorov-Smirnov {clock['ks']:.4f}, p {clock['p']:.2g}"
        )


def _worth(row: dict[str, Any]) -> str:
    """Return the gain of a row in money, with its error."""
    if row.get("pnl_gain") is None:
        return NONE
    error = row["se_pnl_gain"]
    return signed(row["pnl_gain"], 3) + ("" if error is None else f" ± {number(error, 2)}")


def _ratio_text(row: dict[str, float | None]) -> str:
    """Return the ratio of a row with its interval, if it is shown."""
    ratio, low, high = (row[name] for name in RATIO)
    if ratio is None or (row["expected"] or 0.0) < FEWEST:
        return f"{'–':>17}"
    return f"{ratio:>17.3f}" + ("" if low is None or high is None else f"   {low:.3f} to {high:.3f}")


def _mode(compared: list[Tested], mode: str, used: str, tick_size: float | None) -> dict[str, Any]:
    """Return the results of *mode* in the *compared* segments."""
    fills = np.array([test.fills for test in compared])
    gains = np.array([(test.loglik[mode] or 0.0) - (test.loglik[used] or 0.0) for test in compared])
    total = float(fills.sum())
    if not total:
        return dict.fromkeys(("loglik_per_fill", "predicted", *RATIO, "gain_over_used", "se_gain", *PNL_GAIN))
    mean, error = mean_gain(fills, gains)
    predicted = np.array([test.predicted[mode] or 0.0 for test in compared])
    [ends] = fill_intervals(fills[:, None], predicted[:, None])  # the blocks are the segments
    return {
        "loglik_per_fill": sum(test.loglik[mode] or 0.0 for test in compared) / total,
        "predicted": float(predicted.sum()),
        **ratio_of(total, float(predicted.sum()), ends),
        "gain_over_used": mean,
        "se_gain": error,
        **_pnl_gain(compared, mode, used, tick_size),
    }


def _pnl_gain(tests: Sequence[Tested], name: str, used: str, tick_size: float | None) -> dict[str, float | None]:
    """Return the captured spread of *name* beyond that of the *used* mode, as in `pnl_gain`."""
    return pnl_gain([(test.spent_s, test.captured.get(name), test.captured.get(used)) for test in tests], tick_size)


def _curves(tests: tuple[Tested, ...], used: str, tick_size: float | None) -> dict[str, Any]:
    """Return the gain of segments' curves over A and k, in nats per fill, where another shape was chosen."""
    known = [(test.fills, test.loglik[used], test.curve[1]) for test in tests if test.curve]
    rows = [(fills, curve - plain) for fills, plain, curve in known if plain is not None and curve is not None]
    gain, error = mean_gain(*np.array(rows).T) if rows else (None, None)
    count = {"segments": len(known), "fills": sum(fills for fills, *_ in known)}
    worth = _pnl_gain([test for test in tests if test.curve], "curve", used, tick_size)
    return {**count, "gain_nats_per_fill": gain, "se": error, **worth}


def _clock(tests: tuple[Tested, ...], sides: list[int]) -> Uniformity:
    """Return the test of all waiting times of *sides*; a wait across a segment's end continues in the next one."""
    stretches = [[part for test in tests for part in (test.waits[side] or (None,))] for side in sides]
    return uniformity(np.concatenate([linked(waits) for waits in stretches]))


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
        row |= zip((*TESTED, *LIKELIHOOD), _tested(tested, study.schedule.mode, interval), strict=True)
        row |= zip((*CLOCK, *CURVE[1:]), (*_waits(tested), *(tested.curve or (None, None))), strict=True)
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


def _tested(tested: Tested, mode: str, ends: Ends) -> tuple[float | None, ...]:
    fills, loglik = tested.fills, tested.loglik[mode]
    expected = None if tested.expected is None else float(tested.expected.sum())
    ratio = ratio_interval(fills, expected or 0.0, ends)
    per_fill = loglik / fills if loglik is not None and fills else None
    modes = (tested.loglik[name] for name in MODES)
    return float(tested.points.exposure_s.sum()), fills, expected, *ratio, loglik, per_fill, *modes


def _waits(tested: Tested) -> tuple[float | None, ...]:
    """Return the waiting times of both sides together; the last one of each side has not ended and does not count."""
    found = uniformity(np.concatenate([linked(side or ()) for side in tested.waits.values()]))
    return found.n, found.mean_wait, found.p


@dataclass(frozen=True)
class SegmentRows:
    """Segments in order of time, as columns.

    Attributes:
        numbers: The numeric columns, by name; NaN for an empty cell.
        words: The other columns.
        extent: First and last instant of charts, µs; None for the range of the segments.
    """

    numbers: dict[str, Floats]
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
        """Start of the first segment and end of the last, µs."""
        return float(self.numbers["start_us"][0]), float(self.numbers["end_us"][-1])


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
