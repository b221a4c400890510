"""Makes the models that the knobs name, with their parameters and fit or schedule."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self, cast

from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, QUOTE_STEPS, UNITS, hybrid
from mm.backtest.parameters import TOUCH, declaration_of, refuse_other_units
from mm.backtest.quotes.agent_file import AGENT, SavedAgent, read_agent
from mm.backtest.quotes.base import compiled
from mm.backtest.quotes.curve import avellaneda_stoikov_of_curve
from mm.backtest.quotes.steps import Gated
from mm.base.settings import settings
from mm.base.texts import read_text
from mm.base.user_code import NAME, import_trusted, refuse_code_of
from mm.errors import BrokenFile, DataError, Mismatch, Sentence, UsageError
from mm.instrument import E8, short_text
from mm.play.knobs import Models
from mm.play.names import Registry, accepted_by, construct, require_signature, resolve
from mm.play.nested_quotes import Tree, listed, named
from mm.play.notes import Note
from mm.signals.artefact import Artefact, predictors_of

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule

    Fitted = PoissonFit | Schedule
    from mm.backtest.fills.intensity import Intensity
    from mm.backtest.result import Result
    from mm.backtest.run_terms import RunTerms
    from mm.tape.tape import Tape

DEFAULT_K = 1.0  # per tick; used by quote models without a fit, except the default strategy, whose k is `touch`
PAIRS = Sentence('{fill_params_json}: hybrid takes {{"models": [[name, {{parameters}}], ...]}}')
# Share by which a run's quantity may differ from its fit's. The default clip follows the price, which moves by a
# few per cent from day to day; clips of 1 and 10 times the minimum quantity differ in their fills by a third (see
# docs/calibration.md), so a tenth more or less changes them by some 2 %, less than the interval of the fills.
OTHER_QTY = 0.1
DRAWN = ("poisson", "hawkes")  # fill models that draw from a fit; fits are never measured under them
FITTED = ("A", "k")  # parameters that a quote model takes from the fit unless they are given


@dataclass(frozen=True)
class Made:
    """A model made from knobs, and what the making showed.

    Attributes:
        on_curve: Whether it quotes from the measured curve, because A and k miss the measured rates.
        uses_fit: Whether a parameter comes from the fit or schedule.
    """

    model: object
    predictors: Mapping[str, Artefact]
    sources: Sequence[str]
    notes: Sequence[Note]
    adverse_ticks: float | None
    on_curve: bool
    uses_fit: bool

    @property
    def signals(self) -> tuple[str, ...]:
        return tuple(getattr(self.model, "signals", ()))


@dataclass(frozen=True)
class PlayModels:
    """The models that the knobs name, with their fit; `quotes` and `fills` make a new one at each call."""

    named: Models
    tape: "Tape"
    seed: int
    fitted: "Fitted | None" = None
    lacks: Sequence[str] = ()
    rates: "Intensity | None" = None

    @classmethod
    def of(cls, named: Models, tape: "Tape", seed: int, fit: "Fitted | None" = None) -> Self:
        """*fit* replaces FILL_PARAMS_FILE; raises DataError, Mismatch or FitError."""
        import_trusted(named.trusted())
        path = named.fill_params_file
        if fit is not None or path is None:
            resolved = cls(named, tape, seed)
            return resolved if fit is None else resolved.with_fit(fit)
        fit = read_fitted(path)
        return cls(named, tape, seed, lacks=lacking(path, fit)).with_fit(fit)

    def with_fit(self, fitted: "Fitted") -> Self:
        """Use *fitted* in the fill model and for the quotes' k; raises Mismatch or FitError."""
        # with all of a calibration, which a run without a fit lacks
        from mm.calibration.intensities import intensity_of

        source = str(self.named.fill_params_file or "the schedule")
        _check_match(fitted, self.tape, source)
        rates = intensity_of(fitted, per_side=self.named.fill_per_side, source=source)
        return replace(self, fitted=fitted, rates=rates)

    @property
    def fit(self) -> "PoissonFit | None":
        return None if self.schedule is not None else cast("PoissonFit | None", self.fitted)

    @property
    def schedule(self) -> "Schedule | None":
        if self.fitted is None:
            return None
        from mm.calibration.schedule import Schedule

        return self.fitted if isinstance(self.fitted, Schedule) else None

    @property
    def intensity(self) -> "Intensity | None":
        if self.fitted is not None and self.fitted.calib_fills == self.named.fill_model not in DRAWN:
            from mm.calibration.intensities import measured_intensity

            return measured_intensity(self.fitted) or self.rates
        return self.rates

    def quotes(self) -> object:
        """Make the quote model; with a schedule that it uses, it quotes only in usable segments."""
        maker = _Maker(self)
        model = maker.quotes()
        if self.schedule is None or self.rates is None or not (maker.uses_fit or self.filling.uses_fit):
            return model
        return Gated(model, self.rates)

    def fills(self) -> object:
        """Without its own parameters it takes those of a fit measured under it."""
        return _Maker(self).fills()

    @cached_property
    def quoting(self) -> Made:
        maker = _Maker(self)
        return maker.made(maker.quotes())

    @cached_property
    def filling(self) -> Made:
        maker = _Maker(self)
        return maker.made(maker.fills())

    def fit_notes(self, tapes: "Sequence[Tape]", *, used: bool) -> Iterator[Note]:
        """Which fit is given, and whether the models *used* one of the replayed *tapes* or later data."""
        fitted, path = self.fitted, self.named.fill_params_file
        if fitted is None or path is None:
            return
        yield Note.info("fit_taken", path=str(path), day=fitted.day)
        if fitted_after(fitted, tapes[0].start_us) and used:
            way_out = "read the PnL as in-sample, give a fit of earlier days, or run mm walkforward"
            yield Note.warning("fit_in_sample", day=fitted.day, way_out=way_out)

    def agents(self) -> list[tuple[Path, SavedAgent]]:
        return [(path, read_agent(path)) for path in agent_files(self.named)]

    def redrawn(self) -> Iterator[Self]:
        fitted, draws_wanted = self.fitted, self.named.fit_draws
        if fitted is None or self.named.fill_per_side:
            raise UsageError(
                "{fit_draws} is {}, but there is no fit to draw from; give a poisson_fit.json as {fill_params_file} "
                "and leave {fill_per_side} at 0",
                draws_wanted,
            )
        from mm.calibration.intervals import draws
        from mm.calibration.schedule_draws import schedule_draws

        if self.schedule is not None:
            yield from map(self.with_fit, schedule_draws(self.schedule, draws_wanted, self.seed))
            return
        yield from map(self.with_fit, draws(cast("PoissonFit", fitted), draws_wanted, self.seed))

    def check(self, model: object) -> dict[str, Artefact]:
        """Raises Mismatch if a predictor is for another symbol or tick."""
        predictors = dict(predictors_of(model))
        for artefact in predictors.values():
            artefact.check(self.tape.symbol, self.tape.instrument.tick_e8)
        return predictors

    def describe(
        self, result: "Result", quoting: Made | None, predictors: Mapping[str, Artefact], *, used: bool
    ) -> "Result":
        """*used*: whether a model takes something from the fit."""
        result = self.with_predictors(result, predictors)
        if self.fitted is None:
            return result
        name = "poisson_schedule.json" if self.schedule is not None else "poisson_fit.json"
        terms = fit_terms(self.fitted, name, self.lacks)
        terms["used"] = used
        terms["in_sample"] = fitted_after(self.fitted, result.journal.counters["first_us"])
        terms["adverse_ticks"] = quoting and quoting.adverse_ticks
        if quoting is not None and quoting.on_curve:
            terms["quotes_from"] = "curve"
        terms["measured_under"] = measured_under(self.fitted, result.terms)
        return replace(result, terms=replace(result.terms, fit=terms))

    def with_predictors(self, result: "Result", predictors: Mapping[str, Artefact]) -> "Result":
        begin_us = result.journal.counters["first_us"]
        terms = tuple(predictor.terms(begin_us) for predictor in predictors.values())
        trained = {day for _, agent in self.agents() for day in agent.days}
        overlap = tuple(sorted(trained & set(result.terms.days)))
        return replace(result, terms=replace(result.terms, predictors=terms, agent_days=overlap))


