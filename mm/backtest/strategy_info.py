"""Describes a played strategy: quote model, steps, effective parameters, gammas used."""

import math
from collections.abc import Iterator
from types import GetSetDescriptorType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from mm.base.arrays import Floats

if TYPE_CHECKING:
    pass

# attributes of a model that are not parameters
PARTS = ("inner", "model", "models", "weights", "name", "signals", "begins_us", "trained_on")
IMPLICIT = {"gamma": "auto", "sigma": "tape"}  # meaning of NaN in a compiled model; for k and A see `sources`


def strategy_fields(model: object) -> dict[str, Any]:
    return {"strategy": strategy_of(model), "gammas": gammas_of(model), "bound_clips": bound_clips(model)}


def bound_clips(model: object) -> float | None:
    """The smallest finite ``q_max`` (clips) of a model and its inner models."""
    bounds = []
    while model is not None:
        bound = getattr(model, "q_max", None)
        if isinstance(bound, int | float) and 0 < bound < math.inf:
            bounds.append(float(bound))
        model = getattr(model, "inner", None)
    return min(bounds, default=None)


def gammas_of(model: object) -> Floats | None:
    """Gammas of a model and its inner models, with their numbers of quotes: float64[gammas, 2]."""
    counted = [part.gammas() for part in _each(model) if hasattr(part, "gammas")]
    if any(len(rows) for rows in counted):
        return np.concatenate(counted)
    fixed = [gamma for gamma in (getattr(p, "gamma", None) for p in _each(model)) if isinstance(gamma, int | float)]
    shown = [(float(gamma), 1.0) for gamma in fixed if math.isfinite(gamma)]
    return np.array(shown) if shown else None


def strategy_of(model: object) -> dict[str, Any]:
    """Class, effective parameters and inner models, as JSON.

    ``auto``, ``touch`` or ``tape`` are computed by the run, ``fit`` comes from the fit; no bound is ``none``.
    """
    inside = [strategy_of(part) for part in _inside(model)]
    terms = {"model": type(model).__name__, "parameters": _parameters(model)}
    return {**terms, "inner": inside} if inside else terms


def trained_on(model: object) -> frozenset[tuple[str, str]]:
    return frozenset(day for part in _each(model) for day in getattr(part, "trained_on", ()))


def _each(model: object) -> Iterator[Any]:
    yield model
    for part in _inside(model):
        yield from _each(part)


def _inside(model: object) -> list[object]:
    inner, models = getattr(model, "inner", None), getattr(model, "models", None)
    if inner is not None:
        return [inner]
    return list(models) if isinstance(models, list | tuple) else []


def _parameters(model: object) -> dict[str, Any]:
    names = [
        name
        for kind in reversed(type(model).__mro__)
        for name, member in vars(kind).items()
        if isinstance(member, GetSetDescriptorType) and name not in PARTS and not name.startswith("_")
    ]
    values = {name: _plain(name, getattr(model, name)) for name in names}
    if isinstance(model, HasSources):
        sources = {name: source for name, source in model.sources().items() if math.isnan(getattr(model, name))}
        values = {name: sources.get(name, value) for name, value in values.items()}
    return {name: value for name, value in values.items() if value is not None}


@runtime_checkable
class HasSources(Protocol):
    """A quote model whose k or A may come from elsewhere than its parameters."""

    def sources(self) -> dict[str, str | None]:
        """The source of k and of A; None for numbers and unused."""
        ...


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return IMPLICIT.get(name, "auto") if math.isnan(value) else "none"
    return value if isinstance(value, int | float | str) else str(value)
