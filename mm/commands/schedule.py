"""``mm schedule`` and ``mm walkforward``."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.config import OrdersFile
from mm.cli.frame import runner
from mm.cli.symbol_runs import account_knobs
from mm.commands.account_runs import opened_plays, write_account
from mm.commands.backtest import playing
from mm.commands.calibrate import measuring
from mm.errors import FitError
from mm.play.calibration_knobs import Calibration, Fit, PlayedCalibration, Windows
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol, Sensitivity
from mm.report.contents import BACKTEST, PAGE
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mm.calibration.config import CalibrationConfig
    from mm.calibration.windows import Fallback, WindowPlan
    from mm.play.play import Play
    from mm.tape.tape import Tape


@runner("schedule", resumable=True, brief=(Day, Calibration, Fit, Windows))
def schedule(
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
    """Fit A and k in rolling windows of one day or more; each segment uses only earlier data.

    Example: mm schedule --symbol BTCUSDT --day 20251216 --wf-train-window-min 120 --wf-step-min 15
    """
    from mm.calibration.schedule import why_unusable
    from mm.play.calibration import plan_of
    from mm.play.engine_rules import rules_of
    from mm.report.walkforward import page
    from mm.runs.noted import opened, said_days
    from mm.runs.study import study_days, write_study

    markets = opened(run, day, market)
    tapes = markets.tapes
    rules = rules_of(tapes[0], execution, account, models)
    config = measuring(run, calibration, fit, execution, account, tapes[0])
    plan, fallback = plan_of(windows, execution), _fallback(run, windows, models, tapes)
    with run.timing("play"):
        studied = study_days(run, (tapes, config, rules), plan, fallback)
    usable = write_study(run, studied)
    if warnings := said_days(run, markets):
        run.summary["warnings"] = list(warnings)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about, warnings=warnings))
    if not usable:
        raise FitError(f"{day.symbol} {day.label()}: {why_unusable(studied.schedule)}")


@runner("walkforward", resumable=True, brief=(Day, Models, Windows))
def walkforward(
    run: Run,
    day: Day,
    market: Market,
    calibration: PlayedCalibration,
    fit: Fit,
    windows: Windows,
    execution: Execution,
    account: Account,
    models: Models,
    margin: Margin,
    others: OtherMarkets,
    risk: Risk,
    sensitivity: Sensitivity,
    orders_file: OrdersFile,
    one_account: OneAccount,
    per_symbol: PerSymbol,
    limits: AccountTerms,
) -> None:
    """Calibrate rolling windows of one day or more, and trade each segment with the latest fit before it.

    Rates are measured under the fill model that is played.

    A killed run is resumed if its RUN_ID is given again.

    Example: mm walkforward --symbol BTCUSDT --day 20251216 --data-root data --out-root out
    """
    from mm.backtest.summary_text import text_of
    from mm.play.calibration import unfitted
    from mm.play.models import check_names
    from mm.play.play import Play
    from mm.play.setup import Setup
    from mm.report.run_columns import columns_of
    from mm.report.walkforward import page
    from mm.runs.noted import begin_play, note_setup, opened

    if one_account.one_account:
        groups = (day, market, execution, account, margin, models, others, risk, per_symbol)
        by_symbol = account_knobs(day.symbol, groups)
        plays, absent = opened_plays(run, by_symbol, unfitted)
        measured = {  # the checkpoint is of all inputs
            symbol: _measured(run, play, (calibration, fit, windows, by_symbol[symbol][Models]))
            for symbol, play in plays.items()
        }
        forward = dict[str, object]()
        for symbol, play in plays.items():
            plays[symbol] = _fitted(run, play, measured[symbol], f"{symbol}/")
            forward[symbol] = run.summary
            drawn = run.output(f"{symbol}/windows/{PAGE}", digest=False)
            drawn.write_text(page(run.partial / symbol, run.about), encoding="utf-8")
            begin_play(run, plays[symbol])
        write_account(run, plays, limits, absent, orders_file.orders_format)
        run.summary = {**run.summary, "walkforward": forward}
        return
    check_names(models)
    markets = opened(run, day, market, others)
    setup = Setup.of(day, market, execution, account, margin, unfitted(models), risk, others)
    play = Play.of(setup, markets, sensitivity=sensitivity)
    note_setup(run, play)
    play = _fitted(run, play, _measured(run, play, (calibration, fit, windows, models)))
    forward = run.summary
    begin_play(run, play)
    with playing(run, play) as (base, further):
        first, later = (base, further) if play.concurrent else (further(base), None)  # weeks need less memory then
        with run.timing("write"):
            columns = columns_of(first)  # of both pages
        result = run.write_result(first, BACKTEST, later, orders_file.orders_format, columns)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about, run=columns))
    run.summary = {**run.summary, "walkforward": forward}
    run.print(text_of(result.summary))


def _measured(
    run: Run, play: "Play", how: tuple[PlayedCalibration, Fit, Windows, Models]
) -> "tuple[CalibrationConfig, WindowPlan, Fallback]":
    """Note the files that it reads as inputs of the run."""
    from mm.play.calibration import plan_of

    (calibration, fit, windows, models), tapes, knobs = how, play.tapes, play.knobs
    config = measuring(run, calibration, fit, knobs.execution, knobs.account, tapes[0])
    return config, plan_of(windows, knobs.execution, models), _fallback(run, windows, models, tapes)


def _fitted(
    run: Run, play: "Play", measured: "tuple[CalibrationConfig, WindowPlan, Fallback]", place: str = ""
) -> "Play":
    """Write the schedule's files into a subfolder *place* of the run."""
    from mm.report.walkforward import page
    from mm.runs.study import study_days, write_study
    from mm.tape.columns import trim_heap

    (config, plan, fallback), tapes = measured, play.tapes
    rules = replace(play.market_rules, others={}, legs={})
    with run.timing("calibrate"):
        studied = study_days(run, (tapes, config, rules), plan, fallback, place)
        for tape in tapes:
            tape.release_memory()  # the backtest needs only their best prices
        trim_heap()
    if not write_study(run, studied, place):
        run.write_page(page(run.partial / place, run.about))  # without a backtest
    return play.with_fit(studied.schedule)


def _fallback(run: Run, windows: Windows, models: Models, tapes: "Sequence[Tape]") -> "Fallback":
    from mm.play.calibration import fallback_of
    from mm.runs.noted import note_files

    if windows.fallback_policy == "global_default":
        note_files(run, [models.fill_params_file])
    return fallback_of(windows, models, tapes)
