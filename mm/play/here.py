"""Classes and objects that Python's functions take, under names, which commands and their processes take.

A class in a file has the name ``module:Class``, which any process finds. Another class, and every object, gets a name
that only this process knows; an object is copied as it is then, and each play gets a copy of that.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mm.backtest.fills.base import FillModel
from mm.backtest.quotes.base import QuoteModel
from mm.base.atomic_file import atomic_file
from mm.base.code_identity import digest
from mm.base.own_modules import file_of
from mm.base.user_code import NAME
from mm.errors import UsageError
from mm.play.identity import identity
from mm.play.knobs import Models
from mm.play.names import FILL_HOOKS, QUOTE_HOOKS
from mm.play.sensitivity import again

if TYPE_CHECKING:
    from mm.calibration.fit_result import PoissonFit
    from mm.calibration.schedule import Schedule

HERE = "defined_here"
"""The module of these names."""
_MODULE = sys.modules.setdefault(HERE, ModuleType(HERE, "Models of this process alone."))
_CONTENT: dict[str, Any] = {}  # code and state, by name
_DECLARED = ("signals", "timeless", "depth")


def is_here(*names: str | None) -> bool:
    """Return whether one of these names or JSON texts names a model of this process alone."""
    return any(f"{HERE}:" in name for name in names if name)


def identity_here(name: str) -> Any:
    """Return what makes a model of this process a new design: its code and its state."""
    return _CONTENT[name.partition(":")[2]]


def name_of(model: object) -> str:
    """Return the name of a class or an object; UsageError for an object that cannot be copied."""
    if isinstance(model, type):
        if (text := _in_a_file(model)) is not None:
            return text
        return _registered(model, model)
    make = again(model)
    hooks = [hook for hook in (*QUOTE_HOOKS, *FILL_HOOKS, *_DECLARED) if hasattr(model, hook)]
    bases = next(((base,) for base in (QuoteModel, FillModel) if isinstance(model, base)), ())
    members: dict[str, Any] = {} if bases else {hook: getattr(model, hook) for hook in hooks}
    members |= {"__new__": lambda _cls: make(), "__init__": lambda _self: None}
    return _registered(type(type(model).__name__, bases, members), make())


def _in_a_file(model: type) -> str | None:
    """Its name if its module has a file; the module may have been read again since."""
    name, module = f"{model.__module__}:{model.__qualname__}", sys.modules.get(model.__module__)
    found = NAME.fullmatch(name) and isinstance(getattr(module, model.__qualname__, None), type)
    return name if found and model.__module__ != "__main__" and file_of(model.__module__) is not None else None


def _registered(made: type, given: object) -> str:
    content = identity(given)
    name = f"{made.__name__}_{digest(content)[:8]}"  # the same cell of a notebook is the same design
    _CONTENT[name] = content
    setattr(_MODULE, name, made)
    return f"{HERE}:{name}"


def with_names(quotes: object, fills: object, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return *settings* with the names and parameters of the models that were given; UsageError for a second one."""
    named = dict(settings)
    for given, knob, params, argument in (
        (quotes, "quote_model", "quote_params_json", "quotes"),
        (fills, "fill_model", "fill_params_json", "fills"),
    ):
        if given is not None and knob in named:
            raise UsageError(f"{knob} is {named[knob]!r}, and {argument} was given as well; give one of them")
        model = named.pop(knob, None) if given is None else given
        if isinstance(model, tuple):
            if len(model) != 2 or not isinstance(model[1], Mapping) or params in named:
                raise UsageError(
                    f"{argument} is {model!r}, with {params}={named.get(params)!r}; give a model, or a pair of a model "
                    f"and its parameters"
                )
            model, named[params] = model
        if model is not None:
            named[knob] = model if isinstance(model, str) else name_of(model)
    return named


def with_fit(fit: "PoissonFit | Schedule | str | os.PathLike[str] | None", models: Models, out_root: Path) -> Models:
    """Return *models* with the file of a fit; one in memory is written to ``OUT_ROOT/fits``, by its content."""
    if fit is None:
        return models
    if models.fill_params_file is not None or models.fill_params_json is not None:
        raise UsageError("a fit was given, and fill_params_file or fill_params_json as well; give one of them")
    if isinstance(fit, str | os.PathLike):
        return replace(models, fill_params_file=Path(fit))
    content = fit.to_json()
    path = out_root / "fits" / f"{digest(content)[:16]}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return replace(models, fill_params_file=path)


def warn_of_one_process(models: Iterable[Models]) -> bool:
    """Return whether a model is of this process alone, and warn that such are played here."""
    texts = " ".join(str(text) for one in models for text in vars(one).values() if isinstance(text, str))
    names = dict.fromkeys(re.findall(rf"{HERE}:(\w+)_\w{{8}}", texts))
    if names:
        why = "an object, or a class that is in no file, cannot travel to another process"
        told = f"{', '.join(names)}: played in this process, a point at a time, and not kept for later calls: {why}"
        warnings.warn(f"{told}; put the class into a file", stacklevel=3)
    return bool(names)
