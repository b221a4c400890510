"""``mm schedule``: rolling windows of one day or more to ``poisson_schedule.json``."""

import json
from typing import TYPE_CHECKING

from mm.backtest.rules import Account, Execution
from mm.cli.config import Calibration, Day, Fit, Market, Models, Windows
from mm.cli.frame import runner
from mm.errors import FitError
from mm.runs.run import Run

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.calibration.calibrator import CalibrationConfig
    from mm.calibration.windows import Fallback, Plan
    from mm.tape.tape import Tape
    from mm.walkforward.walkforward import Study

SCHEDULE = "poisson_schedule.json"
METRICS = "window_metrics.csv"


@runner("schedule", Day, Market, Calibration, Fit, Windows, Execution, Account, Models, resumable=True)
def main(
    run: Run,
    day: Day,
    market: Market,
    calibration: Calibration,
    fit: Fit,
    windows: Windows,
    execution: Execution,
    account: Account,
    models: Models,
) -> None:
    """Fit A and k in rolling windows of one day or more; each segment knows only what came before it.

    Example: mm schedule --symbol BTCUSDT --day 20251216 --wf-train-window-min 120 --wf-step-min 15
    """
    from mm.calibration.schedule import why_unusable
    from mm.commands import assemble
    from mm.report.walkforward import page

    tapes = assemble.tapes(run, day, market)
    config, rules = (
        assemble.calibration_config(calibration, fit, account.seed),
        assemble.rules(tapes[0], execution, account),
    )
    plan, fallback = assemble.plan(windows, execution), assemble.fallback(windows, models)
    with run.timing("play"):
        studied = study_days(run, (tapes, config, rules), plan, fallback)
    usable = write_study(run, studied)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about))
    if not usable:
        raise FitError(f"{day.symbol} {day.label()}: {why_unusable(studied.schedule)}")


def study_days(
    run: Run, measured: "tuple[list[Tape], CalibrationConfig, Rules]", plan: "Plan", fallback: "Fallback"
) -> "Study":
    """Return the schedule of days with its tests; what a killed run has fitted of it is not fitted again.

    Args:
        run: Its checkpoint keeps what is found, its bar shows how far it is.
        measured: The days, how they are measured, and the rules of simulated orders.
        plan: Windows and mode.
        fallback: What stands in for a window without a usable fit.
    """
    from mm.calibration.calibrator import Calibrator
    from mm.walkforward.walkforward import Checkpoint, study

    known = Checkpoint(run.checkpoint())
    if known.found:
        run.log.info("windows_known", fits=known.found)
    calibrator = Calibrator(*measured, keep=known.played)
    with run.progress("windows", len(plan.over(calibrator.days))) as step:
        return study(calibrator, plan, fallback, known.value, step)


def write_study(run: Run, studied: "Study") -> int:
    """Write the schedule, its metrics and what they come to; return how many segments are usable."""
    from mm.walkforward.out_of_sample import FILE, lines, out_of_sample, write_window_metrics

    segments = studied.schedule.segments
    with run.timing("write"):
        found = out_of_sample(studied)
        for name, content in ((SCHEDULE, studied.schedule.to_json()), (FILE, found)):
            run.path(name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        run.output(METRICS, write_window_metrics(run.path(METRICS), studied))
    run.artefact = SCHEDULE
    usable = sum(segment.usable for segment in segments)
    clock = found["time_rescaling"]
    run.summary = {
        "segments": len(segments),
        "usable": usable,
        "loglik_per_fill": {mode: row["loglik_per_fill"] for mode, row in found["modes"].items()},
        "time_rescaling_p": clock["p"],
        "mean_wait": clock["mean_wait"],
    }
    run.say(f"{len(segments)} segments, {usable} usable")
    for line in lines(found):
        run.say(line)
    return usable
