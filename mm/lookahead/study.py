"""All tests of one model on one day: what is played in this process, and what in processes of its own."""

import json
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.config import Account, Day, Execution, Market, Models
from mm.errors import DataError, UnknownModel, UsageError
from mm.knobs import knobs, shown
from mm.lookahead import check, children
from mm.lookahead.check import Baseline, Finding, Player, Report
from mm.lookahead.desk import Desk, lay_out, made_of
from mm.lookahead.tables import first_decision, has_fills
from mm.lookahead.watch import Watch
from mm.market_data.layout import DayFolder
from mm.run_headlines import flat

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule
    from mm.console import Console
    from mm.tape.tape import Tape

FILE_HORIZONS_S = (1, 10, 60)  # a day folder is written that ends before the greatest move over each
_OWN = re.compile(r"[\w.]+:\w+")  # a model that is none of the project's


@dataclass(frozen=True)
class Given:
    """What a backtest would be given.

    Attributes:
        day: The only day.
        market, execution, account, models: The groups of knobs.
    """

    day: Day
    market: Market
    execution: Execution
    account: Account
    models: Models

    @property
    def folder(self) -> DayFolder:
        """The recorded day."""
        return DayFolder(self.day.data_root, self.day.symbol, self.day.day)

    def words(self, models: Models) -> list[str]:
        """Return the flags of a backtest of the day with these *models*, but for its folders."""
        words = [f"--symbol={self.day.symbol}", f"--day={self.day.day}"]
        for group in (self.market, self.execution, self.account, models):
            for one in knobs(type(group)):
                value = getattr(group, one.name)
                if value is not None:
                    words.append(f"{one.flag}={shown(value.resolve() if isinstance(value, Path) else value)}")
        return words

    @property
    def own_quotes(self) -> bool:
        """Whether a quote model of one's own is among the models, also within another one's parameters."""
        return _has_own(self.models.quote_model, self.models.quote_params())

    @property
    def own_fills(self) -> bool:
        """Whether a fill model of one's own is."""
        return _has_own(self.models.fill_model, self.models.fill_params())


def _has_own(name: str, params: Mapping[str, Any]) -> bool:
    texts = [name, *(value for _, value in flat(dict(params)))]
    return any(isinstance(text, str) and _OWN.fullmatch(text) for text in texts)


def named(models: Models, model: str | None) -> Models:
    """Return *models* with *model* as the quote model or the fill model, whichever it is.

    Raises:
        UnknownModel: If it is neither.
    """
    from mm.backtest.fills.base import FillModel
    from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
    from mm.backtest.quotes.base import QuoteModel
    from mm.plugins import FILL_HOOKS, QUOTE_HOOKS, resolve

    if model is None:
        return models
    build = resolve({}, model, "model") if ":" in model else None
    if model in QUOTE_MODELS or _is(build, QuoteModel, *QUOTE_HOOKS):
        return replace(models, quote_model=model)
    if model in FILL_MODELS or _is(build, FillModel, *FILL_HOOKS):
        return replace(models, fill_model=model)
    known = ", ".join(sorted({*QUOTE_MODELS, *FILL_MODELS}))
    raise UnknownModel(
        f"{model!r} is no quote model and no fill model; known are {known}, or give package.module:Class"
    )


def _is(build: object, compiled: type, *hooks: str) -> bool:
    """Return whether a class is a model of a kind: by its base, where it is compiled, or by its hooks."""
    return (isinstance(build, type) and issubclass(build, compiled)) or any(hasattr(build, hook) for hook in hooks)


def watched(given: Given) -> Watch:
    """Return what sees a model open files of the day, or what was made of it: cached tapes, and runs."""
    files = [path for path in (given.models.fill_params_file, given.execution.latency_file) if path]
    made = made_of(given.day.day, given.day.out_root)
    return Watch([given.folder.path, given.day.out_root / "tapes", *made], files)


def study(console: "Console", given: Given, watch: Watch, count: int, skip: Collection[str], place: Path) -> Report:
    """Return what the tests found.

    Args:
        console: Shows how far it is.
        given: What is played.
        watch: What has seen the models be imported.
        count: How many cuts.
        skip: Tests that are left out, by name.
        place: An empty folder to work in.

    Raises:
        UsageError: If the model sends no order.
        ModelError: If it raises on the day as it is.
    """
    from mm import assemble

    report = Report()
    if given.execution.feed_latency != "none":
        report.notes.append("FEED_LATENCY is taken for none: the offset of a capture's clocks is one of its whole day")
        given = replace(given, execution=replace(given.execution, feed_latency="none"))
    (tape,) = assemble.open_days(given.day, given.market, given.day.out_root / "tapes")
    _ = tape.best  # opened now, while nobody watches
    rules = assemble.rules(tape, given.execution, given.account, given.models)
    player = Player(_maker(given, tape), rules, place / "plays", watch)
    base = Baseline(tape, player.play(tape))
    if not has_fills(base.folder):
        report.notes.append("nothing was filled, so nothing is known of the fill model, or of quotes with an inventory")
    report.cuts = check.cuts(tape, _begin(given, base), count, given.account.seed)
    with console.progress("plays", 2 * len(report.cuts) + 1) as step:
        steady = check.check_repeat(report, player, base)
        step(1)
        if "fresh" not in skip:
            _fresh(report, given, base, place / "fresh")
        if steady and not report.findings:
            check.check_cuts(report, player, base, report.cuts, step)
            if "shifted" not in skip:
                plain = _undrawn(given)
                mover = Player(_maker(plain, tape), replace(rules, latencies=None), place / "moved", watch)
                check.check_shift(report, mover, Baseline(tape, mover.play(tape)))
            if "files" not in skip and (given.own_quotes or given.own_fills):
                _files(report, given, base, place)
        else:
            report.notes.append("no cut was tried: what differs from itself cannot be held against other futures")
    if "opened" not in skip:
        _opened(report, watch)
    _parameters(report, given, tape)
    return report


