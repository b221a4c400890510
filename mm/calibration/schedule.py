"""Fits over time: contiguous segments, each with its parameters."""

import math
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mm.backtest.trading_time import open_parts
from mm.base.notebook import Picture, Shown, picture_of
from mm.base.numbers import duration
from mm.calibration.alternatives import rates_on
from mm.calibration.calibrator import Calibrator
from mm.calibration.config import CalibrationConfig
from mm.calibration.fit_result import Interval, Line, PoissonFit, are_rates, converted
from mm.calibration.moves import move_of_best_distance, offset_ticks
from mm.calibration.reference_choice import chosen_before
from mm.calibration.shared_strength import shared_strength
from mm.calibration.window_clustering import WindowClustering
from mm.calibration.window_fits import WindowFits
from mm.calibration.windows import MODES, POLICIES, WEIGHING, Fallback, Window, WindowFit, WindowPlan
from mm.clock import US_PER_S
from mm.errors import BrokenFile, Mismatch, Sentence
from mm.instrument import E8
from mm.tape.load import tapes_given
from mm.trials.openings import note_fitted

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.calibration.points import Points
    from mm.tape.tape import Tape


SCHEMA_VERSION = 1
DISTANCE_UNIT = "ticks"
SOURCES = ("fitted", "carried", "default", "none")
REMEDY = "create it again with `mm schedule`"


