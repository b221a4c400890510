"""Models from their knobs: names, parameters, and the fit or schedule behind them."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest.models import FILL_MODELS, QUOTE_MODELS, hybrid
from mm.backtest.simple_quotes import QUOTE_STEPS
from mm.backtest.units import refuse_other_units
from mm.calibration.fit_result import PoissonFit
from mm.calibration.intensity import intensity_of
from mm.calibration.schedule import Schedule
from mm.calibration.uncertainty import draws
from mm.config import Models
from mm.errors import BrokenFile, DataError, Mismatch, UsageError
from mm.instrument import E8, short_text
from mm.plugins import Registry, construct, require_signature, resolve, signature_of
from mm.quote_tree import Tree, listed, named
from mm.runs import Run

if TYPE_CHECKING:
    from mm.backtest.fills.intensity import Intensity
    from mm.tape.tape import Tape

DEFAULT_K = 1.0  # per tick; what Avellaneda-Stoikov quotes take where no fit was given
PAIRS = 'FILL_PARAMS_JSON: hybrid takes {"models": [[name, {parameters}], ...]}'
OFFERED = ("seed", "intensity")  # what the run offers to a model that takes it


class ModelMaker:
    """Makes the models that the knobs name; the intensity behind them is read from FILL_PARAMS_FILE.

    Without a *run* nothing is noted and nothing is warned of: somebody else has done it.
    """

    def __init__(self, run: Run | None, models: Models, tape: "Tape", seed: int) -> None:
        self._run, self._models, self._tape, self._seed = run, models, tape, seed
        self._fitted: PoissonFit | Schedule | None = None
        self._intensity: Intensity | None = None
        self._scheduled = self._k_assumed = False
        if models.fill_params_file is not None:
            self.use(read_fitted(models.fill_params_file))
            if run is not None:
                run.input_file(models.fill_params_file)

    @property
    def intensity(self) -> "Intensity | None":
        """What the fit or the schedule foresees; None without one."""
        return self._intensity

    def use(self, fitted: PoissonFit | Schedule) -> None:
        """Take a fit or a schedule for the fill model and the quotes' k.

        Raises:
            Mismatch: If it is of another symbol or tick size.
            FitError: If it is not usable.
        """
        source = str(self._models.fill_params_file or "the schedule")
        _check_match(fitted, self._tape, source)
        self._fitted = fitted
        self._intensity = intensity_of(fitted, per_side=self._models.fill_per_side, source=source)
        self._scheduled = isinstance(fitted, Schedule)

    def redrawn(self) -> Iterator[tuple[object, object]]:
        """Yield quote and fill models with A and k that the fit allows, FIT_DRAWS times.

        Raises:
            UsageError: If there is no fit to draw from.
        """
        fitted, draws_wanted = self._fitted, self._models.fit_draws
        if not isinstance(fitted, PoissonFit) or self._models.fill_per_side:
            raise UsageError(
                f"--fit-draws (FIT_DRAWS) is {draws_wanted}, but there is no one fit to draw from; give "
                f"FILL_PARAMS_FILE=<a poisson_fit.json> and leave FILL_PER_SIDE at 0"
            )
        for fit in draws(fitted, draws_wanted, self._seed):
            self.use(fit)
            yield self.quotes(), self.fills()

    def fills(self) -> object:
        """Return the fill model."""
        return self._fills(self._models.fill_model, self._models.fill_params())

    def _fills(self, name: str, params: Mapping[str, Any]) -> object:
        build = self._resolve(FILL_MODELS, name, "fill model")
        if build is hybrid and "models" in params:
            params = {**params, "models": [self._fills(*named(one, PAIRS)) for one in listed(params["models"], PAIRS)]}
        if not params and self._intensity is not None:
            model = self._construct(build, {}, "FILL_PARAMS_FILE")
        else:
            model = self._construct(build, params, "FILL_PARAMS_JSON", offer_intensity=False)
        return _checked(model, {"on_rest": 2, "on_trade": 2, "on_book": 3, "on_level": 3})

    def quotes(self) -> object:
        """Return the quote model; behind a schedule, one that quotes only where a segment is usable."""
        model = self._quotes(Tree.of(self._models.quote_model, self._models.quote_params()))
        if not self._scheduled or self._intensity is None:
            return model
        from mm.backtest.quotes.gated import Gated

        return Gated(model, self._intensity)

    def _quotes(self, tree: Tree) -> object:
        build = self._resolve(QUOTE_MODELS, tree.name, "quote model")
        inner, params = [self._quotes(one) for one in tree.inner], dict(tree.params)
        if tree.weights:
            params["models"] = list(zip(inner, tree.weights, strict=True))
        elif inner:
            params |= {"model": inner[0], "steps": [partial(self._step, *one) for one in tree.steps]}
        refuse_other_units(tree.name, params, _names(build), short_text(self._tape.instrument.tick_e8))
        if "k" in _names(build) and "k" not in params and self._intensity is None:
            params["k"] = DEFAULT_K
            if self._run is not None and not self._k_assumed:
                self._k_assumed = True
                self._run.log.warning(
                    "k_assumed", k_per_tick=DEFAULT_K, told="give FILL_PARAMS_FILE, or k in QUOTE_PARAMS_JSON"
                )
        return _checked(self._construct(build, params, "QUOTE_PARAMS_JSON"), {"quote": 1})

    def _step(self, name: str, params: Mapping[str, Any], inner: object) -> object:
        """Put a step around a model; one in Python asks the model by its ``wants(view)``."""
        from mm.backtest.quotes.base import compiled

        build = self._resolve(QUOTE_STEPS, name, "step")
        return _checked(construct(build, params, "QUOTE_PARAMS_JSON", {"inner": compiled(inner)}), {"quote": 1})

    def _resolve(self, registry: Registry, name: str, kind: str) -> Callable[..., Any]:
        """Return the class of a name; the file of a user's module is an input of the run."""
        build = resolve(registry, name, kind)
        if ":" in name:
            source = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
            if source is not None and self._run is not None:
                self._run.input_file(Path(source))
        return build

    def _construct(
        self, build: Callable[..., Any], params: Mapping[str, Any], source: str, *, offer_intensity: bool = True
    ) -> object:
        offers = {"seed": self._seed, "intensity": self._intensity if offer_intensity else None}
        own = {name: offers[name] for name in OFFERED if name in _names(build) and name not in params}
        if build.__module__.startswith("mm.backtest."):
            own = {name: offers[name] for name in OFFERED if name in _names(build)}
        return construct(build, params, source, own)


