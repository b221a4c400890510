"""The look-ahead check: all tests of one model on one day, in this process and in others."""

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.fills.base import FillModel
from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
from mm.backtest.quotes.base import QuoteModel
from mm.base.user_code import load_class, put_cwd_first
from mm.calibration.schedule import Schedule
from mm.clock import US_PER_MS
from mm.dayfolder.layout import DayFolder
from mm.errors import DataError, ModelError, UnknownModel, UsageError
from mm.play.knobs import Day, Models
from mm.play.market import Markets, other_day
from mm.play.names import FILL_HOOKS, QUOTE_HOOKS, resolve
from mm.play.play import Play
from mm.play.setup import Setup, users_models
from mm.probes import run_comparison as test
from mm.probes.counterfactual import (
    HOURS_US,
    STRETCH,
    WEEK_US,
    cuts,
    feeds_like,
    greatest_moves,
    greatest_prints,
    mirrored,
    reflected,
    shifted,
    stretched,
    truncated,
)
from mm.probes.data_access import MODEL_RAISED, Child, TruncatedCopy, derived_from, run_command, truncated_copy
from mm.probes.file_watch import FileWatch
from mm.probes.foresight import Acts
from mm.probes.run_comparison import Baseline, Finding, ModelPlayer, Report, RunTables
from mm.signals.artefact import FOLDER
from mm.signals.families import SIGNALS, is_signal
from mm.tape.feed import delayed

if TYPE_CHECKING:
    from mm.backtest.rules import Rules
    from mm.calibration.fit_result import PoissonFit
    from mm.tape.feed import Feed
    from mm.tape.tape import Tape
    from mm.terminal.console import Console

FILE_HORIZONS_S = (1, 10, 60)  # day folders are truncated before the largest move over each
FILE_ACTIONS = 2  # and behind as many of the rarest actions


def with_model(models: Models, model: str | None) -> Models:
    """*model* as quote or fill model, by its kind; UnknownModel if it is neither."""

    if model is None:
        return models
    build = resolve({}, model, "model") if ":" in model else None
    if model in QUOTE_MODELS or _is(build, QuoteModel, *QUOTE_HOOKS):
        return replace(models, quote_model=model)
    if model in FILL_MODELS or _is(build, FillModel, *FILL_HOOKS):
        return replace(models, fill_model=model)
    known = ", ".join(sorted({*QUOTE_MODELS, *FILL_MODELS}))
    raise UnknownModel(
        f"{model!r} is neither a quote model nor a fill model; known are {known}, or give package.module:Class"
    )


def named_signal(model: str | None) -> str | None:
    """*model* if it names a signal: ours, a fitted predictor, or a user's class."""

    if model is None:
        return None
    if FOLDER in model:
        return model
    if ":" in model:
        return model if is_signal(load_class(model, "model")) else None
    return model if any(family.match(model) for family in SIGNALS.families) else None


def _is(build: object, compiled: type, *hooks: str) -> bool:
    return (isinstance(build, type) and issubclass(build, compiled)) or any(hasattr(build, hook) for hook in hooks)


def file_watch(setup: Setup, model: str | None, past: Sequence[Path]) -> FileWatch:
    put_cwd_first()
    derived = derived_from(setup.day.day, setup.day.out_root)
    folders = [_folder(day).path for day in (setup.day, *_other_days(setup))]
    forbidden = [*folders, setup.day.out_root / "tapes", *derived]
    predictor = [Path(model.rpartition(":")[0])] if model and FOLDER in model else []  # the run itself names its files
    allowed = [*setup.files, *(path for folder in predictor for path in folder.rglob("*"))]
    return FileWatch(forbidden, allowed, past=past)


def unseen(watch: FileWatch, skip: Collection[str], users: Sequence[str]) -> list[str]:
    """What a check could not look at, in words."""
    skipped = [f"the test {name}, which --skip left out" for name in sorted(skip) if name in test.TESTS]
    chosen = f"what you wrote into {', '.join(users)} or its parameters after you had seen this day"
    return [
        *watch.unseen,
        *skipped,
        *([chosen] if users else ["parameters that you chose after you had seen this day"]),
    ]


