"""One backtest: markets, rules and models, played by one method; and again under other assumptions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from mm.backtest import replay
from mm.backtest.as_traded import TradeFills
from mm.backtest.fills.base import Queue
from mm.backtest.journal import LONG
from mm.backtest.market_again import rules_as_traded
from mm.backtest.models import FILL_MODELS
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.rules import Rules
from mm.backtest.strategy_info import trained_on
from mm.clock import US_PER_S
from mm.errors import Sentence, UsageError
from mm.play.engine_rules import rules_of, with_others
from mm.play.knobs import Sensitivity
from mm.play.market import MICRO_PRICE, Markets, as_traded
from mm.play.models import Made, PlayModels, trained_days
from mm.play.notes import (
    FIRST_MIN,
    Note,
    agent_notes,
    clip_note,
    fee_notes,
    holidays_note,
    missing_days_note,
    predictor_notes,
    words_of,
)
from mm.play.sensitivity import ExponentEstimate, FurtherRow, Variants, again, with_band
from mm.play.setup import PlayKnobs, Setup
from mm.signals.artefact import ARRAYS, MODEL, Artefact
from mm.tape.columns import MANY_EVENTS, trim_heap
from mm.tape.tape import Tape
from mm.trials.moves import NO_MOVES, WorstMoves
from mm.trials.openings import refuse_trained

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.result import Result
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule

Step = Callable[[int], None]
OFF = Sensitivity(sensitivity=False, bounds=False)


class GivenModels(NamedTuple):
    quotes: object = None
    fills: object = None
    intensity: "Intensity | None" = None

    def objects(self) -> list[object]:
        return [model for model in self[:2] if _is_object(model)]


NO_MODELS = GivenModels()
_UNUSED = (
    "the models take nothing from the fits, so they quote from the day's begin; only expected fills are of the fits"
)
FITS_UNUSED = Note("fits_unused", {}, is_warning=False, words=_UNUSED)


def _is_object(model: object) -> bool:
    return model is not None and not isinstance(model, str)


@dataclass(frozen=True)
class Play:
    """A backtest, its sensitivity, and the PnL band of drawn fits."""

    knobs: PlayKnobs
    markets: Markets
    models: PlayModels
    market_rules: Rules
    sensitivity: Sensitivity = OFF
    given: GivenModels = NO_MODELS

    @classmethod
    def of(
        cls,
        knobs: PlayKnobs,
        markets: Markets,
        fit: "PoissonFit | Schedule | None" = None,
        sensitivity: Sensitivity = OFF,
        given: GivenModels = NO_MODELS,
    ) -> Self:
        """*fit* replaces FILL_PARAMS_FILE; raises UsageError, DataError, Mismatch or FitError."""
        account, first = knobs.account, markets.first
        models = PlayModels.of(knobs.models, first, account.seed, fit)
        _refuse_trained(models, given, markets.tapes)
        rules = rules_of(first, knobs.execution, account, knobs.models, risk=knobs.risk, margin=knobs.margin)
        rules = with_others(rules, markets.others, markets.declared, account, markets.way, margin=knobs.margin)
        if isinstance(knobs, Setup) and (traded := as_traded(knobs.day, knobs.again)) is not None:
            if account.preset is not None:
                raise UsageError(
                    Sentence("{as_traded} plays the fees and hours of the trade, and {preset} has others; leave it out")
                )
            rules, sensitivity = rules_as_traded(traded, rules), OFF
            given = given._replace(fills=TradeFills()) if traded.reported else given
        for _, agent in models.agents():
            for tape in markets.tapes:
                agent.terms.check_tick(tape.instrument.tick_e8)
        return cls(knobs, markets, models, rules, sensitivity, given)

    def with_fit(self, fit: "PoissonFit | Schedule") -> Self:
        return replace(self, models=self.models.with_fit(fit))

    @property
    def tapes(self) -> Sequence[Tape]:
        return self.markets.tapes

    @property
    def made(self) -> list[Made]:
        named = ((self.given.quotes, "quoting"), (self.given.fills, "filling"))
        return [getattr(self.models, which) for model, which in named if not _is_object(model)]

    @cached_property
    def rules(self) -> Rules:
        """Rules of the engine, with the micro-price if the quote model reads it."""
        if not self.reads_micro_price:
            return self.market_rules
        return replace(self.market_rules, micro_price=self.markets.micro_price.fit)

    @property
    def reads_micro_price(self) -> bool:
        if not _is_object(quotes := self.given.quotes):
            return MICRO_PRICE in self.models.quoting.signals
        return MICRO_PRICE in (getattr(_model(quotes), "signals", None) or ())

    @cached_property
    def predictors(self) -> dict[str, Artefact]:
        """Raises UsageError if one was trained on a held-out day of the run."""
        given = [self.models.check(_model(model)) for model in self.given.objects()]
        artefacts = [*given, *(made.predictors for made in self.made)]
        found = {path: artefact for part in artefacts for path, artefact in part.items()}
        for path, artefact in found.items():
            refuse_trained(f"the predictor {path}", artefact.about["days"].__contains__, self.tapes)
        return found

    @property
    def notes(self) -> list[Note]:
        fees, closed = fee_notes(self.markets, self.market_rules), holidays_note(self.market_rules.hours)
        of_days = [
            *self.models.fit_notes(self.tapes, used=self.models.fitted is not None and self.uses_fit),
            *missing_days_note(self.tapes),
        ]
        return [*of_days, *fees, *closed, *self.clip_notes, *self.agent_notes]

    @property
    def clip_notes(self) -> list[Note]:
        return list(clip_note(self.markets.first, self.market_rules.quote_lots))

    @property
    def agent_notes(self) -> list[Note]:
        return [
            note
            for path, agent in self.models.agents()
            for note in agent_notes(path, agent, self.knobs.execution, self.tapes)
        ]

    @property
    def model_notes(self) -> list[Note]:
        return [*self.made_notes, *predictor_notes(self.predictors, self.markets.first.start_us)]

    @property
    def made_notes(self) -> list[Note]:
        notes = [note for made in self.made for note in made.notes]
        return notes if self.models.schedule is None or self.uses_fit else [*notes, FITS_UNUSED]

    @property
    def uses_fit(self) -> bool:
        return any(made.uses_fit for made in self.made)

    @property
    def files(self) -> list[Path]:
        exponent = self.sensitivity.queue_exponent_file
        of_predictors = [Path(path) / name for path in self.predictors for name in (MODEL, ARRAYS)]
        logs = [tape.order_log for tape in self.tapes if tape.order_log is not None] if self.plays_orders else []
        files = dict.fromkeys([*([] if exponent is None else [exponent]), *of_predictors, *logs])
        return [path for path in files if path not in self.knobs.files]

    @property
    def plays_orders(self) -> bool:
        own = self.given.fills if _is_object(self.given.fills) else self.knobs.models.fill_model
        every = all(tape.has_orders for tape in self.tapes)
        return own == "queue_orders" or getattr(own, "needs_orders", False) or (self.sensitive and every)

    @property
    def sources(self) -> list[str]:
        return list(dict.fromkeys(name for made in self.made for name in made.sources))

    @cached_property
    def variants(self) -> Variants:
        """Objects are copied in their present state; UsageError if one cannot be."""
        factory = partial(again, shared=[*self.tapes, self.given.intensity])
        path, seed = self.sensitivity.queue_exponent_file, self.rules.latency_seed
        estimate = None if path is None else ExponentEstimate.read(path, self.markets.first.symbol)
        quotes, fills = self._factories(factory)
        known = self.sensitivity.stress_moves
        moves = NO_MOVES if known is None else WorstMoves.parsed(known)
        wanted = {"sensitive": self.sensitivity.sensitivity is not False, "bounded": self.bounded}
        return Variants(self.tapes, self.rules, quotes, fills, self.intensity, seed, estimate, moves, **wanted)

    def _factories(self, factory: Callable[[object], Callable[[], object]]) -> tuple[Callable[[], object], ...]:
        pairs = ((self.given.quotes, self.models.quotes), (self.given.fills, self.models.fills))
        return tuple(
            named if not _is_object(model) else model if isinstance(model, partial) else factory(model)
            for model, named in pairs
        )

    @property
    def intensity(self) -> "Intensity | None":
        return self.models.intensity if self.given.intensity is None else self.given.intensity

    @cached_property
    def why_once(self) -> str | None:
        try:
            _ = self.variants
        except UsageError as error:
            return str(error)
        return None

    @cached_property
    def bounded(self) -> bool:
        """Whether the fill model is a queue, and its bounds are wanted."""
        if self.sensitivity.bounds is False:
            return False
        own = self.given.fills
        if not _is_object(own):
            build = FILL_MODELS.get(own if isinstance(own, str) else self.knobs.models.fill_model)
            return isinstance(build, type) and issubclass(build, Queue)
        return isinstance(_model(own), Queue)

    @cached_property
    def sensitive(self) -> bool:
        return self.sensitivity.sensitivity is not False and self.why_once is None

    @cached_property
    def further(self) -> bool:
        return (self.sensitivity.sensitivity is not False or self.bounded) and self.why_once is None

    @property
    def concurrent(self) -> bool:
        lasts_s = (self.tapes[-1].end_us - self.tapes[0].start_us) / US_PER_S  # a state row each
        few = sum(map(len, self.tapes)) <= MANY_EVENTS and lasts_s <= LONG
        return few and self.further and not self.sources

    @property
    def events(self) -> int:
        plays = 1 + self.knobs.models.fit_draws + (self.variants.plays() if self.further else 0)
        return plays * sum(map(len, self.tapes))

    def run(self, step: Step | None = None, *, keeps_orders: bool = True) -> "Result":
        """Play the backtest, with sensitivity and PnL band if requested.

        Args:
            step: Called with the µs of tape played since the last call; each further backtest adds the whole length.
            keeps_orders: Order rows are most of a journal's memory.
        """
        return self.with_further(self.run_base(step, keeps_orders=keeps_orders), step)

    def run_base(self, step: Step | None = None, *, keeps_orders: bool = True) -> "Result":
        """Play given objects themselves; UsageError for a sensitivity or draws that they do not allow."""
        wanted = self.sensitivity.sensitivity
        if self.given.objects() and self.knobs.models.fit_draws:
            raise UsageError("fit_draws draws A and k for models by name; give names, or package.module:Class")
        once = self.why_once if wanted is not False or self.bounded else None  # copies the objects before they play
        if wanted and once:
            raise UsageError(f"sensitivity plays the models several times, but {once}")
        _ = self.predictors  # predictors of another market are refused before anything plays
        quotes, fills = self.new_models()
        play = partial(replay.backtest, self.tapes, quotes, fills, self.rules, step=step, keeps_orders=keeps_orders)
        return self.described(play(intensity=self.intensity))

    def new_models(self) -> tuple[object, object]:
        quotes, fills = (make() for make in self._factories(lambda model: lambda: model))
        return quotes, fills

    def exchange(self) -> PaperExchange:
        """An exchange to play the days step by step."""
        return PaperExchange(*self.new_models(), self.rules)

    def play_first_minutes(self) -> "Result | None":
        """Play `FIRST_MIN` minutes of the first day; None where a user's model would play twice, or several markets."""
        if self.given.objects() or self.sources or self.rules.others or self.rules.legs or self.rules.as_traded:
            return None
        first = self.tapes[0]
        window = first.between(first.start_us, first.start_us + FIRST_MIN * 60 * US_PER_S)
        return replay.backtest(window, *self.new_models(), self.rules)

    def described(self, result: "Result") -> "Result":
        quoting = None if _is_object(self.given.quotes) else self.models.quoting
        words = words_of(
            [*self.made_notes, *fee_notes(self.markets, self.market_rules), *self.clip_notes, *self.agent_notes]
        )
        noted = replace(result, terms=replace(result.terms, model_notes=words))
        return self.models.describe(noted, quoting, self.predictors, used=self.uses_fit)

    def with_further(
        self, result: "Result", step: Step | None = None, rows: Callable[[], list[FurtherRow]] | None = None
    ) -> "Result":
        if self.sensitivity.sensitivity is not False and self.why_once:
            result = replace(result, terms=replace(result.terms, played_once=self.why_once))
        if self.bounded and self.why_once:
            result = replace(result, terms=replace(result.terms, unbounded=self.why_once))
        if self.further:
            result = self.variants.with_rows(result, rows() if rows else self.variants.further(step))
        if self.knobs.models.fit_draws:
            play = partial(replay.backtest, self.tapes, rules=self.rules, step=step, keeps_orders=False)
            result = with_band(result, [play(drawn.quotes(), drawn.fills()) for drawn in self.models.redrawn()])
        if sum(map(len, self.tapes)) > MANY_EVENTS:
            trim_heap()
        return result


def _refuse_trained(models: PlayModels, given: "GivenModels", tapes: Sequence[Tape]) -> None:
    """Raise UsageError for a fit, schedule, agent or model trained on a held-out day."""
    refuse_trained("the fit or schedule", trained_days(models.fitted), tapes)
    for path, agent in models.agents():
        if agent.terms.symbol == tapes[0].symbol:
            refuse_trained(f"the agent {path.name}", agent.days.__contains__, tapes)
    for model in (given.quotes, given.fills):
        of_symbol = {day for symbol, day in trained_on(model) if symbol == tapes[0].symbol}
        refuse_trained(f"the model {type(model).__name__}", of_symbol.__contains__, tapes)


def _model(given: object) -> object:
    return given.args[0] if isinstance(given, partial) else given
