"""Fits over time: segments that touch, each with the parameters to use in it."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from mm.calibration.calibrator import CalibrationConfig, Calibrator
from mm.calibration.fit_result import PoissonFit
from mm.calibration.windows import MODES, POLICIES, WEIGHING, Fallback, Plan, Window, WindowFit, WindowFitter
from mm.clock import US_PER_S
from mm.errors import BrokenFile, FitError, Mismatch, UsageError
from mm.instrument import E8

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.fills.intensity_piece import IntensityPiece
    from mm.calibration.points import Points
    from mm.tape.tape import Tape


SCHEMA_VERSION = 1
DISTANCE_UNIT = "ticks"
LATER = (
    "sigma_ticks",
    "predictive_low",
    "predictive_high",
    "min_delta_ticks",
    "max_delta_ticks",
)  # keys that older files do not have
SOURCES = ("fitted", "carried", "default", "none")


def broken(source: str, what: str) -> BrokenFile:
    """Return the error for *what* is wrong in *source*."""
    return BrokenFile(f"{source}: {what}; a schedule comes from `mm schedule`, make it anew")


@dataclass(frozen=True, slots=True)
class Entry:
    """One JSON object.

    Attributes:
        raw: What was read in its place.
        source: The file, for messages.
        place: Where it stands in the file, ending with a dot; empty for the whole.
    """

    raw: Any
    source: str
    place: str = ""

    def value(self, key: str) -> Any:
        """Return the value of *key*; raises BrokenFile where there is none."""
        if not isinstance(self.raw, Mapping) or key not in self.raw:
            raise broken(self.source, f"{self.place}{key} is missing")
        return self.raw[key]

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.value(key)
        if not isinstance(value, str):
            raise self._refused(key, "a text")
        return value

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """Return one of the *known* texts."""
        value = self.text(key)
        if value not in known:
            raise self._refused(key, f"one of {', '.join(known)}")
        return value

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._refused(key, "a finite number")
        return value

    def number_or_none(self, key: str) -> float | None:
        """Return a finite number, or None for null."""
        return None if self.value(key) is None else self.number(key)

    def instant(self, key: str) -> int:
        """Return a whole number of µs."""
        value = self.number(key)
        if not isinstance(value, int):
            raise self._refused(key, "a whole number of µs")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise self._refused(key, "true or false")
        return value

    def entries(self, key: str) -> "list[Entry]":
        """Return the objects of a list."""
        value = self.value(key)
        if not isinstance(value, list):
            raise self._refused(key, "a list")
        return [Entry(item, self.source, f"{self.place}{key}[{number}].") for number, item in enumerate(value)]

    def _refused(self, key: str, wanted: str) -> BrokenFile:
        return broken(self.source, f"{self.place}{key} is {repr(self.value(key))[:40]}, not {wanted}")


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of time, and what to assume in it: lambda(delta) = A exp(-k delta).

    Attributes:
        start_us: First instant at which the parameters apply.
        end_us: First instant at which they no longer do.
        train_start_us: First instant of the data that this segment's own fit may use.
        train_end_us: First instant that it may not use; before *start_us* by the order latency.
        A: Fills per second, side and resting order at distance 0; None where there is nothing to use.
        k: Decay per tick; None with *A*.
        se_k: Standard error of *k*; None where unknown.
        se_logA: Standard error of ln *A*; None where unknown.
        n_fills: Fills in this segment's own training data (``ewma``: weighted), whatever became of its fit.
        usable: True where *A* and *k* may be used.
        status: What this segment's own fit says of itself (``ok``, ``few_fills``, ``no_fills``, ...).
        source: ``fitted`` here, ``carried`` from an earlier segment, ``default``, or ``none``.
        age_s: How much older the data behind *A* and *k* is than a fresh fit's; None where it is no fit's.
        reason: The fit's own words where it is not simply ``ok``, then what was done about it.
        sigma_ticks: Volatility of the mid over this segment's training window, in ticks/√s; None where unknown.
        predictive_low: Least number of fills to expect in a segment of the schedule's step, of both sides (95 %), from
            this segment's own training data; None where unknown.
        predictive_high: Greatest number, likewise.
        min_delta_ticks: Nearest distance of the fit behind *A* and *k*; None where unknown.
        max_delta_ticks: Farthest distance of that fit; None where unknown.
    """

    start_us: int
    end_us: int
    train_start_us: int
    train_end_us: int
    A: float | None
    k: float | None
    se_k: float | None
    se_logA: float | None
    n_fills: float
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


