"""What stretches of time share: the mean of A and k, and how far stretches differ beyond their errors.

Each window's A and k are drawn to the mean of all (empirical Bayes), the more the larger their error is against the
differences; the next stretch differs from the mean by as much again.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from mm.base.estimate import student_quantile
from mm.base.numbers import NORMAL, number
from mm.base.random_effects import LEAST, Shared
from mm.calibration.fit_result import Interval, PoissonFit
from mm.calibration.intervals import with_block_errors

if TYPE_CHECKING:
    from mm.calibration.windows import Window, WindowFit

SHRUNK = ("A_shrunk", "k_shrunk", "ci95_A_shrunk", "ci95_k_shrunk")


class Stated(Protocol):
    """What a window's fit or a schedule's segment states of A and k."""

    @property
    def A(self) -> float | None: ...
    @property
    def k(self) -> float | None: ...
    @property
    def se_logA(self) -> float | None: ...
    @property
    def se_k(self) -> float | None: ...
    @property
    def cov_logA_k(self) -> float | None: ...
    @property
    def ci95_k(self) -> Interval | None: ...


class Stretch(NamedTuple):
    """One stretch alone: ln A and k, with errors by blocks if possible.

    ``wide`` is the quantile that turns the errors into 95 % intervals.
    """

    log_a: float
    k: float
    error_log_a: float
    error_k: float
    correlation: float = 0.0
    wide: float = NORMAL

    @classmethod
    def of(cls, fit: PoissonFit) -> Self | None:
        own = with_block_errors(fit)
        known = (fit.logA, fit.k, fit.se_logA, fit.se_k, own.se_logA, own.se_k, own.cov_logA_k)
        if not fit.usable or None in known or not own.se_logA or not own.se_k:
            return None
        log_a, k, naive_a, naive_k, by_blocks_a, by_blocks_k, together = (float(each or 0.0) for each in known)
        # of two or three blocks the error by blocks may be next to nothing by chance
        errors = max(by_blocks_a, naive_a), max(by_blocks_k, naive_k)
        return cls(log_a, k, *errors, together / (by_blocks_a * by_blocks_k), _wide(fit.ci95_k_block, by_blocks_k))

    @classmethod
    def stated(cls, own: "Stated") -> Self | None:
        if not own.A or not own.k or own.se_logA is None or own.se_k is None:
            return None
        both = own.se_logA * own.se_k
        together = own.cov_logA_k / both if own.cov_logA_k is not None and both else 0.0
        return cls(math.log(own.A), own.k, own.se_logA, own.se_k, together, _wide(own.ci95_k, own.se_k))

    def error_at(self, ticks: float) -> float:
        together = self.correlation * self.error_log_a * self.error_k
        return math.sqrt(max(self.error_log_a**2 - 2 * ticks * together + (ticks * self.error_k) ** 2, 0.0))


def log_rate_half(whole: PoissonFit, alone: Sequence[PoissonFit]) -> float | None:
    """Half of the 95 % interval of another day's ln λ about *whole*'s at its pivot; None with too few days in
    *alone*.
    """
    at, own = whole.pivot_delta, Stretch.of(whole)
    days = [day for day in map(Stretch.of, alone) if day is not None]
    if at is None or own is None:
        return None
    shared = Shared.of([day.log_a - day.k * at for day in days], [day.error_at(at) for day in days])
    return None if shared is None else student_quantile(len(days) - 1) * math.hypot(own.error_at(at), shared.sd)


class NextStretch:
    """Counts how often A and k of the next stretch fell into the interval that a window gave."""

    def __init__(self) -> None:
        self._past: list[Stretch] = []
        self._counted = 0
        self._inside = {"A": 0, "k": 0}

    def add(self, window: Stretch | None, after: Stretch | None) -> None:
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
        if len(self._past) < LEAST:
            return None
        a = Shared.of([each.log_a for each in self._past], [each.error_log_a for each in self._past])
        k = Shared.of([each.k for each in self._past], [each.error_k for each in self._past])
        return None if a is None or k is None else {"A": a, "k": k}

    def to_json(self) -> dict[str, Any] | None:
        shared = self.shared()
        if shared is None:
            return None
        correlation = sum(each.correlation for each in self._past) / len(self._past)
        content = {name: {"mean": each.mean, "sd": each.sd, "n": each.n} for name, each in shared.items()}
        return {**content, "correlation": correlation, "next": {"n": self._counted, **self._inside}}


def shrunk_to(shared: Mapping[str, Shared] | None, alone: Stretch | None) -> dict[str, Any]:
    if shared is None or alone is None:
        return dict.fromkeys(SHRUNK)
    a = shared["A"].estimate(alone.log_a, alone.error_log_a, alone.wide)
    k = shared["k"].estimate(alone.k, alone.error_k, alone.wide)
    ends_a = None if a.ends is None else tuple(map(math.exp, a.ends))
    ends_k = None if k.ends is None else tuple(k.ends)
    return dict(zip(SHRUNK, (math.exp(a.value or 0.0), k.value, ends_a, ends_k), strict=True))


def _wide(ends: tuple[float, float] | None, error: float) -> float:
    return max((ends[1] - ends[0]) / 2 / error, NORMAL) if ends and error else NORMAL


def shared_strength(
    windows: Sequence["Window"], fits: Sequence["WindowFit"], fit: Callable[[int, int], PoissonFit]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """What a schedule's segments share, each fitted alone, and the estimates this gives.

    The first is None with too few usable segments; the second has a row per segment, drawn to the mean of those that
    had ended.
    """
    counted, drawn = NextStretch(), []
    running: deque[tuple[Window, Stretch | None]] = deque()
    for window, own in zip(windows, fits, strict=True):
        while running and running[0][0].end_us <= window.train_end_us:
            _count(counted, *running.popleft(), fit)
        trained = Stretch.stated(own)
        drawn.append(shrunk_to(counted.shared(), trained))
        running.append((window, trained))
    for each in running:
        _count(counted, *each, fit)
    return counted.to_json(), drawn


def _count(
    counted: NextStretch, window: "Window", trained: Stretch | None, fit: Callable[[int, int], PoissonFit]
) -> None:
    counted.add(trained, Stretch.of(fit(window.start_us, window.end_us)))


def sentence(shared: Mapping[str, Any], stretches: str, drawn: Sequence[Mapping[str, Any]] = ()) -> str:
    a, k, after = shared["A"], shared["k"], shared["next"]
    text = (
        f"{a['n']} {stretches} alone: A {number(math.exp(a['mean']), 3)} /s, differing by "
        f"{number(100 * a['sd'], 2)} % (1 sd), k {number(k['mean'], 3)} /tick, by {number(k['sd'], 2)}"
    )
    known = [row for row in drawn if row["A_shrunk"] is not None]
    if known:
        ranges = (
            f"{name[0]} {number(min(row[name] for row in known), 3)} to {number(max(row[name] for row in known), 3)}"
            for name in SHRUNK[:2]
        )
        text += f"; drawn to that mean: {', '.join(ranges)}"
    if not after["n"]:
        return text
    return f"{text}; in the 95 % interval that the window before gave: A {after['A']}, k {after['k']} of {after['n']}"


def strength_text(schedule: Mapping[str, Any]) -> str:
    if schedule.get("shared") is None:  # an earlier version made it, or there are too few
        return ""
    drawn = [{"A_shrunk": None, "k_shrunk": None, **segment} for segment in schedule["segments"]]
    return sentence(schedule["shared"], f"segments of {schedule['step_min']:g} min", drawn)