def truncated_copies(
    setup: Setup, tape: "Tape", first_us: int, rare: Sequence[int], place: Path
) -> Iterator[tuple[Path, TruncatedCopy, int]]:
    """Folder, copy and cut of truncated days.

    Cuts are before the largest moves and trades after *first_us*, and at *rare* instants.
    """
    moments = {*greatest_moves(tape, first_us, FILE_HORIZONS_S), *greatest_prints(tape, first_us)}
    moments |= set([us for us in rare if first_us <= us <= tape.end_us][:FILE_ACTIONS])
    beside = [_folder(day) for day in _other_days(setup) if day.data_root == setup.day.data_root]
    for number, cut_us in enumerate(cut for cut in sorted(moments) if _same_lot(tape, cut)):
        own = place / f"cut{number}"
        yield own, truncated_copy(own, _folder(setup.day), setup.day.out_root, cut_us, beside), cut_us


def _play(words: Sequence[str], place: Path, copy: tuple[Path, Mapping[str, str]]) -> Child:
    return run_command(["backtest"], [*words, "--sensitivity=0", "--bounds=0"], place, copy)


def _folder(day: Day) -> DayFolder:
    return DayFolder(day.data_root, day.symbol, day.day)


def _other_days(setup: Setup) -> list[Day]:
    return [other_day(setup.day, setup.others, name) for name in setup.others.declared()]


