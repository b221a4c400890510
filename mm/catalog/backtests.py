"""The commands of backtests: knobs, arguments and help."""

from dataclasses import dataclass

import click

from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import day_knob
from mm.base.knobs import integer, knob, matching
from mm.cli.config import OrdersFile, Output
from mm.cli.frame import command, runner
from mm.cli.task_knobs import ManyDays, Sweep, Workers
from mm.play.calibration_knobs import Calibration, Fit, PlayedCalibration, Windows
from mm.play.knobs import DamagedDay, Day, Market, Models, OtherMarkets, Results, Sensitivity, Source

backtest = runner(
    *("backtest", Day, Market, Execution, Account, Models, OtherMarkets, Risk, Sensitivity, OrdersFile),
    brief=(Day, Execution, Account, Models, Output),
    body="mm.commands.backtest:main",
    text="""
    Replay one or more recorded days with a quote model and a fill model.

    Example: DAY=20251216 SYMBOL=BTCUSDT mm backtest
    """,
)


evaluate = runner(
    *("evaluation", ManyDays, Market, Execution, Account, Models, OtherMarkets, Risk, Workers),
    resumable=True,
    day_of="mm.commands.evaluate:one_folder",
    brief=(ManyDays, Models, Workers),
    body="mm.commands.evaluate:main",
    text="""
    Play a strategy on many days and symbols, each day on its own, and tell what the days say together.

    A day that is missing or damaged is a named hole. Days already played, by this or another evaluation, are reused; a
    killed one is resumed if its RUN_ID is given again.

    Example: mm evaluate --symbol BTCUSDT,ETHUSDT --day 20260101:20260131 --quote-model avellaneda_stoikov
    """,
)

STUDY = (Day, Market, Calibration, Fit, Windows, Execution, Account, Models)


walkforward = runner(
    *("walkforward", Day, Market, PlayedCalibration, *STUDY[3:], OtherMarkets, Risk, Sensitivity, OrdersFile),
    resumable=True,
    brief=(Day, Models, Windows),
    body="mm.commands.schedule:walkforward",
    text="""
    Calibrate rolling windows of one day or more, and trade each segment with the latest fit before it.

    Rates are measured under the fill model that is played.

    A killed run is resumed if its RUN_ID is given again.

    Example: mm walkforward --symbol BTCUSDT --day 20251216 --data-root data --out-root out
    """,
)

sweep = runner(
    *("sweep", Day, Market, Execution, Account, Models, OtherMarkets, Risk, Sweep, Workers, Calibration, Fit, Windows),
    resumable=True,
    brief=(Day, Models, Sweep, Workers),
    body="mm.commands.sweep:main",
    text="""
    Run many backtests over a grid, rank them, and estimate the selection bias of the best one.

    All knobs of mm backtest apply to every point, unless an axis sets them. Points already run, by this or another
    sweep, are reused; a killed sweep is resumed if its RUN_ID is given again.

    Example: mm sweep --symbol BTCUSDT --day 20251216 --grid GAMMA=0.01,0.1,1 --grid FILL_MODEL=trade_cross,price_cross
    """,
)

_NAME = click.Argument(["name"], required=False, metavar="[MODEL]")


models = command(
    arguments=[_NAME],
    body="mm.commands.models:main",
    text="""
    List the models by name; with MODEL, its parameters with unit, default and meaning.

    Example: mm models glft
    """,
)

TESTS = ("fresh", "shifted", "files", "opened")


@dataclass(frozen=True, kw_only=True)
class Checked(DamagedDay, Results, Source):
    """The day, the number of cuts, and the tests to skip."""

    day: str = day_knob()
    check_cuts: int = knob(12, integer(1, 10_000), "Number of instants at which the day is cut.", flag="--cuts")
    check_skip: str | None = knob(
        None,
        matching(rf"({'|'.join(TESTS)})(,({'|'.join(TESTS)}))*", f"a list of {', '.join(TESTS)}", "TEST,TEST,…"),
        "Tests to skip: shifted for a model that depends on dates, opened for one that reads past data.",
        flag="--skip",
    )


_OUT = click.Option(["--out"], metavar="FILE", help="File of the page, instead of one in <OUT_ROOT>/lookahead/.")


check_lookahead = command(
    Checked,
    Market,
    Execution,
    Account,
    Models,
    OtherMarkets,
    Risk,
    arguments=[click.Argument(["model"], metavar="[MODEL]", required=False), _OUT],
    brief=(Checked, Models),
    body="mm.commands.check:lookahead",
    text="""
    Test a model or a signal for look-ahead: replay it on days that end, change or shift at random instants.

    Its actions before each instant must be byte-identical, and so must those of a second run. MODEL is a quote or a
    fill model, as for --quote-model or --fill-model; set the other model and the parameters as for mm backtest.
    Or MODEL is a signal (mm signals list, the folder of a predictor, or package.module:Class), whose rows
    are compared. The page shows the tests, the cuts and each difference. Exit code 0 if no difference was found,
    5 if the model looks ahead.

    Example: mm check lookahead my_models:Join --symbol BTCUSDT --day 20251216 --quote-params-json '{"most_clips": 3}'
    """,
)
