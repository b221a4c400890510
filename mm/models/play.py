"""``mm.backtest``: ``mm backtest`` as one call; every knob has the same name and default."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Unpack

from mm.backtest import replay
from mm.backtest.journal import LONG
from mm.backtest.risk import Risk
from mm.backtest.rules import Account, Execution, Rules
from mm.backtest.sensitivity import ExponentEstimate, Strategy, again, with_band
from mm.base.knobs import as_arguments, groups_of, knobs
from mm.clock import US_PER_S
from mm.commands import assemble
from mm.errors import UsageError
from mm.models.builder import ModelBuilder, check_names
from mm.play.knobs import Models, Sensitivity
from mm.play.names import construct
from mm.play.other_markets import feeds_given
from mm.signals.micro_price import MicroPriceFit
from mm.tape.columns import MANY_EVENTS, trim_heap
from mm.tape.load import tapes_given
from mm.tape.tape import Tape

if TYPE_CHECKING:
    from mm import _BacktestKnobs
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.result import Result
    from mm.backtest.sensitivity import FurtherRow
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule

GROUPS: tuple[type, ...] = (Execution, Account, Models, Risk, Sensitivity)
"""The knobs of a backtest of given tapes; quantity step and minimum notional come from the tape (`mm.load_day`)."""

Step = Callable[[int], None]


@as_arguments(GROUPS)
def backtest(  # noqa: PLR0913 - arguments that no knob can express
    tape: Tape | Iterable[Tape],
    quotes: object = None,
    fills: object = None,
    rules: Rules | None = None,
    *,
    fit: "PoissonFit | Schedule | None" = None,
    intensity: "Intensity | None" = None,
    micro_price: MicroPriceFit | None = None,
    others: Mapping[str, Any] | None = None,
    step: Step | None = None,
    **settings: Unpack["_BacktestKnobs"],
) -> "Result":
    """Replay recorded days with a quote model and a fill model, as ``mm backtest`` does.

    ``mm.backtest(tape)`` runs the default strategy; ``mm.backtest(tape, "glft", order_latency_ms=5, fit=fit)`` sets a
    model, a knob and a fit. Rows, summary and digest of tables equal those of the command with the same settings.

    Args:
        tape: One tape, or tapes in order of time; inventory, cash, orders and timers carry over.
        quotes: Name of a quote model, a pair of name and parameters (``("glft", {"gamma": 0.1})``), or an object with
            ``quote(view)``, or its class; None takes the default of ``QUOTE_MODEL``.
        fills: Name of a fill model, such a pair, or an object with its hooks, or its class; None takes the default of
            ``FILL_MODEL``.
        rules: All rules in the engine's units, instead of knobs; both models must then be objects.
        fit: A fit or a schedule, instead of ``FILL_PARAMS_FILE``.
        intensity: Predicts the expected fills that the summary compares with the actual ones; None takes the fit's.
        micro_price: The fit of the signal ``micro_price`` (`fit_micro_price` of earlier days), where a quote
            model reads it.
        others: Other markets that the strategy sees, by name: a tape or several, or a dict with ``tape`` and
            ``feed_latency_ms`` and ``orders`` as in ``OTHERS``.
        step: Is called with the µs of tape replayed since the last call, for a progress bar; each further backtest
            adds the whole length.
        settings: Knobs of ``mm backtest`` by field name: numbers, text, or dicts for JSON. The sensitivity makes a
            class again, and plays copies of an object, taken before it plays; one that cannot be copied has none,
            and a warning says why. ``sensitivity=False`` leaves it out.

    Raises:
        TypeError: If there is no such knob.
        UsageError: If the value of a knob is invalid, or a knob has no effect with the others.
        UnknownModel: If there is no model of that name.
        Mismatch: If the tapes do not follow each other on one grid, or a fit or predictor is of another market.
        FitError: If the fit is not usable.
        ModelError: If a user's model raises, or returns an invalid value.
    """
    if rules is not None:
        _check_objects(quotes, fills, settings | {"fit": fit, "micro_price": micro_price, "others": others})
        return replay.backtest(tape, quotes, fills, rules, step=step, intensity=intensity)
    tapes = tapes_given(tape, "backtest")
    quotes = _without_parameters(quotes, "quote_params_json", settings)
    fills = _without_parameters(fills, "fill_params_json", settings)
    given = _with_names({"quote_model": quotes, "fill_model": fills}, settings)
    execution, account, models, risk, sensitivity = groups_of(GROUPS, given, "mm.backtest")
    check_names(models)
    builder = ModelBuilder(None, models, tapes[0], account.seed)
    if fit is not None:
        if models.fill_params_file or models.fill_params_json:
            raise UsageError("a fit was given, and fill_params_file or fill_params_json as well; give one of them")
        if isinstance(fit, str | os.PathLike):
            raise UsageError(f"fit is {str(fit)!r}; give a fit or a schedule, or its file as fill_params_file")
        builder.use(fit)
    terms = assemble.rules(tapes[0], execution, account, models, risk=risk)
    if micro_price is not None:
        terms = replace(terms, micro_price=micro_price.checked(tapes[0].symbol, tapes[0].instrument.tick_e8))
    if others:
        terms = assemble.with_others(terms, feeds_given(tapes, others), others, account, "others")
    return Backtest(tapes, terms, builder, sensitivity, models.fit_draws, quotes, fills, intensity).play(step)


@dataclass(frozen=True)
class Backtest:
    """One backtest and its additional ones: the sensitivity, and the PnL band of drawn fits.

    Attributes:
        tapes: The days.
        rules: The rules of the run.
        builder: Builds the models that the knobs name.
        sensitivity: Whether to play optimistic and pessimistic assumptions as well.
        draws: Number of drawn fits for the PnL band.
        quotes: A quote model to use instead of the builder's, or a factory (`functools.partial`); None or a name uses
            the builder's.
        fills: The same for the fill model.
        intensity: Predicts expected fills, instead of the builder's.
    """

    tapes: Sequence[Tape]
    rules: Rules
    builder: ModelBuilder
    sensitivity: Sensitivity = Sensitivity()
    draws: int = 0
    quotes: object = None
    fills: object = None
    intensity: "Intensity | None" = None

    @cached_property
    def strategy(self) -> Strategy:
        """The strategy, with the factories of new models for each play; an object is copied as it is now.

        Raises:
            UsageError: If an object cannot be copied.
        """
        return self._strategy(partial(again, shared=[*self.tapes, self.intensity]))

    def _strategy(self, factory: Callable[[object], Callable[[], object]]) -> Strategy:
        """Return the strategy; *factory* turns an object into a factory of models."""
        quotes, fills = (
            built if one is None or isinstance(one, str) else one if isinstance(one, partial) else factory(one)
            for one, built in ((self.quotes, self.builder.quotes), (self.fills, self.builder.fills))
        )
        intensity = self.builder.intensity if self.intensity is None else self.intensity
        path = self.sensitivity.queue_exponent_file
        estimate = None if path is None else ExponentEstimate.read(path, self.tapes[0].symbol)
        return Strategy(self.tapes, self.rules, quotes, fills, intensity, self.rules.latency_seed, estimate)

    @cached_property
    def why_once(self) -> str | None:
        """Why the models can be played only once, so that there is no sensitivity; None if they can be again."""
        try:
            _ = self.strategy
        except UsageError as error:
            return str(error)
        return None

    @cached_property
    def further(self) -> bool:
        """Whether any additional backtest is played."""
        return self.sensitivity.sensitivity is not False and self.why_once is None

    @property
    def concurrent(self) -> bool:
        """Whether the sensitivity is played beside the main backtest: not of a user's model, many events, or weeks."""
        lasts_s = (self.tapes[-1].end_us - self.tapes[0].start_us) / US_PER_S  # a state row each
        few = sum(map(len, self.tapes)) <= MANY_EVENTS and lasts_s <= LONG
        return few and self.further and self.builder.registered_only()

    @property
    def events(self) -> int:
        """Number of events in all backtests together."""
        plays = 1 + self.draws + (self.strategy.plays() if self.further else 0)
        return plays * sum(map(len, self.tapes))

    def play(self, step: Step | None = None) -> "Result":
        """Play the backtest; its summary includes sensitivity and PnL band if requested."""
        return self.with_further(self.play_base(step), step)

    def play_base(self, step: Step | None = None) -> "Result":
        """Play the main backtest, with the given objects themselves.

        Raises:
            UsageError: If sensitivity was requested with a model that can be played only once, or draws with an object.
        """
        wanted = self.sensitivity.sensitivity
        given = [one for one in (self.quotes, self.fills) if one is not None and not isinstance(one, str)]
        if given and self.draws:
            raise UsageError("fit_draws draws A and k for models by name; give names, or package.module:Class")
        once = None if wanted is False else self.why_once  # copies the objects before they play
        if wanted and once:
            raise UsageError(f"sensitivity plays the models several times, but {once}")
        for model in given:  # the builder does not build them
            self.builder.read_by(model.args[0] if isinstance(model, partial) else model)
        return self.builder.based(self._strategy(lambda model: lambda: model).play(step))

    def with_further(
        self, result: "Result", step: Step | None = None, rows: "Callable[[], list[FurtherRow]] | None" = None
    ) -> "Result":
        """Return the result with sensitivity and PnL band added to its summary, if requested.

        *rows* returns the rows of the sensitivity if another thread plays it.
        """
        if self.sensitivity.sensitivity is not False and self.why_once:
            result = replace(result, terms=replace(result.terms, played_once=self.why_once))
        if self.further:
            result = self.strategy.with_sensitivity(result, rows() if rows else self.strategy.further(step))
        if self.draws:
            play = partial(replay.backtest, self.tapes, rules=self.rules, step=step, keeps_orders=False)
            result = with_band(result, [play(quotes=quotes, fills=fills) for quotes, fills in self.builder.redrawn()])
        if sum(map(len, self.tapes)) > MANY_EVENTS:
            trim_heap()
        return result