@dataclass
class Probe:
    setup: Setup
    watch: FileWatch
    skip: Collection[str]
    place: Path
    report: Report = field(default_factory=Report)
    markets: Markets = field(init=False)
    _rare: list[int] = field(init=False)

    @property
    def tape(self) -> "Tape":
        return self.markets.first

    def run(self, console: "Console", count: int) -> Report:
        report = self.report
        setup = self.setup
        self.markets = Markets.open(setup.day, setup.market, setup.others)
        (tape,) = self.markets.tapes
        report.notes += [note for feed in self.markets.others.values() for note in feed.notes]
        _ = tape.levels, tape.orders  # opened before recording starts
        play = Play.of(setup, self.markets)
        feed, in_order = _feed(play.rules)  # by name: a part of the day might tell another one
        self.setup = setup = replace(setup, execution=replace(setup.execution, feed_latency=feed))
        player = ModelPlayer(_models(play), play.rules, self.place / "plays", self.watch)
        base = Baseline(tape, player.play(tape), in_order)
        if in_order:
            late_us = int((tape.event_us - in_order(tape).by_event).max(initial=0))
            report.unseen.append(
                f"what a fill model, or the lots ahead of an order, knew of messages up to "
                f"{late_us / US_PER_MS:,.0f} ms before they arrived (feed latency {feed})"
            )
        if not any(base.tables.rows("fills")):
            report.notes.append(
                "there were no fills, so neither the fill model nor quotes with an inventory were tested"
            )
        self._rare = base.tables.rare_actions(tape, count, setup.account.seed)
        report.cuts = cuts(tape, self._first_order_us(base), count, setup.account.seed, self._rare)
        with console.progress("plays", 2 * len(report.cuts) + 1) as step:
            report.add(test.REPEAT, base.play(player, test.REPEAT, tape))
            step(1)
            if test.FRESH not in self.skip:
                self._fresh(base)
            if report.findings:
                report.notes.append(
                    "no cuts were tested: the model differs between equal runs, so other tapes cannot be compared"
                )
            else:
                self._other_tapes(base, player, step)
        if test.OPENED not in self.skip:
            report.add_opened(self.watch, tape.start_us, setup.day.data_root)
        report.unseen += unseen(self.watch, self.skip, self._users())
        self._parameters(tape)
        return report

    def _first_order_us(self, base: Baseline) -> int:
        first_us = base.tables.first_order_us
        if first_us is None:
            day = self.setup.day
            raise UsageError(
                "{} sends no order on {} {}, so there is nothing to compare; give it a balance: {initial_cash}, "
                "{initial_inventory}",
                self.setup.models.quote_model,
                day.symbol,
                day.day,
            )
        return first_us

    def _other_tapes(self, base: Baseline, player: ModelPlayer, step: Callable[[int], None]) -> None:
        for name, counterfactual in ((test.TRUNCATED, truncated), (test.PERTURBED, mirrored)):
            for cut_us in self.report.cuts:
                tape = counterfactual(base.tape, cut_us)
                others = feeds_like(self.markets.others, counterfactual, cut_us, tape)
                self.report.add(name, base.play(player, name, tape, cut_us, others=others))
                step(1)
        if test.SHIFTED not in self.skip:
            self._shift(base.tape)
        if test.FILES not in self.skip and self._users():
            self._files(base)

    def _users(self) -> list[str]:
        models = self.setup.models
        return users_models(models.quote_model, models.fill_model, models.quote_params(), models.fill_params())

    def _shift(self, tape: "Tape") -> None:
        """A week and some hours later all actions must shift alike.

        This excludes our fill models' random draws, which are keyed by instants.
        """
        setup, models = self.setup, self.setup.models
        if not users_models(models.fill_model, models.fill_params()):
            setup = replace(setup, models=replace(models, fill_model="trade_cross", fill_params_json=None))
        play = Play.of(setup, self.markets)
        rules = replace(play.rules, latencies=None)
        player = ModelPlayer(_models(play), rules, self.place / "moved", self.watch)
        tables, acts = player.acts(tape, rules.others)
        base = Baseline(tape, tables)
        tests = ((test.SHIFTED, WEEK_US, partial(self.report.add, test.SHIFTED)),)
        for name, by_us, add in (*tests, (test.HOURS, HOURS_US, self.report.add_hours)):
            later = shifted(tape, by_us)
            others = feeds_like(self.markets.others, shifted, by_us, later)
            add(base.play(player, name, later, shift_us=by_us, others=others))
        self._stretch(base, acts, play)
        self._reflect(base, acts, play)

    def _stretch(self, base: Baseline, acts: Acts, play: Play) -> None:
        """All that the engine keeps in time is stretched with the tape."""
        tape, rules = base.tape, _longer(replace(play.rules, latencies=None))
        player = ModelPlayer(_models(play), rules, self.place / "stretched", self.watch)
        longer = stretched(tape, tape.start_us)
        others = feeds_like(self.markets.others, stretched, tape.start_us, longer)
        try:
            tables, changed = player.acts(longer, others, STRETCH)
        except ModelError as error:
            message = f"error that a day which lasts 1 % less did not raise: {error}"
            self.report.add(test.STRETCHED, Finding(test.STRETCHED, None, None, message))
            return
        self.report.add_stretch(*base.tables.equal_decisions(tables, (tape.start_us, tape.end_us)))
        surplus = acts.surplus(changed, ("quotes", "fills", "widths"))
        self.report.add_foresight(test.STRETCHED, surplus, vouched=self.watch.vouched)

    def _reflect(self, base: Baseline, acts: Acts, play: Play) -> None:
        """What a model takes from the market turns with it."""
        player = ModelPlayer(_models(play), replace(play.rules, latencies=None), self.place / "reflected", self.watch)
        tape = reflected(base.tape)
        try:
            _, changed = player.acts(tape, feeds_like(self.markets.others, reflected, 0, tape))
        except ModelError as error:
            message = f"error that the day itself did not raise: {error}"
            self.report.add(test.REFLECTED, Finding(test.REFLECTED, None, None, message))
            return
        surplus = acts.surplus(changed, ("quotes", "fills"))
        self.report.add_foresight(test.REFLECTED, surplus, vouched=self.watch.vouched)

    def _fresh(self, base: Baseline) -> None:
        child = _play(self._words(), self.place / "fresh", (Path.cwd(), os.environ))
        self.report.add(test.FRESH, _of_child(base, test.FRESH, child, None))

    def _files(self, base: Baseline) -> None:
        models = self.setup.models
        for own, copy, cut_us in truncated_copies(self.setup, base.tape, self.report.cuts[0], self._rare, self.place):
            changed = replace(
                models,
                quote_params_json=copy.params(models.quote_params_json),
                fill_params_json=copy.params(models.fill_params_json),
            )
            day = replace(self.setup.day, data_root=copy.data_root, out_root=own / "out")
            words = self._words(replace(self.setup, day=day, models=changed))
            self.report.add(
                test.FILES, _of_child(base, test.FILES, _play(words, own, (copy.cwd, copy.environment())), cut_us)
            )

    def _words(self, setup: Setup | None = None) -> list[str]:
        setup = setup or self.setup
        fit, latencies = setup.models.fill_params_file, setup.execution.latency_file
        models = replace(setup.models, fill_params_file=fit and fit.resolve())
        execution = replace(setup.execution, latency_file=latencies and latencies.resolve())
        brackets = setup.margin.brackets_file
        margin = replace(setup.margin, brackets_file=brackets and brackets.resolve())
        return replace(setup, models=models, execution=execution, margin=margin).command(None, places=True)[2:]

    def _parameters(self, tape: "Tape") -> None:
        """Report a fit of the day itself; a schedule with future segments is refused on reading."""
        path = self.setup.models.fill_params_file
        if path is None:
            return
        window = json.loads(path.read_text(encoding="utf-8")).get("window")
        if not isinstance(window, Mapping):
            return
        if _is_later(window, "end_us", tape.start_us) and not _is_later(window, "start_us", tape.end_us):
            self.report.notes.append(f"{path} was fitted on the played day: its A and k are in-sample")


