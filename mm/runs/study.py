"""Fits rolling windows inside a run: a killed run's fits are reused, the schedule's files are written."""

import json
from collections.abc import Sequence

import msgspec

from mm.backtest.rules import Rules
from mm.calibration import shared_strength
from mm.calibration.config import CalibrationConfig
from mm.calibration.hawkes import sentence
from mm.calibration.intervals import drift_warning
from mm.calibration.schedule import calibrator_of
from mm.calibration.windows import Fallback, WindowPlan
from mm.report.contents import METRICS, SCHEDULE
from mm.runs.in_progress import Run
from mm.tape.tape import Tape
from mm.walkforward import window_shapes
from mm.walkforward.walkforward import Checkpoint, Study, study
from mm.walkforward.window_metrics import write_window_metrics

DAYS_HELD = 3  # in memory at once: a training window and its segment need no more, if days are not shorter than it


def study_days(
    run: Run,
    measured: tuple[Sequence[Tape], CalibrationConfig, Rules],
    plan: WindowPlan,
    fallback: Fallback,
    place: str = "",
) -> Study:
    """Reuse the fits of a killed run, kept in a subfolder *place*."""
    known = Checkpoint(run.checkpoint() / place)
    if known.found:
        run.log.info("windows_known", fits=known.found)
    tapes, config, rules = measured
    calibrator, notes = calibrator_of(tapes, plan, config, rules, keep=known.played, held=DAYS_HELD)
    choice = calibrator.reference_choice
    for note in filter(None, (*notes, choice and choice.why)):
        run.print(f"note: first training window: {note}")
    with run.progress("windows", len(plan.over(calibrator.days))) as step:
        return study(calibrator, plan, fallback, known.value, step)


def write_study(run: Run, studied: Study, place: str = "") -> int:
    """Write into a subfolder *place*; return the number of usable segments."""
    segments, said = studied.schedule.segments, place.replace("/", ": ")
    with run.timing("write"):
        shapes = window_shapes.window_shapes(studied.shapes)
        for name, content in ((SCHEDULE, studied.schedule.to_json()), (window_shapes.FILE, shapes)):
            text = msgspec.json.format(json.dumps(content, allow_nan=False), indent=1)  # json is slow with indents
            run.path(f"{place}{name}").write_text(text + "\n", encoding="utf-8")
        run.output(f"{place}{METRICS}", write_window_metrics(run.path(f"{place}{METRICS}"), studied))
    run.artefact = f"{place}{SCHEDULE}"
    usable = sum(segment.usable for segment in segments)
    run.summary = {
        "segments": len(segments),
        "usable": usable,
        "sources": studied.schedule.sources,
        "oldest_carried_s": studied.schedule.oldest_s,
        "shared": studied.schedule.shared,
        "calib_deltas": list(studied.deltas) or None,
    }
    run.print(f"{said}{studied.schedule.counted()}")
    if studied.schedule.shared is not None:
        run.print(f"{said}{shared_strength.strength_text(studied.schedule.to_json())}")
    if studied.schedule.clustering is not None:
        run.print(f"note: {said}first training window: {sentence(studied.schedule.clustering)}")
    if slow := drift_warning(studied.schedule.clustering, studied.schedule.train_window_min * 60):
        run.print(f"note: {said}training windows: {slow}")
    return usable
