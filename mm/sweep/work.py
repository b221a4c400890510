"""Outcomes of a grid's points: stored ones are reused, others checked, run and stored."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from os import cpu_count
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from mm.backtest.account_limits import JOIN
from mm.backtest.fills.base import Queue
from mm.backtest.metrics.json_values import finite
from mm.backtest.models import FILL_MODELS
from mm.backtest.one_account import check_markets
from mm.backtest.rules import Account, Rules
from mm.base.code_identity import digest, hash_file
from mm.calibration.calibrate import artefact, measure
from mm.calibration.hawkes import fit_hawkes, flow_of
from mm.calibration.schedule import why_unusable
from mm.cli.task_knobs import Workers
from mm.errors import FitError, ModelError, UsageError
from mm.play.calibration import fallback_of, plan_of, unfitted
from mm.play.calibration_knobs import Windows
from mm.play.design import Design, Designs, PlayedDay, account_design, days_of_account
from mm.play.engine_rules import rules_of
from mm.play.here import is_here
from mm.play.knobs import Models
from mm.play.market import Markets
from mm.play.models import agent_files, fitted_from
from mm.play.notes import fee_notes, log_notes, predictor_notes
from mm.play.play import Play
from mm.play.setup import AnySetup, Setup
from mm.report.contents import FIT
from mm.runs.in_progress import Run
from mm.runs.noted import note_files, note_micro_price
from mm.runs.study import study_days, write_study
from mm.signals.artefact import Artefact
from mm.sweep.engines import Outcomes, in_process, in_processes, on_cluster
from mm.sweep.findings import PlayedPoint
from mm.sweep.grid import AccountPoint, AnyPoint, Point, invalid_point
from mm.sweep.objects import Shipment
from mm.sweep.play_point import Outcome, Task
from mm.sweep.store import Code, Store, code_of, trial_of
from mm.trials.moves import keep_moves
from mm.trials.on_record import Recording

if TYPE_CHECKING:
    from mm.calibration.config import CalibrationConfig
    from mm.tape.tape import Tape

Json = dict[str, Any]
Engine = Callable[[Sequence[Task]], Outcomes]


@dataclass(frozen=True)
class SharedInputs:
    """Inputs that all points of a sweep share.

    Attributes:
        reads_micro_price: Quote models that read it: name and parameters.
        logs: sha256 of the days' order logs, for the points that play them.
        bounded: Whether queue models are also played at both bounds.
        shipment: Sends files to workers on other machines; None if they share this disk.
    """

    days: Sequence[PlayedDay]
    inputs: Sequence[str]
    files: Mapping[Path, str]
    tapes: Path
    fitted: Json | None = None
    fit: Path | None = None
    schedule: Json | None = None
    micro_price: Json | None = None
    reads_micro_price: frozenset[tuple[str, str | None]] = frozenset()
    shipment: Shipment | None = None
    logs: Sequence[str] = ()
    bounded: bool = False

    def logs_of(self, models: Models) -> Sequence[str]:
        return self.logs if may_play_orders(models) else ()

    def micro_price_of(self, models: Models) -> Json | None:
        return self.micro_price if (models.quote_model, models.quote_params_json) in self.reads_micro_price else None


@dataclass(frozen=True)
class Job:
    trial: str
    design: Design
    key: str
    task: Task
    forwarded: bool
    kept: bool = True


class PointJobs:
    kept_names: tuple[str, ...] = ("summary", "series")

    def __init__(
        self,
        of_point: Mapping[int, Sequence[Job]],
        points: Sequence[AnyPoint],
        days: Sequence[PlayedDay],
        store: Store,
        recording: Recording,
    ) -> None:
        self.points, self.days, self.recording = points, days, recording
        self.played = self.known = 0
        self._store, self._of_point = store, of_point
        self.jobs = {job.key: job for jobs in of_point.values() for job in jobs}
        self.sources: dict[str, str] = {}
        self.inputs: Sequence[str] = ()
        self.shipments: Sequence[Shipment] = ()

    @property
    def reused(self) -> int:
        return sum(map(len, self._of_point.values())) - self.played

    def run(self, engine: Engine, step: Callable[[int], None], *, reuse: bool) -> list[PlayedPoint]:
        outcomes = self.kept() if reuse else {}
        missing = [job for key, job in self.jobs.items() if key not in outcomes]
        self.played = len(missing)
        self.known = len(outcomes)
        step(self.known)
        if missing:
            for shipment in self.shipments:
                shipment.put()

        for place, outcome in engine([job.task for job in missing]):
            self.keep(missing[place], outcome)
            outcomes[missing[place].key] = outcome
            self.known += 1
            step(1)
        return [self._played_point(point, outcomes) for point in self.points]

    def with_bounds(
        self, played: Sequence[PlayedPoint], number: int, engine: Engine, *, reuse: bool
    ) -> list[PlayedPoint]:
        """Return the points, of which that *number* is also played at both bounds of its queue, if it has one."""
        del number, engine, reuse
        return list(played)

    def kept(self) -> dict[str, Outcome]:
        """Return stored outcomes in the form of newly played ones."""
        self._store.tidy()
        every = ((key, self._store.find(key)) for key in self.jobs)
        known = {key: {name: kept[name] for name in self.kept_names} for key, kept in every if kept is not None}
        for key, outcome in known.items():
            self._record(self.jobs[key], outcome)
        return known

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Store and record an outcome, unless it failed."""
        if "error" not in outcome:
            self._record(job, outcome)
            about = {"inputs": sorted(self.inputs), "walkforward": job.forwarded}
            if job.kept:
                self._store.keep(job.key, {"trial": job.trial, **about, **outcome})

    def _record(self, job: Job, outcome: Outcome) -> None:
        series = outcome["series"]
        spans = tuple((begin_us, count) for begin_us, count in series["spans"])
        trials = job.design.trials(self.days, spans, np.array(series["pnl"], np.float64), self.recording.made_by)
        self.recording.add(trials)

    def job(self, number: int) -> Job:
        """The backtest of a point, without its walk-forward."""
        return self._of_point[number][0]

    def command(self, number: int) -> list[str]:
        return self._command(self.points[number - 1], places=True)

    def _command(self, point: AnyPoint, *, places: bool) -> list[str]:
        return point.setup.command(point.texts, places=places)

    def _played_point(self, point: AnyPoint, outcomes: Mapping[str, Outcome]) -> PlayedPoint:
        first, *more = (outcomes[job.key] for job in self._of_point[point.number])
        command = join(self._command(point, places=False))
        return PlayedPoint(
            point.number, point.texts, self.job(point.number).trial, command, first, more[0] if more else None
        )


