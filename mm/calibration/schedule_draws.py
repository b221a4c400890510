"""A schedule as a distribution: the interval of its expected fills, and draws of its A and k."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from mm.base.arrays import Floats
from mm.base.numbers import NORMAL
from mm.base.random_effects import LEAST, Shared
from mm.calibration.schedule import Schedule, Segment
from mm.calibration.shared_strength import Stretch
from mm.errors import FitError


def schedule_log_rate_half(schedule: Schedule) -> float | None:
    """Half of the 95 % interval of ln of a schedule's expected fills; None if it states none.

    It is for fills at the mean depth, 1/k, from the windows' errors, averaged over as many as share no data.
    """
    windows = [each for each in schedule.segments if each.usable and Stretch.stated(each) is not None]
    alone = [stretch for each in windows if (stretch := Stretch.stated(each)) is not None]
    if len(alone) < LEAST:
        return None
    spans = [(each.train_start_us, each.train_end_us) for each in windows]
    apart = max(_covered(spans) / max(sum(end - start for start, end in spans) / len(spans), 1.0), 1.0)
    # short windows hardly know the correlation of ln A and k; without it the error is the larger one
    squares = fmean(stretch._replace(correlation=0.0).error_at(1 / stretch.k) ** 2 for stretch in alone)
    wide = NORMAL + (fmean(stretch.wide for stretch in alone) - NORMAL) / apart  # errors of many windows even out
    return wide * math.sqrt(squares / apart)


def _covered(spans: Sequence[tuple[int, int]]) -> int:
    covered, until = 0, 0
    for start, end in sorted(spans):
        covered, until = covered + max(end - max(start, until), 0), max(until, end)
    return covered


def schedule_draws(schedule: Schedule, count: int, seed: int) -> Iterator[Schedule]:
    """Yield *count* schedules with A and k drawn from what each segment states.

    A segment's draw is about its window's estimate, shrunk to the mean of all: by its error, which windows share as far
    as they share data, and by the difference between stretches.

    Raises:
        FitError: If the schedule does not state what its segments share.
    """
    if schedule.shared is None:
        raise FitError(f"fewer than {LEAST} segments can be fitted alone, so there is no distribution to draw from")
    shared = [Shared(**schedule.shared[name]) for name in ("A", "k")]
    between = _turn(schedule.shared["correlation"])
    first_us = min((each.train_start_us for each in schedule.segments), default=0)
    length_us = max(schedule.train_window_min * 60e6, 1.0)
    random = np.random.default_rng(seed)
    for _ in range(count):
        of_window = random.standard_normal((2 + len(schedule.segments), 2))
        apart = random.standard_normal((len(schedule.segments), 2)) @ between.T
        drawn = []
        for place, segment in enumerate(schedule.segments):
            whole, part = divmod((segment.train_start_us - first_us) / length_us, 1.0)
            at = min(int(whole), len(of_window) - 2)
            together = ((1 - part) * of_window[at] + part * of_window[at + 1]) / math.hypot(1 - part, part)
            drawn.append(_drawn(segment, shared, together, apart[place]))
        yield replace(schedule, segments=tuple(drawn))


def _turn(correlation: float) -> Floats:
    """Make two independent standard normal numbers correlated."""
    return np.array([[1.0, 0.0], [correlation, math.sqrt(max(1 - correlation**2, 0.0))]])


def _drawn(segment: Segment, shared: Sequence[Shared], together: Floats, apart: Floats) -> Segment:
    own = Stretch.stated(segment)
    if own is None:
        return segment
    together = _turn(own.correlation) @ together
    centre_a, error_a = shared[0].shrunk(own.log_a, own.error_log_a)
    centre_k, error_k = shared[1].shrunk(own.k, own.error_k)
    log_a = centre_a + error_a * together[0] + shared[0].sd * apart[0]
    centre_k = max(centre_k, own.k / 2)
    k = centre_k * math.exp((error_k * together[1] + shared[1].sd * apart[1]) / centre_k)
    level = math.exp(log_a - own.log_a - (k - own.k) / own.k)  # at the mean depth, 1/k
    curve, rates = (
        tuple((delta, rate * level) for delta, rate in line) for line in (segment.lambda_curve, segment.measured_rates)
    )
    return replace(segment, A=math.exp(log_a), k=k, lambda_curve=curve, measured_rates=rates)
