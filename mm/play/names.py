"""Resolves names to classes: ``poisson`` from a registry, ``package.module:Class`` from the Python path."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mm.backtest.fills.base import FillModel
from mm.backtest.parameters import declaration_of
from mm.backtest.quotes.base import QuoteModel
from mm.base.knobs import REQUIRED, Knob, Reader, closest
from mm.base.settings import settings
from mm.base.user_code import USER_ERRORS, load_class, one_line, place_of, place_of_code, require_plain
from mm.errors import MMError, ModelError, UnknownModel, UsageError, parameter
from mm.signals.signal_set import Signal

Registry = Mapping[str, Callable[..., Any]]
_ANY = Reader("Any", lambda value: value)
QUOTE_HOOKS = ("quote", "on_event")
FILL_HOOKS = ("on_rest", "on_trade", "on_book", "on_level")
_QUOTES, _FILLS, _SIGNALS = (QuoteModel, QUOTE_HOOKS), (FillModel, FILL_HOOKS), (Signal, ("on_book",))
_SHAPES: Mapping[str, tuple[tuple[type, tuple[str, ...]], ...]] = {  # by kind: compiled bases and hooks, one of them
    "quote model": (_QUOTES,),
    "step": (_QUOTES,),
    "fill model": (_FILLS,),
    "model": (_QUOTES, _FILLS, _SIGNALS),
}


def resolve(registry: Registry, name: str, kind: str) -> Callable[..., Any]:
    """Return the class with this *name*, without calling it.

    Args:
        name: Known, or ``package.module:Class`` with a hook or the compiled base of the kind.
        kind: ``quote model``, ``step``, ``fill model``, or ``model`` for any of them.
    """
    if ":" in name:
        return _model_class(load_class(name, kind), name, kind)
    if name not in registry:
        raise UnknownModel(
            f"unknown {kind} {name!r}; available: {', '.join(sorted(registry))}, or package.module:Class"
            f"{closest(name, registry)}"
        )
    return registry[name]


def _model_class(value: object, name: str, kind: str) -> Callable[..., Any]:
    hooks = [hook for _, names in _SHAPES[kind] for hook in names]
    what = "quote model or a fill model" if kind == "model" else kind
    wanted = f"a {kind} is a class with the method {_or(hooks)}"
    if not inspect.isclass(value):
        raise UnknownModel(f"{name!r} is not a {what}: it is a {type(value).__name__}; {wanted}")
    has_hook = any(callable(getattr(value, hook, None)) for hook in hooks)
    if not has_hook and not any(issubclass(value, base) for base, _ in _SHAPES[kind]):
        where = place_of_code(value)
        raise UnknownModel(
            f"{where}{': ' * bool(where)}{name!r} is not a {what}: the class has no such method; {wanted}"
        )
    return value


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _example(accepted: Sequence[Knob], missing: Sequence[str]) -> str:
    """Meanings and units of *missing* parameters, and an example if all are numbers."""
    asked = [setting for setting in accepted if setting.name in missing]
    if not all(setting.reader.metavar.startswith(("float", "int")) for setting in asked):
        return ""
    meanings = [
        f"{setting.help.rstrip('.')}{f', in {setting.unit.text}' if setting.unit else ''}"
        for setting in asked
        if setting.help
    ]
    means = f" ({'; '.join(meanings)})" if meanings else ""
    values = ", ".join(f'"{setting.name}": 2' for setting in asked)
    return f"{means}, for example '{{{values}}}'"


def construct(
    build: Callable[..., Any], params: Mapping[str, Any], given_by: str, own: Mapping[str, Any] | None = None
) -> Any:
    """Raises UsageError if a key is unknown or missing, ModelError from a user's class."""
    declaration, source = declaration_of(build), parameter(given_by)
    name = declaration.name if declaration else build.__name__
    accepted, free = accepted_by(build)
    own = own or {}
    known = [setting.name for setting in accepted if setting.name not in own]
    if not free:
        for key in params:
            if key not in known:
                raise UsageError(
                    f"{source}: {name} has no parameter {key!r}; known are {', '.join(known) or 'none'}"
                    f"{closest(key, known)}"
                )
    if declaration:
        for setting in accepted:
            if setting.name in params:
                setting.check(f"{source}: {name}", params[setting.name])
        # The run estimates the volatility, not the model: see volatility() of mm/play/nested_quotes.py.
        params = {
            key: value for key, value in params.items() if key in {setting.name for setting in settings(declaration)}
        }
    missing = [
        setting.name
        for setting in accepted
        if setting.default is REQUIRED and setting.name in known and setting.name not in params
    ]
    if missing:
        more = "" if missing == known else f"; known are {', '.join(known)}"
        raise UsageError(f"{source}: {name} needs {', '.join(missing)}{_example(accepted, missing)}{more}")
    try:
        return build(**own, **params)
    except MMError:
        raise
    except USER_ERRORS as error:
        raise ModelError(
            f"{source}: {name} raised {one_line(error)}", place_of(error) or place_of_code(build)
        ) from error


def require_signature(owner: object, method: str, n_args: int) -> None:
    """Raise UsageError unless a hook can be called with *n_args* values."""
    hook = getattr(owner, method)
    model = owner if inspect.isclass(owner) else type(owner)
    unbound = inspect.isclass(owner) and inspect.isfunction(inspect.getattr_static(owner, method))
    line = place_of_code(hook)
    place = f"{f'{line}: ' if line else ''}{model.__module__}:{model.__qualname__}.{method}"
    if not callable(hook):
        raise UsageError(f"{place} is {hook!r}; it must be a method of {n_args} arguments")
    signature = inspect.signature(hook)
    try:
        signature.bind(*[None] * (n_args + unbound))
    except TypeError:
        raise UsageError(
            f"{place}{signature} has the wrong signature; it is called with {n_args} "
            f"argument{'s' if n_args != 1 else ''}{' after self' if unbound else ''}"
        ) from None
    require_plain(hook, f"{model.__module__}:{model.__qualname__}.{method}")


def accepted_by(build: Callable[..., Any]) -> tuple[tuple[Knob, ...], bool]:
    """The parameters that a user may give, and whether others are accepted."""
    declaration = declaration_of(build)
    if declaration:
        return declaration.of_user(), False
    try:
        parameters = inspect.signature(build).parameters.values()
    except ValueError:
        return (), True
    named = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return tuple(
        Knob(_ANY, REQUIRED if parameter.default is parameter.empty else parameter.default, name=parameter.name)
        for parameter in named
    ), free