def _with_names(named: Mapping[str, object], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the model names that were given as arguments."""
    for knob, one in named.items():
        if one is not None and knob in settings:
            raise UsageError(f"{knob} is {settings[knob]!r}, but a model was given as well ({one!r}); give one of them")
    return {**settings, **{knob: one for knob, one in named.items() if isinstance(one, str)}}


def _without_parameters(model: object, knob: str, settings: Any) -> object:
    """Return the *model* without its parameters: of a pair with a name, they become the *knob*'s value.

    A class, or a pair with one, becomes a factory of models.
    """
    match model:
        case type() as kind:
            return partial(construct, kind, {}, knob)
        case (type() as kind, Mapping() as parameters):
            return partial(construct, kind, parameters, knob)
        case (str() as name, Mapping() as parameters):
            if knob in settings:
                raise UsageError(f"{knob} is given, and parameters with {name!r} as well; give one of them")
            settings[knob] = parameters
            return name
        case tuple():
            raise UsageError(f"the model is {model!r}; a tuple must be a name or a class, and a dict of parameters")
    return model


def _check_objects(quotes: object, fills: object, settings: Mapping[str, Any]) -> None:
    """Refuse arguments that have no effect with rules: knobs, fits, and models given by name."""
    names = [name for name, value in settings.items() if value is not None]
    if names:
        raise UsageError(f"rules set every term, so {', '.join(names)} would have no effect; give rules or knobs")
    for knob, model in (("quotes", quotes), ("fills", fills)):
        if model is None or isinstance(model, str):
            raise UsageError(f"{knob} is {model!r}; with rules it must be a model, such as an instance of your class")


def _signature() -> inspect.Signature:
    """Return a signature that lists every knob, for help and editors."""
    plain = inspect.signature(backtest)
    fixed = [one for one in plain.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    named = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default)
        for group in GROUPS
        for one in knobs(group)
    ]
    return plain.replace(parameters=[*fixed, *named])


backtest.__signature__ = _signature()  # type: ignore[attr-defined]
