"""``mm shadow``: trade on paper in a live market, and record it.

``mm shadow reconcile``: compare the decisions with the replay of the recorded day.
"""

import asyncio
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account, Execution
from mm.backtest.summary_text import text_of
from mm.base.knobs import PATH, knob, knobs, shown
from mm.cli.completion import runs as run_ids
from mm.cli.config import Day, Market, Models, Name, OtherMarkets, Results, Source
from mm.cli.console import Console
from mm.cli.frame import command, runner
from mm.cli.interrupts import TradeSignals
from mm.cli.task_knobs import Recorder
from mm.clock import SteadyClock, now_us
from mm.commands.assemble import kept_models
from mm.errors import DataError, Incomplete, Mismatch, SafetyError, TryLater, UsageError
from mm.live.decisions import decisions_name, decisions_of, write_decisions
from mm.live.desk import ShadowDesk
from mm.live.kill_switch import KillSwitch
from mm.live.other_markets import (
    OtherFollower,
    OtherTaker,
    PairedPlay,
    check_seen,
    feeds_of,
    places_of,
    record_together,
)
from mm.live.play import PaperPlay, ShadowFollower
from mm.live.reconcile import reconcile as compare_with_replay
from mm.live.state_stores import LiveStore
from mm.live.terms import REGRIDDED, PaperKnobs, ShadowTerms, learn_terms
from mm.market_data.days import DayWindow, WindowRule
from mm.market_data.health import Health
from mm.market_data.monitor import Monitor
from mm.market_data.recorder import of_market, parts_of
from mm.market_data.recording import Recording
from mm.models.builder import check_names
from mm.report.backtest import page
from mm.report.run_columns import columns_of
from mm.runs.find import Found, check_models, find_run
from mm.runs.in_progress import Run

if TYPE_CHECKING:
    from mm.base.doors import Door
    from mm.live.reconcile import Reconciliation
    from mm.market_data.recording import Parts

_Group = TypeVar("_Group")
_GRID_S = 0.05  # between two checks of the grid
WATCH = click.Option(["--watch"], is_flag=True, help="Show the run on the terminal while it trades.")
_TRUST = click.Option(["--trust"], is_flag=True, help="Also execute models whose source is not an input of the run.")


def day_recorded(objects: Sequence[Any]) -> Day:
    """Return the day that a shadow with these knobs records: that of the current or the next window."""

    source, recorder, results = _one(objects, Source), _one(objects, Recorder), _one(objects, Results)
    window = WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz).at(now_us())
    return Day(symbol=source.symbol, data_root=source.data_root, out_root=results.out_root, day=window.day)


def _one(objects: Sequence[object], kind: type[_Group]) -> _Group:
    return next(one for one in objects if isinstance(one, kind))


@runner(
    *("shadow", Source, Recorder, Results, Market, Execution, Account, Models, OtherMarkets, Risk, LiveStore),
    defaults=LIVE_DEFAULTS,
    day_of=day_recorded,
    arguments=[WATCH],
    brief=(Source, Recorder, Models),
)
def main(
    run: Run,
    source: Source,
    recorder: Recorder,
    results: Results,
    market: Market,
    execution: Execution,
    account: Account,
    models: Models,
    others: OtherMarkets,
    risk: Risk,
    store: LiveStore,
    day: Day,
    watch: bool,
) -> None:
    """Trade on paper in a live market, record its day, and compare the decisions with the replay of that day.

    It ends with its window, at midnight at the latest, or at SIGTERM and Ctrl-C. The kill switch of the symbol and
    SIGUSR1 end its quoting, not its recording. If the exchange changes tick size or quantity step, it ends with exit
    code 75, and the next start uses the new ones.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm shadow
    """
    signals, kills = TradeSignals(), list[str]()
    with signals.caught():
        switch = KillSwitch(results.out_root, source.symbol)
        if switch.triggered:
            raise SafetyError(switch.line())
        _check(recorder, execution)
        check_seen(others, "a shadow")
        check_names(models)
        door = recorder.metrics_door(run.log.warning) if recorder.metrics_port else None
        _take_back_killed(run)
        knobs = PaperKnobs(market, execution, account, models, risk, others)
        clock = SteadyClock()
        places = places_of(others, recorder, source.data_root)
        beside = {name: day_parts(run, *place, day, clock) for name, place in places.items()}
        env = _Env(clock, signals, kills, switch, store, watch, door, beside)
        live = asyncio.run(_live(run, day_parts(run, source, recorder, day, clock), knobs, env, day))
        _finish(run, live, knobs, day)
    if live.regridded:
        raise Incomplete(f"{source.symbol}: paper trading ended: {live.regridded}", TryLater.exit_code)