def _feed(rules: "Rules") -> tuple[str, "Callable[[Tape], Feed] | None"]:
    """FEED_LATENCY as it is played, and the exchange's order of a tape."""
    if rules.recorded_feed:
        return "recorded", lambda tape: tape.feed
    if rules.feed_us:
        return f"{rules.feed_us / US_PER_MS:g}", lambda tape: delayed(tape, rules.feed_us)
    return "none", None


def _longer(rules: "Rules") -> "Rules":
    lasts = ("order_latency_us", "cancel_latency_us", "requote_us", "ttl_us", "refresh_us", "state_us", "feed_us")
    legs = {name: _longer(leg) for name, leg in rules.legs.items()}
    return replace(rules, legs=legs, **{name: round(getattr(rules, name) * STRETCH) for name in lasts})


def _is_later(window: Mapping[str, Any], name: str, us: int) -> bool:
    value = window.get(name)
    return isinstance(value, int) and value > us


def _models(play: Play) -> Callable[[int], tuple[object, object]]:
    def make(shift_us: int) -> tuple[object, object]:
        models = play.models
        if shift_us and models.fitted is not None:
            models = models.with_fit(_later(models.fitted, shift_us))
        return models.quotes(), models.fills()

    return make


def _later(fitted: "PoissonFit | Schedule", by_us: int) -> "PoissonFit | Schedule":
    if not isinstance(fitted, Schedule):
        return fitted
    moved = [replace(part, start_us=part.start_us + by_us, end_us=part.end_us + by_us) for part in fitted.segments]
    return replace(fitted, segments=tuple(moved))


def _of_child(base: Baseline, name: str, child: Child, cut_us: int | None) -> Finding | None:
    """Raises DataError if the process failed for another reason than a model."""
    if child.code == MODEL_RAISED and not child.error.startswith("unforeseen"):
        return Finding(name, cut_us, None, f"error that this process did not raise: {child.error}")
    if child.code:
        raise DataError(f"the {name} test could not be played: {child.error}; --skip {name} skips it")
    # The last message of a truncated day is just before the cut, and changes nothing.
    return base.compare(name, RunTables(child.folder), None if cut_us is None else cut_us - 1)


def _same_lot(tape: "Tape", cut_us: int) -> bool:
    if tape.step_lots == 1:
        return True
    rows = int(tape.first_row[tape.event_us.searchsorted(cut_us)])
    return math.gcd(tape.step_lots, *tape.row_lots[:rows].tolist()) == 1
