"""``mm sweep``: backtests over a grid, ranked, with the selection bias of the best one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.frame import runner
from mm.cli.task_knobs import Sweep, Workers
from mm.commands.calibrate import measuring
from mm.errors import FitError, Sentence, UsageError
from mm.play.calibration_knobs import Calibration, Fit, Windows
from mm.play.knobs import Day, Market, Models, OtherMarkets
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.play.setup import Setup
    from mm.sweep.findings import PlayedPoint
    from mm.sweep.grid import Point
    from mm.sweep.work import Player
    from mm.tape.tape import Tape


@runner(
    *("sweep", Day, Market, Execution, Account, Margin, Models, OtherMarkets, Risk, Sweep, Workers),
    *(Calibration, Fit, Windows),
    resumable=True,
    brief=(Day, Models, Sweep, Workers),
)
def sweep(
    run: Run,
    day: Day,
    market: Market,
    execution: Execution,
    account: Account,
    margin: Margin,
    models: Models,
    others: OtherMarkets,
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
    from mm.play.notes import log_notes, missing_days_note
    from mm.play.setup import Setup
    from mm.report.sweep import page
    from mm.runs.noted import opened
    from mm.sweep.grid import axes_for, points_of
    from mm.sweep.store import Store
    from mm.sweep.sweep import keep, raise_failures, write
    from mm.sweep.work import Work, check, engine, fits, shared_inputs
    from mm.trials.on_record import Recording

    setup = Setup.of(day, market, execution, account, margin, models, risk, others)
    if sweep.search is not None:
        _search(run, setup, sweep, workers)
        return
    axes = axes_for(sweep.grid, models)
    points = points_of(axes, setup, sweep.grid_unfit)
    markets = opened(run, day, market, others)
    tapes = markets.tapes
    log_notes(run.log, missing_days_note(tapes))
    store = Store.of(day.out_root, day.symbol, day.label())
    shared = shared_inputs(run, points, markets, run.tapes, workers.cluster and workers.object_store)
    if sweep.sweep_walkforward:
        if opened_days := [tape.days[0] for tape in tapes if tape.meta.opened]:
            raise UsageError(
                "{} {}: held out, and {sweep_walkforward} would fit all of it; leave that out, or the day",
                day.symbol,
                ", ".join(opened_days),
            )
        config = measuring(run, calibration, fit, execution, account, tapes[0])
        shared = fits(run, points, tapes, (config, windows), shared, store)
    shared = check(run, points, markets, shared)
    work = Work(points, shared, store, Recording(day.out_root, run.kind))
    run.keep_source(work.sources)
    with run.timing("play"), run.progress("points", len(work.jobs)) as step:
        try:
            played = work.run(engine(workers), step, reuse=workers.reuse_points)
        except BaseException:
            message = "run the same command to resume the sweep"
            run.log.warning("points_kept", known=work.known, of=len(work.jobs), message=message)
            raise
    findings = write(run, (axes, played, work), sweep.rank_by, tapes)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about))
    keep(run, work, findings, sweep.keep_runs, workers.jobs)
    raise_failures(played)


def _player(run: Run, setup: "Setup", tapes: "Sequence[Tape]", workers: Workers) -> "Player":
    from mm.play.market import Markets
    from mm.runs.noted import note_others
    from mm.sweep.work import Player

    markets = Markets.beside(tapes, setup.day, setup.market, setup.others)
    note_others(run, markets, setup.day, setup.others)
    return Player(run, setup, markets, workers)


def _search(run: Run, setup: "Setup", sweep: Sweep, workers: Workers) -> None:
    from mm.play.notes import log_notes, missing_days_note
    from mm.report.sweep import page
    from mm.runs.noted import opened
    from mm.sweep.search import Search, Space, held_out
    from mm.sweep.sweep import keep, raise_failures, write

    if sweep.sweep_walkforward:
        raise UsageError(Sentence("{search} plays no schedule; leave {sweep_walkforward} out"))
    space = Space.of(sweep.grid, setup)
    tapes = opened(run, setup.day, setup.market).tapes
    log_notes(run.log, missing_days_note(tapes))
    days, held = held_out(setup.day.days(), sweep.search_holdout)
    seen, first, unseen = (
        _player(run, replace(setup, day=replace(setup.day, day=",".join(names))), part, workers)
        for names, part in (
            (days, tapes[: len(days)]),
            (days[:1], tapes[:1]),
            (held or days, tapes[len(days) :] or tapes),
        )
    )
    players = {player.setup.day.day: player for player in (unseen, first, seen)}  # equal days, the same player

    def play(points: "Sequence[Point]") -> "list[PlayedPoint]":
        return players[points[0].setup.day.day](points) if points else []

    first_day = first.setup if len(days) > 1 else None
    search = Search(space, seen.setup, first_day, play, sweep.rank_by, sweep.grid_unfit)
    with run.timing("play"), run.progress("designs", sweep.search or 0) as step:
        searched = search.run(sweep.search or 0, setup.account.seed, step)
        beyond = search.held_out(searched, unseen.setup, len(days), len(held)) if held else []
    if not searched.points:
        raise FitError("the search gave up every design after its first day; give more designs or other ranges")
    work = seen.work(searched.grid)
    work.played = seen.played
    content = {
        "designs": len(searched.history),
        "stopped": searched.stopped,
        "days": list(days),
        "held_out_days": list(held),
        "held_out": beyond,
        "history": searched.history,
    }
    findings = write(
        run, (space.seen(searched.points), searched.points, work), sweep.rank_by, seen.markets.tapes, content
    )
    run.timings.update(
        played=sum(player.played for player in players.values()),
        reused=sum(player.reused for player in players.values()),
    )
    with run.timing("write"):
        run.write_page(page(run.partial, run.about))
    keep(run, work, findings, sweep.keep_runs, workers.jobs)
    raise_failures(searched.points)