class Work(PointJobs):
    def __init__(self, points: Sequence[Point], shared: SharedInputs, store: Store, recording: Recording) -> None:
        self.setup = points[0].setup
        self._designs = Designs(shared.files)
        self._shared = shared
        self._codes: dict[tuple[str, ...], Code] = {}
        super().__init__({point.number: self._jobs(point) for point in points}, points, shared.days, store, recording)
        self.sources = {name: sha256 for code in self._codes.values() for name, sha256 in code.models.items()}
        self.inputs = shared.inputs
        self.shipments = [] if shared.shipment is None else [shared.shipment]

    @property
    def reads_micro_price(self) -> bool:
        return bool(self._shared.reads_micro_price)

    def with_bounds(
        self, played: Sequence[PlayedPoint], number: int, engine: Engine, *, reuse: bool
    ) -> list[PlayedPoint]:
        own = [point for point in self.points if point.number == number and isinstance(point, Point)]
        fills = FILL_MODELS.get(own[0].setup.models.fill_model)  # a user's own model may be a queue
        if self._shared.bounded or (isinstance(fills, type) and not issubclass(fills, Queue)):
            return list(played)
        shared = replace(self._shared, bounded=True, schedule=None)
        [again] = Work(own, shared, self._store, self.recording).run(engine, lambda _known: None, reuse=reuse)
        return [replace(one, outcome=again.outcome) if one.number == number else one for one in played]

    def _command(self, point: AnyPoint, *, places: bool) -> list[str]:
        if self._shared.fit is None or not isinstance(point, Point):
            return super()._command(point, places=places)
        fit = self._shared.fit if places else Path(FIT)  # the latter lies in the run's folder
        return point.setup.command(point.texts, places=places, fit=fit)

    def _jobs(self, point: Point) -> list[Job]:
        shared = self._shared
        jobs = [self._job(point.setup, None if point.setup.fitted else shared.fitted, forwarded=False)]
        if shared.schedule is not None:
            setup = replace(point.setup, models=unfitted(point.setup.models))
            jobs.append(self._job(setup, shared.schedule, forwarded=True))
        return jobs

    def _job(self, setup: Setup, fitted: Json | None, *, forwarded: bool) -> Job:
        shared, code = self._shared, self._code_of(setup)
        micro_price = shared.micro_price_of(setup.models)
        given = fitted if micro_price is None else [fitted, micro_price]
        logs = shared.logs_of(setup.models)
        trial = trial_of(setup, [*shared.inputs, *logs], shared.files, code.models, given)
        named = {path: shared.files[path] for path in setup.files}
        task = {
            "setup": setup.to_json(),
            "fitted": fitted,
            "micro_price": micro_price,
            "tapes": str(shared.tapes.absolute()),
            "folder": str(Path.cwd()),
            "code": code.sources,
            "sources": code.models,
            "inputs": list(shared.inputs),
            "logs": list(logs),
            "bounds": shared.bounded,
            "store": shared.shipment and shared.shipment.task_entry(named, code.models, with_orders=bool(logs)),
        }
        design = self._designs.design(setup, fitted)
        kept = not any(map(is_here, code.models))  # what such a model reads beside its own code is unknown
        key = digest(
            [trial, code.exact, forwarded, *(["bounds"] if shared.bounded else []), *([] if kept else [uuid4().hex])]
        )
        return Job(trial, design, key, task, forwarded, kept)

    def _code_of(self, setup: Setup) -> Code:
        models = setup.models
        named = (models.quote_model, models.fill_model, models.quote_params_json or "", models.fill_params_json or "")
        if named not in self._codes:
            self._codes[named] = code_of(models)
        return self._codes[named]


