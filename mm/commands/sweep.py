"""``mm sweep``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mm.backtest.account_limits import AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.frame import runner
from mm.cli.task_knobs import Sweep, Workers
from mm.commands.calibrate import measuring
from mm.errors import FitError, Sentence, UsageError
from mm.play.calibration_knobs import Calibration, Fit, Windows
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.play.market import Markets
    from mm.play.setup import AccountSetup, AnySetup, Setup
    from mm.sweep.findings import PlayedPoint
    from mm.sweep.grid import AnyPoint, Axis
    from mm.sweep.work import Player, PointJobs
    from mm.tape.tape import Tape


@runner("sweep", resumable=True, brief=(Day, Models, Sweep, Workers))
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
    one_account: OneAccount,
    per_symbol: PerSymbol,
    limits: AccountTerms,
) -> None:
    """Run many backtests over a grid, rank them, and estimate the selection bias of the best one.

    All knobs of mm backtest apply to every point, unless an axis sets them. Points already run, by this or another
    sweep, are reused; a killed sweep is resumed if its RUN_ID is given again.

    Example: mm sweep --symbol BTCUSDT --day 20251216 --grid GAMMA=0.01,0.1,1 --grid FILL_MODEL=trade_cross,price_cross
    """
    from mm.play.notes import log_notes, missing_days_note
    from mm.play.setup import Setup
    from mm.runs.noted import opened
    from mm.sweep.account_setup import account_setup
    from mm.sweep.grid import axes_for, points_of
    from mm.sweep.store import Store
    from mm.sweep.work import Work, check, fits, shared_inputs
    from mm.trials.moves import keep_moves
    from mm.trials.on_record import Recording

    setup = Setup.of(day, market, execution, account, margin, models, risk, others)
    together = account_setup(setup, one_account, per_symbol, limits)
    if together is not None and sweep.sweep_walkforward:
        raise UsageError(
            Sentence(
                "{one_account} is 1, and {sweep_walkforward} fits one symbol; leave it out, and play the best point "
                "by mm walkforward --one-account 1"
            )
        )
    if sweep.search is not None:
        _search(run, together or setup, sweep, workers)
        return
    if together is not None:
        _sweep_account(run, together, sweep, workers)
        return
    axes = axes_for(sweep.grid, setup)
    points = points_of(axes, setup, sweep.grid_unfit)
    markets = opened(run, day, market, others)
    tapes = markets.tapes
    keep_moves(day.out_root, tapes)
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
    shared = replace(check(run, points, markets, shared), bounded=sweep.rank_by == "bound")
    _play(run, Work(points, shared, store, Recording(day.out_root, run.kind, run.id)), axes, sweep, workers)


def _sweep_account(run: Run, account: "AccountSetup", sweep: Sweep, workers: Workers) -> None:
    """A point is one backtest of the account."""
    from mm.sweep.grid import axes_for, points_of
    from mm.sweep.work import any_work_of
    from mm.trials.on_record import Recording

    account = _on_known_days(run, account)
    axes = axes_for(sweep.grid, account)
    points = points_of(axes, account, sweep.grid_unfit)
    recording = Recording(account.day.out_root, run.kind, run.id)
    work = any_work_of(
        run, points, _opened(run, account), workers, run.tapes, recording, bounded=sweep.rank_by == "bound"
    )
    _play(run, work, axes, sweep, workers)


def _on_known_days(run: Run, account: "AccountSetup") -> "AccountSetup":
    from mm.sweep.account_setup import on_known_days

    known, absent = on_known_days(account)
    for symbol, days in absent.items():
        run.log.warning("symbol_absent", name=symbol, days=list(days))
    return known


def _opened(run: Run, account: "AccountSetup") -> "dict[str, Markets]":
    from mm.runs.noted import opened

    return {symbol: opened(run, one.day, one.market, one.others) for symbol, one in account.setups.items()}


def _play(run: Run, work: "PointJobs", axes: "Sequence[Axis]", sweep: Sweep, workers: Workers) -> None:
    from mm.report.sweep import page
    from mm.sweep.sweep import keep, raise_failures, write
    from mm.sweep.work import engine

    run.keep_source(work.sources)
    with run.timing("play"), run.progress("points", len(work.jobs)) as step:
        try:
            played = work.run(engine(workers), step, reuse=workers.reuse_points)
        except BaseException:
            message = "run the same command to resume the sweep"
            run.log.warning("points_kept", known=work.known, of=len(work.jobs), message=message)
            raise
    findings = write(run, (axes, played, work), sweep.rank_by, workers)
    with run.timing("write"):
        run.write_page(page(run.partial, run.about))
    keep(run, work, findings, sweep.keep_runs, workers.jobs)
    raise_failures(played)


def _player(
    run: Run,
    setup: "AnySetup",
    tapes: "Mapping[str, Sequence[Tape]]",
    days: Sequence[str],
    workers: Workers,
) -> "Player":
    """*tapes* are of all days, by symbol."""
    from mm.play.setup import AccountSetup
    from mm.sweep.work import Player

    day, there = replace(setup.day, day=",".join(days)), set(days)
    own = {symbol: [tape for tape in every if tape.days[0] in there] for symbol, every in tapes.items()}
    if not isinstance(setup, AccountSetup):
        on_days = replace(setup, day=day)
        return Player(run, on_days, _beside(run, own[day.symbol], on_days), workers)
    if lacking := [symbol for symbol, some in own.items() if not some]:
        raise UsageError(
            "{search}: {} has no data on {}, which the search plays by themselves; give days that each symbol has",
            ", ".join(lacking),
            day.label(),
        )
    setups = {
        symbol: replace(
            setup.setups[symbol], day=replace(day, symbol=symbol, day=",".join(tape.days[0] for tape in some))
        )
        for symbol, some in own.items()
    }
    markets = {symbol: _beside(run, own[symbol], one) for symbol, one in setups.items()}
    return Player(run, replace(setup, day=day, setups=setups), markets, workers)


def _beside(run: Run, tapes: "Sequence[Tape]", setup: "Setup") -> "Markets":
    from mm.play.market import Markets
    from mm.runs.noted import note_others

    markets = Markets.beside(tapes, setup.day, setup.market, setup.others)
    note_others(run, markets, setup.day, setup.others)
    return markets


def _search(run: Run, setup: "AnySetup", sweep: Sweep, workers: Workers) -> None:
    from mm.play.notes import log_notes, missing_days_note
    from mm.play.setup import Setup
    from mm.report.sweep import page
    from mm.runs.noted import opened
    from mm.sweep.search import Search, Space, held_out
    from mm.sweep.sweep import keep, raise_failures, write

    if sweep.sweep_walkforward:
        raise UsageError(Sentence("{search} plays no schedule; leave {sweep_walkforward} out"))
    space = Space.of(sweep.grid, setup)
    if isinstance(setup, Setup):
        tapes = {setup.day.symbol: opened(run, setup.day, setup.market).tapes}
    else:
        setup = _on_known_days(run, setup)
        tapes = {symbol: market.tapes for symbol, market in _opened(run, setup).items()}
    for every in tapes.values():
        log_notes(run.log, missing_days_note(every))
    days, held = held_out(setup.day.days(), sweep.search_holdout)
    seen, first, unseen = (_player(run, setup, tapes, names, workers) for names in (days, days[:1], held or days))
    players = {player.setup.day.day: player for player in (unseen, first, seen)}  # equal days, the same player
    for player in players.values():
        player.bounded = sweep.rank_by == "bound"

    def play(points: "Sequence[AnyPoint]") -> "list[PlayedPoint]":
        return players[points[0].setup.day.day](points) if points else []

    first_day = first.setup if len(days) > 1 else None
    search = Search(space, seen.setup, first_day, play, sweep.rank_by, sweep.grid_unfit)
    with run.timing("play"), run.progress("designs", sweep.search or 0) as step:
        searched = search.run(sweep.search or 0, setup.seed, step)
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
    findings = write(run, (space.axes_of(searched.points), searched.points, work), sweep.rank_by, workers, content)
    run.timings.update(
        played=sum(player.played for player in players.values()),
        reused=sum(player.reused for player in players.values()),
    )
    with run.timing("write"):
        run.write_page(page(run.partial, run.about))
    keep(run, work, findings, sweep.keep_runs, workers.jobs)
    raise_failures(searched.points)
