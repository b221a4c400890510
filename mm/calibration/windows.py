"""Training windows over a day, and the fit of each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple, Self

import numpy as np

from mm.base.arrays import Floats, Ints
from mm.base.estimate import cosines, student_quantile
from mm.calibration.fit_result import EXPONENTIAL, Interval, Line, PoissonFit
from mm.calibration.intervals import around, normal_of, with_block_errors
from mm.calibration.points import Points
from mm.calibration.reference import BLOCK_S
from mm.clock import US_PER_S
from mm.errors import UsageError, parameter

MODES = ("rolling", "expanding", "ewma", "pooled_k", "static")
WEIGHING = ("ewma", "pooled_k")
POLICIES = ("carry_forward", "global_default", "skip_segment")
US_PER_MIN = 60 * US_PER_S


@dataclass(frozen=True, slots=True)
class Window:
    """A segment and its training window; µs, ends excluded."""

    start_us: int
    end_us: int
    train_start_us: int
    train_end_us: int


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Partition of a time span into segments with training windows.

    Attributes:
        train_window_min: Length of a training window; the first segment starts this long after the start.
        latency_us: Training ends this long before its segment starts, so that an order sent at its end rests in time.
        half_life_min: Half-life of the weights of data (``ewma``, ``pooled_k``), in minutes of recording.
        clustered: Whether segments have the clustering of aggressive orders, used by the fill model ``hawkes``.
    """

    train_window_min: float = 120
    step_min: float = 15
    latency_us: int = 50_000
    mode: str = "rolling"
    half_life_min: float = 30
    clustered: bool = False

    def __post_init__(self) -> None:
        lengths = {
            "train_window_min": self.train_window_min,
            "step_min": self.step_min,
            "half_life_min": self.half_life_min,
        }
        for name, minutes in lengths.items():
            if not 1 <= minutes * US_PER_MIN < 1e15:
                longest = "at least a microsecond, and at most 30 years"
                raise UsageError("{} is {}; it must be {}", parameter(name), minutes, longest)
        if not 0 <= self.latency_us < self.train_window_min * US_PER_MIN:
            raise UsageError(
                f"the order latency, latency_us, is {self.latency_us / 1000:g} ms; it must be 0 or more, and "
                f"shorter than the training window of {self.train_window_min:g} minutes"
            )
        if self.mode not in MODES:
            raise UsageError(f"mode is {self.mode!r}; choose one of {', '.join(MODES)}")

    @property
    def first_us(self) -> int:
        """Length of the first window's training data."""
        return round(self.train_window_min * US_PER_MIN) - self.latency_us

    def windows(self, start_us: int, end_us: int) -> tuple[Window, ...]:
        """Return the windows of ``[start_us, end_us)``; the last segment is cut to it, and there may be none."""
        return self.over([(start_us, end_us)])

    def over(self, days: Sequence[tuple[int, int]]) -> tuple[Window, ...]:
        clock = _Clock(days)
        train_us, step_us = round(self.train_window_min * US_PER_MIN), round(self.step_min * US_PER_MIN)
        first_us = clock.instant(train_us)
        starts = [
            at_us
            for start_us, end_us in days
            for at_us in range(max(start_us, first_us if start_us <= first_us < end_us else start_us), end_us, step_us)
            if at_us >= first_us
        ]
        ends = [*starts, days[-1][1]][1:]
        return tuple(
            Window(at_us, end_us, *self._training(clock, first_us, train_us, at_us))
            for at_us, end_us in zip(starts, ends, strict=True)
        )

    def _training(self, clock: "_Clock", first_us: int, train_us: int, at_us: int) -> tuple[int, int]:
        if self.mode == "static":
            at_us = first_us
        train_end_us = at_us - self.latency_us
        if self.mode in ("rolling", "static"):
            return clock.instant(clock.recorded_us(train_end_us) - train_us), train_end_us
        return clock.start_us, train_end_us


