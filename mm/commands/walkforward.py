"""``mm walkforward``: a schedule, and one continuous backtest that trades it."""

from mm.backtest.rules import Account, Execution
from mm.cli.config import Calibration, Day, Fit, Market, Models, Sensitivity, Windows
from mm.cli.frame import runner
from mm.commands.schedule import study_days, write_study
from mm.runs.run import Run


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
    Sensitivity,
    defaults={"fill_model": "poisson"},
    resumable=True,
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
    honesty: Sensitivity,
) -> None:
    """Calibrate rolling windows of one day or more, and trade each slice with what was known before it.

    A run that was killed goes on where its RUN_ID is given again.

    Example: mm walkforward --symbol BTCUSDT --day 20251216 --data-root data --out-root out
    """
    from mm.backtest.sensitivity import Strategy
    from mm.backtest.summary_text import told
    from mm.commands import assemble
    from mm.model_maker import ModelMaker, check_names
    from mm.report.run_columns import columns_of
    from mm.report.walkforward import page

    check_names(models)
    tapes = assemble.tapes(run, day, market)
    config, rules = (
        assemble.calibration_config(calibration, fit, account.seed),
        assemble.rules(tapes[0], execution, account, models),
    )
    maker = ModelMaker(run, assemble.unfitted(models), tapes[0], account.seed)
    plan, fallback = assemble.plan(windows, execution), assemble.fallback(windows, models)
    with run.timing("calibrate"):
        studied = study_days(run, (tapes, config, rules), plan, fallback)
    if not write_study(run, studied):
        run.write_page(page(run.partial, run.about))  # there will be no backtest
    forward = run.summary
    maker.use(studied.schedule)
    strategy = Strategy(tapes, rules, maker.quotes, maker.fills, maker.intensity, account.seed)
    further = maker.registered_only() if honesty.honesty is None else honesty.honesty
    length_us = sum(tape.end_us - tape.start_us for tape in tapes)
    plays = 1 + (strategy.plays() if further else 0)
    with run.timing("play"), run.progress("play", length_us * plays) as step:
        result = maker.based(strategy.play(step))
        if further:
            result = strategy.with_sensitivity(result, step)
    del tapes, maker, strategy  # lets the mapped tapes go: writing needs the journal alone
    run.write_result(result, "backtest")
    with run.timing("write"):
        run.write_page(page(run.partial, run.about, run=columns_of(result)))
    run.summary = {**run.summary, "walkforward": forward}
    run.say(told(result.summary))
