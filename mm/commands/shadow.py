"""``mm shadow`` and ``mm shadow reconcile``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mm.backtest.risk import LIVE_DEFAULTS, Risk
from mm.backtest.rules import Account, Execution
from mm.base.common_knobs import Name, moved_data_root_knob
from mm.cli.completion import runs as run_ids
from mm.cli.frame import command, runner
from mm.cli.options import TRUST
from mm.cli.symbol_runs import SymbolRun, in_each
from mm.cli.task_knobs import BinanceMarket, Recorder, Sources
from mm.clock import SteadyClock, now_us
from mm.errors import DataError, Mismatch, Sentence, UsageError
from mm.live.knobs import (
    CallLimit,
)
from mm.live.state.stores import LiveStore
from mm.markets.registry import DEFAULT, MARKETS
from mm.play.knobs import Day, Market, Models, OtherMarkets, PerSymbol, Results, Source
from mm.runs.in_progress import Run
from mm.terminal.console import Console
from mm.terminal.interrupts import TradeSignals

if TYPE_CHECKING:
    from mm.base.doors import Door
    from mm.live.run.replay_check import ReplayComparison
    from mm.market_data.recording import Parts
    from mm.play.setup import PlayKnobs


STRATEGY = (Market, Execution, Account, Models, OtherMarkets, Risk)


WATCH = click.Option(["--watch"], is_flag=True, help="Show the run on the terminal while it trades.")


@dataclass(frozen=True, kw_only=True)
class ShadowPlaces(Results):
    """Folders of shadows and of recorded days."""

    data_root: Path | None = moved_data_root_knob()


_Group = TypeVar("_Group")


def day_recorded(objects: Sequence[Any]) -> Day:
    from mm.market_data.days import WindowRule

    source, recorder, results = _one(objects, Source), _one(objects, Recorder), _one(objects, Results)
    window = WindowRule(recorder.window_start, recorder.window_end, recorder.window_tz).at(now_us())
    return Day(symbol=source.symbol, data_root=source.data_root, out_root=results.out_root, day=window.day)


def _one(objects: Sequence[object], kind: type[_Group]) -> _Group:
    return next(group for group in objects if isinstance(group, kind))


def strategy_of(work: SymbolRun, task: str) -> "PlayKnobs":
    from mm.live.run.other_markets import check_seen
    from mm.play.models import check_names
    from mm.play.setup import PlayKnobs

    check_seen(work[OtherMarkets], task)
    check_names(work[Models])
    return PlayKnobs(
        market=work[Market],
        execution=work[Execution],
        account=work[Account],
        models=work[Models],
        risk=work[Risk],
        others=work[OtherMarkets],
    )


@runner(
    *("shadow", Sources, PerSymbol, BinanceMarket, Recorder, Results, *STRATEGY, CallLimit, LiveStore),
    defaults=LIVE_DEFAULTS,
    day_of=day_recorded,
    arguments=[WATCH],
    brief=(Sources, Recorder, Models),
    varied=STRATEGY,
)
def shadow(works: Sequence[SymbolRun], watch: bool) -> None:
    """Trade on paper in a live market, record its day, and compare the decisions with the replay of that day.

    It ends with its window, at midnight at the latest, or at SIGTERM and Ctrl-C. The kill switch of the symbol and
    SIGUSR1 end its quoting, not its recording. A change of tick size or quantity step ends it with exit code 75, and
    the next start uses the new ones. Several symbols run in one process, each with a paper account.

    Example: SYMBOL=BTCUSDT WINDOW_START=always mm shadow
    """
    from mm.live.run.guard import GuardianProcess, guarded_run
    from mm.live.run.guardian import Guarded
    from mm.live.run.live_run import run_together
    from mm.live.run.shadow_run import ShadowRun
    from mm.markets.feed import feed_of

    signals = TradeSignals()

    def play(runs: Sequence[Run]) -> list[tuple[Run, Callable[[], None]]]:
        clock = SteadyClock()
        lives = []
        for run, work in zip(runs, works, strict=True):
            market = work[BinanceMarket].market
            recorder = _checked(work[Recorder], work[Execution], market)
            parts = day_parts(run, work[Sources], recorder, work.day, clock, market)
            live = ShadowRun(run, strategy_of(work, "a shadow"), work[LiveStore], parts, work.day, clock)
            published = {kind: feed_of(MARKETS[kind]).bases for kind in MARKETS}
            live.beside, live.own_views = parts_beside(run, work, recorder, clock, published)
            lives.append(live)
        door = page_door(runs[0], works[0][Recorder])
        limit_s, out_root = works[0][CallLimit].model_call_limit_s, works[0].day.out_root
        guarded = [guarded_run(run, run.symbol, out_root) for run in runs]
        guard = GuardianProcess(Guarded(guarded, limit_s, []), runs[0].log)
        return [(live.run, live.finish) for live in run_together(lives, signals, guard=guard, door=door, watched=watch)]

    with signals.caught():
        in_each(works, play)


def _checked(recorder: Recorder, execution: Execution, market: str) -> Recorder:
    from mm.cli.recorders import of_market

    for_market = of_market(recorder, market)
    if not recorder.write_diffs:
        raise UsageError(Sentence("{write_diffs} is 0; a shadow is compared with the replay of its diffs; set 1"))
    if execution.feed_latency not in ("auto", "none"):
        raise UsageError(
            "{feed_latency} is {!r}; a shadow must use none, as what happens before it is received is not known yet",
            execution.feed_latency,
        )
    if execution.latency_file is not None and not execution.latency_file.is_file():
        raise DataError("{latency_file} {}: there is no such file", execution.latency_file)
    return for_market


def day_parts(
    run: Run, source: Source, recorder: Recorder, day: Day, clock: Callable[[], int], market: str = DEFAULT.name
) -> "Parts":
    from mm.cli.recorders import contract_streams, parts_of
    from mm.market_data.days import DayWindow

    parts = parts_of(source, recorder, Name(run_id=run.id), run.log, clock, gathers=False, market=market)
    if MARKETS[market].contract and recorder.contract_data:
        contract = contract_streams(source.symbol, recorder, parts.rest.rest, run.log, clock)
        parts = replace(parts, contract=contract)
    return replace(parts, window=DayWindow.of(parts.window, day.day))


def page_door(run: Run, recorder: Recorder) -> "Door | None":
    return recorder.metrics_door(run.log.warning) if recorder.metrics_port else None


def parts_beside(
    run: Run,
    work: SymbolRun,
    recorder: Recorder,
    clock: Callable[[], int],
    published: Mapping[str, tuple[str, str]],
    apart: Collection[str] = (),
) -> "tuple[dict[str, Parts], list[str]]":
    from mm.live.run.other_markets import Place, is_own, places_of

    source = Source(symbol=work.day.symbol, data_root=work[Sources].data_root)
    own, others = Place(source, recorder, work[BinanceMarket].market), work[OtherMarkets]
    places = places_of(others, own, published, apart)
    parts = {
        name: day_parts(run, place.source, place.recorder, work.day, clock, place.market)
        for name, place in places.items()
    }
    return parts, [name for name, one in others.declared().items() if is_own(one, own)]


@command(arguments=[click.Argument(["name"], metavar="RUN", shell_complete=run_ids), TRUST])
def shadow_reconcile(console: Console, places: ShadowPlaces, name: str, trust: tuple[Path, ...]) -> None:
    """Compare a shadow run with the replay of the day that it recorded, row by row.

    The exit code is 3 if rows differ, 5 if it names a user's model whose file is not named by --trust. RUN is the
    folder of a shadow's run, or its RUN_ID.

    Example: mm shadow reconcile out/shadow/BTCUSDT/20260105_20260105T080000Z
    """
    from mm.live.run.live_terms import ShadowTerms
    from mm.live.run.replay_check import compare_with_replay
    from mm.runs.find import open_run
    from mm.runs.trusted import InputPlaces, setup_of

    run = open_run(name, places.out_root, ("shadow",))
    if run.manifest["kind"] != "shadow":
        raise DataError(f"{run.folder} is a run of the kind {run.manifest['kind']!r}; give one of `mm shadow`")
    terms = ShadowTerms.read(run.folder)
    inputs = InputPlaces(places.data_root or Path(run.knob("data_root") or "data"), places.out_root)
    with setup_of(run, inputs, trust, days=False) as (setup, _):
        comparison, _ = compare_with_replay(terms, setup, inputs.data_root, run.folder)
    console.set_json({**comparison.to_json(), "path": str(run.folder.resolve())})
    console.print(comparison.text())
    if not comparison.same:
        raise Mismatch(f"{run.folder}: differs from the replay; the first difference: {_difference(comparison)}")


def _difference(comparison: "ReplayComparison") -> str:
    first = comparison.first_difference
    if first is None:
        return "its orders, fills or states do not match its decisions"
    return f"decision {first['row']} at {first['us']} µs, live {first['live']}, replayed {first['replay']}"
