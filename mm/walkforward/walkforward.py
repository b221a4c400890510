"""Calibrate on the past, trade the next slice: one schedule, one continuous backtest."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mm.backtest.journal import Journal
from mm.backtest.replay import backtest
from mm.calibration.calibrator import CalibrationConfig, Calibrator, Played
from mm.calibration.estimators import Absent, estimate
from mm.calibration.fit_result import PoissonFit
from mm.calibration.schedule import Schedule, Segment, build_schedule, intensity_of, outlook, schedule_from, segments_of
from mm.calibration.windows import MODES, Fallback, Plan, Window, WindowFit, WindowFitter
from mm.walkforward.unseen import Tested, foreseen, log_likelihood, waits
from mm.whole_file import whole_file

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.backtest.rules import Rules
    from mm.calibration.points import Points
    from mm.tape.tape import Tape


Models = Callable[[Schedule], tuple[object, object]]


@dataclass(frozen=True)
class WalkForward:
    """A finished walk-forward.

    Attributes:
        schedule: The parameters of every segment, each from data that was known before it began.
        result: The backtest over the whole tape; nothing is quoted before the first segment.
    """

    schedule: Schedule
    result: "Result"


def walkforward(
    tape: "Tape | Sequence[Tape]",
    rules: "Rules",
    config: CalibrationConfig | None = None,
    plan: Plan | None = None,
    fallback: Fallback | None = None,
    models: Models | None = None,
) -> WalkForward:
    """Calibrate rolling windows of a tape, and trade each slice with the parameters known before it.

    Args:
        tape: One day, or days in order of time.
        rules: What binds our orders; their latency parts a training window from its slice.
        config: How windows are measured and fitted; None is ``marks`` with its defaults.
        plan: The windows; None is 120 minutes every 15.
        fallback: What stands in for a window without a usable fit; None carries the last one.
        models: Quote and fill model of a schedule; None is Avellaneda-Stoikov, filled by the schedule's
            own intensity.

    Raises:
        FitError: If no segment is usable.
    """
    config = config or CalibrationConfig()
    schedule = build_schedule(
        Calibrator(tape, config, rules), plan or Plan(latency_us=rules.order_latency_us), fallback
    )
    quotes, fills = (models or _default_models)(schedule)
    foreseen = intensity_of(schedule, source="the schedule")
    return WalkForward(schedule, backtest(tape, quotes, fills, rules, intensity=foreseen))


def _default_models(schedule: Schedule) -> tuple[object, object]:
    from mm.backtest.models import avellaneda_stoikov, poisson
    from mm.backtest.quotes.gated import Gated

    intensity = intensity_of(schedule, source="the schedule")
    return Gated(avellaneda_stoikov(intensity=intensity), intensity), poisson(intensity=intensity)


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
    calibrator: "Calibrator",
    plan: Plan,
    fallback: Fallback | None = None,
    memory: Memory | None = None,
    step: Callable[[int], None] | None = None,
) -> Study:
    """Fit every window in every mode, and test each segment on the data that follows.

    Args:
        calibrator: Measures the days.
        plan: Windows and the mode that is used.
        fallback: What stands in for a window without a usable fit; None carries the last one, of any age.
        memory: Knows what an earlier try has fitted; None for a fresh start.
        step: Told 1 after each window, for a progress bar.
    """
    fallback, memory = fallback or Fallback(), memory or Fresh()
    windows = plan.over(calibrator.days)
    own: list[WindowFit] = []
    rivals: list[dict[str, Rates | None]] = []
    for number, found in enumerate(_fits(calibrator, plan, memory)):
        own.append(found[0])
        rivals.append(_carried(rivals[number - 1] if number else {}, found[1]))
        if step:
            step(1)
    segments = segments_of(windows, own, fallback, partial(outlook, calibrator, plan))
    tests = [
        _tested(calibrator, segment, _all(plan, segment, beside))
        for segment, beside in zip(segments, rivals, strict=True)
    ]
    return Study(schedule_from(calibrator, plan, fallback, segments), tuple(own), tuple(tests))


def _fits(calibrator: "Calibrator", plan: Plan, memory: Memory) -> Iterator[tuple[WindowFit, dict[str, Rates | None]]]:
    """Yield each window's fit in the mode of *plan*, and the bare estimates of all other modes."""
    plans = {mode: replace(plan, mode=mode) for mode in MODES}
    windows = {mode: one.over(calibrator.days) for mode, one in plans.items()}
    points = lru_cache(maxsize=3)(calibrator.points)  # modes that train on everything so far share it
    full = WindowFitter(points, calibrator.fit_points, plan, calibrator.length_s)
    bare = {mode: WindowFitter(points, _bare, one, calibrator.length_s) for mode, one in plans.items()}
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


def _tested(calibrator: "Calibrator", segment: Segment, rates: dict[str, Rates | None]) -> Tested:
    seen = calibrator.points(segment.start_us, segment.end_us)
    used = Rates(segment.A, segment.k) if segment.A is not None and segment.k is not None else None
    parts = calibrator.parts(segment.start_us, segment.end_us)
    return Tested(
        points=seen,
        expected=foreseen(seen, *used) if used else None,
        foreseen={mode: float(foreseen(seen, *one).sum()) if one else None for mode, one in rates.items()},
        loglik={mode: log_likelihood(seen, *one) if one else None for mode, one in rates.items()},
        waits={
            side: tuple(waits(calibrator.marks[day], side, (a_us, b_us), used) for day, a_us, b_us in parts)
            if used
            else None
            for side in (1, -1)
        },
    )


TABLES = ("orders", "fills", "state", "mids")


class Checkpoint:
    """Values by name, each worked out once; lines of one file, and a file for each run of simulated orders.

    A value passes through JSON also where it has just been worked out, so a run that is taken up again
    computes with the same numbers as one that never stopped.

    Attributes:
        found: How many values lay there already.
    """

    def __init__(self, folder: Path) -> None:
        """Open *folder*, which may hold what an earlier run left; its last line may be torn."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "windows.jsonl"
        self._values = _read(self._path)
        self.found = len(self._values)

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """Return the value called *name*; *make* works it out where it is not known."""
        if name not in self._values:
            line = json.dumps([name, make()])
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")  # once it is closed, a kill of this process does not take it back
            self._values[name] = json.loads(line)[1]
        return self._values[name]

    def played(self, name: str, play: Callable[[], Played]) -> Played:
        """Return the run of simulated orders called *name*; *play* plays it where it is not known."""
        import numpy as np

        path = self._folder / f"{name}.npz"
        if not path.exists():
            run = play()
            anchors = np.array(run.anchors, np.float64).reshape(-1, 3)
            tables = {table: getattr(run.journal, table) for table in TABLES}
            with whole_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, anchors=anchors, **tables)
        with np.load(path) as kept:
            tables = {table: kept[table] for table in TABLES}
            journal = Journal(**tables, fill_reasons=())
            taken = [(int(us), buy, sell) for us, buy, sell in kept["anchors"].tolist()]
        return Played(journal, taken)


def _read(path: Path) -> dict[str, Any]:
    """Return the whole lines of *path*, and cut off what a killed run left of its last one."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return dict(json.loads(line) for line in whole.splitlines())