@dataclass(frozen=True, slots=True)
class Schedule:
    """The segments of one day or of several, in order; none of them overlap and none leave a hole.

    Attributes:
        symbol: Symbol that was calibrated.
        day: Its day, or the first and last joined by ``-``.
        tick_size: Price step, the unit of distance; None where it is not known.
        train_window_min: Length of the training windows.
        step_min: Length of the segments.
        fallback_policy: What was done where a window gave no usable fit (one of ``POLICIES``).
        segments: The segments; empty where the day is not longer than the training window.
        reference: What distances are measured from: ``mid``, ``micro`` or ``best``.
        mode: How windows share their past.
        half_life_min: Age at which data weighs half, in the modes that weigh; None in others.
        max_age_s: Parameters older than this were not carried; None where any were.
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

    def at(self, us: int) -> Segment | None:
        """Return the segment in force at *us*; None before the first and from the end of the last."""
        number = bisect_right(self.segments, us, key=lambda segment: segment.start_us) - 1
        if number < 0 or us >= self.segments[number].end_us:
            return None
        return self.segments[number]

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``poisson_schedule.json``."""
        plan = asdict(self) | {"segments": [asdict(segment) for segment in self.segments]}
        head = {name: plan.pop(name) for name in ("symbol", "day", "tick_size")}
        return {"schema_version": SCHEMA_VERSION, **head, "distance_unit": DISTANCE_UNIT, **plan}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Self:
        """Return the schedule that *content* holds.

        Args:
            content: A ``poisson_schedule.json`` as read; keys that are not known are passed over.
            source: Its file, for the message of an error.

        Raises:
            BrokenFile: If a key is missing or of a wrong type, or a rule of the format is broken.
            Mismatch: If it is of another schema, or in other units.
        """
        entry = Entry(content, source)
        for key, value in (("schema_version", SCHEMA_VERSION), ("distance_unit", DISTANCE_UNIT)):
            if entry.value(key) != value:
                raise Mismatch(
                    f"{source}: {key} is {entry.value(key)!r}; this version reads {value!r} only; make it anew"
                )
        schedule = cls(
            symbol=entry.text("symbol"),
            day=entry.text("day"),
            tick_size=entry.number_or_none("tick_size"),
            train_window_min=entry.number("train_window_min"),
            step_min=entry.number("step_min"),
            fallback_policy=entry.choice("fallback_policy", POLICIES),
            segments=tuple(_segment(part) for part in entry.entries("segments")),
            reference=entry.text("reference") if "reference" in content else "mid",
            mode=entry.choice("mode", MODES) if "mode" in content else "rolling",
            half_life_min=entry.number_or_none("half_life_min") if "half_life_min" in content else None,
            max_age_s=entry.number_or_none("max_age_s") if "max_age_s" in content else None,
        )
        schedule.check(source)
        return schedule

    def check(self, source: str = "schedule") -> None:
        """Raise BrokenFile, naming *source* and the segment, where a rule of the format is broken."""
        for number, segment in enumerate(self.segments):
            wrong = _wrong(segment)
            if wrong:
                raise broken(source, f"segments[{number}]: {wrong}")
        for number, (before, after) in enumerate(pairwise(self.segments), start=1):
            if before.end_us != after.start_us:
                raise broken(
                    source, f"segments[{number}] starts at {after.start_us}, but the one before ends at {before.end_us}"
                )