def _names(build: Callable[..., Any]) -> set[str]:
    return set(signature_of(build).parameters)


def _checked(model: object, hooks: Mapping[str, int]) -> object:
    """Return *model* after checking that a user's hooks can be called as they will be."""
    if not type(model).__module__.startswith("mm.backtest."):
        for name, count in hooks.items():
            if hasattr(model, name):
                require_signature(model, name, count)
    return model


def read_fitted(path: Path) -> PoissonFit | Schedule:
    """Read a fit or a schedule."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"--fill-params-file (FILL_PARAMS_FILE) {path}: there is no such file; run mm calibrate"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenFile(f"--fill-params-file (FILL_PARAMS_FILE) {path}: cannot be read ({error})") from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenFile(f"{path}:{error.lineno}: not JSON ({error.msg}); make it anew with mm calibrate") from error
    return fitted_from(content, str(path))


def fitted_from(content: Any, source: str) -> PoissonFit | Schedule:
    """Return the fit or the schedule that JSON *content* holds; *source* is where it comes from, for messages."""
    if isinstance(content, dict) and "segments" in content:
        return Schedule.from_json(content, source)
    return PoissonFit.from_json(content, source)


def _check_match(fitted: PoissonFit | Schedule, tape: "Tape", source: str) -> None:
    """Refuse a fit of another symbol or tick size."""
    if fitted.symbol is not None and fitted.symbol != tape.symbol:
        raise Mismatch(f"{source}: a fit of {fitted.symbol}, but the run is of {tape.symbol}; calibrate {tape.symbol}")
    tick = tape.instrument.tick_e8
    if fitted.tick_size is not None and round(fitted.tick_size * E8) != tick:
        raise Mismatch(
            f"{source}: distances in ticks of {fitted.tick_size}, but {tape.symbol} {tape.days[0]} has ticks of "
            f"{short_text(tick)}; calibrate this day's grid"
        )
