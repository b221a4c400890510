"""Evaluations: one call for notebooks, and the days that it and ``mm evaluate`` read and play."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from shlex import join
from typing import TYPE_CHECKING, Any, Unpack

from mm.backtest.account_limits import JOIN, AccountTerms
from mm.backtest.margin_terms import Margin
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution
from mm.cli.task_knobs import Bounded, ManyDays, Workers
from mm.errors import DataError, Incomplete, MissingDay
from mm.play.given import groups_of
from mm.play.here import warn_of_one_process, with_fit, with_names
from mm.play.knobs import Day, Market, Models, OneAccount, OtherMarkets, PerSymbol
from mm.play.market import Markets
from mm.play.models import check_names
from mm.play.setup import AccountSetup, AnySetup, Setup
from mm.runs.in_progress import Run
from mm.runs.noted import note_micro_price, note_others, note_tapes
from mm.sweep.account_setup import account_setup
from mm.sweep.engines import Outcomes
from mm.sweep.evaluation import DayMarket, EvaluatedDay, Row, evaluated
from mm.sweep.grid import AccountPoint, Point
from mm.sweep.play_point import Outcome
from mm.sweep.store import Store
from mm.sweep.work import AccountWork, Engine, Job, Work, engine, work_of
from mm.trials.on_record import Recording
from mm.trials.openings import write_openings

if TYPE_CHECKING:
    from mm import _EvaluationKnobs
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule
    from mm.play.strategy_types import StrategyOrName

KIND = "evaluation"
GROUPS: tuple[type, ...] = (
    *(ManyDays, Market, Execution, Account, Margin, Models, Risk, OtherMarkets, Workers),
    *(Bounded, OneAccount, PerSymbol, AccountTerms),
)
Step = Callable[[int], None]


def evaluate(
    symbol: str,
    day: str | None = None,
    quotes: "StrategyOrName | None" = None,
    fills: object = None,
    *,
    fit: "PoissonFit | Schedule | str | os.PathLike[str] | None" = None,
    step: Step | None = None,
    **settings: Unpack["_EvaluationKnobs"],
) -> dict[str, Any]:
    """Play a strategy on many days and symbols, each day on its own, and return what the days say together.

    ``mm evaluate`` gives the same numbers; no run folder is written. Days already played, here or by the command, are
    reused.

    Args:
        symbol: A symbol, or several with commas.
        day: One day, a list or a range, as on the command line; None with ``held_out=True`` are all days held out.
        quotes: Quote model as for `mm.backtest`; each day plays a new one, or a copy of an object as it is now. A class
            without a file and an object are played in this process, and not kept, with a warning.
        fills: Fill model in the same forms.
        fit: A fit or schedule, or its file; one in memory is kept in ``OUT_ROOT/fits``, from where workers read it.
        step: Called with the number of backtests finished since the last call, for a progress bar.
        settings: Other knobs of ``mm evaluate`` by field (``data_root``, ``quote_model``, ``jobs``).

    Returns:
        The content of ``evaluation.json``: ``pnl``, ``daily``, ``by_symbol``, ``rows`` (one a day and symbol),
        ``holes`` (days that are missing or damaged) and more, in the quote asset.

    Raises:
        TypeError: If a knob is unknown.
        UsageError: If a knob is invalid.
        MissingDay: If none of the days can be read.
        Incomplete: If none of them can be played.
    """
    named = {"symbol": symbol, "day": day, **with_names(quotes, fills, settings)}
    made = groups_of(GROUPS, named, "mm.evaluate")
    days, market, execution, account, margin, models, risk, others, workers, bounded, *of_account = made
    days = replace(days, **ManyDays.resolved(vars(days)))
    models = with_fit(fit, models, days.out_root)
    check_names(models)
    setup = Setup.of(days, market, execution, account, margin, models, risk, others)
    recording = Recording(days.out_root, KIND)
    together = account_setup(setup, *of_account)
    works = read_days(setup, days, workers, recording, together=together, bounded=bounded.bounds)
    works.play(engine(workers, here=warn_of_one_process([models])), step or (lambda _played: None))
    return works.content(recording)


@dataclass
class DayWorks:
    """The days of an evaluation: what is to be played, and what was.

    Attributes:
        holes: Unreadable days: ``symbol``, ``day``, ``reason``.
    """

    works: list[tuple[Work, DayMarket]] = field(default_factory=list)
    accounts: list[tuple[AccountWork, list[tuple[Work, DayMarket]]]] = field(default_factory=list)
    holes: list[Row] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def each(self) -> list[Work | AccountWork]:
        """The account of each day, if its symbols trade on one."""
        return [account for account, _ in self.accounts] or [work for work, _ in self.works]

    @property
    def missing(self) -> list[tuple[Work | AccountWork, Job]]:
        return [(work, job) for work in self.each for key, job in work.jobs.items() if key not in self.outcomes]

    def play(self, engine: Engine, step: Step) -> None:
        missing = self.missing
        played: Outcomes = engine([job.task for _, job in missing])
        for place, outcome in played:
            work, job = missing[place]
            work.keep(job, outcome)
            self.outcomes[job.key] = outcome
            step(1)

    def content(self, recording: Recording) -> Row:
        played = [self._evaluated(work, market) for work, market in self.works if not self.accounts]
        accounts = dict[str, Outcome]()
        for account, members in self.accounts:
            (key,) = account.jobs
            outcome, label, together = self.outcomes[key], _day_of(members[0][0]).label(), account.points[0].setup
            accounts[label] = outcome
            for work, market in members:
                own = outcome.get("symbols", {}).get(_day_of(work).symbol, outcome)
                played.append(_evaluated(work, market, own, together if len(members) > 1 else work.setup))
        content = evaluated(played, self.holes, recording.on_record(again=True), accounts)
        if not content["rows"]:
            first = played[0].outcome
            said = f"none of {len(played)} days could be played; the first: {first['error']}"
            raise Incomplete(said, first["exit_code"])
        return content

    def _evaluated(self, work: Work, market: DayMarket) -> EvaluatedDay:
        (key,) = work.jobs
        return _evaluated(work, market, self.outcomes[key], work.setup)


def _evaluated(work: Work, market: DayMarket, outcome: Outcome, setup: AnySetup) -> EvaluatedDay:
    day, command = _day_of(work), join(setup.command((), places=False))
    return EvaluatedDay(day.symbol, day.label(), market, outcome, command)


def _day_of(work: Work) -> Day:
    return work.setup.day


def read_days(  # noqa: PLR0913 - what is played, and where it is noted
    setup: Setup,
    days: ManyDays,
    workers: Workers,
    recording: Recording,
    run: Run | None = None,
    step: Step = lambda _read: None,
    *,
    together: AccountSetup | None = None,
    bounded: bool = False,
) -> DayWorks:
    """A missing or damaged day is a hole."""
    found, names, alone = DayWorks(), days.played(), bounded and together is None
    for symbol, day in names:
        try:
            given = setup if together is None else together.setups[symbol]
            own = replace(given, day=replace(days, symbol=symbol, day=day))
            found.works.append(_work(run, own, (workers, alone), recording, first=not found.works))
        except DataError as error:
            found.holes.append({"symbol": symbol, "day": day, "reason": " ".join(str(error).split())})
            if run is not None:
                run.log.warning("day_left_out", symbol=symbol, day=day, reason=found.holes[-1]["reason"])
        step(1)
    if not found.works:
        raise MissingDay(f"none of {len(names)} days could be read; the first: {found.holes[0]['reason']}")
    if together is not None:
        _put_together(found, together, recording)
    if workers.reuse_points:
        for work in found.each:
            found.outcomes |= work.kept()
    return found


def _put_together(found: DayWorks, together: AccountSetup, recording: Recording) -> None:
    """Join the symbols of each day that could be read; one design on all days."""
    known = {_day_of(work).symbol: work.job(1).design for work, _ in found.works}
    designs = {symbol: known[symbol] for symbol in together.setups if symbol in known}
    by_day: dict[str, dict[str, tuple[Work, DayMarket]]] = {}
    for work, market in found.works:
        day = _day_of(work)
        by_day.setdefault(day.label(), {})[day.symbol] = work, market
    for label, there in sorted(by_day.items()):
        members = {symbol: there[symbol] for symbol in together.setups if symbol in there}
        works = {symbol: work for symbol, (work, _) in members.items()}
        setups = {symbol: work.setup for symbol, work in works.items()}
        day = replace(together.day, symbol=",".join(works), day=label)
        points = [AccountPoint(1, {}, replace(together, day=day, setups=setups))]
        store = Store.of(day.out_root, JOIN.join(works), label)
        account = AccountWork(points, works, store, recording, designs)
        found.accounts.append((account, list(members.values())))


def _work(
    run: Run | None, setup: Setup, how: tuple[Workers, bool], recording: Recording, *, first: bool
) -> tuple[Work, DayMarket]:
    workers, bounded = how
    markets = Markets.open(setup.day, setup.market, setup.others)
    if run is None:
        recording.problems += write_openings(setup.day.out_root, markets.tapes, recording.made_by)
    else:
        note_tapes(run, markets.tapes, sizes=False)
        note_others(run, markets, setup.day, setup.others)
    points: Sequence[Point] = [Point(1, {}, setup)]
    work = work_of(run if first else None, points, markets, workers, setup.day.tapes, recording, bounded=bounded)
    if work.reads_micro_price and run is not None:
        note_micro_price(run, markets)
    market = DayMarket.of(markets.first)
    for tape in markets.tapes:
        tape.release_memory()
    return work, market
