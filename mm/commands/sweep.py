"""``mm sweep``: backtests over a grid, ranked, with the selection bias of the best one."""

from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.calibration_knobs import Calibration, Fit, Windows
from mm.cli.config import Day, Market, Models
from mm.cli.frame import runner
from mm.cli.task_knobs import Sweep, Workers
from mm.commands import assemble
from mm.commands.setup import Setup
from mm.report.sweep import page
from mm.runs.in_progress import Run
from mm.sweep.grid import axes_for, points_of
from mm.sweep.store import Store, source_files
from mm.sweep.sweep import keep, raise_failures, write
from mm.sweep.work import Work, check, engine, fits, shared_inputs


@runner(
    *("sweep", Day, Market, Execution, Account, Models, Risk, Sweep, Workers, Calibration, Fit, Windows),
    resumable=True,
    brief=(Day, Models, Sweep, Workers),
)
def main(
    run: Run,
    day: Day,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    risk: Risk,
    sweep: Sweep,
    workers: Workers,
    calibration: Calibration,
    fit: Fit,
    windows: Windows,
) -> None:
    """Run many backtests over a grid, rank them, and estimate the selection bias of the best one.

    All knobs of mm backtest apply to every point, unless an axis sets them. Points already run, by this or another
    sweep, are reused; a killed sweep is resumed if its RUN_ID is given again.

    Example: mm sweep --symbol BTCUSDT --day 20251216 --grid GAMMA=0.01,0.1,1 --grid FILL_MODEL=trade_cross,price_cross
    """

    axes = axes_for(sweep.grid, models)
    points = points_of(axes, Setup(day, market, execution, account, models, risk), sweep.grid_unfit)
    tapes = assemble.tapes(run, day, market)
    assemble.warn_of_missing_days(run.log, day)
    store = Store.of(day.out_root, day.symbol, day.label())
    shared = shared_inputs(run, points, tapes, run.tapes, workers.cluster and workers.object_store)
    if sweep.sweep_walkforward:
        config = assemble.calibration_config(calibration, fit, account.seed, tapes[0], run)
        shared = fits(run, points, tapes, (config, windows), shared, store)
    shared = check(run, points, tapes, shared)
    work = Work(points, shared, store)
    for path in source_files(work.sources):
        run.input_file(path)
    with run.timing("play"), run.progress("points", len(work.jobs)) as step:
        try:
            played = work.run(engine(workers), step, reuse=workers.reuse_points)
        except BaseException:
            message = "run the same command to resume the sweep"
            run.log.warning("points_kept", known=work.known, of=len(work.jobs), message=message)
            raise
    found = write(run, (axes, played, work), sweep.rank_by, tapes)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about, run.summary["on_record"]))
    keep(run, work, found, sweep.keep_runs, workers.jobs)
    raise_failures(played)
