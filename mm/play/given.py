"""Turns keyword arguments into knobs, and explains an unknown one."""

from collections.abc import Iterable, Mapping
from typing import Any

from mm.backtest.models import FILL_MODELS, QUOTE_MODELS
from mm.backtest.parameters import declaration_of
from mm.base.knobs import closest, knobs, typed


def parameter_way(name: str, known: Iterable[str], *, python: bool = False) -> str:
    """How to give a model's parameter *name* where only *known* knobs are accepted."""
    for knob_name, argument, registry in (
        ("quote_params_json", "quotes", QUOTE_MODELS),
        ("fill_params_json", "fills", FILL_MODELS),
    ):
        having = [
            model
            for model, build in registry.items()
            if (declaration := declaration_of(build)) and name in {key.name for key in declaration.of_user()}
        ]
        if having and knob_name in known:
            example = f'{{"{name}": …}}'
            way = f'{knob_name}={example}, or in mm.backtest {argument}=("{having[0]}", {example})'
            way = way if python else f"{knob_name.upper()}='{example}'"
            return f"; it is a parameter of a model: {way}"
    return ""


def groups_of(groups: Iterable[type], settings: Mapping[str, Any], what: str) -> list[Any]:
    """Fill *groups* from *settings* (values or text); TypeError and UsageError name the caller *what*."""
    groups = list(groups)
    known = {knob.name: knob for group in groups for knob in knobs(group)}
    for name in settings:
        if name not in known:
            way = parameter_way(name, known, python=True) or closest(name, known)
            raise TypeError(f"{what}() got an unexpected keyword argument {name!r}{way}")
    read = {name: None if value is None else known[name].read(typed(value)) for name, value in settings.items()}
    return [group(**{knob.name: read[knob.name] for knob in knobs(group) if knob.name in read}) for group in groups]