class AccountWork(PointJobs):
    """The backtests of several symbols on one account, from each symbol's own work on the same points.

    *designs* cover all symbols of the account, also those without data on these days.
    """

    kept_names = ("summary", "series", "symbols")

    def __init__(
        self,
        points: Sequence[AccountPoint],
        works: Mapping[str, Work],
        store: Store,
        recording: Recording,
        designs: Mapping[str, Design] | None = None,
    ) -> None:
        days = days_of_account({symbol: works[symbol].days if symbol in works else () for symbol in designs or works})
        jobs = {point.number: [_job(point, works, designs)] for point in points}
        super().__init__(jobs, points, days, store, recording)
        self.sources = dict(source for work in works.values() for source in work.sources.items())
        self.inputs = [sha256 for work in works.values() for sha256 in work.inputs]
        self.shipments = [shipment for work in works.values() for shipment in work.shipments]


def _job(point: AccountPoint, works: Mapping[str, Work], designs: Mapping[str, Design] | None) -> Job:
    own, limits = {symbol: work.job(point.number) for symbol, work in works.items()}, point.setup.limits
    design = account_design(designs or {symbol: job.design for symbol, job in own.items()}, limits)
    trial = digest([[[symbol, job.trial] for symbol, job in own.items()], vars(limits)])
    task = {"symbols": [job.task for job in own.values()], "limits": vars(limits)}
    key, kept = digest([trial, *(job.key for job in own.values())]), all(job.kept for job in own.values())
    return Job(trial, design, key, task, forwarded=False, kept=kept)


def may_play_orders(models: Models) -> bool:
    """A user's fill model may inherit from one of ours that does."""
    return models.fill_model == "queue_orders" or ":" in models.fill_model


def shared_inputs(
    run: Run | None,
    points: Sequence[Point],
    markets: Markets,
    cache: Path,
    store: str | None = None,
) -> SharedInputs:
    """Read what all points share, and write the tapes' level indices to *cache*; *store* is a URL for workers
    elsewhere.
    """
    files = list(dict.fromkeys(path for point in points for path in point.setup.files))
    for path in files:
        if run is not None:
            run.input_file(path)
    for tape in markets.tapes:
        tape.levels  # noqa: B018 - reading it writes its file
    every = [*markets.tapes, *(tape for feed in markets.others.values() for tape in feed.tapes)]
    inputs = sorted(sha256 for tape in every for _, _, sha256 in tape.meta.inputs)
    with_orders = any(may_play_orders(point.setup.models) for point in points)
    logs = sorted(hash_file(tape.order_log) for tape in every if tape.order_log) if with_orders else []
    for tape in every if with_orders else ():
        tape.orders  # noqa: B018 - reading it writes its file, once for all processes
    shipment = None if store is None else Shipment(store, every, with_orders=with_orders)
    days = [PlayedDay.of(tape) for tape in markets.tapes]
    return SharedInputs(days, inputs, {path: hash_file(path) for path in files}, cache, shipment=shipment, logs=logs)


