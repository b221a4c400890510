"""A schedule, and how it does on what it had not seen, beside the same windows in every other mode."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mm.calibration.estimators import Absent, estimate
from mm.calibration.fallback import Fallback
from mm.calibration.fit_result import PoissonFit
from mm.calibration.rescaling import Waits, waits
from mm.calibration.schedule import Schedule, Segment, outlook, schedule_from, segments_of
from mm.calibration.unseen import foreseen, log_likelihood
from mm.calibration.windows import MODES, Plan, Window, WindowFit, WindowFitter

if TYPE_CHECKING:
    from mm.calibration.meter import Meter
    from mm.calibration.points import Floats, Points


class Rates(NamedTuple):
    """A in 1/s and k in 1/tick."""

    A: float
    k: float


class Memory(Protocol):
    """What knows values by name, or works them out; see ``Checkpoint``."""

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the value called *name*, from *make* where it is not known."""


class Fresh:
    """A memory that knows nothing and keeps nothing."""

    def value(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ARG002 - the face of a memory
        """Return what *make* works out."""
        return make()


@dataclass(frozen=True)
class Tested:
    """One segment on its own data, which no fit for it had seen.

    Attributes:
        points: Seen, as the fits count them.
        expected: Foreseen fills of each row by the segment's parameters; None where it has none.
        foreseen: By mode, all fills that it foresaw; None where the mode had no parameters yet.
        loglik: By mode, the Poisson log-likelihood of the rows.
        waits: By side, waiting times on the segment's clock, a day behind the other; None without parameters.
    """

    points: "Points"
    expected: "Floats | None"
    foreseen: dict[str, float | None]
    loglik: dict[str, float | None]
    waits: dict[int, tuple[Waits, ...] | None]


@dataclass(frozen=True)
class Study:
    """A schedule with the test of each segment.

    Attributes:
        schedule: The segments.
        fits: What each segment's own training window says.
        tests: How each segment did.
    """

    schedule: Schedule
    fits: tuple[WindowFit, ...]
    tests: tuple[Tested, ...]


def study(
    meter: "Meter",
    plan: Plan,
    fallback: Fallback | None = None,
    memory: Memory | None = None,
    step: Callable[[int], None] | None = None,
) -> Study:
    """Fit every window in every mode, and test each segment on the data that follows.

    Args:
        meter: Measures the days.
        plan: Windows and the mode that is used.
        fallback: What stands in for a window without a usable fit; None carries the last one, of any age.
        memory: Knows what an earlier try has fitted; None for a fresh start.
        step: Told 1 after each window, for a progress bar.
    """
    fallback, memory = fallback or Fallback(), memory or Fresh()
    windows = plan.over(meter.days)
    own: list[WindowFit] = []
    rivals: list[dict[str, Rates | None]] = []
    for number, found in enumerate(_fits(meter, plan, memory)):
        own.append(found[0])
        rivals.append(_carried(rivals[number - 1] if number else {}, found[1]))
        if step:
            step(1)
    segments = segments_of(windows, own, fallback, partial(outlook, meter, plan))
    tests = [
        _tested(meter, segment, _all(plan, segment, beside)) for segment, beside in zip(segments, rivals, strict=True)
    ]
    return Study(schedule_from(meter, plan, fallback, segments), tuple(own), tuple(tests))


def _fits(meter: "Meter", plan: Plan, memory: Memory) -> Iterator[tuple[WindowFit, dict[str, Rates | None]]]:
    """Yield each window's fit in the mode of *plan*, and the bare estimates of all other modes."""
    plans = {mode: replace(plan, mode=mode) for mode in MODES}
    windows = {mode: one.over(meter.days) for mode, one in plans.items()}
    points = lru_cache(maxsize=3)(meter.points)  # modes that train on everything so far share it
    full = WindowFitter(points, meter.fit_points, plan, meter.length_s)
    bare = {mode: WindowFitter(points, _bare, one, meter.length_s) for mode, one in plans.items()}
    for number, window in enumerate(windows[plan.mode]):
        found = _window_fit(memory.value(_name("fit", plan.mode, window), partial(_kept, full, window)))
        rivals: dict[str, Rates | None] = {}
        for mode, fitter in bare.items():
            rival = windows[mode][number]
            if mode != plan.mode:
                pair = memory.value(_name("bare", mode, rival), partial(_pair, fitter, rival))
                rivals[mode] = Rates(*pair) if pair else None
        yield found, rivals


def _name(kind: str, mode: str, window: Window) -> str:
    return f"{kind} {mode} {window.train_start_us} {window.train_end_us}"


def _kept(fitter: WindowFitter, window: Window) -> dict[str, Any]:
    """Return a window's fit as JSON holds it."""
    found = fitter.one(window.train_start_us, window.train_end_us)
    rates = {"A": found.A, "k": found.k, "se_k": found.se_k, "se_logA": found.se_logA}
    return {**rates, "fit": found.fit.to_json()}


def _window_fit(kept: dict[str, Any]) -> WindowFit:
    return WindowFit(**{**kept, "fit": PoissonFit.from_json(kept["fit"], "the fit of a window")})


def _pair(fitter: WindowFitter, window: Window) -> tuple[float, float] | None:
    """Return A and k of a window; None where they could not be used."""
    found = fitter.one(window.train_start_us, window.train_end_us)
    return None if found.A is None or found.k is None else (found.A, found.k)


def _bare(points: "Points") -> PoissonFit:
    """Return the highest likelihood alone, without intervals and checks."""
    found = estimate(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    usable = not isinstance(found, Absent) and found.k > 0
    fit = PoissonFit(
        fit_method="poisson_mle", n_fills=float(points.fills.sum()), exposure_s=0.0, usable=usable, status="", reason=""
    )
    if isinstance(found, Absent) or not usable:
        return fit
    return replace(fit, A=found.A, k=found.k, se_k=found.se_k, se_logA=found.se_logA)


def _carried(before: dict[str, Rates | None], now: dict[str, Rates | None]) -> dict[str, Rates | None]:
    """Return each mode's parameters: the last usable ones."""
    return {mode: rates or before.get(mode) for mode, rates in now.items()}


def _all(plan: Plan, segment: Segment, rivals: dict[str, Rates | None]) -> dict[str, Rates | None]:
    """Return the parameters of every mode, the used one's as the segment has them."""
    used = Rates(segment.A, segment.k) if segment.A is not None and segment.k is not None else None
    return {mode: used if mode == plan.mode else rivals[mode] for mode in MODES}


def _tested(meter: "Meter", segment: Segment, rates: dict[str, Rates | None]) -> Tested:
    seen = meter.points(segment.start_us, segment.end_us)
    used = Rates(segment.A, segment.k) if segment.A is not None and segment.k is not None else None
    parts = meter.parts(segment.start_us, segment.end_us)
    return Tested(
        points=seen,
        expected=foreseen(seen, *used) if used else None,
        foreseen={mode: float(foreseen(seen, *one).sum()) if one else None for mode, one in rates.items()},
        loglik={mode: log_likelihood(seen, *one) if one else None for mode, one in rates.items()},
        waits={
            side: tuple(waits(meter.marks[day], side, (a_us, b_us), used) for day, a_us, b_us in parts)
            if used
            else None
            for side in (1, -1)
        },
    )
