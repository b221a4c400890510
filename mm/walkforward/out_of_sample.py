"""``oos_metrics.json``: how a schedule did on the days that it had not seen, and how the other modes would have."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from mm.backtest.metrics.arithmetic import ratio_interval
from mm.calibration.rescaling import Uniformity, linked, uniformity
from mm.calibration.unseen import realised
from mm.calibration.windows import MODES
from mm.walkforward.study import Study, Tested

SCHEMA_VERSION = 1
FILE = "oos_metrics.json"
SIDES = {"bid": 1, "ask": -1}
FEWEST = 0.5  # foreseen fills of a band whose ratio is shown
BANDS = (1, 2, 3, 5, 8, 13)  # ticks, between which the terminal sums up distances


def out_of_sample(study: Study) -> dict[str, Any]:
    """Return the content of ``oos_metrics.json``.

    Modes are compared over the segments in which every one of them has parameters; ``gain_over_used``
    is the log-likelihood per fill that a mode has beyond the used one (below 0: it does worse), with a
    standard error ``se_gain`` that takes segments, not fills, for independent.
    """
    schedule, used = study.schedule, study.schedule.mode
    compared = [one for one in study.tests if all(one.loglik[mode] is not None for mode in MODES)]
    rows = [(one.points, one.expected) for one in study.tests if one.expected is not None]
    clocks = {side: _clock(study.tests, [sign]) for side, sign in SIDES.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "symbol": schedule.symbol,
        "day": schedule.day,
        "mode": used,
        "segments": len(schedule.segments),
        "segments_compared": len(compared),
        "fills_compared": sum(_fills(one) for one in compared),
        "modes": {mode: _mode(compared, mode, used) for mode in MODES},
        "by_delta": [asdict(row) for row in realised(rows)],
        "time_rescaling": {
            **asdict(_clock(study.tests, [1, -1])),
            "sides": {name: asdict(one) for name, one in clocks.items()},
        },
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the same as a small table, for people."""
    used, count = found["mode"], found["fills_compared"]
    if not count:
        yield "out of sample: no fills in segments that every mode could foresee"
        return
    yield f"out of sample: {count:,.0f} fills in {found['segments_compared']} segments, {used} used"
    yield f"{'mode':<12}{'log-lik. per fill':>18}{'beside ' + used:>22}{'fills foreseen':>17}"
    for mode, row in found["modes"].items():
        beside = "" if mode == used else f"{row['gain_over_used']:+.4f} ± {row['se_gain'] or math.nan:.4f}"
        yield f"{mode:<12}{row['loglik_per_fill']:>18.4f}{beside:>22}{row['foreseen']:>17,.0f}"
    yield f"{'δ, ticks':<12}{'fills':>18}{'foreseen':>22}{'ratio':>17}   95 %"
    for near, far, seen, mean in _bands(found["by_delta"]):
        ratio, low, high = ratio_interval(seen, mean)
        name = f"{near:g} to {far:g}" if math.isfinite(far) else f"from {near:g}"
        told = f"{ratio:>17.3f}   {low:.3f} to {high:.3f}" if mean >= FEWEST else f"{'–':>17}"
        yield f"{name:<12}{seen:>18,.0f}{mean:>22,.1f}{told}"
    clock = found["time_rescaling"]
    if clock["p"] is not None:
        yield (
            f"rescaled waiting times: {clock['n']:,}, mean {clock['mean_wait']:.3f} (1 where the model holds), "
            f"Kolmogorov-Smirnov {clock['ks']:.4f}, p {clock['p']:.2g}"
        )


def _fills(tested: Tested) -> float:
    return float(tested.points.fills.sum())


def _mode(compared: list[Tested], mode: str, used: str) -> dict[str, Any]:
    """Return how *mode* did in the segments that are *compared*."""
    fills = np.array([_fills(one) for one in compared])
    gains = np.array([(one.loglik[mode] or 0.0) - (one.loglik[used] or 0.0) for one in compared])
    total, count = float(fills.sum()), len(compared)
    if not total:
        names = (
            "loglik_per_fill",
            "foreseen",
            "ratio",
            "ratio_low",
            "ratio_high",
            "gain_over_used",
            "se_gain",
        )
        return dict.fromkeys(names)
    mean = float(gains.sum()) / total
    error = math.sqrt(count / (count - 1) * float(((gains - mean * fills) ** 2).sum())) / total if count > 1 else None
    foreseen = sum(one.foreseen[mode] or 0.0 for one in compared)
    ratio, low, high = ratio_interval(total, foreseen)
    return {
        "loglik_per_fill": sum(one.loglik[mode] or 0.0 for one in compared) / total,
        "foreseen": foreseen,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "gain_over_used": mean,
        "se_gain": error,
    }


def _clock(tests: tuple[Tested, ...], sides: list[int]) -> Uniformity:
    """Return the test of all waiting times of *sides*; one that a segment's end cuts goes on in the next."""
    between = []
    for side in sides:
        stretches = [part for one in tests for part in (one.waits[side] or (None,))]
        between.append(linked(stretches))
    return uniformity(np.concatenate(between))


def _bands(rows: list[dict[str, Any]]) -> Iterator[tuple[float, float, float, float]]:
    """Yield near and far edge, fills and foreseen fills of each band of distances."""
    edges = (0.0, *BANDS, math.inf)
    for near, far in pairwise(edges):
        inside = [row for row in rows if near <= row["delta_ticks"] < far]
        if inside:
            yield near, far, sum(row["fills"] for row in inside), sum(row["expected"] for row in inside)