def _check(recorder: Recorder, execution: Execution) -> None:
    """Raise UsageError for knobs with which a day cannot be played live or replayed."""

    of_market(recorder)
    if not recorder.write_diffs:
        raise UsageError("--write-diffs (WRITE_DIFFS) is 0; a shadow is compared with the replay of its diffs; set 1")
    if execution.feed_latency != "none":
        raise UsageError(
            f"--feed-latency (FEED_LATENCY) is {execution.feed_latency!r}; a shadow must use none, as "
            f"the offset of the clocks can be measured only on a whole day"
        )
    if execution.latency_file is not None and not execution.latency_file.is_file():
        raise DataError(f"--latency-file (LATENCY_FILE) {execution.latency_file}: there is no such file")


def _take_back_killed(run: Run) -> None:
    """Lock the run's folder, and remove the folders of killed shadows, whose recordings are in their days."""
    for folder in run.folder.parent.glob("*.partial"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # in use by another shadow
            os.close(descriptor)
            continue
        if folder.resolve() == run.partial:
            run.hold(descriptor)
            continue
        run.log.warning("shadow_was_killed", run=folder.name.removesuffix(".partial"), kept="its recorded day")
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def day_parts(run: Run, source: Source, recorder: Recorder, day: Day, clock: Callable[[], int]) -> "Parts":
    """Return the parts of the recording: as in `mm record`, but for one day."""

    parts = parts_of(source, recorder, Name(run_id=run.id), run.log, clock, gathers=False)
    return replace(parts, window=DayWindow.of(parts.window, day.day))


@dataclass(frozen=True)
class _Env:
    """The environment of a shadow: clock, signals, names of those that kill, kill switch, store, whether watched, door,
    and the parts of the recordings of other markets.
    """

    clock: Callable[[], int]
    signals: TradeSignals
    kills: list[str]
    switch: KillSwitch
    store: LiveStore
    watched: bool
    door: "Door | None"
    beside: "Mapping[str, Parts]"

    def kill_reason(self) -> str | None:
        """Return why all trading is stopped by hand; None if it is not."""
        return self.kills[0] if self.kills else self.switch.why() if self.switch.triggered else None


@dataclass(frozen=True)
class _LiveRun:
    """The initial state of a shadow, its result, and why it ended."""

    terms: "ShadowTerms"
    play: "PaperPlay"
    follower: "ShadowFollower"
    reason: str
    regridded: TryLater | None


async def _live(run: Run, parts: "Parts", knobs: "PaperKnobs", env: _Env, day: Day) -> _LiveRun:
    """Record until the window ends or a signal arrives, and trade on it.

    Raises:
        TryLater: If a signal arrives before the exchange has responded.
    """

    rest, symbol = parts.rest.rest, parts.days.symbol
    clock = env.clock
    learning = asyncio.ensure_future(learn_terms(rest, symbol, parts.window.at(clock()).day, run.log))
    env.signals.direct(lambda _: learning.cancel(), env.kills.append)
    try:
        terms = (await learning).fitted(knobs, day, run)
        seen = {name: await learn_other(one, day, run) for name, one in env.beside.items()}
        play = PaperPlay(terms, knobs, run, feeds_of(seen))
        _copy(run, knobs)
    except BaseException as error:
        for one in (rest, *(parts.rest.rest for parts in env.beside.values())):
            await one.close()
        if not isinstance(error, asyncio.CancelledError):
            raise
        raise TryLater("stopped before the exchange responded: nothing was recorded; start it again") from None
    desk = ShadowDesk(play, run.log, env.store.writer(symbol, run.log.warning), clock)
    desk.metrics.door = env.door
    takers = {name: OtherTaker() for name in seen}
    paired = PairedPlay(play, takers) if takers else play
    follower = ShadowFollower(paired, clock, desk.market, env.kill_reason)
    following = {name: OtherFollower(takers[name], feed.grid) for name, feed in play.rules.others.items()}
    beside = [Recording(replace(one, follower=following[name]), run.log, clock) for name, one in env.beside.items()]
    recording = Recording(replace(parts, follower=follower), run.log, clock)
    env.signals.direct(recording.stop, env.kills.append)
    monitor = Monitor(Health(symbol, parts.days.run_id, rest), rest)
    grid = asyncio.create_task(_end_on_another_grid(terms, recording))
    try:
        async with monitor.watching(recording), desk.serving(*_metrics(parts), watched=env.watched):
            await record_together(recording, beside)
    finally:
        grid.cancel()
    for report in recording.reports:
        run.print(report.line())
        run.print(report.path)
    end_us = paired.played_us if isinstance(paired, PairedPlay) else follower.end_us
    seen = {name: replace(one, rows_run_id=following[name].rows_run_id) for name, one in seen.items()}
    known = replace(terms, rows_run_id=follower.rows_run_id, end_us=end_us, killed=follower.killed, others=seen)
    regridded = grid.result() if grid.done() else None
    return _LiveRun(known, play, follower, recording.reason, regridded)


async def learn_other(parts: "Parts", day: Day, run: Run) -> ShadowTerms:
    """Return the terms of another market."""
    return await learn_terms(parts.rest.rest, parts.days.symbol, day.day, run.log)


async def _end_on_another_grid(terms: "ShadowTerms", recording: "Recording") -> TryLater:
    """End the recording once the exchange reports another grid than at the start; return the error for it."""

    while (changed := terms.regridded(recording.session)) is None:
        await asyncio.sleep(_GRID_S)
    recording.stop(REGRIDDED)
    return changed


def _metrics(parts: "Parts") -> tuple[str, int]:
    return str(parts.days.knobs["metrics_host"]), int(parts.days.knobs["metrics_port"])


def _finish(run: Run, live: _LiveRun, knobs: "PaperKnobs", day: Day) -> None:
    """Write the results of the shadow, and compare them with the replay of the day."""
    from mm.live.reconcile import RECONCILE, reconcile

    terms, play = live.terms, live.play
    result = play.result({"reason": live.reason, "why": str(live.regridded) if live.regridded else None})
    decisions = decisions_of(result.journal)
    name = decisions_name(terms.symbol)
    lags_us = live.follower.lags.of(decisions).tolist()
    rows = write_decisions(run.output(name, digest=False), decisions, lags_us, play.grid)
    run.output(name, rows, digest=False)
    terms.write(run.partial)
    run.write_result(result)
    with run.timing("reconcile"):
        found, inputs = reconcile(terms, _with_copies(knobs, run.partial), day.data_root, run.partial)
    for one in inputs:
        run.input(*one)
    found.write(run.partial)
    run.output(RECONCILE, digest=False)
    run.write_page(page(result.summary, columns_of(result), run.about, [found.text()]))
    run.log.info("shadow_reconciled", same=found.same, decisions=found.decisions, equal=found.equal, **found.lag_us)
    run.print(text_of(result.summary))
    run.print(found.text())


def _named(knobs: "PaperKnobs") -> dict[str, Path]:
    """Return the files in the knobs, by the name of their copy in the run."""
    named = {"fill_params.json": knobs.models.fill_params_file, "latencies.csv": knobs.execution.latency_file}
    return {name: path for name, path in named.items() if path is not None}


def _copy(run: Run, knobs: "PaperKnobs") -> None:
    """Copy the files in the knobs into the run, for the replay, as a fit may be overwritten."""
    for name, path in _named(knobs).items():
        shutil.copyfile(path, run.path(name))


def _with_copies(knobs: "PaperKnobs", folder: Path) -> "PaperKnobs":
    """Return *knobs* with the copies in a run's *folder* instead of the files."""

    copies = {name: folder / name for name in _named(knobs)}
    models = replace(kept_models(knobs.models, folder), fill_params_file=copies.get("fill_params.json"))
    return replace(knobs, models=models, execution=replace(knobs.execution, latency_file=copies.get("latencies.csv")))


@dataclass(frozen=True, kw_only=True)
class ShadowPlaces(Results):
    """Folders of shadows and of recorded days."""

    data_root: Path | None = knob(None, PATH, "Folder of the day folders, if moved since the shadow.", matters=False)


@command(ShadowPlaces, arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), _TRUST])
def reconcile(console: Console, places: ShadowPlaces, name: str, trust: bool) -> None:
    """Compare a shadow run with the replay of the day that it recorded, row by row.

    The exit code is 3 if rows differ. RUN is the folder of a shadow's run, or its RUN_ID.

    Example: mm shadow reconcile out/shadow/BTCUSDT/20260105_20260105T080000Z
    """

    run = find_run(name, places.out_root)
    if run.manifest["kind"] != "shadow":
        raise DataError(f"{run.folder} is a run of the kind {run.manifest['kind']!r}; give one of `mm shadow`")
    terms = ShadowTerms.read(run.folder)
    if not trust:
        names = {one.name for one in knobs(Models)}
        named = {name: one for name, one in run.manifest["knobs"].items() if name in names}
        check_models(replace(run, manifest={**run.manifest, "knobs": named}), [os.getcwd(), *sys.path])
    market, execution, account = _group(run, Market), _group(run, Execution), _group(run, Account)
    models, others = _group(run, Models), _group(run, OtherMarkets)
    strategy = PaperKnobs(market, execution, account, models, _group(run, Risk), others)
    data_root = places.data_root or Path(run.knob("data_root") or "data")
    found, _ = compare_with_replay(terms, _with_copies(strategy, run.folder), data_root, run.folder)
    console.set_json({**found.to_json(), "path": str(run.folder.resolve())})
    console.print(found.text())
    if not found.same:
        raise Mismatch(f"{run.folder}: differs from the replay; the first difference: {_difference(found)}")


def _difference(found: "Reconciliation") -> str:
    first = found.first_difference
    if first is None:
        return "its orders, fills or states do not match its decisions"
    return f"decision {first['row']} at {first['us']} µs, live {first['live']}, replayed {first['replay']}"


def _group(run: Found, kind: type[_Group]) -> _Group:
    """Return the run's knobs of one group; newer knobs have their defaults."""
    given = {one.name: (one, run.knob(one.name)) for one in knobs(kind)}
    return kind(**{name: one.read(shown(value)) for name, (one, value) in given.items() if value is not None})