def build_schedule(
    tape: "Tape | Sequence[Tape] | Calibrator",
    plan: Plan | None = None,
    fallback: Fallback | None = None,
    fit: "Callable[[Points], PoissonFit] | None" = None,
) -> Schedule:
    """Return the schedule of one or more days: each segment from data that was known an order latency before it.

    Args:
        tape: One day, or days in order of time; or a calibrator of them, which measures them by its config.
        plan: Windows and mode; None for ``Plan()``: rolling, 120 minutes every 15.
        fallback: What to do without a usable fit; None for ``Fallback()``: carry the last one, of any age.
        fit: Points to fit; None for the calibrator's way.
    """
    calibrator = tape if isinstance(tape, Calibrator) else Calibrator(tape, CalibrationConfig())
    plan, fallback = plan or Plan(), fallback or Fallback()
    windows = plan.over(calibrator.days)
    fits = WindowFitter(calibrator.points, fit or calibrator.fit_points, plan, calibrator.length_s).all(windows)
    return schedule_from(
        calibrator, plan, fallback, segments_of(windows, fits, fallback, partial(outlook, calibrator, plan))
    )


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the training data of a window says of its segment beside A and k; the fields are those of `Segment`."""

    sigma_ticks: float | None
    predictive_low: float | None
    predictive_high: float | None


def outlook(calibrator: Calibrator, plan: Plan, window: Window) -> Outlook:
    """Return the volatility and the fills of a whole segment after *window*, from its training data alone."""
    trained = window.train_start_us, window.train_end_us
    low, high = calibrator.predictive_ci95(*trained, 60 * plan.step_min) or (None, None)
    return Outlook(calibrator.sigma_ticks(*trained), low, high)


def schedule_from(calibrator: Calibrator, plan: Plan, fallback: Fallback, segments: tuple[Segment, ...]) -> Schedule:
    """Return the schedule that *segments* of the calibrator's days make."""
    return Schedule(
        symbol=calibrator.tapes[0].symbol,
        day=calibrator.day,
        tick_size=calibrator.tapes[0].instrument.tick_e8 / E8,
        train_window_min=plan.train_window_min,
        step_min=plan.step_min,
        fallback_policy=fallback.policy,
        segments=segments,
        reference=calibrator.config.reference,
        mode=plan.mode,
        half_life_min=plan.half_life_min if plan.mode in WEIGHING else None,
        max_age_s=fallback.max_age_s if math.isfinite(fallback.max_age_s) else None,
    )


def segments_of(
    windows: Sequence[Window],
    fits: Sequence[WindowFit],
    fallback: Fallback,
    ahead: Callable[[Window], Outlook] | None = None,
) -> tuple[Segment, ...]:
    """Return the segment of each window, from its own fit or by *fallback*, which uses earlier fits only.

    Args:
        windows: In order of time.
        fits: Of each window.
        fallback: What is used instead of a fit that is not usable.
        ahead: The outlook of a window from its training data; None leaves it unknown.
    """
    segments = []
    last: tuple[Window, WindowFit] | None = None
    for window, own in zip(windows, fits, strict=True):
        last = (window, own) if own.A is not None else last
        latency_us = windows[0].start_us - windows[0].train_end_us
        age_s = (window.start_us - latency_us - last[0].train_end_us) / US_PER_S if last else math.inf
        used, source, done = (
            (own, "fitted", "") if own.A is not None else fallback.instead(own, last[1] if last else None, age_s)
        )
        segments.append(
            Segment(
                start_us=window.start_us,
                end_us=window.end_us,
                train_start_us=window.train_start_us,
                train_end_us=window.train_end_us,
                A=used.A,
                k=used.k,
                se_k=used.se_k,
                se_logA=used.se_logA,
                n_fills=own.fit.n_fills,
                usable=used.A is not None,
                status=own.fit.status,
                source=source,
                age_s=age_s if source in ("fitted", "carried") else None,
                reason="; ".join(filter(None, (own.fit.reason, done))),
                **(asdict(ahead(window)) if ahead else {}),
                min_delta_ticks=used.fit.min_delta_ticks,
                max_delta_ticks=used.fit.max_delta_ticks,
            )
        )
    return tuple(segments)


def _wrong(segment: Segment) -> str:
    """Return what is wrong with one segment, or nothing."""
    if segment.start_us >= segment.end_us:
        return f"start_us {segment.start_us} is not before end_us {segment.end_us}"
    if segment.train_end_us > segment.start_us:
        return f"train_end_us {segment.train_end_us} lies after start_us {segment.start_us}: it would look ahead"
    if segment.usable != (segment.source != "none"):
        return f"usable is {segment.usable} with source {segment.source!r}"
    values = (segment.A, segment.k)
    if segment.usable and not all(value is not None and value > 0 for value in values):
        return f"A {segment.A} and k {segment.k} of a usable segment must be positive"
    if not segment.usable and values != (None, None):
        return f"A {segment.A} and k {segment.k} of an unusable segment must be null"
    return ""


