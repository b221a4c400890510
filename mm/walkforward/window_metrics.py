"""``window_metrics.csv``: what each window was trained on, what it said, and how it did on data it had not seen."""

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mm.backtest.metrics.arithmetic import ratio_interval
from mm.calibration.rescaling import linked, uniformity
from mm.calibration.schedule import Segment
from mm.calibration.windows import MODES, WindowFit
from mm.clock import iso
from mm.walkforward.study import Study, Tested

TRAINED = ("train_exposure_s", "train_dispersion", "train_deviance", "train_df", "A_low", "A_high", "k_low", "k_high")
TESTED = ("test_exposure_s", "test_fills", "test_expected", "test_ratio", "test_ratio_low", "test_ratio_high")
LIKELIHOOD = ("test_loglik", "test_loglik_per_fill", *(f"test_loglik_{mode}" for mode in MODES))
CLOCK = ("waits", "mean_wait", "ks_p")
COLUMNS = (*Segment.__dataclass_fields__, "start", *TRAINED, *TESTED, *LIKELIHOOD, *CLOCK)


def write_window_metrics(path: Path, study: Study) -> int:
    """Write a row for each segment, and return how many there are; a cell is empty where nothing is known."""
    rows = list(_rows(study))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _rows(study: Study) -> Iterator[dict[str, Any]]:
    for segment, own, tested in zip(study.schedule.segments, study.fits, study.tests, strict=True):
        row = asdict(segment) | {"start": iso(segment.start_us), "usable": "true" if segment.usable else "false"}
        row |= _trained(own) | _tested(tested, study.schedule.mode) | _clock(tested)
        yield {name: "" if row[name] is None else row[name] for name in COLUMNS}


def _trained(own: WindowFit) -> dict[str, Any]:
    """Return what the segment's own training window says of itself, whosever parameters are used."""
    fit = own.fit
    values = (fit.exposure_s, fit.dispersion, fit.deviance, fit.df_resid, *(fit.ci95_A or (None, None)))
    return dict(zip(TRAINED, (*values, *(fit.ci95_k or (None, None))), strict=True))


def _tested(tested: Tested, mode: str) -> dict[str, Any]:
    seen, loglik = tested.points, tested.loglik[mode]
    fills = float(seen.fills.sum())
    expected = None if tested.expected is None else float(tested.expected.sum())
    ratio = (None, None, None) if expected is None else ratio_interval(fills, expected)
    return {
        **dict(zip(TESTED, (float(seen.exposure_s.sum()), fills, expected, *ratio), strict=True)),
        "test_loglik": loglik,
        "test_loglik_per_fill": loglik / fills if loglik is not None and fills else None,
        **{f"test_loglik_{one}": tested.loglik[one] for one in MODES},
    }


def _clock(tested: Tested) -> dict[str, Any]:
    """Return the waiting times of both sides together; the last one of each side is not over and does not count."""
    import numpy as np

    found = uniformity(np.concatenate([linked(side or ()) for side in tested.waits.values()]))
    return dict(zip(CLOCK, (found.n, found.mean_wait, found.p), strict=True))