@dataclass(frozen=True, slots=True)
class _Clock:
    days: Sequence[tuple[int, int]]

    @property
    def start_us(self) -> int:
        return self.days[0][0]

    def recorded_us(self, us: int) -> int:
        later = sum(min(us, end_us) - start_us for start_us, end_us in self.days[1:] if start_us < us)
        return min(us, self.days[0][1]) - self.start_us + later

    def instant(self, recorded_us: int) -> int:
        for start_us, end_us in self.days[:-1]:
            if recorded_us < end_us - start_us:
                return start_us + recorded_us
            recorded_us -= end_us - start_us
        return self.days[-1][0] + recorded_us


class KeptCurve(NamedTuple):
    """The points of an earlier window's λ(δ), their shape, and their scale factor here."""

    line: Line
    shape: str
    level: float


@dataclass(frozen=True, slots=True)
class WindowFit:
    """A training window's fit; A, k and errors are None if unusable.

    Attributes:
        fit: ``ewma``: of weighted counts; ``pooled_k``: of all data so far.
        predicted: 95 % predictive interval of fills, both sides, in the next segment.
        moves: Mean adverse moves of the mid after fills, by distance, ticks.
    """

    A: float | None
    k: float | None
    se_k: float | None
    se_logA: float | None
    fit: PoissonFit
    sigma_ticks: float | None = None
    half_spread_ticks: float | None = None
    predicted: tuple[float, float] | None = None
    moves: Line = ()
    measured: Line = ()
    mean_per_s: tuple[float, float] | None = None
    curve: KeptCurve | None = None
    ci95_A: Interval | None = None
    ci95_k: Interval | None = None
    cov_logA_k: float | None = None

    @classmethod
    def of(cls, fit: PoissonFit) -> Self:
        own, ends = with_block_errors(fit), (fit.headline_ci95("A"), fit.headline_ci95("k"))
        errors = own.se_k, own.se_logA
        return cls(fit.A, fit.k, *errors, fit, ci95_A=ends[0], ci95_k=ends[1], cov_logA_k=own.cov_logA_k)

    @classmethod
    def weighted(
        cls, estimate: tuple[float, float], errors: tuple[float, float, float], fit: PoissonFit, blocks: float
    ) -> Self:
        (A, k), (se_log_a, se_k, correlation) = estimate, errors
        wide = student_quantile(max(cosines(round(blocks)), 1))
        ends = around(math.log(A), k, wide * se_log_a, wide * se_k)
        cov = correlation * se_log_a * se_k
        return cls(A, k, se_k, se_log_a, fit, ci95_A=ends.A, ci95_k=ends.k, cov_logA_k=cov)

    @property
    def line(self) -> Line:
        if self.A is None or self.fit.A is None:
            return ()
        line, _, height = self.curve or (self.fit.line, "", 1.0)
        level = self.A / self.fit.A
        return tuple([(delta, level * (height * rate)) for delta, rate in line])

    @property
    def shape(self) -> str:
        own = self.fit.shape.chosen if self.fit.shape and self.fit.line else EXPONENTIAL
        return self.curve.shape if self.curve else own


@dataclass(frozen=True)
class WindowFitter:
    points: Callable[[int, int], Points]
    fit: Callable[[Points], PoissonFit]
    plan: WindowPlan
    length_s: Callable[[int, int], float] | None = None
    plain: Callable[[Points], PoissonFit] | None = None

    def one(self, start_us: int, end_us: int) -> WindowFit:
        points = self.points(start_us, end_us)
        if self.plan.mode not in WEIGHING:
            return WindowFit.of(self.fit(points))
        length_s = self.length_s(start_us, end_us) if self.length_s else (end_us - start_us) / US_PER_S
        weights = weights_of(points.block, length_s, self.plan.half_life_min)
        if self.plan.mode == "pooled_k":
            return _pooled(points, weights, self.fit)
        return _recent(points, weights, self.fit, self.plain or self.fit)


def weights_of(block: Ints, length_s: float, half_life_min: float) -> Floats:
    age_s = length_s - (block + 0.5) * BLOCK_S  # age of the middle of each block
    half_lives = np.minimum(
        np.maximum(age_s / (half_life_min * 60), 0.0), 400.0
    )  # so that no weight, nor its square, is 0
    weights: Floats = np.exp2(-half_lives)
    return weights