def _segment(entry: Entry) -> Segment:
    return Segment(
        start_us=entry.instant("start_us"),
        end_us=entry.instant("end_us"),
        train_start_us=entry.instant("train_start_us"),
        train_end_us=entry.instant("train_end_us"),
        A=entry.number_or_none("A"),
        k=entry.number_or_none("k"),
        se_k=entry.number_or_none("se_k"),
        se_logA=entry.number_or_none("se_logA"),
        n_fills=entry.number("n_fills"),
        usable=entry.flag("usable"),
        status=entry.text("status"),
        source=entry.choice("source", SOURCES),
        age_s=entry.number_or_none("age_s"),
        reason=entry.text("reason"),
        **{name: entry.number_or_none(name) for name in LATER if name in entry.raw},
    )


def intensity_of(fitted: PoissonFit | Schedule, *, per_side: bool = False, source: str = "the fit") -> "Intensity":
    """Return λ(δ) over time as a fit or a schedule says it.

    Args:
        fitted: A fit, which holds for all time, or a schedule, which holds where a segment is usable.
        per_side: Use the sides' own A and k, which a schedule does not have.
        source: Where it comes from, for messages.

    Raises:
        FitError: If nothing in it is usable.
        UsageError: If the sides' own numbers are asked of a schedule.
    """
    from mm.backtest.fills.intensity import Intensity

    return Intensity(_pieces(fitted, per_side, source), fitted.reference or "mid")


def why_unusable(schedule: Schedule) -> str:
    """Return why a schedule without a usable segment has none, and the way out."""
    if not schedule.segments:
        return (
            f"no segment, because the day is not longer than the training window of {schedule.train_window_min:g} "
            f"minutes; take a shorter --wf-train-window-min (WF_TRAIN_WINDOW_MIN), or a longer day"
        )
    last = schedule.segments[-1]
    return (
        f"none of {len(schedule.segments)} segments is usable (the last: {last.status}, {last.reason}); take longer "
        f"training windows, a smaller --min-usable-deltas, or a day with more trades"
    )


def _pieces(fitted: PoissonFit | Schedule, per_side: bool, source: str) -> "list[IntensityPiece]":
    from mm.backtest.fills.intensity import FOREVER
    from mm.backtest.fills.intensity_piece import IntensityPiece

    if isinstance(fitted, PoissonFit):
        A_bid, k_bid, A_ask, k_ask = _rates(fitted, per_side, source)
        return [
            IntensityPiece(
                start_us=0,
                end_us=FOREVER,
                A_bid=A_bid,
                k_bid=k_bid,
                A_ask=A_ask,
                k_ask=k_ask,
                k=fitted.k or k_bid,
                sigma_ticks=fitted.sigma_ticks,
                min_delta_ticks=fitted.min_delta_ticks,
                max_delta_ticks=fitted.max_delta_ticks,
            )
        ]
    if per_side:
        raise UsageError(
            f"--fill-per-side (FILL_PER_SIDE) is 1, but {source} is a schedule, whose segments have one A and k; "
            f"set it to 0"
        )
    pieces = [
        IntensityPiece(
            start_us=segment.start_us,
            end_us=segment.end_us,
            A_bid=segment.A,
            k_bid=segment.k,
            A_ask=segment.A,
            k_ask=segment.k,
            k=segment.k,
            sigma_ticks=segment.sigma_ticks,
            min_delta_ticks=segment.min_delta_ticks,
            max_delta_ticks=segment.max_delta_ticks,
        )
        for segment in fitted.segments
        if segment.A is not None and segment.k is not None
    ]
    if not pieces:
        raise FitError(f"{source}: {why_unusable(fitted)}")
    return pieces


def _rates(fit: PoissonFit, per_side: bool, source: str) -> tuple[float, float, float, float]:
    """Return A and k of bids, then of asks."""
    if not fit.usable or fit.A is None or fit.k is None:
        raise FitError(f"{source}: the fit is not usable ({fit.status}: {fit.reason}); calibrate more data")
    if not per_side:
        return fit.A, fit.k, fit.A, fit.k
    bid, ask = fit.sides.bid, fit.sides.ask
    if bid.A is None or bid.k is None or ask.A is None or ask.k is None:
        raise FitError(f"{source}: no A and k of each side alone; set FILL_PER_SIDE=0, or calibrate more data")
    return bid.A, bid.k, ask.A, ask.k