class _Maker:
    def __init__(self, models: PlayModels) -> None:
        self._named, self._tape, self._seed = models.named, models.tape, models.seed
        self._models, self._fit, self._schedule, self._rates = models, models.fit, models.schedule, models.rates
        self._predictors: dict[str, Artefact] = {}
        self._sources: list[str] = []
        self._notes: list[Note] = []
        self._adverse: float | None = None
        self._on_curve = False
        self.uses_fit = False

    def made(self, model: object) -> Made:
        kept = self._predictors, self._sources, self._notes
        return Made(model, *kept, self._adverse, self._on_curve, self.uses_fit)

    def _note(self, note: Note) -> None:
        if note not in self._notes:
            self._notes.append(note)

    def _read_by(self, model: object) -> object:
        self._predictors |= self._models.check(model)
        return model

    def fills(self) -> object:
        name, params, fit = self._named.fill_model, self._named.fill_params(), self._fit
        if not params and fit is not None and fit.calib_fills == name not in DRAWN:
            params = fit.calib_fill_params or {}
            refuse_code_of(self._named.fill_params_file or "the fit", _names_in(params))
        return self._fills(name, params)

    def _fills(self, name: str, params: Mapping[str, Any]) -> object:
        build = self._resolve(FILL_MODELS, name, "fill model")
        if self._named.fill_per_side and self._rates is None:
            raise UsageError(
                Sentence(
                    "{fill_per_side} is 1, but there is no fit with A and k per side; give a poisson_fit.json as "
                    "{fill_params_file}, or set it to 0"
                )
            )
        if build is hybrid and "models" in params:
            params = {
                **params,
                "models": [self._fills(*named(pair, PAIRS)) for pair in listed(params["models"], PAIRS)],
            }
        if not params and self._rates is not None:
            self.uses_fit |= "intensity" in self._by_run(build, {})
            model = self._construct(build, {}, "fill_params_file")
        else:
            model = self._construct(build, params, "fill_params_json", offer_intensity=False)
        return self._read_by(_checked(model, {"on_rest": 2, "on_trade": 2, "on_book": 3, "on_level": 3}))

    def quotes(self) -> object:
        return self._read_by(self._quotes(Tree.parsed(self._named.quote_model, self._named.quote_params())))

    def _quotes(self, tree: Tree) -> object:
        build = self._resolve(QUOTE_MODELS, tree.name, "quote model")
        inner, params = [self._quotes(part) for part in tree.inner], dict(tree.params)
        if tree.weights:
            params["models"] = list(zip(inner, tree.weights, strict=True))
        elif inner:
            params |= {"model": inner[0], "steps": [partial(self._step, *step) for step in tree.steps]}
        known = {setting.name: setting.unit or UNITS.get(setting.name) for setting in accepted_by(build)[0]}
        refuse_other_units(tree.name, params, known, short_text(self._tape.instrument.tick_e8))
        needed = [name for name in FITTED if name in known and name not in params and "curve" not in params]
        of_run = "intensity" in self._by_run(build, params) and "curve" not in params
        if of_run and self._rates is not None and (needed or not known.keys() & {*FITTED}):
            self.uses_fit = True
        if "adverse_ticks" in known and "adverse_ticks" not in params and list(FITTED) == needed:
            params |= self._adverse_ticks()
        if tree.name == "avellaneda_stoikov" and "k" in needed and params.get("mode", "rolling") == "rolling":
            build = self._default_strategy(build)
        if "k" in needed and self._rates is None:
            params["k"] = TOUCH if tree.name == "avellaneda_stoikov" else DEFAULT_K
            way_out = "give --fit (FILL_PARAMS_FILE), or k in QUOTE_PARAMS_JSON"
            k = "the touch's" if params["k"] == TOUCH else f"{params['k']:g} per tick"
            words = f"k of the quotes is not measured, but assumed to be {k}: {way_out}"
            self._note(Note.warning("k_assumed", words, k_per_tick=params["k"], way_out=way_out))
        return _checked(self._construct(build, params, "quote_params_json"), {"quote": 1, "on_event": 2})

    def _default_strategy(self, build: Callable[..., Any]) -> Callable[..., Any]:
        """Quote from the curve if A and k miss the measured rates (`misfit`)."""
        fit = self._fit
        if fit is None or fit.status != "misfit" or not fit.line or self._named.fill_per_side:
            return build
        words = f"quotes are from the curve of the fit, as its A and k do not describe it: {fit.reason}"
        self._note(Note.warning("quotes_from_curve", words, status=fit.status, reason=fit.reason))
        self._on_curve = True
        return avellaneda_stoikov_of_curve

    def _adverse_ticks(self) -> dict[str, float]:
        """The measured move at the distance of the highest expected profit; empty if not measured."""
        if self._schedule is not None:
            moves = [segment.adverse_ticks for segment in self._schedule.segments if segment.adverse_ticks is not None]
            self._adverse = median(moves) if moves else None
            return {}
        if self._fit is None or self._rates is None:
            return {}
        from mm.calibration.moves import move_of_best_distance, offset_ticks

        rate = partial(self._rates.at, 0, 1)
        fitted, offset = self._fit, offset_ticks(self._fit.reference, self._fit.half_spread_ticks)
        if (move := move_of_best_distance(fitted.adverse_moves, lambda delta: [*map(rate, delta)], offset)) is None:
            return {}
        way_out = "adverse_ticks in QUOTE_PARAMS_JSON"
        self._note(Note.info("adverse_ticks_measured", ticks=round(move, 6), way_out=way_out))
        self._adverse = move
        return {"adverse_ticks": move}

    def _step(self, name: str, params: Mapping[str, Any], inner: object) -> object:
        """A Python model is first wrapped as a compiled one, with ``wants(view)``."""
        build = self._resolve(QUOTE_STEPS, name, "step")
        return _checked(construct(build, params, "quote_params_json", {"inner": compiled(inner)}), {"quote": 1})

    def _resolve(self, registry: Registry, name: str, kind: str) -> Callable[..., Any]:
        build = resolve(registry, name, kind)
        if ":" in name:
            declared = getattr(build, "signals", ())
            signals = declared if isinstance(declared, tuple | list) else ()
            named = [name, *(signal for signal in signals if isinstance(signal, str) and NAME.fullmatch(signal))]
            self._sources += [signal.partition(":")[0] for signal in named]
        return build

    def _construct(
        self, build: Callable[..., Any], params: Mapping[str, Any], source: str, *, offer_intensity: bool = True
    ) -> object:
        offers = {"seed": self._seed, "intensity": self._rates if offer_intensity else None}
        taken = self._by_run(build, params)
        return construct(build, params, source, {name: offer for name, offer in offers.items() if name in taken})

    def _by_run(self, build: Callable[..., Any], params: Mapping[str, Any]) -> set[str]:
        """Arguments that the run gives."""
        declaration = declaration_of(build)
        if declaration:
            return {setting.name for setting in settings(declaration) if setting.by_run}
        return {setting.name for setting in accepted_by(build)[0]} - params.keys()


