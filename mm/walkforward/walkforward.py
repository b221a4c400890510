"""Calibrate on the past, trade the next slice: one schedule, one continuous backtest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mm.backtest.replay import backtest
from mm.calibration.fallback import Fallback
from mm.calibration.intensity import intensity_of
from mm.calibration.meter import Meter
from mm.calibration.recipe import Recipe
from mm.calibration.schedule import Schedule, build_schedule
from mm.calibration.windows import Plan

if TYPE_CHECKING:
    from mm.backtest.result import Result
    from mm.backtest.rules import Rules
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
    recipe: Recipe | None = None,
    plan: Plan | None = None,
    fallback: Fallback | None = None,
    models: Models | None = None,
) -> WalkForward:
    """Calibrate rolling windows of a tape, and trade each slice with the parameters known before it.

    Args:
        tape: One day, or days in order of time.
        rules: What binds our orders; their latency parts a training window from its slice.
        recipe: How windows are measured and fitted; None is ``marks`` with its defaults.
        plan: The windows; None is 120 minutes every 15.
        fallback: What stands in for a window without a usable fit; None carries the last one.
        models: Quote and fill model of a schedule; None is Avellaneda-Stoikov, filled by the schedule's
            own intensity.

    Raises:
        FitError: If no segment is usable.
    """
    recipe = recipe or Recipe()
    schedule = build_schedule(Meter(tape, recipe, rules), plan or Plan(latency_us=rules.order_latency_us), fallback)
    quotes, fills = (models or _default_models)(schedule)
    foreseen = intensity_of(schedule, source="the schedule")
    return WalkForward(schedule, backtest(tape, quotes, fills, rules, intensity=foreseen))


def _default_models(schedule: Schedule) -> tuple[object, object]:
    from mm.backtest.models import avellaneda_stoikov, poisson
    from mm.backtest.quotes.gated import Gated

    intensity = intensity_of(schedule, source="the schedule")
    return Gated(avellaneda_stoikov(intensity=intensity), intensity), poisson(intensity=intensity)
