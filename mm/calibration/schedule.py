"""Fits over time: segments that touch, each with the parameters to use in it."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from mm.calibration.schedule_json import Entry, broken
from mm.calibration.windows import Plan, Window, WindowFit, WindowFitter
from mm.clock import US_PER_S
from mm.errors import Mismatch, UsageError

if TYPE_CHECKING:
    from mm.backtest.tape import Tape
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.points import Points

SCHEMA_VERSION = 1
DISTANCE_UNIT = "ticks"
SOURCES = ("fitted", "carried", "default", "none")
POLICIES = ("carry_forward", "global_default", "skip_segment")


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
    """

    symbol: str
    day: str
    tick_size: float | None
    train_window_min: float
    step_min: float
    fallback_policy: str
    segments: tuple[Segment, ...]
    reference: str = "mid"

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


@dataclass(frozen=True, slots=True)
class Fallback:
    """What stands in for a window whose fit is not usable.

    Attributes:
        policy: ``carry_forward`` (the last usable fit), ``global_default`` (fixed A and k) or
            ``skip_segment`` (nothing: no quotes).
        max_age_s: Parameters older than this are not carried.
        default: A (1/s) and k (1/tick) of ``global_default``.
    """

    policy: str = "carry_forward"
    max_age_s: float = math.inf
    default: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise UsageError(
                f"FALLBACK_POLICY (--fallback-policy) is {self.policy!r}; choose one of {', '.join(POLICIES)}"
            )
        if (self.policy == "global_default") != (self.default is not None):
            raise UsageError(
                f"FALLBACK_POLICY (--fallback-policy) is {self.policy!r} and the default A and k are {self.default}; "
                f"global_default needs them, the other policies do not use them"
            )
        if self.default is not None and not all(0 < value < math.inf for value in self.default):
            raise UsageError(f"the default A and k are {self.default}; both must be positive numbers")
        if not self.max_age_s >= 0:
            raise UsageError(f"the largest age of carried parameters is {self.max_age_s} s; it must not be negative")


def build_schedule(
    tape: "Tape",
    plan: Plan | None = None,
    fallback: Fallback | None = None,
    points: "Callable[[int, int], Points] | None" = None,
    fit: "Callable[[Points], PoissonFit] | None" = None,
    reference: str = "mid",
) -> Schedule:
    """Return the schedule of a tape: each segment from data that was known an order latency before it.

    Args:
        tape: One day, or several as one tape.
        plan: Windows and mode; None for ``Plan()``: rolling, 120 minutes every 15.
        fallback: What to do without a usable fit; None for ``Fallback()``: carry the last one, of any age.
        points: Points of ``[start, end)`` in µs, from no datum outside; None for the tape's ``Marks``.
        fit: Points to fit; None for ``fit_poisson``.
        reference: What the distances of *points* are measured from.
    """
    from mm.calibration.marks import MarkOptions, Marks
    from mm.calibration.poisson_fit import fit_poisson

    plan, fallback = plan or Plan(), fallback or Fallback()
    points = points or Marks(tape, MarkOptions(reference)).points
    windows = plan.windows(tape.start_us, tape.end_us)
    fits = WindowFitter(points, fit or fit_poisson, plan).all(windows)
    return Schedule(
        symbol=tape.symbol,
        day="-".join(dict.fromkeys((tape.days[0], tape.days[-1]))),
        tick_size=tape.instrument.tick_e8 / 1e8,
        train_window_min=plan.train_window_min,
        step_min=plan.step_min,
        fallback_policy=fallback.policy,
        segments=segments_of(windows, fits, fallback),
        reference=reference,
    )


def segments_of(windows: Sequence[Window], fits: Sequence[WindowFit], fallback: Fallback) -> tuple[Segment, ...]:
    """Return the segment of each window, from its own fit or by *fallback*; a segment knows earlier fits only."""
    segments = []
    last: tuple[Window, WindowFit] | None = None
    for window, own in zip(windows, fits, strict=True):
        last = (window, own) if own.A is not None else last
        latency_us = windows[0].start_us - windows[0].train_end_us
        age_s = (window.start_us - latency_us - last[0].train_end_us) / US_PER_S if last else math.inf
        used, source, done = (own, "fitted", "") if own.A is not None else _stand_in(own, last, age_s, fallback)
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
            )
        )
    return tuple(segments)


def _stand_in(
    own: WindowFit, last: tuple[Window, WindowFit] | None, age_s: float, fallback: Fallback
) -> tuple[WindowFit, str, str]:
    """Return what is used instead of *own*, which is not usable, the source of it, and what was done."""
    if fallback.default is not None:
        A, k = fallback.default
        return replace(own, A=A, k=k), "default", "the default A and k are used"
    if fallback.policy == "skip_segment":
        return own, "none", "the segment is skipped"
    if last is None:
        return own, "none", "there is no earlier fit to carry"
    if age_s > fallback.max_age_s:
        return own, "none", f"the last usable fit is {age_s:g} s old, more than the {fallback.max_age_s:g} s allowed"
    return last[1], "carried", "the last usable fit is carried"


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
    )
