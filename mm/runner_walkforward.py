"""``mm walkforward``: a schedule, and one continuous backtest that trades it."""

import json

from mm.cli import runner
from mm.config import Account, Calibration, Day, Execution, Fit, Market, Models, Windows
from mm.runner_calibrate_schedule import METRICS, SCHEDULE
from mm.runs import Run


@runner(
    "walkforward",
    Day,
    Market,
    Calibration,
    Fit,
    Windows,
    Execution,
    Account,
    Models,
    defaults={"fill_model": "poisson"},
)
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
    """Calibrate rolling windows of one day, and trade each slice with what was known before it.

    Example: mm walkforward --symbol BTCUSDT --day 20251216 --data-root data --out-root out
    """
    from mm import assemble
    from mm.backtest.replay import backtest
    from mm.backtest.words import told
    from mm.calibration.calibrate import Meter
    from mm.calibration.schedule import build_schedule
    from mm.calibration.window_metrics import write_window_metrics
    from mm.model_maker import ModelMaker

    tape = assemble.one_tape(run, day, market)
    rules = assemble.rules(tape, execution, account, models)
    fallback = assemble.fallback(windows, models)
    maker = ModelMaker(run, assemble.of_walkforward(run, models, windows), tape, account.seed)
    with run.timing("calibrate"):
        meter = Meter(tape, assemble.recipe(calibration, fit, account.seed), rules)
        schedule = build_schedule(meter, assemble.plan(windows, execution), fallback)
    run.path(SCHEDULE).write_text(json.dumps(schedule.to_json(), indent=1) + "\n", encoding="utf-8")
    run.output(METRICS, write_window_metrics(run.path(METRICS), schedule, meter.points))
    run.artefact = SCHEDULE
    maker.use(schedule)
    with run.timing("play"), run.progress("play", tape.end_us - tape.start_us) as step:
        result = backtest(tape, maker.quotes(), maker.fills(), rules, step=step)
    run.write_result(result, "backtest")
    usable = sum(segment.usable for segment in schedule.segments)
    run.say(f"{len(schedule.segments)} segments, {usable} usable")
    run.say(told(result.summary))


if __name__ == "__main__":
    main()