def _begin(given: Given, base: Baseline) -> int:
    first_us = first_decision(base.folder)
    if first_us is None:
        raise UsageError(
            f"{given.models.quote_model} sends no order on {given.day.symbol} {given.day.day}, so there is nothing to "
            f"compare; give it something to trade with: --initial-cash (INITIAL_CASH), --initial-inventory"
        )
    return first_us


def _maker(given: Given, tape: "Tape") -> Callable[[int], tuple[object, object]]:
    """Return what makes fresh models, for a tape that lies some µs later."""
    from mm.model_maker import ModelMaker

    def make(shift_us: int) -> tuple[object, object]:
        maker = ModelMaker(None, given.models, tape, given.account.seed)
        if shift_us and given.models.fill_params_file is not None:
            maker.use(_later(_fitted(given.models.fill_params_file), shift_us))
        return maker.quotes(), maker.fills()

    return make


def _undrawn(given: Given) -> Given:
    """Return what is played at another time: without the draws of a model of ours, whose keys are instants."""
    if given.own_fills:
        return given
    return replace(given, models=replace(given.models, fill_model="trade_cross", fill_params_json=None))


def _fitted(path: Path) -> "PoissonFit | Schedule":
    from mm.model_maker import read_fitted

    return read_fitted(path)


def _later(fitted: "PoissonFit | Schedule", by_us: int) -> "PoissonFit | Schedule":
    """Return a schedule whose segments lie later; a fit is of no time."""
    from mm.calibration.schedule import Schedule

    if not isinstance(fitted, Schedule):
        return fitted
    moved = [replace(one, start_us=one.start_us + by_us, end_us=one.end_us + by_us) for one in fitted.segments]
    return replace(fitted, segments=tuple(moved))


def _fresh(report: Report, given: Given, base: Baseline, place: Path) -> None:
    """Play the day in another process, which knows nothing of this one."""
    roots = [f"--data-root={given.day.data_root}", f"--out-root={given.day.out_root}"]
    child = children.play([*given.words(given.models), *roots], place, Path.cwd(), os.environ)
    report.add(check.FRESH, _of_child(base, check.FRESH, child, None))


def _files(report: Report, given: Given, base: Baseline, place: Path) -> None:
    """Play day folders that end at a cut, on a desk from which nothing later can be read."""
    moves = check.greatest_moves(base.tape, report.cuts[0], FILE_HORIZONS_S)
    instants = {*moves, *check.greatest_prints(base.tape, report.cuts[0])}
    for number, cut_us in enumerate(cut for cut in sorted(instants) if _same_lot(base.tape, cut)):
        own = place / f"cut{number}"
        desk = lay_out(own, given.folder, given.day.out_root, cut_us)
        models = _moved(given.models, desk)
        roots = [f"--data-root={desk.data_root}", f"--out-root={own / 'out'}"]
        child = children.play([*given.words(models), *roots], own, desk.cwd, desk.environment())
        report.add(check.FILES, _of_child(base, check.FILES, child, cut_us))


def _moved(models: Models, desk: Desk) -> Models:
    """Return *models* whose parameters name the files of a desk."""
    return replace(
        models,
        quote_params_json=desk.params(models.quote_params_json),
        fill_params_json=desk.params(models.fill_params_json),
    )


def _of_child(base: Baseline, test: str, child: children.Child, cut_us: int | None) -> Finding | None:
    """Return what a backtest in another process did otherwise.

    Raises:
        DataError: If it could not be made, and no model is to blame.
    """
    if child.code == children.MODEL_RAISED and not child.told.startswith("unforeseen"):
        return Finding(test, cut_us, None, f"it raised, which it did not here: {child.told}")
    if child.code:
        raise DataError(f"the {test} test could not be played: {child.told}; --skip {test} leaves it out")
    if cut_us is None:
        return base.against(test, child.folder)
    return base.against(test, child.folder, cut_us - 1)  # where the last message stands, which changes nothing


def _same_lot(tape: "Tape", cut_us: int) -> bool:
    """Return whether the day up to the cut alone would have the lots of the whole day."""
    if tape.step_lots == 1:
        return True
    rows = int(tape.first_row[tape.event_us.searchsorted(cut_us)])
    return math.gcd(tape.step_lots, *tape.row_lots[:rows].tolist()) == 1


def _opened(report: Report, watch: Watch) -> None:
    """Note the files that the model opened itself: those of the day are what it must not know."""
    report.played.setdefault(check.OPENED, 1)
    report.findings += [
        Finding(check.OPENED, None, None, f"it opened {path} at {line}; it could not have, while it traded")
        for path, line in watch.forbidden.items()
    ]
    report.notes += [
        f"it read {path} at {line}; what stands in it was not checked" for path, line in watch.others.items()
    ]


def _parameters(report: Report, given: Given, tape: "Tape") -> None:
    """Note a fit of the day itself; a schedule whose segments know what comes later is refused when it is read."""
    path = given.models.fill_params_file
    if path is None:
        return
    window = json.loads(path.read_text(encoding="utf-8")).get("window")
    if not isinstance(window, Mapping):
        return
    if _after(window, "end_us", tape.start_us) and not _after(window, "start_us", tape.end_us):
        report.notes.append(f"{path} was fitted on the day that it is played on: its A and k are in-sample")


def _after(window: Mapping[str, Any], name: str, us: int) -> bool:
    value = window.get(name)
    return isinstance(value, int) and value > us