@dataclass(frozen=True, slots=True)
class Segment:
    """A time span and its λ(δ) = A exp(-k δ); unknown values are None."""

    start_us: int
    end_us: int
    train_start_us: int
    train_end_us: int
    A: float | None
    k: float | None
    se_k: float | None
    se_logA: float | None
    n_fills: int | float
    usable: bool
    status: str
    source: str
    age_s: float | None
    reason: str
    sigma_ticks: float | None = None
    predictive_low: float | None = None
    predictive_high: float | None = None
    min_delta_ticks: float | None = None
    max_delta_ticks: float | None = None
    shape: str | None = None
    lambda_curve: Line = ()
    adverse_ticks: float | None = None
    measured_rates: Line = ()
    mean_bid_per_s: float | None = None
    mean_ask_per_s: float | None = None
    half_spread_ticks: float | None = None
    ci95_A: Interval | None = None
    ci95_k: Interval | None = None
    A_shrunk: float | None = None
    k_shrunk: float | None = None
    ci95_A_shrunk: Interval | None = None
    ci95_k_shrunk: Interval | None = None
    cov_logA_k: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Schedule(Shown):
    """The segments of one or more days, in order, without overlaps or gaps; docs/calibration.md explains the fields.

    Attributes:
        tick_size: Price step, the unit of distance; None if unknown.
        fallback_policy: Treatment of windows without a usable fit (one of ``POLICIES``).
        segments: Empty if the day is not longer than the training window.
        mode: Training mode of the windows (one of ``MODES``).
        half_life_min: Half-life of the weights of data; None in modes without weights.
        max_age_s: Maximum age of carried parameters; None without a limit.
        calib_fills: The fill model under which the windows were measured; None for the hit rule.
        clustering: Excitation in the first training window (`HawkesFit.to_json`); None if not fitted.
        reference_choice: Choice of *reference* on data before the first segment; None if given.
        shared: What segments share (`shared_strength`); None with too few.
    """

    symbol: str
    day: str
    tick_size: float | None
    train_window_min: float
    step_min: float
    fallback_policy: str
    segments: tuple[Segment, ...]
    reference: str = "mid"
    mode: str = "rolling"
    half_life_min: float | None = None
    max_age_s: float | None = None
    calib_fills: str | None = None
    clustering: dict[str, Any] | None = None
    reference_choice: dict[str, Any] | None = None
    shared: dict[str, Any] | None = None

    def lines(self) -> Iterator[str]:
        span = f"windows of {self.train_window_min:g} min, every {self.step_min:g} min, {self.mode}"
        yield f"schedule of {self.symbol} {self.day}: {span}, {self.fallback_policy}"
        yield self.counted()
        for name, unit in (("A", "1/s"), ("k", "1/tick")):
            values = [value for segment in self.segments if (value := getattr(segment, name)) is not None]
            if values:
                yield f"{name} from {min(values):.4g} to {max(values):.4g} {unit}"

    @property
    def sources(self) -> dict[str, int]:
        """Number of segments by `source`; only fitted ones have their own window's parameters."""
        sources = [segment.source for segment in self.segments]
        return {name: sources.count(name) for name in SOURCES}

    @property
    def oldest_s(self) -> float | None:
        """Greatest age of carried parameters; None without any."""
        ages = [segment.age_s for segment in self.segments if segment.source == "carried" and segment.age_s is not None]
        return max(ages, default=None)

    def counted(self) -> str:
        """Return the number of segments, by source, and the greatest age of carried parameters."""
        counts = ", ".join(f"{count} {name}" for name, count in self.sources.items() if count)
        age = "" if self.oldest_s is None else f"; carried parameters are up to {duration(self.oldest_s)} old"
        return f"{len(self.segments)} segments" + (f": {counts}{age}" if counts else "")

    def plot(self) -> Picture:
        """Draw A and k of every segment over time, with 95 % intervals where they were fitted."""
        return picture_of(self)

    def at(self, us: int) -> Segment | None:
        """Return the segment in force at *us*; None before the first and from the end of the last."""
        number = bisect_right(self.segments, us, key=lambda segment: segment.start_us) - 1
        if number < 0 or us >= self.segments[number].end_us:
            return None
        return self.segments[number]

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``poisson_schedule.json``."""
        names = [field.name for field in fields(Segment)]
        segments = [{name: getattr(segment, name) for name in names} for segment in self.segments]
        plan = {field.name: getattr(self, field.name) for field in fields(self)} | {"segments": segments}
        head = {name: plan.pop(name) for name in ("symbol", "day", "tick_size")}
        return {"schema_version": SCHEMA_VERSION, **head, "distance_unit": DISTANCE_UNIT, **plan}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Self:
        """Return the schedule in the *content* of a ``poisson_schedule.json``; unknown keys are ignored.

        Args:
            source: Its file, for error messages.

        Raises:
            BrokenFile: If a key is missing or of a wrong type, or a rule of the format is broken.
            Mismatch: If it has another schema version, or other units.
        """
        for key, value in (("schema_version", SCHEMA_VERSION), ("distance_unit", DISTANCE_UNIT)):
            if not isinstance(content, Mapping) or key not in content:
                raise broken(source, f"{key} is missing")
            if content[key] != value:
                raise Mismatch(
                    f"{source}: {key} is {content[key]!r}; this version reads {value!r} only; run `mm schedule`"
                )
        schedule = converted(content, cls, source, REMEDY)
        schedule.check(source)
        return schedule

    def check(self, source: str = "schedule") -> None:
        """Raise BrokenFile, naming *source* and the segment, if a rule of the format is broken."""
        for name, known in (("fallback_policy", POLICIES), ("mode", MODES)):
            if (value := getattr(self, name)) not in known:
                raise broken(source, f"{name} is {value!r}, not one of {', '.join(known)}")
        for number, segment in enumerate(self.segments):
            clustered = (self.clustering or {}).get("status") == "ok"
            wrong = _fault(segment) or _means_fault(segment, clustered)
            if wrong:
                raise broken(source, f"segments[{number}]: {wrong}")
        for number, (before, after) in enumerate(pairwise(self.segments), start=1):
            if before.end_us != after.start_us:
                raise broken(
                    source, f"segments[{number}] starts at {after.start_us}, but the one before ends at {before.end_us}"
                )


def build_schedule(
    tape: "Tape | Sequence[Tape] | Calibrator",
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    fit: "Callable[[Points], PoissonFit] | None" = None,
    *,
    out_root: "str | os.PathLike[str] | None" = None,
) -> Schedule:
    """Return the schedule of one or more days; a segment uses only data up to one order latency before its start.

    Args:
        tape: One day, or days in order of time, measured by marks from the reference price that predicts best in the
            first training window; or a calibrator of them, with its own config.
        plan: Windows and mode; None for ``WindowPlan()``: rolling, 120 minutes every 15.
        fallback: Replacement of unusable fits; None for ``Fallback()``: carry the last usable one, of any age.
        fit: Fits points; None for the fit of the calibrator.
        out_root: As for `calibrate`.

    Raises:
        UsageError: If a day that is held out was opened without an *out_root*.
    """
    plan = plan or WindowPlan()
    given = tape.tapes if isinstance(tape, Calibrator) else tapes_given(tape, "the schedule")
    note_fitted(given, out_root)
    return schedule_by(tape if isinstance(tape, Calibrator) else calibrator_of(given, plan)[0], plan, fallback, fit)


def schedule_by(
    calibrator: Calibrator,
    plan: WindowPlan,
    fallback: Fallback | None = None,
    fit: "Callable[[Points], PoissonFit] | None" = None,
) -> Schedule:
    """Like `build_schedule`, without writing to the ledger."""
    fallback = fallback or Fallback()
    clustering = WindowClustering(calibrator, plan) if plan.clustered else None
    windows = plan.over(calibrator.days)
    fits = list(WindowFits(calibrator, plan, fit=fit, clustering=clustering).each(windows))
    segments = segments_of(windows, fits, fallback, calibrator.config.reference)
    shared = shared_strength(windows, fits, calibrator.fit_alone)
    return schedule_of(calibrator, plan, fallback, segments, clustering, shared)


def calibrator_of(
    tape: "Tape | Sequence[Tape]",
    plan: WindowPlan,
    config: CalibrationConfig | None = None,
    rules: "Rules | None" = None,
    **memory: Any,
) -> tuple[Calibrator, tuple[str, ...]]:
    tapes = open_parts(tapes_given(tape, "the schedule"), None if rules is None else rules.hours)
    given = config or CalibrationConfig()
    chosen, choice, notes = chosen_before(tapes, given, tapes[0].start_us + plan.first_us)
    return Calibrator(tapes, chosen, rules, learn_us=plan.first_us, choice=choice, **memory), notes


def schedule_of(
    calibrator: Calibrator,
    plan: WindowPlan,
    fallback: Fallback,
    segments: Iterable[Segment],
    clustering: WindowClustering | None,
    shared: tuple[dict[str, Any] | None, Sequence[Mapping[str, Any]]],
) -> Schedule:
    return Schedule(
        symbol=calibrator.tapes[0].symbol,
        day=calibrator.day,
        tick_size=calibrator.tapes[0].instrument.tick_e8 / E8,
        train_window_min=plan.train_window_min,
        step_min=plan.step_min,
        fallback_policy=fallback.policy,
        segments=tuple(replace(each, **drawn) for each, drawn in zip(segments, shared[1], strict=True)),
        reference=calibrator.config.reference,
        mode=plan.mode,
        half_life_min=plan.half_life_min if plan.mode in WEIGHING else None,
        max_age_s=fallback.max_age_s if math.isfinite(fallback.max_age_s) else None,
        calib_fills=calibrator.fills_name,
        clustering=None if clustering is None else clustering.block,
        reference_choice=None if calibrator.reference_choice is None else asdict(calibrator.reference_choice),
        shared=shared[0],
    )


def segments_of(
    windows: Sequence[Window], fits: Iterable[WindowFit], fallback: Fallback, reference: str = "mid"
) -> Iterator[Segment]:
    """Replacements use earlier fits only; *fits* is consumed as requested."""
    last: tuple[Window, WindowFit] | None = None
    for window, own in zip(windows, fits, strict=True):
        last = (window, own) if own.A is not None else last
        latency_us = windows[0].start_us - windows[0].train_end_us
        age_s = (window.start_us - latency_us - last[0].train_end_us) / US_PER_S if last else math.inf
        used, source, done = (
            (own, "fitted", "") if own.A is not None else fallback.replacement(own, last[1] if last else None, age_s)
        )
        line = used.line
        mean_bid, mean_ask = (used.mean_per_s if used.A is not None else None) or (None, None)
        yield Segment(
            start_us=window.start_us,
            end_us=window.end_us,
            train_start_us=window.train_start_us,
            train_end_us=window.train_end_us,
            A=used.A,
            k=used.k,
            se_k=used.se_k,
            se_logA=used.se_logA,
            cov_logA_k=used.cov_logA_k,
            n_fills=own.fit.n_fills,
            usable=used.A is not None,
            status=own.fit.status,
            source=source,
            age_s=age_s if source in ("fitted", "carried") else None,
            reason="; ".join(filter(None, (own.fit.reason, done))),
            sigma_ticks=own.sigma_ticks,
            predictive_low=own.predicted and own.predicted[0],
            predictive_high=own.predicted and own.predicted[1],
            min_delta_ticks=used.fit.min_delta_ticks,
            max_delta_ticks=used.fit.max_delta_ticks,
            shape=used.shape if used.A is not None else None,
            lambda_curve=line,
            adverse_ticks=_adverse(used, line, reference),
            measured_rates=used.measured if used.A is not None else (),
            mean_bid_per_s=mean_bid,
            mean_ask_per_s=mean_ask,
            half_spread_ticks=used.half_spread_ticks if used.A is not None else None,
            ci95_A=used.ci95_A,
            ci95_k=used.ci95_k,
        )


def _adverse(used: WindowFit, line: Line, reference: str) -> float | None:
    if (A := used.A) is None or (k := used.k) is None:
        return None
    return move_of_best_distance(
        used.moves,
        lambda delta: rates_on(line, delta) if line else A * np.exp(-k * np.maximum(delta, 0.0)),
        offset_ticks(reference, used.half_spread_ticks),
    )


def _fault(segment: Segment) -> str:
    start_us, trained_us, A, k = segment.start_us, segment.train_end_us, segment.A, segment.k
    line, measured = segment.lambda_curve, segment.measured_rates
    positive = A is not None and A > 0 and k is not None and k > 0
    faults = (
        (segment.source not in SOURCES, f"source is {segment.source!r}, not one of {', '.join(SOURCES)}"),
        (start_us >= segment.end_us, f"start_us {start_us} is not before end_us {segment.end_us}"),
        (trained_us > start_us, f"train_end_us {trained_us} lies after start_us {start_us}: it would look ahead"),
        (
            segment.usable != (segment.source != "none"),
            f"usable is {segment.usable} with source {segment.source!r}",
        ),
        (segment.usable and not positive, f"A {A} and k {k} of a usable segment must be positive"),
        (not segment.usable and (A, k) != (None, None), f"A {A} and k {k} of an unusable segment must be null"),
        (
            not _is_curve(line),
            f"lambda_curve is {str(line)[:40]}; give none, or two or more falling points",
        ),
        (
            not are_rates(measured),
            f"measured_rates is {str(measured)[:40]}; distances must increase and rates be above 0",
        ),
    )
    return next((text for wrong, text in faults if wrong), "")


def _is_curve(line: Line) -> bool:
    falls = are_rates(line) and all(near[1] >= far[1] for near, far in pairwise(line))
    return not line or (falls and len(line) > 1 and line[-1][1] < line[-2][1])


def _means_fault(segment: Segment, clustered: bool) -> str:
    means = (segment.mean_bid_per_s, segment.mean_ask_per_s)
    if not (clustered and segment.usable):
        return "" if means == (None, None) else f"mean_bid_per_s and mean_ask_per_s are {means}; they must be null"
    if all(mean is not None and mean > 0 for mean in means):
        return ""
    return f"mean_bid_per_s and mean_ask_per_s are {means}; they must be above 0, as the clustering is usable"


def broken(source: str, what: str) -> BrokenFile:
    return BrokenFile(f"{source}: {what}; {REMEDY}")


def why_unusable(schedule: Schedule) -> Sentence:
    if not schedule.segments:
        return Sentence(
            "no segment, because the day is not longer than the training window of {:g} minutes; take a shorter "
            "{train_window_min}, or a longer day",
            schedule.train_window_min,
        )
    last = schedule.segments[-1]
    return Sentence(
        "none of {} segments is usable (the last: {}, {}); take longer training windows, a smaller "
        "{min_usable_deltas}, a model whose fills reach farther ({fill_model}), or a day with more trades",
        len(schedule.segments),
        last.status,
        last.reason,
    )
