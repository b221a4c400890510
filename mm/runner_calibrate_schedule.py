"""``mm schedule``: rolling windows of one day to ``poisson_schedule.json``."""

import json

from mm.cli import runner
from mm.config import Account, Calibration, Day, Execution, Fit, Market, Models, Windows
from mm.errors import FitError
from mm.runs import Run

SCHEDULE = "poisson_schedule.json"
METRICS = "window_metrics.csv"


@runner("schedule", Day, Market, Calibration, Fit, Windows, Execution, Account, Models)
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
    """Fit A and k in rolling windows of one day; each segment knows only what came before it.

    Example: mm schedule --symbol BTCUSDT --day 20251216 --wf-train-window-min 120 --wf-step-min 15
    """
    from mm import assemble
    from mm.calibration.calibrate import Meter
    from mm.calibration.intensity import why_unusable
    from mm.calibration.schedule import build_schedule
    from mm.calibration.window_metrics import write_window_metrics

    tape = assemble.one_tape(run, day, market)
    with run.timing("play"):
        meter = Meter(tape, assemble.recipe(calibration, fit, account.seed), assemble.rules(tape, execution, account))
        schedule = build_schedule(meter, assemble.plan(windows, execution), assemble.fallback(windows, models))
    with run.timing("write"):
        run.path(SCHEDULE).write_text(json.dumps(schedule.to_json(), indent=1) + "\n", encoding="utf-8")
        run.output(METRICS, write_window_metrics(run.path(METRICS), schedule, meter.points))
    run.artefact = SCHEDULE
    usable = sum(segment.usable for segment in schedule.segments)
    run.summary = {"segments": len(schedule.segments), "usable": usable}
    run.say(f"{len(schedule.segments)} segments, {usable} usable")
    if not usable:
        raise FitError(f"{day.symbol} {day.label()}: {why_unusable(schedule)}")


if __name__ == "__main__":
    main()