def fits(
    run: Run,
    points: Sequence[Point],
    tapes: "Sequence[Tape]",
    how: "tuple[CalibrationConfig, Windows]",
    shared: SharedInputs,
    store: Store,
) -> SharedInputs:
    """Fit the days, and rolling windows of them; every point is played on both. Raises FitError.

    Windows end before their segments by the grid's longest order latency, so that no point uses later data.
    """

    config, windows = how
    slowest = max((point.setup for point in points), key=lambda setup: setup.execution.order_latency_ms)
    rules = rules_of(tapes[0], slowest.execution, slowest.account)
    plan = plan_of(windows, slowest.execution, *(point.setup.models for point in points))
    fallback = fallback_of(windows, slowest.models, tapes)
    with run.timing("calibrate"):
        whole = measure(list(tapes), config, rules)
        if plan.clustered:
            clusters = fit_hawkes(flow_of(tapes, config.rule.grouped))
            whole = replace(whole, fit=replace(whole.fit, clustering=finite(clusters.to_json())))
        studied = study_days(run, (list(tapes), config, rules), plan, fallback)
    if not write_study(run, studied):
        raise FitError(f"{studied.schedule.symbol} {studied.schedule.day}: {why_unusable(studied.schedule)}")
    # In the form that another process reads.
    schedule = json.loads(json.dumps(studied.schedule.to_json(), allow_nan=False))
    if not whole.fit.usable:
        run.log.warning("fit_unusable", reason=whole.fit.reason, effect="points without fill parameters have no fit")
        return replace(shared, schedule=schedule)
    text = json.dumps(artefact(whole), indent=1, allow_nan=False) + "\n"
    run.output(FIT).write_text(text, encoding="utf-8")
    kept = store.write(f"fit_{digest(text)[:12]}.json", text)  # its path is known before the run ends
    known = set(whole.fit.to_json())
    fitted = {name: value for name, value in json.loads(text).items() if name in known}
    return replace(shared, fitted=fitted, fit=kept, schedule=schedule)


def check(run: Run | None, points: Sequence[Point], markets: Markets, shared: SharedInputs) -> SharedInputs:
    """Make every point's models and rules once: UsageError names an invalid one before anything is played.

    A user's model that raises fails only its own point, later. The micro-price is fitted if read; implausible or
    unearnable fees are logged once.
    """
    seen, warned, agents = set(), set(), set()
    reading = set[tuple[str, str | None]]()
    predictors: dict[str, Artefact] = {}
    files: dict[Path, None] = {}
    rules: dict[Account, Rules] = {}
    for point in points:
        setup = point.setup
        if (made := (setup.execution, setup.account, setup.margin, setup.models)) in seen:
            continue
        seen.add(made)
        first = setup.models.quote_model not in warned
        warned.add(setup.models.quote_model)
        try:
            with redirect_stdout(sys.stderr):  # stdout is for results
                play = _make_play(point, markets, shared)
        except ModelError:
            continue
        except UsageError as error:
            if not point.texts:  # a day of an evaluation
                raise
            raise invalid_point(point.texts, error) from error
        rules[setup.account] = play.market_rules
        predictors |= play.predictors
        if play.reads_micro_price:
            reading.add((setup.models.quote_model, setup.models.quote_params_json))
        if run is not None:
            played = (*agent_files(setup.models), setup.execution.requote_interval_ms)
            log_notes(run.log, [] if played in agents else play.agent_notes)
            agents.add(played)
            files |= dict.fromkeys(play.files)
            if first:
                log_notes(run.log, play.made_notes)
                run.keep_source(play.sources)
    if run is not None:
        log_notes(run.log, fee_notes(markets, *rules.values()))
        log_notes(run.log, predictor_notes(predictors, markets.first.start_us))
        note_files(run, files)
    if not reading:
        return shared
    fit = (markets.micro_price if run is None else note_micro_price(run, markets)).fit
    return replace(shared, micro_price=fit.to_json() if fit else None, reads_micro_price=frozenset(reading))