def agent_files(models: Models) -> list[Path]:
    """Agents given as objects have no file."""
    leaves = Tree.parsed(models.quote_model, models.quote_params()).leaves()
    named = [leaf.params.get("model_path") for leaf in leaves if leaf.name == AGENT]
    return [Path(path) for path in named if isinstance(path, str)]


def check_names(models: Models) -> None:
    """Raise UnknownModel or UsageError before any day is loaded."""
    trees = [Tree.parsed(models.quote_model, models.quote_params())]
    while trees:
        tree = trees.pop()
        resolve(QUOTE_MODELS, tree.name, "quote model")
        for name, _ in tree.steps:
            resolve(QUOTE_STEPS, name, "step")
        trees += tree.inner
    for name, _ in _fill_models(models):
        resolve(FILL_MODELS, name, "fill model")


def takes_clustering(models: Models) -> bool:
    return any(name == "hawkes" and "clustering" not in params for name, params in _fill_models(models))


def _fill_models(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    waiting = [(models.fill_model, models.fill_params())]
    while waiting:
        name, params = waiting.pop()
        yield name, params
        if name == "hybrid" and "models" in params:
            waiting += [
                (member, dict(given))
                for member, given in (named(member, PAIRS) for member in listed(params["models"], PAIRS))
            ]


def _names_in(params: object) -> Iterator[str]:
    if isinstance(params, str):
        yield params
    elif isinstance(params, Mapping | list):
        for value in params.values() if isinstance(params, Mapping) else params:
            yield from _names_in(value)


def _checked(model: object, hooks: Mapping[str, int]) -> object:
    if not type(model).__module__.startswith("mm.backtest."):
        for name, count in hooks.items():
            if hasattr(model, name):
                require_signature(model, name, count)
    return model


def fitted_after(fitted: "Fitted", begin_us: int) -> bool:
    """Whether the fit uses data after *begin_us* (negative: nothing was played)."""
    from mm.calibration.schedule import Schedule

    return not isinstance(fitted, Schedule) and 0 <= begin_us < (fitted.window.end_us or 0)


def read_fitted(path: Path) -> "Fitted":
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise DataError("{fill_params_file} {}: there is no such file; run mm calibrate", path) from error
    except IsADirectoryError as error:
        raise DataError(
            "{fill_params_file} {}: is a folder; name the poisson_fit.json or poisson_schedule.json in it", path
        ) from error
    except (OSError, ValueError) as error:
        raise BrokenFile("{fill_params_file} {}: cannot be read ({})", path, error) from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenFile(f"{path}:{error.lineno}: not JSON ({error.msg}); make it again with mm calibrate") from error
    return fitted_from(content, str(path))


def lacking(path: Path, fitted: "Fitted") -> list[str]:
    from mm.calibration.fit_result import PoissonFit

    if not isinstance(fitted, PoissonFit):
        return []
    content = json.loads(read_text(path))
    return [name for name in PoissonFit.json_keys() if name not in content]


def fit_terms(fitted: "Fitted", name: str, lacks: Sequence[str] = ()) -> dict[str, Any]:
    from mm.calibration.fit_result import EXPONENTIAL, PoissonFit

    if not isinstance(fitted, PoissonFit):
        return _schedule_terms(fitted, name)
    choice = fitted.reference_choice
    return {
        "path": name,
        "day": fitted.day,
        "reference_why": _why_reference(fitted.reference, (choice.chosen, choice.why) if choice else None),
        "status": fitted.status,
        "reason": fitted.reason,
        "warnings": list(fitted.warnings),
        "A": fitted.A,
        "k": fitted.k,
        "shape": fitted.shape.chosen if fitted.shape and fitted.line else EXPONENTIAL,
        "min_delta_ticks": fitted.min_delta_ticks,
        "max_delta_ticks": fitted.max_delta_ticks,
        "log_rate_half": fitted.log_rate_half,
        "lacks": list(lacks),
    }


def measured_under(fitted: "Fitted", terms: "RunTerms") -> dict[str, Any] | None:
    """The fill model and quantity under which a fit was measured, and how the run differs."""
    if fitted.calib_fills is None:
        return None
    from mm.calibration.fit_result import PoissonFit

    qty = fitted.calib_order_qty if isinstance(fitted, PoissonFit) else None
    played = terms.quote_lots * terms.instrument.lot_e8 / E8
    if terms.fill_model not in (fitted.calib_fills, *DRAWN, "hybrid"):
        differs = f"fills under {fitted.calib_fills}, but this run uses {terms.fill_model}"
    elif qty is not None and abs(played - qty) > OTHER_QTY * qty:
        differs = f"orders of {qty:g}, but this run quotes {played:g}"
    else:
        differs = None
    return {"calib_fills": fitted.calib_fills, "calib_order_qty": qty, "differs": differs}


def _why_reference(reference: str | None, choice: tuple[str, str] | None) -> str | None:
    if choice is not None and choice[0] == reference:
        return choice[1]
    return None if reference in (None, "mid") else f"the fit was made with CALIB_REFERENCE={reference}"


def _schedule_terms(schedule: "Schedule", name: str) -> dict[str, Any]:
    from mm.calibration.schedule_draws import schedule_log_rate_half

    used = [segment for segment in schedule.segments if segment.usable]
    counts = Counter(segment.status for segment in schedule.segments)
    near = [segment.min_delta_ticks for segment in used if segment.min_delta_ticks is not None]
    far = [segment.max_delta_ticks for segment in used if segment.max_delta_ticks is not None]
    shapes = Counter(segment.shape for segment in used if segment.shape is not None)
    verdicts = ", ".join(f"{status} {count}" for status, count in counts.most_common())
    choice = schedule.reference_choice
    return {
        "path": name,
        "day": schedule.day,
        "reference_why": _why_reference(schedule.reference, (choice["chosen"], choice["why"]) if choice else None),
        "status": counts.most_common(1)[0][0] if counts else None,
        "reason": f"{schedule.counted()}; fits: {verdicts}",
        "warnings": [],
        "A": median(segment.A for segment in used if segment.A is not None) if used else None,
        "k": median(segment.k for segment in used if segment.k is not None) if used else None,
        "shape": shapes.most_common(1)[0][0] if shapes else None,
        "min_delta_ticks": min(near, default=None),
        "max_delta_ticks": max(far, default=None),
        "log_rate_half": schedule_log_rate_half(schedule),
        "lacks": [],
    }


def trained_days(fitted: "Fitted | None") -> Callable[[str], bool]:
    first, _, last = ((fitted and fitted.day) or "").partition("-")
    return lambda day: first <= day <= (last or first)


def fitted_from(content: Any, source: str) -> "Fitted":
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule

    if isinstance(content, dict) and "segments" in content:
        return Schedule.from_json(content, source)
    return PoissonFit.from_json(content, source)


def _check_match(fitted: "Fitted", tape: "Tape", source: str) -> None:
    from mm.calibration.reference import PER_TICK

    if fitted.reference is not None and fitted.reference not in PER_TICK:
        raise Mismatch(
            f"{source}: reference is {fitted.reference!r}; this version supports {', '.join(PER_TICK)}; calibrate again"
        )
    if fitted.symbol is not None and fitted.symbol != tape.symbol:
        raise Mismatch(f"{source}: the fit is for {fitted.symbol}, the run for {tape.symbol}; calibrate {tape.symbol}")
    tick = tape.instrument.tick_e8
    if fitted.tick_size is not None and abs(fitted.tick_size * E8 - tick) > 0.5:
        raise Mismatch(
            f"{source}: the fit has tick size {fitted.tick_size}, but {tape.symbol} {tape.days[0]} has tick size "
            f"{short_text(tick)}; calibrate days with this tick size"
        )
