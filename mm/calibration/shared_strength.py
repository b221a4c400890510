"""What stretches of time share: the mean of a parameter over them, and how far they differ beyond their errors.

A and k are no constants: each window has its own. An estimate of one window is drawn to the mean of all (empirical
Bayes), the more the larger its error is against the differences between windows; and a parameter of the next stretch
differs from it by as much again. The variance between them is that of Paule and Mandel (1982): the one with which the
squared deviations, each over its own variance, add up to the degrees of freedom.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from mm.base.arrays import Floats
from mm.base.estimate import student_quantile
from mm.base.numbers import number
from mm.calibration.fit_result import PoissonFit
from mm.calibration.intervals import with_block_errors
from mm.errors import FitError

if TYPE_CHECKING:
    from mm.calibration.schedule import Schedule, Segment
    from mm.calibration.windows import Window, WindowFit

LEAST = 3  # stretches, for a variance between them
STEPS = 60  # of the bisection


@dataclass(frozen=True, slots=True)
class Shared:
    """A normal distribution of a parameter over stretches of time.

    Attributes:
        sd: Standard deviation between stretches, beyond the errors of their estimates.
    """

    mean: float
    sd: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float], errors: Sequence[float]) -> Self | None:
        """Return the distribution that estimates with standard *errors* come from; None of fewer than `LEAST`."""
        if len(values) < LEAST:
            return None
        x, squares = np.asarray(values, np.float64), np.asarray(errors, np.float64) ** 2
        low, high = 0.0, float(((x - x.mean()) ** 2).sum()) + 1e-300
        for _ in range(STEPS if _spread(x, squares) > len(x) - 1 else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if _spread(x, squares + middle) > len(x) - 1 else (low, middle)
        variance = low
        weights = 1 / np.maximum(squares + variance, 1e-300)
        return cls(float((weights * x).sum() / weights.sum()), math.sqrt(variance), len(x))

    def shrunk(self, value: float, error: float) -> tuple[float, float]:
        """Return the estimate of one stretch and its error, given all: drawn to the mean."""
        own, between = error**2, self.sd**2
        if own + between == 0:
            return value, error
        share = between / (own + between)
        return self.mean + share * (value - self.mean), math.sqrt(share) * error


def _spread(values: Floats, variances: Floats) -> float:
    """Return Σ (x − mean)²/variance, with the mean weighted alike."""
    weights = 1 / np.maximum(variances, 1e-300)
    mean = (weights * values).sum() / weights.sum()
    return float((weights * (values - mean) ** 2).sum())


class Stretch(NamedTuple):
    """The estimates of one stretch alone: ln A and k, their errors (by blocks where it can) and correlation."""

    log_a: float
    k: float
    error_log_a: float
    error_k: float
    correlation: float = 0.0

    @classmethod
    def of(cls, fit: PoissonFit) -> Self | None:
        """Return the stretch of a usable fit with errors, else None."""
        own = with_block_errors(fit)
        known = (fit.logA, fit.k, fit.se_logA, fit.se_k, own.se_logA, own.se_k, fit.cov_logA_k)
        if not fit.usable or None in known or not fit.se_logA or not fit.se_k:
            return None
        log_a, k, naive_a, naive_k, by_blocks_a, by_blocks_k, together = (float(each or 0.0) for each in known)
        # of two or three blocks the error by blocks may be next to nothing by chance
        errors = max(by_blocks_a, naive_a), max(by_blocks_k, naive_k)
        return cls(log_a, k, *errors, together / (naive_a * naive_k))

    def error_at(self, ticks: float) -> float:
        """Return the standard error of ln λ at a distance."""
        together = self.correlation * self.error_log_a * self.error_k
        return math.sqrt(max(self.error_log_a**2 - 2 * ticks * together + (ticks * self.error_k) ** 2, 0.0))


def log_rate_sd(whole: PoissonFit, alone: Sequence[PoissonFit]) -> float | None:
    """Return how far ln λ of another day is from that of *whole*, at its pivot; None of too few days.

    Args:
        whole: The fit of all days, whose error is by blocks.
        alone: The fit of each day.
    """
    at, own = whole.pivot_delta, Stretch.of(whole)
    days = [day for day in map(Stretch.of, alone) if day is not None]
    if at is None or own is None:
        return None
    shared = Shared.of([day.log_a - day.k * at for day in days], [day.error_at(at) for day in days])
    return None if shared is None else math.hypot(own.error_at(at), shared.sd)


class NextStretch:
    """Counts how often A and k of the stretch after a window fell into the interval that the window gave for them.

    The interval is about the window's estimate, shrunk to the mean of the stretches that had ended; its variance is
    the error of that, what the next stretch differs by, and, since the next one is measured, its own error.
    """

    def __init__(self) -> None:
        self._past: list[Stretch] = []
        self._counted = 0
        self._inside = {"A": 0, "k": 0}

    def add(self, window: Stretch | None, after: Stretch | None) -> None:
        """Count the stretch *after* a *window*, by what is known when it begins, and keep it."""
        if after is None:
            return
        shared = self.shared()
        if window is not None and shared is not None:
            self._counted += 1
            parts = (
                ("A", window.log_a, window.error_log_a, after.log_a, after.error_log_a),
                ("k", window.k, window.error_k, after.k, after.error_k),
            )
            for name, value, error, found, own in parts:
                centre, left = shared[name].shrunk(value, error)
                wide = student_quantile(shared[name].n - 1)
                self._inside[name] += abs(found - centre) <= wide * math.hypot(left, shared[name].sd, own)
        self._past.append(after)

    def shared(self) -> dict[str, Shared] | None:
        """Return the distributions of ln A and k over the stretches so far; None of too few."""
        a = Shared.of([each.log_a for each in self._past], [each.error_log_a for each in self._past])
        k = Shared.of([each.k for each in self._past], [each.error_k for each in self._past])
        return None if a is None or k is None else {"A": a, "k": k}

    def to_json(self) -> dict[str, Any] | None:
        """Return the entry ``shared`` of a schedule: ``A`` of ln A, ``k``, and ``next``; None of too few stretches."""
        shared = self.shared()
        if shared is None:
            return None
        correlation = sum(each.correlation for each in self._past) / len(self._past)
        content = {name: {"mean": each.mean, "sd": each.sd, "n": each.n} for name, each in shared.items()}
        return {**content, "correlation": correlation, "next": {"n": self._counted, **self._inside}}


def shared_strength(
    windows: Sequence["Window"], fits: Sequence["WindowFit"], fit: Callable[[int, int], PoissonFit]
) -> dict[str, Any] | None:
    """Return what the segments of a schedule share, each fitted alone; None of too few usable ones.

    Args:
        windows: The windows of the segments, in order of time.
        fits: Their fits.
        fit: Fits a span of time.
    """
    counted = NextStretch()
    for window, own in zip(windows, fits, strict=True):
        known = own.A is not None and own.k is not None and own.se_logA is not None and own.se_k is not None
        told = Stretch(math.log(own.A or 1.0), own.k or 0.0, own.se_logA or 0.0, own.se_k or 0.0) if known else None
        counted.add(told, Stretch.of(fit(window.start_us, window.end_us)))
    return counted.to_json()


def schedule_draws(schedule: "Schedule", count: int, seed: int) -> Iterator["Schedule"]:
    """Yield *count* schedules whose A and k are drawn from what is known of each segment's own.

    A segment's are about its window's estimate, shrunk to the mean of all: by its error, which windows share as far as
    they have data in common, and by what a stretch differs from others. A curve and measured rates keep their shape.
    Equal seeds give equal draws.

    Raises:
        FitError: If the schedule does not state what its segments share.
    """
    if schedule.shared is None:
        raise FitError(f"fewer than {LEAST} segments can be fitted alone, so there is no distribution to draw from")
    shared = [Shared(**schedule.shared[name]) for name in ("A", "k")]
    turn = np.array([[1.0, 0.0], [0.0, 0.0]])
    turn[1] = schedule.shared["correlation"], math.sqrt(max(1 - schedule.shared["correlation"] ** 2, 0.0))
    first_us = min((each.train_start_us for each in schedule.segments), default=0)
    length_us = max(schedule.train_window_min * 60e6, 1.0)
    random = np.random.default_rng(seed)
    for _ in range(count):
        of_window = random.standard_normal((2 + len(schedule.segments), 2)) @ turn.T
        apart = random.standard_normal((len(schedule.segments), 2)) @ turn.T
        drawn = []
        for place, segment in enumerate(schedule.segments):
            whole, part = divmod((segment.train_start_us - first_us) / length_us, 1.0)
            at = min(int(whole), len(of_window) - 2)
            together = ((1 - part) * of_window[at] + part * of_window[at + 1]) / math.hypot(1 - part, part)
            drawn.append(_drawn(segment, shared, together, apart[place]))
        yield replace(schedule, segments=tuple(drawn))


def _drawn(segment: "Segment", shared: Sequence[Shared], together: Floats, apart: Floats) -> "Segment":
    """Return a segment with drawn A and k; *together* and *apart* are standard normal, of ln A and k."""
    if segment.A is None or segment.k is None or segment.se_logA is None or segment.se_k is None:
        return segment
    (centre_a, error_a), (centre_k, error_k) = (
        each.shrunk(value, error)
        for each, value, error in zip(
            shared, (math.log(segment.A), segment.k), (segment.se_logA, segment.se_k), strict=True
        )
    )
    log_a = centre_a + error_a * together[0] + shared[0].sd * apart[0]
    centre_k = max(centre_k, segment.k / 2)
    k = centre_k * math.exp((error_k * together[1] + shared[1].sd * apart[1]) / centre_k)
    level = math.exp(log_a - math.log(segment.A) - (k - segment.k) / segment.k)  # at the mean depth, 1/k
    curve, rates = (
        tuple((delta, rate * level) for delta, rate in line) for line in (segment.lambda_curve, segment.measured_rates)
    )
    return replace(segment, A=math.exp(log_a), k=k, lambda_curve=curve, measured_rates=rates)


def sentence(shared: Mapping[str, Any], step_min: float) -> str:
    """Return what segments of *step_min* share, and how well windows told the next one, in words."""
    a, k, after = shared["A"], shared["k"], shared["next"]
    text = (
        f"{a['n']} segments of {step_min:g} min alone: A {number(math.exp(a['mean']), 3)} /s, differing by "
        f"{number(100 * a['sd'], 2)} % (1 sd), k {number(k['mean'], 3)} /tick, by {number(k['sd'], 2)}"
    )
    if not after["n"]:
        return text
    return f"{text}; in the 95 % interval that the window before gave: A {after['A']}, k {after['k']} of {after['n']}"