def _make_play(point: Point, markets: Markets, shared: SharedInputs) -> Play:
    setup = point.setup
    rounds = [(setup, None if setup.fitted else shared.fitted)]
    if shared.schedule is not None:
        rounds.append((replace(setup, models=unfitted(setup.models)), shared.schedule))
    for knobs, fitted in rounds:
        play = Play.of(knobs, markets, None if fitted is None else fitted_from(fitted, "the sweep's fit"))
        _ = play.made
    return play


def engine(workers: Workers, *, here: bool = False) -> Engine:
    """Return what plays tasks; *here* for models of this process alone."""
    if here:
        return in_process
    if (address := workers.cluster) is not None:
        return lambda tasks: on_cluster(tasks, address)

    def play(tasks: Sequence[Task]) -> Outcomes:
        jobs = min(workers.jobs or cpu_count() or 1, len(tasks))
        return in_processes(tasks, jobs) if jobs > 1 else in_process(tasks)

    return play


@dataclass
class Player:
    """Plays points on some days, repeatedly; counts cover all calls."""

    run: Run
    setup: AnySetup
    markets: Markets | Mapping[str, Markets]
    workers: Workers
    bounded: bool = False
    played: int = 0
    reused: int = 0
    recording: Recording = field(init=False)

    def __post_init__(self) -> None:
        self.recording = Recording(self.setup.day.out_root, self.run.kind, self.run.id)

    def __call__(self, points: Sequence[AnyPoint]) -> list[PlayedPoint]:
        if not points:
            return []
        work = self.work(points)
        played_points = work.run(engine(self.workers), lambda _known: None, reuse=self.workers.reuse_points)
        self.played += work.played
        self.reused += work.reused
        return played_points

    def work(self, points: Sequence[AnyPoint]) -> PointJobs:
        run = None if self.played + self.reused else self.run
        return any_work_of(
            run, points, self.markets, self.workers, self.run.tapes, self.recording, bounded=self.bounded
        )


def any_work_of(  # noqa: PLR0913 - what is played, how, and where it is noted
    run: Run | None,
    points: Sequence[AnyPoint],
    markets: Markets | Mapping[str, Markets],
    workers: Workers,
    cache: Path,
    recording: Recording,
    *,
    bounded: bool = False,
) -> PointJobs:
    """Return the checked work of *points*, of a symbol or an account.

    Raises:
        UsageError: If a point is invalid, or one account cannot trade the markets.
    """
    if isinstance(markets, Markets):
        alone = [point for point in points if isinstance(point, Point)]
        return work_of(run, alone, markets, workers, cache, recording, bounded=bounded)
    if bounded:
        raise UsageError("{rank_by} bound is of one symbol's queues, not of an account; rank it by pnl_lower95")
    of_account = [point for point in points if isinstance(point, AccountPoint)]
    limits = of_account[0].setup.limits
    check_markets({symbol: market.first for symbol, market in markets.items()}, limits.numeraire)
    works = {
        symbol: work_of(run, [point.of_symbol(symbol) for point in of_account], market, workers, cache, recording)
        for symbol, market in markets.items()
    }
    day = of_account[0].setup.day
    return AccountWork(of_account, works, Store.of(day.out_root, JOIN.join(works), day.label()), recording)


def work_of(  # noqa: PLR0913 - what is played, how, and where it is noted
    run: Run | None,
    points: Sequence[Point],
    markets: Markets,
    workers: Workers,
    cache: Path,
    recording: Recording,
    *,
    bounded: bool = False,
) -> Work:
    """Checks the points; logs warnings if there is a *run*."""
    store = workers.object_store if workers.cluster else None
    shared = check(run, points, markets, shared_inputs(run, points, markets, cache, store))
    shared = replace(shared, bounded=bounded)
    day = points[0].setup.day
    keep_moves(day.out_root, markets.tapes)
    return Work(points, shared, Store.of(day.out_root, day.symbol, day.label()), recording)