def _recent(
    points: Points, weights: Floats, fit: Callable[[Points], PoissonFit], plain: Callable[[Points], PoissonFit]
) -> WindowFit:
    fitted = fit(points.weighed(weights))
    if fitted.A is None or fitted.k is None or fitted.se_k is None or fitted.se_logA is None:
        return WindowFit.of(fitted)
    shrink = sqrt(_total(weights**2, points.fills) / _total(weights, points.fills))
    wide_a, wide_k, correlation = _clustered(plain(points))
    errors = wide_a * fitted.se_logA * shrink, wide_k * fitted.se_k * shrink, correlation
    return WindowFit.weighted((fitted.A, fitted.k), errors, fitted, _effective_blocks(points, weights))


def _clustered(fit: PoissonFit) -> tuple[float, float, float]:
    """Errors by blocks over the likelihood's, of ln A and k, and their correlation."""
    own = with_block_errors(fit)
    ratios = [
        1.0 if not naive or error is None else error / naive
        for error, naive in ((own.se_logA, fit.se_logA), (own.se_k, fit.se_k))
    ]
    normal = normal_of(fit)
    return ratios[0], ratios[1], normal[2] if normal else 0.0


def _effective_blocks(points: Points, weights: Floats) -> float:
    _, first = np.unique(points.block, return_index=True)
    of_block = weights[first]
    return float(of_block.sum()) ** 2 / float((of_block**2).sum())


def _pooled(points: Points, weights: Floats, fit: Callable[[Points], PoissonFit]) -> WindowFit:
    fitted = fit(points)
    if fitted.k is None or fitted.se_k is None:
        return WindowFit.of(fitted)
    near, far = points.delta_ticks, points.delta_ticks + points.width_ticks
    cells = np.isfinite(far)
    gain = np.exp(-fitted.k * near) - np.where(cells, np.exp(-fitted.k * far), 0.0)
    steepness = near * np.exp(-fitted.k * near)
    steepness[cells] -= far[cells] * np.exp(-fitted.k * far[cells])
    fills, waited = _total(weights, points.fills), _total(weights * points.exposure_s, gain)
    pivot = _total(weights * points.exposure_s, steepness) / waited
    wide_a, wide_k, _ = _clustered(fitted)
    se_k = wide_k * fitted.se_k
    variance = wide_a**2 * _total(weights**2, points.fills) / fills**2 + (pivot * se_k) ** 2
    blocks = _effective_blocks(points, weights)
    errors = sqrt(variance), se_k, pivot * se_k / sqrt(variance)  # at the pivot the rate tells nothing of k
    return WindowFit.weighted((fills / waited, fitted.k), errors, fitted, blocks)


def _total(first: Floats, second: Floats) -> float:
    """A matrix product's last bits may depend on the number of threads."""
    return float((first * second).sum())


@dataclass(frozen=True, slots=True)
class Fallback:
    policy: str = "carry_forward"
    max_age_s: float = math.inf
    default: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(f"policy is {self.policy!r}; choose one of {', '.join(POLICIES)}")
        if (self.policy == "global_default") != (self.default is not None):
            raise UsageError(
                f"policy is {self.policy!r} and the default A and k are {self.default}; "
                f"global_default needs them, the other policies do not use them"
            )
        if self.default is not None and not all(0 < value < math.inf for value in self.default):
            raise UsageError(f"the default A and k are {self.default}; both must be positive numbers")
        if not self.max_age_s >= 0:
            raise UsageError(f"the largest age of carried parameters is {self.max_age_s} s; it must not be negative")

    def replacement(self, own: WindowFit, last: WindowFit | None, age_s: float) -> tuple[WindowFit, str, str]:
        if self.default is not None:
            A, k = self.default
            return replace(own, A=A, k=k), "default", "the default A and k are used"
        if self.policy == "skip_segment":
            return own, "none", "the segment is skipped"
        if last is None:
            return own, "none", "there is no earlier fit to carry"
        if age_s > self.max_age_s:
            return own, "none", f"the last usable fit is {age_s:g} s old, more than the {self.max_age_s:g} s allowed"
        return last, "carried", "the last usable fit is carried"
