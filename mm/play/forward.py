"""``mm.walkforward``: calibrates rolling windows of days, and trades each segment with the fit before it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mm.backtest.models import avellaneda_stoikov, queue_prob_power
from mm.backtest.quotes.steps import Gated
from mm.backtest.replay import backtest
from mm.calibration.calibrator import CalibrationConfig, FillsMeasured
from mm.calibration.intensities import intensity_of, measured_intensity
from mm.calibration.reference import AUTO
from mm.calibration.schedule import Schedule, calibrator_of, schedule_by
from mm.calibration.windows import Fallback, WindowPlan
from mm.play.design import Design, recorded
from mm.tape.load import tapes_given
from mm.trials.on_record import Recording
from mm.trials.openings import PYTHON, check_openings, write_openings
from mm.walkforward.walkforward import WalkForward

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.tape.tape import Tape

Models = Callable[[Schedule], tuple[object, object]]


def walkforward(  # noqa: PLR0913 - arguments that no knob can express
    tape: "Tape | Sequence[Tape]",
    rules: "Rules",
    config: CalibrationConfig | None = None,
    plan: WindowPlan | None = None,
    fallback: Fallback | None = None,
    models: Models | None = None,
    *,
    out_root: "str | os.PathLike[str] | None" = None,
) -> WalkForward:
    """Calibrate rolling windows of a tape, and trade each segment with the parameters available before it.

    Args:
        tape: One day, or days in order of time.
        rules: Rules of our orders; their latency separates training window and segment.
        config: How windows are measured and fitted; None is ``fixed`` orders under the default fill model, or, with
            your own *models*, ``marks`` from the reference price that predicts best in the first training window.
        plan: The windows; None is 120 minutes every 15.
        fallback: Used for a window without a usable fit; None carries the last one.
        models: Quote and fill model of a schedule; None is Avellaneda-Stoikov under the default fill model,
            ``queue_prob_power``.
        out_root: Folder of results with the ledger of trials: the backtest is recorded there, and its verdict allows
            for the trials on these days. Without it nothing is recorded, and no other trial is known.

    Raises:
        FitError: If no segment is usable.
        UsageError: If a day that is held out was opened without an *out_root*.
    """
    plan = plan or WindowPlan(latency_us=rules.order_latency_us)
    tapes = tapes_given(tape, "walkforward")
    check_openings(tapes, out_root)
    if config is None and models is None:
        fills = FillsMeasured("queue_prob_power", {}, queue_prob_power)
        config = CalibrationConfig(method="fixed", reference=AUTO, fills=fills)
    recording = None if out_root is None else Recording(Path(out_root), PYTHON)
    if recording is not None:  # a fit that fails has seen them, too
        recording.problems += write_openings(recording.ledger.out_root, tapes, recording.made_by)
    schedule = schedule_by(calibrator_of(tapes, plan, config, rules)[0], plan, fallback)
    quotes, filling = (models or _default_models)(schedule)
    predicted = (None if models else measured_intensity(schedule)) or intensity_of(schedule, source="the schedule")
    design = None if recording is None else Design.of_objects(rules, schedule, quotes, filling)
    result = backtest(tapes, quotes, filling, rules, intensity=predicted)
    if recording is not None and design is not None:
        result = recorded(result, design, recording)
    return WalkForward(schedule, result)


def _default_models(schedule: Schedule) -> tuple[object, object]:
    intensity = intensity_of(schedule, source="the schedule")
    return Gated(avellaneda_stoikov(intensity=intensity), intensity), queue_prob_power()
