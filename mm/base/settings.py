"""The parameters of a model: types, bounds, units and meanings are annotations of a class's fields.

``horizon_s: Annotated[float, Meta(gt=0), about("Time left.", unit=SECONDS)] = 30.0`` is read from Python, JSON or text
by msgspec; error, help and documentation follow from it.
"""

import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

from mm.base.knobs import REQUIRED, Knob, Reader, Unit, span

WORDS = "{words}"  # in a meaning: replaced by the words that the type allows
_NAMES: Mapping[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    list: "a list",
    Mapping: "an object",
}
_CONTENTS: Mapping[Any, str] = {float: " of numbers", str: " of texts"}


def about(meaning: str, unit: Unit | None = None, **others: Any) -> Meta:
    """The last meaning of a type counts; *others* as in `Knob`."""
    return Meta(description=meaning, extra=({} if unit is None else {"unit": unit}) | others)


@cache
def settings(group: type[msgspec.Struct]) -> tuple[Knob, ...]:
    hints = get_type_hints(group, include_extras=True)
    return tuple(
        _setting(field.name, hints[field.name], REQUIRED if field.default is NODEFAULT else field.default)
        for field in msgspec.structs.fields(group)
    )


def _setting(name: str, kind: Any, default: Any) -> Knob:
    meaning, others = "", dict[str, Any]()
    for meta in getattr(kind, "__metadata__", ()):
        meaning, others = meta.description or meaning, others | (meta.extra or {})
    words = ", ".join(f"`{word}`" for word in get_args(get_args(kind)[0])) if WORDS in meaning else ""
    shown = others.pop("shown", None)
    reader = Reader(shown, lambda value: value) if shown else Reader(_source(kind), lambda value: convert(value, kind))
    return Knob(reader, default, meaning.replace(WORDS, words), name, **others)


def convert(value: Any, kind: Any) -> Any:
    """Convert with bounds; ValueError says what *value* must be, also if not finite."""
    try:
        converted = msgspec.convert(value.tolist() if hasattr(value, "tolist") else value, kind)
    except msgspec.ValidationError:
        raise ValueError(wanted(kind)) from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(wanted(kind))
    return converted


def wanted(kind: Any) -> str:
    """Say in words what a type accepts: "a number above 0 or auto"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return wanted(parts[0]) + "".join(span(meta.ge, meta.le, meta.gt, meta.lt) for meta in parts[1:])
    if origin is Literal:
        return parts[0] if len(parts) == 1 else f"one of {', '.join(parts)}"
    if origin in (Union, UnionType):
        return " or ".join(map(wanted, parts))
    return _NAMES.get(origin or kind, str(kind)) + (_CONTENTS.get(parts[-1], "") if parts else "")


def _source(kind: Any) -> str:
    parts = get_args(kind)
    if get_origin(kind) is Annotated:
        return _source(parts[0])
    if get_origin(kind) in (Union, UnionType):
        return " | ".join(map(_source, parts))
    if kind is NoneType:
        return "None"
    return kind.__name__ if isinstance(kind, type) and not parts else str(kind).split(".")[-1]
